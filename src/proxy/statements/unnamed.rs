//! The unnamed statement, which follows its client.

use std::num::NonZeroU64;
use std::sync::Arc;

use super::environment::{Way, by_detour};
use super::{called, is_open, segment_of_newest};
use crate::pool::Lease;
use crate::proxy::client::Client;
use crate::proxy::upstream::Act;
use crate::session::statements::{Named, Op, Statement, UNNAMED_NONE, Unnamed};
use crate::session::{About, Kind, Pay};
use crate::wire::frontend::frame_into;
use crate::wire::run::Run;

impl Client {
    /// A simple Query: the unnamed statement is lost, even if it fails.
    #[inline]
    pub(in crate::proxy) fn loses_unnamed(&mut self, lease: &mut Lease, about: About) {
        if lease.tracker.skipping() {
            return;
        }
        // It may be skipped, or what it follows may be taken back.
        let is_certain = !lease.tracker.unsynced() && !lease.tracker.has_changes();
        lease.tracker.owe_about(Kind::Query, Pay::Forward, about);
        if !is_certain {
            self.replace_unnamed(lease, Unnamed::None);
        } else {
            self.unnamed = Unnamed::None;
            lease.unnamed = UNNAMED_NONE;
        }
    }

    /// The Parse of an unnamed statement passes.
    pub(super) fn set_unnamed(&mut self, lease: &mut Lease, to: Unnamed) {
        lease.tracker.owe(Kind::Parse, Pay::Forward);
        self.replace_unnamed(lease, to);
    }

    /// Hangs the change of the unnamed statement on the message just owed.
    pub(super) fn replace_unnamed(&mut self, lease: &mut Lease, to: Unnamed) {
        let mark = std::mem::replace(&mut lease.unnamed, to.mark());
        let before = std::mem::replace(&mut self.unnamed, to);
        lease.tracker.attach(Op::Unnamed { before, mark });
        self.unnamed_changed_in = NonZeroU64::new(segment_of_newest(lease) + 1);
    }

    /// Is it not settled yet what the unnamed statement is?
    pub(super) fn unnamed_is_open(&self, lease: &Lease) -> bool {
        let changed_in = self.unnamed_changed_in;
        is_open(lease, changed_in.map(|segment| segment.get() - 1))
    }

    /// The unnamed statement that calls another one.
    pub(super) fn unnamed_call(&self) -> Option<Named> {
        let Unnamed::Calls(statement) = &self.unnamed else {
            return None;
        };
        Some(Named {
            statement: Arc::clone(statement),
            since: 0,
            told: None,
        })
    }

    /// Parse of an unnamed statement that calls another one: it goes under a
    /// name of ours.
    pub(super) fn parse_unnamed_call(
        &mut self,
        lease: &mut Lease,
        statement: Arc<Statement>,
        run: &mut Run<'_>,
    ) -> Act {
        let Some((on_server, _)) = self.resolve(lease, &statement, run) else {
            return Act::Hold;
        };
        if lease.unnamed != UNNAMED_NONE {
            self.close_servers_unnamed(lease, run);
            lease.unnamed = UNNAMED_NONE;
        }
        self.prepare(lease, &on_server, b"", run);
        called(lease, on_server.id, b"");
        self.replace_unnamed(lease, Unnamed::Calls(statement));
        Act::Drop
    }

    /// The server's unnamed statement becomes this client's.
    pub(super) fn agree_on_unnamed(&mut self, lease: &mut Lease, run: &mut Run<'_>) {
        let mark = self.unnamed.mark();
        if lease.unnamed == mark {
            return;
        }
        match &self.unnamed {
            Unnamed::Kept(statement) => {
                let parse = |lease: &mut Lease, run: &mut Run<'_>| {
                    lease.tracker.owe(Kind::Parse, Pay::Swallow);
                    frame_into(run.insert(), b'P', &[b"\0", &statement.parse]);
                    lease.tracker.attach(Op::UnnamedAgrees);
                };
                match self.way_to(statement) {
                    Way::Around(detour) => by_detour(lease, &detour, run, parse),
                    Way::Straight | Way::None => parse(lease, run),
                }
            }
            Unnamed::None | Unnamed::Calls(_) => self.close_servers_unnamed(lease, run),
            // It is there: the client has kept the server connection for it.
            Unnamed::OnServer(_) => return,
        }
        self.unnamed_changed_in = NonZeroU64::new(segment_of_newest(lease) + 1);
        lease.unnamed = mark;
    }

    fn close_servers_unnamed(&self, lease: &mut Lease, run: &mut Run<'_>) {
        lease.tracker.owe(Kind::Close, Pay::Swallow);
        frame_into(run.insert(), b'C', &[b"S\0"]);
        lease.tracker.attach(Op::UnnamedAgrees);
    }
}
