#!/bin/sh
# Dumps one database to $BACKUPS/<time>/{dump,facts,SHA256SUMS}, then removes old dumps.
# In: libpq's environment, BACKUPS, KEEP_DAYS, KEEP_COUNT, RESULT (file for a line of JSON).
set -eu
files=$(dirname "$0")
start=$(date +%s)
name=$(date -u +%Y%m%dT%H%M%SZ)
dumps() { find "$BACKUPS" -maxdepth 1 -name '20*Z' "$@" | sort; }

# A dump gets its name when it is complete and on the disk. A day later, remains of one that was
# interrupted are certainly nobody's.
find "$BACKUPS" -maxdepth 1 -name '.part-*' -mmin +1440 -exec rm -rf {} +
part=$(mktemp -d "$BACKUPS/.part-XXXXXX")
trap 'rm -rf "$part"' EXIT
chmod 2750 "$part"
echo "dumping $PGDATABASE of $PGHOST as $name" >&2
DUMP=$part/dump FACTS=$part/facts psql --no-psqlrc --quiet --file="$files/dump.sql" ||
    { echo '{"ok":false,"error":"the dump failed"}' > "$RESULT" && exit 1; }
(cd "$part" && sha256sum dump facts > SHA256SUMS)
sync "$part"/* "$part"
mv -T "$part" "$BACKUPS/$name"
sync "$BACKUPS"

dumps -mmin +$((KEEP_DAYS * 24 * 60)) | xargs -r rm -rf
dumps | head -n -"$KEEP_COUNT" | xargs -r rm -rf

cd "$BACKUPS/$name"
if grep -q '^#error' facts; then echo "statements that failed:" >&2 && grep '^#error' facts >&2; fi
printf '{"dump":"%s","ok":true,"bytes":%d,"tables":%d,"rows":%d,"kept":%d,"seconds":%d}\n' \
    "$name" "$(wc -c < dump)" "$(grep -c '^#table' facts || true)" \
    "$(awk '$1 == "#table" { rows += $NF } END { print rows + 0 }' facts)" \
    "$(dumps | wc -l)" "$(($(date +%s) - start))" | tee "$RESULT"
