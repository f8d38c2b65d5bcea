//! kubectl, as the cluster's administrator, for one API server of this node and no other that may stand behind the cluster's address.

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
/// How much longer kubectl may take for its own start and end.
const OVERHEAD: Duration = Duration::from_secs(5);

/// What makes a path unique, so that its event is known: a parameter that the API server passes over.
pub fn mark() -> String {
    let unique = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("kube-audit-bootstrap={unique:x}")
}

/// What comes of a question.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    Text(String),
    /// The API server doesn't answer, or not yet as it should: what kubectl said.
    Missing(String),
    /// kubectl itself or its credentials are of no use, which says nothing about the API server: what kubectl said.
    Unusable(String),
}

/// What kubectl's last line means, where it failed.
fn failure(line: String) -> Answer {
    const MISSING: [&str; 11] = [
        "Error from server",
        // The end of a message of many lines: /readyz lists what isn't ready.
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
    // Forbidden may be one that has just started, and knows no rights yet; Unauthorized is not.
    if has(&MISSING) && !has(&["Unauthorized", "x509:"]) { Answer::Missing(line) } else { Answer::Unusable(line) }
}

/// A way to ask one API server.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: &'static str,
    server: String,
}

impl Kubectl {
    /// For the API server that this process is.
    ///
    /// Errors: what is missing for that.
    pub fn of(process: &Process) -> Result<Kubectl> {
        let program = KUBECTLS.into_iter().find(|path| Path::new(path).exists());
        let program =
            program.with_context(|| format!("there is no kubectl, as none of {} is", KUBECTLS.join(", ")))?;
        ensure!(Path::new(ADMIN_CONF).exists(), "there is no {ADMIN_CONF}");
        let address = process.value("--advertise-address");
        let address = address.context("the API server was started without --advertise-address=...")?;
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        Ok(Kubectl { program, server: format!("https://{host}:{}", process.port()) })
    }

    /// Asks for a path.
    pub fn ask(&self, path: &str) -> Answer {
        self.get(path).map_or_else(|error| failure(format!("{error:#}")), Answer::Text)
    }

    /// The answer to a request for a path.
    pub fn get(&self, path: &str) -> Result<String> {
        self.get_within(ANSWER_LIMIT, path)
    }

    /// The same, where an answer may take so many whole seconds.
    pub fn get_within(&self, limit: Duration, path: &str) -> Result<String> {
        self.run(limit, &["get", "--raw", path], "")
    }

    /// Replaces the object at a path.
    ///
    /// Errors: among others a conflict, where `body` names a `resourceVersion` that isn't the object's any more.
    pub fn put(&self, path: &str, body: &str) -> Result<()> {
        self.run(ANSWER_LIMIT, &["replace", "--raw", path, "-f", "-"], body).map(drop)
    }

    /// A request for a path that goes on until the API server ends it, or somebody the program.
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
        // Nobody's habits: a kuberc file changes what options mean, from kubectl 1.34 on by default.
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
