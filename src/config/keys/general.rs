//! The keys of `[pgweave]`.

use super::{ANY, Group, LIMIT, OR_ZERO, POOL, POSITIVE, Setting, between, setting, tls};
use crate::config::General;
use crate::config::settings::MAX_PEER_ID;

pub(in crate::config) static GENERAL: &[Group<General>] = &[
    Group {
        title: "Listening",
        settings: LISTENING,
    },
    Group {
        title: "Clients' logins",
        settings: LOGINS,
    },
    Group {
        title: "TLS toward clients",
        settings: tls::CLIENTS,
    },
    Group {
        title: "Pools",
        settings: POOLS,
    },
    Group {
        title: "Session state",
        settings: SESSIONS,
    },
    Group {
        title: "Prepared statements",
        settings: STATEMENTS,
    },
    Group {
        title: "Server connections",
        settings: SERVERS,
    },
    Group {
        title: "TLS toward servers",
        settings: tls::SERVERS,
    },
    Group {
        title: "Time limits for clients",
        settings: LIMITS,
    },
    Group {
        title: "The console",
        settings: CONSOLE,
    },
    Group {
        title: "Metrics and health",
        settings: TELEMETRY,
    },
    Group {
        title: "The process",
        settings: PROCESS,
    },
];

static LISTENING: &[Setting<General>] = &[
    setting!(
        listen_addr,
        ANY,
        "The addresses to listen on: IP addresses or host names. `*` stands for all of them."
    ),
    setting!(
        listen_port,
        between(0, 65_535),
        "The TCP port to listen on. 0 lets the operating system choose one; the log tells which."
    ),
    setting!(
        unix_socket_dir,
        ANY,
        "The directory of a Unix socket to listen on as well; its name is `.s.PGSQL.` and the port. \
         Unset, there is none."
    ),
    setting!(unix_socket_mode, ANY, "The permissions of that socket."),
    setting!(
        unix_socket_group,
        ANY,
        "The group that the socket belongs to: a name, or a number."
    ),
    setting!(
        listen_backlog,
        between(1, 65_535),
        "How many connections may wait to be accepted. The operating system may cap it. Too few, \
         and a burst of clients is delayed by repeated SYNs."
    ),
    setting!(
        max_client_conn,
        between(1, 1_000_000),
        "How many clients may be connected at once, over all databases. The next one is refused \
         with SQLSTATE 53300. Each needs a file descriptor and a little memory."
    ),
    setting!(
        tcp_keepalive,
        ANY,
        "Whether TCP keepalive is on for clients and servers, so that a peer that vanished \
         without a word is noticed."
    ),
    setting!(
        tcp_keepidle,
        OR_ZERO,
        "How long a connection may be silent before the system asks whether its other end is there. 0 \
         leaves it to the system, as with the next three."
    ),
    setting!(
        tcp_keepintvl,
        OR_ZERO,
        "How long the system waits before it asks again."
    ),
    setting!(
        tcp_keepcnt,
        between(0, 127),
        "How often it asks in vain before the connection is lost."
    ),
    setting!(
        tcp_user_timeout,
        OR_ZERO,
        "How long sent data may stay unacknowledged before the connection is lost (Linux). A number \
         without a unit is milliseconds."
    ),
    setting!(
        tcp_socket_buffer,
        between(0, 2_147_483_647),
        "The size of a connection's buffers in the system, in bytes. 0 leaves it to the system, which is \
         best nearly always."
    ),
    setting!(
        so_reuseport,
        ANY,
        "Whether other processes may listen on the same port, among which the system divides the \
         clients. One process uses all cores without that. Cancel requests then need `peer_id`."
    ),
    setting!(proxy_protocol, ANY,
        "Whether load balancers tell where clients are, by a header of the PROXY protocol (version 1 \
         or 2) ahead of all else that a connection says. Only those in `proxy_protocol_from` are \
         believed. `require` refuses a connection of theirs that begins without a header, `optional` \
         takes its own address then. What the header tells is the client's address from there on: for \
         rules, failed logins, logs and the console.",
        differs "It has no such key."),
    setting!(proxy_protocol_from, ANY,
        "Who may send that header: the addresses of load balancers, or networks that hold nobody else. \
         From anybody else it is no header but a mistake. `unix` stands for Unix sockets.",
        differs "It has no such key."),
    setting!(
        peer_id,
        between(0, MAX_PEER_ID as u32),
        "The number of this process among those that clients reach at the same address. The keys \
         for cancel requests that clients are given name it, so that each process can pass a \
         request on to the one that it is meant for, which stands in `[peers.ID]`. 0: it has no \
         peers."
    ),
    setting!(
        max_packet_size,
        between(1_024, 2_147_483_647),
        "The largest message, in bytes, that a client may send; at most 1 GiB, PostgreSQL's own bound. Messages pass through \
         in pieces whatever their size, so a large value costs no memory."
    ),
];

static LOGINS: &[Setting<General>] = &[
    setting!(auth_type, ANY,
        "How clients prove who they are. `trust` asks for no proof, nor does `any`, for which the \
         user's name does not matter either: each database names its `user`. `plain` asks for the \
         password in clear text; `md5` is for old drivers; `scram-sha-256` never sends the \
         password, and inside of TLS it can be bound to the certificate (SCRAM-SHA-256-PLUS). \
         `cert` takes the name in the client's TLS certificate, `peer` that of the system's user \
         behind the Unix socket. `hba` does as `auth_hba_file` says. `passthrough` needs no list \
         of users: the server is asked whether it lets the client in. `oauth` takes a token of an \
         issuer; `ldap` and `pam` ask for the password in clear text and have others judge it; these \
         three are there in builds with the feature of that name.",
        differs "There `peer` is possible in a file of rules alone, and there \
         is no `passthrough`."),
    setting!(auth_trust_unlisted, ANY,
        "Whether `trust`, by `auth_type` or by a rule, lets in whoever says a name. If not, only users \
         that have a section, stand in `auth_file` or are known to `auth_query` come in.",
        differs "It has no such key: who is not listed does not come in, as in an ini file here."),
    setting!(auth_file, ANY,
        "A file of users and their secrets, `\"user\" \"secret\"` a line, in addition to the \
         sections `[users.NAME]`, whose `password` goes first. A secret may be a password, an md5 \
         hash or a SCRAM verifier. Read again on SIGHUP.",
        differs "A line that cannot be read is a mistake there and here; there the users before it count."),
    setting!(
        auth_hba_file,
        ANY,
        "The rules for `auth_type = \"hba\"`, as in PostgreSQL's pg_hba.conf: who may come from \
         where, and how they prove who they are. Read again on SIGHUP."
    ),
    setting!(
        auth_ident_file,
        ANY,
        "Which names of the system or in certificates stand for which users, as in PostgreSQL's \
         pg_ident.conf, for rules with `map=`. Read again on SIGHUP."
    ),
    setting!(
        auth_user,
        ANY,
        "The server's user that asks the server for the secret of a user who is not listed here, \
         by `auth_query`. Unset, nobody is asked for."
    ),
    setting!(auth_query, ANY,
        "The query that tells a user's secret. `$1` stands for the name; the answer is a row of \
         the name and the secret, where NULL lets nobody log in, or no row. It runs on a connection \
         that is used for nothing else, with `search_path` `pg_catalog`: other schemas must be \
         named.",
        differs "There the `search_path` is whatever `auth_user` has."),
    setting!(
        auth_dbname,
        ANY,
        "The database in which `auth_query` runs. Unset, it is the one that the client asked for, where \
         that has a section, else `postgres`. Users of the console are asked for in this one alone, if \
         it has a section."
    ),
    setting!(auth_cache_ttl, OR_ZERO,
        "How long the answer to `auth_query` is used again, and, with `passthrough`, for how long a \
         password that the server has taken is believed. A failed login ends the first early. 0 asks \
         each time.",
        differs "It has no such key, and asks each time."),
    setting!(auth_failures_per_minute, between(0, 1_000_000),
        "How many logins of one user from one address may fail in a minute; from one address, \
         whoever the user, ten times as many. Then they are refused without being looked at, until \
         time has passed. A login that succeeds makes up for those that failed. 0 means without \
         limit. Unix sockets have none.",
        differs "It has no such key."),
    setting!(auth_oauth_issuer, ANY,
        "Whose tokens are taken with `auth_type = \"oauth\"`: `iss`, to the letter.",
        differs "It has no such key."),
    setting!(auth_oauth_audience, ANY,
        "What a token's `aud` must be or hold, so that one that was made for something else does not \
         open the door here.",
        differs "It has no such key."),
    setting!(auth_oauth_scope, ANY,
        "What a token's `scope` must hold: words, with spaces between them. Unset, nothing.",
        differs "It has no such key."),
    setting!(auth_oauth_user_claim, ANY,
        "The claim that names the user.",
        differs "It has no such key."),
    setting!(auth_oauth_jwks_file, ANY,
        "The issuer's public keys: a JWKS. It is read again when it has changed.",
        differs "It has no such key."),
    setting!(auth_ldap_options, ANY,
        "The options for `auth_type = \"ldap\"`, as they stand behind `ldap` in pg_hba.conf: \
         `ldapserver=... ldapprefix=...`. It may hold `ldapbindpasswd`: it is not shown."; secret),
    setting!(auth_pam_service, ANY,
        "The service that PAM is asked about, a file in /etc/pam.d.",
        differs "There it is `pgbouncer`."),
    setting!(
        scram_iterations,
        between(1, 1_000_000),
        "Iterations for the SCRAM verifiers that are made of passwords written in plain text. \
         More make a stolen verifier costlier to break, and the first login of a user slower."
    ),
    setting!(disable_pqexec, ANY,
        "Whether simple queries are refused, which may hold several commands: then nothing can be \
         added to a text but what the extended protocol takes. A client that sends one is told so \
         (08P01) and its connection ends; replication, which knows no others, is refused at login.",
        differs "There the console takes none either, and it is read at start only."),
    setting!(ignore_startup_parameters, ANY,
        "Parameters of a client's startup message that are left out: names. Few need it, since all \
         others are passed to the server, which knows them.",
        differs "There every parameter but a few is refused unless it stands here."),
    setting!(
        application_name_add_host,
        ANY,
        "Whether a client's address and port are put behind its `application_name` when it logs in, so \
         that `pg_stat_activity` shows where it comes from. What it sets later stays as it is."
    ),
    setting!(
        login_notify_message,
        ANY,
        "What every client is told by a NOTICE when it has logged in."
    ),
    setting!(client_login_timeout, POSITIVE,
        "How long a client may take to log in.",
        differs "There 0 means without limit; here it is refused."),
];

static POOLS: &[Setting<General>] = &[
    setting!(
        pool_mode,
        ANY,
        "When a server connection goes back to its pool: when the client leaves (`session`), at \
         the end of a transaction (`transaction`), or after each statement (`statement`, which \
         refuses transactions over several statements). The earlier, the fewer server \
         connections are needed, and the less session state a client can keep."
    ),
    setting!(default_pool_size, POOL,
        "How many server connections one pool, a pair of database and user, may have.",
        differs "There 0 means without limit; here it is refused."),
    setting!(
        min_pool_size,
        LIMIT,
        "How many server connections a pool that is in use keeps open, so that a burst after a \
         quiet time need not wait for logins."
    ),
    setting!(
        reserve_pool_size,
        LIMIT,
        "How many further server connections a pool may open once a client has waited for \
         `reserve_pool_timeout`. 0 means none."
    ),
    setting!(
        reserve_pool_timeout,
        OR_ZERO,
        "How long a client waits before the reserve is used. 0 switches the reserve off."
    ),
    setting!(
        max_db_connections,
        LIMIT,
        "How many server connections one database may have, over all of its pools. 0 means \
         without limit. A pool that is short of connections may close an idle one of another."
    ),
    setting!(
        max_user_connections,
        LIMIT,
        "How many server connections one server user may have, over all databases. 0 means \
         without limit."
    ),
    setting!(
        max_db_client_connections,
        between(0, 1_000_000),
        "How many clients one database may have. 0 means without limit. The next is refused with \
         SQLSTATE 53300."
    ),
    setting!(
        max_user_client_connections,
        between(0, 1_000_000),
        "How many clients may be logged in as one user, over all databases. 0 means without limit."
    ),
    setting!(
        server_round_robin,
        ANY,
        "`true` stands for `assign_policy = \"fifo\"`."
    ),
    setting!(assign_policy, ANY,
        "Which idle server connection is used next: the one used last (`lifo`), so that those \
         not needed grow old and are closed, or the one that has rested longest (`fifo`), so that \
         all share the load alike. `adversarial` is for tests: rather not the one that the client \
         had last.",
        differs "It has no such key, only `server_round_robin`."),
];

static SESSIONS: &[Setting<General>] = &[
    setting!(session_state, ANY,
        "What becomes of the state that clients make in their sessions, outside of session mode. \
         `keep`: settings go with the client from one server connection to the next; temporary \
         objects, session advisory locks, cursors with hold and the like keep it on its server \
         connection while they live. `reset`: all of it ends with the transaction. `error`: what \
         would make it is refused with SQLSTATE 0A000. `pgbouncer`: nobody looks, and clients of \
         one pool meet each other's.",
        differs "It has no such key, and does as the word says."),
    setting!(listen, ANY,
        "Where clients listen to notifications between their transactions. `multiplex`: all of a \
         pool on one server connection, which is opened beside the `pool_size`. `pin`: each on its \
         own server connection, which it keeps until it no longer listens.",
        differs "It has no such key: `LISTEN` does not work in its transaction mode."),
    setting!(application_name_policy, ANY,
        "When a server connection gets the `application_name` of the client that it serves, outside of \
         session mode. `exact`: whenever it has another, so that `pg_stat_activity` is always right; that \
         costs PostgreSQL a `SET` for each transaction of a client that is not called as the one \
         before. `lazy`: only where other settings of the client must be set as well. `off`: not even \
         then, unless all of them are reset. A client that speaks of `application_name` itself gets its own with either; \
         `pg_stat_activity` may show another client's.",
        differs "It has no such key, and does as `exact` does."),
    setting!(pin_functions, ANY,
        "Functions that leave something behind in the session that nobody can see, for instance in \
         variables of PL/Perl: names without a schema. A client that calls one, itself or within \
         another function, keeps its server connection until it leaves, which is then closed.",
        differs "It has no such key."),
    setting!(pin_notice, ANY,
        "Whether a client gets a notice when it begins to keep its server connection, with \
         the reason, and when that is over: for finding out why in an application.",
        differs "It has no such key."),
    setting!(pin_process, OR_ZERO,
        "For how long a client that has asked for the process behind its session \
         (`pg_backend_pid`, `pg_stat_force_next_flush`) keeps that. 0: for the transaction.",
        differs "It has no such key."),
    setting!(pin_numbers, OR_ZERO,
        "For how long a client keeps its server connection that has drawn a number from a sequence, \
         if clients of its `application_name` ask for the last one (`lastval`, `currval`): until it \
         has asked, and no longer than this. 0: for the transaction.",
        differs "It has no such key."),
    setting!(verify, ANY,
        "After which transactions the server is asked what has become of the session: those whose \
         text can have changed it (`flagged`), or `all`, which also finds what functions do out \
         of sight, and costs half a millisecond each: for tests.",
        differs "It has no such key."),
];

static STATEMENTS: &[Setting<General>] = &[
    setting!(
        max_prepared_statements,
        between(0, 100_000),
        "How many prepared statements one server connection holds for its clients; the least \
         recently used goes first. More save parsing where clients run many different texts, and \
         cost PostgreSQL memory, some 10 KB each. With 0 a client that names a statement keeps a \
         server connection for itself until it leaves or runs `DISCARD ALL`.",
        differs "There 0 passes the messages through, and clients meet each other's statements."
    ),
    setting!(
        max_prepared_bytes,
        between(65_536, 2_147_483_647),
        "How many bytes of text those statements may have together."
    ),
    setting!(
        max_client_prepared_statements,
        between(1, 10_000_000),
        "How many prepared statements one client may have. A further one is refused with \
         SQLSTATE 53400."
    ),
    setting!(
        max_client_prepared_bytes,
        between(65_536, 2_147_483_647),
        "How many bytes of text one client's prepared statements may have together. Texts that \
         several clients prepare are kept once, but count for each. A statement beyond the limit \
         is refused with SQLSTATE 53400."
    ),
];

static SERVERS: &[Setting<General>] = &[
    setting!(server_connect_timeout, POSITIVE,
        "How long connecting and logging in to PostgreSQL may take, at each of its addresses.",
        differs "There 0 means without limit; here it is refused."),
    setting!(
        server_login_retry,
        OR_ZERO,
        "How long to wait after a failed attempt before the next one. Meanwhile clients get the \
         server's own error at once."
    ),
    setting!(dns_max_ttl, OR_ZERO,
        "How long the addresses of a host name are remembered: the system tells no time to live of \
         its own. After it the names of open server connections are asked about again, without \
         anybody waiting; so is, before that, a name at whose addresses nobody is. Where a name cannot \
         be resolved any more it is taken to be where it was. 0 means that each connection asks anew.",
        differs "There nobody asks again before a new server connection is needed."),
    setting!(
        dns_nxdomain_ttl,
        OR_ZERO,
        "How long it is remembered that a host name could not be resolved."
    ),
    setting!(dns_reconnect, ANY,
        "Whether server connections to an address that its name has no longer are replaced, each when \
         nobody uses it. Switch it off where a name gives other addresses each time it is asked \
         about, though all of them are still good.",
        differs "It has no such key, and does so always."),
    setting!(password_command_ttl, POSITIVE,
        "How long a password that a `password_command` has printed is used: less than it is valid. \
         After four fifths of that time the command is run again.",
        differs "It has no such key."),
    setting!(password_command_timeout, POSITIVE,
        "How long a `password_command` may run. Then it is killed with all that it has started.",
        differs "It has no such key."),
    setting!(
        server_lifetime,
        OR_ZERO,
        "The age at which a server connection is closed when it is not in use. Ages are spread, \
         so that connections opened together are not closed together. 0 means that each is used \
         once."
    ),
    setting!(
        server_idle_timeout,
        OR_ZERO,
        "How long a server connection may stay unused before it is closed; \
         what `min_pool_size` asks for is opened anew. 0 means for ever."
    ),
    setting!(
        server_check_delay,
        OR_ZERO,
        "A server connection that was unused for longer is checked before it is used. 0 means \
         always, which costs a round trip each time."
    ),
    setting!(
        server_fast_close,
        ANY,
        "Whether a client in session mode loses a server connection that is to be replaced as soon \
         as it is not in a transaction: it is told so and its own connection ends, too. Otherwise it \
         keeps it until it leaves. Server connections are replaced after `RECONNECT`, and when \
         the configuration is read again and the server, `connect_query`, or how connections are \
         kept, is another. In the other modes they are replaced between transactions anyway."
    ),
    setting!(
        server_check_query,
        ANY,
        "What a server connection is asked that was unused for longer than `server_check_delay`. \
         `<empty>`: a query without a command in it, which shows that the connection lives and \
         costs least. Empty: nothing. A connection that answers with an error, or not within \
         `server_connect_timeout`, is closed and another is taken: clients hear nothing of it."
    ),
    setting!(server_reset_query, ANY,
        "SQL that is run on a server connection when its client leaves, in session mode. What it \
         does to the session is followed. It takes the place of nothing: pgweave itself cleans such a \
         connection with `DISCARD ALL`, whatever stands here, so that a weaker text, or none, lets \
         nothing through to the next client. Only with `session_state = \"pgbouncer\"` is this \
         text all that is done, and an empty one nothing at all. When it fails, or takes longer \
         than `server_connect_timeout`, the connection is closed.",
        differs "There an empty text lets the next client see what the one before has left."),
    setting!(
        server_reset_query_always,
        ANY,
        "Whether `server_reset_query` is run in all modes, each time when a server connection goes \
         back to its pool. In transaction mode that is a round trip for each transaction. Clients have \
         their settings all the same, and keep their server connection where they would otherwise, \
         unless `session_state` says otherwise."
    ),
    setting!(server_proxy_protocol, ANY,
        "A header of the PROXY protocol that each server connection begins with, for what stands \
         between pgweave and PostgreSQL and asks for one: of version 1 (`v1`) or 2 (`v2`). It tells \
         pgweave's own address, not a client's: clients share server connections. Cancel requests \
         begin with it, too. PostgreSQL itself takes none.",
        differs "It has no such key."),
    setting!(drain_timeout, OR_ZERO,
        "How long it may take to cancel and roll back what a client that vanished has left on \
         its server connection. What takes longer is closed. 0 means that it is closed at once.",
        differs "It has no such key: there such a server connection is always closed."),
    setting!(
        autodb_idle_timeout,
        OR_ZERO,
        "How long a pool of a database that only `[databases.\"*\"]` names is remembered with neither \
         clients nor server connections, its counts in `SHOW STATS` with it. 0 means for ever."
    ),
    setting!(
        pool_idle_timeout,
        OR_ZERO,
        "The same for pools of all databases."
    ),
    setting!(cancel_wait_timeout, POSITIVE,
        "How long a cancel request may take to reach the server before it is given up.",
        differs "There 0 means without limit; here it is refused."),
];

static LIMITS: &[Setting<General>] = &[
    setting!(
        query_wait_timeout,
        OR_ZERO,
        "How long a client may wait for a server connection before it is disconnected. 0 means \
         for ever."
    ),
    setting!(
        query_wait_notify,
        OR_ZERO,
        "After so long a client that waits for a server connection is told so, by a NOTICE. 0 means \
         that it is not."
    ),
    setting!(
        query_timeout,
        OR_ZERO,
        "How long a query may run. After it the client is disconnected and the query cancelled. \
         PostgreSQL's own `statement_timeout` is gentler; this is for when the server does not \
         answer. 0 means for ever."
    ),
    setting!(
        transaction_timeout,
        OR_ZERO,
        "How long a transaction may take before its client is disconnected. 0 means for ever."
    ),
    setting!(
        idle_transaction_timeout,
        OR_ZERO,
        "How long a client may do nothing inside a transaction before it is disconnected. Such a \
         client keeps a server connection, and its locks, from all others. 0 means for ever."
    ),
    setting!(
        client_idle_timeout,
        OR_ZERO,
        "How long a client may do nothing outside of a transaction before it is disconnected. An \
         idle client costs little: most need no limit. 0 means for ever."
    ),
];

static CONSOLE: &[Setting<General>] = &[
    setting!(
        admin_users,
        ANY,
        "The users that may do everything on the console, the databases `pgweave` and `pgbouncer`. \
         They prove who they are like any other."
    ),
    setting!(
        stats_users,
        ANY,
        "The users that may look at everything on the console (`SHOW`), and change nothing."
    ),
    setting!(
        stats_period,
        POSITIVE,
        "Over what time the averages of `SHOW STATS` are taken, and how often `log_stats` logs them."
    ),
];

static TELEMETRY: &[Setting<General>] = &[
    setting!(http_listen, ANY,
        "An address and port for metrics and health over HTTP, such as `127.0.0.1:9127`: `/metrics` \
         (OpenMetrics), `/status` (JSON), `/livez` and `/readyz`. Unset, there is none.",
        differs "It has no such key."),
    setting!(http_token, ANY,
        "A token that who asks for `/metrics` and `/status` must show: `Authorization: Bearer TOKEN`. \
         Unset, everybody is told.",
        differs "It has no such key."; secret),
];

static PROCESS: &[Setting<General>] = &[
    setting!(workers, between(0, 256),
        "Threads that carry the clients. 0 chooses half of the cores, at least 1 and at most 4. \
         Pooling is mostly the kernel's work: more threads than that cost more than they carry.",
        differs "It has one thread and no such key."),
    setting!(
        pidfile,
        ANY,
        "A file for the process's number, which is removed at the end. pgweave does not start where \
         the file names a process that lives."
    ),
    setting!(takeover_socket, ANY,
        "A path for the socket by which a new process takes over from this one: `pgweave -R`, or \
         `RESTART` on the console. Only this user's processes get anything from it. Unset, it stands \
         beside the Unix socket of clients, and where there is none nobody can take over.",
        differs "It has no such key, and takes over by the socket of clients."),
    setting!(shutdown_delay, OR_ZERO,
        "How long clients are let in after SIGTERM or SIGINT, while `/readyz` says 503 already: as \
         long as it takes a load balancer to notice. A second signal ends it.",
        differs "It has no such key."),
    setting!(shutdown_timeout, OR_ZERO,
        "How long running transactions may take to end when pgweave is asked to stop. 0 means \
         that nothing is waited for.",
        differs "It has no such key."),
    setting!(reload_on_change, ANY,
        "Whether the configuration is read again, as on SIGHUP, when a file that it is made of has \
         changed and stands still for a second: this one, those that it includes, secrets in files, \
         `auth_file`, the files of rules and names with what they include, and those of TLS. One with \
         mistakes changes nothing, and is told once.",
        differs "It has no such key."),
    setting!(log_level, ANY,
        "The least severe message that is logged.",
        differs "There it is `verbose`, a number."),
    setting!(
        log_connections,
        ANY,
        "Whether a line is logged when a client logs in."
    ),
    setting!(
        log_disconnections,
        ANY,
        "Whether a line is logged when a client leaves, with the reason."
    ),
    setting!(
        log_pooler_errors,
        ANY,
        "Whether errors that clients were told are logged."
    ),
    setting!(log_traceparent, ANY,
        "Whether queries are looked at for the comment `traceparent='...'` of sqlcommenter. The trace and \
         the span that it names then stand as `trace_id` and `span_id` in lines about that transaction: \
         why its client was closed, and, with `log_level` `debug`, which server process runs the query, \
         how long it has waited for that, and that it has failed. Only the first and the last \
         1,024 bytes of a text are looked at.",
        differs "It has no such key."),
    setting!(log_stats, ANY,
        "Whether a line is logged every `stats_period` that tells what all databases together did in \
         it, in PgBouncer's words (`stats: 12 xacts/s, ...`).",
        differs "There the default is true."),
    setting!(log_min_duration_transaction, OR_ZERO,
        "A transaction that takes this long, its wait for a server connection included, is logged: with \
         its times, whose it was, and the statement in it that took longest, without its literals and with a \
         fingerprint to count by. Zero logs none, and then nothing is noted of any.",
        differs "It has no such key."),
    setting!(log_rate_limit, between(0, 1_000_000),
        "How many lines of one kind are logged in 10 seconds, of those that clients can provoke: \
         warnings, errors, refused logins, what clients were told when they were closed, slow transactions. A \
         line tells how many more there were. Lines about logins and ends in good order are not limited. \
         Zero is no limit.",
        differs "It has no such key."),
    setting!(log_format, ANY,
        "Log lines for people (`text`) or one JSON object a line (`json`).",
        differs "It has no such key."),
    setting!(
        logfile,
        ANY,
        "The file to log to, instead of the standard error output. What cannot be written, to either, keeps \
         nobody waiting: lines are lost, and it is told how many."
    ),
    setting!(
        syslog,
        ANY,
        "Whether lines go to the system's log as well, as text whatever `log_format` says. `-q` then \
         keeps them from the standard error output, and hides none from the system's log."
    ),
    setting!(syslog_ident, ANY,
        "The name that lines in the system's log begin with.",
        differs "There the default is `pgbouncer`."),
    setting!(
        syslog_facility,
        ANY,
        "What the system's log takes pgweave for."
    ),
    setting!(syslog_socket, ANY,
        "The Unix socket at which the system's log is written to; on macOS that is `/var/run/syslog`. A daemon that is not there, or does \
         not read, keeps nobody waiting: lines are lost, and it is told how many.",
        differs "It has no such key."),
];
