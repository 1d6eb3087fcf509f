#!/bin/sh
# Starts one Sentinel with what it knew when it stopped; a new one learns who is primary first.
set -eu
# shellcheck source=components/scripts/redis-ask.sh
. "${0%/*}/redis-ask.sh"

STATE=/data/sentinel.conf

node_addresses() {
    for node in $NODES; do
        address "$node"
    done
}

is_node() {
    [ -n "$1" ] && node_addresses | grep -qxF "$1"
}

# What this Sentinel wrote down itself: the primary, the others and its promises in elections.
remembered() {
    if [ -f "$STATE" ]; then
        grep -E "^sentinel $1" "$STATE" || :
    fi
}

# The only server that is a primary with replicas: with new volumes, the servers know better.
serving_primary() {
    for node in $NODES; do
        case $(ask "$node" "$NODE_PORT" INFO replication | tr -d '\r') in
        *role:master*connected_slaves:[1-9]*) address "$node" ;;
        esac
    done | head -n 1
}

let_early_connections_fail "$STATE"
me=$(address "$POD_NAME")
primary=$(remembered monitor | { read -r _ _ _ ip _ && echo "$ip"; } || :)
state="(config-epoch|leader-epoch|current-epoch|known-replica|known-sentinel) "
# Addresses of Services that were made anew mean nothing any more.
if is_node "$primary"; then
    lines=$(remembered "$state")
else
    lines=
    primary=$(named_primary)
fi
for found in "$(serving_primary)" "$(address "${NODES%% *}")"; do
    is_node "$primary" || primary=$found
done

umask 077
{
    cat /etc/redis/sentinel.conf
    echo "sentinel monitor $SET_NAME $primary $NODE_PORT $QUORUM"
    echo "sentinel auth-user $SET_NAME internal"
    echo "sentinel auth-pass $SET_NAME $REDISCLI_AUTH"
    echo "sentinel sentinel-user internal"
    echo "sentinel sentinel-pass $REDISCLI_AUTH"
    echo "sentinel announce-ip $me"
    # By the pod's name, so that a restart is no new Sentinel to the others.
    echo "sentinel myid $(printf %s "$POD_NAME" | sha1sum | cut -c 1-40)"
    echo "$lines"
} >"$STATE.new"
mv "$STATE.new" "$STATE"
log "starting $me, the primary is $primary"
exec valkey-sentinel "$STATE"
