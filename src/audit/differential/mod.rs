//! Compares how this program and Kubernetes read policies, flags, kubeconfigs, arguments and manifests, by random
//! examples.
//!
//! `vm-tests/oracle` runs the code of Kubernetes, one program per version. These tests are ignored because they need
//! those programs. `ORACLES="1.26=/path/to/one 1.37=/path/to/other"` names those for policies and flags, `COMMANDS` those
//! for arguments, `KUBELETS` those for manifests. `SEED` selects the examples, and `PAIRS` is the number of examples, for
//! all versions together.

mod command_lines;
mod diffs;
mod flags;
mod kubeconfigs;
mod policies;

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;

use super::version::Version;

/// The API server's own code of one version, running as a program behind pipes.
pub(crate) struct Oracle {
    pub version: Version,
    child: Child,
    questions: Option<ChildStdin>,
    answers: BufReader<ChildStdout>,
}

impl Oracle {
    /// The programs that an environment variable such as `ORACLES` names.
    pub fn all(variable: &str) -> Vec<Oracle> {
        let oracles =
            env::var(variable).unwrap_or_else(|_| panic!("{variable}=\"1.37=/path/to/oracle ...\" is needed"));
        oracles.split_whitespace().map(Oracle::start).collect()
    }

    fn start(named: &str) -> Oracle {
        let (version, path) = named.split_once('=').expect("ORACLES has VERSION=PATH");
        let version = Version::parse(version).expect("ORACLES has versions such as 1.37");
        let mut child =
            Command::new(path).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("an oracle starts");
        let questions = child.stdin.take();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Oracle { version, child, questions, answers }
    }

    pub fn ask(&mut self, question: &Value) -> Value {
        // One write for the whole line: the pipe has no buffer on this side.
        self.questions.as_mut().unwrap().write_all(format!("{question}\n").as_bytes()).unwrap();
        let mut line = String::new();
        self.answers.read_line(&mut line).unwrap();
        serde_json::from_str(&line).unwrap()
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        // The program ends when its input ends.
        self.questions = None;
        let _ = self.child.wait();
    }
}

pub(crate) fn number(variable: &str, default: u64) -> u64 {
    env::var(variable).map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// xorshift64*, so that a seed gives the same examples on every machine.
pub(crate) struct Random(u64);

impl Random {
    /// A generator that gives other examples for each version.
    pub fn new(seed: u64, version: Version) -> Random {
        Random((seed << 8 | u64::from(version.minor)).wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1)
    }

    pub fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % end
    }

    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    pub fn pick<'a, T: ?Sized>(&mut self, from: &[&'a T]) -> &'a T {
        from[self.below(from.len())]
    }

    /// Up to `most` of the values; some may come twice.
    pub fn some(&mut self, most: usize, from: &[&'static str]) -> Vec<&'static str> {
        (0..1 + self.below(most)).map(|_| self.pick(from)).collect()
    }
}
