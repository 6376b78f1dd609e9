//! Pipelines made up at random: three clients over two server connections see,
//! frame by frame, what three direct connections see.
//!
//! PGWEAVE_TEST_PIPELINES sets how many pipelines each test plays (1,000 unless
//! told), PGWEAVE_TEST_SEED where it begins. A failure prints its seed and the
//! shortest script found that still shows it.

mod generate;
mod message;
mod play;
mod shrink;

use std::env;

use self::generate::{Menu, script};
use self::play::Stage;
use self::shrink::shrink;
use crate::support::postgres::Cluster;
use crate::support::random::Random;

/// Turns of one script, each a pipeline of one client.
const TURNS: usize = 40;

fn number_from(variable: &str, otherwise: u64) -> u64 {
    env::var(variable).map_or(otherwise, |value| value.parse().unwrap())
}

fn look_the_same(menu: Menu) {
    let pipelines = number_from("PGWEAVE_TEST_PIPELINES", 1000);
    let mut seed = number_from("PGWEAVE_TEST_SEED", 1);
    let database = Cluster::shared().database();
    let stage = Stage::new(&database);
    let mut played = 0;
    while played < pipelines {
        let script = script(&mut Random::new(seed), menu, TURNS);
        match stage.play(&script) {
            Ok(turns) => played += turns,
            Err(difference) => {
                let (script, difference) = shrink(&stage, script, difference);
                panic!("seed {seed}:\n{script}\n{difference}");
            }
        }
        seed += 1;
    }
}

#[test]
fn random_pipelines_of_protocol_statements_look_the_same() {
    look_the_same(Menu::Protocol);
}

#[test]
fn random_pipelines_with_deallocate_all_look_the_same() {
    look_the_same(Menu::DeallocateAll);
}

#[test]
fn random_pipelines_with_statements_named_in_sql_look_the_same() {
    look_the_same(Menu::Sql);
}
