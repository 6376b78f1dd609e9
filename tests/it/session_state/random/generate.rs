//! Scripts made up from a seed.

use super::script::{Act, Script, Turn};
use super::words::{
    BROKEN, DATE_RESETS, DATE_SETTINGS, DATE_STATEMENTS, ENDS, HIDDEN, HIDDEN_KEPT, HIDDEN_ROLES,
    KEPT, KEPT_LOOKS, LOCAL_SETTINGS, LOOKS, PATH_STATEMENTS, RESETS, ROLE_LOOKS, ROLES, SETTINGS,
    TRANSACTIONS,
};
use crate::support::random::Random;

/// Which statements may occur.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Menu {
    /// Settings, resets and rollbacks.
    Settings,
    /// Settings that say what a text means, and named statements.
    Dates,
    /// Settings that say which table is meant, and named statements.
    Paths,
    /// Settings and roles.
    Roles,
    /// What keeps a server connection, and some settings.
    Pins,
    /// Settings and what is hidden in functions and blocks.
    Functions,
    /// Everything but the dates.
    All,
}

/// How often one of which list.
type Weights = &'static [(usize, &'static [&'static str])];

impl Menu {
    fn weights(self) -> Weights {
        match self {
            Self::Settings => &[
                (10, SETTINGS),
                (2, LOCAL_SETTINGS),
                (3, RESETS),
                (12, LOOKS),
                (4, TRANSACTIONS),
                (3, BROKEN),
            ],
            Self::Dates => &[
                (8, DATE_SETTINGS),
                (3, DATE_RESETS),
                (2, TRANSACTIONS),
                (5, DATE_STATEMENTS),
            ],
            Self::Paths => &[
                (8, SETTINGS),
                (2, RESETS),
                (3, TRANSACTIONS),
                (2, BROKEN),
                (8, LOOKS),
            ],
            Self::Roles => &[
                (4, SETTINGS),
                (2, LOCAL_SETTINGS),
                (2, RESETS),
                (5, LOOKS),
                (3, TRANSACTIONS),
                (2, BROKEN),
                (9, ROLES),
                (9, ROLE_LOOKS),
            ],
            Self::Pins => &[
                (3, SETTINGS),
                (1, RESETS),
                (5, LOOKS),
                (4, TRANSACTIONS),
                (2, BROKEN),
                (8, KEPT),
                (9, ENDS),
                (9, KEPT_LOOKS),
            ],
            Self::Functions => &[
                (3, SETTINGS),
                (1, RESETS),
                (8, LOOKS),
                (3, TRANSACTIONS),
                (1, BROKEN),
                (9, HIDDEN),
                (5, HIDDEN_KEPT),
                (6, ENDS),
                (4, KEPT_LOOKS),
            ],
            Self::All => &[
                (5, SETTINGS),
                (2, LOCAL_SETTINGS),
                (2, RESETS),
                (8, LOOKS),
                (4, TRANSACTIONS),
                (2, BROKEN),
                (4, ROLES),
                (4, ROLE_LOOKS),
                (5, KEPT),
                (6, ENDS),
                (5, KEPT_LOOKS),
                (5, HIDDEN),
                (2, HIDDEN_KEPT),
                (2, HIDDEN_ROLES),
            ],
        }
    }

    /// How often of ten times something is done by name, and what is prepared.
    fn statements(self) -> (usize, &'static [&'static str]) {
        match self {
            Self::Dates => (6, DATE_STATEMENTS),
            Self::Paths => (5, PATH_STATEMENTS),
            Self::All => (2, PATH_STATEMENTS),
            _ => (0, &[]),
        }
    }
}

/// A script of so many turns.
pub fn generate(random: &mut Random, menu: Menu, turns: usize) -> Script {
    let mut maker = Maker { random, menu };
    Script((0..turns).map(|_| maker.turn()).collect())
}

struct Maker<'a> {
    random: &'a mut Random,
    menu: Menu,
}

impl Maker<'_> {
    fn turn(&mut self) -> Turn {
        let count = 1 + self.random.of(&[0, 0, 0, 1, 2]);
        Turn {
            who: self.random.below(4),
            anew: self.random.one_in(30),
            acts: (0..count).map(|_| self.act()).collect(),
        }
    }

    fn act(&mut self) -> Act {
        let (often, statements) = self.menu.statements();
        if self.random.below(10) < often {
            return self.act_by_name(statements);
        }
        match self.random.below(10) {
            0..=4 => Act::Query(self.text().into()),
            5 => {
                let texts = [self.text(), self.text(), self.text()];
                Act::Query(texts[self.random.below(2)..].join("; "))
            }
            6 | 7 => Act::Extended(vec![self.text()]),
            _ => {
                let count = 2 + self.random.below(3);
                Act::Extended((0..count).map(|_| self.text()).collect())
            }
        }
    }

    fn act_by_name(&mut self, statements: &'static [&'static str]) -> Act {
        let name = self.random.of(&["s1", "s1", "s2", "s3"]);
        match self.random.below(13) {
            0..=2 => Act::Prepare(name, self.random.of(statements)),
            3 => Act::Close(name),
            // Beside other commands in one Query such names are not known.
            4 => Act::Query(format!("EXECUTE {name}")),
            5 => Act::Query(format!("DEALLOCATE {name}")),
            _ => Act::Run(name),
        }
    }

    fn text(&mut self) -> &'static str {
        let weights = self.menu.weights();
        let mut at = self
            .random
            .below(weights.iter().map(|(weight, _)| weight).sum());
        for (weight, list) in weights {
            if at < *weight {
                return self.random.of(list);
            }
            at -= weight;
        }
        unreachable!("the weights have a sum")
    }
}
