//! A failing script made shorter as long as it still fails.

use std::time::{Duration, Instant};

use super::play::Stage;
use super::script::Script;

/// How long shrinking may take.
const LIMIT: Duration = Duration::from_secs(90);

/// The shortest script found, and what differs in it.
pub fn shrink(stage: &Stage<'_>, mut script: Script, mut difference: String) -> (Script, String) {
    let deadline = Instant::now() + LIMIT;
    let mut size = script.0.len();
    while size > 0 {
        let mut at = 0;
        let mut shorter = false;
        while at < script.0.len() && Instant::now() < deadline {
            let mut less = script.clone();
            less.0.drain(at..(at + size).min(less.0.len()));
            match stage.play(&less) {
                Err(still) => (script, difference, shorter) = (less, still, true),
                Ok(_) => at += size,
            }
        }
        if !shorter || size > 1 {
            size /= 2;
        }
    }
    while let Some((less, still)) = simpler(stage, &script, deadline) {
        (script, difference) = (less, still);
    }
    (script, difference)
}

/// One turn with less in it.
fn simpler(stage: &Stage<'_>, script: &Script, deadline: Instant) -> Option<(Script, String)> {
    for at in (0..script.0.len()).rev() {
        for turn in script.0[at].shorter() {
            if Instant::now() > deadline {
                return None;
            }
            let mut less = script.clone();
            less.0[at] = turn;
            if let Err(still) = stage.play(&less) {
                return Some((less, still));
            }
        }
    }
    None
}
