//! kubectl, as the cluster's administrator, for one API server of this node and no other that may stand behind the cluster's address.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, ensure};

use super::{apiserver, process};
use crate::proof::Process;

/// Who may ask everything, and who asks.
pub const ADMIN_CONF: &str = "/etc/kubernetes/admin.conf";
const KUBECTLS: [&str; 3] = ["/usr/bin/kubectl", "/usr/local/bin/kubectl", "/opt/bin/kubectl"];

/// How long an answer may take, to kubectl and to us.
const REQUEST_TIMEOUT: &str = "5s";
const LIMIT: Duration = Duration::from_secs(10);

/// What makes a path unique, so that its event is known: a parameter that the API server passes over.
pub fn mark() -> String {
    let unique = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("kube-audit-bootstrap={unique:x}")
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
        let address = apiserver::value(process, "--advertise-address");
        let address = address.context("the API server was started without --advertise-address=...")?;
        let host = if address.contains(':') { format!("[{address}]") } else { address.to_owned() };
        Ok(Kubectl { program, server: format!("https://{host}:{}", apiserver::port(process)) })
    }

    /// The answer to a request for a path.
    pub fn get(&self, path: &str) -> Result<String> {
        process::output(self.command(&["--request-timeout", REQUEST_TIMEOUT, "get", "--raw", path]), "", LIMIT)
    }

    /// Replaces the object at a path.
    ///
    /// Errors: among others a conflict, where `body` names a `resourceVersion` that isn't the object's any more.
    pub fn put(&self, path: &str, body: &str) -> Result<()> {
        let words = ["--request-timeout", REQUEST_TIMEOUT, "replace", "--raw", path, "-f", "-"];
        process::output(self.command(&words), body, LIMIT).map(drop)
    }

    /// A request for a path that goes on until the API server ends it, or somebody the program.
    pub fn watch(&self, path: &str) -> Command {
        self.command(&["get", "--raw", path])
    }

    fn command(&self, words: &[&str]) -> Command {
        process::command(self.program, &[&["--kubeconfig", ADMIN_CONF, "--server", &self.server], words].concat())
    }
}
