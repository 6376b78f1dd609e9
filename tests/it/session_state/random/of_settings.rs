//! Settings, their resets and rollbacks.

use super::generate::Menu;
use super::look_the_same;

#[test]
fn settings_at_random_look_the_same() {
    look_the_same(Menu::Settings);
}
