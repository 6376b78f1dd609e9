//! Turns made up at random, with state of every kind: four clients over two
//! server connections see, frame by frame, what four direct connections see,
//! and leave nothing behind.
//!
//! PGWEAVE_TEST_TURNS sets how many turns each test plays (1,000 unless told),
//! PGWEAVE_TEST_SEED where it begins, PGWEAVE_TEST_POOL_SIZE the number of server
//! connections. A failure prints its seed and the shortest
//! script found that still shows it. With PGWEAVE_TEST_SCRIPTS_ONLY all is played
//! on direct connections alone, which must always agree.

mod generate;
mod play;
mod script;
mod shrink;
mod words;

mod of_all;
mod of_dates;
mod of_functions;
mod of_paths;
mod of_pins;
mod of_roles;
mod of_settings;

use std::env;

use self::generate::{Menu, generate};
use self::play::Stage;
use self::shrink::shrink;
use crate::support::postgres::Cluster;
use crate::support::random::Random;

/// Turns of one script.
const TURNS: usize = 50;

fn number_from(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

fn look_the_same(menu: Menu) {
    look_the_same_with(menu, "exact");
}

/// With this `application_name_policy`.
fn look_the_same_with(menu: Menu, names: &str) {
    let turns = number_from("PGWEAVE_TEST_TURNS", 1000);
    let mut seed = number_from("PGWEAVE_TEST_SEED", 1);
    let (direct, pooled) = (Cluster::shared().database(), Cluster::shared().database());
    let stage = Stage::new(&direct, &pooled, names);
    let mut played = 0;
    while played < turns {
        let script = generate(&mut Random::new(seed), menu, TURNS);
        match stage.play(&script) {
            Ok(turns) => played += turns,
            Err(difference) => {
                let (script, difference) = shrink(&stage, script, difference);
                panic!("seed {seed} of {menu:?}:\n{script}\n{difference}");
            }
        }
        seed += 1;
    }
}
