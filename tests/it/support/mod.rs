//! What the cases stand on: a real PostgreSQL, a pgweave before it, a raw
//! protocol client, a fake server, transcripts and their comparison.

pub mod certificates;
pub mod differential;
pub mod fake_server;
pub mod frames;
pub mod janitor;
pub mod leaks;
pub mod line;
pub mod machine;
pub mod noise;
pub mod play;
pub mod pooler;
pub mod postgres;
pub mod random;
pub mod raw;
pub mod startup;
pub mod tls_line;
pub mod transcript;
pub mod wait;
