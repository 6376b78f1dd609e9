//! Our own login at a server (`protocol-flow.html#PROTOCOL-FLOW-START-UP`).

use std::fmt;

use bytes::{Bytes, BytesMut};
use pgwire::messages::Message;
use pgwire::messages::startup::{PasswordMessageFamily, SASLInitialResponse, SASLResponse};
use subtle::ConstantTimeEq;

use super::keys::{Derivation, KeyCache, ScramKeys};
use super::md5_hash::Md5Hash;
use super::proven::ProvenKeys;
use super::scram_client::{Challenge, Fault, FirstSent, Header, ProofSent};
use super::secret::{Secret, StoredSecret};
use super::{SCRAM_SHA_256, SCRAM_SHA_256_PLUS};
use crate::wire::{PgError, encode, sqlstate};

/// What we can log in to a server with.
#[derive(Debug, Clone)]
pub enum Credential {
    /// Nothing: serves where the server asks for nothing.
    None,
    /// The password: serves every method.
    Plain(Secret),
    /// PostgreSQL's md5 hash: serves where the server asks for md5.
    Md5(Md5Hash),
    /// What a client has proven: serves where the server has the verifier that
    /// it was proven to.
    Keys(ProvenKeys),
}

impl Credential {
    /// What a stored secret is worth toward a server. A SCRAM verifier is made
    /// so that it is worth nothing; an empty password is none.
    #[must_use]
    pub fn of(secret: &StoredSecret) -> Self {
        match secret {
            StoredSecret::Plain(_) if secret.is_empty() => Self::None,
            StoredSecret::Plain(password) => Self::Plain(password.clone()),
            StoredSecret::Md5(hash) => Self::Md5(hash.clone()),
            StoredSecret::Scram(_) => Self::None,
        }
    }

    /// Are they alike? Constant time where both are of one kind.
    #[must_use]
    pub fn same_as(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::None, Self::None) => true,
            (Self::Plain(one), Self::Plain(two)) => one.bytes().ct_eq(two.bytes()).into(),
            (Self::Md5(one), Self::Md5(two)) => one.equals(two).into(),
            (Self::Keys(one), Self::Keys(two)) => one.same_as(two),
            (Self::None | Self::Plain(_) | Self::Md5(_) | Self::Keys(_), _) => false,
        }
    }
}

/// What the caller has to do next.
pub enum Reply {
    /// Send this frame, then hand on the next `R` message.
    Send(Vec<u8>),
    /// Run this where it stalls nobody, then call [`ServerLogin::resume`].
    Derive(Derivation),
    /// Nothing to send: hand on the next `R` message.
    Wait,
    /// AuthenticationOk arrived: we are logged in.
    Done,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            // May hold a password.
            Self::Send(_) => "Send(..)",
            Self::Derive(_) => "Derive(..)",
            Self::Wait => "Wait",
            Self::Done => "Done",
        })
    }
}

/// The state machine of one login of ours. A message consumes the state; after
/// an error or [`Reply::Done`] it is over.
///
/// ```text
/// Started ─AuthenticationOk──────────────────▶ Over
///         ├cleartext, md5─▶ PasswordSent ─Ok─▶ Over
///         └SASL─▶ ScramFirst ─SASLContinue─┬▶ ProofSent ─SASLFinal─▶ Proven ─Ok─▶ Over
///                                          └▶ Deriving ─resume─▶ ProofSent
/// ```
pub struct ServerLogin {
    user: String,
    credential: Credential,
    keys: KeyCache,
    nonce: [u8; 18],
    end_point: Option<Vec<u8>>,
    state: State,
}

/// What a SCRAM proof is made with.
enum ScramProof {
    Password(Secret),
    Keys(ProvenKeys),
}

enum State {
    Started,
    PasswordSent,
    ScramFirst {
        first: FirstSent,
        with: ScramProof,
    },
    Deriving {
        challenge: Challenge,
        keys: Derivation,
    },
    ProofSent(ProofSent),
    /// The server knows our password: AuthenticationOk is worth something.
    Proven,
    Over,
}

impl ServerLogin {
    /// A login as `user`. `nonce` comes from the system's random source.
    #[must_use]
    pub fn new(user: &str, credential: Credential, keys: &KeyCache, nonce: [u8; 18]) -> Self {
        Self {
            user: user.to_owned(),
            credential,
            keys: keys.clone(),
            nonce,
            end_point: None,
            state: State::Started,
        }
    }

    /// Binds SCRAM to the server's certificate, where it offers that: the hash of
    /// the certificate that was seen ([`super::end_point`]).
    #[must_use]
    pub fn bound_to(mut self, end_point: Option<Vec<u8>>) -> Self {
        self.end_point = end_point;
        self
    }

    /// Answers the body of an `R` message (`protocol-message-formats.html`,
    /// Authentication*): any bytes of any length.
    ///
    /// # Errors
    /// When the server breaks the protocol (08P01), does not prove itself
    /// (28000), asks for a method that we do not have (0A000), or for a
    /// password that we have not (28P01). The connection is then to be closed.
    pub fn on_authentication(&mut self, body: &[u8]) -> Result<Reply, PgError> {
        let (code, rest) = body
            .split_first_chunk()
            .ok_or_else(|| self.violation("sent a malformed authentication message"))?;
        let state = std::mem::replace(&mut self.state, State::Over);
        match (i32::from_be_bytes(*code), state) {
            (0, State::Started | State::PasswordSent | State::Proven) => Ok(Reply::Done),
            (0, State::ScramFirst { .. } | State::Deriving { .. } | State::ProofSent(_)) => {
                Err(self.unproven(
                    "declared the login good before it proved that it knows the password",
                ))
            }
            (3, State::Started) => self.send_cleartext(),
            (5, State::Started) => self.send_md5(rest),
            (10, State::Started) => self.start_sasl(rest),
            (11, State::ScramFirst { first, with }) => self.on_challenge(first, &with, rest),
            (12, State::ProofSent(proof)) => {
                proof
                    .read_server_final(rest)
                    .map_err(|fault| self.unproven(fault))?;
                self.state = State::Proven;
                Ok(Reply::Wait)
            }
            (code, State::Started) => Err(self.unsupported(&method_name(code))),
            _ => Err(self.violation("sent an unexpected authentication message")),
        }
    }

    /// Goes on after [`Reply::Derive`]. Derives by itself if the derivation was
    /// not run.
    ///
    /// # Errors
    /// When nothing was to be derived (08P01).
    pub fn resume(&mut self) -> Result<Reply, PgError> {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Deriving { challenge, keys } => self.send_proof(challenge, keys.keys()),
            State::Started
            | State::PasswordSent
            | State::ScramFirst { .. }
            | State::ProofSent(_)
            | State::Proven
            | State::Over => Err(self.violation("was answered out of turn")),
        }
    }

    fn send_cleartext(&mut self) -> Result<Reply, PgError> {
        match &self.credential {
            Credential::Plain(password) => self.send_password(password.clone()),
            Credential::None | Credential::Md5(_) | Credential::Keys(_) => {
                Err(self.no_password("a password"))
            }
        }
    }

    fn send_md5(&mut self, salt: &[u8]) -> Result<Reply, PgError> {
        let salt: [u8; 4] = salt
            .try_into()
            .map_err(|_| self.violation("sent an md5 salt of invalid length"))?;
        let hash = match &self.credential {
            Credential::Plain(password) => Md5Hash::of(password.bytes(), &self.user),
            Credential::Md5(hash) => hash.clone(),
            Credential::None | Credential::Keys(_) => {
                return Err(self.no_password("an md5 password"));
            }
        };
        self.send_password(Secret::new(hash.salted(salt).as_bytes()))
    }

    fn send_password(&mut self, password: Secret) -> Result<Reply, PgError> {
        let body = [password.bytes(), b"\0"].concat();
        self.send(
            State::PasswordSent,
            PasswordMessageFamily::Raw(BytesMut::from(body.as_slice())),
        )
    }

    fn start_sasl(&mut self, mechanisms: &[u8]) -> Result<Reply, PgError> {
        // Each name ends with a NUL, the list with one more.
        let offers = |mechanism: &str| {
            let mut names = mechanisms.split(|byte| *byte == 0);
            names.any(|name| name == mechanism.as_bytes())
        };
        let (mechanism, header) = match self.end_point.as_deref() {
            Some(hash) if offers(SCRAM_SHA_256_PLUS) => (SCRAM_SHA_256_PLUS, Header::Bound(hash)),
            Some(_) => (SCRAM_SHA_256, Header::NotOffered),
            None => (SCRAM_SHA_256, Header::Unbound),
        };
        if !offers(mechanism) {
            return Err(self.unsupported("SASL without SCRAM-SHA-256"));
        }
        let with = match &self.credential {
            Credential::Plain(password) => ScramProof::Password(password.clone()),
            Credential::Keys(keys) => ScramProof::Keys(keys.clone()),
            Credential::None | Credential::Md5(_) => {
                return Err(self.no_password("a SCRAM-SHA-256 password"));
            }
        };
        let (first, message) = FirstSent::start(self.nonce, &header);
        let message = SASLInitialResponse::new(mechanism.to_owned(), Some(Bytes::from(message)));
        self.send(State::ScramFirst { first, with }, message)
    }

    fn on_challenge(
        &mut self,
        first: FirstSent,
        with: &ScramProof,
        message: &[u8],
    ) -> Result<Reply, PgError> {
        let challenge = first
            .read_server_first(message)
            .map_err(|fault| self.violation(fault))?;
        let password = match with {
            ScramProof::Password(password) => password,
            ScramProof::Keys(proven) => {
                let Some(keys) = proven.answer(&challenge.salt, challenge.iterations) else {
                    return Err(self.other_verifier());
                };
                return self.send_proof(challenge, keys);
            }
        };
        let keys = self
            .keys
            .keys_of(password, &challenge.salt, challenge.iterations);
        if keys.is_done() {
            return self.send_proof(challenge, keys.keys());
        }
        self.state = State::Deriving {
            challenge,
            keys: keys.clone(),
        };
        Ok(Reply::Derive(keys))
    }

    fn send_proof(&mut self, challenge: Challenge, keys: &ScramKeys) -> Result<Reply, PgError> {
        let (proof, message) = challenge.prove(keys);
        self.send(
            State::ProofSent(proof),
            SASLResponse::new(Bytes::from(message)),
        )
    }

    fn send(&mut self, next: State, message: impl Message) -> Result<Reply, PgError> {
        let frame = encode(message);
        if frame.is_empty() {
            return Err(PgError::fatal(
                sqlstate::PROGRAM_LIMIT_EXCEEDED,
                format!(
                    "the password of user \"{}\" is too long to be sent to a server",
                    self.user
                ),
            ));
        }
        self.state = next;
        Ok(Reply::Send(frame))
    }

    fn violation(&self, fault: Fault) -> PgError {
        PgError::fatal(
            sqlstate::PROTOCOL_VIOLATION,
            format!(
                "the server {fault} while user \"{}\" was logging in",
                self.user
            ),
        )
    }

    fn unproven(&self, fault: Fault) -> PgError {
        PgError::fatal(
            sqlstate::INVALID_AUTHORIZATION,
            format!(
                "the server {fault} while user \"{}\" was logging in",
                self.user
            ),
        )
    }

    fn no_password(&self, wanted: &str) -> PgError {
        let user = &self.user;
        PgError::fatal(
            sqlstate::INVALID_PASSWORD,
            format!("the server asks for {wanted} of user \"{user}\", and none is set that would serve"),
        )
        .with_hint(format!(
            "Set the plain text `password` of user \"{user}\", or `user` and `password` of the database. \
             A SCRAM verifier cannot be used to log in to a server, an md5 hash only where it asks for md5."
        ))
    }

    fn other_verifier(&self) -> PgError {
        let user = &self.user;
        PgError::fatal(
            sqlstate::INVALID_PASSWORD,
            format!("the server's SCRAM verifier of user \"{user}\" is not the one that the client proved its password to"),
        )
        .with_hint(format!(
            "Store rolpassword of user \"{user}\" as the server has it now, or its plain text password."
        ))
    }

    fn unsupported(&self, method: &str) -> PgError {
        PgError::fatal(
            sqlstate::FEATURE_NOT_SUPPORTED,
            format!("the server asks user \"{}\" for {method} authentication, which is not supported", self.user),
        )
        .with_hint("Choose scram-sha-256, md5, password or trust for this user in the server's pg_hba.conf.")
    }
}

fn method_name(code: i32) -> String {
    match code {
        2 => "Kerberos V5".to_owned(),
        6 => "SCM credential".to_owned(),
        7 => "GSSAPI".to_owned(),
        9 => "SSPI".to_owned(),
        other => format!("unknown (code {other})"),
    }
}
