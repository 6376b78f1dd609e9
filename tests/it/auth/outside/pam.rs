//! Passwords that PAM judges. The services are the system's: this needs root.

use std::fs;
use std::path::PathBuf;

use crate::auth::outcome;
use crate::support::pooler::Plan;
use crate::support::postgres::Cluster;

/// A service of PAM's, for the time of a case.
struct Service(PathBuf);

impl Service {
    fn new(name: &str, module: &str) -> Self {
        let path = PathBuf::from("/etc/pam.d").join(name);
        let text = format!("auth required {module}\naccount required {module}\n");
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
