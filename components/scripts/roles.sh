#!/bin/sh
# Brings roles, databases and extensions to what the stack wants; safe to repeat.
# In: libpq's environment of the administrator, and what roles.sql and database.sql ask for.
set -eu
cd "$(dirname "$0")"

echo "waiting for $PGHOST" >&2
until pg_isready --quiet; do sleep 0.3; done
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --file=roles.sql
for database in $DATABASES; do
    echo "database $database" >&2
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --dbname="$database" --file=database.sql
done
