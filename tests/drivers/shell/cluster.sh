# A throwaway PostgreSQL with two pgweave before it; started and ended by PID.
# Sourced by `run`, whose variables it uses.

database=weave
user=weaver
password='wéave it, "well"'
trusted=trusted
pool_size=3

postgres_pid="" scram_pid="" trust_pid=""

# PostgreSQL refuses to run as root.
as_owner() {
  if [ "$(id -u)" -eq 0 ]; then
    setpriv --reuid=postgres --regid=postgres --init-groups "$@"
  else
    "$@"
  fi
}

start_postgres() {
  local bin data=$work/data
  bin=$(postgres_bin) || { say "FAILED postgresql: initdb, postgres and pgbench were not found"; return 1; }
  PATH=$bin:$PATH
  if [ -n "$given_postgres" ]; then
    server_host=${given_postgres%:*} server_port=${given_postgres##*:}
    return 0
  fi
  mkdir "$data" && chmod 700 "$data" || return 1
  [ "$(id -u)" -ne 0 ] || chown postgres "$data" || return 1
  (cd / && as_owner "$bin/initdb" -D "$data" -U postgres -A trust -E UTF8 --locale=C -N) >"$work/initdb.log" 2>&1 ||
    { tail -n 5 "$work/initdb.log" >&2; say "FAILED postgresql: initdb"; return 1; }
  server_host=127.0.0.1
  server_port=$(free_port)
  cat >>"$data/postgresql.conf" <<CONF
listen_addresses = '127.0.0.1'
port = $server_port
unix_socket_directories = '$data'
max_connections = 150
max_prepared_transactions = 10
superuser_reserved_connections = 10
password_encryption = 'scram-sha-256'
deadlock_timeout = '200ms'
fsync = off
log_line_prefix = '%m [%p] %u@%d '
CONF
  # PostgreSQL alone notices in mid-query that its client has left only if asked
  # to look. A pooler has to do its part without that.
  [ "$direct" = no ] || echo "client_connection_check_interval = '100ms'" >>"$data/postgresql.conf"
  cat >"$data/pg_hba.conf" <<CONF
host all postgres 127.0.0.1/32 trust
host all $trusted 127.0.0.1/32 trust
host all all      127.0.0.1/32 scram-sha-256
CONF
  # `exec` makes $! the server's own PID.
  (cd / && as_owner_exec "$bin/postgres" -D "$data") >"$work/postgres.log" 2>&1 &
  postgres_pid=$!
  wait_until 30 "$bin/pg_isready" -q -h "$server_host" -p "$server_port" ||
    { tail -n 5 "$work/postgres.log" >&2; say "FAILED postgresql: it did not start"; return 1; }
}

as_owner_exec() {
  if [ "$(id -u)" -eq 0 ]; then
    exec setpriv --reuid=postgres --regid=postgres --init-groups "$@"
  else
    exec "$@"
  fi
}

# wait_until SECONDS COMMAND...
wait_until() {
  local tries=$(($1 * 10))
  shift
  while ! "$@" >/dev/null 2>&1; do
    tries=$((tries - 1))
    [ $tries -gt 0 ] || return 1
    sleep 0.1
  done
}

create_roles() {
  psql -X -q -v ON_ERROR_STOP=1 -h "$server_host" -p "$server_port" -U postgres -d postgres \
    -v role="$user" -v trusted="$trusted" -v db="$database" -v password="$password" >"$work/roles.log" 2>&1 <<'SQL' ||
CREATE ROLE :"role" LOGIN CREATEDB PASSWORD :'password';
CREATE ROLE :"trusted" LOGIN;
GRANT pg_read_all_stats TO :"role";
CREATE DATABASE :"db" OWNER :"role";
SQL
    { tail -n 5 "$work/roles.log" >&2; say "FAILED postgresql: roles and database could not be created"; return 1; }
}

# write_config FILE AUTH_TYPE
write_config() {
  local quoted=${password//\\/\\\\}
  quoted=${quoted//\"/\\\"}
  cat >"$1" <<CONF
[pgweave]
listen_addr = "127.0.0.1"
listen_port = 0
pool_mode = "transaction"
default_pool_size = $pool_size
pin_process = 0
auth_type = "$2"
admin_users = "$user"
http_listen = "127.0.0.1:0"

[databases."*"]
host = "$server_host"
port = $server_port

[users.$user]
password = "$quoted"

[users.$trusted]
CONF
}

listening_or_ended() { grep -q 'listening on 127\.0\.0\.1:' "$1" || ! alive "$2"; }

# start_pgweave NAME AUTH_TYPE: sets started_pid and started_port.
start_pgweave() {
  local log=$work/pgweave-$1.log config=$work/$1.toml
  write_config "$config" "$2"
  (exec "$pgweave" "$config") >"$log" 2>&1 &
  started_pid=$!
  wait_until 15 listening_or_ended "$log" "$started_pid"
  started_port=$(sed -n 's/.*listening on 127\.0\.0\.1:\([0-9][0-9]*\).*/\1/p' "$log" | head -n 1)
  [ -n "$started_port" ] && alive "$started_pid" && return 0
  tail -n 5 "$log" >&2
  say "FAILED pgweave: it did not start with auth_type $2"
  return 1
}

start_poolers() {
  pooler_host=127.0.0.1
  if [ "$direct" = yes ]; then
    pooler_host=$server_host pooler_port=$server_port trust_port=$server_port
    pool_size=""
    return 0
  fi
  if [ -n "$given_pooler" ]; then
    pooler_host=${given_pooler%:*} pooler_port=${given_pooler##*:} trust_port=${given_trust_pooler##*:}
    return 0
  fi
  pgweave=${PGWEAVE_BIN:-$top/target/debug/pgweave}
  [ -x "$pgweave" ] || { say "FAILED pgweave: no binary at $pgweave"; return 1; }
  start_pgweave scram scram-sha-256 || return 1
  scram_pid=$started_pid pooler_port=$started_port
  http_port=$(sed -n 's|.*health on http://127\.0\.0\.1:\([0-9][0-9]*\).*|\1|p' "$work/pgweave-scram.log" | head -n 1)
  start_pgweave trust trust || return 1
  trust_pid=$started_pid trust_port=$started_port
}

# What the suites are told. libpq's own names lead through the pooler; those of
# PGWEAVE_TEST_SERVER_ lead to PostgreSQL itself, to prepare and to look.
tell_suites() {
  unset PGSERVICE PGPASSFILE PGOPTIONS PGAPPNAME PGSSLMODE PGTZ PGCLIENTENCODING DATABASE_URL
  export PGHOST=$pooler_host PGPORT=$pooler_port PGUSER=$user PGPASSWORD=$password PGDATABASE=$database
  export PGSSLMODE=disable PGCONNECT_TIMEOUT=20
  export PGWEAVE_TEST_TRUST_PORT=$trust_port PGWEAVE_TEST_TRUST_USER=$trusted
  export PGWEAVE_TEST_SERVER_HOST=$server_host PGWEAVE_TEST_SERVER_PORT=$server_port
  export PGWEAVE_TEST_POOL_SIZE=$pool_size PGWEAVE_TEST_WORK=$work
  if [ -n "${http_port:-}" ]; then export PGWEAVE_TEST_HTTP_PORT=$http_port; fi
}

start_everything() {
  start_postgres && create_roles && start_poolers && tell_suites
}

# A zombie answers `kill -0` until it is waited for, so look at its state.
alive() { [ -z "$1" ] || case $(ps -o stat= -p "$1" 2>/dev/null) in '' | Z*) false ;; esac; }

still_running() { alive "$postgres_pid" && alive "$scram_pid" && alive "$trust_pid"; }

what_ended() {
  alive "$postgres_pid" || echo -n "PostgreSQL ended; "
  alive "$scram_pid" || { echo -n "pgweave (scram) ended; "; tail -n 5 "$work/pgweave-scram.log" >&2; }
  alive "$trust_pid" || { echo -n "pgweave (trust) ended; "; tail -n 5 "$work/pgweave-trust.log" >&2; }
  echo "during the suite or before"
}

# stop PID SIGNAL: waits; after ten seconds it is killed.
stop() {
  local tries=100
  [ -n "$1" ] || return 0
  kill "-$2" "$1" 2>/dev/null
  while alive "$1" && [ $tries -gt 0 ]; do
    tries=$((tries - 1))
    sleep 0.1
  done
  alive "$1" && kill -KILL "$1" 2>/dev/null
  wait "$1" 2>/dev/null
}

# To PostgreSQL SIGINT is the fast shutdown, which waits for no client.
stop_everything() {
  stop "$scram_pid" TERM
  stop "$trust_pid" TERM
  stop "$postgres_pid" INT
}
