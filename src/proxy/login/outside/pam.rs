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

/// And so many wait for their turn.
static LINE: Semaphore = Semaphore::const_new(256);

/// What the rule says, else the configuration.
pub(super) fn service(options: &[(&'static str, Setting)], usual: &str) -> String {
    let mut options = options.iter();
    let named = options.find(|(name, _)| *name == "pamservice");
    named.map_or(usual, |(_, value)| value.expose()).to_owned()
}

/// Does PAM take this password for this user? None: it cannot be told, or too
/// many want to know.
///
/// Whoever gives up waiting leaves PAM at work on its thread, which counts
/// until it is done.
pub(super) async fn accepts(service: String, user: String, password: Secret) -> Option<bool> {
    let _in_line = LINE.try_acquire().ok()?;
    let permit = ROOM.acquire().await.ok()?;
    let asked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let error = match ask(&service, &user, &password) {
            Ok(()) => return Some(true),
            Err(error) => error,
        };
        tracing::info!(user, service, "PAM does not let the user in: {error}");
        let is_no = matches!(
            error,
            ErrorCode::AuthenticationError
                | ErrorCode::UserUnknown
                | ErrorCode::PermissionDenied
                | ErrorCode::AccountExpired
                | ErrorCode::CredentialsExpired
                | ErrorCode::NewAuthTokRequired
                | ErrorCode::MaxTries
        );
        is_no.then_some(false)
    });
    asked.await.ok().flatten()
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
