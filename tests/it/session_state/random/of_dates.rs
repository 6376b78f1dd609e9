//! Settings that say what a text means, and statements prepared meanwhile.

use super::generate::Menu;
use super::look_the_same;

#[test]
fn statements_whose_meaning_depends_on_settings_look_the_same() {
    look_the_same(Menu::Dates);
}
