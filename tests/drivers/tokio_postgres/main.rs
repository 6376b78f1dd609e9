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
#[path = "../rust/clients_under_ddl.rs"]
mod clients_under_ddl;
mod concurrent;
mod data;
#[path = "../rust/ddl.rs"]
mod ddl;
mod queries;
#[path = "../rust/runner.rs"]
mod runner;
mod transactions;
mod under_ddl;

use std::process::ExitCode;

use case::Cases;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut cases = Cases::of("tokio_postgres");
    queries::run(&mut cases).await;
    data::run(&mut cases).await;
    transactions::run(&mut cases).await;
    cancels::run(&mut cases).await;
    concurrent::run(&mut cases).await;
    under_ddl::run(&mut cases).await;
    if cases.all_passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
