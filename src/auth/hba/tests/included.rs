//! Files that name other files.

use super::*;

/// Files, login, `FILE:LINE METHOD` or `-`.
type Row = (
    &'static [(&'static str, &'static str)],
    &'static str,
    &'static str,
);

const ROWS: [Row; 12] = [
    (
        &[
            ("hba.conf", "include more.conf"),
            ("more.conf", "\nlocal all all trust"),
        ],
        "local app ann",
        "/etc/more.conf:2 Trust",
    ),
    (
        &[
            ("hba.conf", "include \"a b.conf\"\nlocal all all md5"),
            ("a b.conf", "local all ann reject"),
        ],
        "local app ann",
        "/etc/a b.conf:1 Reject",
    ),
    (
        &[
            ("hba.conf", "include \"a b.conf\"\nlocal all all md5"),
            ("a b.conf", "local all ann reject"),
        ],
        "local app bob",
        "/etc/hba.conf:2 Md5",
    ),
    (
        &[
            ("hba.conf", "include d/one.conf"),
            ("d/one.conf", "include two.conf"),
            ("d/two.conf", "local all all trust"),
        ],
        "local app ann",
        "/etc/d/two.conf:1 Trust",
    ),
    (
        &[
            (
                "hba.conf",
                "include_if_exists none.conf\ninclude_if_exists some.conf",
            ),
            ("some.conf", "local all all trust"),
        ],
        "local app ann",
        "/etc/some.conf:1 Trust",
    ),
    (
        &[
            ("hba.conf", "include_dir d"),
            ("d/10.conf", "local all all trust"),
            ("d/09.conf", "local all all md5"),
            ("d/00.conf~", "local all all reject"),
            ("d/.00.conf", "local all all reject"),
        ],
        "local app ann",
        "/etc/d/09.conf:1 Md5",
    ),
    (
        &[
            ("hba.conf", "include /etc/x\ninclude /etc/x"),
            ("x", "local all all trust"),
        ],
        "local app ann",
        "/etc/x:1 Trust",
    ),
    (
        &[
            ("hba.conf", "local all @users trust"),
            ("users", "ann\nbob, carl # some\n"),
        ],
        "local app carl",
        "/etc/hba.conf:1 Trust",
    ),
    (
        &[
            ("hba.conf", "local all @users trust"),
            ("users", "ann\nbob, carl # some\n"),
        ],
        "local app some",
        "-",
    ),
    (
        &[
            ("hba.conf", "local x,@d/dbs all trust"),
            ("d/dbs", "@more \"@quoted\""),
            ("d/more", "app"),
        ],
        "local app ann",
        "/etc/hba.conf:1 Trust",
    ),
    (
        &[
            ("hba.conf", "local x,@d/dbs all trust"),
            ("d/dbs", "@more \"@quoted\""),
            ("d/more", "app"),
        ],
        "local @quoted ann",
        "/etc/hba.conf:1 Trust",
    ),
    (
        &[("hba.conf", "local all \"@users\",@ trust")],
        "local app @users",
        "/etc/hba.conf:1 Trust",
    ),
];

#[test]
fn what_is_included_stands_in_the_place_of_its_directive() {
    for (files, words, expected) in ROWS {
        let rules = read_all(files, CanAsk::default())
            .unwrap_or_else(|mistakes| panic!("{files:?}: {:?}", told(&mistakes)));
        let found = match rules.find(&login(words), &NoAnswers) {
            Some(rule) => format!("{}:{} {:?}", rule.place.file, rule.place.line, rule.method),
            None => "-".to_owned(),
        };
        assert_eq!(found, expected, "{files:?}: {words}");
    }
}

/// Files, and all that is wrong.
type Wrong = (
    &'static [(&'static str, &'static str)],
    &'static [&'static str],
);

const WRONG: [Wrong; 10] = [
    (&[], &["/etc/hba.conf: there is no such file"]),
    (
        &[(
            "hba.conf",
            "\ninclude none\ninclude forbidden\ninclude_if_exists forbidden",
        )],
        &[
            "2: include none: there is no such file",
            "3: include forbidden: permission denied",
            "4: include_if_exists forbidden: permission denied",
        ],
    ),
    (
        &[(
            "hba.conf",
            "include\ninclude a b\ninclude a,b\ninclude_dir \"\"\ninclude_dir none",
        )],
        &[
            "1: include: exactly one name of a file or folder must follow",
            "2: include: exactly one name of a file or folder must follow",
            "3: include: exactly one name of a file or folder must follow",
            "4: include_dir: exactly one name of a file or folder must follow",
            "5: include_dir none: there is no such file",
        ],
    ),
    (
        &[("hba.conf", "include a"), ("a", "# a\ninclude ./hba.conf")],
        &["/etc/a:2: include ./hba.conf: the file includes itself"],
    ),
    (
        &[("hba.conf", "local all @a trust"), ("a", "ann\n@a")],
        &["/etc/a:2: @a: the file includes itself"],
    ),
    (
        &[
            ("hba.conf", "local @none @empty trust"),
            ("empty", "# nobody"),
        ],
        &["1: @none: there is no such file"],
    ),
    (
        &[
            ("hba.conf", "local all @empty trust"),
            ("empty", "# nobody"),
        ],
        &["1: a file of names holds no name"],
    ),
    (
        &[
            ("hba.conf", "local all @users trust"),
            ("users", "ann\n\"bob"),
        ],
        &["/etc/users:2: a double quote is not closed"],
    ),
    (
        &[
            ("hba.conf", "include_dir d\nnone"),
            ("d/a.conf", "local"),
            ("d/b.conf", "x y z"),
        ],
        &[
            "/etc/d/a.conf:1: database: the line ends before this column",
            "/etc/d/b.conf:1: type: \"x\" is no type of connection",
            "2: type: \"none\" is no type of connection",
            "2: database: the line ends before this column",
        ],
    ),
    (
        &[
            ("hba.conf", "include_dir d"),
            ("d/a.conf", "include_dir ../d"),
        ],
        &["/etc/d/a.conf:1: include_dir ../d: there is no such file"],
    ),
];

#[test]
fn what_is_wrong_is_told_where_it_stands() {
    for (files, expected) in WRONG {
        let mistakes = read_all(files, CanAsk::default()).unwrap_err();
        assert_eq!(told(&mistakes), expected, "{files:?}");
    }
}

/// `hba.conf` includes `f1`, that `f2`, and so on.
fn chain(links: usize, directive: &str) -> Vec<(String, String)> {
    let name = |n: usize| match n {
        0 => "hba.conf".to_owned(),
        n => format!("f{n}"),
    };
    (0..=links)
        .map(|n| match n == links {
            true => (name(n), "local all all trust".to_owned()),
            false => (name(n), format!("{directive}{}", name(n + 1))),
        })
        .collect()
}

#[test]
fn files_include_each_other_ten_deep_and_no_deeper() {
    for (links, is_read) in [
        (0, true),
        (1, true),
        (MAX_DEPTH, true),
        (MAX_DEPTH + 1, false),
    ] {
        let files = InMemory(chain(links, "include ").into_iter().collect());
        let read = Rules::read(Path::new(MAIN), &files, CanAsk::default());
        assert_eq!(read.is_ok(), is_read, "{links}");
        if let Err(mistakes) = read {
            let expected = "/etc/f10:1: include f11: files include each other more than 10 deep";
            assert_eq!(told(&mistakes), [expected]);
        }
    }
}

#[test]
fn files_of_names_include_each_other_ten_deep_and_no_deeper() {
    for (links, is_read) in [(MAX_DEPTH, true), (MAX_DEPTH + 1, false)] {
        let mut files: HashMap<_, _> = chain(links, "@").into_iter().collect();
        files.insert("hba.conf".to_owned(), "local all @f1 trust".to_owned());
        let read = Rules::read(Path::new(MAIN), &InMemory(files), CanAsk::default());
        assert_eq!(read.is_ok(), is_read, "{links}");
    }
}

#[test]
fn little_text_cannot_include_without_end() {
    let many = |name: &str| format!("include {name}\n").repeat(50);
    let files = [
        ("hba.conf", many("a")),
        ("a", many("b")),
        ("b", many("c")),
        ("c", "local all all trust".to_owned()),
    ];
    let files = InMemory(files.map(|(name, text)| (name.to_owned(), text)).into());
    let mistakes = Rules::read(Path::new(MAIN), &files, CanAsk::default()).unwrap_err();
    let first = mistakes.first().unwrap();
    assert_eq!(first.what, "more than 1000 files are included");
    assert!(mistakes.len() < 200, "{}", mistakes.len());
}
