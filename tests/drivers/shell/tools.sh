# What the suites need beside PostgreSQL; installed once, under target/.

test_env=$top/target/test-env
venv=$test_env/venv
node_modules=$test_env/node/node_modules

prepare_python() {
  [ -x "$venv/bin/python" ] || python3 -m venv "$venv" || return 1
  "$venv/bin/python" -c 'import asyncpg, psycopg, psycopg_binary, prometheus_client' ||
    "$venv/bin/pip" install --quiet asyncpg 'psycopg[binary]' prometheus-client
}

prepare_node() {
  command -v node && command -v npm || return 1
  mkdir -p "$test_env/node" || return 1
  NODE_PATH=$node_modules node -e 'require("pg"); require("postgres")' ||
    (cd "$test_env/node" && npm install --no-audit --no-fund --silent pg postgres)
}

# The directory with initdb, postgres, pgbench and the rest. Debian keeps them
# outside of PATH, one directory a version.
postgres_bin() {
  local at
  for at in "${PGWEAVE_TEST_PG_BIN:-}" $(ls -d /usr/lib/postgresql/*/bin 2>/dev/null | sort -t/ -k5 -rn) \
    "$(pg_config --bindir 2>/dev/null)" "$(dirname "$(command -v initdb 2>/dev/null || echo /nowhere/initdb)")"; do
    if [ -n "$at" ] && [ -x "$at/initdb" ] && [ -x "$at/postgres" ] && [ -x "$at/pgbench" ]; then
      echo "$at"
      return 0
    fi
  done
  return 1
}

free_port() {
  python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'
}
