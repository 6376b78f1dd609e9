//! `pgweave health`, as a container asks.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Output};

use crate::support::pooler::{Plan, Pooler};
use crate::support::postgres::Cluster;
use crate::support::wait;

/// Asks with these arguments and no variables but these.
fn health(arguments: &[&str], variables: &[(&str, &str)]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_pgweave"))
        .arg("health")
        .args(arguments)
        .env_clear()
        .envs(variables.iter().copied())
        .current_dir("/")
        .output()
        .unwrap()
}

/// What it says, or nothing where all is well.
fn complaint(arguments: &[&str], variables: &[(&str, &str)]) -> Option<String> {
    let output = health(arguments, variables);
    let said = String::from_utf8(output.stderr).unwrap();
    match output.status.code() {
        Some(0) => assert_eq!(said, ""),
        code => {
            assert_eq!(code, Some(1), "{said}");
            assert_eq!(said.lines().count(), 1, "{said}");
            return Some(said);
        }
    }
    None
}

fn file_of(pooler: &Pooler) -> String {
    let mut entries = std::fs::read_dir(pooler.directory()).unwrap();
    let file = entries.find_map(|entry| {
        let path = entry.unwrap().path();
        (path.extension() == Some("toml".as_ref())).then_some(path)
    });
    file.and_then(|path| path.to_str().map(str::to_owned))
        .expect("its file")
}

/// A port that is free now.
fn nobody() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap()
}

#[test]
fn over_http_it_is_well_until_it_is_about_to_end() {
    let database = Cluster::shared().database();
    let mut pooler = Plan::before(&database)
        .setting("http_listen", "\"127.0.0.1:0\"")
        .setting("shutdown_delay", "\"1h\"")
        .start();
    let log = pooler.log();
    let address = log.split("health on http://").nth(1).expect("a line");
    let address = address.split_whitespace().next().unwrap();
    let variables = [("PGWEAVE_HTTP_LISTEN", address)];
    let file = file_of(&pooler);
    assert_eq!(complaint(&[&file], &variables), None);
    // By the variable alone, whatever has become of the file.
    assert_eq!(complaint(&[], &variables), None);
    std::fs::write(Path::new(&file), "spoiled").unwrap();
    assert_eq!(complaint(&["--live"], &variables), None);
    assert!(complaint(&[&file], &variables).is_some());
    pooler.signal(15);
    wait::until(wait::SOON, "that it is not ready", || {
        complaint(&[], &variables).is_some_and(|said| said.contains("503"))
    });
    assert_eq!(complaint(&["--live"], &variables), None);
    pooler.signal(15);
    assert_eq!(pooler.wait().code(), Some(0));
    assert!(complaint(&["--live"], &variables).is_some());
}

#[test]
fn without_http_clients_are_answered() {
    let database = Cluster::shared().database();
    let pooler = Plan::before(&database).start();
    let port = pooler.address.port().to_string();
    let file = file_of(&pooler);
    let variables = [("PGWEAVE_LISTEN_PORT", port.as_str())];
    assert_eq!(complaint(&[&file], &variables), None);
    let url = [
        ("DATABASE_URL", "postgres://nobody@127.0.0.1:1/none"),
        ("PGWEAVE_LISTEN_PORT", &port),
    ];
    assert_eq!(complaint(&[], &url), None);
    let nobody = nobody().port().to_string();
    assert!(complaint(&[&file], &[("PGWEAVE_LISTEN_PORT", &nobody)]).is_some());
    assert!(complaint(&[], &[]).is_some_and(|said| said.contains("no configuration")));
    assert!(!pooler.log().contains("login failed"), "{}", pooler.log());
}

#[test]
fn who_does_not_answer_is_not_waited_for() {
    // The system accepts, and nobody reads.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap().to_string();
    let began = std::time::Instant::now();
    let said = complaint(&[], &[("PGWEAVE_HTTP_LISTEN", &address)]);
    assert!(said.is_some_and(|said| said.contains("no answer in time")));
    assert!(began.elapsed() < wait::SOON);
}
