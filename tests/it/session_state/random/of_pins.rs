//! Temporary objects, locks, cursors, LISTEN and PREPARE, and settings.

use super::generate::Menu;
use super::look_the_same;

#[test]
fn temporary_tables_locks_and_their_like_at_random_look_the_same() {
    look_the_same(Menu::Pins);
}
