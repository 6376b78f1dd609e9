//! What is wrong about TLS in the view of several settings, files included.

use super::checks::Finding;
use super::given::Refusal;
use super::places::section_path;
use super::tls::{Tls, TlsFile, TlsFiles, TlsMistake};
use super::{Config, Database, Sources, SslMode, TlsNegotiation};

/// Every mistake about TLS.
pub(super) fn tls(config: &Config, sources: &Sources<'_>, found: &mut Vec<Finding>) {
    toward_clients(config, sources, found);
    let mut files = Vec::new();
    for db in config.databases.values().chain(&config.fallback) {
        toward_server(config, db, sources, &mut files);
    }
    // What stands in [pgweave] is told once, not for each database.
    for finding in files {
        if found.iter().all(|known| known.path != finding.path) {
            found.push(finding);
        }
    }
}

fn toward_clients(config: &Config, sources: &Sources<'_>, found: &mut Vec<Finding>) {
    let Some(tls) = config.general.client_tls() else {
        return;
    };
    let before = found.len();
    let mode = tls.mode;
    let mut missing = |file: TlsFile, why: &str| {
        found.push(Finding::new(
            format!("pgweave.client_{}", file.key()),
            &["pgweave.client_tls_sslmode"],
            Refusal::new(format!(
                "is not set, but client_tls_sslmode is {mode}, which {why}"
            )),
        ));
    };
    if tls.files.key.is_none() {
        missing(TlsFile::Key, "needs a private key");
    }
    if tls.files.cert.is_none() {
        missing(TlsFile::Cert, "needs a certificate");
    }
    // The system's authorities vouch for web sites, not for clients.
    if mode.verifies() && tls.files.ca.is_none() {
        missing(
            TlsFile::Ca,
            "needs the authorities that vouch for clients' certificates",
        );
    }
    if found.len() == before {
        let at = |file: TlsFile| format!("pgweave.client_{}", file.key());
        judged(
            (sources.try_tls)(&Tls::Clients(&tls)),
            at,
            &["pgweave.client_tls_sslmode"],
            found,
        );
    }
}

fn toward_server(config: &Config, db: &Database, sources: &Sources<'_>, found: &mut Vec<Finding>) {
    let tls = config.general.server_tls(db);
    if tls.mode == SslMode::Disable {
        return;
    }
    let section = section_path("databases", &db.name);
    let own = |is_own: bool, key: &str| match is_own {
        true => format!("{section}.server_{key}"),
        false => format!("pgweave.server_{key}"),
    };
    let at = |file: TlsFile| {
        let is_own = match file {
            TlsFile::Cert => db.server_tls_cert_file.is_some(),
            TlsFile::Key => db.server_tls_key_file.is_some(),
            TlsFile::Ca => db.server_tls_ca_file.is_some(),
        };
        own(is_own, file.key())
    };
    let mode_at = own(db.server_tls_sslmode.is_some(), "tls_sslmode");
    if tls.negotiation == TlsNegotiation::Direct && !tls.mode.is_required() {
        let refusal = Refusal::new(format!(
            "\"direct\" cannot fall back to clear text, as server_tls_sslmode {} would",
            tls.mode
        ));
        let at = own(db.server_tls_negotiation.is_some(), "tls_negotiation");
        let refusal = refusal.suggesting("set server_tls_sslmode to require or stricter");
        found.push(Finding::new(at, &[mode_at.as_str()], refusal));
    }
    match half_of_a_pair(&tls.files) {
        Some((given, missing)) => {
            let what = format!("is given, but server_{} is not", missing.key());
            found.push(Finding::new(at(given), &[], Refusal::new(what)));
        }
        None => judged(
            (sources.try_tls)(&Tls::Servers(&tls)),
            at,
            &[mode_at.as_str()],
            found,
        ),
    }
}

/// A key without its certificate, or the other way round.
fn half_of_a_pair(files: &TlsFiles) -> Option<(TlsFile, TlsFile)> {
    match (&files.key, &files.cert) {
        (Some(_), None) => Some((TlsFile::Key, TlsFile::Cert)),
        (None, Some(_)) => Some((TlsFile::Cert, TlsFile::Key)),
        (Some(_), Some(_)) | (None, None) => None,
    }
}

fn judged(
    mistakes: Vec<TlsMistake>,
    at: impl Fn(TlsFile) -> String,
    with: &[&str],
    found: &mut Vec<Finding>,
) {
    for TlsMistake { file, what } in mistakes {
        found.push(Finding::new(at(file), with, Refusal::new(what)));
    }
}
