//! Names that others vouch for: an authority by a certificate, the system by a
//! Unix socket.

use x509_cert::Certificate;
use x509_cert::der::asn1::{PrintableStringRef, TeletexStringRef, Utf8StringRef};
use x509_cert::der::oid::ObjectIdentifier;
use x509_cert::der::{Any, Decode, Tag, Tagged};

use crate::auth::hba::ClientName;

/// `commonName` (RFC 5280, appendix A).
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// The name in a certificate that has been checked; none where it has no such
/// name, or several, or one that is no text (`auth-cert.html`,
/// `auth-pg-hba-conf.html`: `clientname`).
pub(super) fn in_certificate(certificate: &[u8], which: ClientName) -> Option<String> {
    let certificate = Certificate::from_der(certificate).ok()?;
    let subject = &certificate.tbs_certificate.subject;
    let name = match which {
        ClientName::Dn => subject.to_string(),
        ClientName::Cn => {
            let attributes = subject.0.iter().flat_map(|part| part.0.iter());
            let mut names = attributes.filter(|attribute| attribute.oid == COMMON_NAME);
            match (names.next(), names.next()) {
                (Some(name), None) => text(&name.value)?,
                (None | Some(_), _) => return None,
            }
        }
    };
    (!name.is_empty() && !name.contains('\0')).then_some(name)
}

fn text(value: &Any) -> Option<String> {
    match value.tag() {
        Tag::Utf8String => Some(value.decode_as::<Utf8StringRef<'_>>().ok()?.to_string()),
        Tag::PrintableString => {
            let text = value.decode_as::<PrintableStringRef<'_>>().ok()?;
            Some(text.to_string())
        }
        Tag::TeletexString => {
            let text = value.decode_as::<TeletexStringRef<'_>>().ok()?;
            Some(text.to_string())
        }
        _ => None,
    }
}

/// The name of the system's user with this number. May ask the network: not for
/// threads that serve queries.
pub(super) fn of_system_user(uid: u32) -> Option<String> {
    let user = nix::unistd::User::from_uid(nix::unistd::Uid::from_raw(uid));
    user.ok().flatten().map(|user| user.name)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair};

    use super::*;

    fn certificate(names: &[(DnType, &str)]) -> Vec<u8> {
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name = DistinguishedName::new();
        for (kind, value) in names {
            params.distinguished_name.push(kind.clone(), *value);
        }
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    #[test]
    fn the_common_name_is_the_user() {
        let found = |names: &[(DnType, &str)]| in_certificate(&certificate(names), ClientName::Cn);
        assert_eq!(
            found(&[(DnType::CommonName, "alice")]).as_deref(),
            Some("alice")
        );
        assert_eq!(found(&[(DnType::OrganizationName, "alice")]), None);
        assert_eq!(found(&[(DnType::CommonName, "alice\0bob")]), None);
        assert_eq!(found(&[(DnType::CommonName, "")]), None);
    }

    #[test]
    fn the_distinguished_name_is_read_from_its_end() {
        let names = [
            (DnType::OrganizationName, "Acme"),
            (DnType::CommonName, "alice"),
        ];
        let found = in_certificate(&certificate(&names), ClientName::Dn);
        assert_eq!(found.as_deref(), Some("CN=alice,O=Acme"));
    }

    #[test]
    fn what_is_no_certificate_has_no_name() {
        let whole = certificate(&[(DnType::CommonName, "alice")]);
        for end in 0..whole.len() {
            assert_eq!(
                in_certificate(whole.get(..end).unwrap(), ClientName::Cn),
                None
            );
        }
    }

    #[test]
    fn the_system_knows_its_root() {
        assert_eq!(of_system_user(0).as_deref(), Some("root"));
        assert_eq!(of_system_user(4_294_000_000), None);
    }
}
