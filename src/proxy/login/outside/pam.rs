//! By a password that PAM takes (`auth-pam.html`).

use std::ffi::OsStr;
use std::net::IpAddr;

use nonstick::items::ItemsMut;
use nonstick::{
    AuthnFlags, ConversationAdapter, ErrorCode, PamShared, Result, Transaction, TransactionBuilder,
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

/// What PAM is asked.
pub(super) struct Question {
    pub service: String,
    /// Where the client comes from; none: by a Unix socket.
    pub from: Option<IpAddr>,
    pub user: String,
    pub password: Secret,
}

/// Does PAM take this password for this user? None: it cannot be told, or too
/// many want to know.
///
/// Whoever gives up waiting leaves PAM at work on its thread, which counts
/// until it is done.
pub(super) async fn accepts(question: Question) -> Option<bool> {
    let _in_line = LINE.try_acquire().ok()?;
    let permit = ROOM.acquire().await.ok()?;
    let asked = tokio::task::spawn_blocking(move || {
        let _permit = permit;
        let error = match ask(&question) {
            Ok(()) => return Some(true),
            Err(error) => error,
        };
        let Question { user, service, .. } = question;
        tracing::info!(target: "limited", user, service, "PAM does not let the user in: {error}");
        (!could_not_tell(error)).then_some(false)
    });
    asked.await.ok().flatten()
}

/// Was nobody there to judge? Whatever else went wrong counts against the client:
/// some modules (pam_exec) say of a wrong password that the system has failed, and
/// who could guess on would.
fn could_not_tell(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::OpenError
            | ErrorCode::SymbolError
            | ErrorCode::BufferError
            | ErrorCode::AuthInfoUnavailable
            | ErrorCode::Abort
    )
}

fn ask(question: &Question) -> Result<()> {
    let Question { user, password, .. } = question;
    let answers = Answers { user, password };
    let mut transaction = TransactionBuilder::new_with_service(&question.service)
        .username(user)
        .build(answers.into_conversation())?;
    // As PostgreSQL does: modules may be about where somebody comes from.
    let from = question.from.map(|from| from.to_canonical().to_string());
    let from = from.unwrap_or_else(|| "[local]".to_owned());
    transaction
        .items_mut()
        .set_remote_host(Some(from.as_ref()))?;
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
