//! Runs kubectl as the cluster's administrator, against one API server of this node, not the cluster's shared address.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::process;
use crate::facts::server::Process;
use crate::path::ADMIN_CONF;

const KUBECTLS: [&str; 3] = ["/usr/bin/kubectl", "/usr/local/bin/kubectl", "/opt/bin/kubectl"];

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How much longer kubectl may take to start and to end.
const OVERHEAD: Duration = Duration::from_secs(5);

/// A query parameter that makes a path unique, so that its audit event can be found. The API server ignores it.
pub fn mark() -> String {
    let unique = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("kube-audit-bootstrap={unique:x}")
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Text(String),
    /// The API server doesn't answer, or is not ready: kubectl's last line.
    Missing(String),
    /// kubectl itself or its credentials don't work, which says nothing about the API server: kubectl's last line.
    Unusable(String),
}

/// What kubectl's last line means, after it failed.
fn failure(line: String) -> Answer {
    const MISSING: [&str; 11] = [
        "Error from server",
        // The last line of a long message: /readyz lists the checks that fail.
        "has prevented the request",
        "an error on the server",
        "connection to the server",
        "Unable to connect",
        "did not end within",
        "timed out",
        "timeout",
        "deadline exceeded",
        "connection refused",
        "EOF",
    ];
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    // An API server that has just started has no roles yet, and answers Forbidden. Unauthorized is different.
    if has(&MISSING) && !has(&["Unauthorized", "x509:"]) { Answer::Missing(line) } else { Answer::Unusable(line) }
}

/// Sends requests to one API server.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: &'static str,
    server: String,
}

impl Kubectl {
    /// For the API server of this process.
    ///
    /// # Errors
    ///
    /// The kubectl program, its credentials or the API server's address is missing.
    pub fn of(process: &Process) -> Result<Kubectl> {
        let program = KUBECTLS.into_iter().find(|path| Path::new(path).exists());
        let program = program
            .with_context(|| format!("kubectl is not installed: there is none of {}", KUBECTLS.join(", ")))?;
        ensure!(Path::new(ADMIN_CONF).exists(), "there is no {ADMIN_CONF}");
        let address = process.value("advertise-address");
        let address = address.context("the API server was started without --advertise-address=...")?;
        let host = if address.contains(':') { format!("[{address}]") } else { address };
        Ok(Kubectl { program, server: format!("https://{host}:{}", process.listener().port) })
    }

    /// Requests a path.
    pub fn ask(&self, path: &str) -> Answer {
        self.get(path).map_or_else(|error| failure(format!("{error:#}")), Answer::Text)
    }

    /// The body of the answer to a request for a path, within 5 seconds.
    pub fn get(&self, path: &str) -> Result<String> {
        self.get_within(ANSWER_LIMIT, path)
    }

    /// The same within `limit`, in whole seconds.
    pub fn get_within(&self, limit: Duration, path: &str) -> Result<String> {
        self.run(limit, &["get", "--raw", path], "")
    }

    /// Replaces the object at a path.
    ///
    /// # Errors
    ///
    /// Among others a conflict, if `body` has a `resourceVersion` that is not the present one.
    pub fn put(&self, path: &str, body: &str) -> Result<()> {
        self.run(ANSWER_LIMIT, &["replace", "--raw", path, "-f", "-"], body).map(drop)
    }

    /// A request that continues until the API server ends it, or the caller ends the command.
    pub fn watch(&self, path: &str) -> Command {
        self.command(&["get", "--raw", path])
    }

    fn run(&self, limit: Duration, words: &[&str], input: &str) -> Result<String> {
        let timeout = format!("{}s", limit.as_secs());
        let words = [&["--request-timeout", &timeout], words].concat();
        process::output(self.command(&words), input, limit + OVERHEAD)
    }

    fn command(&self, words: &[&str]) -> Command {
        let options = ["--kubeconfig", ADMIN_CONF, "--server", &self.server];
        let mut command = process::command(self.program, &[&options, words].concat());
        // A kuberc file can change the meaning of options; kubectl 1.34 and later reads it by default.
        command.env("KUBECTL_KUBERC", "false");
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_tells_an_api_server_that_is_away_from_a_kubectl_that_is_of_no_use() {
        for (line, missing) in [
            (
                "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?",
                true,
            ),
            ("Unable to connect to the server: net/http: TLS handshake timeout", true),
            (
                "Error from server (InternalError): an error on the server (\"[+]ping ok\") has prevented the request",
                true,
            ),
            ("Error from server (Timeout): the server was unable to return a response in the time allotted", true),
            (
                "/usr/bin/kubectl: failed with exit status: 1: readyz check failed\") has prevented the request from succeeding",
                true,
            ),
            ("/usr/bin/kubectl: did not end within 10 s", true),
            ("Unable to connect to the server: dial tcp 10.0.0.1:6443: connect: connection refused", true),
            ("error: You must be logged in to the server (Unauthorized)", false),
            ("Error from server (Forbidden): forbidden: User \"x\" cannot get path \"/readyz\"", true),
            (
                "Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by unknown authority",
                false,
            ),
            ("error: --raw and --output are mutually exclusive", false),
            ("/usr/bin/kubectl: failed with signal: 11 (SIGSEGV)", false),
        ] {
            assert_eq!(matches!(failure(line.to_owned()), Answer::Missing(_)), missing, "{line}");
        }
    }
}
