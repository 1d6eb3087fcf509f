#!/bin/sh
# Starts the proxy with the addresses of servers and Sentinels: its checks compare with them.
set -eu

# shellcheck source=components/scripts/redis-ask.sh
. "${0%/*}/redis-ask.sh"

# haproxy.cfg reads NODE_0, NODE_1, ... and SENTINEL_0, ...
for node in $NODES; do
    export "NODE_${node##*-}=$(address "$node")"
done
for sentinel in $SENTINELS; do
    export "SENTINEL_${sentinel##*-}=$(address "$sentinel")"
done
exec haproxy -db -f /etc/redis/haproxy.cfg
