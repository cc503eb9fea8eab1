#!/bin/sh
# Written by holdfast for keepalived. Changes are lost.
beat=0.00
read -r beat 2>/dev/null < /tmp/holdfast-golden/run/agent.beat
read -r now idle < /proc/uptime
[ $((${now%.*}${now#*.} - ${beat%.*}${beat#*.})) -le 100 ] && exit 0
/usr/bin/node /opt/holdfast/dist/guard.js /tmp/holdfast-golden/run/guard.json >/dev/null 2>&1
exit 0
