//! What is done to a session before the next client gets it: the configuration's
//! `server_reset_query`, and what is pgweave's own.

use std::sync::Arc;

use super::lease::Lease;
use crate::session::{Boundary, Rest};

const DISCARD_ALL: &str = "DISCARD ALL";

impl Lease {
    /// Cleans a session that stands at a boundary, and follows what that makes of
    /// it: by `server_reset_query` where `runs_text`, by DISCARD ALL where
    /// `discards`. What a `connect_query` has made is made again where it is gone.
    ///
    /// # Errors
    /// Why it did not succeed, for the log; the connection is then to be closed.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is to be closed.
    pub async fn clean(&mut self, runs_text: bool, discards: bool) -> Result<Boundary, String> {
        let shelf = Arc::clone(self.shelf());
        let settings = Arc::clone(&shelf.pool().settings());
        let within = settings.server_connect_timeout;
        let text = settings.server_reset_query.as_str();
        // Twice it would do no more than once.
        let is_ours = discards && is_discard_all(text);
        let text = Some(text).filter(|text| runs_text && !text.is_empty() && !is_ours);
        let mut discarded = discards;
        if let Some(text) = text {
            let ran = self.run_alone(text, within).await;
            discarded |= ran.map_err(|error| told("server_reset_query", &error.message))?;
        }
        if discards {
            let ran = self.run_alone(DISCARD_ALL, within).await;
            ran.map_err(|error| told(DISCARD_ALL, &error.message))?;
        }
        self.answers = None;
        if discarded && settings.connect_query.is_some() {
            let begun = shelf.begin_session(self, within).await;
            begun.map_err(|error| error.message)?;
        } else if let Some(text) = text.filter(|text| !discards && !is_discard_all(text)) {
            let looked = shelf.look_at_session(self, text, within).await;
            looked.map_err(|error| told("server_reset_query", &error.message))?;
        }
        match self.tracker.rest() {
            Rest::Boundary(boundary) if self.between_frames() => Ok(boundary),
            _ => Err("what it owes is not certain".to_owned()),
        }
    }
}

fn told(what: &str, why: &str) -> String {
    format!("{what} failed: {}", why.escape_debug())
}

/// Does a text say just that?
fn is_discard_all(text: &str) -> bool {
    let text = text.trim().trim_end_matches([';', ' ']);
    text.split_ascii_whitespace()
        .map(str::to_ascii_lowercase)
        .eq(["discard", "all"])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_says_just_discard_all_is_known() {
        for text in ["DISCARD ALL", "discard  all ;", " Discard\nAll;; "] {
            assert!(is_discard_all(text), "{text:?}");
        }
        for text in ["", "DISCARD", "DISCARD ALL; SET x = 1", "DISCARD PLANS"] {
            assert!(!is_discard_all(text), "{text:?}");
        }
    }
}
