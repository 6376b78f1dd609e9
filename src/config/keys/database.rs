//! The keys of `[databases.NAME]`.

use super::{ANY, Group, LIMIT, OR_ZERO, POOL, Setting, between, setting, tls};
use crate::config::Database;

pub(in crate::config) static DATABASE: &[Group<Database>] = &[
    Group {
        title: "Where it is",
        settings: WHERE,
    },
    Group {
        title: "TLS toward the server",
        settings: tls::DATABASE,
    },
    Group {
        title: "Pools",
        settings: POOLS,
    },
];

static WHERE: &[Setting<Database>] = &[
    setting!(host, ANY,
        "The server: a host name, an IP address, or the directory of a Unix socket if it starts \
         with `/`. Several that are as good as each other are separated by commas; a host that \
         cannot be reached is tried last for `server_login_retry`.",
        differs "There the default is a Unix socket, and a host that cannot be reached is tried each time."),
    setting!(
        port,
        between(1, 65_535),
        "The server's port; for a Unix socket, the number in its name."
    ),
    setting!(
        load_balance_hosts,
        ANY,
        "Whether several hosts take turns (`round-robin`), or the first that can be reached is used \
         for as long as it can be (`disable`)."
    ),
    setting!(
        dbname,
        ANY,
        "The database's name on the server. Unset, it is the name that the client asked for."
    ),
    setting!(
        user,
        ANY,
        "Log in to the server as this user, whoever the client is: its clients share one pool. \
         Unset, the client's own name is used."
    ),
    setting!(password, ANY,
        "The password for the server. Unset, it is that of `[users.NAME]` for the user that logs \
         in. A SCRAM verifier proves a password but cannot stand for it, so it is of no use here."; secret),
    setting!(password_command, ANY,
        "A command that prints the password for the server on its first line: for tokens that end, of \
         a cloud or a vault. A text is run by `/bin/sh -c`, a list is a program and its arguments. It \
         finds `PGWEAVE_HOST` (as `host` is written), `PGWEAVE_PORT`, `PGWEAVE_DATABASE` and \
         `PGWEAVE_USER` in its environment. Write them in double quotes and without braces: the name \
         of a user may hold spaces, and `${...}` is replaced when the configuration is read. It must \
         end with status 0 within `password_command_timeout`, and runs when a password is first \
         needed, before `password_command_ttl` is over, and when the server refuses what it printed last. It \
         goes before `password`.",
        differs "It has no such key."),
    setting!(
        server_proxy_protocol,
        ANY,
        "Instead of `server_proxy_protocol` of `[pgweave]`."
    ),
    setting!(
        client_encoding,
        ANY,
        "What server connections are opened with, for clients that do not say it themselves."
    ),
    setting!(datestyle, ANY, "The same for `DateStyle`."),
    setting!(timezone, ANY, "The same for `TimeZone`."),
    setting!(application_name, ANY, "The same for `application_name`."),
    setting!(connect_query, ANY,
        "SQL that is run on each new server connection of a pool before any client gets it, and \
         again when the connection has been cleaned. It is for settings and roles: clients begin \
         with these, and may change them. What else it makes (temporary tables, locks) belongs to \
         the server connection, whoever has it. When it fails the connection is closed, and \
         whoever waits is told why. `application_name` counts for clients that name none. \
         Replication connections begin without it.",
        differs "There its errors are ignored, and what resets or other clients take away is gone."),
    setting!(auth_user, ANY, "Instead of `auth_user` of `[pgweave]`."),
    setting!(auth_query, ANY, "Instead of `auth_query` of `[pgweave]`."),
    setting!(auth_dbname, ANY, "Instead of `auth_dbname` of `[pgweave]`."),
];

static POOLS: &[Setting<Database>] = &[
    setting!(pool_mode, ANY, "Instead of `pool_mode` of `[pgweave]`."),
    setting!(
        session_state,
        ANY,
        "Instead of `session_state` of `[pgweave]`."
    ),
    setting!(
        application_name_policy,
        ANY,
        "Instead of `application_name_policy` of `[pgweave]`."
    ),
    setting!(listen, ANY, "Instead of `listen` of `[pgweave]`."),
    setting!(
        pool_size,
        POOL,
        "Instead of `default_pool_size` of `[pgweave]`."
    ),
    setting!(
        min_pool_size,
        LIMIT,
        "Instead of `min_pool_size` of `[pgweave]`."
    ),
    setting!(
        reserve_pool_size,
        LIMIT,
        "Instead of `reserve_pool_size` of `[pgweave]`."
    ),
    setting!(
        max_db_connections,
        LIMIT,
        "Instead of `max_db_connections` of `[pgweave]`."
    ),
    setting!(
        max_db_client_connections,
        between(0, 1_000_000),
        "Instead of `max_db_client_connections` of `[pgweave]`."
    ),
    setting!(
        query_wait_timeout,
        OR_ZERO,
        "Instead of `query_wait_timeout` of `[pgweave]`."
    ),
    setting!(
        server_lifetime,
        OR_ZERO,
        "Instead of `server_lifetime` of `[pgweave]`."
    ),
];
