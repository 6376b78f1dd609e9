//! sqlx through the pooler: a suite of `tests/drivers/run`, which sets the
//! environment that it needs.

#[path = "../rust/clients_under_ddl.rs"]
mod clients_under_ddl;
mod connect;
mod data;
#[path = "../rust/ddl.rs"]
mod ddl;
mod pools;
mod queries;
#[path = "../rust/runner.rs"]
mod runner;
mod transactions;
mod under_ddl;

use std::process::ExitCode;

use runner::Cases;

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() -> ExitCode {
    let mut cases = Cases::of("sqlx");
    queries::run(&mut cases).await;
    data::run(&mut cases).await;
    transactions::run(&mut cases).await;
    pools::run(&mut cases).await;
    under_ddl::run(&mut cases).await;
    if cases.all_passed() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
