//! One client's login: is it who it says?

use bytes::Bytes;
use pgwire::api::auth::sasl::scram::{
    ScramSecret, ScramServerAuth, ScramServerAuthWaitingForClientFinal,
};
use pgwire::error::PgWireError;
use pgwire::messages::startup::Authentication;
use subtle::ConstantTimeEq;

use super::binding::Binding;
use super::client_messages::{
    Bound, check_client_first, check_scram_length, initial_response, malformed_scram, out_of_turn,
    password_of, violation,
};
use super::keys::Derivation;
use super::md5_hash::Md5Hash;
use super::proven::ProvenKeys;
use super::secret::{ScramVerifier, Secret, StoredSecret};
use super::server_login::Credential;
use super::verifiers::Verifiers;
use super::{MAX_ANSWER_BYTES, SCRAM_SHA_256, SCRAM_SHA_256_PLUS};
use crate::wire::{PgError, encode, sqlstate};

/// How clients prove who they are (`auth-methods.html`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Not at all.
    Trust,
    /// By the password in clear text (PostgreSQL calls it `password`).
    Plain,
    /// By a salted md5 hash; a user with a SCRAM verifier uses SCRAM.
    Md5,
    /// By SCRAM-SHA-256.
    ScramSha256,
}

/// What the caller has to do next.
#[derive(Debug)]
pub enum Step {
    /// Send these frames, then hand the body of the client's next `p` message
    /// to [`Exchange::answer`].
    Send(Vec<u8>),
    /// Run this where it stalls nobody, then call [`Exchange::resume`].
    ///
    /// It comes once for each user and plain password and, under
    /// [`Method::Plain`], for each wrong password sent to a user with a SCRAM
    /// verifier: the caller bounds how many run at a time.
    Derive(Derivation),
    /// The client is who it says. Send these frames (AuthenticationSASLFinal if
    /// there is one, AuthenticationOk), then go on with the rest of startup.
    Accepted(Vec<u8>),
    /// Send this error and close.
    Refused(PgError),
}

/// The state machine of one login. A message consumes the state; after
/// [`Step::Accepted`] or [`Step::Refused`] it is over and refuses all else.
///
/// ```text
/// Cleartext ─p─┬───────────────────────────▶ Over
///              └▶ ComparingKeys ─resume────▶ Over     (verifier stored)
/// Md5 ─p───────────────────────────────────▶ Over
/// SaslInitial ─p─┬▶ ClientFirst ─p─┐                  (no initial response)
///                └─────────────────┴─┬▶ ClientFinal ─p─▶ Over
///                                    └▶ DerivingVerifier ─resume─▶ ClientFinal
/// ```
pub struct Exchange {
    user: String,
    verifiers: Verifiers,
    /// Unknown user, or a secret that cannot serve this method: goes through
    /// all of the exchange and is refused whatever the client sends.
    doomed: bool,
    /// What SCRAM can be bound to, and whether the client has chosen that.
    binding: Option<Binding>,
    bound: Bound,
    state: State,
    /// What has come to be known of a client that was accepted.
    learned: Option<Credential>,
}

enum State {
    /// Asked for the password itself.
    Cleartext(StoredSecret),
    /// Checks a clear-text password against a verifier.
    ComparingKeys {
        claim: Derivation,
        verifier: ScramVerifier,
    },
    /// Asked for a hash with this salt.
    Md5 {
        salt: [u8; 4],
        hash: Md5Hash,
    },
    /// Offered SASL mechanisms.
    SaslInitial(ScramSource),
    /// The client chose SCRAM without an initial response.
    ClientFirst(ScramSource),
    /// Has the client's first message, wants the keys of the password.
    DerivingVerifier {
        keys: Derivation,
        client_first: Vec<u8>,
    },
    /// Sent salt and nonce, waits for the proof.
    ClientFinal(Box<Challenged>),
    Over,
}

/// A client that was sent salt and nonce, and what was said so far.
struct Challenged {
    waiting: ScramServerAuthWaitingForClientFinal,
    verifier: ScramVerifier,
    client_first: Vec<u8>,
    server_first: String,
}

/// What a verifier can be had from.
enum ScramSource {
    Password(Secret),
    Verifier(ScramVerifier),
}

impl Exchange {
    /// Starts a login. `secret` is `None` for an unknown user, and for any user
    /// of an unknown database: both see what a wrong password would see.
    /// Under [`Method::Trust`] everybody is accepted: whether the user exists
    /// is then the caller's question.
    ///
    /// `random` becomes the salt of the md5 method. Inside of TLS SCRAM can be
    /// bound to the certificate that the client was shown.
    #[must_use]
    pub fn begin(
        method: Method,
        user: &str,
        secret: Option<&StoredSecret>,
        env: &Verifiers,
        random: [u8; 32],
        binding: Option<&Binding>,
    ) -> (Self, Step) {
        let open = |secret: &StoredSecret| State::opening(method, user, secret, random);
        let known = secret.filter(|secret| !secret.is_empty()).and_then(open);
        let doomed = known.is_none();
        let state = known
            .or_else(|| open(&env.mock_secret(user, method == Method::ScramSha256)))
            .unwrap_or(State::Over);
        let step = if method == Method::Trust {
            Step::Accepted(encode(Authentication::Ok))
        } else {
            state.opening_step(binding.is_some())
        };
        (
            Self {
                user: user.to_owned(),
                verifiers: env.clone(),
                doomed,
                binding: binding.cloned(),
                bound: Bound::No,
                state,
                learned: None,
            },
            step,
        )
    }

    /// What can be shown to a server on behalf of a client that was accepted: the
    /// password that it sent in clear text, or the keys that its proof has shown.
    #[must_use]
    pub fn learned(&self) -> Option<&Credential> {
        self.learned.as_ref()
    }

    /// Judges the body of a `p` message: any bytes of any length.
    #[must_use]
    pub fn answer(&mut self, body: &[u8]) -> Step {
        let state = std::mem::replace(&mut self.state, State::Over);
        if body.len() > MAX_ANSWER_BYTES {
            return Step::Refused(violation("authentication message is too long"));
        }
        let step = match state {
            State::Cleartext(secret) => {
                password_of(body).map(|password| self.on_password(secret, password))
            }
            State::Md5 { salt, hash } => password_of(body)
                .map(|answer| self.verdict(hash.salted(salt).as_bytes().ct_eq(answer).into())),
            State::SaslInitial(source) => self.on_initial_response(source, body),
            State::ClientFirst(source) => self.on_client_first(source, body),
            State::ClientFinal(challenged) => self.on_client_final(&challenged, body),
            State::ComparingKeys { .. } | State::DerivingVerifier { .. } | State::Over => {
                Err(out_of_turn())
            }
        };
        step.unwrap_or_else(Step::Refused)
    }

    /// Goes on after [`Step::Derive`]. Derives by itself if the derivation was
    /// not run.
    #[must_use]
    pub fn resume(&mut self) -> Step {
        match std::mem::replace(&mut self.state, State::Over) {
            State::ComparingKeys { claim, verifier } => self.on_keys_of_claim(&claim, &verifier),
            State::DerivingVerifier { keys, client_first } => {
                let verifier = self.verifiers.verifier_of(&self.user, &keys);
                self.send_server_first(verifier, &client_first)
                    .unwrap_or_else(Step::Refused)
            }
            State::Cleartext(_)
            | State::Md5 { .. }
            | State::SaslInitial(_)
            | State::ClientFirst(_)
            | State::ClientFinal(_)
            | State::Over => Step::Refused(out_of_turn()),
        }
    }

    fn on_password(&mut self, secret: StoredSecret, password: &[u8]) -> Step {
        if password.is_empty() {
            return self.verdict(false);
        }
        match secret {
            StoredSecret::Plain(stored) => {
                let right = self.verifiers.same(stored.bytes(), password);
                self.verdict_on(right, &Secret::new(password))
            }
            StoredSecret::Md5(hash) => {
                let right = hash.equals(&Md5Hash::of(password, &self.user)).into();
                self.verdict_on(right, &Secret::new(password))
            }
            StoredSecret::Scram(verifier) => {
                let claim = self
                    .verifiers
                    .keys_of_claim(&Secret::new(password), &verifier);
                if claim.is_done() {
                    return self.on_keys_of_claim(&claim, &verifier);
                }
                self.state = State::ComparingKeys {
                    claim: claim.clone(),
                    verifier,
                };
                Step::Derive(claim)
            }
        }
    }

    fn on_keys_of_claim(&mut self, claim: &Derivation, verifier: &ScramVerifier) -> Step {
        let right: bool = claim.keys().stored_key.ct_eq(&*verifier.stored_key).into();
        if right {
            self.verifiers.keep(claim);
        }
        self.verdict_on(right, claim.password())
    }

    fn on_initial_response(&mut self, source: ScramSource, body: &[u8]) -> Result<Step, PgError> {
        let (bound, client_first) = initial_response(body, self.binding.is_some())?;
        self.bound = bound;
        match client_first {
            Some(client_first) => self.on_client_first(source, client_first),
            None => {
                self.state = State::ClientFirst(source);
                Ok(Step::Send(encode(Authentication::SASLContinue(
                    Bytes::new(),
                ))))
            }
        }
    }

    fn on_client_first(
        &mut self,
        source: ScramSource,
        client_first: &[u8],
    ) -> Result<Step, PgError> {
        check_client_first(client_first, self.bound)?;
        let verifier = match source {
            ScramSource::Verifier(verifier) => verifier,
            ScramSource::Password(password) => {
                let keys = self.verifiers.keys_of(&self.user, &password);
                if !keys.is_done() {
                    let client_first = client_first.to_vec();
                    self.state = State::DerivingVerifier {
                        keys: keys.clone(),
                        client_first,
                    };
                    return Ok(Step::Derive(keys));
                }
                self.verifiers.verifier_of(&self.user, &keys)
            }
        };
        self.send_server_first(verifier, client_first)
    }

    fn send_server_first(
        &mut self,
        verifier: ScramVerifier,
        client_first: &[u8],
    ) -> Result<Step, PgError> {
        let secret = ScramSecret::Verifier {
            salt: verifier.salt.clone(),
            iterations: usize::try_from(verifier.iterations.get()).unwrap_or(usize::MAX),
            stored_key: verifier.stored_key.to_vec(),
            server_key: verifier.server_key.to_vec(),
        };
        let (server_first, waiting) = self
            .chosen_binding()
            .map_or_else(ScramServerAuth::new, Binding::judge)
            .on_client_first_message_with_secret(client_first, secret)
            .map_err(|_| malformed_scram())?;
        self.state = State::ClientFinal(Box::new(Challenged {
            waiting,
            verifier,
            client_first: client_first.to_vec(),
            server_first: server_first.clone(),
        }));
        Ok(Step::Send(encode(Authentication::SASLContinue(
            server_first.into(),
        ))))
    }

    fn on_client_final(
        &mut self,
        challenged: &Challenged,
        client_final: &[u8],
    ) -> Result<Step, PgError> {
        check_scram_length(client_final)?;
        if self
            .chosen_binding()
            .is_some_and(|binding| !binding.is_ours(client_final))
        {
            return Err(PgError::fatal(
                sqlstate::INVALID_AUTHORIZATION,
                "SCRAM channel binding check failed",
            ));
        }
        // pgwire compares hashes of the proof with `==`: its timing tells
        // about bytes that a client cannot choose, hence nothing.
        match challenged.waiting.on_client_final_message(client_final) {
            Ok(_) | Err(PgWireError::InvalidPassword(_)) if self.doomed => Ok(self.verdict(false)),
            Ok(server_final) => {
                self.learned = ProvenKeys::of(
                    &challenged.verifier,
                    &challenged.client_first,
                    &challenged.server_first,
                    client_final,
                )
                .map(Credential::Keys);
                let mut frames = encode(Authentication::SASLFinal(server_final.into()));
                frames.extend(encode(Authentication::Ok));
                Ok(Step::Accepted(frames))
            }
            Err(PgWireError::InvalidPassword(_)) => Ok(self.verdict(false)),
            Err(_) => Err(malformed_scram()),
        }
    }

    fn chosen_binding(&self) -> Option<&Binding> {
        self.binding.as_ref().filter(|_| self.bound == Bound::Yes)
    }

    /// On a password that was sent in clear text.
    fn verdict_on(&mut self, right: bool, password: &Secret) -> Step {
        if right && !self.doomed {
            self.learned = Some(Credential::Plain(password.clone()));
        }
        self.verdict(right)
    }

    fn verdict(&self, right: bool) -> Step {
        if right && !self.doomed {
            return Step::Accepted(encode(Authentication::Ok));
        }
        Step::Refused(PgError::fatal(
            sqlstate::INVALID_PASSWORD,
            format!("password authentication failed for user \"{}\"", self.user),
        ))
    }
}

impl State {
    /// `None` where this kind of secret cannot serve this method.
    fn opening(
        method: Method,
        user: &str,
        secret: &StoredSecret,
        random: [u8; 32],
    ) -> Option<Self> {
        let [a, b, c, d, ..] = random;
        let md5 = |hash| {
            Some(Self::Md5 {
                salt: [a, b, c, d],
                hash,
            })
        };
        let scram = |source| Some(Self::SaslInitial(source));
        match (method, secret) {
            (Method::Trust, _) | (Method::ScramSha256, StoredSecret::Md5(_)) => None,
            (Method::Plain, secret) => Some(Self::Cleartext(secret.clone())),
            (Method::Md5, StoredSecret::Plain(password)) => {
                md5(Md5Hash::of(password.bytes(), user))
            }
            (Method::Md5, StoredSecret::Md5(hash)) => md5(hash.clone()),
            (Method::ScramSha256, StoredSecret::Plain(password)) => {
                scram(ScramSource::Password(password.clone()))
            }
            (Method::Md5 | Method::ScramSha256, StoredSecret::Scram(verifier)) => {
                scram(ScramSource::Verifier(verifier.clone()))
            }
        }
    }

    fn opening_step(&self, can_be_bound: bool) -> Step {
        let request = match self {
            Self::Cleartext(_) => Authentication::CleartextPassword,
            Self::Md5 { salt, .. } => Authentication::MD5Password(salt.to_vec()),
            Self::SaslInitial(_) => {
                let plus = can_be_bound.then(|| SCRAM_SHA_256_PLUS.to_owned());
                let offered = plus.into_iter().chain([SCRAM_SHA_256.to_owned()]);
                Authentication::SASL(offered.collect())
            }
            Self::ComparingKeys { .. }
            | Self::ClientFirst(_)
            | Self::DerivingVerifier { .. }
            | Self::ClientFinal(_)
            | Self::Over => return Step::Refused(out_of_turn()),
        };
        Step::Send(encode(request))
    }
}
