-- What a restored copy has to show again: rows per table, and the answers to the stack's own
-- statements. Written to the file $FACTS, one fact per line.
\getenv facts FACTS
\pset format unaligned
\pset tuples_only on
\pset fieldsep '\t'
SET TIME ZONE 'UTC';
SET DateStyle = 'ISO';
SET statement_timeout = 0;
SET search_path = public;
\o :facts

-- Ordinary tables: partitions are counted, their parents would count them twice. What belongs to
-- an extension comes back with the extension, not from the dump.
SELECT format('SELECT ''#table'', %L, count(*) FROM %I.%I',
    nspname || '.' || relname, nspname, relname)
FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
WHERE relkind = 'r' AND relpersistence <> 't' AND nspname NOT LIKE 'pg\_%'
    AND nspname <> 'information_schema'
    AND NOT EXISTS (
        SELECT FROM pg_depend
        WHERE classid = 'pg_class'::regclass AND objid = pg_class.oid AND deptype = 'e'
    )
ORDER BY nspname COLLATE "C", relname COLLATE "C" \gexec

-- A statement that fails is a fact, too: it must not keep a backup from being taken, and the
-- restore test refuses it.
\set ON_ERROR_STOP off
\set ON_ERROR_ROLLBACK on
\ir verify.sql
\set ON_ERROR_STOP on
\o
