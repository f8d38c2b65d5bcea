//! What is wrong with the command line, as opposed to what goes wrong afterwards.

use std::fmt;

/// An error of the command line: the harness exits with code 2 where the chain of an error has one.
#[derive(Debug)]
pub struct Misuse(pub String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}
