//! The pgweave binary: see the library.

use std::process::ExitCode;

/// Gives memory back after a burst, and costs less for an idle client.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

fn main() -> ExitCode {
    pgweave::app::main()
}
