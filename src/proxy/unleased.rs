//! What a client says while no server connection serves it.

use super::client::{Client, End, Fate, Refusal};
use super::upstream::is_frontend;
use crate::wire::backend;

impl Client {
    /// Deals with frames up to the first that needs a server connection.
    /// Returns how many bytes were dealt with, and whether such a frame stands
    /// there.
    pub(super) fn unleased(&mut self, bytes: &[u8]) -> Result<(usize, bool), End> {
        let mut at = 0;
        while at < bytes.len() {
            if self.body_left > 0 {
                let part = self.body_left.min(bytes.len() - at);
                self.body_left -= part;
                at += part;
                continue;
            }
            let rest = bytes.get(at..).unwrap_or_default();
            let Some(header) = self.header_of(rest)? else {
                break;
            };
            if !self.settles_alone(header.tag)? {
                return Ok((at, true));
            }
            let here = header.total.min(rest.len());
            self.body_left = header.total - here;
            self.body_fate = Fate::Drop;
            at += here;
        }
        Ok((at, false))
    }

    /// Deals with a frame that needs no server; false if it needs one.
    fn settles_alone(&mut self, tag: u8) -> Result<bool, End> {
        if self.refusal != Refusal::None {
            self.refuse_frame(tag)?;
            return Ok(true);
        }
        match tag {
            // Nothing is outstanding: PostgreSQL would say just this.
            b'S' => self.outbox.push(&backend::READY_IDLE),
            // Nothing to flush; the late rest of a COPY that has failed.
            b'H' | b'd' | b'c' | b'f' => {}
            b'X' => return Err(End::Terminated),
            b'Q' if self.refuses_queries => {
                return Err(End::Told(super::upstream::no_simple_queries()));
            }
            tag if is_frontend(tag) => return Ok(false),
            tag => return Err(End::Told(super::upstream::unknown_type(tag))),
        }
        Ok(true)
    }

    /// A frame of what was refused: dropped, with ReadyForQuery where
    /// PostgreSQL would send it after an error.
    fn refuse_frame(&mut self, tag: u8) -> Result<(), End> {
        match (tag, self.refusal) {
            (b'X', _) => return Err(End::Terminated),
            (b'S', _) | (b'Q' | b'F', Refusal::Next) => {
                self.outbox.push(&backend::READY_IDLE);
                self.refusal = Refusal::None;
            }
            _ => self.refusal = Refusal::UpToSync,
        }
        Ok(())
    }
}
