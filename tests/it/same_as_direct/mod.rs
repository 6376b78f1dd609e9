//! Scripts that must look the same through a pool of one or two server
//! connections as on a direct connection, with a hidden client in between.

mod copy;
mod extended;
mod named_statements;
mod pieces;
mod pipelines;
mod protocol_errors;
mod simple;
mod startup;
mod transactions;
