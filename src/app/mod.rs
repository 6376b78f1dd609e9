//! (room app)

pub mod cli;
