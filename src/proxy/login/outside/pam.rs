//! By a password that PAM takes (`auth-pam.html`).

use std::ffi::OsStr;

use nonstick::{
    AuthnFlags, ConversationAdapter, ErrorCode, Result, Transaction, TransactionBuilder,
};
use tokio::sync::Semaphore;

use crate::auth::Secret;
use crate::config::Secret as Setting;

/// PAM blocks a thread, and modules may wait for long: not more than so many.
static ROOM: Semaphore = Semaphore::const_new(16);

/// What the rule says, else the configuration.
pub(super) fn service(options: &[(&'static str, Setting)], usual: &str) -> String {
    let mut options = options.iter();
    let named = options.find(|(name, _)| *name == "pamservice");
    named.map_or(usual, |(_, value)| value.expose()).to_owned()
}

/// Does PAM take this password for this user?
///
/// Whoever gives up waiting leaves PAM at work on its thread, which counts
/// until it is done.
pub(super) async fn accepts(service: String, user: String, password: Secret) -> bool {
    let Ok(permit) = ROOM.acquire().await else {
        return false;
    };
    let asked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let outcome = ask(&service, &user, &password);
        if let Err(error) = &outcome {
            tracing::info!(user, service, "PAM does not let the user in: {error}");
        }
        outcome.is_ok()
    });
    asked.await.unwrap_or(false)
}

fn ask(service: &str, user: &str, password: &Secret) -> Result<()> {
    let answers = Answers { user, password };
    let mut transaction = TransactionBuilder::new_with_service(service)
        .username(user)
        .build(answers.into_conversation())?;
    transaction.authenticate(AuthnFlags::empty())?;
    transaction.account_management(AuthnFlags::empty())
}

/// What PAM's modules are told when they ask.
struct Answers<'a> {
    user: &'a str,
    password: &'a Secret,
}

impl ConversationAdapter for Answers<'_> {
    fn prompt(&self, _question: impl AsRef<OsStr>) -> Result<std::ffi::OsString> {
        Ok(self.user.into())
    }

    fn masked_prompt(&self, _question: impl AsRef<OsStr>) -> Result<std::ffi::OsString> {
        let text = self.password.text().ok_or(ErrorCode::ConversationError)?;
        Ok(text.into())
    }

    fn error_msg(&self, _message: impl AsRef<OsStr>) {}

    fn info_msg(&self, _message: impl AsRef<OsStr>) {}
}
