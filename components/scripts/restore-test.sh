#!/bin/sh
# Proves the newest dump: checksums, a restore into a scratch server, every recorded fact equal.
# In: BACKUPS, SCRATCH (an empty folder), RESULT (file for a line of JSON).
set -eu
files=$(dirname "$0")
start=$(date +%s)
dump=''

report() {
    printf '{"dump":"%s","ok":%s,%s,"seconds":%d}\n' "$dump" "$1" "$2" "$(($(date +%s) - start))" |
        tee "$RESULT"
    # About a year of results (52 by schedule), whatever happens to the Jobs.
    { tail -n 400 "$BACKUPS/restore-tests.jsonl" 2>/dev/null || true
      printf '%s ' "$(date -u +%FT%TZ)" && cat "$RESULT"; } > "$BACKUPS/.restore-tests.new"
    mv "$BACKUPS/.restore-tests.new" "$BACKUPS/restore-tests.jsonl"
}

fail() {
    echo "restore test failed: $1" >&2
    report false "\"error\":\"$1\""
    exit 1
}

dump=$(find "$BACKUPS" -maxdepth 1 -name '20*Z' | sort | tail -n 1)
dump=${dump##*/}
[ -n "$dump" ] || fail "there is no dump"
echo "testing $dump" >&2
(cd "$BACKUPS/$dump" && sha256sum --check --strict SHA256SUMS >&2) || fail "the checksum is wrong"
if grep '^#error' "$BACKUPS/$dump/facts" >&2; then
    fail "a statement failed when the dump was taken"
fi

# Speed, not safety: this server is thrown away.
export PGDATA="$SCRATCH/data" PGHOST="$SCRATCH" PGUSER=postgres PGDATABASE=restored
initdb --pgdata="$PGDATA" --username=postgres --auth=trust --no-sync --encoding=UTF8 \
    --locale-provider=builtin --builtin-locale=C.UTF-8 --locale=C >/dev/null ||
    fail "the scratch server was not made"
trap 'pg_ctl --pgdata="$PGDATA" --mode=immediate --silent stop' EXIT
pg_ctl --pgdata="$PGDATA" --wait --silent --log="$SCRATCH/log" --options="-c fsync=off \
    -c full_page_writes=off -c autovacuum=off -c max_wal_size=4GB -c listen_addresses= \
    -c unix_socket_directories=$SCRATCH" start || fail "the scratch server did not start"
createdb restored
pg_restore --exit-on-error --no-owner --no-privileges --jobs=2 --dbname=restored \
    "$BACKUPS/$dump/dump" || fail "the restore failed"

export FACTS="$SCRATCH/facts" PGOPTIONS='-c default_transaction_read_only=on'
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --file="$files/facts.sql" ||
    fail "the restored tables cannot be counted"
if [ "$(cat "$BACKUPS/$dump/facts")" != "$(cat "$FACTS")" ]; then
    echo "recorded at the dump on the left, found after the restore on the right:" >&2
    comm --nocheck-order -3 "$BACKUPS/$dump/facts" "$FACTS" >&2
    fail "the restored data differs from what was dumped"
fi
report true "$(printf '"tables":%d,"rows":%d,"statements":%d' \
    "$(grep -c '^#table' "$FACTS" || true)" \
    "$(awk '$1 == "#table" { rows += $NF } END { print rows + 0 }' "$FACTS")" \
    "$(grep -c '^#statement' "$FACTS" || true)")"
