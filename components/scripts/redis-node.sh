#!/bin/sh
# Starts one data server with the role that the Sentinels give it.
#
# Two dangers decide when it may start. A primary that comes back while its successor is being
# elected would be a second primary: it hands over first. Replicas that come back before their
# primary could be elected without its last writes: they wait for it, but not for ever.
set -eu
# shellcheck source=components/scripts/redis-ask.sh
. "${0%/*}/redis-ask.sh"

# Sentinels elect only what runs, so this bounds the outage when a node is lost with its primary.
WAIT_FOR_PRIMARY_S=10
# Longest election: detection, then two rounds that Sentinels spread over a second each.
WAIT_FOR_SUCCESSOR_S=$((DOWN_AFTER_MS / 1000 + 10))

# Whether a replica runs that could take over without losing what another one has.
successor_is_ready() {
    offsets=$(replica_offsets)
    [ -n "$offsets" ] && [ "$(echo "$offsets" | sort -u | wc -l)" -eq 1 ]
}

now() {
    date +%s
}

# Prints the primary to follow, or this node's own address if it is to be the primary.
role() {
    start=$(now)
    asked=no
    while :; do
        waited=$(($(now) - start))
        primary=$(named_primary)
        if [ -z "$primary" ]; then
            log "waiting for $QUORUM Sentinels that agree on the primary"
            start=$(now)
            sleep 0.5
        elif [ "$primary" != "$me" ] && is_being_promoted "$me"; then
            log "a Sentinel waits for this node to become the primary"
            primary=$me
            break
        elif [ "$primary" != "$me" ]; then
            if [ -n "$(ask "$primary" "$NODE_PORT" PING)" ] || failover_in_progress; then
                break
            elif [ "$waited" -ge "$WAIT_FOR_PRIMARY_S" ]; then
                log "$primary has not come back in $waited s, so this node may be elected"
                break
            fi
            sleep 0.2
        elif [ "$waited" -ge "$WAIT_FOR_SUCCESSOR_S" ]; then
            log "nobody took over in $waited s"
            break
        elif ! nobody_takes_over_from "$me"; then
            sleep 0.1
        elif [ "$asked" = yes ] || [ -z "$(replica_offsets)" ]; then
            log "nobody can take over"
            break
        elif successor_is_ready; then
            log "handing over, because this node was the primary when it stopped"
            hand_over || :
            asked=yes
        else
            sleep 0.1
        fi
    done
    echo "$primary"
}

let_early_connections_fail /data/appendonlydir
me=$(address "$POD_NAME")
primary=$(role)
umask 077
{
    echo "include /etc/redis/redis.conf"
    echo "replica-announce-ip $me"
    echo "masterauth $REDISCLI_AUTH"
    if [ "$primary" != "$me" ]; then
        echo "replicaof $primary $NODE_PORT"
    fi
} >/run/redis/redis.conf
log "starting $me, the primary is $primary"
exec valkey-server /run/redis/redis.conf
