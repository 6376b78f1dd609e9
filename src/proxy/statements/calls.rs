//! EXECUTE, DEALLOCATE and PREPARE in the extended protocol: what they name
//! has another name on the server.

use std::sync::Arc;

use super::MAX_NAMES;
use super::{called, malformed};
use crate::pool::Lease;
use crate::proxy::client::{Client, End};
use crate::proxy::upstream::Act;
use crate::session::sql::{Call, Verb};
use crate::session::statements::{Effect, Named, Op, Statement};
use crate::session::{About, Findings, Kind, Pay};
use crate::wire::frame::{HEADER, Header, cstr};
use crate::wire::frontend::frame_into;
use crate::wire::run::Run;

/// The statement that stands in, on a server, for one that a client
/// deallocates: others may still use the real one.
pub(super) const STAND_IN: &[u8] = b"_pwd";

/// Statements that call statements that call statements...
const MAX_DEPTH: u32 = 4;

impl Client {
    /// The statement to be used on the server for this one, and what executing
    /// it does to a name; `None`: not known until the server has answered.
    pub(super) fn resolve(
        &mut self,
        lease: &mut Lease,
        statement: &Arc<Statement>,
        run: &mut Run<'_>,
    ) -> Option<(Arc<Statement>, Option<Effect>)> {
        self.resolve_at(lease, statement, 0, run)
    }

    fn resolve_at(
        &mut self,
        lease: &mut Lease,
        statement: &Arc<Statement>,
        depth: u32,
        run: &mut Run<'_>,
    ) -> Option<(Arc<Statement>, Option<Effect>)> {
        let Some(call) = statement.call.as_deref().filter(|_| depth < MAX_DEPTH) else {
            return Some((Arc::clone(statement), None));
        };
        // What the call itself does is followed when it is executed.
        let can = statement
            .can
            .without(Findings::PREPARES.and(Findings::DEALLOCATES));
        self.note(
            lease,
            can,
            statement.touches.as_deref(),
            &statement.parse,
            run,
        );
        let mut effect = Effect {
            verb: call.verb,
            name: call.name.as_slice().into(),
            of_protocol: false,
            callees: Vec::new(),
            shift: 0,
        };
        let Some(target) = self.lookup(lease, &call.name, run).ok()? else {
            return Some((Arc::clone(statement), Some(effect)));
        };
        effect.of_protocol = true;
        let mut name = None;
        if call.verb != Verb::Deallocate {
            let (callee, inner) = self.callee(lease, &call.name, &target, depth, run)?;
            if let (Verb::Execute, Some(inner)) = (call.verb, inner) {
                effect = inner;
            }
            effect
                .callees
                .push((callee.id, call.name.as_slice().into()));
            name = Some(callee.server_name());
        }
        let name = name.as_ref().map_or(STAND_IN, |name| name.as_bytes());
        effect.shift = shift(statement, call, name);
        let derived = self.names_mut().calls.derive(statement, name);
        Some((derived, Some(effect)))
    }

    /// Sees to it that the server has what is called by `name`; the statement
    /// as it is there, and what executing that does.
    fn callee(
        &mut self,
        lease: &mut Lease,
        name: &[u8],
        target: &Named,
        depth: u32,
        run: &mut Run<'_>,
    ) -> Option<(Arc<Statement>, Option<Effect>)> {
        let (callee, effect) = self.resolve_at(lease, &target.statement, depth + 1, run)?;
        if effect.is_none() {
            self.note_statement(lease, &callee, run);
        }
        let on_server = Named {
            statement: Arc::clone(&callee),
            ..target.clone()
        };
        self.ensure(lease, &on_server, name, false, run);
        Some((callee, effect))
    }

    /// A Bind gives this portal a statement.
    pub(super) fn note_portal(&mut self, portal: &[u8], effect: Option<Effect>) {
        if effect.is_none() && self.names.is_none() {
            return;
        }
        self.names_mut().calls.bound(portal, effect);
    }

    /// Execute.
    pub(in crate::proxy) fn execute(
        &mut self,
        lease: &mut Lease,
        header: Header,
        frame: &[u8],
        run: &mut Run<'_>,
    ) -> Result<Act, End> {
        let calls = |client: &Self| client.names.as_deref().is_some_and(|n| !n.calls.is_empty());
        if !calls(self) || lease.tracker.skipping() {
            lease.tracker.owe(Kind::Execute, Pay::Forward);
            self.executes(lease);
            return Ok(Act::Pass);
        }
        let Some((portal, _)) = cstr(frame.get(HEADER..).unwrap_or_default()) else {
            let whole = frame.len() == header.total;
            return match whole || header.total > MAX_NAMES {
                true => Err(malformed()),
                false => Ok(Act::More),
            };
        };
        match self.names_mut().calls.of(portal).cloned() {
            Some(effect) => self.execute_call(lease, effect, run),
            None => lease.tracker.owe(Kind::Execute, Pay::Forward),
        }
        self.executes(lease);
        Ok(Act::Pass)
    }

    fn execute_call(&mut self, lease: &mut Lease, effect: Effect, run: &mut Run<'_>) {
        prepare_effect(lease, &effect, run);
        let about = about_callee(&effect);
        lease.tracker.owe_about(Kind::Execute, Pay::Forward, about);
        self.follow_effect(lease, &effect);
    }

    /// What the message just owed does to a name.
    pub(super) fn follow_effect(&mut self, lease: &mut Lease, effect: &Effect) {
        for (id, name) in &effect.callees {
            called(lease, *id, name);
        }
        match (effect.verb, effect.of_protocol) {
            (Verb::Deallocate, true) => self.set_name(lease, &effect.name, None),
            _ => self.follow_sql_name(lease, effect.verb, &effect.name),
        }
    }

    /// The name is, or becomes, one that only this server connection knows.
    pub(super) fn follow_sql_name(&mut self, lease: &mut Lease, verb: Verb, name: &[u8]) {
        let segment = super::segment_of_newest(lease);
        let names = self.names_mut();
        let before = match verb {
            Verb::Execute => return,
            Verb::Prepare => {
                names.prepares_by_sql += 1;
                !names.prepared_by_sql.insert(name.into())
            }
            Verb::Deallocate => names.prepared_by_sql.remove(name),
        };
        names.changed_in = Some(segment);
        let name = name.into();
        lease.tracker.attach(Op::SqlName { name, before });
    }
}

/// What an error about a message that calls a statement speaks of.
pub(super) fn about_callee(effect: &Effect) -> About {
    let callee = effect.callees.last();
    let about = callee.map_or(About::default(), |(id, name)| About::new(*id, name));
    about.shifted(effect.shift)
}

/// Puts there what the message about to be owed needs: the stand-in for what is
/// to be dropped, anew each time.
pub(super) fn prepare_effect(lease: &mut Lease, effect: &Effect, run: &mut Run<'_>) {
    if effect.verb != Verb::Deallocate || !effect.of_protocol {
        return;
    }
    lease.tracker.owe(Kind::Close, Pay::Swallow);
    frame_into(run.insert(), b'C', &[b"S", STAND_IN, b"\0"]);
    lease.tracker.owe(Kind::Parse, Pay::Swallow);
    frame_into(run.insert(), b'P', &[STAND_IN, b"\0\0\0\0"]);
}

/// How many characters the text grows by, with `name` for the one called.
fn shift(statement: &Statement, call: &Call, name: &[u8]) -> i16 {
    let characters = |text: &[u8]| {
        let begins = text.iter().filter(|byte| **byte & 0xc0 != 0x80);
        i16::try_from(begins.count()).unwrap_or(0)
    };
    let token = statement.parse.get(call.at.clone()).unwrap_or_default();
    characters(name) - characters(token)
}
