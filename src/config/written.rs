//! From a TOML value to what a setting reads.

use std::path::Path;

use toml::de::DeValue;

use super::Sources;
use super::given::{Given, Refusal};
use super::substitute::substitute;

/// A TOML value as [`Given`], variables put in.
pub(super) fn written(value: &DeValue<'_>, sources: &Sources<'_>) -> Result<Given, Refusal> {
    match value {
        DeValue::String(text) => substitute(text, sources).map(Given::Text),
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map(Given::Whole)
            .map_err(|_| Refusal::new("is too large a number")),
        DeValue::Float(number) => number
            .as_str()
            .parse()
            .map(Given::Fraction)
            .map_err(|_| Refusal::new("is not a number that can be read")),
        DeValue::Boolean(flag) => Ok(Given::Flag(*flag)),
        DeValue::Array(items) => {
            let items = items.iter().map(|item| written(item.get_ref(), sources));
            items.collect::<Result<_, _>>().map(Given::List)
        }
        DeValue::Datetime(_) => Err(Refusal::new("is a date; no key wants one")),
        DeValue::Table(_) => Err(Refusal::new("is a section of its own; a key wants a value")),
    }
}

/// The secret in the file that `path` names, without the line's end behind it.
pub(super) fn read_secret_file(path: &Given, sources: &Sources<'_>) -> Result<Given, Refusal> {
    let Given::Text(path) = path else {
        return Err(Refusal::new("wants the path of a file"));
    };
    let text = (sources.read_file)(Path::new(path))
        .map_err(|error| Refusal::new(format!("cannot read {path:?}: {error}")))?;
    match text.trim_end_matches(['\r', '\n']) {
        "" => Err(Refusal::new(format!("the file {path:?} is empty"))),
        secret => Ok(Given::InFile(secret.to_owned(), path.into())),
    }
}
