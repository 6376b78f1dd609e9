//! Settings that say which table is meant, and statements prepared meanwhile.

use super::generate::Menu;
use super::look_the_same;

#[test]
fn statements_that_look_for_their_tables_look_the_same() {
    look_the_same(Menu::Paths);
}
