//! The types that settings have, and how each is read from what was written.

use std::path::PathBuf;
use std::time::Duration;

use super::duration;
use super::given::{Bounds, Field, Given, Refusal};
use super::suggest::did_you_mean;
use super::words::Word;
use super::{
    ApplicationNamePolicy, AssignPolicy, AuthType, Listen, LoadBalance, LogFormat, LogLevel,
    PoolMode, ProxyProtocol, Secret, ServerProxyProtocol, SessionState, SslMode, SyslogFacility,
    TlsNegotiation, Verify,
};

impl Field for u32 {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        let number = match given {
            Given::Whole(number) => Some(*number),
            Given::Text(text) => text.trim().parse().ok(),
            Given::Fraction(_) | Given::Flag(_) | Given::InFile(..) | Given::List(_) => None,
        };
        let number = number.ok_or_else(|| Self::wrong(given, bounds))?;
        u32::try_from(number)
            .ok()
            .filter(|number| (bounds.least..=bounds.most).contains(number))
            .ok_or_else(|| {
                Refusal::new(format!(
                    "{number} is not between {} and {}",
                    bounds.least, bounds.most
                ))
            })
    }

    fn kind(bounds: Bounds) -> String {
        format!("a whole number from {} to {}", bounds.least, bounds.most)
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// The smaller and larger whole numbers go by way of `u32`.
macro_rules! whole_number {
    ($($type:ty),+) => { $(
        impl Field for $type {
            fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
                <$type>::try_from(u32::read(given, bounds)?)
                    .map_err(|_| Refusal::new(format!("{given} is too large")))
            }

            fn kind(bounds: Bounds) -> String {
                u32::kind(bounds)
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }
        }
    )+ };
}
whole_number!(u16, usize);

impl Field for bool {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        match given {
            Given::Flag(flag) => Ok(*flag),
            Given::Whole(0) => Ok(false),
            Given::Whole(1) => Ok(true),
            Given::Text(text) => match text.trim().to_ascii_lowercase().as_str() {
                "true" | "on" | "yes" | "1" => Ok(true),
                "false" | "off" | "no" | "0" => Ok(false),
                _ => Err(Self::wrong(given, bounds)),
            },
            Given::Whole(_) | Given::Fraction(_) | Given::InFile(..) | Given::List(_) => {
                Err(Self::wrong(given, bounds))
            }
        }
    }

    fn kind(_: Bounds) -> String {
        "true or false".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

impl Field for Duration {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        let time = match given {
            Given::Whole(seconds) => duration::parse(&seconds.to_string())?,
            Given::Fraction(seconds) => duration::parse(&seconds.to_string())?,
            Given::Text(text) => duration::parse(text)?,
            Given::Flag(_) | Given::InFile(..) | Given::List(_) => {
                return Err(Self::wrong(given, bounds));
            }
        };
        if bounds.least > 0 && time.is_zero() {
            return Err(Refusal::new(
                "must be more than 0: a wait without end would be a fault",
            ));
        }
        Ok(time)
    }

    fn kind(_: Bounds) -> String {
        "a duration".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(duration::show(*self))
    }
}

impl Field for String {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        match given {
            Given::Text(text) if text.is_empty() => Err(Refusal::new("must not be empty")),
            // It would end the string in the protocol, and what follows would
            // be read as something else.
            Given::Text(text) if text.contains('\0') => {
                Err(Refusal::new("must not hold a zero character"))
            }
            Given::Text(text) => Ok(text.clone()),
            Given::Whole(_) | Given::Fraction(_) | Given::Flag(_) => {
                Err(Self::wrong(given, bounds).suggesting("put it in quotes"))
            }
            Given::InFile(..) | Given::List(_) => Err(Self::wrong(given, bounds)),
        }
    }

    fn kind(_: Bounds) -> String {
        "text".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }
}

impl Field for PathBuf {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        String::read(given, bounds).map(PathBuf::from)
    }

    fn kind(_: Bounds) -> String {
        "a path".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(format!("{:?}", self.display().to_string()))
    }
}

impl Field for Secret {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        let secret = match given {
            Given::InFile(text, path) => {
                Secret::new(String::read(&Given::Text(text.clone()), bounds)?).read_from(path)
            }
            given => Secret::new(String::read(given, bounds)?),
        };
        if secret.is_whole() {
            return Ok(secret);
        }
        Err(
            Refusal::new("starts like a SCRAM verifier, but is not a whole one")
                .suggesting("copy all of rolpassword from pg_authid, or write the password itself"),
        )
    }

    fn kind(_: Bounds) -> String {
        "text".to_owned()
    }

    /// Nothing: a secret is not shown.
    fn show(&self) -> Option<String> {
        None
    }
}

impl Field for Vec<String> {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        let items: Vec<String> = match given {
            Given::Text(text) if text.is_empty() => Vec::new(),
            Given::Text(text) => text.split(',').map(|item| item.trim().to_owned()).collect(),
            Given::List(items) => items
                .iter()
                .map(|item| String::read(item, bounds))
                .collect::<Result<_, _>>()?,
            Given::Whole(_) | Given::Fraction(_) | Given::Flag(_) | Given::InFile(..) => {
                return Err(Self::wrong(given, bounds));
            }
        };
        if items.iter().any(String::is_empty) {
            return Err(Refusal::new("holds an empty entry"));
        }
        Ok(items)
    }

    fn kind(_: Bounds) -> String {
        "text, a comma-separated list or a list of texts".to_owned()
    }

    fn show(&self) -> Option<String> {
        Some(format!("{:?}", self.join(",")))
    }
}

/// A setting that may be left out.
impl<F: Field> Field for Option<F> {
    fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
        F::read(given, bounds).map(Some)
    }

    fn kind(bounds: Bounds) -> String {
        F::kind(bounds)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(F::show)
    }
}

/// Reads one of an enum's words.
fn word<W: Word>(given: &Given, wrong: Refusal) -> Result<W, Refusal> {
    let Given::Text(text) = given else {
        return Err(wrong);
    };
    let known = W::ALL.iter().copied().find(|word| word.as_str() == text);
    known.ok_or_else(|| {
        let words: Vec<&str> = W::ALL.iter().map(|word| word.as_str()).collect();
        Refusal {
            what: format!("{text:?} is not one of {}", words.join(", ")),
            suggestion: did_you_mean(text, words.into_iter()),
        }
    })
}

macro_rules! word_field {
    ($($type:ty),+) => { $(
        impl Field for $type {
            fn read(given: &Given, bounds: Bounds) -> Result<Self, Refusal> {
                word(given, Self::wrong(given, bounds))
            }

            fn kind(_: Bounds) -> String {
                let words: Vec<String> =
                    Self::ALL.iter().map(|word| format!("{:?}", word.as_str())).collect();
                format!("one of {}", words.join(", "))
            }

            fn show(&self) -> Option<String> {
                Some(format!("{:?}", self.as_str()))
            }
        }
    )+ };
}
word_field!(
    ApplicationNamePolicy,
    PoolMode,
    ProxyProtocol,
    ServerProxyProtocol,
    AuthType,
    LogLevel,
    LogFormat,
    SessionState,
    Listen,
    LoadBalance,
    Verify,
    AssignPolicy,
    SslMode,
    SyslogFacility,
    TlsNegotiation
);
