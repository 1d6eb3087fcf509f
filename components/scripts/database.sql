-- What one database offers: extensions, and the application's rights on what the owner creates.
\getenv extensions EXTENSIONS
\getenv test_database TEST_DATABASE
SET client_min_messages = warning;

SELECT format('CREATE EXTENSION IF NOT EXISTS %I', wanted)
FROM unnest(string_to_array(:'extensions', ' ')) AS wanted \gexec

SELECT format('REVOKE ALL ON DATABASE %I FROM PUBLIC', current_database()) \gexec
SELECT format('GRANT CONNECT ON DATABASE %I TO app, readonly, monitor', current_database()) \gexec
GRANT USAGE ON SCHEMA public TO app;

-- Without a schema: also for those that a migration tool makes for itself.
ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT USAGE ON SCHEMAS TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO app;
ALTER DEFAULT PRIVILEGES FOR ROLE owner GRANT USAGE, SELECT, UPDATE ON SEQUENCES TO app;

-- In the test database the application makes its own tables; as the group, so that they are
-- not in the way of the other login after a rotation.
SELECT :'test_database' = current_database() AS playground \gset
\if :playground
    GRANT CREATE ON SCHEMA public TO app;
    SELECT format('ALTER ROLE %I IN DATABASE %I SET role = app', login, current_database())
    FROM unnest(ARRAY['app_a', 'app_b']) AS login \gexec
\endif
