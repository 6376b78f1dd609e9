//! The house keeps its floors: a room of `src` uses only rooms of lower
//! floors, and some crates are named in few rooms only.
//!
//! Reads the source as text: `crate::` paths, wherever they stand, tests
//! within the rooms included, comments not.

#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Every room that may be, by floor. A room without a floor is a mistake; a
/// floor may be without some of its rooms.
const FLOORS: [&[&str]; 8] = [
    &["wire", "config", "stats"],
    &["session", "auth"],
    &["net"],
    &["server"],
    &["pool"],
    &["proxy"],
    &["admin", "telemetry"],
    &["app"],
];

/// Crates that are named in these rooms only.
const HOMES: [(&str, &[&str]); 4] = [
    ("pgwire", &["wire", "auth"]),
    ("bb8", &["pool"]),
    ("tokio_rustls", &["net"]),
    ("rustls_native_certs", &["net"]),
];

/// The first floor that may do I/O, and so name tokio.
const FIRST_WITH_IO: usize = 2;

#[test]
fn every_room_has_a_floor_and_files() {
    let declared = declared_rooms();
    assert!(declared.len() >= 9, "few rooms: {declared:?}");
    let folders: BTreeSet<String> = fs::read_dir(source())
        .unwrap()
        .map(|entry| entry.unwrap())
        .filter(|entry| entry.path().is_dir())
        .map(|entry| entry.file_name().into_string().unwrap())
        .collect();
    assert_eq!(
        folders, declared,
        "folders of src, and what lib.rs declares"
    );
    for room in &declared {
        assert!(floor_of(room).is_some(), "{room} has no floor");
        assert!(!files_of(room).is_empty(), "{room} has no files");
    }
}

#[test]
fn a_room_uses_only_rooms_of_lower_floors() {
    let rooms = declared_rooms();
    let (mut seen, mut wrong) = (0, Vec::new());
    for (room, file, code) in all_code() {
        for used in rooms_used(&code) {
            assert!(
                rooms.contains(&used),
                "{} names crate::{used}, which is no room",
                file.display()
            );
            seen += 1;
            if used != room && floor_of(&used) >= floor_of(&room) {
                wrong.push(format!("{}: {room} uses {used}", file.display()));
            }
        }
    }
    assert!(seen > 50, "only {seen} uses were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn crates_are_named_only_where_they_live() {
    for (name, homes) in HOMES {
        let naming = rooms_naming(name);
        assert!(!naming.is_empty(), "{name} was found nowhere");
        for (room, file) in naming {
            assert!(
                homes.contains(&room.as_str()),
                "{} names {name}",
                file.display()
            );
        }
    }
}

#[test]
fn rooms_without_io_do_not_name_tokio() {
    let naming = rooms_naming("tokio");
    assert!(!naming.is_empty(), "tokio was found nowhere");
    for (room, file) in naming {
        assert!(
            floor_of(&room) >= Some(FIRST_WITH_IO),
            "{} names tokio",
            file.display()
        );
    }
}

#[test]
fn uses_are_found_in_every_form() {
    let code = without_comments(
        "use crate::wire::{a, b};\nuse crate::{net::c, pool::{d, e}, session};\n\
         // use crate::proxy::x;\nlet x = crate::server::y(); // crate::app\n\
         mycrate::auth::z();\npub(in crate::config) fn f() {}\n",
    );
    let used = rooms_used(&code);
    let expected = ["wire", "net", "pool", "session", "server", "config"];
    assert_eq!(used, expected);
    assert!(names("let x = tokio::spawn(y);", "tokio"));
    assert!(names("use bb8;", "bb8"));
    assert!(!names("let x = mytokio::y; let tokio_like = 1;", "tokio"));
}

fn source() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

fn floor_of(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

/// The rooms of the library: `pub mod NAME;`.
fn declared_rooms() -> BTreeSet<String> {
    let library = fs::read_to_string(source().join("lib.rs")).unwrap();
    library
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'))
        .map(str::to_owned)
        .collect()
}

fn files_of(room: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![source().join(room)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|end| end == "rs") {
                files.push(path);
            }
        }
    }
    files
}

/// Room, file, and its code without comments.
fn all_code() -> Vec<(String, PathBuf, String)> {
    let mut all = Vec::new();
    for room in declared_rooms() {
        for file in files_of(&room) {
            let code = without_comments(&fs::read_to_string(&file).unwrap());
            all.push((room.clone(), file, code));
        }
    }
    all
}

/// What stands behind `//` is left out; in a text, say a URL, that loses the
/// rest of a line, which does no harm here.
fn without_comments(code: &str) -> String {
    code.lines()
        .map(|line| line.split("//").next().unwrap_or_default())
        .fold(String::new(), |all, line| all + line + "\n")
}

/// The first name behind each `crate::`, and each of a group.
fn rooms_used(code: &str) -> Vec<String> {
    let mut used = Vec::new();
    for at in places(code, "crate::") {
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => used.extend(heads_of_group(group)),
            None => used.push(first_name(rest)),
        }
    }
    used
}

/// The first name of each path in `a::b, c::{d, e}, f}`.
fn heads_of_group(group: &str) -> Vec<String> {
    let (mut heads, mut depth, mut from) = (Vec::new(), 0, 0);
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            ',' if depth == 0 => {
                heads.push(first_name(&group[from..at]));
                from = at + 1;
            }
            '}' if depth == 0 => {
                heads.push(first_name(&group[from..at]));
                break;
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    heads.retain(|head| !head.is_empty());
    heads
}

fn first_name(text: &str) -> String {
    text.trim_start()
        .chars()
        .take_while(|letter| is_name(*letter))
        .collect()
}

fn rooms_naming(name: &str) -> Vec<(String, PathBuf)> {
    all_code()
        .into_iter()
        .filter(|(_, _, code)| names(code, name))
        .map(|(room, file, _)| (room, file))
        .collect()
}

/// Is the crate named, as the head of a path or alone in a `use`?
fn names(code: &str, name: &str) -> bool {
    places(code, name).into_iter().any(|at| {
        let rest = &code[at + name.len()..];
        rest.starts_with("::") || (code[..at].ends_with("use ") && !rest.starts_with(is_name))
    })
}

/// Where `what` begins a name.
fn places(code: &str, what: &str) -> Vec<usize> {
    code.match_indices(what)
        .map(|(at, _)| at)
        .filter(|at| !code[..*at].ends_with(is_name))
        .collect()
}

fn is_name(letter: char) -> bool {
    letter.is_alphanumeric() || letter == '_'
}
