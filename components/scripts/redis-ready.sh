#!/bin/sh
# Whether a data server is up to date: the primary, or a replica that follows it.
#
# A rollout then never stops the next one while this one still copies.
set -eu
# shellcheck source=components/scripts/redis-ask.sh
. "${0%/*}/redis-ask.sh"

# While the append-only file is read, a server already says what it is going to be.
[ "$(ask 127.0.0.1 "$NODE_PORT" PING)" = PONG ]
ask 127.0.0.1 "$NODE_PORT" INFO replication | grep -qE '^(role:master|master_link_status:up)'
