//! A process that runs the API server.

use std::time::SystemTime;

use crate::audit::flags::{self, Flags, Takes};

/// The events that an API server could not write, as it counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lost {
    /// By plugin, such as `log`; none that lost nothing.
    pub events: Vec<(String, u64)>,
    /// When it began to count.
    pub since: SystemTime,
}

/// A process that runs the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Process {
    pub pid: i32,
    /// When the process started: clock ticks since the machine started. Together with `pid` it identifies the process.
    pub started: u64,
    pub arguments: Vec<String>,
}

impl Process {
    /// Does the process have exactly these audit flags, and all of these words of the manifest's command line?
    pub fn is(&self, wanted: &Flags, words: &[String]) -> bool {
        let mut found = Flags::new();
        let mut left = self.arguments.iter().peekable();
        while let Some(argument) = left.next() {
            let Some(flag) = argument.strip_prefix("--") else { continue };
            let (written, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            let name = flags::normal(written);
            if !flags::is_audit(&name) {
                continue;
            }
            let value = match (value, flags::takes(&name)) {
                (Some(value), _) => value.to_owned(),
                (None, Some(Takes::Bool) | None) => "true".to_owned(),
                (None, Some(_)) => left.next().cloned().unwrap_or_default(),
            };
            found.insert(name, value);
        }
        // The kubelet replaces $(POD_IP) and its like, and $$, so such words differ.
        let is_same = |(found, wanted): ((&String, &String), (&String, &String))| {
            found.0 == wanted.0 && (wanted.1.contains('$') || found.1 == wanted.1)
        };
        found.len() == wanted.len()
            && found.iter().zip(wanted).all(is_same)
            && words.iter().all(|word| word.contains('$') || self.arguments.contains(word))
    }

    /// The secure port that it listens on; 6443 by default.
    pub fn port(&self) -> u16 {
        self.value("--secure-port").and_then(|port| port.parse().ok()).unwrap_or(6443)
    }

    /// The value of a flag that is written as `FLAG=VALUE`, as kubeadm does.
    pub fn value(&self, flag: &str) -> Option<&str> {
        self.arguments.iter().find_map(|word| word.strip_prefix(flag)?.strip_prefix('='))
    }
}
