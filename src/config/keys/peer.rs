//! The keys of `[peers.ID]`.

use super::{ANY, Group, POOL, Setting, between, setting};
use crate::config::Peer;

pub(in crate::config) static PEER: &[Group<Peer>] = &[Group {
    title: "Where it is",
    settings: WHERE,
}];

static WHERE: &[Setting<Peer>] = &[
    setting!(
        host,
        ANY,
        "Where that process alone is reached: a host name, an IP address, or the directory of its \
         Unix socket if it starts with `/`. Not the address that the processes share. It must be \
         given."
    ),
    setting!(
        port,
        between(1, 65_535),
        "Its port; for a Unix socket, the number in its name."
    ),
    setting!(
        pool_size,
        POOL,
        "How many cancel requests may be on their way to it at once; others wait, for \
         `cancel_wait_timeout` at most. Unset, it is `default_pool_size`."
    ),
];
