//! Whether a server connection that has rested is still there.

use super::shelf::Shelf;
use crate::server::Server;
use crate::session::{Findings, Scan};
use crate::wire::PgError;

/// After these the session is looked at. What functions do out of sight is not
/// expected of a check.
const CHANGES: Findings = Findings::SETTINGS
    .and(Findings::RESETS)
    .and(Findings::OPAQUE);

impl Shelf {
    /// Asks `server_check_query`, where there is one, on a server connection that
    /// stands at a boundary.
    ///
    /// # Errors
    /// Those of [`Server::run_alone`]: the connection is of no use.
    ///
    /// # Cancel safety
    /// Dropped before its end, the connection is to be closed.
    pub(super) async fn check(&self, server: &mut Server) -> Result<(), PgError> {
        let settings = std::sync::Arc::clone(&self.pool.settings());
        let Some(text) = &settings.server_check_query else {
            return Ok(());
        };
        let within = settings.server_connect_timeout;
        server.run_alone(text, within).await?;
        if Scan::of(text.as_bytes()).has(CHANGES) {
            self.look_at_session(server, text, within).await?;
        }
        Ok(())
    }
}
