#!/bin/sh
# Runs PostgreSQL: makes its data on the first start and restarts it at once when it is killed.
# In: PGDATA, PGCONFIG (folder of postgresql.conf and pg_hba.conf), PGADMIN (file with a password).
set -eu

say() { echo "start: $*" >&2; }

if [ ! -e "$PGDATA" ]; then
    # Made aside and moved when complete: a crash in the middle is repaired by the next start.
    rm -rf "$PGDATA.new" "$PGDATA.admin"
    initdb --pgdata="$PGDATA.new" --username=postgres --auth-local=peer --auth-host=reject \
        --data-checksums --encoding=UTF8 --locale-provider=builtin --builtin-locale=C.UTF-8 \
        --locale=C
    mv "$PGDATA.new" "$PGDATA"
fi

# The administrator's password changes here and not over the network, because whoever changes it
# there has to know the old one. The digest saves a start in single-user mode each time.
digest=$(sha256sum < "$PGADMIN")
if [ "$(cat "$PGDATA.admin" 2>/dev/null)" != "$digest" ]; then
    say "setting the administrator's password"
    echo "ALTER ROLE postgres PASSWORD '$(cat "$PGADMIN")'" |
        postgres --single -D "$PGDATA" -c password_encryption=scram-sha-256 postgres >/dev/null
    echo "$digest" > "$PGDATA.admin"
fi

# A fast shutdown whatever signal the image is stopped with: SIGTERM would wait for all clients.
server='' stopping=''
trap 'stopping=1; kill -INT $server 2>/dev/null || true' INT TERM

# A killed server is restarted here, because the kubelet waits 10 s and longer from the second
# time on. It may refuse for a moment, until the last of its old processes has left.
patience_s=30
retry_until=0
while [ -z "$stopping" ]; do
    postgres -D "$PGDATA" -c config_file="$PGCONFIG/postgresql.conf" \
        -c hba_file="$PGCONFIG/pg_hba.conf" &
    server=$!
    status=0
    wait "$server" || status=$?
    # A trapped signal ends `wait` early.
    while kill -0 "$server" 2>/dev/null; do status=0 && wait "$server" || status=$?; done
    now=$(date +%s)
    if [ "$status" -gt 128 ]; then
        retry_until=$((now + patience_s))
    elif [ "$now" -ge "$retry_until" ]; then
        break
    fi
    [ -n "$stopping" ] || { say "ended with status $status, starting again"; sleep 0.1; }
done
exit "$status"
