#!/bin/sh
# Before a data server stops: if it is the primary, hands over without losing a write.
#
# SENTINEL FAILOVER alone loses what the old primary still accepts while the new one is promoted
# (about half a second of writes), so writes are paused first: clients wait, and nothing is lost.
set -eu
# shellcheck source=components/scripts/redis-ask.sh
. "${0%/*}/redis-ask.sh"

# Longer than the pod's grace: a paused write must never run here after the handover.
PAUSE_MS=60000
WAIT_FOR_SUCCESSOR_S=10

# Kubernetes drops what a hook prints; the server's own log keeps it.
exec 2>/proc/1/fd/2

here() {
    ask 127.0.0.1 "$NODE_PORT" "$@"
}

if [ "$(here ROLE | head -n 1)" != master ]; then
    exit 0
fi
me=$(address "$POD_NAME")
here CLIENT PAUSE "$PAUSE_MS" WRITE
# Not WAIT: a paused server asks for no acknowledgement, and by itself one comes once a second.
offset=$(here INFO replication | tr -d '\r' | sed -n 's/^master_repl_offset://p')
for _ in 1 2 3 4 5 6 7 8 9 10; do
    replicas=$(replica_offsets | sort -u)
    if [ "$replicas" = "$offset" ]; then
        break
    fi
    sleep 0.05
done
if [ -z "$replicas" ]; then
    log "no replica to hand over to: the writes are safe in the append-only file"
    exit 0
fi
hand_over || exit 0
deadline=$(($(date +%s) + WAIT_FOR_SUCCESSOR_S))
while [ "$(date +%s)" -lt "$deadline" ]; do
    primary=$(named_primary)
    if [ -n "$primary" ] && [ "$primary" != "$me" ]; then
        log "handed over to $primary"
        # Whoever waits here would not find out before this server ends.
        here CLIENT KILL TYPE normal
        exit 0
    fi
    if nobody_takes_over_from "$me"; then
        log "no replica is good enough: the writes are safe in the append-only file"
        exit 0
    fi
    sleep 0.05
done
log "nobody took over in $WAIT_FOR_SUCCESSOR_S s"
