//! What it takes to log in to a server, and where the password comes from.

use std::sync::Arc;

use super::passwords::{InFiles, Passwords};
use super::shelf::StartupClass;
use crate::auth::{Credential, KeyCache, StoredSecret};
use crate::config::{PoolSettings, TlsMistake};
use crate::net::Names;
use crate::net::tls::Tls;
use crate::server::{Hosts, LoginSpec, Server, connect};
use crate::wire::{PgError, sqlstate};

/// What all pools log in with the help of.
#[derive(Debug, Clone)]
pub(super) struct Ways {
    pub keys: KeyCache,
    pub passwords: Passwords,
    pub files: InFiles,
    pub tls: Arc<Tls>,
    pub names: Names,
}

impl Ways {
    /// Logs in to the server of these settings; once more where it refuses a
    /// password of which there is a newer one. Where they name none, `learned`
    /// stands for it.
    ///
    /// # Errors
    /// Those of [`connect`]; 08001 where no password is to be had.
    ///
    /// # Cancel safety
    /// As that of [`connect`].
    pub async fn connect(
        &self,
        settings: &PoolSettings,
        hosts: &Arc<Hosts>,
        learned: Credential,
        startup: StartupClass,
    ) -> Result<Server, PgError> {
        let credential = async || {
            let named = credential_of(settings, self).await?;
            Ok::<_, PgError>(named.unwrap_or_else(|| learned.clone()))
        };
        let mut spec = self.login_spec(settings, hosts, credential().await?, startup)?;
        match connect(&spec).await {
            Err(error) if error.code == sqlstate::INVALID_PASSWORD => {
                self.passwords.doubt(settings, &spec.credential);
                let newer = credential().await?;
                if newer.same_as(&spec.credential) {
                    return Err(error);
                }
                spec.credential = newer;
                connect(&spec).await
            }
            connected => connected,
        }
    }

    /// All that it takes to log in to the server of these settings.
    ///
    /// # Errors
    /// When the files for TLS to the server cannot be used (08001).
    pub fn login_spec(
        &self,
        settings: &PoolSettings,
        hosts: &Arc<Hosts>,
        credential: Credential,
        startup: StartupClass,
    ) -> Result<LoginSpec, PgError> {
        let tls = self.tls.connector(&settings.server_tls);
        Ok(LoginSpec {
            hosts: Arc::clone(hosts),
            names: self.names.clone(),
            tls: tls.map_err(|mistakes| unusable(&mistakes))?,
            header: settings.server_proxy_protocol,
            user: settings.server_user.clone(),
            database: settings.dbname.clone(),
            credential,
            must_be_asked: false,
            settings: startup,
            keys: self.keys.clone(),
            tcp: settings.tcp,
            within: settings.server_connect_timeout,
        })
    }
}

/// The password that the settings name: printed by a command, in a file, which
/// is read each time since others write it anew, or written there. None where
/// they name none.
async fn credential_of(
    settings: &PoolSettings,
    ways: &Ways,
) -> Result<Option<Credential>, PgError> {
    if let Some(password) = ways.passwords.get(settings).await {
        return password.map(|password| Some(Credential::Plain(password)));
    }
    let Some(secret) = &settings.server_password else {
        return Ok(None);
    };
    let of = |text: &str| Some(Credential::of(&StoredSecret::parse(text)));
    if let Some(file) = secret.file().cloned() {
        let files = ways.files.clone();
        let read = tokio::task::spawn_blocking(move || files.read(&file)).await;
        if let Ok(Some(text)) = read {
            return Ok(of(&text));
        }
    }
    Ok(of(secret.expose()))
}

fn unusable(mistakes: &[TlsMistake]) -> PgError {
    let told: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
    PgError::fatal(
        sqlstate::CANNOT_CONNECT,
        format!("TLS to the server cannot be used: {}", told.join("; ")),
    )
}
