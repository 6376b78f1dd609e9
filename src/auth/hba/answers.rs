//! What rules ask that neither the file nor the login can tell.
//!
//! Whoever reads the file says what can be answered ([`CanAsk`]); a rule that
//! asks for more is a mistake. Whoever then looks for a rule brings the answers.
//! "It cannot be told" is an answer: the search ends there and the login is
//! refused, since a rule that is passed over may be the one that rejects.

use std::net::IpAddr;

/// Which questions will find answers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CanAsk {
    /// `+role`, `samerole`: [`Membership`].
    pub membership: bool,
    /// `samehost`, `samenet`: [`Answers::interfaces`].
    pub interfaces: bool,
    /// Host names: [`Answers::host_name`].
    pub host_names: bool,
}

/// Who belongs to a role. Only the server knows.
pub trait Membership {
    /// Is the user a member of the role, directly or through others? A superuser
    /// is no member of what it was not granted. `None`: it cannot be told.
    ///
    /// Never asked about a user and itself, which is always true.
    fn is_member(&self, user: &str, role: &str) -> Option<bool>;
}

/// All that rules ask.
pub trait Answers: Membership {
    /// The addresses of this machine. `None`: they cannot be told.
    fn interfaces(&self) -> Option<&[Interface]>;

    /// The name of a client's address: one that leads back to the address, as
    /// PostgreSQL demands it, so it has to be looked up in both directions.
    fn host_name(&self, client: IpAddr) -> HostName;
}

/// An address of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Interface {
    /// The address itself.
    pub address: IpAddr,
    /// Which of its bits are the network's.
    pub netmask: IpAddr,
}

/// What became of a look-up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HostName {
    /// The address has this name.
    Is(String),
    /// The address has no name, or one that leads elsewhere.
    None,
    /// Nobody could be asked.
    CannotTell,
}

/// Answers nothing: for rules that were read with [`CanAsk::default`].
#[derive(Debug, Clone, Copy, Default)]
pub struct NoAnswers;

impl Membership for NoAnswers {
    fn is_member(&self, _user: &str, _role: &str) -> Option<bool> {
        None
    }
}

impl Answers for NoAnswers {
    fn interfaces(&self) -> Option<&[Interface]> {
        None
    }

    fn host_name(&self, _client: IpAddr) -> HostName {
        HostName::CannotTell
    }
}

/// Is one of them true? If none is and one cannot be told, neither can this.
pub(in crate::auth) fn any(answers: impl Iterator<Item = Option<bool>>) -> Option<bool> {
    let mut found = Some(false);
    for answer in answers {
        match answer {
            Some(true) => return Some(true),
            Some(false) => {}
            None => found = None,
        }
    }
    found
}
