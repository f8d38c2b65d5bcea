//! Tells the user's mistakes from other errors.

use std::fmt;

/// Marks an error as one of the command line or of the configuration: the program then exits with 2.
#[derive(Debug)]
pub struct Misuse(pub String);

impl fmt::Display for Misuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}
