//! tokio-postgres through the pooler: a suite of `tests/drivers/run`, which sets
//! the environment that it needs. An example of cargo's and not a test, so that a
//! plain `cargo test` builds it and does not pass over it in silence.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::cast_possible_truncation,
    clippy::print_stdout
)]

mod cancels;
mod case;
mod concurrent;
mod data;
mod queries;
mod transactions;

use std::process::ExitCode;

use case::Cases;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut cases = Cases::from_env();
    queries::run(&mut cases).await;
    data::run(&mut cases).await;
    transactions::run(&mut cases).await;
    cancels::run(&mut cases).await;
    concurrent::run(&mut cases).await;
    if cases.all_passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
