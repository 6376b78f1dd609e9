//! The keys of `[users.NAME]`.

use super::{ANY, Group, LIMIT, OR_ZERO, POOL, Setting, between, setting};
use crate::config::User;

pub(in crate::config) static USER: &[Group<User>] = &[
    Group {
        title: "Who it is",
        settings: WHO,
    },
    Group {
        title: "Pools",
        settings: POOLS,
    },
    Group {
        title: "Time limits",
        settings: LIMITS,
    },
];

static WHO: &[Setting<User>] = &[
    setting!(password, ANY,
    "What the client must prove, and, unless the database names a `user` or `password` of its \
     own, what pgweave logs in to the server with. As in PostgreSQL it is a password, an md5 hash \
     (`md5...`) or a SCRAM verifier (`SCRAM-SHA-256$...`). With an md5 hash pgweave can log in \
     only to a server that asks for md5, and with a verifier only to one that has the same, by what \
     clients prove.",
    differs "There it stands in `auth_file` alone."; secret),
    setting!(password_command, ANY,
        "A command that prints the password that pgweave logs in to the server with as this user, \
         in the way of `password_command` of `[databases.NAME]`. What the client must prove is `password` all the same.",
        differs "It has no such key."),
];

static POOLS: &[Setting<User>] = &[
    setting!(
        pool_mode,
        ANY,
        "For this client, instead of that of the database or `[pgweave]`."
    ),
    setting!(
        session_state,
        ANY,
        "Instead of that of the database or `[pgweave]`."
    ),
    setting!(
        pool_size,
        POOL,
        "For the pools that log in to the server as this user, instead of that of the database or \
         `default_pool_size` of `[pgweave]`."
    ),
    setting!(
        reserve_pool_size,
        LIMIT,
        "For the pools that log in to the server as this user, instead of that of the database or \
         `[pgweave]`."
    ),
    setting!(
        max_user_connections,
        LIMIT,
        "Instead of `max_user_connections` of `[pgweave]`."
    ),
    setting!(
        max_user_client_connections,
        between(0, 1_000_000),
        "Instead of `max_user_client_connections` of `[pgweave]`."
    ),
];

static LIMITS: &[Setting<User>] = &[
    setting!(
        query_wait_timeout,
        OR_ZERO,
        "Instead of that of the database or `[pgweave]`."
    ),
    setting!(
        query_timeout,
        OR_ZERO,
        "Instead of `query_timeout` of `[pgweave]`."
    ),
    setting!(
        transaction_timeout,
        OR_ZERO,
        "Instead of `transaction_timeout` of `[pgweave]`."
    ),
    setting!(
        idle_transaction_timeout,
        OR_ZERO,
        "Instead of `idle_transaction_timeout` of `[pgweave]`."
    ),
    setting!(
        client_idle_timeout,
        OR_ZERO,
        "Instead of `client_idle_timeout` of `[pgweave]`."
    ),
];
