-- One snapshot for the dump and for what it has to show again.
\set ON_ERROR_STOP on
-- This session only waits while pg_dump works, for longer than the server lets others.
SET idle_in_transaction_session_timeout = 0;
BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY;
SELECT pg_export_snapshot() AS snapshot \gset
\setenv SNAPSHOT :snapshot
\! pg_dump --format=custom --snapshot="$SNAPSHOT" --file="$DUMP"
\if :SHELL_ERROR
    DO $$ BEGIN RAISE EXCEPTION 'pg_dump failed'; END $$;
\endif
\ir facts.sql
COMMIT;
