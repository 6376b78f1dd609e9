# For the suites written in bash: `check NAME COMMAND...` runs a case. A case is
# a function; it fails by `fail REASON`, by ending with another status than 0
# without one, or by leaving a transaction open on the server.

set -u
set -o pipefail

suite=$(basename "$0" .sh)
failed=0
scratch=$(mktemp -d "$PGWEAVE_TEST_WORK/$suite.XXXXXX") || exit 1
cd "$scratch" || exit 1
# psql and its like must read nothing of the person's own.
export PSQLRC=/dev/null PSQL_HISTORY=/dev/null

# Past the pooler, as superuser.
server_psql() {
  PGPASSWORD='' psql -X -q -A -t -h "$PGWEAVE_TEST_SERVER_HOST" -p "$PGWEAVE_TEST_SERVER_PORT" -U postgres \
    -d "$PGDATABASE" -v ON_ERROR_STOP=1 "$@"
}

# Past the pooler, as the role and with the password of the test.
direct() { PGHOST=$PGWEAVE_TEST_SERVER_HOST PGPORT=$PGWEAVE_TEST_SERVER_PORT "$@"; }

fail() {
  echo "$1" | tr '\n' ' ' | cut -c1-400 >"$scratch/reason"
  return 1
}

# same WHAT EXPECTED GOT
same() {
  [ "$2" = "$3" ] || fail "$1: expected $(printf '%q' "$2"), got $(printf '%q' "$3")"
}

# has WHAT PATTERN TEXT: a line of TEXT matches the extended regular expression.
has() {
  printf '%s\n' "$3" | grep -Eq -- "$2" || fail "$1: nothing like /$2/ in $(printf '%q' "$3")"
}

open_transactions="SELECT count(*) FROM pg_stat_activity WHERE usename IN ('$PGUSER', '$PGWEAVE_TEST_TRUST_USER')
  AND backend_type = 'client backend' AND (xact_start IS NOT NULL OR state <> 'idle')"

no_transaction_is_open() {
  local tries=50 count
  while count=$(server_psql -c "$open_transactions") && [ "$count" != 0 ]; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || { fail "$count transactions were left open on the server"; return 1; }
    sleep 0.1
  done
}

check() {
  local name=$1
  shift
  : >"$scratch/reason"
  # Not `if "$@"`: under `if` a function would not heed `set -e`.
  ( set -e; "$@" ) 2>"$scratch/stderr"
  local status=$?
  if [ $status -eq 0 ] && no_transaction_is_open; then
    echo "ok $suite: $name"
    return
  fi
  failed=$((failed + 1))
  local why
  why=$(cat "$scratch/reason")
  [ -n "$why" ] || why="status $status: $(tail -n 3 "$scratch/stderr" | tr '\n' ' ')"
  echo "FAILED $suite: $name: $why"
  cat "$scratch/stderr" >&2
}

done_with_cases() { [ "$failed" -eq 0 ]; }
