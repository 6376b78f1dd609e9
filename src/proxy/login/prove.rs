//! Is the client who it says?

use std::net::IpAddr;

use super::demand::{Demand, Proof};
use super::roles::Roles;
use super::{NoSession, outside, passthrough};
use crate::auth::hba::{ClientCert, ClientName};
use crate::auth::{Credential, Exchange, MAX_ANSWER_BYTES, Method, Step, StoredSecret};
use crate::config::{AuthType, Config, Secret};
use crate::proxy::access::Said;
use crate::proxy::house::House;
use crate::proxy::intro::Intro;
use crate::proxy::login::names;
use crate::wire::startup::Startup;
use crate::wire::{PgError, frame, sqlstate};

/// A client that has proven who it is.
pub(super) struct Proven {
    /// The frames that tell it so.
    pub accepted: Vec<u8>,
    /// What its proof is worth toward a server.
    pub learned: Option<Credential>,
}

/// One login, as it is judged.
pub(super) struct Trial<'t, 'i> {
    pub house: &'t House,
    pub config: &'t Config,
    pub intro: &'t mut Intro<'i>,
    pub startup: &'t Startup,
    /// The user's, where rules or maps ask about them.
    pub roles: Roles,
    /// It has been counted as a failure already: its proof takes time to judge,
    /// and others may be judged meanwhile.
    pub is_counted: bool,
}

/// Lets the client prove who it is.
pub(super) async fn prove(mut trial: Trial<'_, '_>) -> Result<Proven, NoSession> {
    trial.is_to_wait()?;
    let outcome = trial.judge().await;
    let (from, user) = (trial.from(), &trial.startup.user);
    let access = &trial.house.access;
    match &outcome {
        Ok(_) => access.judged(trial.config, from, user, true),
        // The proof was wrong. What the client is not to blame for, or left
        // unsaid, is no failure.
        Err(NoSession::Refused(error)) if error.code == sqlstate::INVALID_PASSWORD => {
            if !trial.is_counted {
                access.judged(trial.config, from, user, false);
            }
            access.doubt(user);
        }
        Err(NoSession::Unproven(_)) if trial.is_counted => {}
        Err(NoSession::Unproven(_)) => access.judged(trial.config, from, user, false),
        Err(_) if trial.is_counted => access.was_no_failure(from, user),
        Err(_) => {}
    }
    outcome
}

impl Trial<'_, '_> {
    /// Where it comes from; none for a Unix socket.
    pub fn from(&self) -> Option<IpAddr> {
        self.intro.peer.ip()
    }

    /// Has it failed too often?
    pub fn is_to_wait(&self) -> Result<(), PgError> {
        let user = &self.startup.user;
        match self.house.access.admits(self.config, self.from(), user) {
            true => Ok(()),
            false => Err(PgError::fatal(
                sqlstate::TOO_MANY_CONNECTIONS,
                "too many failed logins (auth_failures_per_minute)",
            )
            .with_hint("Try again in a minute.")),
        }
    }

    /// Counts it as a failure until it is known to be none.
    pub fn count(&mut self) -> Result<(), PgError> {
        self.is_to_wait()?;
        let (from, user) = (self.from(), &self.startup.user);
        let access = &self.house.access;
        access.judged(self.config, from, user, false);
        self.is_counted = true;
        Ok(())
    }

    async fn judge(&mut self) -> Result<Proven, NoSession> {
        let demand = self.demand().await?;
        if let Some(wanted) = demand.certificate {
            self.check_certificate(wanted, &demand).await?;
        }
        match demand.proof {
            Proof::Secret(method) => self.by_secret(method).await,
            // Checked above where rules demand it.
            Proof::Certificate => {
                self.check_certificate(ClientCert::VerifyFull, &demand)
                    .await?;
                Ok(accepted())
            }
            Proof::Peer => self.by_peer(&demand).await,
            Proof::Server => passthrough::by_server(self).await,
            Proof::Outside(judge) => outside::by_judge(self, &demand, judge).await,
        }
    }

    async fn demand(&mut self) -> Result<Demand, PgError> {
        if let Some(demand) = Demand::of_all(&self.config.general) {
            return Ok(demand);
        }
        let demand = self.by_rules();
        if !self.roles.are_wanted() {
            return demand;
        }
        self.look_up_roles().await?;
        self.by_rules()
    }

    async fn look_up_roles(&mut self) -> Result<(), PgError> {
        let (access, directory) = (&self.house.access, &self.house.directory);
        let Startup { database, user, .. } = self.startup;
        let found = access.roles(self.config, directory, database, user).await?;
        self.roles = Roles::known(found.unwrap_or_default());
        Ok(())
    }

    fn by_rules(&self) -> Result<Demand, PgError> {
        let is_tls = self.intro.stream.is_tls();
        self.house.access.rules(|rules, _| match rules {
            Some(rules) => Demand::by_rules(rules, self.startup, self.from(), is_tls, &self.roles),
            // Read at start, or there is no start.
            None => Err(PgError::fatal(
                sqlstate::INTERNAL_ERROR,
                "there are no rules",
            )),
        })
    }

    /// Its certificate is one that an authority vouches for, or the handshake
    /// would have failed.
    async fn check_certificate(
        &mut self,
        wanted: ClientCert,
        demand: &Demand,
    ) -> Result<(), PgError> {
        let Some(certificate) = self.intro.stream.peer_certificate() else {
            return Err(PgError::fatal(
                sqlstate::INVALID_AUTHORIZATION,
                "connection requires a valid client certificate",
            ));
        };
        match wanted {
            ClientCert::VerifyCa => Ok(()),
            ClientCert::VerifyFull => {
                let name = names::in_certificate(certificate, demand.name);
                self.stands_for(name, demand, "certificate").await
            }
        }
    }

    async fn by_peer(&mut self, demand: &Demand) -> Result<Proven, NoSession> {
        let name = match self.intro.uid() {
            Some(uid) => tokio::task::spawn_blocking(move || names::of_system_user(uid))
                .await
                .unwrap_or_default(),
            None => None,
        };
        self.stands_for(name, demand, "peer").await?;
        Ok(accepted())
    }

    /// Does this name stand for the user?
    pub async fn stands_for(
        &mut self,
        name: Option<String>,
        demand: &Demand,
        by: &str,
    ) -> Result<(), PgError> {
        let user = &self.startup.user;
        let stands = |roles: &Roles| {
            let map = demand.map.as_deref();
            let allows = |name: &String| {
                let access = &self.house.access;
                access.rules(|_, maps| maps.allows(map, name, user, roles))
            };
            name.as_ref().is_some_and(allows)
        };
        let mut it_does = stands(&self.roles);
        if !it_does && self.roles.are_wanted() {
            self.look_up_roles().await?;
            it_does = stands(&self.roles);
        }
        if it_does {
            return Ok(());
        }
        let which = match demand.name {
            ClientName::Cn => "name",
            ClientName::Dn => "distinguished name",
        };
        tracing::info!(
            target: "limited",
            user,
            found = name.as_deref(),
            map = demand.map.as_deref(),
            "{by}: the {which} does not stand for the user"
        );
        Err(PgError::fatal(
            sqlstate::INVALID_AUTHORIZATION,
            format!("{by} authentication failed for user \"{user}\""),
        ))
    }

    /// The secret that the client has to prove, where it has to.
    async fn secret(&self, method: Method) -> Result<Option<Secret>, PgError> {
        let Startup { database, user, .. } = self.startup;
        let (access, directory) = (&self.house.access, &self.house.directory);
        let general = &self.config.general;
        let lets_in_strangers = general.auth_trust_unlisted || general.auth_type == AuthType::Any;
        if method == Method::Trust && lets_in_strangers {
            return Ok(access.listed(self.config, user));
        }
        let said = access.said(self.config, directory, database, user).await?;
        let is_known = said != Said::Nobody || self.config.users.contains_key(user);
        match method {
            Method::Trust if !is_known => Err(PgError::fatal(
                sqlstate::INVALID_AUTHORIZATION,
                format!("\"trust\" authentication failed for user \"{user}\""),
            )),
            Method::Trust | Method::Plain | Method::Md5 | Method::ScramSha256 => Ok(said.secret()),
        }
    }

    async fn by_secret(&mut self, method: Method) -> Result<Proven, NoSession> {
        let secret = self.secret(method).await?;
        let user = &self.startup.user;
        let stored = secret.map(|secret| StoredSecret::parse(secret.expose()));
        let mut random = [0; 32];
        if method != Method::Trust {
            getrandom::fill(&mut random)
                .map_err(|_| PgError::fatal(sqlstate::INTERNAL_ERROR, "no random bytes"))?;
        }
        let (exchange, step) = Exchange::begin(
            method,
            user,
            stored.as_ref(),
            &self.house.verifiers,
            random,
            self.intro.binding.as_ref(),
        );
        let (accepted, exchange) = self.exchange(method, exchange, step).await?;
        let of_stored = stored.as_ref().map(Credential::of);
        let learned = match (exchange.learned(), of_stored) {
            // The password, which serves everywhere, else an md5 hash, else keys.
            (Some(plain @ Credential::Plain(_)), _) => Some(plain.clone()),
            (_, Some(stored @ (Credential::Plain(_) | Credential::Md5(_)))) => Some(stored),
            (learned, _) => learned.cloned(),
        };
        Ok(Proven { accepted, learned })
    }

    async fn exchange(
        &mut self,
        method: Method,
        mut exchange: Exchange,
        mut step: Step,
    ) -> Result<(Vec<u8>, Exchange), NoSession> {
        loop {
            step = match step {
                Step::Send(frames) => {
                    self.intro.stream.send(&frames).await?;
                    let answer = password_message(self.intro).await?;
                    // Others may have failed meanwhile.
                    self.is_to_wait()?;
                    exchange.answer(&answer)
                }
                Step::Derive(derivation) => {
                    if method == Method::Plain && !self.is_counted {
                        self.count()?;
                    }
                    // 0.7 ms of CPU: not on a thread that serves queries.
                    let _ = tokio::task::spawn_blocking(move || derivation.run()).await;
                    exchange.resume()
                }
                Step::Accepted(frames) => return Ok((frames, exchange)),
                Step::Refused(error) => return Err(error.into()),
            };
        }
    }
}

/// Without another word.
pub(super) fn accepted() -> Proven {
    Proven {
        accepted: crate::auth::accepted(),
        learned: None,
    }
}

/// The body of the `p` message that the client has to send next.
pub(super) async fn password_message(
    intro: &mut Intro<'_>,
) -> Result<zeroize::Zeroizing<Vec<u8>>, NoSession> {
    let head: [u8; frame::HEADER] = intro.take_array().await?;
    let header = frame::header(&head, MAX_ANSWER_BYTES)
        .ok()
        .flatten()
        .filter(|header| header.tag == b'p');
    let Some(header) = header else {
        return Err(
            PgError::fatal(sqlstate::PROTOCOL_VIOLATION, "expected a password response").into(),
        );
    };
    Ok(intro.take(header.total - frame::HEADER).await?.into())
}
