#!/bin/sh
# Starts the proxy with the addresses of servers and Sentinels: its checks compare with them.
set -eu

for node in $NODES; do
    address=$(getent ahostsv4 "$node" | { read -r ip _ && echo "$ip"; })
    # haproxy.cfg reads NODE_0, NODE_1, ...
    export "NODE_${node##*-}=$address"
done
for sentinel in $SENTINELS; do
    address=$(getent ahostsv4 "$sentinel" | { read -r ip _ && echo "$ip"; })
    export "SENTINEL_${sentinel##*-}=$address"
done
exec haproxy -db -f /etc/redis/haproxy.cfg
