//! What may be behind a failed login, and what to do about it, in words: for the
//! log, and for whoever tries a configuration.
//!
//! What pgweave finds out itself brings its HINT along. A server's own error goes
//! to clients as it is; here is what its SQLSTATE stands for.

use crate::wire::{PgError, sqlstate};

/// What to do about an error that a login as `user` to `database` has ended with.
#[must_use]
pub fn advice(error: &PgError, user: &str, database: &str) -> Option<String> {
    if error.hint.is_some() {
        return error.hint.clone();
    }
    let (user, database) = (user.escape_debug(), database.escape_debug());
    Some(match error.code.as_str() {
        sqlstate::INVALID_PASSWORD => format!(
            "The password that pgweave has for \"{user}\" is not the server's. A role that does not exist is \
             told in the same words."
        ),
        sqlstate::INVALID_AUTHORIZATION => {
            return Some(not_let_in(
                &error.message,
                &user.to_string(),
                &database.to_string(),
            ));
        }
        sqlstate::INVALID_CATALOG_NAME => {
            "Create the database at the server, or name another one by dbname.".to_owned()
        }
        sqlstate::INSUFFICIENT_PRIVILEGE => {
            format!("At the server: GRANT CONNECT ON DATABASE \"{database}\" TO \"{user}\".")
        }
        sqlstate::TOO_MANY_CONNECTIONS => {
            "The server, the role or the database has no connection left: make pools smaller \
             (default_pool_size, max_db_connections), or raise max_connections or the CONNECTION LIMIT there."
                .to_owned()
        }
        sqlstate::CANNOT_CONNECT_NOW => {
            "It is starting, stopping or recovering: it will answer in a while, or its log tells why not."
                .to_owned()
        }
        sqlstate::PROTOCOL_VIOLATION => {
            "What listens there does not speak PostgreSQL's protocol as PostgreSQL does: is it the right port?"
                .to_owned()
        }
        _ => return None,
    })
}

/// 28000 has many reasons. The words are the server's, in English unless its
/// `lc_messages` say otherwise.
fn not_let_in(message: &str, user: &str, database: &str) -> String {
    let says = |what: &str| message.contains(what);
    if says("pg_hba.conf") && (says("no encryption") || says("SSL off")) {
        format!(
            "The server's pg_hba.conf lets nobody in from here without TLS, or not at all: set \
             server_tls_sslmode to require, or add a line for database {database}, user {user} and this \
             machine's address there."
        )
    } else if says("pg_hba.conf") {
        format!(
            "Add a line for database {database}, user {user} and this machine's address to the server's \
             pg_hba.conf, before any that rejects, and reload it."
        )
    } else if says("not permitted to log in") {
        format!("At the server: ALTER ROLE \"{user}\" LOGIN.")
    } else if says("does not exist") {
        format!("At the server: CREATE ROLE \"{user}\" LOGIN PASSWORD '...'; or name another user.")
    } else if says("eer authentication") || says("dent authentication") {
        "The server takes the system's user for a proof, which is pgweave's: choose scram-sha-256 for this \
         line of its pg_hba.conf, or give it a map."
            .to_owned()
    } else if says("certificate") {
        "The server wants a client certificate: set server_tls_cert_file and server_tls_key_file."
            .to_owned()
    } else {
        "The server's pg_hba.conf, and its log, tell why.".to_owned()
    }
}

/// What to do about an error that `auth_query`, run as `user` in `database`, has
/// ended with.
#[must_use]
pub fn advice_on_auth_query(error: &PgError, user: &str, database: &str) -> Option<String> {
    match error.code.as_str() {
        sqlstate::INSUFFICIENT_PRIVILEGE => Some(format!(
            "\"{}\" may not read what auth_query reads: let it execute a SECURITY DEFINER function that does \
             (docs/AUTHENTICATION.md has one), or read pg_authid.",
            user.escape_debug()
        )),
        sqlstate::UNDEFINED_FUNCTION
        | sqlstate::UNDEFINED_TABLE
        | sqlstate::INVALID_SCHEMA_NAME => Some(format!(
            "auth_query runs in database \"{}\" with search_path pg_catalog: is it there (auth_dbname names \
             another database), and is its schema named?",
            database.escape_debug()
        )),
        _ => advice(error, user, database),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(code: &str, message: &str) -> String {
        advice(&PgError::fatal(code, message), "app", "shop").unwrap_or_default()
    }

    #[test]
    fn each_error_of_a_server_has_its_own_way_out() {
        let no_entry =
            "no pg_hba.conf entry for host \"10.0.0.9\", user \"app\", database \"shop\"";
        for (code, message, way) in [
            (
                "28P01",
                "password authentication failed for user \"app\"",
                "password",
            ),
            (
                "28000",
                &format!("{no_entry}, no encryption"),
                "server_tls_sslmode",
            ),
            (
                "28000",
                &format!("{no_entry}, SSL encryption"),
                "Add a line for database shop, user app",
            ),
            (
                "28000",
                "role \"app\" is not permitted to log in",
                "ALTER ROLE \"app\" LOGIN",
            ),
            (
                "28000",
                "role \"app\" does not exist",
                "CREATE ROLE \"app\" LOGIN",
            ),
            (
                "28000",
                "Peer authentication failed for user \"app\"",
                "system's user",
            ),
            ("28000", "mot de passe", "pg_hba.conf"),
            ("3D000", "database \"shop\" does not exist", "dbname"),
            (
                "42501",
                "permission denied for database \"shop\"",
                "GRANT CONNECT ON DATABASE \"shop\" TO \"app\"",
            ),
            (
                "53300",
                "sorry, too many clients already",
                "max_connections",
            ),
            ("57P03", "the database system is starting up", "in a while"),
        ] {
            assert!(
                told(code, message).contains(way),
                "{code} {message}: {}",
                told(code, message)
            );
        }
        assert_eq!(told("22023", "invalid value for parameter"), "");
    }

    #[test]
    fn what_pgweave_found_out_itself_is_told_as_it_is() {
        let error = PgError::fatal("28P01", "none is set").with_hint("Set it.");
        assert_eq!(advice(&error, "app", "shop").as_deref(), Some("Set it."));
    }

    #[test]
    fn a_query_about_users_has_ways_out_of_its_own() {
        let told = |code: &str| {
            let error = PgError::error(code, "x");
            advice_on_auth_query(&error, "asker", "shop").unwrap_or_default()
        };
        assert!(told("42501").contains("SECURITY DEFINER"));
        assert!(told("42883").contains("search_path"));
        assert!(told("28P01").contains("password"));
    }
}
