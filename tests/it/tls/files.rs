//! What is wrong with files is told by `check` and at start alike.

use std::process::Command;

use crate::support::certificates::{Authority, Folder};

#[test]
fn a_wrong_file_is_named_by_check_and_at_start_with_its_line() {
    let folder = Folder::new();
    let authority = Authority::new();
    let (one, other) = (authority.issue(&["a"]), authority.issue(&["b"]));
    let cert = folder.put("one.crt", &one.cert);
    let key = folder.put("other.key", &other.key);
    let text = format!(
        "[pgweave]\nlisten_port = 0\nclient_tls_sslmode = \"require\"\n\
         client_tls_cert_file = {cert:?}\nclient_tls_key_file = {key:?}\n\
         server_tls_sslmode = \"verify-ca\"\nserver_tls_ca_file = \"/nowhere/ca.crt\"\n\
         [databases.\"*\"]\nhost = \"127.0.0.1\"\n[users.a]\npassword = \"a\"\n"
    );
    let file = folder.put("pgweave.toml", &text);
    for arguments in [vec!["check", &file], vec![&file[..]]] {
        let output = Command::new(env!("CARGO_BIN_EXE_pgweave"))
            .args(&arguments)
            .env_clear()
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        let lines: Vec<&str> = told.lines().collect();
        assert_eq!(lines.len(), 2, "{told}");
        assert!(
            lines[0].starts_with(&format!("{file}:5: pgweave.client_tls_key_file: {key}: ")),
            "{told}"
        );
        assert!(
            lines[1].starts_with(&format!(
                "{file}:7: pgweave.server_tls_ca_file: /nowhere/ca.crt: "
            )),
            "{told}"
        );
    }
}
