//! Rules, a login, and the rule that is found for it.

use super::*;

/// Text of the rules, login, `LINE METHOD` or `-`.
type Row = (&'static str, &'static str, &'static str);

fn check(rows: &[Row]) {
    for (text, words, expected) in rows {
        let rules = read_main(text, EVERYTHING)
            .unwrap_or_else(|mistakes| panic!("{text}: {:?}", told(&mistakes)));
        assert_eq!(found(&rules, words), *expected, "{text}: {words}");
    }
}

#[test]
fn the_type_of_the_connection_counts() {
    check(&[
        ("local all all trust", "local app ann", "1 Trust"),
        ("local all all trust", "host 10.0.0.1 app ann", "-"),
        ("\"local\" all all \"trust\"", "local app ann", "1 Trust"),
        ("host all all all trust", "local app ann", "-"),
        ("host all all all trust", "host 10.0.0.1 app ann", "1 Trust"),
        ("host all all all trust", "ssl 10.0.0.1 app ann", "1 Trust"),
        ("hostssl all all all trust", "host 10.0.0.1 app ann", "-"),
        (
            "hostssl all all all trust",
            "ssl 10.0.0.1 app ann",
            "1 Trust",
        ),
        ("hostssl all all all trust", "local app ann", "-"),
        (
            "hostnossl all all all trust",
            "host 10.0.0.1 app ann",
            "1 Trust",
        ),
        ("hostnossl all all all trust", "ssl 10.0.0.1 app ann", "-"),
        ("hostgssenc all all all trust", "host 10.0.0.1 app ann", "-"),
        ("hostgssenc all all all trust", "ssl 10.0.0.1 app ann", "-"),
        (
            "hostnogssenc all all all trust",
            "host 10.0.0.1 app ann",
            "1 Trust",
        ),
        (
            "hostnogssenc all all all trust",
            "ssl 10.0.0.1 app ann",
            "1 Trust",
        ),
        ("hostnogssenc all all all trust", "local app ann", "-"),
    ]);
}

#[test]
fn the_first_rule_that_fits_is_found() {
    check(&[
        (
            "local all ann reject\nlocal all all trust",
            "local app ann",
            "1 Reject",
        ),
        (
            "local all ann reject\nlocal all all trust",
            "local app bob",
            "2 Trust",
        ),
        (
            "local all all trust\nlocal all ann reject",
            "local app ann",
            "1 Trust",
        ),
        (
            "# rules\n\n  local all all md5 # all",
            "local app ann",
            "3 Md5",
        ),
        (
            "local \\\n all all \\\n md5\nlocal all all trust",
            "local app ann",
            "1 Md5",
        ),
        (
            "local b all trust\nhost all all all trust\nlocal c all md5",
            "local c x",
            "3 Md5",
        ),
        ("local a all trust", "local b ann", "-"),
        ("local\tall\tall\ttrust\r\n", "local app ann", "1 Trust"),
        (
            "hostgssenc all all all reject\nhost all all all md5",
            "ssl ::1 a b",
            "2 Md5",
        ),
    ]);
}

#[test]
fn databases_are_told_by_name_keyword_and_pattern() {
    check(&[
        ("local app all trust", "local app ann", "1 Trust"),
        ("local app all trust", "local App ann", "-"),
        ("local a,app,b all trust", "local app ann", "1 Trust"),
        ("local a, app, b all trust", "local b ann", "1 Trust"),
        ("local a,b all trust", "local app ann", "-"),
        (
            "local \"a b\",\"c,d\" all trust",
            "local c,d ann",
            "1 Trust",
        ),
        ("local \"a\"\"b\" all trust", "local a\"b ann", "1 Trust"),
        ("local \"all\" all trust", "local app ann", "-"),
        ("local \"all\" all trust", "local all ann", "1 Trust"),
        ("local sameuser all trust", "local ann ann", "1 Trust"),
        ("local sameuser all trust", "local app ann", "-"),
        ("local \"sameuser\" all trust", "local ann ann", "-"),
        (
            "local \"sameuser\" all trust",
            "local sameuser ann",
            "1 Trust",
        ),
        (
            "local /^app_[0-9]+$ all trust",
            "local app_12 ann",
            "1 Trust",
        ),
        ("local /^app_[0-9]+$ all trust", "local app_x ann", "-"),
        ("local \"/^a{1,2}$\" all trust", "local aa ann", "1 Trust"),
        ("local \"/^a{1,2}$\" all trust", "local aaa ann", "-"),
        ("local x,/^app all trust", "local app1 ann", "1 Trust"),
        ("local samerole all trust", "local app ann", "1 Trust"),
        ("local samegroup all trust", "local app ann", "1 Trust"),
        ("local samerole all trust", "local app bob", "-"),
        ("local samerole all trust", "local carl carl", "1 Trust"),
        ("local \"samerole\" all trust", "local app ann", "-"),
    ]);
}

#[test]
fn replication_is_a_database_of_its_own() {
    check(&[
        (
            "local replication all trust",
            "local app ann replication",
            "1 Trust",
        ),
        ("local replication all trust", "local app ann", "-"),
        ("local replication all trust", "local replication ann", "-"),
        (
            "local \"replication\" all trust",
            "local replication ann",
            "1 Trust",
        ),
        (
            "local \"replication\" all trust",
            "local app ann replication",
            "-",
        ),
        ("local all all trust", "local app ann replication", "-"),
        ("local app all trust", "local app ann replication", "-"),
        ("local sameuser all trust", "local ann ann replication", "-"),
        ("local /. all trust", "local app ann replication", "-"),
        (
            "local all,replication ann trust",
            "local app ann replication",
            "1 Trust",
        ),
        (
            "local all,replication ann trust",
            "local app bob replication",
            "-",
        ),
    ]);
}

#[test]
fn users_are_told_by_name_role_and_pattern() {
    check(&[
        ("local all ann trust", "local app ann", "1 Trust"),
        ("local all ann trust", "local app Ann", "-"),
        ("local all bob,ann trust", "local app ann", "1 Trust"),
        ("local all bob, carl trust", "local app ann", "-"),
        ("local all \"all\" trust", "local app ann", "-"),
        ("local all \"all\" trust", "local app all", "1 Trust"),
        ("local all +admins trust", "local app ann", "1 Trust"),
        ("local all +admins trust", "local app bob", "-"),
        ("local all +admins trust", "local app admins", "1 Trust"),
        ("local all bob,+admins trust", "local app bob", "1 Trust"),
        ("local all \"+admins\" trust", "local app ann", "-"),
        (
            "local all \"+admins\" trust",
            "local app +admins",
            "1 Trust",
        ),
        ("local all /^a.n$ trust", "local app ann", "1 Trust"),
        ("local all /^a.n$ trust", "local app anna", "-"),
        ("local all \"/^a\" trust", "local app ann", "1 Trust"),
    ]);
}

#[test]
fn addresses_are_told_by_range() {
    check(&[
        (
            "host all all 10.0.0.0/8 trust",
            "host 10.255.1.2 app ann",
            "1 Trust",
        ),
        (
            "host all all 10.0.0.0/8 trust",
            "host 11.0.0.1 app ann",
            "-",
        ),
        (
            "host all all 10.1.2.3/8 trust",
            "host 10.9.9.9 app ann",
            "1 Trust",
        ),
        (
            "host all all 10.1.2.3/32 trust",
            "host 10.1.2.3 app ann",
            "1 Trust",
        ),
        (
            "host all all 10.1.2.3/32 trust",
            "host 10.1.2.4 app ann",
            "-",
        ),
        (
            "host all all 10.1.2.2/31 trust",
            "host 10.1.2.3 app ann",
            "1 Trust",
        ),
        (
            "host all all 0.0.0.0/0 trust",
            "host 203.0.113.9 app ann",
            "1 Trust",
        ),
        ("host all all 0.0.0.0/0 trust", "host ::1 app ann", "-"),
        (
            "host all all ::/0 trust",
            "host 2001:db8::1 app ann",
            "1 Trust",
        ),
        ("host all all ::/0 trust", "host 10.0.0.1 app ann", "-"),
        ("host all all ::1/128 trust", "host ::1 app ann", "1 Trust"),
        ("host all all ::1/128 trust", "host ::2 app ann", "-"),
        (
            "host all all fd00::/9 trust",
            "host fd7f::1 app ann",
            "1 Trust",
        ),
        ("host all all fd00::/9 trust", "host fd80::1 app ann", "-"),
        (
            "host all all 10.0.0.0/8 trust",
            "host ::ffff:10.1.1.1 app ann",
            "1 Trust",
        ),
        (
            "host all all ::/0 trust",
            "host ::ffff:10.1.1.1 app ann",
            "-",
        ),
        (
            "host all all 10.0.0.0 255.0.0.0 trust",
            "host 10.2.3.4 app ann",
            "1 Trust",
        ),
        (
            "host all all 10.0.0.0 255.0.0.0 trust",
            "host 11.2.3.4 app ann",
            "-",
        ),
        (
            "host all all 10.0.0.1 255.0.0.255 trust",
            "host 10.7.7.1 app ann",
            "1 Trust",
        ),
        (
            "host all all 10.0.0.1 255.0.0.255 trust",
            "host 10.7.7.2 app ann",
            "-",
        ),
        (
            "host all all fd00:: ffff:: trust",
            "host fd00:1::1 app ann",
            "1 Trust",
        ),
        (
            "host all all fd00:: ffff:: trust",
            "host fd01::1 app ann",
            "-",
        ),
        (
            "host all all \"10.0.0.0/8\" trust",
            "host 10.2.3.4 app ann",
            "1 Trust",
        ),
    ]);
}

#[test]
fn addresses_are_told_by_interface_and_name() {
    check(&[
        (
            "host all all samehost trust",
            "host 192.168.5.10 app ann",
            "1 Trust",
        ),
        (
            "host all all samehost trust",
            "host 192.168.5.11 app ann",
            "-",
        ),
        ("host all all samehost trust", "host ::1 app ann", "1 Trust"),
        (
            "host all all samenet trust",
            "host 192.168.5.11 app ann",
            "1 Trust",
        ),
        (
            "host all all samenet trust",
            "host 192.168.6.11 app ann",
            "-",
        ),
        ("host all all samenet trust", "host ::2 app ann", "-"),
        (
            "host all all \"samenet\" trust",
            "host 192.168.5.11 app ann",
            "-",
        ),
        (
            "host all all db.example.org trust",
            "host 10.0.0.5 app ann",
            "1 Trust",
        ),
        (
            "host all all Db.Example.ORG trust",
            "host 10.0.0.5 app ann",
            "1 Trust",
        ),
        (
            "host all all b.example.org trust",
            "host 10.0.0.5 app ann",
            "-",
        ),
        (
            "host all all example.org trust",
            "host 10.0.0.5 app ann",
            "-",
        ),
        (
            "host all all .example.org trust",
            "host 10.0.0.5 app ann",
            "1 Trust",
        ),
        (
            "host all all .org trust",
            "host ::ffff:10.0.0.5 app ann",
            "1 Trust",
        ),
        (
            "host all all .db.example.org trust",
            "host 10.0.0.5 app ann",
            "-",
        ),
        (
            "host all all .example.com trust",
            "host 10.0.0.5 app ann",
            "-",
        ),
        (
            "host all all .example.org trust",
            "host 10.0.0.6 app ann",
            "-",
        ),
    ]);
}

#[test]
fn what_cannot_be_told_ends_the_search() {
    check(&[
        (
            "local all +admins reject\nlocal all all trust",
            "local app carl",
            "-",
        ),
        (
            "local all +admins reject\nlocal all all trust",
            "local app bob",
            "2 Trust",
        ),
        (
            "local samerole all reject\nlocal all all trust",
            "local app carl",
            "-",
        ),
        (
            "local other +admins reject\nlocal all all trust",
            "local app carl",
            "2 Trust",
        ),
        (
            "local all +admins,carl reject\nlocal all all trust",
            "local app carl",
            "1 Reject",
        ),
        (
            "local samerole bob reject\nlocal all all trust",
            "local app carl",
            "2 Trust",
        ),
        (
            "host all all .org reject\nhost all all all trust",
            "host 10.0.0.7 app ann",
            "-",
        ),
        (
            "host all all .org reject\nhost all all all trust",
            "host 10.0.0.6 app ann",
            "2 Trust",
        ),
        (
            "host all bob .org reject\nhost all all all trust",
            "host 10.0.0.7 app ann",
            "2 Trust",
        ),
        (
            "host all +x 10.0.0.0/8 reject\nhost all all all trust",
            "host ::1 app carl",
            "2 Trust",
        ),
        (
            "host all +x 10.0.0.0/8 reject\nhost all all all trust",
            "host 10.1.1.1 app carl",
            "-",
        ),
    ]);
    let rules = read_main(
        "host all all samenet reject\nhost all all all trust",
        EVERYTHING,
    );
    let login = login("host 192.168.6.1 app ann");
    assert!(rules.as_ref().unwrap().find(&login, &World).is_some());
    assert!(rules.unwrap().find(&login, &NoAnswers).is_none());
}

#[test]
fn every_method_is_read() {
    check(&[
        ("host all all all reject", "host ::1 app ann", "1 Reject"),
        (
            "host all all all scram-sha-256",
            "host ::1 app ann",
            "1 ScramSha256",
        ),
        ("host all all all md5", "host ::1 app ann", "1 Md5"),
        (
            "host all all all password",
            "host ::1 app ann",
            "1 Password",
        ),
        (
            "host all all all ldap ldapserver=x",
            "host ::1 app ann",
            "1 Ldap",
        ),
        (
            "host all all all pam pamservice=x",
            "host ::1 app ann",
            "1 Pam",
        ),
        ("hostssl all all all cert", "ssl ::1 app ann", "1 Cert"),
        ("local all all peer", "local app ann", "1 Peer"),
        ("local all all ident", "local app ann", "1 Peer"),
        ("local all all ident map=m", "local app ann", "1 Peer"),
    ]);
}

#[test]
fn options_are_kept_with_their_rule() {
    let text = "local all all peer map=\"my map\"\n\
        hostssl all all all cert map=m clientname=DN\n\
        hostssl all all all cert clientcert=verify-full\n\
        hostssl all all all md5 clientcert=verify-ca clientname=CN\n\
        host all all all ldap ldapserver=a ldapbindpasswd=\"hunter2, or so\" ldapport=1\n\
        host all all all pam pamservice=p,pam_use_hostname=0";
    let rules = read_main(text, EVERYTHING).unwrap();
    let shown: Vec<_> = rules
        .iter()
        .map(|rule| {
            let Options {
                map,
                client_name,
                settings,
                ..
            } = &rule.options;
            let setting = |s: &Setting| format!("{}={}", s.name, s.value.expose());
            let settings: Vec<_> = settings.iter().map(setting).collect();
            (
                map.as_deref(),
                rule.client_cert(),
                *client_name,
                settings.join(" "),
            )
        })
        .collect();
    let none = String::new;
    let (full, ca) = (Some(ClientCert::VerifyFull), Some(ClientCert::VerifyCa));
    let ldap = "ldapserver=a ldapbindpasswd=hunter2, or so ldapport=1".to_owned();
    let expected = [
        (Some("my map"), None, None, none()),
        (Some("m"), full, Some(ClientName::Dn), none()),
        (None, full, None, none()),
        (None, ca, Some(ClientName::Cn), none()),
        (None, None, None, ldap),
        (
            None,
            None,
            None,
            "pamservice=p pam_use_hostname=0".to_owned(),
        ),
    ];
    assert_eq!(shown, expected);
    assert!(!format!("{rules:?}").contains("hunter2"));
}
