//! libpq against pgweave.

use std::process::{Command, Output};

use super::Secure;
use crate::support::certificates::Authority;
use crate::support::machine::program_directory;
use crate::support::postgres::Cluster;

fn psql(secure: &Secure, parameters: &str) -> Output {
    let line = format!(
        "host=localhost hostaddr=127.0.0.1 port={} user=postgres dbname={} {parameters}",
        secure.pooler.address.port(),
        secure.pooler.database
    );
    Command::new(program_directory().join("psql"))
        .args([
            "-X",
            "-A",
            "-t",
            "-c",
            "\\conninfo",
            "-c",
            "SELECT 6 * 7",
            &line,
        ])
        .env_clear()
        .env("HOME", "/nonexistent")
        .output()
        .unwrap()
}

#[test]
fn libpq_verifies_pgweave_in_full() {
    let database = Cluster::shared().database();
    let secure = Secure::before(&database, "require");
    let ca = secure.folder.put("root.crt", &secure.authority.pem);
    let output = psql(&secure, &format!("sslmode=verify-full sslrootcert={ca}"));
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        text.contains("42") && text.contains("TLSv1.3"),
        "{output:?}"
    );
    let wrong = secure.folder.put("wrong.crt", &Authority::new().pem);
    let output = psql(&secure, &format!("sslmode=verify-full sslrootcert={wrong}"));
    assert!(!output.status.success());
}

#[test]
fn libpq_is_told_in_words_what_is_missing() {
    let database = Cluster::shared().database();
    let secure = Secure::before(&database, "verify-full");
    let told = |parameters: &str| {
        let output = psql(&secure, parameters);
        assert!(!output.status.success(), "{output:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let in_clear = told("sslmode=disable");
    assert!(in_clear.contains("without TLS"), "{in_clear}");
    let nameless = told("sslmode=require");
    assert!(nameless.contains("valid client certificate"), "{nameless}");
    let issued = secure.authority.issue(&["me"]);
    let cert = secure.folder.put("me.crt", &issued.cert);
    let key = secure.folder.put("me.key", &issued.key);
    let output = psql(
        &secure,
        &format!("sslmode=require sslcert={cert} sslkey={key}"),
    );
    assert!(output.status.success(), "{output:?}");
}
