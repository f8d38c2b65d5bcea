//! A process that runs the API server.

use std::net::{IpAddr, Ipv6Addr};
use std::time::SystemTime;

use crate::audit::command_line;
use crate::audit::flags::{self, Flags};

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

/// The address and the port that an API server listens on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Listener {
    /// An unspecified address, such as `::`, stands for all addresses of both families.
    pub address: IpAddr,
    pub port: u16,
}

/// What the kubelet still has of a pod that it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remains {
    /// Does the pod have a control group?
    pub group: bool,
    /// Has the group those of containers in it?
    pub containers: bool,
    /// Does it have a directory in the kubelet's own?
    pub directory: bool,
    /// Does it have logs? True if none were seen.
    pub logs: bool,
}

impl Process {
    /// Its name in messages.
    pub fn name(&self) -> String {
        format!("kube-apiserver ({})", self.pid)
    }

    /// Does the process have exactly these audit flags, and all of these words of the manifest's command line, each
    /// `--NAME=VALUE`?
    pub fn is(&self, wanted: &Flags, words: &[String]) -> bool {
        let all = self.flags();
        let found: Vec<_> = all.iter().filter(|(name, _)| flags::is_audit(name)).collect();
        // The kubelet replaces $(POD_IP) and its like, so such words differ.
        let fits = |wanted: &str, found: &str| wanted.contains('$') || found == wanted;
        found.len() == wanted.len()
            && found.iter().zip(wanted).all(|(found, wanted)| found.0 == wanted.0 && fits(wanted.1, found.1))
            && words.iter().all(|word| {
                let (name, value) = word.trim_start_matches('-').split_once('=').unwrap_or((word, "true"));
                name.contains('$') || all.get(name).is_some_and(|found| fits(value, found))
            })
    }

    /// Where it listens: by default on all addresses, on port 6443.
    pub fn listener(&self) -> Listener {
        let address = self.value("bind-address").and_then(|address| address.parse().ok());
        let port = self.value("secure-port").and_then(|port| u16::try_from(flags::integer(&port)?).ok());
        Listener { address: address.unwrap_or(IpAddr::V6(Ipv6Addr::UNSPECIFIED)), port: port.unwrap_or(6443) }
    }

    /// All flags that it was started with, as it reads them.
    pub fn flags(&self) -> Flags {
        let own = command_line::start(&self.arguments).unwrap_or(1).min(self.arguments.len());
        command_line::values(&command_line::read(&self.arguments[own..]))
    }

    /// The value of a flag, with or without dashes in front of its name, as the API server reads it.
    pub fn value(&self, flag: &str) -> Option<String> {
        self.flags().remove(&flags::normal(flag.trim_start_matches('-')))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(line: &str) -> Process {
        Process { pid: 1, started: 1, arguments: line.split(' ').map(str::to_owned).collect() }
    }

    #[test]
    fn an_api_server_listens_where_its_flags_say() {
        for (line, expected) in [
            ("kube-apiserver", "[::]:6443"),
            ("kube-apiserver --secure-port 8443", "[::]:8443"),
            ("kube-apiserver --secure_port=1 --secure-port=8443", "[::]:8443"),
            ("kube-apiserver --secure-port=8443 --bind-address 10.0.0.1", "10.0.0.1:8443"),
            ("kube-apiserver --bind_address=fd00::1", "[fd00::1]:6443"),
            ("kube-apiserver --bind-address=0.0.0.0 --profiling --secure-port=7", "0.0.0.0:7"),
            ("/hyperkube apiserver --secure-port 0x10", "[::]:16"),
            ("/hyperkube kube-apiserver -- --secure-port=1", "[::]:6443"),
        ] {
            let Listener { address, port } = process(line).listener();
            assert_eq!(std::net::SocketAddr::new(address, port).to_string(), expected, "{line}");
        }
    }

    #[test]
    fn a_flag_has_its_value_whoever_writes_the_dashes() {
        for flag in ["audit-log-path", "--audit-log-path", "audit_log_path"] {
            assert_eq!(process("kube-apiserver --audit_log_path /l").value(flag).as_deref(), Some("/l"), "{flag}");
        }
    }

    #[test]
    fn a_process_is_the_manifests_in_whatever_form_its_words_are() {
        let words = ["--secure-port=8443".to_owned(), "--v=2".to_owned()];
        for (line, expected) in [
            ("kube-apiserver --secure-port=8443 --v=2", true),
            ("kube-apiserver --secure_port 8443 -v 2 --profiling", true),
            ("kube-apiserver --secure-port=1 --secure-port=8443 -v2", true),
            ("kube-apiserver --secure-port=8443 --secure-port=1 -v2", false),
            ("kube-apiserver --secure-port=8443", false),
            ("kube-apiserver --v --secure-port=8443", false),
        ] {
            assert_eq!(process(line).is(&Flags::new(), &words), expected, "{line}");
        }
    }
}
