"""An application with Debian's python3-redis and its Sentinel support: `with-redis-py.py GROUP PREFIX IP:PORT...`. Prints `COUNTER ATMS` per acknowledged write."""
import sys
import time

from redis.exceptions import RedisError
from redis.sentinel import Sentinel

name, prefix, *addresses = sys.argv[1:]
sentinel = Sentinel([(a.split(":")[0], int(a.split(":")[1])) for a in addresses], socket_timeout=0.5)
primary = sentinel.master_for(name, socket_timeout=1)
counter = 0
while True:
    counter += 1
    try:
        primary.set(f"{prefix}:{counter}", "1")
        print(counter, int(time.time() * 1000), flush=True)
    except RedisError:
        pass  # Not acknowledged; the next one is another.
    time.sleep(0.002)
