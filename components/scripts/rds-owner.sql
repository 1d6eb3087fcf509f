-- Since PostgreSQL 16, who makes a role may hand it out, but does not belong to it, as it takes to
-- give the role a database and to set what others may do with its tables.
SELECT 'CREATE ROLE owner' WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'owner') \gexec
SET client_min_messages = warning;
GRANT owner TO CURRENT_USER WITH INHERIT TRUE, SET TRUE;
