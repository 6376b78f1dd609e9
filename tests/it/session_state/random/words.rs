//! The statements that scripts are made of. Nothing here may depend on who
//! runs it where, on the time, or wait for another client.

/// What the superuser makes in each database beforehand.
pub const SETUP: &[&str] = &[
    "CREATE SCHEMA sa; CREATE SCHEMA sb",
    "CREATE TABLE t (x text); CREATE TABLE sa.t (x text); CREATE TABLE sb.t (x text)",
    "CREATE TABLE p AS SELECT 'of public' AS x; CREATE TABLE sa.p AS SELECT 'of sa' AS x; CREATE TABLE sb.p AS SELECT 'of sb' AS x",
    "CREATE TABLE secret AS SELECT 'secret' AS x",
    "CREATE TABLE owned (who text, x int); INSERT INTO owned VALUES ('guest', 1), ('login_plain', 2), ('postgres', 3)",
    "ALTER TABLE owned ENABLE ROW LEVEL SECURITY",
    "CREATE POLICY p ON owned USING (who = current_user)",
    "CREATE TABLE watched (x text)",
    "GRANT USAGE ON SCHEMA sa, sb TO PUBLIC",
    "GRANT ALL ON t, sa.t, sb.t, p, sa.p, sb.p, owned, watched TO PUBLIC",
    // What is hidden behind names that say nothing of it.
    "CREATE FUNCTION f_note(name text, value text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN set_config(name, value, false); END $$",
    "CREATE FUNCTION f_once(name text, value text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN set_config(name, value, true); END $$",
    "CREATE FUNCTION f_said(text) RETURNS void LANGUAGE plpgsql AS $$ BEGIN EXECUTE $1; END $$",
    "CREATE FUNCTION f_caught(name text, value text) RETURNS text LANGUAGE plpgsql AS $$ BEGIN \
     BEGIN PERFORM set_config(name, value, false); PERFORM 1/0; EXCEPTION WHEN OTHERS THEN NULL; END; \
     RETURN current_setting(name, true); END $$",
    "CREATE FUNCTION f_clause() RETURNS text LANGUAGE plpgsql SET work_mem = '6MB' AS $$ BEGIN \
     PERFORM set_config('lock_timeout', '6s', false); RETURN current_setting('work_mem'); END $$",
    "CREATE FUNCTION f_within() RETURNS text LANGUAGE plpgsql SET work_mem = '6MB' AS $$ BEGIN \
     PERFORM set_config('work_mem', '7MB', false); RETURN current_setting('work_mem'); END $$",
    "CREATE FUNCTION f_table() RETURNS void LANGUAGE plpgsql AS $$ BEGIN CREATE TEMP TABLE IF NOT EXISTS m1 (x text); END $$",
    "CREATE FUNCTION f_gone() RETURNS void LANGUAGE plpgsql AS $$ BEGIN DROP TABLE IF EXISTS m1; END $$",
    "CREATE FUNCTION f_take(int) RETURNS bool LANGUAGE plpgsql AS $$ BEGIN RETURN pg_try_advisory_lock($1); END $$",
    "CREATE FUNCTION f_free() RETURNS void LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_advisory_unlock_all(); END $$",
    "CREATE PROCEDURE p_commits(value text) LANGUAGE plpgsql AS $$ BEGIN \
     PERFORM set_config('work_mem', value, false); COMMIT; \
     PERFORM set_config('lock_timeout', '9s', false); ROLLBACK; \
     PERFORM set_config('app.a', value, false); END $$",
    "CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM set_config('app.a', NEW.x, false); RETURN NEW; END $$",
    "CREATE TRIGGER tell BEFORE INSERT ON watched FOR EACH ROW EXECUTE FUNCTION tell()",
];

/// Settings for the session.
pub const SETTINGS: &[&str] = &[
    "SET work_mem = '5MB'",
    "SET work_mem = '9MB'",
    "SET SESSION work_mem TO 8192",
    "SET datestyle = 'German'",
    "SET datestyle = 'ISO, DMY'",
    "SET datestyle = 'YMD'",
    "SET datestyle TO SQL",
    "SET TIME ZONE 'Asia/Tokyo'",
    "SET timezone = 'America/New_York'",
    "SET TIME ZONE INTERVAL '+02:30' HOUR TO MINUTE",
    "SET intervalstyle = 'iso_8601'",
    "SET search_path = sa",
    "SET search_path = sb, public",
    "SET search_path TO '$user', \"sa\", \"no such, path\"",
    "SET search_path = ''",
    "SET app.a = 'one'",
    "SET app.a = 'two'",
    "SET app.b TO 'b'",
    "SET \"app\".\"c\" = E'it''s\\n\"c\"'",
    "SET lock_timeout = '7s'",
    "SET statement_timeout = '30s'",
    "SET default_transaction_isolation = 'repeatable read'",
    "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
    "SET default_transaction_read_only = off",
    "SET standard_conforming_strings = off",
    "SET escape_string_warning = off",
    "SET extra_float_digits = -3",
    "SET bytea_output = escape",
    "SET client_encoding = 'LATIN1'",
    "SET NAMES 'UTF8'",
    "SET cpu_tuple_cost = 0.0123456789",
    "SET application_name = 'named'",
    "SET client_min_messages = warning",
    "SET XML OPTION DOCUMENT",
    "SELECT set_config('work_mem', '11MB', false)",
    "SELECT set_config('app.a', 'three', false), set_config('app.b', '', false)",
    "SELECT set_config('search_path', 'sb', 'f')",
    "SELECT pg_catalog.set_config('datestyle', 'ISO, MDY', false)",
    "UPDATE pg_settings SET setting = '4s' WHERE name = 'lock_timeout'",
    "SET work_mem = '5MB'; SET app.a = 'four'; SET datestyle = 'German'",
    "BEGIN; SET work_mem = '6MB'; SET app.b = 'five'; COMMIT",
    "/* c */ SET work_mem = '7MB' -- c",
];

/// Settings for the transaction, or for what is left of it.
pub const LOCAL_SETTINGS: &[&str] = &[
    "SET LOCAL work_mem = '13MB'",
    "SET LOCAL datestyle = 'SQL, MDY'",
    "SET LOCAL search_path = sb",
    "SET LOCAL app.a = 'local'",
    "SELECT set_config('app.a', 'local too', true)",
    "SET TRANSACTION READ ONLY",
    "SET CONSTRAINTS ALL DEFERRED",
    "BEGIN; SET LOCAL work_mem = '14MB'; SET work_mem = '15MB'; COMMIT",
    "BEGIN; SET work_mem = '14MB'; SET LOCAL work_mem = '15MB'; COMMIT",
];

/// Back to what was at the beginning.
pub const RESETS: &[&str] = &[
    "RESET work_mem",
    "RESET datestyle",
    "SET TIME ZONE DEFAULT",
    "SET search_path TO DEFAULT",
    "RESET app.a",
    "RESET standard_conforming_strings",
    "RESET default_transaction_read_only",
    "RESET client_encoding",
    "RESET application_name",
    "RESET ALL",
    "RESET ALL",
    "DISCARD ALL",
    "DISCARD PLANS",
    "SELECT set_config('work_mem', NULL, false)",
    "SET work_mem = '5MB'; RESET ALL; SET lock_timeout = '3s'",
];

/// What a client sees of it.
pub const LOOKS: &[&str] = &[
    "SHOW work_mem",
    "SHOW datestyle",
    "SHOW search_path",
    "SHOW timezone",
    "SHOW transaction_isolation",
    "SHOW transaction_read_only",
    "SHOW application_name",
    "SHOW lock_timeout",
    "SELECT current_setting('app.a', true), current_setting('app.b', true), current_setting('app.c', true)",
    "SELECT current_setting('app.a', true)",
    "SELECT '01/02/2026'::date + 1, extract(month FROM '01/02/2026'::date)",
    "SELECT '2026-01-31'::date, '2026-07-01 00:00+00'::timestamptz, interval '1 day 2 hours'",
    "SELECT length('a\\n'), 0.1::float8 + 0.2, '\\x41'::bytea",
    "SELECT chr(228), length('\u{e4}')",
    "SELECT x FROM t ORDER BY x COLLATE \"C\"",
    "SELECT x FROM t ORDER BY x COLLATE \"C\"",
    "SELECT x FROM p",
    "INSERT INTO t VALUES ('more')",
    "SELECT name, setting FROM pg_settings WHERE source = 'session' AND setting <> reset_val AND name !~ '^(transaction_|application_name)' ORDER BY name",
    "SELECT name, setting, reset_val FROM pg_settings WHERE name IN ('work_mem', 'DateStyle')",
    "EXPLAIN SELECT generate_series(1, 1000)",
    "SELECT current_schema",
];

/// Transactions and their parts.
pub const TRANSACTIONS: &[&str] = &[
    "BEGIN",
    "BEGIN",
    "COMMIT",
    "COMMIT",
    "COMMIT",
    "ROLLBACK",
    "ROLLBACK",
    "SAVEPOINT a",
    "ROLLBACK TO a",
    "RELEASE a",
    "COMMIT AND CHAIN",
    "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY",
];

/// What fails, and what fails halfway.
pub const BROKEN: &[&str] = &[
    "SELECT 1/0",
    "SELEC",
    "SET work_mem = 'banana'",
    "SET nosuch_setting = 1",
    "SET work_mem = '5MB'; SELECT 1/0",
    "SET app.a = 'never'; SET datestyle = 'German'; SELECT 1/0; SET work_mem = '5MB'",
    "BEGIN; SET work_mem = '5MB'; SET datestyle = 'German'; ROLLBACK",
    "BEGIN; SET work_mem = '6MB'; SAVEPOINT s; SET work_mem = '7MB'; ROLLBACK TO s; COMMIT",
    "BEGIN; SET app.a = 'kept'; COMMIT; SELECT 1/0",
    "SET work_mem = '16MB'; COMMIT; SET work_mem = '17MB'; SELECT 1/0",
    "SELECT set_config('work_mem', n || 'MB', false), 1 / (22 - n) FROM generate_series(20, 25) n",
    "SELECT set_config('app.a', 'never', false), 1/0",
];

/// Settings that change no search_path, so that PostgreSQL has no reason to
/// analyse a prepared statement anew and give it the meaning of now.
pub const DATE_SETTINGS: &[&str] = &[
    "SET datestyle = 'German'",
    "SET datestyle = 'ISO, DMY'",
    "SET datestyle = 'ISO, DMY'",
    "SET datestyle = 'ISO, MDY'",
    "SET datestyle = 'YMD'",
    "SET TIME ZONE 'Asia/Tokyo'",
    "SET TIME ZONE 'America/New_York'",
    "SET intervalstyle = 'sql_standard'",
    "SET standard_conforming_strings = off",
    "SET work_mem = '9MB'",
    "SET app.a = 'one'",
    "SELECT set_config('datestyle', 'SQL, DMY', false)",
    "BEGIN; SET datestyle = 'ISO, DMY'; ROLLBACK",
    "SET datestyle = 'German'; SELECT 1/0",
];

/// Their ends.
pub const DATE_RESETS: &[&str] = &[
    "RESET datestyle",
    "RESET ALL",
    "RESET timezone",
    "RESET standard_conforming_strings",
    "DISCARD ALL",
    "DEALLOCATE ALL",
];

/// What is prepared and depends on the settings at that moment.
pub const DATE_STATEMENTS: &[&str] = &[
    "SELECT extract(month FROM '01/02/2026'::date)",
    "SELECT extract(month FROM '01/02/2026'::date)",
    "SELECT '01/02/2026'::date",
    "SELECT extract(epoch FROM '2026-01-01 00:00'::timestamptz)",
    "SELECT extract(hour FROM '-1 2:00'::interval)",
    "SELECT length('a\\n')",
    "SELECT current_setting('datestyle'), current_setting('app.a', true)",
    "SHOW datestyle",
    "SET datestyle = 'ISO, DMY'",
    "SET datestyle = 'ISO, MDY'",
    "RESET ALL",
    "BEGIN",
    "COMMIT",
    "ROLLBACK",
    "SELECT 1/0",
];

/// What is prepared and depends on the settings when it runs.
pub const PATH_STATEMENTS: &[&str] = &[
    "SELECT x FROM p",
    "SELECT x FROM p",
    "SELECT current_schema, current_user",
    "SHOW search_path",
    "SET search_path = sb",
    "SELECT set_config('search_path', 'sa', false)",
    "SELECT current_setting('work_mem'), current_setting('app.a', true)",
    "SELECT who FROM owned ORDER BY who",
    "SET work_mem = '9MB'",
    "RESET ALL",
    "BEGIN",
    "COMMIT",
    "SELECT 1/0",
];

/// Who a client is.
pub const ROLES: &[&str] = &[
    "SET ROLE guest",
    "SET ROLE guest",
    "SET ROLE login_plain",
    "SET ROLE none",
    "RESET ROLE",
    "SET SESSION AUTHORIZATION guest",
    "SET SESSION AUTHORIZATION login_plain",
    "RESET SESSION AUTHORIZATION",
    "SET SESSION AUTHORIZATION DEFAULT",
    "SET LOCAL ROLE guest",
    "SET LOCAL SESSION AUTHORIZATION guest",
    "SELECT set_config('role', 'guest', false)",
    "SELECT set_config('role', 'none', false)",
    "SELECT set_config('session_authorization', 'login_plain', false)",
    "BEGIN; SET ROLE guest; ROLLBACK",
    "BEGIN; SET ROLE guest; SAVEPOINT s; SET ROLE login_plain; ROLLBACK TO s; COMMIT",
    "BEGIN; SET SESSION AUTHORIZATION guest; SET ROLE guest; COMMIT",
    "SET ROLE guest; SELECT 1/0",
    "SET ROLE nobody_here",
    "SET SESSION AUTHORIZATION nobody_here",
    "SET session_replication_role = replica",
    "RESET session_replication_role",
    "SET log_min_duration_statement = '20s'",
    "SET row_security = off",
    "SET work_mem = '8MB'; SET ROLE guest; SET lock_timeout = '8s'",
];

/// What a client sees of who it is.
pub const ROLE_LOOKS: &[&str] = &[
    "SELECT current_user, session_user, current_setting('role')",
    "SELECT current_user, session_user, current_setting('role')",
    "SELECT x FROM secret",
    "SELECT who FROM owned ORDER BY who",
    "UPDATE owned SET x = x WHERE false",
    "SHOW is_superuser",
    "SHOW session_authorization",
    "SHOW session_replication_role",
    "SHOW log_min_duration_statement",
    "SELECT has_table_privilege('secret', 'SELECT')",
];

/// What keeps a server connection.
pub const KEPT: &[&str] = &[
    "CREATE TEMP TABLE m1 (x text)",
    "CREATE TEMP TABLE m1 (x text)",
    "CREATE TEMP TABLE t (x text)",
    "CREATE TEMPORARY TABLE IF NOT EXISTS m2 AS SELECT 'as' AS x",
    "SELECT 'into' AS x INTO TEMP m2",
    "CREATE TABLE pg_temp.m1 (x text)",
    "CREATE TEMP VIEW v1 AS SELECT 'view' AS x",
    "CREATE TEMP SEQUENCE m3",
    "CREATE VIEW v2 AS SELECT x FROM m1",
    "CREATE FUNCTION pg_temp.f1() RETURNS text LANGUAGE sql AS 'SELECT ''temporary''::text'",
    "CREATE TYPE pg_temp.e1 AS ENUM ('a')",
    "CREATE TEMP TABLE m4 (x text) ON COMMIT DROP",
    "BEGIN; CREATE TEMP TABLE m1 (x text); ROLLBACK",
    "BEGIN; CREATE TEMP TABLE m4 (x text) ON COMMIT DROP; INSERT INTO m4 VALUES ('x'); COMMIT",
    "CREATE TEMP TABLE m1 (x text); SELECT 1/0",
    "SELECT pg_try_advisory_lock(1)",
    "SELECT pg_try_advisory_lock(2)",
    "SELECT pg_try_advisory_lock(1, 2)",
    "SELECT pg_try_advisory_lock_shared(1)",
    "SELECT pg_try_advisory_xact_lock(2)",
    "SELECT pg_try_advisory_lock(2), 1/0",
    "BEGIN; SELECT pg_try_advisory_lock(2); ROLLBACK",
    "DECLARE c1 CURSOR WITH HOLD FOR SELECT generate_series(1, 4)",
    "BEGIN; DECLARE c1 CURSOR WITH HOLD FOR SELECT generate_series(1, 3); COMMIT",
    "BEGIN; DECLARE c1 CURSOR WITH HOLD FOR SELECT 1; ROLLBACK",
    "LISTEN ch",
    "LISTEN \"other ch\"",
    "BEGIN; LISTEN ch; ROLLBACK",
    "PREPARE q1 AS SELECT 'q1', current_setting('work_mem')",
    "PREPARE q2 (text) AS SELECT $1, current_user",
    "BEGIN; PREPARE q1 AS SELECT 'q1 of what failed'; SELECT 1/0",
];

/// Its ends.
pub const ENDS: &[&str] = &[
    "DROP TABLE m1",
    "DROP TABLE m1 CASCADE",
    "DROP TABLE IF EXISTS m1, m2 CASCADE",
    // Without a question it would be told whether the schema has ever been there.
    "DO $$ BEGIN IF EXISTS (SELECT FROM pg_class WHERE relnamespace = pg_my_temp_schema() AND relname = 't') \
     THEN DROP TABLE pg_temp.t; END IF; END $$",
    "DROP VIEW IF EXISTS v1",
    "DISCARD TEMP",
    "DISCARD TEMP",
    "SELECT pg_advisory_unlock(1)",
    "SELECT pg_advisory_unlock(2)",
    "SELECT pg_advisory_unlock_shared(1)",
    "SELECT pg_advisory_unlock_all()",
    "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL",
    "CLOSE c1",
    "CLOSE ALL",
    "UNLISTEN ch",
    "UNLISTEN *",
    "DEALLOCATE q1",
    "DEALLOCATE ALL",
    "DISCARD ALL",
    "DISCARD ALL",
    "DISCARD ALL",
    "BEGIN; SELECT pg_advisory_unlock(2); ROLLBACK",
    "BEGIN; DROP TABLE m1; ROLLBACK",
    "BEGIN; UNLISTEN ch; ROLLBACK",
    "BEGIN; CLOSE c1; ROLLBACK",
    "DISCARD TEMP; SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; DEALLOCATE ALL",
];

/// What a client sees of it.
pub const KEPT_LOOKS: &[&str] = &[
    "SELECT x FROM m1 ORDER BY x COLLATE \"C\"",
    "INSERT INTO m1 VALUES ('mine')",
    "INSERT INTO t VALUES ('of t')",
    "SELECT x FROM m2",
    "SELECT x FROM v1",
    "SELECT nextval('m3')",
    "SELECT proname FROM pg_proc WHERE pronamespace = pg_my_temp_schema()",
    "SELECT relname FROM pg_class WHERE relnamespace = pg_my_temp_schema() ORDER BY relname",
    "SELECT classid, objid, objsubid, mode FROM pg_locks WHERE locktype = 'advisory' \
     AND database = (SELECT oid FROM pg_database WHERE datname = current_database()) ORDER BY 1, 2, 3, 4",
    "FETCH 1 FROM c1",
    "FETCH ALL FROM c1",
    "EXECUTE q1",
    "EXECUTE q2 ('x')",
    "NOTIFY ch, 'told'",
    "SELECT pg_notify('other ch', 'told too')",
    "BEGIN; NOTIFY ch, 'never told'; ROLLBACK",
];

/// State that the text does not show.
pub const HIDDEN: &[&str] = &[
    "SELECT f_note('work_mem', '12MB')",
    "SELECT f_note('app.a', 'hidden')",
    "SELECT f_note('app.a', NULL)",
    "SELECT f_note('datestyle', 'German')",
    "SELECT f_note('search_path', 'sa, public')",
    "SELECT public.f_once('app.a', 'once')",
    "SELECT f_caught('work_mem', '13MB')",
    "SELECT f_clause()",
    "SELECT f_within()",
    "SELECT f_said('SET work_mem = ''14MB''')",
    "SELECT f_said('SET LOCAL datestyle = ''German''')",
    "SELECT f_said('RESET ALL')",
    "SELECT public.f_said('RESET search_path')",
    "CALL p_commits('15MB')",
    "INSERT INTO watched VALUES ('by a trigger')",
    "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF, SUMMARY OFF) SELECT f_note('work_mem', '16MB')",
    "WITH w AS (SELECT f_note('app.a', 'in a CTE') AS x) SELECT x FROM w",
    "COPY (SELECT f_note('lock_timeout', '5s')) TO STDOUT",
    "SELECT f_note('work_mem', n || 'MB') FROM generate_series(20, 22) n",
    "SELECT f_note('work_mem', '23MB'), 1/0",
    "DO $$ BEGIN PERFORM f_note('app.b', 'in a block'); END $$",
    "DO $$ BEGIN PERFORM set_config('work_mem', '17MB', false); RAISE EXCEPTION 'after'; END $$",
    "DO $$ BEGIN SET work_mem = '18MB'; COMMIT; SET work_mem = '19MB'; ROLLBACK; END $$",
    "DO $$ BEGIN BEGIN SET app.a = 'caught'; PERFORM 1/0; EXCEPTION WHEN OTHERS THEN RESET work_mem; END; END $$",
];

/// State that keeps a server connection, and that the text does not show.
pub const HIDDEN_KEPT: &[&str] = &[
    "SELECT f_table()",
    "SELECT f_gone()",
    "SELECT f_take(1)",
    "SELECT f_take(2)",
    "SELECT count(*) FROM generate_series(1, 2) n WHERE f_take(n)",
    "SELECT f_free()",
    "SELECT f_said('LISTEN ch')",
    "SELECT f_said('UNLISTEN *')",
    "SELECT f_said('PREPARE q1 AS SELECT ''hidden''')",
    "SELECT f_said('DEALLOCATE q1')",
    "SELECT f_said('DECLARE c1 CURSOR WITH HOLD FOR SELECT 1')",
    "SELECT f_said('CREATE TEMP TABLE m2 (x text)')",
    "SELECT f_said('DISCARD TEMP')",
    "DO $$ BEGIN CREATE TEMP TABLE m2 (x text); END $$",
    "DO $$ BEGIN CREATE TEMP TABLE m2 (x text) ON COMMIT DROP; END $$",
    "DO $$ BEGIN PERFORM f_take(1); RAISE EXCEPTION 'after'; END $$",
    "DO $$ BEGIN PERFORM pg_advisory_unlock_all(); DROP TABLE IF EXISTS m1, m2; END $$",
];

/// Who a client is, where the text does not show it.
pub const HIDDEN_ROLES: &[&str] = &[
    "SELECT f_note('role', 'guest')",
    "SELECT public.f_note('role', 'none')",
    "SELECT f_note('session_authorization', 'login_plain')",
    "SELECT f_said('SET ROLE guest')",
    "DO $$ BEGIN SET ROLE login_plain; END $$",
    "DO $$ BEGIN EXECUTE 'RESET ROLE'; END $$",
];
