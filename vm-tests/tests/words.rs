//! The words of cases, `scripts/lib.sh`, are tested without a node.

use std::process::Command;

#[test]
fn a_word_fails_where_what_it_asks_fails() {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/words.sh");
    let output = Command::new("bash").arg(script).output().expect("bash runs");
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.success(), "{said}");
    // The script came to its end.
    assert!(said.ends_with("words: as they should be\n"), "{said}");
}
