# shellcheck shell=sh
# What the other scripts ask servers and Sentinels; read with ".", runs nothing by itself.
# Expects of the environment: NODES and SENTINELS (names), NODE_PORT, SENTINEL_PORT, SET_NAME (what
# the Sentinels call the set), QUORUM, POD_NAME, NAMESPACE, and the internal user's password,
# REDISCLI_AUTH.

log() {
    echo "$(date -u +%H:%M:%S) $0: $*" >&2
}

# The fixed address of a pod: that of its own Service, which outlives the pod. By its longer name,
# because /etc/hosts gives a pod's own short name the address of the pod.
address() {
    getent ahostsv4 "$1.$NAMESPACE.svc" | {
        read -r ip _ && echo "$ip"
    }
}

# The answer of a server, or nothing; a frozen one gets a second, because it accepts connections.
ask() {
    host=$1
    port=$2
    shift 2
    timeout 1 valkey-cli --user internal --no-auth-warning -h "$host" -p "$port" "$@" 2>/dev/null
}

# The primary's address as each Sentinel knows it, one line each.
votes() {
    for sentinel in $SENTINELS; do
        ask "$sentinel" "$SENTINEL_PORT" SENTINEL get-master-addr-by-name "$SET_NAME" |
            head -n 1 &
    done
    wait
}

# The primary's address, once enough Sentinels name the same one; else nothing.
named_primary() {
    votes | sort | uniq -c | while read -r count ip; do
        if [ "$count" -ge "$QUORUM" ] && [ -n "$ip" ]; then
            echo "$ip"
        fi
    done
}

# Whether nothing is under way that makes another server than $1 the primary.
nobody_takes_over_from() {
    ! failover_in_progress && ! votes | grep -qvxF "$1"
}

# Whether a Sentinel is promoting a replica; only the one that leads the failover knows.
failover_in_progress() {
    for sentinel in $SENTINELS; do
        ask "$sentinel" "$SENTINEL_PORT" SENTINEL masters &
    done | grep -q failover_in_progress
}

# Whether a Sentinel is promoting the replica with the address $1.
is_being_promoted() {
    for sentinel in $SENTINELS; do
        ask "$sentinel" "$SENTINEL_PORT" SENTINEL replicas "$SET_NAME" || :
    done | awk -v address="$1" '
        $0 == "ip" { getline ip }
        $0 == "flags" { getline flags; if (ip == address && flags ~ /promoted/) found = 1 }
        END { exit !found }'
}

# Has a Sentinel promote the best replica now; fails if none does, for example for lack of one.
hand_over() {
    for sentinel in $SENTINELS; do
        case $(ask "$sentinel" "$SENTINEL_PORT" SENTINEL failover "$SET_NAME") in
        OK | INPROG*) return 0 ;;
        esac
    done
    return 1
}

# Every node but this one.
peers() {
    for node in $NODES; do
        if [ "$node" != "$POD_NAME" ]; then
            echo "$node"
        fi
    done
}

# The other servers' positions in the stream of writes, one line for each that is a replica.
replica_offsets() {
    for peer in $(peers); do
        ask "$peer" "$NODE_PORT" INFO replication | tr -d '\r' |
            sed -n '/^role:slave/,$ s/^slave_repl_offset://p' &
    done
    wait
}

# In a new pod that finds $1, what the one before it left: waits until the connections that others
# began while it had no address have failed, so that redis-ready.sh has none to cut off.
let_early_connections_fail() {
    if [ -e "$1" ] && [ ! -e /run/redis/started ]; then
        sleep 3
    fi
    : >/run/redis/started
}
