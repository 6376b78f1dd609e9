//! What is refused, and how it is told.

use super::*;

/// A line, and all that is wrong with it.
type Row = (&'static str, &'static [&'static str]);

const LINES: [Row; 65] = [
    (
        "localhost all all trust",
        &["type: \"localhost\" is no type of connection"],
    ),
    (
        "LOCAL all all trust",
        &["type: \"LOCAL\" is no type of connection"],
    ),
    (
        "local,host all all trust",
        &["type: a list cannot stand here"],
    ),
    ("local", &["database: the line ends before this column"]),
    ("local all", &["user: the line ends before this column"]),
    (
        "local all all",
        &["method: the line ends before this column"],
    ),
    (
        "host all all",
        &["address: the line ends before this column"],
    ),
    (
        "host all all all",
        &["method: the line ends before this column"],
    ),
    (
        "host all all ::1",
        &["netmask: the line ends before this column"],
    ),
    ("local \"all all trust", &["a double quote is not closed"]),
    (
        "local \"\" \"\" trust",
        &["database: a name is empty", "user: a name is empty"],
    ),
    (
        "local all + trust",
        &["user: the name of a role must follow +"],
    ),
    (
        "local all / trust",
        &["user: the regular expression behind / is empty"],
    ),
    (
        "local /a**,b,/\\m all trust",
        &[
            "database: pgweave does not support a quantifier behind a quantifier in a regular expression",
            "database: pgweave does not support \\m in a regular expression",
        ],
    ),
    (
        "host all all 10.0.0.0/33 trust",
        &["address: \"10.0.0.0/33\": behind the slash must stand 0 to 32"],
    ),
    (
        "host all all ::1/129 trust",
        &["address: \"::1/129\": behind the slash must stand 0 to 128"],
    ),
    (
        "host all all 10.0.0.0/ trust",
        &["address: \"10.0.0.0/\": behind the slash must stand 0 to 32"],
    ),
    (
        "host all all 10.0.0.0/+8 trust",
        &["address: \"10.0.0.0/+8\": behind the slash must stand 0 to 32"],
    ),
    (
        "host all all 10.0.0.0/-1 trust",
        &["address: \"10.0.0.0/-1\": behind the slash must stand 0 to 32"],
    ),
    (
        "host all all 10.0.0.0/99999999999 trust",
        &["address: \"10.0.0.0/99999999999\": behind the slash must stand 0 to 32"],
    ),
    (
        "host all all db.example.org/8 trust",
        &["address: \"db.example.org/8\": an address in numbers must stand before the slash"],
    ),
    (
        "host all all 10.0.0.1 trust",
        &["netmask: \"trust\": a netmask must stand behind the address"],
    ),
    (
        "host all all 10.0.0.1 ffff:: trust",
        &["netmask: \"ffff::\": the netmask must be of the address's kind"],
    ),
    (
        "host all all ::1 255.0.0.0 trust",
        &["netmask: \"255.0.0.0\": the netmask must be of the address's kind"],
    ),
    (
        "host all all ::ffff:10.0.0.0/104 trust",
        &["address: \"::ffff:10.0.0.0/104\": an IPv4 address must be written as one"],
    ),
    (
        "host all all ::ffff:10.0.0.1 ffff:: trust",
        &["netmask: \"ffff::\": an IPv4 address must be written as one"],
    ),
    (
        "host all all 10.0.0 trust",
        &["address: \"10.0.0\": neither an address nor the name of a host"],
    ),
    (
        "host all all 300.0.0.1 trust",
        &["address: \"300.0.0.1\": neither an address nor the name of a host"],
    ),
    (
        "host all all fe80::1%eth0 trust",
        &["address: \"fe80::1%eth0\": neither an address nor the name of a host"],
    ),
    (
        "host all all a..b trust",
        &["address: \"a..b\": neither an address nor the name of a host"],
    ),
    (
        "host all all . trust",
        &["address: \".\": neither an address nor the name of a host"],
    ),
    (
        "host all all @none trust",
        &["@none: there is no such file"],
    ),
    (
        "host all all \"\" trust",
        &["address: \"\": neither an address nor the name of a host"],
    ),
    (
        "host all all ::1/128,::2/128 trust",
        &["address: a list cannot stand here"],
    ),
    (
        "local all all nothing",
        &["method: there is no method \"nothing\""],
    ),
    ("local all all MD5", &["method: there is no method \"MD5\""]),
    (
        "local all all md5,trust",
        &["method: a list cannot stand here"],
    ),
    (
        "host all all all gss",
        &["method: pgweave does not support the method gss"],
    ),
    (
        "host all all all sspi",
        &["method: pgweave does not support the method sspi"],
    ),
    (
        "host all all all radius radiusservers=x",
        &["method: pgweave does not support the method radius"],
    ),
    (
        "local all all bsd",
        &["method: pgweave does not support the method bsd"],
    ),
    (
        "host all all all oauth issuer=x",
        &["options: issuer stands in the configuration, as auth_oauth_issuer"],
    ),
    ("host all all all peer", &["method: peer needs local"]),
    (
        "host all all all ident",
        &["method: ident needs local, where it is peer: pgweave asks no ident server"],
    ),
    ("host all all all cert", &["method: cert needs hostssl"]),
    ("local all all cert", &["method: cert needs hostssl"]),
    (
        "local all all trust secret",
        &["options: an option must be name=value"],
    ),
    (
        "local all all trust colour=red",
        &["options: there is no option \"colour\""],
    ),
    (
        "local all all trust =red",
        &["options: there is no option \"\""],
    ),
    (
        "local all all trust map=m",
        &["options: map is an option of cert, peer, ident and oauth alone"],
    ),
    ("local all all peer map=", &["options: map names no map"]),
    (
        "local all all peer map=a map=b",
        &["options: map is given twice"],
    ),
    (
        "host all all all md5 clientcert=verify-ca",
        &["options: clientcert is an option of hostssl alone"],
    ),
    (
        "hostssl all all all md5 clientcert=no-verify",
        &["options: clientcert must be verify-ca or verify-full"],
    ),
    (
        "hostssl all all all md5 clientcert=1",
        &["options: clientcert must be verify-ca or verify-full"],
    ),
    (
        "hostssl all all all cert clientcert=verify-ca",
        &["options: with cert, clientcert can be verify-full alone"],
    ),
    (
        "hostssl all all all md5 clientcert=verify-ca clientcert=verify-full",
        &["options: clientcert is given twice"],
    ),
    (
        "hostssl all all all cert clientname=dn",
        &["options: clientname must be CN or DN"],
    ),
    (
        "host all all all md5 clientname=DN",
        &["options: clientname is an option of hostssl alone"],
    ),
    (
        "hostssl all all all cert clientname=DN clientname=DN",
        &["options: clientname is given twice"],
    ),
    (
        "host all all all md5 ldapserver=x",
        &["options: ldapserver is an option of ldap alone"],
    ),
    (
        "host all all all pam pam_use_hostname=1",
        &["options: pam_use_hostname is not supported: PAM is told the address"],
    ),
    (
        "host all all all ldap pamservice=x",
        &["options: pamservice is an option of pam alone"],
    ),
    (
        "host all all all ldap ldapport=1 ldapport=2",
        &["options: ldapport is given twice"],
    ),
    (
        "host \"\" + 1/1 ldap x y=z",
        &[
            "database: a name is empty",
            "user: the name of a role must follow +",
            "address: \"1/1\": an address in numbers must stand before the slash",
            "options: an option must be name=value",
            "options: there is no option \"y\"",
        ],
    ),
];

#[test]
fn every_mistake_of_a_line_is_told() {
    for (line, expected) in LINES {
        let mistakes = read_main(&format!("# rules\n{line}\n"), EVERYTHING).unwrap_err();
        let expected: Vec<_> = expected.iter().map(|what| format!("2: {what}")).collect();
        assert_eq!(told(&mistakes), expected, "{line}");
    }
}

#[test]
fn the_mistakes_of_all_lines_are_told_in_their_order() {
    let mut text = String::new();
    let mut expected = Vec::new();
    for ((line, mistakes), number) in LINES.iter().zip(1..) {
        text.push_str(line);
        text.push('\n');
        expected.extend(mistakes.iter().map(|what| format!("{number}: {what}")));
    }
    assert_eq!(told(&read_main(&text, EVERYTHING).unwrap_err()), expected);
}

#[test]
fn what_nobody_can_answer_is_refused() {
    let rows = [
        (
            "local samerole all trust",
            "1: database: samerole asks for members of a role, which pgweave cannot tell",
        ),
        (
            "local samegroup all trust",
            "1: database: samegroup asks for members of a role, which pgweave cannot tell",
        ),
        (
            "local all +admins trust",
            "1: user: +admins asks for members of a role, which pgweave cannot tell",
        ),
        (
            "host all all samehost trust",
            "1: address: \"samehost\": asks for the addresses of this machine, which pgweave cannot tell",
        ),
        (
            "host all all samenet trust",
            "1: address: \"samenet\": asks for the addresses of this machine, which pgweave cannot tell",
        ),
        (
            "host all all a.org trust",
            "1: address: \"a.org\": a host name must be looked up, which pgweave cannot do",
        ),
        (
            "host all all .org trust",
            "1: address: \".org\": a host name must be looked up, which pgweave cannot do",
        ),
    ];
    for (line, expected) in rows {
        assert!(read_main(line, EVERYTHING).is_ok(), "{line}");
        let mistakes = read_main(line, CanAsk::default()).unwrap_err();
        assert_eq!(told(&mistakes), [expected]);
    }
}

#[test]
fn a_file_without_rules_is_a_mistake() {
    for text in ["", "# nothing\n\n", "include_if_exists none"] {
        let mistakes = read_main(text, EVERYTHING).unwrap_err();
        assert_eq!(
            told(&mistakes),
            ["/etc/hba.conf: the file holds no rule: nobody could log in"]
        );
    }
}

#[test]
fn no_value_of_an_option_is_shown() {
    for option in [
        "hunter2",
        "ldapbindpasswd hunter2",
        "x=hunter2",
        "ldapbindpasswd=a ldapbindpasswd=hunter2",
    ] {
        let line = format!("host all all all ldap {option}");
        let mistakes = read_main(&line, EVERYTHING).unwrap_err();
        assert!(!format!("{mistakes:?}").contains("hunter2"), "{option}");
    }
}
