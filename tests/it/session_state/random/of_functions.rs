//! State that a text does not show.

use super::generate::Menu;
use super::look_the_same;

#[test]
fn state_hidden_in_functions_at_random_looks_the_same() {
    look_the_same(Menu::Functions);
}
