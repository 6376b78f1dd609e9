//! Method toward clients x what is stored x method of the server.

use super::{outcome, with_auth_file};
use crate::support::postgres::Cluster;

const METHODS: [&str; 3] = ["plain", "md5", "scram-sha-256"];

/// Roles, by how the server asks for their passwords.
const ROLES: [(&str, &str); 4] = [
    ("guest", "trust"),
    ("login_plain", "password"),
    ("login_md5", "md5"),
    ("login_scram", "scram-sha-256"),
];

fn password_of(role: &str) -> String {
    match role.strip_prefix("login_") {
        Some(way) => format!("{way} secret"),
        None => "guest secret".to_owned(),
    }
}

/// What may be stored of a role's password.
struct Stored {
    plain: String,
    md5: String,
    /// The server's own, where it has one.
    scram: String,
}

fn stored(role: &str) -> Stored {
    let mut admin = Cluster::shared().admin();
    let password = password_of(role);
    let own = format!(
        "SELECT rolpassword FROM pg_authid WHERE rolname = '{role}' AND rolpassword LIKE 'SCRAM%'"
    );
    let own = admin.rows(&own).pop().and_then(|mut row| row.remove(0));
    let scram = own.unwrap_or_else(|| {
        // One that PostgreSQL makes, for nobody that can log in.
        let name = format!("matrix_{role}");
        admin.rows("SET password_encryption = 'scram-sha-256'");
        admin.rows(&format!("DROP ROLE IF EXISTS {name}"));
        admin.rows(&format!("CREATE ROLE {name} PASSWORD '{password}'"));
        let made = format!("SELECT rolpassword FROM pg_authid WHERE rolname = '{name}'");
        let made = admin.value(&made);
        admin.rows(&format!("DROP ROLE {name}"));
        made
    });
    let md5 = admin.value(&format!("SELECT 'md5' || md5('{password}{role}')"));
    Stored {
        plain: password,
        md5,
        scram,
    }
}

/// What must come of it.
fn expected(method: &str, stored: &str, server: &str) -> &'static str {
    let proves = match (method, stored) {
        ("scram-sha-256", "md5") => false,
        ("md5" | "plain" | "scram-sha-256", _) => true,
        _ => unreachable!(),
    };
    // What is known of the password afterwards.
    let known = match (method, stored) {
        ("plain", _) | (_, "plain") => "password",
        (_, "md5") => "hash",
        (_, _) => "keys",
    };
    let serves = match server {
        "trust" => true,
        "password" => known == "password",
        "md5" => known == "password" || known == "hash",
        "scram-sha-256" => known == "password" || known == "keys",
        _ => unreachable!(),
    };
    if proves && serves { "ok" } else { "28P01" }
}

#[test]
fn each_method_with_each_secret_and_each_server() {
    let database = Cluster::shared().database();
    let secrets: Vec<_> = ROLES.iter().map(|(role, _)| stored(role)).collect();
    let mut wrong = Vec::new();
    for method in METHODS {
        for kind in ["plain", "md5", "scram"] {
            let users: String = ROLES
                .iter()
                .zip(&secrets)
                .map(|((role, _), stored)| {
                    let secret = match kind {
                        "plain" => &stored.plain,
                        "md5" => &stored.md5,
                        _ => &stored.scram,
                    };
                    format!("\"{role}\" \"{secret}\"\n")
                })
                .collect();
            let (plan, _folder) = with_auth_file(&database, method, &users);
            let pooler = plan.start();
            for (role, server) in ROLES {
                let expected = expected(method, kind, server);
                let found = outcome(&pooler, role, &password_of(role));
                if found != expected {
                    wrong.push(format!("{method} {kind} {server}: {found}, not {expected}"));
                }
                let found = outcome(&pooler, role, "wrong");
                if found != "28P01" {
                    wrong.push(format!("{method} {kind} {server}: wrong password: {found}"));
                }
            }
            assert_eq!(outcome(&pooler, "nobody", "guest secret"), "28P01");
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn a_forced_user_logs_in_with_its_own_secret_whoever_the_client_is() {
    let database = Cluster::shared().database();
    let secret = stored("login_scram");
    let users = format!(
        "\"guest\" \"{}\"\n\"login_scram\" \"{}\"\n",
        "guest secret", secret.plain
    );
    let (plan, _folder) = with_auth_file(&database, "scram-sha-256", &users);
    let pooler = plan.database_lines("user = \"login_scram\"").start();
    let mut client = super::attempt(&pooler, "guest", "guest secret").expect("let in");
    assert_eq!(client.value("SELECT session_user"), "login_scram");
}

#[test]
fn what_a_client_shows_is_never_another_users_proof() {
    let database = Cluster::shared().database();
    // The forced user has the same password as the client, and only a verifier
    // is known: the client's keys must not be tried for it.
    let verifier = stored("login_scram").scram;
    let users = format!("\"guest\" \"{verifier}\"\n");
    let (plan, _folder) = with_auth_file(&database, "scram-sha-256", &users);
    let pooler = plan.database_lines("user = \"login_scram\"").start();
    assert_eq!(outcome(&pooler, "guest", "scram secret"), "28P01");
}
