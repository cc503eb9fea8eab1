"""
An S3 server for the tests: OpenStack Swift (Debian's python3-swift), all of it in one process, on loopback, below one folder.

s3-server.py FOLDER: prints `http PORT` and `https PORT` when it listens, and ends when its input ends. Its certificate is its own issuer.
"""
import eventlet

eventlet.monkey_patch()

import datetime
import ipaddress
import os
import sys

import eventlet.wsgi
import swift.common.utils as utils
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from eventlet.green import os as green_os

folder = os.path.abspath(sys.argv[1])
users = {'test:admin': ('admin-secret', '.admin'), 'test:stranger': ('stranger-secret', '')}


def listen():
    return eventlet.listen(('127.0.0.1', 0))


def write(name, text):
    path = os.path.join(folder, name)
    with open(path, 'w') as file:
        file.write(text)
    return path


# Read when its modules are loaded.
utils.SWIFT_CONF_FILE = write('swift.conf', '[swift-hash]\nswift_hash_path_suffix = tests\nswift_hash_path_prefix = tests\n')

from swift.common.ring import RingBuilder
from swift.common.wsgi import loadapp

sockets = {kind: listen() for kind in ('account', 'container', 'object')}
os.makedirs(os.path.join(folder, 'disks', 'one'))
for kind, socket in sockets.items():
    ring = RingBuilder(2, 1, 0)
    ring.add_dev({'id': 0, 'region': 1, 'zone': 1, 'weight': 1, 'ip': '127.0.0.1', 'port': socket.getsockname()[1], 'device': 'one'})
    ring.rebalance()
    ring.get_ring().save(os.path.join(folder, f'{kind}.ring.gz'))

common = f'[DEFAULT]\nswift_dir = {folder}\ndevices = {folder}/disks\nmount_check = false\nlog_level = ERROR\n'
apps = {}
for kind in sockets:
    conf = write(f'{kind}.conf', f'{common}[pipeline:main]\npipeline = {kind}-server\n[app:{kind}-server]\nuse = egg:swift#{kind}\n')
    apps[kind] = loadapp(conf)

accounts = ''.join(f'user_{name.replace(":", "_")} = {secret} {groups}\n' for name, (secret, groups) in users.items())
filters = ['catch_errors', 'gatekeeper', 's3api', 'tempauth', 'bulk', 'slo', 'dlo']
proxy = f'{common}[pipeline:main]\npipeline = {" ".join(filters)} proxy-server\n[app:proxy-server]\nuse = egg:swift#proxy\naccount_autocreate = true\n'
for name in filters:
    proxy += f'[filter:{name}]\nuse = egg:swift#{name}\n'
    if name == 's3api':
        proxy += 's3_acl = false\nlocation = us-east-1\nmax_bucket_listing = 50\n'
    if name == 'tempauth':
        proxy += accounts
without_cache = loadapp(write('proxy.conf', proxy))


class Memory:
    """In the place of a memcached, which the proxy insists on."""

    def __init__(self):
        self.values = {}

    def get(self, key, *_, **__):
        return self.values.get(key)

    def set(self, key, value, *_, **__):
        self.values[key] = value

    def delete(self, key, *_, **__):
        self.values.pop(key, None)


memory = Memory()


def with_memory(environ, start_response):
    environ['swift.cache'] = memory
    return without_cache(environ, start_response)


apps['proxy'] = with_memory
plain = listen()
silent = open(os.devnull, 'w')
for kind, socket in sockets.items():
    eventlet.spawn(eventlet.wsgi.server, socket, apps[kind], log=silent)
eventlet.spawn(eventlet.wsgi.server, plain, apps['proxy'], log=silent)
print(f'http {plain.getsockname()[1]}', flush=True)

secret = ec.generate_private_key(ec.SECP256R1())
name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, '127.0.0.1')])
day = datetime.timedelta(days=1)
now = datetime.datetime.utcnow()
address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address('127.0.0.1'))])
builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(secret.public_key()).serial_number(1)
builder = builder.not_valid_before(now - day).not_valid_after(now + day).add_extension(address, critical=False)
pem = serialization.Encoding.PEM
key = secret.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
certificate = builder.sign(secret, hashes.SHA256()).public_bytes(pem)
files = {'certfile': write('certificate.pem', certificate.decode()), 'keyfile': write('key.pem', key.decode())}
tls = eventlet.wrap_ssl(listen(), server_side=True, **files)
eventlet.spawn(eventlet.wsgi.server, tls, apps['proxy'], log=silent)
print(f'https {tls.getsockname()[1]}', flush=True)

os.set_blocking(0, False)
while green_os.read(0, 1024):
    pass
