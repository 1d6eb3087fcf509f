#!/bin/sh
# Runs every statement of $STATEMENTS (a folder of .sql files), also after one that failed.
# In: libpq's environment, STATEMENTS.
set -eu
failed=0
for file in "$STATEMENTS"/*.sql; do
    echo "$(date -u +%T) $(cat "$file")" >&2
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --file="$file" || failed=$((failed + 1))
done
echo "$(date -u +%T) done, $failed failed" >&2
[ "$failed" -eq 0 ]
