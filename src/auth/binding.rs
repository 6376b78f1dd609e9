//! What a SCRAM exchange inside of TLS is bound to: the server's certificate
//! (`sasl-authentication.html#SASL-SCRAM-SHA-256`, RFC 5929, section 4). Somebody
//! in between who shows another certificate cannot pass a proof on.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pgwire::api::auth::sasl::scram::ScramServerAuth;
use ring::digest::{Algorithm, SHA256, SHA384, SHA512, digest};

/// The header of a client's first message that is bound.
pub(super) const BOUND_HEADER: &str = "p=tls-server-end-point,,";

/// Binds the proofs of clients to the certificate that they were shown.
#[derive(Clone)]
pub struct Binding {
    judge: ScramServerAuth,
    /// How a client's last message begins.
    final_start: String,
}

impl std::fmt::Debug for Binding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Binding(..)")
    }
}

impl Binding {
    /// For a certificate of our own, in DER; `None` where its kind of signature
    /// says nothing about how it is to be hashed.
    #[must_use]
    pub fn to(certificate: &[u8]) -> Option<Self> {
        let end_point = end_point(certificate)?;
        let pem = format!(
            "-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n",
            STANDARD.encode(certificate)
        );
        let mut judge = ScramServerAuth::new();
        judge.configure_certificate(pem.as_bytes()).ok()?;
        Some(Self {
            judge,
            final_start: format!("c={},", input(BOUND_HEADER, &end_point)),
        })
    }

    pub(super) fn judge(&self) -> ScramServerAuth {
        self.judge.clone()
    }

    /// Was this last message made for our certificate?
    pub(super) fn is_ours(&self, client_final: &[u8]) -> bool {
        client_final.starts_with(self.final_start.as_bytes())
    }
}

/// The `c=` attribute: the header of the first message and what it is bound to.
pub(super) fn input(header: &str, data: &[u8]) -> String {
    STANDARD.encode([header.as_bytes(), data].concat())
}

/// The hash of a certificate in DER, by the algorithm of its own signature;
/// `None` where that has none of its own (Ed25519), or is not known here. The
/// certificate may be anything at all.
#[must_use]
pub fn end_point(certificate: &[u8]) -> Option<Vec<u8>> {
    let algorithm = hash_of(signature_algorithm(certificate)?)?;
    Some(digest(algorithm, certificate).as_ref().to_vec())
}

/// MD5 and SHA-1 are replaced, as RFC 5929 says.
fn hash_of(signature: &[u8]) -> Option<&'static Algorithm> {
    /// 1.2.840.113549.1.1: RSA with PKCS #1.
    const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];
    /// 1.2.840.10045.4: ECDSA.
    const ECDSA: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04];
    match (signature.strip_prefix(RSA), signature.strip_prefix(ECDSA)) {
        (Some([4 | 5 | 11]), _) | (_, Some([1] | [3, 2])) => Some(&SHA256),
        (Some([12]), _) | (_, Some([3, 3])) => Some(&SHA384),
        (Some([13]), _) | (_, Some([3, 4])) => Some(&SHA512),
        _ => None,
    }
}

/// The object identifier behind the signed part:
/// `SEQUENCE { SEQUENCE signed, SEQUENCE { OBJECT IDENTIFIER, .. }, .. }`.
fn signature_algorithm(certificate: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    const OBJECT_IDENTIFIER: u8 = 0x06;
    let (whole, _) = element(certificate, SEQUENCE)?;
    let (_signed, rest) = element(whole, SEQUENCE)?;
    let (algorithm, _) = element(rest, SEQUENCE)?;
    Some(element(algorithm, OBJECT_IDENTIFIER)?.0)
}

/// The content of a DER element with this tag, and what comes behind it.
fn element(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<2>()?;
    let [found, length] = *head;
    if found != tag {
        return None;
    }
    if length < 0x80 {
        return rest.split_at_checked(length.into());
    }
    let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
    // No certificate has 16 MB.
    if digits.is_empty() || digits.len() > 3 {
        return None;
    }
    let length = digits
        .iter()
        .fold(0, |length, digit| length << 8 | usize::from(*digit));
    rest.split_at_checked(length)
}

#[cfg(test)]
pub(super) mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// A certificate of ours for `localhost`, signed by ecdsa-with-SHA256.
    pub(in crate::auth) fn certificate() -> Vec<u8> {
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.self_signed(&key).unwrap().der().to_vec()
    }

    /// As much of a certificate as is looked at.
    fn signed_by(oid: &[u8]) -> Vec<u8> {
        let wrap = |tag: u8, content: &[u8]| {
            let length = u8::try_from(content.len()).unwrap();
            [&[tag, length], content].concat()
        };
        let algorithm = wrap(0x30, &[wrap(0x06, oid), vec![5, 0]].concat());
        wrap(0x30, &[wrap(0x30, b"signed"), algorithm].concat())
    }

    #[test]
    fn the_hash_is_that_of_the_certificates_signature() {
        let rsa = |last| vec![0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, last];
        let ecdsa = |last: &[u8]| [&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04], last].concat();
        let ed25519 = vec![0x2b, 0x65, 0x70];
        for (oid, bytes) in [
            (rsa(4), Some(32)),
            (rsa(5), Some(32)),
            (rsa(11), Some(32)),
            (rsa(12), Some(48)),
            (rsa(13), Some(64)),
            (rsa(10), None),
            (ecdsa(&[1]), Some(32)),
            (ecdsa(&[3, 2]), Some(32)),
            (ecdsa(&[3, 3]), Some(48)),
            (ecdsa(&[3, 4]), Some(64)),
            (ed25519, None),
            (Vec::new(), None),
        ] {
            let hash = end_point(&signed_by(&oid));
            assert_eq!(hash.map(|hash| hash.len()), bytes, "{oid:?}");
        }
    }

    #[test]
    fn a_real_certificate_has_an_end_point_and_a_cut_one_makes_no_harm() {
        let certificate = certificate();
        let whole = digest(&SHA256, &certificate);
        assert_eq!(end_point(&certificate).as_deref(), Some(whole.as_ref()));
        assert!(Binding::to(&certificate).is_some());
        for cut in 0..certificate.len() {
            let _ = end_point(&certificate[..cut]);
        }
        assert_eq!(end_point(&certificate[..certificate.len() / 2]), None);
        for junk in [
            &b""[..],
            b"\x30",
            b"\x30\x80",
            b"\x30\x84\xff\xff\xff\xff",
            b"\x30\xff",
        ] {
            assert_eq!(end_point(junk), None);
        }
    }
}
