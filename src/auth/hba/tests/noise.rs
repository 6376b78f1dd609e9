//! Whatever stands in a file, nothing panics.

use super::*;
use crate::auth::{ident::Maps, userlist};

/// Numbers that look random, the same at each run.
struct Noise(u64);

impl Noise {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 >> 33).unwrap() % end
    }

    fn pick<'t>(&mut self, from: &[&'t str]) -> &'t str {
        from.get(self.below(from.len())).unwrap()
    }
}

/// What files are made of.
const SCRAPS: [&str; 48] = [
    " ",
    " ",
    " ",
    "\n",
    "\n",
    "\t",
    "\r\n",
    "\\\n",
    ",",
    "\"",
    "\"\"",
    "#",
    "=",
    "@",
    "@x",
    "+",
    "/",
    "\\",
    "\\1",
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    "*",
    "^",
    "$",
    "local",
    "host",
    "hostssl",
    "all",
    "ann",
    "samerole",
    "samenet",
    "10.0.0.0/8",
    "::1",
    "255.0.0.0",
    ".org",
    "trust",
    "ldap",
    "map=m",
    "clientcert=verify-ca",
    "include",
    "include_dir",
    "ä",
    "\0",
    "SCRAM-SHA-256$",
];

fn read_everything(text: &str) -> bool {
    let files = [("hba.conf", text), ("x", text), ("d/x.conf", text)];
    let rules = read_all(&files, EVERYTHING);
    if let Ok(rules) = &rules {
        for words in [
            "local all ann",
            "ssl 10.0.0.5 app carl",
            "host ::1 a b replication",
        ] {
            let _ = rules.find(&login(words), &World);
        }
    }
    if let Ok(maps) = Maps::read(Path::new(MAIN), &InMemory::of(&files), true) {
        let _ = maps.allows(Some("all"), "ann", "bob", &World);
    }
    let _ = userlist::parse("users", text);
    rules.is_ok()
}

#[test]
fn random_bytes_never_panic() {
    let mut noise = Noise(0x9e37_79b9_7f4a_7c15);
    for _ in 0..3_000 {
        let bytes: Vec<u8> = (0..noise.below(80))
            .map(|_| u8::try_from(noise.below(256)).unwrap())
            .collect();
        read_everything(&String::from_utf8_lossy(&bytes));
    }
}

#[test]
fn random_words_never_panic() {
    let mut noise = Noise(0x0123_4567_89ab_cdef);
    for _ in 0..10_000 {
        let scraps = noise.below(25);
        let text: String = (0..scraps).map(|_| noise.pick(&SCRAPS)).collect();
        read_everything(&text);
    }
}

#[test]
fn random_columns_never_panic_and_some_are_rules() {
    let mut noise = Noise(0xfeed_beef_dead_cafe);
    let columns: [&[&str]; 5] = [
        &["local", "host", "hostssl", "hostnossl"],
        &["all", "app,\"b\"", "/^a(b|c)*$", "samerole", "replication"],
        &["all", "ann", "+admins", "\"x y\"", "/^(.*)$"],
        &["all", "10.0.0.0/8", "::1 ffff::", "samenet", ".org", ""],
        &[
            "trust",
            "md5",
            "cert map=m",
            "peer",
            "ldap ldapurl=x",
            "reject",
        ],
    ];
    let mut read = 0;
    for _ in 0..3_000 {
        let line: Vec<_> = columns.iter().map(|words| noise.pick(words)).collect();
        read += usize::from(read_everything(&line.join(" ")));
    }
    assert!(read > 500, "{read}");
}
