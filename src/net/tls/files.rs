//! The PEM files that TLS is made of. Mistakes name the file, never its content.

use std::fs;
use std::path::Path;

use tokio_rustls::rustls::pki_types::pem::{Error as PemError, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{Error, InconsistentKeys, RootCertStore};

use crate::config::{TlsFile, TlsFiles, TlsMistake};

/// Largest file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// A certificate with its chain, and its key.
pub(super) struct Identity {
    pub chain: Vec<CertificateDer<'static>>,
    pub key: PrivateKeyDer<'static>,
}

/// The certificate and the key, where both are named.
pub(super) fn identity(files: &TlsFiles, mistakes: &mut Vec<TlsMistake>) -> Option<Identity> {
    let (cert, key) = (files.cert.as_ref()?, files.key.as_ref()?);
    let chain = certificates(cert).map_err(|what| note(mistakes, TlsFile::Cert, what));
    let key = private_key(key).map_err(|what| note(mistakes, TlsFile::Key, what));
    Some(Identity {
        chain: chain.ok()?,
        key: key.ok()?,
    })
}

/// The authorities in a file.
pub(super) fn authorities(path: &Path, mistakes: &mut Vec<TlsMistake>) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    match certificates(path) {
        Ok(found) => {
            let (added, _) = roots.add_parsable_certificates(found);
            if added > 0 {
                return Some(roots);
            }
            let what = format!("{}: holds no certificate that can be used", path.display());
            note(mistakes, TlsFile::Ca, what);
        }
        Err(what) => note(mistakes, TlsFile::Ca, what),
    }
    None
}

/// The authorities that the system trusts.
pub(super) fn system_authorities(mistakes: &mut Vec<TlsMistake>) -> Option<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    if roots.is_empty() {
        let what = "is not set, and the system has no authorities of its own";
        note(mistakes, TlsFile::Ca, what.to_owned());
        return None;
    }
    Some(roots)
}

/// What rustls says about a certificate and a key.
pub(super) fn unusable(files: &TlsFiles, error: &Error, mistakes: &mut Vec<TlsMistake>) {
    let name = |path: &Option<std::path::PathBuf>| {
        path.as_ref()
            .map_or_else(String::new, |path| path.display().to_string())
    };
    match error {
        Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => note(
            mistakes,
            TlsFile::Key,
            format!(
                "{}: does not fit the certificate in {}",
                name(&files.key),
                name(&files.cert)
            ),
        ),
        Error::InvalidCertificate(_) => note(
            mistakes,
            TlsFile::Cert,
            format!("{}: cannot be used: {error}", name(&files.cert)),
        ),
        _ => note(
            mistakes,
            TlsFile::Key,
            format!("{}: cannot be used: {error}", name(&files.key)),
        ),
    }
}

pub(super) fn note(mistakes: &mut Vec<TlsMistake>, file: TlsFile, what: String) {
    mistakes.push(TlsMistake { file, what });
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let text = read(path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    match found {
        Ok(found) if found.is_empty() => {
            Err(format!("{}: holds no certificate in PEM", path.display()))
        }
        Ok(found) => Ok(found),
        Err(_) => Err(format!("{}: is broken PEM", path.display())),
    }
}

fn private_key(path: &Path) -> Result<PrivateKeyDer<'static>, String> {
    let text = zeroize::Zeroizing::new(read(path)?);
    match PrivateKeyDer::from_pem_slice(&text) {
        Ok(key) => Ok(key),
        Err(PemError::NoItemsFound) if is_encrypted(&text) => Err(format!(
            "{}: the key is encrypted; pgweave needs it without a passphrase",
            path.display()
        )),
        Err(PemError::NoItemsFound) => {
            Err(format!("{}: holds no private key in PEM", path.display()))
        }
        Err(_) => Err(format!("{}: is broken PEM", path.display())),
    }
}

fn is_encrypted(text: &[u8]) -> bool {
    let mark = b"BEGIN ENCRYPTED PRIVATE KEY";
    text.windows(mark.len()).any(|window| window == mark)
}

fn read(path: &Path) -> Result<Vec<u8>, String> {
    let told = |error: std::io::Error| format!("{}: cannot read it: {error}", path.display());
    let about = fs::metadata(path).map_err(told)?;
    if !about.is_file() {
        return Err(format!("{}: is not a file", path.display()));
    }
    if about.len() > MAX_FILE {
        return Err(format!("{}: is too large", path.display()));
    }
    fs::read(path).map_err(told)
}
