//! The settings: the one place where their names, bounds and meanings stand.
//!
//! The parser looks keys up here; `reference` prints docs/CONFIG.md and
//! config/full.toml from here. Defaults are those of the section's own
//! `Default`, shown by the same entry.

mod database;
mod general;
mod peer;
mod tls;
mod user;

pub(super) use database::DATABASE;
pub(super) use general::GENERAL;
pub(super) use peer::PEER;
pub(super) use user::USER;

use super::given::{Bounds, Field, Given, Refusal};

/// One key of a section that is kept in a `T`.
pub(super) struct Setting<T> {
    pub name: &'static str,
    /// What it does, and what a larger or smaller value trades.
    pub meaning: &'static str,
    /// How it differs from PgBouncer's key of that name; empty if it does not.
    pub differs: &'static str,
    /// Also read from a file, by the key with `_file` behind it; never shown.
    pub secret: bool,
    /// What may be written, in words.
    pub kind: fn(&T) -> String,
    /// Reads the value into the section.
    pub set: fn(&mut T, &Given) -> Result<(), Refusal>,
    /// The value as TOML, or none where nothing is set.
    pub show: fn(&T) -> Option<String>,
}

/// Settings that are read about together.
pub(super) struct Group<T: 'static> {
    pub title: &'static str,
    pub settings: &'static [Setting<T>],
}

/// All settings of all groups.
pub(super) fn each<T>(groups: &'static [Group<T>]) -> impl Iterator<Item = &'static Setting<T>> {
    groups.iter().flat_map(|group| group.settings)
}

/// Where a key of this name may stand, as headings: for one that stands in the wrong section.
pub(super) fn homes(name: &str) -> Vec<&'static str> {
    let mut homes = Vec::new();
    if each(GENERAL).any(|s| s.name == name) {
        homes.push("[pgweave]");
    }
    if each(DATABASE).any(|s| s.name == name) {
        homes.push("[databases.NAME]");
    }
    if each(USER).any(|s| s.name == name) {
        homes.push("[users.NAME]");
    }
    if each(PEER).any(|s| s.name == name) {
        homes.push("[peers.ID]");
    }
    homes
}

/// For types whose values need no bounds.
pub(super) const ANY: Bounds = Bounds { least: 0, most: 0 };
/// A duration for which zero has a meaning.
pub(super) const OR_ZERO: Bounds = Bounds { least: 0, most: 0 };
/// A duration that must not be zero.
pub(super) const POSITIVE: Bounds = Bounds { least: 1, most: 0 };
/// Server connections of a pool. A larger number is a slip, not a pool.
pub(super) const POOL: Bounds = Bounds {
    least: 1,
    most: 100_000,
};
/// A limit on connections, where zero means none.
pub(super) const LIMIT: Bounds = Bounds {
    least: 0,
    most: 100_000,
};

pub(super) const fn between(least: u32, most: u32) -> Bounds {
    Bounds { least, most }
}

/// [`Field::kind`] of a field whose type the macro below does not know.
pub(super) fn kind_of<F: Field>(_: &F, bounds: Bounds) -> String {
    F::kind(bounds)
}

/// `setting!(field, BOUNDS, "meaning")`, then `, differs "..."` and `; secret` where it applies.
macro_rules! setting {
    ($field:ident, $bounds:expr, $meaning:expr $(, differs $differs:literal)? $(; $secret:ident)?) => {
        $crate::config::keys::Setting {
            name: stringify!($field),
            meaning: $meaning,
            differs: concat!($($differs)?),
            secret: !concat!($(stringify!($secret))?).is_empty(),
            kind: |section| $crate::config::keys::kind_of(&section.$field, $bounds),
            set: |section, given| {
                section.$field = $crate::config::given::Field::read(given, $bounds)?;
                Ok(())
            },
            show: |section| $crate::config::given::Field::show(&section.$field),
        }
    };
}
use setting;
