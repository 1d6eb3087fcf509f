#!/bin/sh
# Makes every pooler open new server connections: old ones still plan for the schema before a
# migration ("cached plan must not change result type").
# In: libpq's environment of the pooler's administrator without a host, POOLERS (DNS name of all).
set -eu

# Pods come and go meanwhile, so the list is asked for again at each attempt.
for attempt in 1 2 3 4 5 6 7 8 9 10; do
    failed=0 done=0
    for address in $(getent ahosts "$POOLERS" | awk '$2 == "STREAM" { print $1 }' | sort -u); do
        if PGHOST=$address psql --no-psqlrc --quiet --command=RECONNECT; then
            echo "$address reconnects" >&2
            done=$((done + 1))
        else
            failed=$((failed + 1))
        fi
    done
    if [ "$failed" -eq 0 ] && [ "$done" -gt 0 ]; then exit 0; fi
    echo "attempt $attempt: $done poolers reached, $failed not" >&2
    sleep 3
done
exit 1
