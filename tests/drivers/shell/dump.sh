#!/usr/bin/env bash
# pg_dump, pg_restore and the small tools through the pooler.
#
# pg_dump sets things for its session (search_path, DateStyle, timeouts) and
# takes for granted that they stay. Alone on its database it meets the same
# server connection throughout; that the next client does not meet them there
# belongs to the cases about session state.
. "$(dirname "$0")/case.sh"

quietly() { "$@" >output 2>&1 || { fail "$*: $(tail -n 3 output)"; return 1; }; }

filled() {
  quietly createdb original
  same 'its owner' "$PGUSER" \
    "$(server_psql -c "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = 'original'")"
  quietly psql -X -v ON_ERROR_STOP=1 -d original <<'SQL'
CREATE SCHEMA shop;
CREATE TYPE shop.mood AS ENUM ('sad', 'glad');
CREATE TABLE shop.items (id serial PRIMARY KEY, name text NOT NULL, mood shop.mood, data bytea, tags text[]);
CREATE TABLE shop.orders (id bigint GENERATED ALWAYS AS IDENTITY, item int REFERENCES shop.items, at timestamptz DEFAULT '2024-01-01Z');
CREATE INDEX ON shop.orders (item);
CREATE VIEW shop.glad AS SELECT * FROM shop.items WHERE mood = 'glad';
CREATE FUNCTION shop.twice(n int) RETURNS int LANGUAGE plpgsql AS $$ BEGIN RETURN n * 2; END $$;
INSERT INTO shop.items (name, mood, data, tags)
  SELECT E'item\t' || n || E'\n', CASE n % 3 WHEN 0 THEN 'glad' WHEN 1 THEN 'sad' END::shop.mood,
         decode(md5(n::text), 'hex'), ARRAY['a' || n, NULL, '"'] FROM generate_series(1, 3000) n;
INSERT INTO shop.orders (item) SELECT 1 + n % 3000 FROM generate_series(1, 5000) n;
SELECT lo_from_bytea(4711, '\xdeadbeef');
SQL
}
check 'createdb and a script fill a database' filled

# From some minor versions on, a dump has a key that is random each time.
without_key() { sed -E '/^\\(un)?restrict /d' "$1"; }

dumped() {
  pg_dump -d original >through.sql
  direct pg_dump -d original >past.sql
  [ "$(wc -l <past.sql)" -gt 8000 ] || fail "the direct dump has only $(wc -l <past.sql) lines"
  diff <(without_key past.sql) <(without_key through.sql) >differences || fail "the dumps differ: $(head -n 5 differences)"
}
check 'pg_dump prints what it prints without a pooler' dumped

restored_from() {
  local format=$1 name=restored_$1
  quietly pg_dump -d original -F "$format" -f "$name.dump"
  quietly createdb "$name"
  quietly pg_restore -e -d "$name" "$name.dump"
  direct pg_dump -d "$name" >"$name.sql"
  diff <(without_key past.sql) <(without_key "$name.sql") >differences || fail "it differs: $(head -n 5 differences)"
}
check 'pg_dump and pg_restore in the custom format give the same database' restored_from c
check 'pg_dump and pg_restore in the tar format give the same database' restored_from t

restored_by_psql() {
  quietly createdb restored_p
  quietly psql -X -q -1 -v ON_ERROR_STOP=1 -d restored_p -f through.sql
  direct pg_dump -d restored_p >restored_p.sql
  diff <(without_key past.sql) <(without_key restored_p.sql) >differences || fail "it differs: $(head -n 5 differences)"
}
check 'a dump fed to psql -1 gives the same database' restored_by_psql

vacuumed() {
  quietly vacuumdb -d original --analyze -v
  has 'its output' 'vacuuming "original.shop.items"' "$(cat output)"
  [ "$(server_psql -d original -c "SELECT reltuples FROM pg_class WHERE relname = 'orders'")" = 5000 ] ||
    fail 'nothing was analysed'
  quietly reindexdb -d original -t shop.orders
  quietly clusterdb -d original
}
check 'vacuumdb, reindexdb and clusterdb do their work' vacuumed

# An idle connection of the pooler would keep the database from being dropped;
# with --force PostgreSQL ends it, and the pooler has to notice.
dropped() {
  local name
  quietly dropdb --force original
  for name in restored_c restored_t restored_p; do
    quietly dropdb --force --if-exists "$name"
  done
  same 'databases left' 0 "$(server_psql -c "SELECT count(*) FROM pg_database WHERE datname ~ '^(original|restored)'")"
  quietly createdb original
  same 'tables in the new one' 0 \
    "$(psql -X -A -t -d original -c "SELECT count(*) FROM pg_tables WHERE schemaname = 'shop'")"
  quietly dropdb --force original
  local said
  said=$(psql -X -d original -c 'SELECT 1' 2>&1) && fail 'a database that is gone answered'
  has 'the error' 'database "original" does not exist' "$said"
}
check 'dropdb --force, and createdb of the same name anew' dropped

leaves_search_path() {
  local said
  said=$(psql -X -A -t -d "$1" -c 'SHOW search_path')
  [ "$said" = '"$user", public' ] || echo "note dump: after pg_dump the next client of the database meets search_path = '$said'"
}
if createdb noted 2>/dev/null && pg_dump -d noted >/dev/null; then
  leaves_search_path noted
  dropdb --force noted
fi

done_with_cases
