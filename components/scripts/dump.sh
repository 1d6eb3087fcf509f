#!/bin/sh
# Dumps one database to $BACKUPS/<time>/{dump,facts,SHA256SUMS}, and removes old dumps.
# In: libpq's environment, BACKUPS, KEEP_DAYS, KEEP_COUNT, KEEP_LEAST, RESULT (file for a line of
# JSON).
set -eu
files=$(dirname "$0")
start=$(date +%s)
name=$(date -u +%Y%m%dT%H%M%SZ)
dumps() { find "$BACKUPS" -maxdepth 1 -name '20*Z' "$@" | sort; }
old() { dumps | head -n -"$KEEP_LEAST"; }
kib() { du -sk "$@" | tail -n 1 | cut -f 1; }

remove_old() {
    dumps | head -n -"$KEEP_COUNT" | xargs -r rm -rf
    old | while read -r dump; do
        find "$dump" -maxdepth 0 -mmin +$((KEEP_DAYS * 24 * 60)) -exec rm -rf {} +
    done
}

# Room for a dump that is a quarter larger than the last one: a volume that is full would otherwise
# stay so, because nothing but a new dump makes an old one needless.
make_room() {
    last=$(dumps | tail -n 1)
    [ -n "$last" ] || return 0
    needed=$(($(kib "$last") * 5 / 4))
    while [ "$(df -Pk "$BACKUPS" | awk 'NR == 2 { print $4 }')" -lt "$needed" ]; do
        oldest=$(old | head -n 1)
        [ -n "$oldest" ] || return 0
        echo "the volume is nearly full: removing ${oldest##*/}" >&2
        rm -rf "$oldest"
    done
}

# A dump gets its name when it is complete and on the disk. A day later, remains of one that was
# interrupted are certainly nobody's.
find "$BACKUPS" -maxdepth 1 -name '.part-*' -mmin +1440 -exec rm -rf {} +
remove_old
make_room
part=$(mktemp -d "$BACKUPS/.part-XXXXXX")
trap 'rm -rf "$part"' EXIT
chmod 2750 "$part"
echo "dumping $PGDATABASE of $PGHOST as $name" >&2
DUMP=$part/dump FACTS=$part/facts psql --no-psqlrc --quiet --file="$files/dump.sql" ||
    { echo '{"ok":false,"error":"the dump failed"}' | tee "$RESULT" && exit 1; }
(cd "$part" && sha256sum dump facts > SHA256SUMS)
sync "$part"/* "$part"
mv -T "$part" "$BACKUPS/$name"
sync "$BACKUPS"

remove_old

cd "$BACKUPS/$name"
if grep -q '^#error' facts; then echo "statements that failed:" >&2 && grep '^#error' facts >&2; fi
printf '{"dump":"%s","ok":true,"bytes":%d,"tables":%d,"rows":%d,"kept":%d,"seconds":%d}\n' \
    "$name" "$(wc -c < dump)" "$(grep -c '^#table' facts || true)" \
    "$(awk '$1 == "#table" { rows += $NF } END { print rows + 0 }' facts)" \
    "$(dumps | wc -l)" "$(($(date +%s) - start))" | tee "$RESULT"
