//! Parsing a statement again under the settings under which its client parsed
//! it, which may not be those that the client has now.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::pool::Lease;
use crate::proxy::client::Client;
use crate::server::EnvQuestion;
use crate::session::settings::{Env, IDENTITY, is_parse_relevant, value_of};
use crate::session::statements::{Statement, private_in_doubt};
use crate::wire::run::Run;

/// The settings that are other while a statement is parsed.
pub(super) struct Detour {
    /// All of them.
    names: Vec<Box<str>>,
    /// Those that are as when the session began.
    defaults: Vec<Box<str>>,
    /// The rest, in the order in which they are set.
    sets: Vec<(Box<str>, Box<[u8]>)>,
}

/// Where the server connection stands as far as parsing goes.
pub(super) enum Way {
    /// The settings are the right ones.
    Straight,
    /// They are others, or may be.
    Around(Detour),
    /// It is not known what they were.
    None,
}

impl Client {
    /// How to have this statement parsed now as it was before.
    ///
    /// Where settings have changed by names that are not known, all of the
    /// client's statements were brought before that; one that has had to make
    /// room since is parsed as if they had not.
    pub(super) fn way_to(&self, statement: &Statement) -> Way {
        let Some(there) = statement.env.get().map(Option::as_ref) else {
            return Way::None;
        };
        if !statement.depends_on_settings {
            return Way::Straight;
        }
        let here = self.env();
        let touched = self.env_touched.as_deref().filter(|_| self.env_in_doubt);
        let changed: Vec<&str> = touched.map_or_else(Vec::new, |touched| {
            let names = touched.names.iter().map(|name| &**name);
            names.filter(|name| is_parse_relevant(name)).collect()
        });
        let same = here.as_ref().map(Arc::as_ptr) == there.map(Arc::as_ptr);
        if same && changed.is_empty() {
            return Way::Straight;
        }
        let mut names: BTreeSet<&str> = changed.into_iter().collect();
        for env in [here.as_ref(), there].into_iter().flatten() {
            names.extend(env.settings.iter().map(|(name, _)| &**name));
        }
        Way::Around(self.detour(&names, there))
    }

    /// These settings as they are in an environment.
    fn detour(&self, names: &BTreeSet<&str>, there: Option<&Arc<Env>>) -> Detour {
        let value = |name: &str| {
            let set = there.and_then(|env| value_of(&env.settings, name));
            set.map(Into::into)
                .or_else(|| self.shelf.defaults.get(name))
        };
        let mut detour = Detour {
            names: names.iter().map(|name| (*name).into()).collect(),
            defaults: Vec::new(),
            sets: Vec::new(),
        };
        let plain = names.iter().filter(|name| !IDENTITY.contains(name));
        // Who one is decides what one may set: it comes last.
        let last = IDENTITY.iter().filter(|name| names.contains(*name));
        for name in plain.chain(last) {
            match value(name) {
                Some(value) => detour.sets.push(((*name).into(), value)),
                None => detour.defaults.push((*name).into()),
            }
        }
        detour
    }

    /// A statement that is about to be parsed while it is not known what the
    /// settings are: the server is asked, in the same write.
    pub(super) fn parsed_in_doubt(
        &mut self,
        lease: &mut Lease,
        parse: &[u8],
        run: &mut Run<'_>,
    ) -> Arc<Statement> {
        let statement = private_in_doubt(parse, self.shelf.pool().catalog.epoch());
        let env = self.env();
        let set = env.iter().flat_map(|env| env.settings.iter());
        let mut names: BTreeSet<Box<str>> = set.map(|(name, _)| name.clone()).collect();
        let touched = self.env_touched.as_deref();
        let all = touched.is_none_or(|touched| touched.unknown);
        names.extend(
            touched
                .into_iter()
                .flat_map(|touched| touched.names.iter().cloned()),
        );
        if all {
            names.extend(IDENTITY.map(Into::into));
        }
        names.retain(|name| is_parse_relevant(name));
        lease.ask_env(&statement, names.into_iter().collect(), all, run.insert());
        statement
    }

    /// It is known now.
    pub(in crate::proxy) fn env_is_known(&mut self, answer: EnvQuestion) {
        let named = answer.names.into_iter().zip(answer.values);
        let settings = self.shelf.defaults.differing(answer.all, named);
        let env = self.shelf.profiles.intern_env(&settings);
        let _ = answer.statement.env.set(env);
        if let Some(names) = self.names.as_deref_mut() {
            names.doubt_is_over();
        }
    }
}

/// Runs `parse` where the settings are as the detour has them.
pub(super) fn by_detour(
    lease: &mut Lease,
    detour: &Detour,
    run: &mut Run<'_>,
    parse: impl FnOnce(&mut Lease, &mut Run<'_>),
) {
    let names: Vec<&str> = detour.names.iter().map(|name| &**name).collect();
    let defaults: Vec<&str> = detour.defaults.iter().map(|name| &**name).collect();
    let sets = detour.sets.iter();
    let sets: Vec<(&str, &[u8])> = sets.map(|(name, value)| (&**name, &**value)).collect();
    // Whoever one is may not set all of them.
    let nobody: &[(&str, &[u8])] = match names.contains(&"role") {
        true => &[("role", b"none")],
        false => &[],
    };
    lease.put_settings_aside(&names, run.insert());
    lease.set_local(nobody, run.insert());
    lease.set_local_defaults(&defaults, run.insert());
    lease.set_local(&sets, run.insert());
    parse(lease, run);
    lease.come_back_to_settings(&names, run.insert());
}
