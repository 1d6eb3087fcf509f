#!/bin/sh
# Copies the dumps of the last days to object storage and reads back what arrived.
# In: BACKUPS, TARGET (a folder, as rclone names it), DAYS (how far back), DAILY (true: every dump;
# false: those of WEEKLY_DAY), WEEKLY_DAY (0 is Sunday), PRUNE (true removes what is older than
# DAILY_KEEP_DAYS and WEEKLY_KEEP_DAYS), RESULT (file for a line of JSON), rclone's environment.
# The official image of rclone has BusyBox's tools, others have GNU's.
set -eu
start=$(date +%s)
dump=''
copied=0
present=0

report() {
    printf '{"dump":"%s","ok":%s,%s,"seconds":%d}\n' "$dump" "$1" "$2" "$(($(date +%s) - start))" |
        tee "$RESULT"
}

fail() {
    echo "archive of $dump failed: $1" >&2
    report false "\"error\":\"$1\""
    exit 1
}

# The folder that decides how long a dump is kept; empty for one that stays here.
folder() {
    noon=$(echo "$1" | sed 's/^\(....\)\(..\)\(..\).*/\1-\2-\3 12:00:00/')
    day=$(date -u -d "$noon" +%w)
    if [ "$day" = "$WEEKLY_DAY" ]; then
        echo weekly
    elif [ "$DAILY" = true ]; then
        echo daily
    fi
}

copy() {
    from=$BACKUPS/$dump to=$TARGET/$1/$dump
    # Checksums go last: where they are, everything has arrived and was compared.
    if [ "$(rclone cat "$to/SHA256SUMS" 2>/dev/null)" = "$(cat "$from/SHA256SUMS")" ]; then
        present=$((present + 1))
        return 0
    fi
    (cd "$from" && sha256sum -c SHA256SUMS >&2) || fail 'the checksum on the volume is wrong'
    rclone copy --ignore-times --exclude SHA256SUMS "$from" "$to" || fail 'the upload failed'
    # Not the store's own checksums: with keys of KMS they say nothing about the content.
    rclone checksum sha256 --download --one-way "$from/SHA256SUMS" "$to" ||
        fail 'what arrived differs from what was sent'
    rclone copyto --ignore-times "$from/SHA256SUMS" "$to/SHA256SUMS" || fail 'the upload failed'
    copied=$((copied + 1))
}

for path in $(find "$BACKUPS" -maxdepth 1 -name '20*Z' -mtime -"$DAYS" | sort); do
    dump=${path##*/}
    where=$(folder "$dump")
    [ -z "$where" ] || copy "$where"
done
[ -n "$dump" ] || fail 'there is no dump'
if [ "$PRUNE" = true ]; then
    rclone delete --min-age "${DAILY_KEEP_DAYS}d" "$TARGET/daily" || fail 'the removal failed'
    rclone delete --min-age "${WEEKLY_KEEP_DAYS}d" "$TARGET/weekly" || fail 'the removal failed'
fi
report true "\"copied\":$copied,\"present\":$present"
