//! Settings from text.
//!
//! This room reads pgweave's TOML, the `PGWEAVE_*` variables and
//! `DATABASE_URL`, and gives back one [`Config`] or every [`Mistake`] at once.
//! It is pure: environment and files come in through [`Sources`], and nothing
//! here opens, listens or logs. `app` calls it at start and at reload; `pool`
//! and `proxy` ask [`Config::pool_settings`] what holds for one pool.
//!
//! The names, bounds and meanings of the settings stand once, in `keys`: the
//! parser walks that table, and docs/CONFIG.md and config/full.toml are printed
//! from it. Key names, units and meanings are PgBouncer's wherever the concept
//! is the same.

mod checks;
mod checks_logins;
mod checks_tls;
mod command;
mod duration;
mod environment;
mod fields;
mod file;
mod file_mode;
mod given;
mod hosts;
mod ini;
mod keys;
mod milliseconds;
mod mistake;
mod networks;
mod places;
mod quotes;
pub mod reference;
mod resolve;
mod running;
mod secret;

mod server_url;
mod settings;
mod sources;
mod sql;
mod substitute;
mod suggest;
mod tls;
mod tls_protocols;
mod words;
mod written;

pub use command::Command;
pub use environment::from_environment;
pub use file::from_toml;
pub use file_mode::FileMode;
pub use ini::{FromIni, from_ini, to_toml};
pub use milliseconds::Milliseconds;
pub use mistake::Mistake;
pub use networks::Networks;
pub(crate) use quotes::unquoted;
pub use resolve::{PoolSettings, Tcp};
pub use running::{Changed, Shown, changed, is_secret, shown, waits_for_a_start};
pub use secret::{Secret, SecretForm};
pub use settings::{Config, Database, General, Peer, User};
pub use sources::Sources;
pub use sql::Sql;
pub use tls::{ClientTls, ServerTls, Tls, TlsFile, TlsFiles, TlsMistake};
pub use tls_protocols::TlsProtocols;
pub use words::{
    ApplicationNamePolicy, AssignPolicy, AuthType, Listen, LoadBalance, LogFormat, LogLevel,
    PoolMode, ProxyProtocol, ServerProxyProtocol, SessionState, SslMode, SyslogFacility,
    TlsNegotiation, Verify, Word,
};
