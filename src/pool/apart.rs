//! Server connections that are never pooled: one client has each for itself.

use std::sync::Arc;

use super::budget::{Budget, Place};
use super::server_pool::{Budgets, ServerPool};
use super::shelf::StartupClass;
use crate::server::Server;
use crate::wire::{PgError, sqlstate};

/// A server connection that is never pooled.
#[derive(Debug)]
pub struct Apart {
    server: Server,
    _places: [Place; 2],
}

impl std::ops::Deref for Apart {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

impl std::ops::DerefMut for Apart {
    fn deref_mut(&mut self) -> &mut Server {
        &mut self.server
    }
}

impl ServerPool {
    /// Opens a connection that one client has for itself, beside the `pool_size`;
    /// it counts for the database and the user.
    ///
    /// # Errors
    /// 53300 where those may have no more; otherwise as of the server.
    pub async fn open_apart(&self, startup: StartupClass) -> Result<Apart, PgError> {
        let Budgets { database, user, .. } = &self.budgets;
        let place = |budget: &Arc<Budget>| {
            let taken = budget.take().or_else(|| {
                budget.evict();
                budget.take()
            });
            taken.ok_or_else(|| {
                PgError::fatal(
                    sqlstate::TOO_MANY_CONNECTIONS,
                    "no more server connections allowed (max_db_connections, max_user_connections)",
                )
            })
        };
        let places = [place(database)?, place(user)?];
        let server = self.connect(startup).await?;
        Ok(Apart {
            server,
            _places: places,
        })
    }
}
