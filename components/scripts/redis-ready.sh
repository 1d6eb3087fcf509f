#!/bin/sh
# Whether the server or Sentinel on the given port is ready; a server has to be up to date.
#
# A rollout then never stops the next one while this one still copies.
set -eu
# shellcheck source=components/scripts/redis-ask.sh
. "${0%/*}/redis-ask.sh"

port=$1
CUT=/run/redis/first-connections-cut
CUT_AFTER_S=5 # by then every node's kube-proxy knows the new pod

here() {
    ask 127.0.0.1 "$port" "$@"
}

uptime_s() {
    here INFO server | tr -d '\r' | sed -n 's/^uptime_in_seconds://p'
}

# While the Service of a replaced pod has no endpoint, kube-proxy answers SYNs by ICMP. Where that
# comes back inside connect(), Linux only queues it, and the next SYN, a second later, may succeed.
# epoll reports the queued error of that connection for ever, which Valkey answers by spinning on a
# whole CPU. So those who came early are cut off once; they connect again at once, cleanly.
cut_first_connections() {
    if [ ! -e "$CUT" ] && [ "$(uptime_s)" -ge "$CUT_AFTER_S" ]; then
        for type in normal pubsub replica; do
            here CLIENT KILL TYPE "$type" USER internal >/dev/null
        done
        : >"$CUT"
    fi
}

# While the append-only file is read, a server already says what it is going to be.
[ "$(here PING)" = PONG ]
cut_first_connections
if [ "$port" = "$NODE_PORT" ]; then
    here INFO replication | grep -qE '^(role:master|master_link_status:up)'
fi
