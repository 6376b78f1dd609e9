//! A run of adjacent bytes on its way out.

use std::ops::Range;

/// Collects what passes through: as long as it is one stretch of what was
/// read, nothing is copied; what arrived together leaves together.
#[derive(Debug)]
pub struct Run<'a> {
    from: &'a [u8],
    range: Range<usize>,
    out: &'a mut Vec<u8>,
}

/// What is to be written.
#[derive(Debug, PartialEq, Eq)]
pub enum Forward {
    /// This part of what was read, unchanged.
    Slice(Range<usize>),
    /// What was built in the vector given.
    Built,
}

impl Forward {
    /// The bytes to be written.
    #[inline]
    #[must_use]
    pub fn bytes<'a>(&self, from: &'a [u8], built: &'a [u8]) -> &'a [u8] {
        match self {
            Forward::Slice(range) => from.get(range.clone()).unwrap_or_default(),
            Forward::Built => built,
        }
    }
}

impl<'a> Run<'a> {
    /// A run over `from`; `out` is where the parts are joined when they do not
    /// lie side by side, behind what is in it already.
    pub fn new(from: &'a [u8], out: &'a mut Vec<u8>) -> Self {
        Self {
            from,
            range: 0..0,
            out,
        }
    }

    /// These bytes pass through unchanged.
    #[inline]
    pub fn pass(&mut self, range: Range<usize>) {
        if self.range.end == range.start {
            self.range.end = range.end;
        } else {
            self.flush();
            self.range = range;
        }
    }

    /// How many bytes have gone out so far.
    #[inline]
    #[must_use]
    pub fn written(&self) -> usize {
        self.out.len() + self.range.len()
    }

    /// Something of ours goes out here.
    pub fn insert(&mut self) -> &mut Vec<u8> {
        self.flush();
        self.out
    }

    fn flush(&mut self) {
        self.out
            .extend_from_slice(self.from.get(self.range.clone()).unwrap_or_default());
        self.range.start = self.range.end;
    }

    /// The end of what was read.
    #[inline]
    pub fn finish(mut self) -> Forward {
        if self.out.is_empty() {
            return Forward::Slice(self.range);
        }
        self.flush();
        Forward::Built
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run(build: impl FnOnce(&mut Run<'_>)) -> (Forward, Vec<u8>) {
        let mut out = Vec::new();
        let mut run = Run::new(b"0123456789", &mut out);
        build(&mut run);
        (run.finish(), out)
    }

    #[test]
    fn adjacent_parts_are_one_slice() {
        let (forward, out) = run(|run| {
            run.pass(0..3);
            run.pass(3..6);
        });
        assert_eq!((forward, out.len()), (Forward::Slice(0..6), 0));
    }

    #[test]
    fn a_part_left_out_joins_the_rest() {
        let (forward, out) = run(|run| {
            run.pass(0..3);
            run.pass(5..6);
            run.pass(6..8);
        });
        assert_eq!((forward, out.as_slice()), (Forward::Built, &b"012567"[..]));
    }

    #[test]
    fn insertions_stand_where_they_were_made() {
        let (forward, out) = run(|run| {
            run.pass(0..2);
            run.insert().extend_from_slice(b"ab");
            run.pass(2..4);
        });
        assert_eq!((forward, out.as_slice()), (Forward::Built, &b"01ab23"[..]));
    }

    #[test]
    fn what_is_skipped_first_stays_out() {
        let (forward, out) = run(|run| run.pass(4..6));
        assert_eq!((forward, out.len()), (Forward::Slice(4..6), 0));
    }
}
