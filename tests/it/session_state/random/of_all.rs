//! State of every kind.

use super::generate::Menu;
use super::look_the_same;

#[test]
fn state_of_every_kind_at_random_looks_the_same() {
    look_the_same(Menu::All);
}
