//! How many clients there are of each database and of each user.

use std::collections::HashMap;

use parking_lot::Mutex;

/// What is counted apart.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Group {
    Database(Box<str>),
    User(Box<str>),
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Headcount(Mutex<HashMap<Group, u32>>);

/// Which limit is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TooMany {
    /// `max_db_client_connections`.
    OfDatabase,
    /// `max_user_client_connections`.
    OfUser,
}

/// How many clients a database and a user may have; 0 is without limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ClientLimits {
    /// Clients of the database.
    pub of_database: u32,
    /// Clients of the user, over all databases.
    pub of_user: u32,
}

fn groups(database: &str, user: &str) -> [Group; 2] {
    [Group::Database(database.into()), Group::User(user.into())]
}

impl Headcount {
    /// One more client, where there is room.
    pub fn enter(&self, database: &str, user: &str, limits: ClientLimits) -> Result<(), TooMany> {
        let groups = groups(database, user);
        let limits = [
            (limits.of_database, TooMany::OfDatabase),
            (limits.of_user, TooMany::OfUser),
        ];
        let mut counts = self.0.lock();
        for (group, (limit, too_many)) in groups.iter().zip(limits) {
            if limit > 0 && counts.get(group).is_some_and(|count| *count >= limit) {
                return Err(too_many);
            }
        }
        for group in groups {
            *counts.entry(group).or_default() += 1;
        }
        Ok(())
    }

    /// It has left.
    pub fn leave(&self, database: &str, user: &str) {
        let mut counts = self.0.lock();
        for group in groups(database, user) {
            if let Some(count) = counts.get_mut(&group) {
                *count = count.saturating_sub(1);
                if *count == 0 {
                    counts.remove(&group);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_database_and_each_user_has_its_own_limit() {
        let count = Headcount::default();
        let enter = |database: &str, user: &str| {
            let limits = ClientLimits {
                of_database: 2,
                of_user: 3,
            };
            count.enter(database, user, limits)
        };
        assert_eq!([enter("a", "u"), enter("a", "u")], [Ok(()), Ok(())]);
        assert_eq!(enter("a", "v"), Err(TooMany::OfDatabase));
        assert_eq!(enter("b", "u"), Ok(()));
        assert_eq!(enter("c", "u"), Err(TooMany::OfUser));
        count.leave("a", "u");
        assert_eq!(enter("a", "v"), Ok(()));
        let none = ClientLimits::default();
        assert_eq!(count.enter("a", "u", none), Ok(()));
        for (database, user) in [("a", "u"), ("a", "u"), ("a", "v"), ("b", "u")] {
            count.leave(database, user);
        }
        assert!(count.0.lock().is_empty());
    }
}
