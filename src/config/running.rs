//! Settings of a configuration that is in force: looked at, and changed one by
//! one. What is changed here stands in no file, and is gone with the process.

use super::given::Given;
use super::keys::{self, GENERAL};
use super::places::Places;
use super::suggest::did_you_mean;
use super::{Config, General, Sources, checks};

/// What is read at start only.
pub(super) const FIXED: [&str; 15] = [
    "http_listen",
    "so_reuseport",
    "listen_addr",
    "listen_port",
    "listen_backlog",
    "unix_socket_dir",
    "unix_socket_mode",
    "unix_socket_group",
    "tcp_keepalive",
    "workers",
    "scram_iterations",
    "pidfile",
    "takeover_socket",
    "log_format",
    "logfile",
];

/// What is read at start only, and has changed since.
#[must_use]
pub fn waits_for_a_start(before: &General, now: &General) -> Vec<&'static str> {
    let fixed = keys::each(GENERAL).filter(|setting| FIXED.contains(&setting.name));
    fixed
        .filter(|setting| (setting.show)(before) != (setting.show)(now))
        .map(|setting| setting.name)
        .collect()
}

/// One setting of `[pgweave]` as it is now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    /// Its key.
    pub key: &'static str,
    /// Its value; empty where nothing is set.
    pub value: String,
    /// What it is where nobody has said anything.
    pub default: String,
    /// Can it be changed while the process runs?
    pub changeable: bool,
}

/// Is a setting of `[pgweave]` one whose value is never shown?
#[must_use]
pub fn is_secret(key: &str) -> bool {
    keys::each(GENERAL).any(|setting| setting.name == key && setting.secret)
}

/// A configuration with one setting changed.
pub type Changed = Result<Config, String>;

/// All settings of `[pgweave]`, by name.
#[must_use]
pub fn shown(general: &General) -> Vec<Shown> {
    let defaults = General::default();
    let mut all: Vec<Shown> = keys::each(GENERAL)
        .map(|setting| Shown {
            key: setting.name,
            value: bare((setting.show)(general)),
            default: bare((setting.show)(&defaults)),
            changeable: !FIXED.contains(&setting.name),
        })
        .collect();
    all.sort_by_key(|shown| shown.key);
    all
}

/// The same configuration with `key` set to what `value` says, checked as a whole.
///
/// # Errors
/// A sentence: no such key, one that is read at start only, or a wrong value.
pub fn changed(config: &Config, key: &str, value: &str, sources: &Sources<'_>) -> Changed {
    // PgBouncer's name for it.
    let (key, value) = match (key, value) {
        ("verbose", "0") => ("log_level", "info"),
        ("verbose", _) => ("log_level", "debug"),
        other => other,
    };
    let Some(setting) = keys::each(GENERAL).find(|setting| setting.name == key) else {
        let names = keys::each(GENERAL).map(|setting| setting.name);
        let meant = did_you_mean(key, names).map_or_else(String::new, |meant| format!("; {meant}"));
        return Err(format!("unknown setting \"{key}\"{meant}"));
    };
    if FIXED.contains(&key) {
        return Err(format!("{key} is read at start only"));
    }
    let mut config = config.clone();
    (setting.set)(&mut config.general, &given(value))
        .map_err(|refusal| format!("{key}: {}", refusal.what))?;
    let mistakes = checks::check(&config, &Places::new("the console"), sources, &[]);
    match mistakes.first() {
        Some(mistake) => Err(format!("{}: {}", mistake.key, mistake.what)),
        None => Ok(config),
    }
}

/// A number is one for every setting that takes numbers; what else it may be,
/// each reads from the text itself.
fn given(value: &str) -> Given {
    match (value.parse::<i64>(), value.parse::<f64>()) {
        (Ok(whole), _) => Given::Whole(whole),
        (_, Ok(fraction)) if fraction.is_finite() => Given::Fraction(fraction),
        _ => Given::Text(value.to_owned()),
    }
}

/// A value of TOML without its quotes.
fn bare(shown: Option<String>) -> String {
    let shown = shown.unwrap_or_default();
    let inner = shown
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    inner.map_or_else(
        || shown.clone(),
        |text| text.replace("\\\"", "\"").replace("\\\\", "\\"),
    )
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn set(key: &str, value: &str) -> Result<General, String> {
        let config = Config {
            fallback: Some(super::super::Database::named("*")),
            general: General {
                auth_type: super::super::AuthType::Trust,
                ..General::default()
            },
            ..Config::default()
        };
        let sources = Sources {
            env: &|_| None,
            read_file: &|_| Err(std::io::ErrorKind::NotFound.into()),
            try_tls: &|_| Vec::new(),
            try_logins: &|_| Vec::new(),
        };
        changed(&config, key, value, &sources).map(|config| config.general)
    }

    fn value(general: &General, key: &str) -> String {
        let shown = shown(general);
        let found = shown.iter().find(|shown| shown.key == key);
        found.map(|shown| shown.value.clone()).unwrap()
    }

    #[test]
    fn what_is_read_at_start_only_is_a_setting() {
        for key in FIXED {
            assert!(
                keys::each(GENERAL).any(|setting| setting.name == key),
                "{key}"
            );
            assert_eq!(
                set(key, "1").unwrap_err(),
                format!("{key} is read at start only")
            );
        }
    }

    #[test]
    fn a_setting_is_changed_and_shown() {
        let general = set("query_timeout", "90").unwrap();
        assert_eq!(value(&general, "query_timeout"), "90s");
        let general = set("pool_mode", "session").unwrap();
        assert_eq!(value(&general, "pool_mode"), "session");
        let general = set("admin_users", "one, two").unwrap();
        assert_eq!(value(&general, "admin_users"), "one,two");
        assert_eq!(value(&General::default(), "admin_users"), "");
    }

    #[test]
    fn verbose_is_the_level_of_the_log() {
        assert_eq!(value(&set("verbose", "2").unwrap(), "log_level"), "debug");
        assert_eq!(value(&set("verbose", "0").unwrap(), "log_level"), "info");
    }

    #[test]
    fn a_wrong_change_is_refused() {
        assert!(set("pool_size", "1").unwrap_err().contains("unknown"));
        assert!(
            set("pool_mode", "sesion")
                .unwrap_err()
                .contains("pool_mode")
        );
        assert!(set("default_pool_size", "0").is_err());
        // Wrong only beside another one.
        assert!(
            set("min_pool_size", "21")
                .unwrap_err()
                .contains("default_pool_size")
        );
    }

    #[test]
    fn settings_come_by_name_and_there_are_many() {
        let shown = shown(&General::default());
        assert!(shown.len() > 40);
        assert!(shown.is_sorted_by_key(|shown| shown.key));
        assert!(shown.iter().all(|shown| shown.value == shown.default));
    }
}
