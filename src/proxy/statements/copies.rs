//! The copies of statements that a server connection holds for its clients:
//! made when they are first needed, made anew when they may be stale.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::environment::{Way, by_detour};
use super::segment_of_newest;
use crate::config::PoolSettings;
use crate::pool::Lease;
use crate::proxy::client::Client;
use crate::session::statements::{Held, Named, Op, Statement};
use crate::session::{About, Kind, Pay, Refused};
use crate::wire::frontend::{flush, frame_into};
use crate::wire::run::Run;

/// A statement name that no server connection ever has.
const NOBODY: &[u8] = b"_pw_nobody";

/// Is there a copy that the client's message can be sent for?
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Copied {
    /// There is, or will be when the message arrives.
    Yes,
    /// The server is being asked what the copy returns.
    Asked,
    /// It returns something else than the client was told.
    Stale,
}

impl Client {
    /// Sees to a copy of what a name stands for; what the pooler sends is
    /// answered unseen, and the client's own message follows in the same write.
    ///
    /// With `ask`, a copy is first compared with what the client was told: where
    /// a table has changed since, PostgreSQL would say that the plan has, but
    /// this server has never had the plan of before. What a copy made now returns
    /// counts: an older one may be of a catalog that the client has never seen.
    pub(super) fn ensure(
        &self,
        lease: &mut Lease,
        named: &Named,
        name: &[u8],
        ask: bool,
        run: &mut Run<'_>,
    ) -> Copied {
        let statement = &named.statement;
        let catalog = &self.shelf.pool().catalog;
        let told = named.told;
        let (segment, settled) = (lease.tracker.segment(), lease.tracker.settled());
        match lease.statements.touch(statement.id) {
            Some(held) if held.is_outdated => {}
            // A change of the catalog may have passed us by between the two.
            Some(held) if held.parsed < named.since => {}
            // Made of a catalog that the client has never seen, and that is past.
            Some(held) if statement.epoch < held.epoch && held.epoch < catalog.epoch() => {}
            Some(held) if !ask || told.is_none() || held.shape == told => return Copied::Yes,
            // Whether the transaction still stands is known when all before it
            // is answered.
            Some(held) if held.shape.is_some() && !settled => return Copied::Asked,
            Some(held) if held.shape.is_some() && held.segment == segment => return Copied::Stale,
            Some(held) if held.asked && held.shape.is_none() => return Copied::Asked,
            // To describe an old one could fail, and not as the client's own would.
            Some(_) | None => {}
        }
        drop_copy(lease, statement, run);
        let way = self.way_to(statement);
        if ask && matches!(way, Way::None) {
            return Copied::Stale;
        }
        self.make_room(lease, run);
        self.copy(lease, statement, name, &way, run);
        if !ask || told.is_none() {
            return Copied::Yes;
        }
        let about = About::new(statement.id, name);
        describe(lease, statement, about, Pay::Swallow, run);
        lease.tracker.attach(Op::AsksShape(statement.id));
        lease.statements.ask(statement.id, true);
        run.insert().extend_from_slice(&flush());
        Copied::Asked
    }

    /// Has the server make a copy, under the settings of its Parse.
    fn copy(
        &self,
        lease: &mut Lease,
        statement: &Arc<Statement>,
        name: &[u8],
        way: &Way,
        run: &mut Run<'_>,
    ) {
        let epoch = self.shelf.pool().catalog.epoch();
        let parse = |lease: &mut Lease, run: &mut Run<'_>| {
            let about = About::new(statement.id, name);
            lease.tracker.owe_about(Kind::Parse, Pay::Swallow, about);
            prepares(lease, statement, epoch);
            parse_into(run.insert(), statement, &statement.parse);
        };
        match way {
            Way::Around(detour) => by_detour(lease, detour, run, parse),
            Way::Straight | Way::None => parse(lease, run),
        }
    }

    /// Before a client lists the statements of the session: those of others, and
    /// the pooler's own, are nothing to it.
    pub(in crate::proxy) fn close_copies(&self, lease: &mut Lease, run: &mut Run<'_>) {
        while let Some(id) = lease.statements.any() {
            close_copy(lease, id, Pay::Swallow, run);
        }
        lease.close_own(run.insert());
    }

    /// Makes room for one more statement on the server.
    pub(super) fn make_room(&self, lease: &mut Lease, run: &mut Run<'_>) {
        let PoolSettings {
            max_prepared_statements,
            max_prepared_bytes,
            ..
        } = **self.shelf.pool().settings();
        let most = max_prepared_statements.saturating_sub(1);
        while let Some(id) = lease.statements.over(most, max_prepared_bytes) {
            close_copy(lease, id, Pay::Swallow, run);
        }
    }
}

/// Drops a copy that is about to be made anew.
pub(super) fn drop_copy(lease: &mut Lease, statement: &Statement, run: &mut Run<'_>) {
    close_copy(lease, statement.id, Pay::Swallow, run);
}

/// Has the server close its copy; false when it has none.
pub(super) fn close_copy(lease: &mut Lease, id: u64, pay: Pay, run: &mut Run<'_>) -> bool {
    let Some(held) = lease.statements.remove(id) else {
        return false;
    };
    lease.tracker.owe(Kind::Close, pay);
    let name = held.statement.server_name();
    frame_into(run.insert(), b'C', &[b"S", name.as_bytes(), b"\0"]);
    lease.tracker.attach(Op::ServerForgets(held));
    changed(lease);
    true
}

/// Notes that the Parse just owed gives the server a copy.
pub(super) fn prepares(lease: &mut Lease, statement: &Arc<Statement>, epoch: u64) {
    lease.tracker.attach(Op::ServerPrepares(statement.id));
    let segment = lease.tracker.segment();
    lease.statements.prepare(Held {
        statement: Arc::clone(statement),
        parsed: next(),
        epoch,
        segment,
        shape: None,
        asked: false,
        is_outdated: false,
    });
    changed(lease);
}

fn changed(lease: &mut Lease) {
    let segment = segment_of_newest(lease);
    lease.statements.changed_in(segment);
}

pub(super) fn parse_into(out: &mut Vec<u8>, statement: &Statement, rest: &[u8]) {
    let name = statement.server_name();
    frame_into(out, b'P', &[name.as_bytes(), b"\0", rest]);
}

/// Describes a statement under its name on the server.
pub(super) fn describe(
    lease: &mut Lease,
    statement: &Statement,
    about: About,
    pay: Pay,
    run: &mut Run<'_>,
) {
    lease.tracker.owe_about(Kind::DescribeStatement, pay, about);
    let name = statement.server_name();
    frame_into(run.insert(), b'D', &[b"S", name.as_bytes(), b"\0"]);
}

/// In place of a message of the client's, one that the server will refuse: so
/// the error comes in its turn, and fails the transaction as it should.
pub(super) fn refuse(lease: &mut Lease, kind: Kind, why: Refused, run: &mut Run<'_>) {
    lease
        .tracker
        .owe_about(kind, Pay::Forward, About::refused(why));
    frame_into(run.insert(), b'B', &[b"\0", NOBODY, b"\0", &[0; 6]]);
}

/// The next in the order of all Parses.
pub(in crate::proxy) fn next() -> u64 {
    static LAST: AtomicU64 = AtomicU64::new(0);
    LAST.fetch_add(1, Ordering::Relaxed) + 1
}
