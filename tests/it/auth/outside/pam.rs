//! Passwords that PAM judges. The services are the system's: this needs root.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use crate::auth::outcome;
use crate::support::certificates::Folder;
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;

/// A service of PAM's, for the time of a case.
struct Service(PathBuf);

impl Service {
    fn new(name: &str, module: &str) -> Self {
        Self::with(
            name,
            &format!("auth required {module}\naccount required {module}\n"),
        )
    }

    fn with(name: &str, text: &str) -> Self {
        let path = PathBuf::from("/etc/pam.d").join(name);
        fs::write(&path, text).expect("services of PAM are made by root");
        Self(path)
    }

    fn name(&self) -> &str {
        self.0.file_name().unwrap().to_str().unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[test]
fn pam_says_who_comes_in() {
    let database = Cluster::shared().database();
    for (module, expected) in [("pam_permit.so", "ok"), ("pam_deny.so", "28000")] {
        let service = Service::new(&format!("pgweave-test-{}", std::process::id()), module);
        let pooler = Plan::before(&database)
            .setting("auth_type", "\"pam\"")
            .setting("auth_pam_service", &format!("{:?}", service.name()))
            .start();
        assert_eq!(outcome(&pooler, "guest", "x"), expected, "{module}");
        assert_eq!(outcome(&pooler, "guest", ""), "28000", "{module}");
    }
}

#[test]
fn pam_is_told_who_comes_from_where_with_which_password() {
    let database = Cluster::shared().database();
    let folder = Folder::new();
    let script = "#!/bin/sh\nread password\n\
        test \"$PAM_USER $PAM_RHOST $password\" = \"guest 127.0.0.1 right one\"\n";
    let path = folder.put("judge", script);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    let name = format!("pgweave-told-{}", std::process::id());
    let service = Service::with(
        &name,
        &format!(
            "auth required pam_exec.so quiet expose_authtok {path}\naccount required pam_permit.so\n"
        ),
    );
    let pooler = Plan::before(&database)
        .setting("auth_type", "\"pam\"")
        .setting("auth_pam_service", &format!("{:?}", service.name()))
        .start();
    for (user, password, expected) in [
        ("guest", "right one", "ok"),
        ("guest", "right", "28000"),
        ("postgres", "right one", "28000"),
    ] {
        assert_eq!(
            outcome(&pooler, user, password),
            expected,
            "{user} {password}"
        );
    }
}
