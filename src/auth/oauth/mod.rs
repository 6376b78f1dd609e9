//! Clients with a bearer token (RFC 6750) of an issuer that is trusted here, by
//! PostgreSQL's mechanism OAUTHBEARER (`auth-oauth.html`).
//!
//! Pure as the rest of the room: keys and time come in. Only with the cargo
//! feature `oauth`.

mod messages;
mod tokens;

#[cfg(test)]
mod tests;

use std::time::SystemTime;

use bytes::Bytes;
use pgwire::messages::startup::Authentication;

use self::messages::{MECHANISM, challenge, is_acknowledgement, token_of};
use super::MAX_ANSWER_BYTES;
use super::client_messages::{mechanism_and_data, out_of_turn, violation};
use crate::wire::{PgError, encode, sqlstate};

pub use tokens::{Keys, Wanted};

/// What the caller has to do next.
#[derive(Debug)]
pub enum Turn {
    /// Send these frames, then hand on the body of the client's next `p` message.
    Send(Vec<u8>),
    /// The token is good, and about this user of the issuer's.
    Names(String),
    /// Send this error and close. Why stands in the second, for the log.
    Refused(PgError, Option<String>),
}

/// The state machine of one login by token.
///
/// ```text
/// Offered ─p with a good token──▶ over
///         └─p with another, or none─▶ Told ─p─▶ over, refused
/// ```
pub struct Bearer<'k> {
    user: String,
    keys: &'k Keys,
    wanted: &'k Wanted,
    state: State,
}

enum State {
    Offered,
    /// It was told where to get a token, because of this.
    Told(Option<String>),
    Over,
}

impl<'k> Bearer<'k> {
    /// Begins: the frame offers the mechanism.
    #[must_use]
    pub fn begin(user: &str, keys: &'k Keys, wanted: &'k Wanted) -> (Self, Turn) {
        let bearer = Self {
            user: user.to_owned(),
            keys,
            wanted,
            state: State::Offered,
        };
        let offer = encode(Authentication::SASL(vec![MECHANISM.to_owned()]));
        (bearer, Turn::Send(offer))
    }

    /// Judges the body of a `p` message: any bytes of any length.
    #[must_use]
    pub fn answer(&mut self, body: &[u8], now: SystemTime) -> Turn {
        let state = std::mem::replace(&mut self.state, State::Over);
        if body.len() > MAX_ANSWER_BYTES {
            return Turn::Refused(violation("authentication message is too long"), None);
        }
        match state {
            State::Offered => self
                .on_token(body, now)
                .unwrap_or_else(|error| Turn::Refused(error, None)),
            State::Told(why) if is_acknowledgement(body) => {
                let error = PgError::fatal(
                    sqlstate::INVALID_AUTHORIZATION,
                    format!(
                        "OAuth bearer authentication failed for user \"{}\"",
                        self.user
                    ),
                );
                Turn::Refused(error, why)
            }
            State::Told(_) => Turn::Refused(violation("malformed OAUTHBEARER message"), None),
            State::Over => Turn::Refused(out_of_turn(), None),
        }
    }

    fn on_token(&mut self, body: &[u8], now: SystemTime) -> Result<Turn, PgError> {
        let (mechanism, data) = mechanism_and_data(body)?;
        if mechanism != MECHANISM.as_bytes() {
            return Err(violation(
                "client selected an invalid SASL authentication mechanism",
            ));
        }
        let data = data.ok_or_else(|| violation("malformed OAUTHBEARER message"))?;
        let why = match token_of(data)? {
            // It asks what there is to know first.
            None => None,
            Some(token) => match self.keys.user_of(token, self.wanted, now) {
                Ok(name) => return Ok(Turn::Names(name)),
                Err(why) => Some(why),
            },
        };
        self.state = State::Told(why);
        let told = challenge(&self.wanted.issuer, &self.wanted.scope);
        Ok(Turn::Send(encode(Authentication::SASLContinue(
            Bytes::from(told),
        ))))
    }
}
