//! What the machine offers: PostgreSQL's programs, an unprivileged user, free
//! ports, scratch directories.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::{env, fs};

/// A new empty directory that other users may enter.
pub fn scratch_directory(purpose: &str) -> PathBuf {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let path = env::temp_dir().join(format!(
        "pgweave-test-{}-{purpose}-{number}",
        std::process::id()
    ));
    let _ = fs::remove_dir_all(&path);
    fs::create_dir_all(&path).unwrap();
    path
}

/// A port on which nobody listens at this moment.
pub fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port()
}

/// PostgreSQL's programs: PGWEAVE_TEST_PG_BIN, pg_config, the newest of the
/// usual places.
pub fn program_directory() -> PathBuf {
    let named = env::var_os("PGWEAVE_TEST_PG_BIN").map(PathBuf::from);
    let asked = Command::new("pg_config").arg("--bindir").output().ok();
    let asked = asked.map(|output| PathBuf::from(String::from_utf8_lossy(&output.stdout).trim()));
    let candidates = named.into_iter().chain(asked).chain(usual_places());
    candidates
        .into_iter()
        .find(|path| path.join("initdb").exists() && path.join("postgres").exists())
        .expect(
            "these tests need PostgreSQL's server programs (initdb, postgres): install PostgreSQL \
         or point PGWEAVE_TEST_PG_BIN at their directory",
        )
}

fn usual_places() -> Vec<PathBuf> {
    let mut places = Vec::new();
    let parents = [
        "/usr/lib/postgresql",
        "/usr/local/opt",
        "/opt/homebrew/opt",
        "/usr/pgsql",
        "/opt/local/lib",
    ];
    for parent in parents {
        let entries = fs::read_dir(parent).into_iter().flatten().flatten();
        places.extend(
            entries
                .map(|entry| entry.path().join("bin"))
                .filter(|bin| bin.join("postgres").exists()),
        );
    }
    places.sort_by_key(|bin| std::cmp::Reverse(version_in(bin)));
    places
}

fn version_in(path: &Path) -> u32 {
    let digits: String = path
        .to_string_lossy()
        .chars()
        .filter(char::is_ascii_digit)
        .collect();
    digits.parse().unwrap_or(0)
}

/// PostgreSQL refuses to run as root: then it runs as `postgres` or `nobody`.
pub fn unprivileged_owner() -> Option<(u32, u32)> {
    let number = |option: &str, user: &str| -> Option<u32> {
        let output = Command::new("id").args([option, user]).output().ok()?;
        String::from_utf8_lossy(&output.stdout).trim().parse().ok()
    };
    let me = Command::new("id").arg("-u").output().expect("`id` runs");
    if String::from_utf8_lossy(&me.stdout).trim() != "0" {
        return None;
    }
    let owner = ["postgres", "nobody"]
        .iter()
        .find_map(|user| Some((number("-u", user)?, number("-g", user)?)));
    Some(owner.expect("a user `postgres` or `nobody` to run PostgreSQL as"))
}
