#!/bin/sh
# Does what roles.sh does, as an administrator who is no superuser, which is all that RDS offers.
# In: the same as roles.sh.
set -eu
cd "$(dirname "$0")"

run() {
    psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 "$@"
}

until pg_isready --quiet; do
    echo "waiting for the database" >&2
    sleep 0.5
done
run --file=rds-owner.sql
# Only a superuser may change what is logged; RDS logs the text of failed statements alone.
grep -v '^SET log_min_' roles.sql | run
for database in $DATABASES; do
    echo "database $database" >&2
    run --dbname="$database" --file=database.sql
done
