//! Which settings change what a text means when it is parsed.

/// Settings that only matter when a statement is executed, or to the log.
const ONLY_EXECUTION: &[&str] = &[
    "application_name",
    "check_function_bodies",
    "client_connection_check_interval",
    "client_min_messages",
    "commit_delay",
    "commit_siblings",
    "cursor_tuple_fraction",
    "default_statistics_target",
    "default_transaction_deferrable",
    "default_transaction_isolation",
    "default_transaction_read_only",
    "effective_cache_size",
    "effective_io_concurrency",
    "from_collapse_limit",
    "gin_fuzzy_search_limit",
    "gin_pending_list_limit",
    "hash_mem_multiplier",
    "idle_in_transaction_session_timeout",
    "idle_session_timeout",
    "join_collapse_limit",
    "lock_timeout",
    "logical_decoding_work_mem",
    "maintenance_io_concurrency",
    "maintenance_work_mem",
    "plan_cache_mode",
    "random_page_cost",
    "seq_page_cost",
    "statement_timeout",
    "synchronous_commit",
    "temp_buffers",
    "temp_file_limit",
    "temp_tablespaces",
    "track_activities",
    "track_counts",
    "track_functions",
    "track_io_timing",
    "transaction_timeout",
    "vacuum_cost_delay",
    "vacuum_cost_limit",
    "work_mem",
];

/// Families of such settings.
const ONLY_EXECUTION_PREFIXES: &[&str] = &[
    "cpu_",
    "debug_",
    "enable_",
    "geqo",
    "jit",
    "log_",
    "max_parallel_",
    "min_parallel_",
    "parallel_",
    "tcp_",
    "vacuum_",
];

/// Can this setting change what a text means when it is parsed, or what of a
/// plan is kept? Unknown ones can. Settings with a dot in their name are read
/// by functions, when these run.
#[must_use]
pub fn is_parse_relevant(name: &str) -> bool {
    !name.contains('.')
        && ONLY_EXECUTION.binary_search(&name).is_err()
        && !ONLY_EXECUTION_PREFIXES
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_the_meaning_of_a_text_is_told_apart() {
        for name in [
            "datestyle",
            "search_path",
            "role",
            "extra_float_digits",
            "unheard_of",
        ] {
            assert!(is_parse_relevant(name), "{name}");
        }
        for name in [
            "work_mem",
            "enable_seqscan",
            "app.tenant",
            "statement_timeout",
        ] {
            assert!(!is_parse_relevant(name), "{name}");
        }
    }

    #[test]
    fn the_list_is_in_order() {
        assert!(ONLY_EXECUTION.is_sorted());
    }
}
