//! Clients whom somebody else judges: an issuer's keys, an LDAP server, PAM.
//! Each is there with the cargo feature of its name; a configuration that asks
//! for one that is not is refused before anybody logs in.

#[cfg(feature = "ldap")]
mod ldap;
#[cfg(feature = "pam")]
mod pam;
#[cfg(feature = "oauth")]
mod token;

use super::NoSession;
use super::demand::{Demand, Judge};
use super::prove::{Proven, Trial};
use crate::wire::{PgError, sqlstate};

/// Lets the client prove who it is to somebody else.
pub(super) async fn by_judge(
    trial: &mut Trial<'_, '_>,
    demand: &Demand,
    judge: Judge,
) -> Result<Proven, NoSession> {
    match judge {
        #[cfg(feature = "oauth")]
        Judge::Issuer => token::by_token(trial, demand).await,
        #[cfg(feature = "ldap")]
        Judge::Ldap => {
            let options = demand.settings.clone();
            by_password(trial, "LDAP", async move |user, password| {
                ldap::accepts(&options, &user, &password).await
            })
            .await
        }
        #[cfg(feature = "pam")]
        Judge::Pam => {
            let service = pam::service(&demand.settings, &trial.config.general.auth_pam_service);
            let from = trial.from();
            by_password(trial, "PAM", async move |user, password| {
                let question = pam::Question {
                    service,
                    from,
                    user,
                    password,
                };
                pam::accepts(question).await
            })
            .await
        }
        #[allow(unreachable_patterns)]
        _ => {
            let _ = (trial, demand);
            Err(PgError::fatal(
                sqlstate::FEATURE_NOT_SUPPORTED,
                "this build of pgweave cannot judge that",
            )
            .into())
        }
    }
}

/// Asks for the password in clear text; `accepts` says whether it is right, or
/// that it cannot tell.
#[cfg(any(feature = "ldap", feature = "pam"))]
async fn by_password(
    trial: &mut Trial<'_, '_>,
    judge: &str,
    accepts: impl AsyncFnOnce(String, crate::auth::Secret) -> Option<bool>,
) -> Result<Proven, NoSession> {
    use super::prove::{accepted, password_message};
    use crate::auth::{Credential, Secret, ask_for_password, password_of};

    trial.intro.stream.send(&ask_for_password()).await?;
    let body = password_message(trial.intro).await?;
    trial.count()?;
    let password = password_of(&body)?;
    let user = &trial.startup.user;
    // An LDAP server takes an empty one for nobody, whom it lets in.
    let verdict = match password.is_empty() {
        true => Some(false),
        false => accepts(user.clone(), Secret::new(password)).await,
    };
    match verdict {
        Some(true) => Ok(Proven {
            learned: Some(Credential::Plain(Secret::new(password))),
            ..accepted()
        }),
        Some(false) => Err(NoSession::Unproven(PgError::fatal(
            sqlstate::INVALID_AUTHORIZATION,
            format!("{judge} authentication failed for user \"{user}\""),
        ))),
        None => Err(PgError::fatal(
            sqlstate::CONNECTION_FAILURE,
            format!("{judge} cannot be asked about the user now"),
        )
        .into()),
    }
}
