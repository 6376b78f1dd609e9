//! Parsing a statement again under the settings under which its client parsed
//! it, which may not be those that the client has now.

use std::sync::Arc;

use crate::pool::Lease;
use crate::proxy::client::Client;
use crate::session::settings::Env;
use crate::session::{About, TxStatus};
use crate::wire::run::Run;

/// Names and values, in the order in which they are set.
type Steps = Vec<(Box<str>, Box<[u8]>)>;

/// The settings to be had while a statement is parsed, and those to return to.
pub(super) struct Detour {
    there: Steps,
    back: Steps,
}

/// Where the server connection stands as far as parsing goes.
pub(super) enum Way {
    /// The settings are the right ones.
    Straight,
    /// They are others.
    Around(Detour),
    /// It is not known what they are, or what they should be.
    None,
}

impl Client {
    /// How to have a statement of this environment parsed now.
    pub(super) fn way_to(&self, env: Option<&Arc<Env>>) -> Way {
        let here = self.env();
        let same = match (&here, env) {
            (None, None) => true,
            (Some(here), Some(env)) => Arc::ptr_eq(here, env),
            _ => false,
        };
        if self.env_in_doubt {
            // Where the settings were changed, all was brought here before.
            return Way::None;
        }
        if same {
            return Way::Straight;
        }
        let there = self.steps(here.as_deref(), env.map(Arc::as_ref));
        let back = self.steps(env.map(Arc::as_ref), here.as_deref());
        match (there, back) {
            (Some(there), Some(back)) => Way::Around(Detour { there, back }),
            _ => Way::None,
        }
    }

    /// From one environment to another without a RESET, which would take more
    /// with it.
    fn steps(&self, from: Option<&Env>, to: Option<&Env>) -> Option<Steps> {
        let mut steps = Steps::new();
        let settings =
            |env: Option<&Env>| env.map_or_else(Default::default, |env| env.settings.clone());
        let (from, to) = (settings(from), settings(to));
        let value_in = |settings: &[(Box<str>, Box<[u8]>)], name: &str| {
            let found = settings.iter().find(|(other, _)| **other == *name);
            found.map(|(_, value)| value.clone())
        };
        // Who one is decides what one may set: first back, then on.
        if value_in(&from, "role").is_some() {
            steps.push(("role".into(), b"none"[..].into()));
        }
        let login = self.shelf.pool().settings.server_user.as_bytes().into();
        let [was, is] = [&from, &to].map(|settings| value_in(settings, "session_authorization"));
        let identity_changes = was != is;
        if identity_changes && was.is_some() {
            steps.push(("session_authorization".into(), login));
        }
        let names = from.iter().chain(to.iter()).map(|(name, _)| name);
        for name in names.filter(|name| !matches!(&***name, "role" | "session_authorization")) {
            let value = match value_in(&to, name) {
                Some(value) => value,
                None => self.shelf.defaults.get(name)?,
            };
            steps.retain(|(other, _)| other != name);
            steps.push((name.clone(), value));
        }
        if let Some(is) = is.filter(|_| identity_changes) {
            steps.push(("session_authorization".into(), is));
        }
        if let Some(role) = value_in(&to, "role") {
            steps.push(("role".into(), role));
        }
        Some(steps)
    }
}

/// Runs `parse` where the settings are as the detour has them.
pub(super) fn by_detour(
    lease: &mut Lease,
    detour: &Detour,
    run: &mut Run<'_>,
    parse: impl FnOnce(&mut Lease, &mut Run<'_>),
) {
    // What comes behind it in a pipeline may be what no transaction may hold.
    let tracker = &lease.tracker;
    let alone = tracker.status() == TxStatus::Idle
        && tracker.settled()
        && (!tracker.unsynced() || tracker.only_own_unsynced());
    if alone {
        lease.begin_own(run.insert());
    }
    set(lease, &detour.there, run);
    parse(lease, run);
    set(lease, &detour.back, run);
    if alone {
        lease.commit_own(run.insert());
    }
}

fn set(lease: &mut Lease, steps: &Steps, run: &mut Run<'_>) {
    let steps: Vec<(&str, &[u8])> = steps
        .iter()
        .map(|(name, value)| (&**name, &**value))
        .collect();
    lease.set(&steps, About::default(), run.insert());
}
