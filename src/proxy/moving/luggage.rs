//! What goes with a client to another process: all that its session is, but for the
//! socket.
//!
//! Written as named fields, and read with defaults for what is missing, so that a
//! process can take over from one of another version.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::pool::StartupClass;
use crate::session::channels::Channels;

/// See the module.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Luggage {
    /// The database that it asked for.
    pub database: String,
    /// The name that it logged in with.
    pub user: String,
    /// The role by which it is served.
    pub server_user: String,
    /// What its server connections are opened with.
    pub startup: StartupClass,
    /// Its cancel key: a process id and a secret.
    pub pid: i32,
    /// See there.
    pub secret: Bytes,
    /// Its number in the process that it comes from.
    pub number: u64,
    /// It listens to these: [`Listens`] of its number has come before.
    pub listens: Option<Channels>,
    /// How long ago it logged in.
    pub age: Duration,
    /// Where it is; none: it is on this machine.
    pub peer: Option<SocketAddr>,
    /// What it called itself when it logged in.
    pub login_name: String,
    /// What it calls itself now.
    pub application_name: String,
    /// What it has sent that was not dealt with yet.
    pub inbox: Bytes,
    /// What it has set.
    pub settings: Settings,
    /// What it was greeted with.
    pub greeting: Vec<(String, String)>,
    /// What it was told of parameters since.
    pub reported: Vec<(Bytes, Bytes)>,
    /// Its prepared statements by name.
    pub statements: Vec<(Bytes, Packed)>,
    /// The unnamed one.
    pub unnamed: Option<Packed>,
}

/// A client that is about to come listens to channels.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Listens {
    /// Its number in the process that it comes from.
    pub client: u64,
    /// The database that it asked for.
    pub database: String,
    /// The role by which it is served.
    pub user: String,
    /// What it listens to.
    pub channels: Channels,
    /// Where it ends there: the channel of positions.
    pub position: Box<str>,
    /// And the position, which the process that it comes to marks as soon as it hears
    /// all that follows.
    pub token: u64,
}

/// Names, and what they are set to.
pub type Settings = BTreeMap<Box<str>, Bytes>;

/// A prepared statement.
#[derive(Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Packed {
    /// The Parse message's body after the name.
    pub parse: Bytes,
    /// The settings under which it was parsed, those that matter for that.
    pub env: Settings,
    /// Nobody shares it.
    pub is_private: bool,
    /// What its client was told that it takes and returns, in the numbers of the process
    /// that it comes from ([`super::dialect`]).
    pub told: Option<u32>,
}

/// In base64 when written.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Bytes(pub Box<[u8]>);

/// They may be secret.
impl std::fmt::Debug for Bytes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Bytes({})", self.0.len())
    }
}

impl From<&[u8]> for Bytes {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl Serialize for Bytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(&self.0))
    }
}

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        let bytes = STANDARD.decode(text.as_bytes()).map_err(D::Error::custom)?;
        Ok(Self(bytes.into()))
    }
}

/// There are secrets in it, and texts of clients.
impl std::fmt::Debug for Luggage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Luggage({} of {:?})", self.pid, self.peer)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn it_is_read_as_it_was_written() {
        let bytes = |bytes: &[u8]| Bytes::from(bytes);
        let packed = Packed {
            parse: bytes(b"select \xff\0\0\0"),
            env: [("datestyle".into(), bytes(b"German"))].into(),
            is_private: true,
            told: Some(7),
        };
        let luggage = Luggage {
            database: "app".to_owned(),
            peer: Some("[::1]:5".parse().unwrap()),
            secret: bytes(&[0, 1, 2, 255]),
            statements: vec![(bytes(b"s"), packed)],
            ..Luggage::default()
        };
        let written = serde_json::to_string(&luggage).unwrap();
        let read: Luggage = serde_json::from_str(&written).unwrap();
        assert_eq!(serde_json::to_string(&read).unwrap(), written);
        assert!(read.secret == luggage.secret && read.peer == luggage.peer);
    }

    #[test]
    fn what_is_missing_has_a_default_and_what_is_unknown_is_ignored() {
        let read: Luggage = serde_json::from_str(r#"{"user":"a","of_a_later_version":1}"#).unwrap();
        assert_eq!(read.user, "a");
        assert!(serde_json::from_str::<Luggage>(r#"{"secret":"no base64!"}"#).is_err());
    }
}
