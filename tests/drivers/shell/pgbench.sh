#!/usr/bin/env bash
# pgbench through the pooler: 20 clients, three seconds a protocol.
. "$(dirname "$0")/case.sh"

scale=2
clients=20

initialised() {
  pgbench -i -s $scale -q
  same 'accounts' $((scale * 100000)) "$(server_psql -c 'SELECT count(*) FROM pgbench_accounts')"
}
check 'pgbench -i fills its tables' initialised

# What went to the accounts went to the tellers, the branches and the history.
sums() {
  server_psql -c "SELECT (SELECT sum(abalance) FROM pgbench_accounts), (SELECT sum(tbalance) FROM pgbench_tellers),
    (SELECT sum(bbalance) FROM pgbench_branches), (SELECT coalesce(sum(delta), 0) FROM pgbench_history)"
}

tpc_b() {
  local mode=$1 said done_ count
  server_psql -c 'TRUNCATE pgbench_history; UPDATE pgbench_accounts SET abalance = 0;
    UPDATE pgbench_tellers SET tbalance = 0; UPDATE pgbench_branches SET bbalance = 0' || return 1
  said=$(pgbench -n -M "$mode" -c "$2" -j "$3" -T 3 2>&1) || { fail "pgbench: $said"; return 1; }
  if printf '%s\n' "$said" | grep -Eqi 'error|aborted'; then fail "pgbench: $said"; return 1; fi
  has 'failed transactions' 'number of failed transactions: 0 ' "$said"
  done_=$(printf '%s\n' "$said" | sed -n 's/^number of transactions actually processed: \([0-9]*\).*/\1/p')
  [ "${done_:-0}" -ge 20 ] || fail "only ${done_:-no} transactions in three seconds"
  count=$(server_psql -c 'SELECT count(*) FROM pgbench_history')
  same 'transactions in the history' "$done_" "$count"
  has 'the sums of accounts, tellers, branches and history' '^(-?[0-9]+)\|\1\|\1\|\1$' "$(sums)"
}
check "TPC-B-like, -M simple, $clients clients" tpc_b simple $clients 2
check "TPC-B-like, -M extended, $clients clients" tpc_b extended $clients 2
# A thread each: pgbench prepares without looking after the thread's other
# clients, and those may be in the transactions that it would have to wait for.
check "TPC-B-like, -M prepared, $clients clients" tpc_b prepared $clients $clients

select_only() {
  local said
  said=$(pgbench -n -S -M "$1" -c "$2" -j 2 -T 3 2>&1) || { fail "pgbench: $said"; return 1; }
  has 'failed transactions' 'number of failed transactions: 0 ' "$said"
  if printf '%s\n' "$said" | grep -Eqi 'error|aborted'; then fail "pgbench: $said"; return 1; fi
}
check "select only, -M simple, $clients clients" select_only simple $clients
check "select only, -M extended, $clients clients" select_only extended $clients

reconnecting() {
  local said
  said=$(pgbench -n -S -C -c $clients -j 2 -T 3 2>&1) || { fail "pgbench: $said"; return 1; }
  has 'failed transactions' 'number of failed transactions: 0 ' "$said"
}
check "a new connection for each transaction, $clients clients" reconnecting

pipelined() {
  local said
  cat >pipeline.sql <<'SQL'
\startpipeline
BEGIN;
UPDATE pgbench_accounts SET abalance = abalance + 1 WHERE aid = 1;
SELECT abalance FROM pgbench_accounts WHERE aid = 1;
INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES (1, 1, 1, 1, now());
COMMIT;
\endpipeline
SQL
  server_psql -c 'TRUNCATE pgbench_history; UPDATE pgbench_accounts SET abalance = 0 WHERE aid = 1'
  said=$(pgbench -n -M extended -f pipeline.sql -c $clients -j 2 -t 50 2>&1) || { fail "pgbench: $said"; return 1; }
  has 'failed transactions' 'number of failed transactions: 0 ' "$said"
  same 'the account' $((clients * 50)) "$(server_psql -c 'SELECT abalance FROM pgbench_accounts WHERE aid = 1')"
  same 'the history' $((clients * 50)) "$(server_psql -c 'SELECT count(*) FROM pgbench_history')"
}
check "transactions as pipelines, $clients clients" pipelined

killed() {
  local pid before
  for _ in 1 2 3; do
    pgbench -n -c $clients -j 2 -T 60 >/dev/null 2>&1 &
    pid=$!
    sleep 0.7
    kill -KILL $pid
    wait $pid || true
  done
  no_transaction_is_open
  before=$(sums)
  q="SELECT 'whole'"
  for _ in 1 2 3 4 5; do same 'afterwards' whole "$(psql -X -A -t -c "$q")"; done
  same 'nothing goes on' "$before" "$(sums)"
}
check "pgbench killed in the midst leaves no transaction" killed

done_with_cases
