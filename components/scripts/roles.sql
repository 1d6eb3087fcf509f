-- Roles of the server: who may log in, with which password, for how long at a time.
-- Verifiers are hashes, but still no matter for the log.
SET log_min_duration_statement = -1;
SET log_min_error_statement = 'panic';
-- Else each repetition tells what is granted already.
SET client_min_messages = warning;
\getenv owner OWNER_VERIFIER
\getenv app_a APP_A_VERIFIER
\getenv app_b APP_B_VERIFIER
\getenv readonly READONLY_VERIFIER
\getenv monitor MONITOR_VERIFIER
\getenv databases DATABASES
\getenv app_timeout APP_TIMEOUT_MS
\getenv readonly_timeout READONLY_TIMEOUT_MS
\getenv idle_timeout IDLE_TIMEOUT_MS

SELECT format('CREATE ROLE %I', wanted)
FROM unnest(ARRAY['owner', 'app', 'app_a', 'app_b', 'readonly', 'monitor']) AS wanted
WHERE wanted NOT IN (SELECT rolname FROM pg_roles) \gexec

ALTER ROLE owner LOGIN PASSWORD :'owner';
ALTER ROLE app_a LOGIN PASSWORD :'app_a';
ALTER ROLE app_b LOGIN PASSWORD :'app_b';
ALTER ROLE readonly LOGIN PASSWORD :'readonly';
ALTER ROLE monitor LOGIN PASSWORD :'monitor';

GRANT app TO app_a, app_b;
GRANT pg_maintain TO owner;
GRANT pg_read_all_data TO readonly;
GRANT pg_monitor TO monitor;

-- A login takes its own settings only, none of the groups it is in.
SELECT format('ALTER ROLE %I SET %s = %L', login, setting, value)
FROM (VALUES
    ('app_a', 'statement_timeout', :'app_timeout'),
    ('app_a', 'idle_in_transaction_session_timeout', :'idle_timeout'),
    ('app_b', 'statement_timeout', :'app_timeout'),
    ('app_b', 'idle_in_transaction_session_timeout', :'idle_timeout'),
    ('readonly', 'statement_timeout', :'readonly_timeout'),
    ('readonly', 'idle_in_transaction_session_timeout', :'idle_timeout'),
    ('readonly', 'default_transaction_read_only', 'on')
) AS wanted (login, setting, value) \gexec

SELECT format('CREATE DATABASE %I OWNER owner', wanted)
FROM unnest(string_to_array(:'databases', ' ')) AS wanted
WHERE wanted NOT IN (SELECT datname FROM pg_database) \gexec
