//! One pass over a query's text: can it leave state behind in the session?
//!
//! The words are looked for everywhere, in literals and function bodies too:
//! a false alarm costs a little, a missed word would let one client's state
//! reach another. Statements' first words count as such at the start, after
//! `;`, after a comment, and where PL/pgSQL begins one.

use super::findings::Findings;

/// Longest word that matters, in bytes.
const WORD: usize = 40;

/// A scan of one text, which may arrive in parts.
#[derive(Debug, Clone)]
pub struct Scan {
    word: [u8; WORD],
    length: usize,
    /// The next word is a statement's first.
    at_start: bool,
    /// A `--` was seen on this line.
    line_comment: bool,
    before: u8,
    last: Last,
    gap: Gap,
    /// Open parentheses inside a call of `set_config`.
    set_config: Option<u32>,
    /// `TEMP`s without their `ON COMMIT DROP` so far.
    temporary: u32,
    /// All of them.
    temporaries: u32,
    /// Commands that change the catalog, as others see it or not.
    catalog: u32,
    /// In a DO block, whose literals may be statements.
    opaque: bool,
    updating: bool,
    found: Findings,
}

/// What stands between the previous word and here. What calls an alarm off
/// must stand there plainly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Gap {
    Blank,
    /// Whatever it is, a comma is its end.
    Comma,
    /// Quotes or comments.
    Other,
    /// What no SET or PREPARE has behind it.
    Stop,
}

/// What the previous word was, as far as it matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Last {
    Other,
    /// A leading SET: what follows decides.
    Set,
    /// A leading SET, and a word that makes it end with the transaction
    /// unless it is the beginning of a name.
    SetLocal,
    /// A leading PREPARE: what follows decides.
    Prepare,
    /// PREPARE TRANSACTION, or a statement of that name.
    PrepareTransaction,
    Commit,
    /// `, true`
    CommaTrue,
}

impl Default for Scan {
    fn default() -> Self {
        Self {
            word: [0; WORD],
            length: 0,
            at_start: true,
            line_comment: false,
            before: 0,
            last: Last::Other,
            gap: Gap::Blank,
            set_config: None,
            temporary: 0,
            temporaries: 0,
            catalog: 0,
            opaque: false,
            updating: false,
            found: Findings::default(),
        }
    }
}

impl Scan {
    /// What can the body of a function do? Its literals may be statements.
    #[must_use]
    pub fn of_body(text: &[u8]) -> Findings {
        let mut scan = Self {
            opaque: true,
            ..Self::default()
        };
        scan.feed(text);
        scan.finish()
    }

    /// What can this text do?
    #[must_use]
    pub fn of(text: &[u8]) -> Findings {
        let mut scan = Self::default();
        scan.feed(text);
        scan.finish()
    }

    /// The next part of the text.
    pub fn feed(&mut self, part: &[u8]) {
        for &byte in part {
            if is_word(byte) {
                if let Some(slot) = self.word.get_mut(self.length) {
                    *slot = byte.to_ascii_lowercase();
                }
                self.length += 1;
            } else {
                if self.length > 0 {
                    self.end_word();
                }
                self.punctuation(byte);
            }
            self.before = byte;
        }
    }

    /// The text is at its end.
    #[must_use]
    pub fn finish(mut self) -> Findings {
        if self.length > 0 {
            self.end_word();
        }
        // `SET` or `PREPARE` and nothing after: PostgreSQL refuses it.
        if self.temporary > 0 {
            self.found |= Findings::TEMPORARY;
        }
        if self.temporaries > 0 {
            self.found |= Findings::TEMPORARY_SCHEMA;
        }
        if self.catalog > self.temporaries {
            self.found |= Findings::CATALOG;
        }
        if self.set_config.is_some() {
            self.found |= Findings::SETTINGS;
        }
        self.found
    }

    #[inline]
    fn punctuation(&mut self, byte: u8) {
        if byte == b' ' {
            return;
        }
        if byte == b'(' && is_word(self.before) {
            self.found |= Findings::CALLS;
        }
        match (self.last, byte) {
            (Last::SetLocal, b'.' | b'=') => self.found |= Findings::SETTINGS,
            (Last::PrepareTransaction, b'(') => self.found |= Findings::PREPARES,
            _ => {}
        }
        match (self.before, byte) {
            // A word whose letters are escaped: U&"..."
            (b'&', b'"') => self.found |= Findings::OPAQUE,
            (b'*', b'/') => self.at_start = true,
            (b'-', b'-') => self.line_comment = true,
            (_, b'\n' | b'\r') if self.line_comment => {
                self.line_comment = false;
                self.at_start = true;
            }
            (_, b'\'') if self.opaque => self.at_start = true,
            (_, b';') => self.at_start = true,
            (_, b'(') => self.set_config = self.set_config.map(|depth| depth + 1),
            (_, b')') => self.close_parenthesis(),
            _ => {}
        }
        self.gap = match (self.gap, byte) {
            (gap, b'\t' | b'\n' | b'\r' | 0) => gap,
            (_, b',') => Gap::Comma,
            (Gap::Blank | Gap::Other, b'"' | b'/' | b'*' | b'-') => Gap::Other,
            _ => Gap::Stop,
        };
    }

    /// The end of `set_config(name, value, is_local)`: a literal `true` keeps
    /// it inside the transaction.
    fn close_parenthesis(&mut self) {
        match self.set_config {
            Some(0 | 1) => {
                let is_local = self.last == Last::CommaTrue && self.gap == Gap::Blank;
                self.found |= match is_local {
                    true => Findings::LOCAL_SETTINGS,
                    false => Findings::SETTINGS,
                };
                self.set_config = None;
            }
            depth => self.set_config = depth.map(|depth| depth - 1),
        }
    }

    fn end_word(&mut self) {
        let length = std::mem::take(&mut self.length);
        let gap = std::mem::replace(&mut self.gap, Gap::Blank);
        let leads = std::mem::take(&mut self.at_start);
        let last = std::mem::replace(&mut self.last, Last::Other);
        // Longer words are none of ours, but may follow one.
        let long = [0; WORD];
        let word = self.word;
        let word = word.get(..length).unwrap_or(&long);
        self.after(last, gap, word);
        self.last = match (last, word) {
            (_, b"set") if leads => Last::Set,
            (_, b"prepare") if leads => Last::Prepare,
            (Last::Set, b"local" | b"transaction" | b"constraints") if gap == Gap::Blank => {
                if word == b"local" {
                    self.found |= Findings::LOCAL_SETTINGS;
                }
                Last::SetLocal
            }
            (Last::Prepare, b"transaction") if gap == Gap::Blank => Last::PrepareTransaction,
            (_, b"commit") => Last::Commit,
            (_, b"true") if gap == Gap::Comma => Last::CommaTrue,
            _ => Last::Other,
        };
        self.meaning(word, leads);
    }

    /// What the word before meant, now that this one follows.
    fn after(&mut self, last: Last, gap: Gap, word: &[u8]) {
        match last {
            Last::Set if matches!(gap, Gap::Stop | Gap::Comma) => {}
            Last::Set
                if gap == Gap::Blank
                    && matches!(word, b"local" | b"transaction" | b"constraints") => {}
            Last::Set if word == b"seed" => self.found |= Findings::TAINTS,
            Last::Set => self.found |= Findings::SETTINGS,
            Last::Prepare if gap == Gap::Blank && word == b"transaction" => {}
            Last::Prepare if !matches!(gap, Gap::Stop | Gap::Comma) => {
                self.found |= Findings::PREPARES;
            }
            Last::PrepareTransaction if !matches!(gap, Gap::Stop | Gap::Comma) => {
                self.found |= Findings::PREPARES;
            }
            Last::Commit if gap == Gap::Blank && word == b"drop" => {
                self.temporary = self.temporary.saturating_sub(1);
            }
            _ => {}
        }
    }

    fn meaning(&mut self, word: &[u8], leads: bool) {
        match word {
            b"do" if leads => self.opaque = true,
            // SQL put together at run time.
            b"execute" if leads && self.opaque => self.found |= Findings::OPAQUE,
            b"update" if leads => self.updating = true,
            b"pg_settings" if self.updating => self.found |= Findings::SETTINGS,
            // PL/pgSQL: a statement follows.
            b"begin" | b"then" | b"else" | b"loop" => self.at_start = true,
            b"set_config" => self.set_config = Some(0),
            // SET x TO DEFAULT
            b"default" if self.found.has(Findings::SETTINGS) => self.found |= Findings::RESETS,
            b"temp" | b"temporary" => {
                self.temporary += 1;
                self.temporaries += 1;
            }
            b"create" | b"alter" | b"drop" if leads => self.catalog += 1,
            _ => {}
        }
        if leads {
            self.found |= first_word(word);
        }
        self.found |= anywhere(word);
    }
}

/// What a statement with this first word can do.
fn first_word(word: &[u8]) -> Findings {
    use Findings as F;
    match word {
        b"reset" => F::RESETS,
        b"listen" => F::LISTEN,
        b"load" => F::TAINTS,
        b"deallocate" => F::DEALLOCATES,
        b"discard" => F::DEALLOCATES | F::REMOVES | F::RESETS,
        b"drop" | b"close" | b"unlisten" => F::REMOVES,
        b"do" | b"call" => F::OPAQUE,
        _ => F::NONE,
    }
}

/// What a text with this word in it can do.
fn anywhere(word: &[u8]) -> Findings {
    use Findings as F;
    match word.first() {
        Some(b'p') if word.starts_with(b"pg_") => {
            if word.starts_with(b"pg_temp") {
                F::TEMPORARY
            } else if word.starts_with(b"pg_advisory_lock")
                || word.starts_with(b"pg_try_advisory_lock")
            {
                F::LOCK
            } else if word.starts_with(b"pg_advisory_unlock") {
                F::REMOVES
            } else if word.starts_with(b"pg_replication_origin_session")
                || matches!(word, b"pg_backup_start" | b"pg_start_backup")
                || (word.starts_with(b"pg_create_") && word.ends_with(b"_replication_slot"))
            {
                F::TAINTS
            } else if word.starts_with(b"pg_prepared_statement") {
                F::LISTS_STATEMENTS
            } else if matches!(word, b"pg_backend_pid" | b"pg_stat_force_next_flush") {
                F::PROCESS
            } else {
                F::NONE
            }
        }
        // A view may call, and a table may have triggers.
        Some(b'f' | b'i' | b'u' | b'd' | b'm' | b'c')
            if matches!(
                word,
                b"from" | b"insert" | b"update" | b"delete" | b"merge" | b"copy"
            ) =>
        {
            match word.first() {
                Some(b'i' | b'm' | b'c') => F::CALLS | F::DRAWS,
                _ => F::CALLS,
            }
        }
        Some(b'n' | b's') if matches!(word, b"nextval" | b"setval") => F::DRAWS,
        Some(b'l' | b'c') if matches!(word, b"lastval" | b"currval") => F::SEQUENCES,
        Some(b'h') if word == b"hold" => F::HOLD,
        Some(b's') if word == b"setseed" => F::TAINTS,
        Some(b'd') if word.starts_with(b"dblink_connect") => F::TAINTS,
        _ => F::NONE,
    }
}

#[inline]
fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte >= 0x80
}

#[cfg(test)]
mod tests {
    use super::*;

    const STATE: Findings = Findings::SETTINGS
        .and(Findings::TEMPORARY)
        .and(Findings::HOLD)
        .and(Findings::LISTEN)
        .and(Findings::LOCK)
        .and(Findings::TAINTS);

    #[test]
    fn what_leaves_state_is_found() {
        for text in [
            "SET work_mem = '1MB'",
            "  set role bob;",
            "/* app:1 */ SET x = 1",
            "-- hello\nSET x = 1",
            "select 1; set x to 2",
            "SELECT set_config('a.b', '1', false)",
            "SELECT pg_catalog.set_config($1, $2, $3)",
            "select set_config('a', current_setting('b', true), false)",
            "CREATE TEMP TABLE t (a int)",
            "create temporary table t as select 1",
            "SELECT 1 INTO TEMP t",
            "create table pg_temp.t (a int)",
            "DECLARE c CURSOR WITH HOLD FOR SELECT 1",
            "LISTEN ch",
            "LOAD 'auto_explain'",
            "select pg_advisory_lock(1)",
            "select pg_try_advisory_lock_shared(1, 2)",
            "select setseed(0.5)",
            "SET SEED TO 0.5",
            "DO $$ BEGIN SET x = 1; END $$",
            "DO $$ BEGIN IF true THEN PERFORM set_config('a','b',false); END IF; END $$",
            "SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY",
            "SET /* local */ x = 1",
            "SET -- transaction\n x = 1",
            "SET local.x = 1",
            "SET transaction.x = 1",
            "SET LOCAL . x = 1",
            "SET \"x\" = 1",
            "-- x\rSET x = 1",
            "CREATE TEMP TABLE a (); COMMIT; DROP TABLE b",
            "CREATE TEMP TABLE a (x int); CREATE TEMP TABLE b (x int) ON COMMIT DROP",
            "SELECT set_config('a', 'b', false /* true */)",
            "SELECT set_config('a', 'b', not true)",
            "SELECT set_config('a', 'b', false and true)",
            "SELECT set_config('a', 'b', true and false)",
            "DO $$begin set x = 1; end$$",
            "DO $a$begin execute 'set x = 1'; end$a$",
            "DO $$begin execute 'listen x'; end$$",
            "UPDATE pg_settings SET setting = 'x' WHERE name = 'y'",
        ] {
            assert!(Scan::of(text.as_bytes()).has(STATE), "{text}");
        }
    }

    #[test]
    fn what_leaves_none_is_passed() {
        for text in [
            "",
            ";",
            "select 1",
            "UPDATE t SET a = 1 WHERE b = 2",
            "SET LOCAL work_mem = '1MB'",
            "set transaction isolation level serializable",
            "SET CONSTRAINTS ALL DEFERRED",
            "SELECT set_config('a.b', '1', true)",
            "SELECT set_config($1, upper($2), TRUE), 1",
            "PREPARE TRANSACTION 'x'",
            "BEGIN; CREATE TEMP TABLE t (a int) ON COMMIT DROP; COMMIT",
            "select pg_advisory_xact_lock(1), pg_advisory_unlock(1)",
            "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
            "DISCARD ALL",
            "DEALLOCATE ALL",
            "select template, setting from temperature",
            "INSERT INTO t VALUES ('listen to this')",
            "INSERT INTO t VALUES ('a', 'set', 'b')",
            "SET LOCAL \"x\" TO 1",
            "UPDATE t SET a = 1; UPDATE u SET b = 2",
            "SELECT name FROM pg_settings",
        ] {
            assert!(!Scan::of(text.as_bytes()).has(STATE), "{text}");
        }
    }

    #[test]
    fn what_takes_state_back_is_found() {
        for (text, what) in [
            ("RESET ALL", Findings::RESETS),
            ("reset work_mem", Findings::RESETS),
            ("DISCARD ALL", Findings::REMOVES),
            ("DROP TABLE t", Findings::REMOVES),
            ("CLOSE c", Findings::REMOVES),
            ("UNLISTEN *", Findings::REMOVES),
            ("SELECT pg_advisory_unlock(1)", Findings::REMOVES),
            ("CALL p()", Findings::OPAQUE),
            (
                "SELECT U&\"set\\005fconfig\"('a', 'b', false)",
                Findings::OPAQUE,
            ),
            ("DO $$begin perform f(); end$$", Findings::OPAQUE),
        ] {
            assert!(Scan::of(text.as_bytes()).has(what), "{text}");
        }
        assert!(Scan::of(b"SELECT 1 AS reset, drop, close").is_empty());
    }

    #[test]
    fn calls_and_writes_are_found() {
        assert!(Scan::of(b"SELECT lastval()").has(Findings::SEQUENCES));
        for text in [
            "SELECT f(1)",
            "INSERT INTO t VALUES (1)",
            "update t set a = 1",
            "WITH x AS (DELETE FROM t RETURNING a) SELECT 1",
        ] {
            assert!(Scan::of(text.as_bytes()).has(Findings::CALLS), "{text}");
        }
        assert!(Scan::of(b"SELECT 1 + (2)").is_empty());
        assert!(Scan::of(b"SELECT a FROM v").has(Findings::CALLS));
    }

    #[test]
    fn changes_of_the_catalog_are_found_but_for_temporary_ones() {
        let changes = |text: &str| Scan::of(text.as_bytes()).has(Findings::CATALOG);
        for text in [
            "ALTER TABLE t ADD COLUMN a int",
            "create table t (a int)",
            "BEGIN; DROP TABLE t; COMMIT",
            "CREATE TEMP TABLE t (a int); CREATE TABLE u (a int)",
        ] {
            assert!(changes(text), "{text}");
        }
        assert!(!changes("CREATE TEMP TABLE t (a int)"));
        assert!(!changes("CREATE TEMP TABLE t (a int) ON COMMIT DROP"));
        assert!(!changes("SELECT 1 AS create"));
    }

    #[test]
    fn commands_about_statements_are_told_apart() {
        assert!(Scan::of(b"PREPARE q AS SELECT 1").has(Findings::PREPARES));
        assert!(!Scan::of(b"PREPARE TRANSACTION 'x'").has(Findings::PREPARES));
        assert!(Scan::of(b"PREPARE transaction AS SELECT 1").has(Findings::PREPARES));
        assert!(Scan::of(b"PREPARE transaction (int) AS SELECT 1").has(Findings::PREPARES));
        assert!(Scan::of(b"LOAD 'auto_explain'").has(Findings::TAINTS));
        assert!(Scan::of(b"SELECT setseed(0.5)").has(Findings::TAINTS));
        assert!(!Scan::of(b"SET x = 1").has(Findings::TAINTS));
        assert!(Scan::of(b"select 1; deallocate all").has(Findings::DEALLOCATES));
        assert!(Scan::of(b"DISCARD ALL").has(Findings::DEALLOCATES));
        assert_eq!(Scan::of(b"SELECT 1"), Findings::NONE);
    }

    #[test]
    fn a_text_in_parts_is_scanned_as_a_whole() {
        let text = b"select 1; /* x */ set work_mem = 1";
        for cut in 0..text.len() {
            let mut scan = Scan::default();
            let (head, tail) = text.split_at(cut);
            scan.feed(head);
            scan.feed(tail);
            assert!(scan.finish().has(STATE), "cut at {cut}");
        }
    }
}
