#!/usr/bin/env bash
# psql through the pooler.
. "$(dirname "$0")/case.sh"

q() { psql -X -q -A -t -v ON_ERROR_STOP=1 "$@"; }

fresh() {
  direct q -c "SET client_min_messages = error; DROP TABLE IF EXISTS items CASCADE;
    CREATE TABLE items (id int PRIMARY KEY, name text NOT NULL DEFAULT 'none', price numeric(8,2) CHECK (price >= 0))"
}

describes() {
  fresh
  local through past
  for command in '\d items' '\d+ items' '\dt' '\du' '\l' '\dn' '\df' '\sf pg_catalog.lower(text)' '\dT' '\conninfo'; do
    # Through a pipe psql reads commands one by one, as from a terminal.
    through=$(echo "$command" | psql -X 2>&1)
    past=$(echo "$command" | direct psql -X 2>&1)
    case $command in
      '\conninfo') has "$command" "database \"$PGDATABASE\" as user \"$PGUSER\"" "$through" ;;
      *) same "$command" "$past" "$through" ;;
    esac
  done
  has 'the table' 'Check constraints' "$(psql -X -c '\d items')"
}
check 'the \d family prints what it prints without a pooler' describes

copies() {
  fresh
  seq 1 5000 | awk '{ print $1 ",\"item, " $1 "\"," $1 / 4 }' >in.csv
  q -c "\\copy items FROM 'in.csv' WITH (FORMAT csv)"
  same 'the sum' '5000|12502500|3125625.00' "$(direct q -c 'SELECT count(*), sum(id), sum(price) FROM items')"
  q -c "\\copy (SELECT * FROM items ORDER BY id) TO 'out.csv' WITH (FORMAT csv)"
  direct q -c "\\copy (SELECT * FROM items ORDER BY id) TO 'direct.csv' WITH (FORMAT csv)"
  cmp out.csv direct.csv || fail 'the file copied out differs from the one copied without a pooler'
  q -c "\\copy items TO 'out.bin' WITH (FORMAT binary)"
  q -c 'TRUNCATE items' -c "\\copy items FROM 'out.bin' WITH (FORMAT binary)"
  same 'after the binary copy' '5000|12502500' "$(q -c 'SELECT count(*), sum(id) FROM items')"
}
check '\copy in and out, as csv and binary' copies

copy_fails() {
  fresh
  printf '1,a,1\n2,b,none\n' >bad.csv
  local said
  said=$(q -c "\\copy items FROM 'bad.csv' WITH (FORMAT csv)" 2>&1) && fail 'a bad COPY was taken'
  has 'the error' 'invalid input syntax for type numeric: "none"' "$said"
  has 'its context' 'COPY items, line 2, column price' "$said"
  same 'rows' 0 "$(q -c 'SELECT count(*) FROM items')"
}
check 'a \copy that fails says where and writes nothing' copy_fails

inline_copy() {
  fresh
  same 'the output' "$(printf '2\nafter')" "$(q <<'SQL'
COPY items (id, name) FROM STDIN;
1	one
2	\N two
\.
SELECT count(*) FROM items;
SELECT 'after';
SQL
)"
  same 'COPY among other statements of one query' "$(printf '7\n1\tone\n8')" \
    "$(q -c "SELECT 7; COPY (SELECT id, name FROM items WHERE id = 1) TO STDOUT; SELECT 8")"
}
check 'COPY inline in a script, and among other statements of one query' inline_copy

script() {
  fresh
  local said
  said=$(q --set=limit=2 --set=who=none -c "SELECT 'first'; SELECT 'second'" -f - <<'SQL'
BEGIN;
INSERT INTO items (id) VALUES (1), (2), (3);
SAVEPOINT here;
DELETE FROM items;
ROLLBACK TO here;
COMMIT;
SELECT string_agg(id::text, ',' ORDER BY id), :'who', min(name) FROM items WHERE id <= :limit;
SQL
)
  same 'the output' "$(printf 'first\nsecond\n1,2|none|none')" "$said"
}
check 'a script of many statements with a savepoint and --set' script

one_transaction() {
  fresh
  local said
  said=$(psql -X -q -v ON_ERROR_STOP=1 -1 -c 'INSERT INTO items (id) VALUES (1)' -c 'INSERT INTO items (id) VALUES (1)' 2>&1) &&
    fail 'the duplicate was taken'
  has 'the error' 'duplicate key value violates unique constraint "items_pkey"' "$said"
  same 'after the failure' 0 "$(q -c 'SELECT count(*) FROM items')"
  q -1 -c 'INSERT INTO items (id) VALUES (1)' -c 'INSERT INTO items (id) VALUES (2)'
  same 'after the success' 2 "$(q -c 'SELECT count(*) FROM items')"
}
check '-1 makes one transaction of all' one_transaction

stops() {
  fresh
  local status=0 said
  said=$(printf 'INSERT INTO items (id) VALUES (1);\nSELECT 1/0;\nINSERT INTO items (id) VALUES (2);\n' |
    psql -X -q -v ON_ERROR_STOP=1 -f - 2>&1) || status=$?
  same 'the status' 3 "$status"
  has 'the error' 'ERROR:  division by zero' "$said"
  same 'stopped: rows' 1 "$(q -c 'SELECT count(*) FROM items')"
  printf 'SELECT 1/0;\nINSERT INTO items (id) VALUES (2);\n' | psql -X -q -v ON_ERROR_STOP=0 2>/dev/null
  same 'gone on: rows' 2 "$(q -c 'SELECT count(*) FROM items')"
  said=$(printf 'BEGIN;\nSELECT 1/0;\nSELECT 1;\nCOMMIT;\nSELECT 5;\n' | psql -X -A -t -v ON_ERROR_STOP=0 2>&1)
  has 'within the failed transaction' 'current transaction is aborted' "$said"
  has 'COMMIT of a failed transaction' '^ROLLBACK$' "$said"
  has 'after it' '^5$' "$said"
  # A failed statement takes those before it in the same query with it.
  psql -X -q -c 'DELETE FROM items; SELECT 1/0' 2>/dev/null && fail 'the division went well'
  same 'one query, one transaction: rows' 2 "$(q -c 'SELECT count(*) FROM items')"
}
check 'ON_ERROR_STOP, errors in scripts and in transactions' stops

describe_result() {
  same '\gdesc' "$(printf 'a|integer\nb|numeric(8,2)\nc|text[]')" \
    "$(echo "SELECT 1 AS a, 2::numeric(8,2) AS b, ARRAY['x'] AS c \\gdesc" | q)"
  same '\gexec' "$(printf '3\n4')" "$(echo "SELECT 'SELECT ' || n FROM generate_series(3, 4) n \\gexec" | q)"
  same '\gset' 42 "$(printf 'SELECT 42 AS answer \\gset\nSELECT :answer;\n' | q)"
  same 'FETCH_COUNT' "$(seq 1 1000)" "$(printf '\\set FETCH_COUNT 7\nSELECT generate_series(1, 1000);\n' | q)"
  same '\errverbose' 'ERROR:  22012: division by zero' \
    "$(printf 'SELECT 1/0;\n\\errverbose\n' | psql -X -q 2>&1 | grep '22012' | head -n 1)"
}
check '\gdesc, \gexec, \gset, \errverbose and FETCH_COUNT' describe_result

reconnects() {
  same 'after \c' "$PGDATABASE|$PGUSER" \
    "$(printf 'SELECT 1 \\g /dev/null\n\\c\nSELECT current_database(), current_user;\n' | q)"
  same 'in another database' postgres "$(printf '\\c postgres\nSELECT current_database();\n' | q | tail -n 1)"
}
check '\c connects anew and to another database' reconnects

trusted() {
  same 'the user' "$PGWEAVE_TEST_TRUST_USER" \
    "$(PGPASSWORD='' q -w -U "$PGWEAVE_TEST_TRUST_USER" -p "$PGWEAVE_TEST_TRUST_PORT" -c 'SELECT current_user')"
}
check 'a trusted user needs no password' trusted

refused() {
  local status=0 said
  said=$(PGPASSWORD=wrong psql -X -w -c 'SELECT 1' 2>&1) || status=$?
  same 'the status' 2 "$status"
  has 'the error' "password authentication failed for user \"$PGUSER\"" "$said"
}
check 'a wrong password is refused in the words of PostgreSQL' refused

notices() {
  same 'the notice' 'NOTICE:  hello' "$(q -c "DO \$\$ BEGIN RAISE NOTICE 'hello'; END \$\$" 2>&1)"
}
check 'a notice is shown' notices

interrupted() {
  local psql_pid status=0
  psql -X -q -c 'SELECT pg_sleep(60)' 2>interrupted &
  psql_pid=$!
  for _ in $(seq 100); do
    [ "$(server_psql -c "SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query = 'SELECT pg_sleep(60)'")" = 0 ] || break
    sleep 0.05
  done
  kill -INT $psql_pid
  wait $psql_pid || status=$?
  has 'what psql said' 'canceling statement due to user request' "$(cat interrupted)"
  same 'the status' 1 "$status"
}
# A background job of a script ignores SIGINT unless job control is on.
set -m
check 'SIGINT cancels the query' interrupted
set +m

console_tables() {
  local name columns said count=0
  while IFS=: read -r name columns; do
    said=$(psql -X -q --csv -d pgbouncer -c "SHOW $name") || fail "SHOW $name"
    same "the columns of $name" "$columns" "$(echo "$said" | head -n 1)"
    count=$((count + 1))
  done < <(sed -n 's/^  "\([A-Z_]*\)": "\(..*\)",\{0,1\}$/\1:\2/p' "$(dirname "$0")/../console.json" |
    sed 's/ [a-z0-9]*\(, \|$\)/\1/g; s/, /,/g')
  [ "$count" -gt 20 ] || fail "only $count tables were read"
  has 'HELP' 'SHOW' "$(psql -X -q -d pgbouncer -c 'SHOW HELP' 2>&1)"
}
[ -z "$PGWEAVE_TEST_POOL_SIZE" ] || check 'every table of the console has its columns' console_tables

done_with_cases
