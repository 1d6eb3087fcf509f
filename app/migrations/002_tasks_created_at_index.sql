-- no-transaction
-- CREATE INDEX CONCURRENTLY does not lock out writers, and may not run inside a transaction.
-- An interrupted one leaves an invalid index of that name behind, hence the drop.
drop index concurrently if exists tasks_created_at;
create index concurrently tasks_created_at on tasks (created_at desc);
