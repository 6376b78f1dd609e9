//! "Did you mean ...?"

/// A question after the nearest of the known names, if one is near.
pub(super) fn did_you_mean<'a>(
    given: &str,
    known: impl Iterator<Item = &'a str>,
) -> Option<String> {
    let given = given.to_ascii_lowercase().replace('-', "_");
    let reach = (given.len() / 3).max(1);
    known
        .map(|name| (distance(&given, &name.replace('-', "_")), name))
        .filter(|(far, name)| *far <= reach || starts_alike(&given, name))
        .min()
        .map(|(_, name)| format!("did you mean {name:?}?"))
}

/// One is the other cut short: `reserve_pool` for `reserve_pool_size`.
fn starts_alike(given: &str, name: &str) -> bool {
    given.len() >= 4 && (name.starts_with(given) || given.starts_with(name))
}

/// How many letters must be put in, taken out or changed to turn `a` into `b`.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut left = i + 1;
        let mut next = vec![left];
        for ((y, up), diagonal) in b.iter().zip(row.iter().skip(1)).zip(&row) {
            left = (diagonal + usize::from(x != *y)).min(up + 1).min(left + 1);
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distance_counts_letters() {
        assert_eq!(distance("", ""), 0);
        assert_eq!(distance("abc", "abc"), 0);
        assert_eq!(distance("abc", ""), 3);
        assert_eq!(distance("kitten", "sitting"), 3);
    }

    #[test]
    fn a_slip_is_recognised_and_a_strange_word_is_not() {
        let known = [
            "listen_addr",
            "listen_port",
            "reserve_pool_size",
            "scram-sha-256",
        ];
        let ask = |given| did_you_mean(given, known.into_iter());
        assert_eq!(
            ask("listen_prot").as_deref(),
            Some("did you mean \"listen_port\"?")
        );
        assert_eq!(
            ask("listenaddr").as_deref(),
            Some("did you mean \"listen_addr\"?")
        );
        assert_eq!(
            ask("reserve_pool").as_deref(),
            Some("did you mean \"reserve_pool_size\"?")
        );
        assert_eq!(
            ask("SCRAM_SHA_256").as_deref(),
            Some("did you mean \"scram-sha-256\"?")
        );
        assert_eq!(ask("colour"), None);
    }
}
