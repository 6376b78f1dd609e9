//! What the outside world lends to this room.

use std::io;
use std::path::Path;

use super::{General, Mistake, Tls, TlsMistake};

/// Environment and files, handed in so that reading a configuration stays pure.
#[derive(Clone, Copy)]
pub struct Sources<'a> {
    /// The value of an environment variable, if it is set.
    pub env: &'a dyn Fn(&str) -> Option<String>,
    /// The text of a file: for `password_file` and its like.
    pub read_file: &'a dyn Fn(&Path) -> io::Result<String>,
    /// What is wrong with the files that TLS is to be made of.
    pub try_tls: &'a dyn Fn(&Tls<'_>) -> Vec<TlsMistake>,
    /// What is wrong in the files that say who may log in.
    pub try_logins: &'a dyn Fn(&General) -> Vec<Mistake>,
}

impl Sources<'_> {
    /// A variable that is set to something; an empty one counts as not set.
    pub(super) fn var(&self, name: &str) -> Option<String> {
        (self.env)(name).filter(|value| !value.is_empty())
    }
}
