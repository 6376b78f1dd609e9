//! Rows, and how they are sent (`protocol-message-formats.html`).

use std::io::Write;

use crate::wire::frontend::frame_into;

/// The types of columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Int4,
    Int8,
    Numeric,
    Text,
}

impl Kind {
    /// Number in `pg_type`, and size in bytes.
    fn in_catalog(self) -> (u32, i16) {
        match self {
            Kind::Int4 => (23, 4),
            Kind::Int8 => (20, 8),
            Kind::Numeric => (1700, -1),
            Kind::Text => (25, -1),
        }
    }
}

/// A column: its name and type.
pub(super) type Column = (&'static str, Kind);

/// One value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cell {
    Null,
    Number(u64),
    Text(String),
}

impl From<u64> for Cell {
    fn from(number: u64) -> Self {
        Cell::Number(number)
    }
}

impl From<u32> for Cell {
    fn from(number: u32) -> Self {
        Cell::Number(number.into())
    }
}

impl From<usize> for Cell {
    fn from(number: usize) -> Self {
        Cell::Number(u64::try_from(number).unwrap_or(u64::MAX))
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Cell::Text(text.to_owned())
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Cell::Text(text)
    }
}

impl<T: Into<Cell>> From<Option<T>> for Cell {
    fn from(value: Option<T>) -> Self {
        value.map_or(Cell::Null, Into::into)
    }
}

/// One row, as many cells as there are columns.
pub(super) type Row = Vec<Cell>;

/// A row of values that can be cells.
macro_rules! row {
    ($($value:expr),* $(,)?) => { vec![$($crate::admin::table::Cell::from($value)),*] };
}
pub(super) use row;

/// In which form a column is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    Text,
    Binary,
}

/// The format of the column at `at`, by the codes of a Bind: none is text, one
/// is for all.
pub(super) fn format_of(codes: &[Format], at: usize) -> Format {
    match codes {
        [] => Format::Text,
        [all] => *all,
        each => each.get(at).copied().unwrap_or(Format::Text),
    }
}

/// RowDescription.
pub(super) fn describe(out: &mut Vec<u8>, columns: &[Column], formats: &[Format]) {
    let mut body = u16::try_from(columns.len())
        .unwrap_or(0)
        .to_be_bytes()
        .to_vec();
    for (at, (name, kind)) in columns.iter().enumerate() {
        let (oid, size) = kind.in_catalog();
        body.extend_from_slice(name.as_bytes());
        body.push(0);
        // No table, no column of it.
        body.extend_from_slice(&[0; 6]);
        body.extend_from_slice(&oid.to_be_bytes());
        body.extend_from_slice(&size.to_be_bytes());
        body.extend_from_slice(&(-1_i32).to_be_bytes());
        let code: u16 = match format_of(formats, at) {
            Format::Text => 0,
            Format::Binary => 1,
        };
        body.extend_from_slice(&code.to_be_bytes());
    }
    frame_into(out, b'T', &[&body]);
}

/// DataRow.
pub(super) fn data_row(out: &mut Vec<u8>, columns: &[Column], formats: &[Format], row: &Row) {
    let mut body = Vec::with_capacity(16 * row.len());
    body.extend_from_slice(&u16::try_from(row.len()).unwrap_or(0).to_be_bytes());
    for (at, (cell, (_, kind))) in row.iter().zip(columns).enumerate() {
        if *cell == Cell::Null {
            body.extend_from_slice(&(-1_i32).to_be_bytes());
            continue;
        }
        let place = body.len();
        body.extend_from_slice(&[0; 4]);
        encode(&mut body, cell, *kind, format_of(formats, at));
        let length = u32::try_from(body.len() - place - 4).unwrap_or(0);
        if let Some(told) = body.get_mut(place..place + 4) {
            told.copy_from_slice(&length.to_be_bytes());
        }
    }
    frame_into(out, b'D', &[&body]);
}

fn encode(to: &mut Vec<u8>, cell: &Cell, kind: Kind, format: Format) {
    match (cell, format) {
        (Cell::Null, _) => {}
        (Cell::Text(text), _) => to.extend(text.bytes().filter(|byte| *byte != 0)),
        (Cell::Number(number), Format::Text) => {
            let _ = write!(to, "{number}");
        }
        (Cell::Number(number), Format::Binary) => match kind {
            Kind::Int4 => to.extend(i32::try_from(*number).unwrap_or(i32::MAX).to_be_bytes()),
            Kind::Int8 => to.extend(i64::try_from(*number).unwrap_or(i64::MAX).to_be_bytes()),
            Kind::Numeric => to.extend(numeric(*number)),
            Kind::Text => to.extend_from_slice(number.to_string().as_bytes()),
        },
    }
}

/// A whole number as `numeric` is sent: digits to the base 10000, of which the
/// first has the weight of their number less one.
fn numeric(mut number: u64) -> Vec<u8> {
    let mut digits = Vec::new();
    while number > 0 {
        digits.push(u16::try_from(number % 10_000).unwrap_or(0));
        number /= 10_000;
    }
    let count = u16::try_from(digits.len()).unwrap_or(0);
    let head = [count, count.saturating_sub(1), 0, 0];
    let all = head.into_iter().chain(digits.into_iter().rev());
    all.flat_map(u16::to_be_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 2] = [("a", Kind::Int8), ("b", Kind::Text)];

    #[test]
    fn columns_are_described_with_type_and_format() {
        let mut out = Vec::new();
        describe(&mut out, &COLUMNS, &[Format::Binary, Format::Text]);
        let expected = b"T\0\0\0\x2e\0\x02\
            a\0\0\0\0\0\0\0\0\0\0\x14\0\x08\xff\xff\xff\xff\0\x01\
            b\0\0\0\0\0\0\0\0\0\0\x19\xff\xff\xff\xff\xff\xff\0\0";
        assert_eq!(out, expected);
    }

    #[test]
    fn rows_are_sent_as_text_or_binary() {
        let mut out = Vec::new();
        data_row(&mut out, &COLUMNS, &[], &row![258_u64, "x"]);
        assert_eq!(out, b"D\0\0\0\x12\0\x02\0\0\0\x03258\0\0\0\x01x");
        out.clear();
        data_row(
            &mut out,
            &COLUMNS,
            &[Format::Binary],
            &row![258_u64, None::<&str>],
        );
        assert_eq!(
            out,
            b"D\0\0\0\x16\0\x02\0\0\0\x08\0\0\0\0\0\0\x01\x02\xff\xff\xff\xff"
        );
    }

    #[test]
    fn a_numeric_is_digits_of_ten_thousand() {
        assert_eq!(numeric(0), [0; 8]);
        assert_eq!(numeric(7), [0, 1, 0, 0, 0, 0, 0, 0, 0, 7]);
        assert_eq!(numeric(10_000), [0, 2, 0, 1, 0, 0, 0, 0, 0, 1, 0, 0]);
        assert_eq!(numeric(u64::MAX).len(), 8 + 2 * 5);
    }

    #[test]
    fn one_format_is_for_all_columns() {
        assert_eq!(format_of(&[], 3), Format::Text);
        assert_eq!(format_of(&[Format::Binary], 3), Format::Binary);
        assert_eq!(format_of(&[Format::Binary, Format::Text], 1), Format::Text);
    }
}
