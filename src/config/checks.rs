//! What is wrong only in the view of several settings.

use super::given::Refusal;
use super::hosts::{not_a_host, not_an_address, not_hosts};
use super::places::{Places, section_path};
use super::{
    AuthType, Config, Database, General, Mistake, Networks, Peer, ProxyProtocol, SecretForm,
    Sources, User, checks_logins, checks_tls,
};

/// Names that the console answers to.
const CONSOLE: [&str; 2] = ["pgweave", "pgbouncer"];

/// A mistake at `path` that was judged by the settings at `with` too.
pub(super) struct Finding {
    pub path: String,
    with: Vec<String>,
    refusal: Refusal,
}

impl Finding {
    pub fn new(path: impl Into<String>, with: &[&str], refusal: Refusal) -> Self {
        let with = with.iter().map(|path| (*path).to_owned()).collect();
        Self {
            path: path.into(),
            with,
            refusal,
        }
    }
}

/// Checks a configuration as a whole. What was judged by a value that is
/// itself among the `known` mistakes is not told: that value was not taken over.
pub(super) fn check(
    config: &Config,
    places: &Places,
    sources: &Sources<'_>,
    known: &[Mistake],
) -> Vec<Mistake> {
    let mut found = Vec::new();
    general(&config.general, &mut found);
    presence(config, &mut found);
    for db in config.databases.values().chain(&config.fallback) {
        database(
            &section_path("databases", &db.name),
            db,
            &config.general,
            &mut found,
        );
    }
    for each in config.users.values() {
        user(
            &section_path("users", &each.name),
            each,
            config.general.auth_type,
            &mut found,
        );
    }
    for each in config.peers.values() {
        let path = section_path("peers", &each.id.to_string());
        found.extend(peer(&path, each));
    }
    checks_tls::tls(config, sources, &mut found);
    checks_logins::logins(config, &mut found);
    let refused = |path: &str| {
        let key = places.key(path);
        let sections = format!("{key}.");
        known
            .iter()
            .any(|m| m.key == key || m.key.starts_with(&sections))
    };
    found
        .into_iter()
        .filter(|finding| !refused(&finding.path) && !finding.with.iter().any(|path| refused(path)))
        .map(|finding| places.mistake(&finding.path, finding.refusal))
        .collect()
}

fn general(general: &General, found: &mut Vec<Finding>) {
    if general.min_pool_size > general.default_pool_size {
        found.push(Finding::new(
            "pgweave.min_pool_size",
            &["pgweave.default_pool_size"],
            more_than(
                general.min_pool_size,
                "default_pool_size",
                general.default_pool_size,
            ),
        ));
    }
    if general.reserve_pool_size > 0 && general.reserve_pool_timeout.is_zero() {
        found.push(Finding::new(
            "pgweave.reserve_pool_timeout",
            &["pgweave.reserve_pool_size"],
            Refusal::new("0 switches the reserve off, but reserve_pool_size asks for one")
                .suggesting("leave it out, or set reserve_pool_size to 0"),
        ));
    }
    if general.proxy_protocol != ProxyProtocol::Off
        && general
            .proxy_protocol_from
            .as_ref()
            .is_none_or(Networks::is_empty)
    {
        found.push(Finding::new(
            "pgweave.proxy_protocol_from",
            &["pgweave.proxy_protocol"],
            Refusal::new("proxy_protocol is on, but nobody may send a header")
                .suggesting("name the addresses of your load balancers, as 10.0.0.0/24"),
        ));
    }
    if general.listen_addr.is_empty() && general.unix_socket_dir.is_none() {
        found.push(Finding::new(
            "pgweave.listen_addr",
            &["pgweave.unix_socket_dir"],
            Refusal::new("is empty, and there is no unix_socket_dir: nobody could connect"),
        ));
    }
    let odd = |c: char| c.is_whitespace() || c.is_control() || "[]:<>".contains(c);
    if general.syslog_ident.contains(odd) {
        found.push(Finding::new(
            "pgweave.syslog_ident",
            &[],
            Refusal::new("must not hold spaces or any of []:<>, which would end it"),
        ));
    }
    for refusal in general
        .listen_addr
        .iter()
        .filter_map(|addr| not_an_address(addr))
    {
        found.push(Finding::new("pgweave.listen_addr", &[], refusal));
    }
}

/// Is there anything to pool?
fn presence(config: &Config, found: &mut Vec<Finding>) {
    if config.databases.is_empty() && config.fallback.is_none() {
        found.push(Finding::new(
            "databases",
            &[],
            Refusal::new("there is no database to pool")
                .suggesting("add [databases.NAME], or [databases.\"*\"] for all of a server's"),
        ));
    }
}

fn database(path: &str, db: &Database, general: &General, found: &mut Vec<Finding>) {
    let at = |key: &str| format!("{path}.{key}");
    if CONSOLE.contains(&db.name.as_str()) {
        let refusal = Refusal::new("this name is taken by pgweave's own console")
            .suggesting("name the section otherwise, and give the server's name as dbname");
        found.push(Finding::new(path, &[], refusal));
    }
    if let Some(refusal) = not_hosts(&db.host, "port") {
        found.push(Finding::new(at("host"), &[], refusal));
    }
    if db
        .password
        .as_ref()
        .is_some_and(|secret| secret.form() == SecretForm::Scram)
    {
        let refusal = Refusal::new("a SCRAM verifier cannot be used to log in to a server")
            .suggesting("give the password itself");
        found.push(Finding::new(at("password"), &[], refusal));
    }
    database_sizes(path, db, general, found);
}

fn database_sizes(path: &str, db: &Database, general: &General, found: &mut Vec<Finding>) {
    let at = |key: &str| format!("{path}.{key}");
    let size = db.pool_size.unwrap_or(general.default_pool_size);
    if let Some(least) = db.min_pool_size.filter(|least| *least > size) {
        let with = [at("pool_size"), "pgweave.default_pool_size".into()];
        let refusal = more_than(least, "pool_size", size);
        found.push(Finding {
            path: at("min_pool_size"),
            with: with.into(),
            refusal,
        });
        return;
    }
    let least = db.min_pool_size.unwrap_or(general.min_pool_size).min(size);
    let limit = db.max_db_connections.unwrap_or(general.max_db_connections);
    if limit > 0 && least > limit {
        let with = [
            at("min_pool_size"),
            at("pool_size"),
            "pgweave.min_pool_size".into(),
            "pgweave.max_db_connections".into(),
            "pgweave.default_pool_size".into(),
        ];
        let refusal = Refusal::new(format!(
            "{limit} is less than min_pool_size, which is {least}"
        ));
        found.push(Finding {
            path: at("max_db_connections"),
            with: with.into(),
            refusal,
        });
    }
}

fn user(path: &str, user: &User, auth_type: AuthType, found: &mut Vec<Finding>) {
    if user.name == "*" {
        let refusal = Refusal::new("is no user's name")
            .suggesting("what holds for all users goes into [pgweave]");
        return found.push(Finding::new(path, &[], refusal));
    }
    let md5 = user
        .password
        .as_ref()
        .is_some_and(|secret| secret.form() == SecretForm::Md5);
    if md5 && auth_type == AuthType::ScramSha256 {
        let refusal = Refusal::new("an md5 hash cannot be used with auth_type scram-sha-256")
            .suggesting("give the password or a SCRAM verifier, or set auth_type = \"md5\"");
        found.push(Finding::new(
            format!("{path}.password"),
            &["pgweave.auth_type"],
            refusal,
        ));
    }
}

fn peer(path: &str, peer: &Peer) -> Option<Finding> {
    let refusal = match &peer.host {
        Some(host) => not_a_host(host, "port")?,
        None => Refusal::new("must be given").suggesting(
            "name where that process alone is reached, for instance the directory of its Unix socket",
        ),
    };
    Some(Finding::new(format!("{path}.host"), &[], refusal))
}

fn more_than(given: u32, limit: &str, allowed: u32) -> Refusal {
    Refusal::new(format!("{given} is more than {limit}, which is {allowed}"))
}
