//! What a client keeps its server connection for only a moment: the process that
//! it has asked about, the number that it has drawn.

use std::future::Future;
use std::task::Context;
use std::time::Duration;

use tokio::time::sleep;

use super::pins::Pins;
use crate::config::SessionState;
use crate::proxy::client::Client;
use crate::session::Findings;

impl Client {
    /// What is about to run can do this.
    pub(in crate::proxy) fn note_moment(&mut self, can: Findings) {
        if !can.has(MOMENTARY) {
            return;
        }
        let settings = self.shelf.pool().settings();
        let (process, numbers) = (settings.pin_process, settings.pin_numbers);
        if can.has(Findings::SEQUENCES) {
            self.shelf.askers.add(&self.application_name);
            self.pins.set(Pins::NUMBERS, false);
        } else if can.has(Findings::DRAWS) && self.shelf.askers.has(&self.application_name) {
            self.keep_for(Pins::NUMBERS, numbers);
        }
        if can.has(Findings::PROCESS) {
            self.keep_for(Pins::PROCESS, process);
        }
    }

    fn keep_for(&mut self, pin: Pins, time: Duration) {
        if time.is_zero() || self.policy != SessionState::Keep {
            return;
        }
        self.pins.set(pin, true);
        let until = tokio::time::Instant::now() + time;
        if self
            .moment
            .as_ref()
            .is_none_or(|moment| moment.deadline() < until)
        {
            self.moment = Some(Box::pin(sleep(time)));
        }
    }

    /// True when that has just come to its end.
    pub(in crate::proxy) fn moment_has_passed(&mut self, cx: &mut Context<'_>) -> bool {
        let Some(moment) = &mut self.moment else {
            return false;
        };
        if moment.as_mut().poll(cx).is_pending() {
            return false;
        }
        self.no_longer_for_a_moment();
        self.release_or_go_on();
        true
    }

    /// Nothing is kept for a moment any more.
    pub(in crate::proxy) fn no_longer_for_a_moment(&mut self) {
        self.moment = None;
        self.pins.set(Pins::PROCESS, false);
        self.pins.set(Pins::NUMBERS, false);
    }
}

const MOMENTARY: Findings = Findings::SEQUENCES
    .and(Findings::DRAWS)
    .and(Findings::PROCESS);
