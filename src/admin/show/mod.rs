//! What the console shows: read from what the house counts anyway, at the moment
//! that somebody asks.

mod databases;
mod help;
mod ours;
mod peers;
mod pools;
mod process;
mod sockets;
mod stats;
mod view;

pub(super) use stats::totals;

use super::Desk;
use super::command::{Command, Show};
use super::conversation::Answer;
use super::table::{Row, row};
use crate::proxy::House;
use crate::wire::{PgError, sqlstate};
use view::View;

/// The answer to a command that only looks ([`Command::only_looks`]).
pub(super) fn answer(desk: &Desk, house: &House, command: &Command) -> Answer {
    let shown = |rows: Vec<Row>, tag: &'static str| Answer {
        notice: None,
        rows,
        tag: tag.into(),
    };
    match command {
        Command::Show(Show::Help) => Answer {
            notice: Some(help::notice()),
            rows: Vec::new(),
            tag: "SHOW".into(),
        },
        Command::Show(show) => shown(rows(desk, house, *show), "SHOW"),
        Command::ShowParameter(_, value) => shown(vec![row![*value]], "SHOW"),
        Command::SelectOne => shown(vec![row![1_u32]], "SELECT 1"),
        Command::SelectVersion => shown(vec![row![process::VERSION]], "SELECT 1"),
        Command::IgnoredSet => Answer {
            notice: Some(PgError::error(
                sqlstate::SUCCESSFUL_COMPLETION,
                "SET ignored",
            )),
            rows: Vec::new(),
            tag: "SET".into(),
        },
        _ => Answer::default(),
    }
}

fn rows(desk: &Desk, house: &House, show: Show) -> Vec<Row> {
    let view = View::of(house);
    let periods = desk.0.periods.lock();
    match show {
        Show::Version => vec![row![process::VERSION]],
        Show::Stats => stats::stats(&view.pools, &periods),
        Show::StatsTotals => stats::stats_totals(&view.pools),
        Show::StatsAverages => stats::stats_averages(&view.pools, &periods),
        Show::Totals => stats::all_together(&view.pools, &periods),
        Show::Pools => pools::pools(&view),
        Show::Clients => sockets::clients(&view),
        Show::Servers => sockets::servers(&view),
        Show::Sockets => sockets::sockets(&view, false),
        Show::ActiveSockets => sockets::sockets(&view, true),
        Show::Databases => databases::databases(&view),
        Show::Users => databases::users(&view),
        Show::Lists => process::lists(&view),
        Show::Config => process::config(&view),
        Show::State => process::state(&view),
        Show::Mem => process::mem(&view),
        Show::Pins => ours::pins(&view),
        Show::Statements => ours::statements(&view),
        Show::Errors => ours::errors(&view),
        Show::Peers => peers::peers(&view),
        Show::PeerPools => peers::peer_pools(&view),
        Show::DnsHosts => process::dns_hosts(&view),
        // No zones are watched, and sockets are handed to nobody.
        Show::DnsZones | Show::Fds => Vec::new(),
        Show::Help => Vec::new(),
    }
}
