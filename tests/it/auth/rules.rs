//! `auth_type = "hba"`, `cert`, and maps of names.

use std::sync::Arc;

use tokio_rustls::rustls::ClientConfig;

use super::{outcome, told};
use crate::support::certificates::{Authority, Folder};
use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::{Cluster, Database};
use crate::support::raw::Connection;
use crate::support::startup::Startup;
use crate::support::wait;

const RULES: &str = "\
# who may come in
host    all  login_md5    127.0.0.0/8  reject
host    all  guest        127.0.0.1/32 trust
hostssl all  certified    127.0.0.1/32 cert map=people
hostssl all  twofold      127.0.0.1/32 scram-sha-256 clientcert=verify-full
host    all  login_scram  127.0.0.1/32 scram-sha-256
host    all  login_plain  127.0.0.1/32 password
host    all  hashed       127.0.0.1/32 md5
";

const MAPS: &str = "people /^(.*)@example\\.com$ \\1\n";

struct Ruled {
    /// Dropped with the value.
    _database: Database<'static>,
    pooler: Pooler,
    authority: Authority,
    folder: Folder,
}

impl Ruled {
    fn new() -> Self {
        let database = Cluster::shared().database();
        let (folder, authority) = (Folder::new(), Authority::new());
        let issued = authority.issue(&["localhost"]);
        let quoted = |path: String| format!("{path:?}");
        let users = "\"login_scram\" \"scram secret\"\n\"login_plain\" \"plain secret\"\n\
                     \"twofold\" \"x\"\n\"hashed\" \"y\"\n\"login_md5\" \"md5 secret\"\n";
        let files = [
            ("auth_hba_file", folder.put("hba.conf", RULES)),
            ("auth_ident_file", folder.put("ident.conf", MAPS)),
            ("auth_file", folder.put("userlist.txt", users)),
            ("client_tls_cert_file", folder.put("s.crt", &issued.cert)),
            ("client_tls_key_file", folder.put("s.key", &issued.key)),
            ("client_tls_ca_file", folder.put("ca.crt", &authority.pem)),
        ];
        let mut plan = Plan::before(&database)
            .without_fallback()
            .setting("auth_type", "\"hba\"")
            .setting("client_tls_sslmode", "\"prefer\"");
        for (key, path) in files {
            plan = plan.setting(key, &quoted(path));
        }
        Self {
            pooler: plan.start(),
            _database: database,
            authority,
            folder,
        }
    }

    fn in_tls(&self, config: &Arc<ClientConfig>, user: &str, password: &str) -> String {
        let startup = Startup::new(user, &self.pooler.database).password(password);
        let connection = Connection::open_tls(self.pooler.address, config).unwrap();
        told(connection.try_start_up(&startup))
    }

    fn with_certificate(&self, name: &str) -> Arc<ClientConfig> {
        self.authority.client_with(&self.authority.issue_to(name))
    }
}

#[test]
fn the_first_rule_that_is_about_a_client_decides() {
    let ruled = Ruled::new();
    let outcomes = [
        ("guest", "", "ok"),
        ("login_md5", "md5 secret", "28000"),
        ("login_scram", "scram secret", "ok"),
        ("login_scram", "wrong", "28P01"),
        ("login_plain", "plain secret", "ok"),
        ("hashed", "y", "ok"),
        ("hashed", "x", "28P01"),
        // No rule, whether there is such a user or not.
        ("postgres", "unused", "28000"),
        ("nobody_at_all", "x", "28000"),
        // TLS is asked for.
        ("certified", "", "28000"),
    ];
    for (user, password, expected) in outcomes {
        assert_eq!(outcome(&ruled.pooler, user, password), expected, "{user}");
    }
}

#[test]
fn a_certificate_stands_for_whom_the_map_says() {
    let ruled = Ruled::new();
    let anybody = ruled.authority.client();
    let own = ruled.with_certificate("certified@example.com");
    assert_eq!(ruled.in_tls(&own, "certified", ""), "ok");
    assert_eq!(ruled.in_tls(&anybody, "certified", ""), "28000");
    for other in ["certified", "twofold@example.com", "certified@example.org"] {
        let other = ruled.with_certificate(other);
        assert_eq!(ruled.in_tls(&other, "certified", ""), "28000");
    }
}

#[test]
fn a_rule_may_ask_for_password_and_certificate() {
    let ruled = Ruled::new();
    let own = ruled.with_certificate("twofold");
    assert_eq!(ruled.in_tls(&own, "twofold", "x"), "ok");
    assert_eq!(ruled.in_tls(&own, "twofold", "wrong"), "28P01");
    let other = ruled.with_certificate("guest");
    assert_eq!(ruled.in_tls(&other, "twofold", "x"), "28000");
    assert_eq!(
        ruled.in_tls(&ruled.authority.client(), "twofold", "x"),
        "28000"
    );
}

#[test]
fn rules_are_read_again_on_sighup_all_of_them_or_none() {
    let ruled = Ruled::new();
    assert_eq!(outcome(&ruled.pooler, "guest", ""), "ok");
    ruled
        .folder
        .put("hba.conf", "host all guest 127.0.0.1/32 rejct\n");
    ruled.pooler.signal(1);
    wait::until(wait::SOON, "the mistake to be told", || {
        ruled.pooler.log().contains("hba.conf:1")
    });
    assert_eq!(outcome(&ruled.pooler, "guest", ""), "ok");
    ruled
        .folder
        .put("hba.conf", "host all guest 127.0.0.1/32 reject\n");
    ruled.pooler.signal(1);
    wait::until(wait::SOON, "the rules to be read", || {
        outcome(&ruled.pooler, "guest", "") == "28000"
    });
}

#[test]
fn rules_may_be_about_roles_where_the_server_can_be_asked() {
    let database = Cluster::shared().database();
    let mut admin = Cluster::shared().admin();
    for name in [
        "rule_readers",
        "rule_all",
        "rule_member",
        "rule_other",
        "rule,odd",
    ] {
        admin.rows(&format!("DROP ROLE IF EXISTS \"{name}\""));
    }
    admin.rows("CREATE ROLE rule_all");
    admin.rows("CREATE ROLE rule_readers IN ROLE rule_all");
    admin.rows("CREATE ROLE rule_member LOGIN IN ROLE rule_readers");
    admin.rows("CREATE ROLE rule_other LOGIN");
    admin.rows("CREATE ROLE \"rule,odd\" LOGIN IN ROLE rule_all");
    let folder = Folder::new();
    let rules = "host all +rule_readers all trust\nhost all \"rule,odd\" all reject\n\
                 host all +rule_all all trust\nhost samerole all all trust\n";
    let path = folder.put("hba.conf", rules);
    let plan = || {
        Plan::before(&database)
            .setting("auth_type", "\"hba\"")
            .setting("auth_hba_file", &format!("{path:?}"))
    };
    let pooler = plan().setting("auth_user", "\"postgres\"").start();
    for (user, expected) in [
        ("rule_member", "ok"),
        ("rule_other", "28000"),
        ("rule,odd", "28000"),
        ("nobody_at_all", "28000"),
        // A superuser is no member of what it was not granted.
        ("postgres", "28000"),
    ] {
        assert_eq!(outcome(&pooler, user, ""), expected, "{user}");
    }
    admin.rows("REVOKE rule_readers FROM rule_member");
    pooler.signal(1);
    wait::until(wait::SOON, "the roles to be asked for again", || {
        outcome(&pooler, "rule_member", "") == "28000"
    });
}

#[test]
fn a_login_that_shows_nothing_takes_nothing_away() {
    let database = Cluster::shared().database();
    let mut admin = Cluster::shared().admin();
    let stored = "SELECT rolpassword FROM pg_authid WHERE rolname = 'login_scram'";
    let users = format!("\"login_scram\" \"{}\"\n", admin.value(stored));
    let folder = Folder::new();
    let users = folder.put("userlist.txt", &users);
    let rules = folder.put("hba.conf", "host all all all scram-sha-256\n");
    let pooler = Plan::before(&database)
        .setting("auth_type", "\"hba\"")
        .setting("auth_hba_file", &format!("{rules:?}"))
        .setting("auth_file", &format!("{users:?}"))
        // Each turn has a server connection of its own.
        .setting("server_lifetime", "0")
        .start();
    assert_eq!(outcome(&pooler, "login_scram", "scram secret"), "ok");
    folder.put("hba.conf", "host all all all trust\n");
    pooler.signal(1);
    wait::until(wait::SOON, "the rules to be read", || {
        pooler.log().contains("was read again")
    });
    for _ in 0..2 {
        assert_eq!(outcome(&pooler, "login_scram", ""), "ok");
    }
}

#[test]
fn with_cert_the_name_in_the_certificate_is_the_user() {
    let database = Cluster::shared().database();
    let (folder, authority) = (Folder::new(), Authority::new());
    let issued = authority.issue(&["localhost"]);
    let mut plan = Plan::before(&database)
        .setting("auth_type", "\"cert\"")
        .setting("client_tls_sslmode", "\"verify-full\"");
    for (key, name, text) in [
        ("client_tls_cert_file", "s.crt", &issued.cert),
        ("client_tls_key_file", "s.key", &issued.key),
        ("client_tls_ca_file", "ca.crt", &authority.pem),
    ] {
        plan = plan.setting(key, &format!("{:?}", folder.put(name, text)));
    }
    let ruled = Ruled {
        pooler: plan.start(),
        _database: database,
        authority,
        folder,
    };
    let own = ruled.with_certificate("guest");
    assert_eq!(ruled.in_tls(&own, "guest", ""), "ok");
    assert_eq!(ruled.in_tls(&own, "postgres", ""), "28000");
    assert_eq!(
        ruled.in_tls(&ruled.authority.client(), "guest", ""),
        "28000"
    );
    assert_eq!(outcome(&ruled.pooler, "guest", ""), "28000");
}
