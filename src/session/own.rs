//! The pooler's own statements on server connections.
//!
//! They go by the extended protocol under names of their own, so that nothing
//! of a client's is disturbed, not even its unnamed statement. Every function
//! and operator in them is qualified: whoever's `search_path` is in force, they
//! mean PostgreSQL's own.

use std::sync::atomic::{AtomicU64, Ordering};

use super::statements::ServerName;
use crate::wire::frontend::frame_into;

/// The number in the name of the first of them.
static FIRST: AtomicU64 = AtomicU64::new(512);

/// From now on they are numbered from here; returns the first number that is
/// free.
pub(super) fn number_from(start: u64) -> u64 {
    FIRST.store(start, Ordering::Relaxed);
    start + u64::try_from(Own::ALL.len()).unwrap_or(0)
}

/// One of the statements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Own {
    /// Begins the transaction in which settings are changed.
    Begin,
    /// Ends it.
    Commit,
    /// Back to who the connection was opened as, in two steps.
    ResetAuthorization,
    /// See [`Own::ResetAuthorization`].
    ResetRole,
    /// Back to what it was opened with.
    ResetAll,
    /// Sets names ($1) to values ($2), in that order; NULL resets.
    Set,
    /// The same, for the transaction only.
    SetLocal,
    /// Names ($1) to what they were when the session began, for the transaction.
    SetLocalDefaults,
    /// Puts aside what names ($1) are set to, for the transaction.
    Stash,
    /// Back to what was put aside, for the transaction.
    Unstash,
    /// What names ($1) are set to, in that order.
    Get,
    /// Names and values of what has been set, as far as PostgreSQL lists it; and of
    /// libraries' settings, and whether they have been set.
    GetAll,
    /// Names and values of what is as it was when the session began.
    Defaults,
    /// Ends what ties a session to its server connection, step by step.
    CloseAll,
    /// See [`Own::CloseAll`].
    UnlistenAll,
    /// See [`Own::CloseAll`].
    UnlockAll,
    /// See [`Own::CloseAll`].
    DiscardTemporary,
    /// See [`Own::CloseAll`].
    DiscardSequences,
    /// What ties a session to its server connection: temporary objects (and
    /// whether there has been a schema for them),
    /// cursors that are held, channels that are listened to, statements
    /// prepared by SQL; and whether it has still kept a statement ($1). Then the
    /// channels, and how many they are.
    State,
    /// Session advisory locks.
    Locks,
    /// All that ties a session to its server connection, by name, a column for each
    /// kind.
    Inventory,
    /// Names and what they stand for (`f`): functions and their bodies, tables
    /// with their defaults, checks, policies and rules, views; tables and the functions of their
    /// triggers (`t`). Of those that users have made.
    Functions,
}

impl Own {
    /// All of them.
    pub const ALL: [Self; 22] = [
        Self::Begin,
        Self::Commit,
        Self::ResetAuthorization,
        Self::ResetRole,
        Self::ResetAll,
        Self::Set,
        Self::SetLocal,
        Self::SetLocalDefaults,
        Self::Stash,
        Self::Unstash,
        Self::Get,
        Self::GetAll,
        Self::Defaults,
        Self::CloseAll,
        Self::UnlistenAll,
        Self::UnlockAll,
        Self::DiscardTemporary,
        Self::DiscardSequences,
        Self::State,
        Self::Locks,
        Self::Inventory,
        Self::Functions,
    ];

    /// Its name on every server connection: one that no client can guess.
    #[must_use]
    pub fn name(self) -> ServerName {
        ServerName::of(FIRST.load(Ordering::Relaxed) + u64::from(self as u8))
    }

    /// Its text.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Own::Begin => "BEGIN",
            Own::Commit => "COMMIT",
            Own::ResetAuthorization => "SET SESSION AUTHORIZATION DEFAULT",
            Own::ResetRole => "RESET ROLE",
            Own::ResetAll => "RESET ALL",
            Own::Set => {
                "SELECT pg_catalog.set_config(n, v, false) \
                 FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), \
                 pg_catalog.unnest($2::pg_catalog.text[])) AS t(n, v)"
            }
            Own::SetLocal => {
                "SELECT pg_catalog.set_config(n, v, true) \
                 FROM ROWS FROM (pg_catalog.unnest($1::pg_catalog.text[]), \
                 pg_catalog.unnest($2::pg_catalog.text[])) AS t(n, v)"
            }
            Own::SetLocalDefaults => {
                "SELECT pg_catalog.set_config(name, reset_val, true) FROM pg_catalog.pg_settings \
                 WHERE pg_catalog.lower(name) OPERATOR(pg_catalog.=) ANY ($1::pg_catalog.text[])"
            }
            Own::Stash => {
                "SELECT pg_catalog.set_config(pg_catalog.concat('pgweave.', n), \
                 pg_catalog.current_setting(n), true) \
                 FROM pg_catalog.unnest($1::pg_catalog.text[]) AS t(n)"
            }
            Own::Unstash => {
                "SELECT pg_catalog.set_config(n, \
                 pg_catalog.current_setting(pg_catalog.concat('pgweave.', n)), true) \
                 FROM pg_catalog.unnest($1::pg_catalog.text[]) AS t(n)"
            }
            Own::Get => {
                "SELECT pg_catalog.current_setting(n, true) \
                 FROM pg_catalog.unnest($1::pg_catalog.text[]) AS t(n)"
            }
            Own::GetAll => {
                "SELECT name, pg_catalog.current_setting(name), \
                 source OPERATOR(pg_catalog.=) 'session' FROM pg_catalog.pg_settings \
                 WHERE source OPERATOR(pg_catalog.=) 'session' \
                 OR pg_catalog.strpos(name, '.') OPERATOR(pg_catalog.<>) 0"
            }
            Own::CloseAll => "CLOSE ALL",
            Own::UnlistenAll => "UNLISTEN *",
            Own::UnlockAll => "SELECT pg_catalog.pg_advisory_unlock_all()",
            Own::DiscardTemporary => "DISCARD TEMP",
            Own::DiscardSequences => "DISCARD SEQUENCES",
            Own::Defaults => {
                "SELECT name, pg_catalog.current_setting(name) FROM pg_catalog.pg_settings \
                 WHERE setting OPERATOR(pg_catalog.=) reset_val"
            }
            Own::State => {
                "SELECT pg_catalog.concat(\
                 CASE WHEN pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0 \
                 AND EXISTS (SELECT FROM pg_catalog.pg_depend \
                 WHERE refclassid OPERATOR(pg_catalog.=) 2615 \
                 AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema()) THEN 't' END, \
                 CASE WHEN pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0 THEN 's' END, \
                 CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_cursors WHERE is_holdable) THEN 'h' END, \
                 CASE WHEN pg_catalog.count(c) OPERATOR(pg_catalog.<>) 0 THEN 'l' END, \
                 CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_prepared_statements WHERE from_sql) THEN 'p' END, \
                 CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_prepared_statements \
                 WHERE name OPERATOR(pg_catalog.=) $1::pg_catalog.text) THEN 'k' END), \
                 pg_catalog.string_agg(c, pg_catalog.chr(1)), pg_catalog.count(c) \
                 FROM pg_catalog.pg_listening_channels() AS t(c)"
            }
            // 12 and 13 are the languages internal and C.
            Own::Functions => {
                "SELECT 'f', p.proname::pg_catalog.text, CASE \
                 WHEN p.prosrc OPERATOR(pg_catalog.<>) '' THEN p.prosrc \
                 ELSE pg_catalog.pg_get_functiondef(p.oid) END FROM pg_catalog.pg_proc p \
                 WHERE p.oid OPERATOR(pg_catalog.>=) 16384 \
                 AND p.prolang OPERATOR(pg_catalog.<>) ALL ('{12,13}'::pg_catalog.oid[]) \
                 AND p.prokind OPERATOR(pg_catalog.<>) 'a' \
                 UNION ALL SELECT 'f', c.relname::pg_catalog.text, \
                 pg_catalog.pg_get_expr(d.adbin, d.adrelid) FROM pg_catalog.pg_attrdef d \
                 JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) d.adrelid \
                 WHERE d.adrelid OPERATOR(pg_catalog.>=) 16384 \
                 UNION ALL SELECT 'f', c.relname::pg_catalog.text, pg_catalog.pg_get_viewdef(c.oid) \
                 FROM pg_catalog.pg_class c WHERE c.relkind OPERATOR(pg_catalog.=) 'v' \
                 AND c.oid OPERATOR(pg_catalog.>=) 16384 \
                 UNION ALL SELECT 'f', c.relname::pg_catalog.text, \
                 pg_catalog.pg_get_expr(k.conbin, k.conrelid) FROM pg_catalog.pg_constraint k \
                 JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) k.conrelid \
                 WHERE k.contype OPERATOR(pg_catalog.=) 'c' \
                 UNION ALL SELECT 'f', c.relname::pg_catalog.text, \
                 pg_catalog.concat(pg_catalog.pg_get_expr(l.polqual, l.polrelid), ' ', \
                 pg_catalog.pg_get_expr(l.polwithcheck, l.polrelid)) FROM pg_catalog.pg_policy l \
                 JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) l.polrelid \
                 UNION ALL SELECT 'f', c.relname::pg_catalog.text, pg_catalog.pg_get_ruledef(r.oid) \
                 FROM pg_catalog.pg_rewrite r \
                 JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) r.ev_class \
                 WHERE r.oid OPERATOR(pg_catalog.>=) 16384 \
                 AND r.rulename OPERATOR(pg_catalog.<>) '_RETURN' \
                 UNION ALL SELECT 't', c.relname::pg_catalog.text, p.proname::pg_catalog.text \
                 FROM pg_catalog.pg_trigger t \
                 JOIN pg_catalog.pg_class c ON c.oid OPERATOR(pg_catalog.=) t.tgrelid \
                 JOIN pg_catalog.pg_proc p ON p.oid OPERATOR(pg_catalog.=) t.tgfoid \
                 WHERE NOT t.tgisinternal"
            }
            Own::Inventory => {
                "SELECT (SELECT pg_catalog.string_agg(objid::pg_catalog.text, ' ' ORDER BY objid) \
                 FROM pg_catalog.pg_depend WHERE refclassid OPERATOR(pg_catalog.=) 2615 \
                 AND refobjid OPERATOR(pg_catalog.=) pg_catalog.pg_my_temp_schema() \
                 AND pg_catalog.pg_my_temp_schema() OPERATOR(pg_catalog.<>) 0), \
                 (SELECT pg_catalog.string_agg(name, pg_catalog.chr(1) ORDER BY name) \
                 FROM pg_catalog.pg_cursors WHERE is_holdable), \
                 (SELECT pg_catalog.string_agg(name, pg_catalog.chr(1) ORDER BY name) \
                 FROM pg_catalog.pg_prepared_statements WHERE from_sql), \
                 (SELECT pg_catalog.string_agg(c, pg_catalog.chr(1) ORDER BY c) \
                 FROM pg_catalog.pg_listening_channels() AS t(c)), \
                 (SELECT pg_catalog.string_agg(l, ' ' ORDER BY l) FROM (\
                 SELECT pg_catalog.concat_ws(':', database, classid, objid, objsubid, mode) \
                 FROM pg_catalog.pg_locks WHERE locktype OPERATOR(pg_catalog.=) 'advisory' \
                 AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()) AS t(l))"
            }
            Own::Locks => {
                "SELECT CASE WHEN EXISTS (SELECT FROM pg_catalog.pg_locks \
                 WHERE locktype OPERATOR(pg_catalog.=) 'advisory' \
                 AND pid OPERATOR(pg_catalog.=) pg_catalog.pg_backend_pid()) THEN 'a' END"
            }
        }
    }

    fn bit(self) -> u32 {
        1 << (self as u8)
    }
}

/// Which of them a server connection holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct OwnHeld {
    held: u32,
    /// What is not held may be there all the same.
    is_suspect: bool,
    /// The segment in which one was last prepared: until that is answered, a
    /// later segment cannot know whether it is there.
    pub prepared_in: Option<u64>,
}

impl OwnHeld {
    /// Is it there?
    #[must_use]
    pub fn has(self, own: Own) -> bool {
        self.held & own.bit() != 0
    }

    /// It is being prepared.
    pub fn add(&mut self, own: Own) {
        self.held |= own.bit();
    }

    /// It is not there after all.
    pub fn remove(&mut self, own: Own) {
        self.held &= !own.bit();
    }

    /// It is not known any more what is there.
    pub fn suspect(&mut self) {
        (self.held, self.is_suspect) = (0, true);
    }

    /// Must one be closed before it is prepared?
    #[must_use]
    pub fn is_suspect(self) -> bool {
        self.is_suspect
    }
}

/// Parse of one of them.
pub fn parse_into(out: &mut Vec<u8>, own: Own) {
    let (name, text) = (own.name(), own.text().as_bytes());
    frame_into(out, b'P', &[name.as_bytes(), b"\0", text, b"\0\0\0"]);
}

/// The portal of those that run amid a client's own messages.
pub const PORTAL: &[u8] = b"_pw";

/// Close of one of them.
pub fn drop_into(out: &mut Vec<u8>, own: Own) {
    frame_into(out, b'C', &[b"S", own.name().as_bytes(), b"\0"]);
}

/// Bind of one of them, to a portal, with these parameters as text.
pub fn bind_into(out: &mut Vec<u8>, portal: &[u8], own: Own, parameters: &[&[u8]]) {
    let mut values = Vec::new();
    for parameter in parameters {
        let length = u32::try_from(parameter.len()).unwrap_or(u32::MAX);
        values.extend_from_slice(&length.to_be_bytes());
        values.extend_from_slice(parameter);
    }
    let count = u16::try_from(parameters.len()).unwrap_or(u16::MAX);
    let name = own.name();
    let parts: [&[u8]; 7] = [
        portal,
        b"\0",
        name.as_bytes(),
        b"\0\0\0",
        &count.to_be_bytes(),
        &values,
        b"\0\0",
    ];
    frame_into(out, b'B', &parts);
}

/// Execute of a portal, to its end.
pub fn execute_into(out: &mut Vec<u8>, portal: &[u8]) {
    frame_into(out, b'E', &[portal, &[0; 5]]);
}

/// Close of a portal.
pub fn close_into(out: &mut Vec<u8>, portal: &[u8]) {
    frame_into(out, b'C', &[b"P", portal, b"\0"]);
}

/// In an array: NULL. No text of PostgreSQL's has a zero byte.
pub const NULL: &[u8] = b"\0";

/// The text of an array (`arrays.html#ARRAYS-IO`).
pub fn array<'a>(elements: impl Iterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut text = vec![b'{'];
    for element in elements {
        if text.len() > 1 {
            text.push(b',');
        }
        if element == NULL {
            text.extend_from_slice(b"NULL");
            continue;
        }
        text.push(b'"');
        for byte in element {
            if matches!(byte, b'"' | b'\\') {
                text.push(b'\\');
            }
            text.push(*byte);
        }
        text.push(b'"');
    }
    text.push(b'}');
    text
}

#[cfg(test)]
#[allow(clippy::indexing_slicing, clippy::string_slice)]
mod tests {
    use super::*;

    #[test]
    fn each_has_a_bit_and_a_name_of_its_own() {
        let mut held = OwnHeld::default();
        let mut names = std::collections::HashSet::new();
        for own in Own::ALL {
            assert!(!held.has(own) && names.insert(own.name().as_bytes().to_vec()));
            held.add(own);
            assert!(held.has(own));
        }
        held.remove(Own::Get);
        assert!(!held.has(Own::Get) && held.has(Own::GetAll));
    }

    /// What a client's search_path could bend: a call or an operator that is
    /// not qualified.
    #[test]
    fn nothing_in_them_depends_on_the_search_path() {
        for own in Own::ALL {
            let text = own.text();
            for (at, _) in text.match_indices('(') {
                let head = &text[..at];
                let start = head.rfind(|c: char| !c.is_alphanumeric() && c != '_' && c != '.');
                let word = &head[start.map_or(0, |at| at + 1)..];
                let is_keyword =
                    ["", "t", "EXISTS", "OPERATOR", "FROM", "ALL", "ANY"].contains(&word);
                assert!(
                    is_keyword || word.starts_with("pg_catalog."),
                    "{word} in {text}"
                );
            }
            let bare = text
                .replace("OPERATOR(pg_catalog.=)", "")
                .replace("OPERATOR(pg_catalog.<>)", "")
                .replace("OPERATOR(pg_catalog.>=)", "");
            assert!(
                !bare.contains(['=', '<', '>', '+', '|']) && !bare.contains("DISTINCT"),
                "{text}"
            );
        }
    }

    #[test]
    fn arrays_are_quoted() {
        let elements: [&[u8]; 4] = [b"a", b"b\"c\\", NULL, b""];
        assert_eq!(array(elements.into_iter()), br#"{"a","b\"c\\",NULL,""}"#);
        assert_eq!(array([].into_iter()), b"{}");
    }

    #[test]
    fn a_bind_carries_its_parameters() {
        let mut out = Vec::new();
        bind_into(&mut out, b"", Own::Get, &[b"{}"]);
        let name = Own::Get.name();
        let body = [b"\0", name.as_bytes(), b"\0\0\0\0\x01\0\0\0\x02{}\0\0"].concat();
        assert_eq!(out.get(5..), Some(&body[..]));
    }
}
