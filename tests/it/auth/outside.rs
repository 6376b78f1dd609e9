//! Clients whom somebody else judges; each with the cargo feature of its name.

#[cfg(feature = "ldap")]
mod ldap;
#[cfg(feature = "oauth")]
mod oauth;
#[cfg(feature = "pam")]
mod pam;
