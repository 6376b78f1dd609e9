//! Settings, their resets and rollbacks.

use super::generate::Menu;
use super::{look_the_same, look_the_same_with};

#[test]
fn settings_at_random_look_the_same() {
    look_the_same(Menu::Settings);
}

#[test]
fn settings_look_the_same_whatever_a_session_is_called() {
    look_the_same_with(Menu::Settings, "off");
}
