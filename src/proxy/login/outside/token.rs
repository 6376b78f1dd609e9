//! By a token of an issuer that is trusted (`auth-oauth.html`).

use std::time::SystemTime;

use crate::auth::oauth::{Bearer, Turn};
use crate::proxy::login::NoSession;
use crate::proxy::login::demand::Demand;
use crate::proxy::login::prove::{Proven, Trial, accepted, password_message};
use crate::wire::{PgError, sqlstate};

pub(super) async fn by_token(
    trial: &mut Trial<'_, '_>,
    demand: &Demand,
) -> Result<Proven, NoSession> {
    let issuer = trial.house.access.issuer(&trial.config.general);
    let Some(issuer) = tokio::task::spawn_blocking(issuer).await.ok().flatten() else {
        return Err(PgError::fatal(
            sqlstate::INTERNAL_ERROR,
            "the keys of auth_oauth_jwks_file cannot be read",
        )
        .into());
    };
    let user = trial.startup.user.clone();
    let (keys, wanted) = &*issuer;
    let (mut bearer, mut turn) = Bearer::begin(&user, keys, wanted);
    loop {
        turn = match turn {
            Turn::Send(frames) => {
                trial.intro.stream.send(&frames).await?;
                let answer = password_message(trial.intro).await?;
                trial.is_to_wait()?;
                bearer.answer(&answer, SystemTime::now())
            }
            Turn::Names(name) => {
                trial.stands_for(Some(name), demand, "OAuth bearer").await?;
                return Ok(accepted());
            }
            Turn::Refused(error, Some(why)) => {
                tracing::info!(target: "limited", user, "the token is not taken: {why}");
                return Err(NoSession::Unproven(error));
            }
            // It has only asked where to get one, as every client does that has
            // none yet: no failure.
            Turn::Refused(error, None) => return Err(error.into()),
        };
    }
}
