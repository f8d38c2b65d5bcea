//! The words that cases are told in, `scripts/lib.sh`, without a node.

use std::process::Command;

#[test]
fn a_word_fails_where_what_it_asks_fails() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/words.sh");
    let output = Command::new("bash").arg(script).output().expect("bash runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    // All of it was run.
    assert!(said.ends_with("words: as they should be\n"), "{said}");
}
