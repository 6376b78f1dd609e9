//! What sessions begin with, as the process of before has found out: so that who logs
//! in need not wait for a server connection to tell.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::arriving::values;
use super::leaving::carried;
use super::luggage::Settings;
use crate::pool::{ServerPool, StartupClass};
use crate::proxy::house::House;

/// Of the clients of one pool that start up alike.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Begins {
    database: String,
    user: String,
    startup: StartupClass,
    greeting: Vec<(String, String)>,
    settings: Settings,
}

impl Begins {
    /// All of a pool.
    #[must_use]
    pub fn of_all(pool: &Arc<ServerPool>) -> Vec<Self> {
        let shelves = pool.all_shelves().into_iter();
        let known = shelves.filter_map(|shelf| {
            let beginning = shelf.beginning()?;
            let settings = beginning.profile.as_deref();
            Some(Self {
                database: pool.database.clone(),
                user: pool.server_user.clone(),
                startup: shelf.class().clone(),
                greeting: beginning.greeting.to_vec(),
                settings: settings
                    .into_iter()
                    .flat_map(|profile| carried(&profile.settings))
                    .collect(),
            })
        });
        known.collect()
    }

    /// It is so here as well.
    pub fn adopt(self, house: &House) {
        let config = house.config();
        let found = house.directory.pool(&config, &self.database, &self.user);
        if let Some((pool, _)) = found {
            let shelf = pool.shelf(self.startup);
            let profile = shelf.profiles.intern(values(&self.settings));
            shelf.begins_as(self.greeting.into(), profile);
        }
    }
}
