//! A failing script made shorter as long as it still fails.

use std::time::{Duration, Instant};

use super::message::Script;
use super::play::Stage;

/// How long shrinking may take.
const LIMIT: Duration = Duration::from_secs(60);

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

/// One message, or all cuts, or a leaving less.
fn simpler(stage: &Stage<'_>, script: &Script, deadline: Instant) -> Option<(Script, String)> {
    let fails = |less: Script| {
        let still = (Instant::now() < deadline).then(|| stage.play(&less).err());
        still.flatten().map(|still| (less, still))
    };
    for turn in (0..script.0.len()).rev() {
        for message in (0..script.0[turn].messages.len()).rev() {
            let mut less = script.clone();
            less.0[turn].messages.remove(message);
            if let Some(found) = fails(less) {
                return Some(found);
            }
        }
        let mut less = script.clone();
        if !less.0[turn].writes.is_empty() || less.0[turn].anew {
            less.0[turn].writes.clear();
            less.0[turn].anew = false;
            if let Some(found) = fails(less) {
                return Some(found);
            }
        }
    }
    None
}
