"""What those ask who watch a PgBouncer, asked as they do, and every column that they map:
prometheus-community/pgbouncer_exporter (lib/pq, simple queries), Telegraf (pgx in its simple
protocol), Datadog's check (psycopg2), and pgbouncer_fdw (dblink)."""

import os
import re
import time

import server
from case import case
from console_tables import tables
from psycopg.conninfo import make_conninfo
from psycopg_connect import connect

INT, TEXT, NUMBER = {20, 21, 23}, {25, 1043}, {20, 21, 23, 1700}

# pgbouncer_exporter: what it makes labels of, which it must have as numbers, text or null, and what
# it makes numbers of. PgBouncer itself has `reserve_pool` and `requests` no more.
PROMETHEUS = {
    "databases": (
        "name host port database force_user pool_mode",
        "pool_size max_connections current_connections paused disabled",
    ),
    "stats_totals": (
        "database",
        "query_count query_time bytes_received bytes_sent wait_time xact_count xact_time client_parse_count"
        " server_parse_count bind_count",
    ),
    "pools": (
        "database user",
        "cl_active cl_active_cancel_req cl_waiting cl_waiting_cancel_req sv_active sv_active_cancel"
        " sv_being_canceled sv_idle sv_used sv_tested sv_login maxwait",
    ),
}
LISTS = (
    "databases users pools free_clients used_clients login_clients free_servers used_servers dns_names"
    " dns_zones dns_queries"
)

# Datadog: tags, and what is reported.
DATADOG = {
    "STATS": (
        "database",
        "total_xact_count total_query_count total_received total_sent total_query_time total_xact_time"
        " total_wait_time avg_xact_count avg_query_count avg_wait_time avg_recv avg_sent avg_xact_time"
        " avg_query_time",
    ),
    "POOLS": ("database user", "cl_active cl_waiting sv_active sv_idle sv_used sv_tested sv_login maxwait maxwait_us"),
    "DATABASES": ("name database", "pool_size max_connections current_connections"),
    "CLIENTS": ("database user state", "connect_time request_time wait wait_us prepared_statements"),
    "SERVERS": ("database user state", "connect_time request_time prepared_statements"),
}

# pgbouncer_fdw: what it declares otherwise than the console does. It takes no column more or less.
FDW = ("CLIENTS", "DATABASES", "LISTS", "POOLS", "SERVERS", "SOCKETS", "STATS", "USERS")
DECLARED = {"connect_time": "timestamptz", "request_time": "timestamptz", "id": "int", "load_balance_hosts": "int"}


def ask(console, query, how):
    """Rows as dictionaries of text, and the type of each column."""
    cursor = console.execute(query, **how)
    types = {column.name: column.type_code for column in cursor.description}
    assert len(types) == len(cursor.description), f"{query}: two columns of one name"
    return [dict(zip(types, row, strict=True)) for row in cursor], types


def over_both_protocols(work):
    with connect(dbname="pgbouncer", autocommit=True) as console:
        for how in ({}, {"prepare": True}):
            work(console, how)


def as_number(cell):
    return float("nan") if cell is None else float(cell)


if server.POOL_SIZE is not None:

    @case("an exporter for Prometheus finds every metric and label that it maps")
    def _():
        def scrape(console, how):
            # Its way of looking whether it is connected.
            assert ask(console, "SHOW STATS", how)[0]
            [version], types = ask(console, "SHOW VERSION;", how)
            assert list(types) == ["version"] and re.match(r"PgBouncer \d+\.\d+\.\d+", version["version"]), version
            lists, types = ask(console, "SHOW LISTS;", how)
            assert list(types) == ["list", "items"], types
            counts = {row["list"]: as_number(row["items"]) for row in lists}
            assert not set(LISTS.split()) - set(counts), counts
            assert counts["databases"] >= 1 and counts["used_clients"] >= 1, counts
            settings, types = ask(console, "SHOW CONFIG;", how)
            assert list(types) == ["key", "value", "default", "changeable"], types
            settings = {row["key"]: row["value"] for row in settings}
            for key in ("max_client_conn", "max_user_connections"):
                as_number(settings[key])
            for name, (labels, numbers) in PROMETHEUS.items():
                rows, types = ask(console, f"SHOW {name};", how)
                assert rows, name
                for label in labels.split():
                    assert types[label] in INT | TEXT, (name, label, types[label])
                for number in numbers.split():
                    assert types[number] in NUMBER, (name, number, types[number])
                    for row in rows:
                        assert as_number(row[number]) >= 0, (name, number, row)

        with connect() as client:
            client.execute("SELECT 1")
            over_both_protocols(scrape)

    @case("Telegraf can take every column of SHOW STATS and SHOW POOLS")
    def _():
        def gather(console, how):
            for name, tags in (("STATS", {"database"}), ("POOLS", {"database", "user", "pool_mode"})):
                rows, types = ask(console, f"SHOW {name}", how)
                assert rows and types["database"] in TEXT, name
                for row in rows:
                    assert all(isinstance(row[tag], str) and row[tag] for tag in tags), row
                    # Whatever else is text in SHOW STATS it reads as a whole number.
                    for column in set(types) - tags if name == "STATS" else ():
                        assert str(row[column]).isdigit(), (name, column, row[column])

        over_both_protocols(gather)

    @case("Datadog's check finds every metric and tag that it maps")
    def _():
        def check(console, how):
            for name, (tags, metrics) in DATADOG.items():
                rows, types = ask(console, f"SHOW {name}", how)
                assert rows and not set(f"{tags} {metrics}".split()) - set(types), (name, types)
                for row in rows:
                    for metric in metrics.split():
                        if metric in ("connect_time", "request_time"):
                            moment = re.findall(r"^[^ ]+ [^ ]+", row[metric])[0]
                            assert time.strptime(moment, "%Y-%m-%d %H:%M:%S").tm_year > 2000, row
                        else:
                            assert as_number(row[metric]) >= 0, (name, metric, row)
            settings = {row["key"]: row["value"] for row in ask(console, "SHOW CONFIG", how)[0]}
            assert as_number(settings["max_client_conn"]) > 0, settings

        with connect() as client:
            client.execute("SELECT 1")
            over_both_protocols(check)

    @case("dblink takes the tables as pgbouncer_fdw declares them")
    def _():
        names = {"host": "PGHOST", "port": "PGPORT", "user": "PGUSER", "password": "PGPASSWORD"}
        console = make_conninfo(dbname="pgbouncer", **{key: os.environ[name] for key, name in names.items()})
        server.execute_as_superuser("CREATE EXTENSION IF NOT EXISTS dblink")
        with connect() as client:
            client.execute("SELECT 1")
            for name, columns in tables():
                if name in FDW:
                    declared = ", ".join(f'"{column}" {DECLARED.get(column, kind)}' for column, kind in columns)
                    query = f"SELECT * FROM dblink(%s, 'show {name.lower()}') AS x ({declared})"
                    assert server.superuser_rows(query, console), name
