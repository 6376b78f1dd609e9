//! Roles and authorizations, and settings.

use super::generate::Menu;
use super::look_the_same;

#[test]
fn roles_at_random_look_the_same() {
    look_the_same(Menu::Roles);
}
