//! Runs kubectl against one API server of this node, not the cluster's shared address: as the cluster's administrator,
//! and where that is of no use, with the client certificates that the node has for its API server and its kubelet.

use std::cell::OnceCell;
use std::fmt;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, anyhow, bail};

use super::process;
use crate::facts::asker::Asker;
use crate::facts::server::Process;
use crate::path::ADMIN_CONF;
use crate::yaml::Node;
use crate::yaml::tree::MAX_BYTES;

const KUBECTLS: [&str; 3] = ["/usr/bin/kubectl", "/usr/local/bin/kubectl", "/opt/bin/kubectl"];

/// The kubelet's client certificate, and its key in the same file.
const KUBELET_CLIENT: &str = "/var/lib/kubelet/pki/kubelet-client-current.pem";

/// How long an answer may take.
const ANSWER_LIMIT: Duration = Duration::from_secs(5);
/// How much longer kubectl may take to start and to end, if it runs no plugin. A plugin may wait for somebody who is not
/// there, so it gets no more time than an answer.
const OVERHEAD: Duration = Duration::from_secs(5);

/// How often kubectl may fail to end in time before the program asks it no more.
const PATIENCE: usize = 2;

/// How long kubectl may run until it is found out whether it hangs. On a busy machine, it takes seconds to start.
const SLOW: Duration = ANSWER_LIMIT;

/// What this run has found out about kubectl and its credentials. It only saves time.
static STUCK: AtomicUsize = AtomicUsize::new(0);
/// kubectl ended in time, once.
static ENDS: AtomicBool = AtomicBool::new(false);
/// The askers that were of no use when another one had an answer, as bits: they are asked last.
static OF_NO_USE: AtomicUsize = AtomicUsize::new(0);
/// The administrator's plugin did not end in time: it is not run again.
static WAITS: AtomicBool = AtomicBool::new(false);

/// A query parameter that makes a path unique, so that its audit event can be found. The API server ignores it.
pub fn mark() -> String {
    let unique = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos();
    format!("kube-audit-bootstrap={unique:x}")
}

/// The result of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The text, and who has asked.
    Text(String, Asker),
    /// The API server doesn't answer, or is not ready: kubectl's last line.
    Missing(String),
    /// kubectl itself or all credentials don't work, which says nothing about the API server: kubectl's last line.
    Unusable(String),
}

/// That the API server took the connection, and kubectl ended too late.
#[derive(Debug)]
struct NoAnswer(String);

impl fmt::Display for NoAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NoAnswer {}

/// What kubectl's last line means, after it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Failure {
    /// The API server doesn't answer, or is not ready.
    Away,
    /// It knows who asks, but doesn't let this one ask. An API server that has just started has no roles yet.
    Forbidden,
    /// The asker is of no use.
    Asker,
}

/// The words of kubectl where the API server answers, and what it says is no good news. The last line of a long message
/// is enough: /readyz lists the checks that fail.
const ANSWERS: [&str; 3] = ["Error from server", "has prevented the request", "an error on the server"];

fn failure(line: &str) -> Failure {
    const AWAY: [&str; 9] = [
        "connection to the server",
        "Unable to connect",
        "timed out",
        "timeout",
        "Timeout",
        "request canceled",
        "deadline exceeded",
        "connection refused",
        "EOF",
    ];
    // A plugin, a proxy, and a certificate.
    const ASKER: [&str; 6] = ["Unauthorized", "x509:", "tls:", "getting credentials", "exec:", "proxyconnect"];
    let has = |words: &[&str]| words.iter().any(|word| line.contains(word));
    match () {
        () if has(&ASKER) => Failure::Asker,
        () if has(&["(Forbidden)"]) => Failure::Forbidden,
        () if has(&ANSWERS) || has(&AWAY) => Failure::Away,
        () => Failure::Asker,
    }
}

/// Sends requests to one API server, with the credentials of one asker.
#[derive(Clone, Debug)]
pub struct Kubectl {
    program: &'static str,
    asker: Asker,
    options: Vec<String>,
    /// It runs no plugin, and uses no proxy.
    is_direct: bool,
}

impl Kubectl {
    /// For the API server of this process: the best asker.
    ///
    /// # Errors
    ///
    /// As [`Kubectl::all`].
    pub fn of(process: &Process) -> Result<Kubectl> {
        Kubectl::all(process)?.into_iter().next().context("there are no credentials to ask the API server with")
    }

    /// For the API server of this process, one for each asker: those that run no program and use no proxy first.
    ///
    /// # Errors
    ///
    /// The kubectl program, all credentials or the API server's address is missing.
    fn all(process: &Process) -> Result<Vec<Kubectl>> {
        let program = KUBECTLS.into_iter().find(|path| Path::new(path).exists());
        let program = program
            .with_context(|| format!("kubectl is not installed: there is none of {}", KUBECTLS.join(", ")))?;
        if is_stuck() {
            bail!("{program}: it does not end, so it is not asked again");
        }
        let address = process.value("advertise-address");
        let address = address.context("the API server was started without --advertise-address=...")?;
        let host = if address.contains(':') { format!("[{address}]") } else { address };
        let server = format!("https://{host}:{}", process.listener().port);
        let mut all: Vec<_> = Asker::ALL
            .into_iter()
            .filter(|asker| *asker != Asker::Admin || !WAITS.load(Ordering::Relaxed))
            .filter_map(|asker| {
                let (credentials, is_direct) = credentials(asker, process)?;
                let options = [vec!["--kubeconfig".to_owned()], credentials].concat();
                let (kubeconfig, more) = options.split_at(2);
                let server = ["--server".to_owned(), server.clone()];
                Some(Kubectl { program, asker, options: [kubeconfig, &server, more].concat(), is_direct })
            })
            .collect();
        if all.is_empty() {
            bail!("there is no {ADMIN_CONF}, and no client certificate of the API server or the kubelet");
        }
        all.sort_by_key(|kubectl| (is_of_no_use(kubectl.asker), !kubectl.is_direct));
        Ok(all)
    }

    /// The body of the answer to a request for a path, within `limit`, in whole seconds.
    fn get_within(&self, limit: Duration, path: &str) -> Result<String> {
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
        let asked = limit;
        let limit = if self.is_direct { limit + OVERHEAD } else { ANSWER_LIMIT };
        // A kubectl that hangs whatever it is asked is not waited for as long as an API server.
        let (start, hangs) = (Instant::now(), OnceCell::new());
        let asks_alone = || {
            let alone = process::command(self.program, &["version", "--client"]);
            process::output(alone, "", limit.saturating_sub(SLOW)).is_err_and(|why| process::is_late(&why))
        };
        let output = process::output_unless(self.command(&words), input, limit, &|| {
            start.elapsed() >= SLOW && *hangs.get_or_init(asks_alone)
        });
        let Err(why) = &output else {
            ENDS.store(true, Ordering::Relaxed);
            return output;
        };
        if !process::is_late(why) {
            ENDS.store(true, Ordering::Relaxed);
            return output;
        }
        if !self.is_direct {
            WAITS.store(true, Ordering::Relaxed);
            return output;
        }
        // kubectl also ends late if the API server takes the connection and answers nothing. Then it is the API server
        // that does not answer. Without a server to ask, kubectl ends at once.
        if hangs.get() == Some(&true) {
            STUCK.fetch_add(1, Ordering::Relaxed);
            return output;
        }
        Err(NoAnswer(format!("{}: no answer within {} s", self.program, asked.as_secs())).into())
    }

    /// What a failure says of the API server. A plugin or a proxy has errors of its own, in any words.
    fn failure(&self, why: &anyhow::Error) -> Failure {
        match self.is_direct && !process::is_late(why) {
            true if why.is::<NoAnswer>() => Failure::Away,
            true => failure(&format!("{why:#}")),
            false => Failure::Asker,
        }
    }

    fn command(&self, words: &[&str]) -> Command {
        let options: Vec<_> = self.options.iter().map(String::as_str).collect();
        let mut command = process::command(self.program, &[&options, words].concat());
        // A kuberc file can change the meaning of options; kubectl 1.34 and later reads it by default.
        command.env("KUBECTL_KUBERC", "false");
        command
    }
}

/// Requests a path of the API server of this process.
pub fn ask(process: &Process, path: &str) -> Answer {
    match get(process, ANSWER_LIMIT, path) {
        Ok((text, kubectl)) => Answer::Text(text, kubectl.asker),
        Err((why, Failure::Asker)) => Answer::Unusable(format!("{why:#}")),
        Err((why, _)) => Answer::Missing(format!("{why:#}")),
    }
}

/// Why the API server of this process gives no answer at all: the last line of who asked. `None` if it gives one, such
/// as that it is not ready, or if nobody can ask it.
pub fn silence(process: &Process) -> Option<String> {
    match ask(process, "/livez") {
        Answer::Missing(why) if !ANSWERS.iter().any(|words| why.contains(words)) => Some(why),
        _ => None,
    }
}

/// The body of the answer to a request for a path, from whoever gets one within `limit`, in whole seconds.
///
/// # Errors
///
/// The API server does not answer, or nobody can ask it.
pub fn read(process: &Process, limit: Duration, path: &str) -> Result<String> {
    get(process, limit, path).map(|(text, _)| text).map_err(|(why, _)| why)
}

/// The body of the answer to a request of the administrator for a path, and the kubectl that may then write there.
///
/// # Errors
///
/// The API server does not answer, or admin.conf is of no use.
pub fn read_as_admin(process: &Process, path: &str) -> Result<(String, Kubectl)> {
    let all = Kubectl::all(process)?;
    let admin = all.into_iter().find(|kubectl| kubectl.asker == Asker::Admin);
    let admin = admin.with_context(|| match WAITS.load(Ordering::Relaxed) {
        true => format!("{ADMIN_CONF}: its plugin does not end"),
        false => format!("there is no {ADMIN_CONF}"),
    })?;
    Ok((admin.get_within(ANSWER_LIMIT, path)?, admin))
}

fn get(process: &Process, limit: Duration, path: &str) -> Result<(String, Kubectl), (anyhow::Error, Failure)> {
    let all = Kubectl::all(process).map_err(|why| (why, Failure::Asker))?;
    try_each(all, |kubectl| {
        kubectl.get_within(limit, path).map_err(|why| {
            let failure = kubectl.failure(&why);
            (why, failure)
        })
    })
}

/// Lets one after the other ask, until one knows whether the API server answers.
fn try_each(
    all: Vec<Kubectl>,
    ask: impl Fn(&Kubectl) -> Result<String, (anyhow::Error, Failure)>,
) -> Result<(String, Kubectl), (anyhow::Error, Failure)> {
    let (mut forbidden, mut useless, mut tried) = (None, None, Vec::new());
    for kubectl in all {
        match ask(&kubectl) {
            Ok(text) => {
                tried.into_iter().for_each(find_of_no_use);
                return Ok((text, kubectl));
            }
            Err((why, Failure::Away)) => return Err((why, Failure::Away)),
            Err((why, Failure::Forbidden)) => {
                forbidden.get_or_insert(why);
            }
            Err((why, Failure::Asker)) => {
                log::info!("{} can't ask the API server: {why:#}", kubectl.asker.word());
                tried.push(kubectl.asker);
                useless.get_or_insert(why);
            }
        }
        if is_stuck() {
            break;
        }
    }
    match (forbidden, useless) {
        (Some(why), _) => Err((why, Failure::Forbidden)),
        (None, Some(why)) => Err((why, Failure::Asker)),
        (None, None) => Err((anyhow!("there are no credentials to ask with"), Failure::Asker)),
    }
}

/// Does kubectl hang? A busy machine lets one that has ended before be late, once.
fn is_stuck() -> bool {
    STUCK.load(Ordering::Relaxed) >= if ENDS.load(Ordering::Relaxed) { PATIENCE } else { 1 }
}

fn bit(asker: Asker) -> usize {
    1 << asker as usize
}

fn is_of_no_use(asker: Asker) -> bool {
    OF_NO_USE.load(Ordering::Relaxed) & bit(asker) != 0
}

fn find_of_no_use(asker: Asker) {
    OF_NO_USE.fetch_or(bit(asker), Ordering::Relaxed);
}

/// kubectl's options for the credentials of an asker, which begin with the kubeconfig, and whether it then connects
/// without a plugin and a proxy. `None` if there are none.
fn credentials(asker: Asker, process: &Process) -> Option<(Vec<String>, bool)> {
    // The files that the API server names are those in its container.
    let in_container = |flag: &str| {
        let path = process.value(flag).filter(|path| path.starts_with('/'))?;
        let path = format!("/proc/{}/root{path}", process.pid);
        Path::new(&path).is_file().then_some(path)
    };
    let (certificate, key) = match asker {
        Asker::Admin => {
            // kubectl would wait for a FIFO, and read a device without an end.
            let file = fs::metadata(ADMIN_CONF).ok().filter(fs::Metadata::is_file)?;
            let is_readable = file.len() <= MAX_BYTES as u64;
            let text = is_readable.then(|| fs::read_to_string(ADMIN_CONF).ok()).flatten();
            return Some((vec![ADMIN_CONF.to_owned()], text.is_some_and(|text| is_direct(&text))));
        }
        Asker::ApiServer => (in_container("kubelet-client-certificate")?, in_container("kubelet-client-key")?),
        Asker::Kubelet => {
            Path::new(KUBELET_CLIENT).is_file().then(|| (KUBELET_CLIENT.to_owned(), KUBELET_CLIENT.to_owned()))?
        }
    };
    // Only the server that has exactly this certificate is this API server, whoever signed it.
    let authority = in_container("tls-cert-file").or_else(|| in_container("client-ca-file"))?;
    let options = ["/dev/null", "--certificate-authority", &authority, "--client-certificate", &certificate];
    let options = options.map(str::to_owned).into_iter().chain(["--client-key".to_owned(), key]);
    Some((options.collect(), true))
}

/// Whether kubectl connects to the API server itself with a kubeconfig: its current user has a certificate or a token,
/// and no plugin, and its cluster has no proxy.
fn is_direct(kubeconfig: &str) -> bool {
    let Ok((documents, _)) = crate::yaml::parse_lenient(kubeconfig) else { return kubeconfig.trim().is_empty() };
    let Some(root) = documents.first().map(|document| &document.root) else { return true };
    let entry = |list: &str, name: &str, kind: &str| -> Option<Node> {
        let items = root.get(list).and_then(Node::items).unwrap_or_default();
        let named = items.iter().find(|item| item.get("name").and_then(Node::scalar) == Some(name))?;
        named.get(kind).cloned()
    };
    let scalar = |node: &Node, name: &str| node.get(name).and_then(Node::scalar).map(str::to_owned);
    let current = root.get("current-context").and_then(Node::scalar).unwrap_or_default();
    let Some(context) = entry("contexts", current, "context") else { return false };
    let find = |list: &str, kind: &str| entry(list, &scalar(&context, kind)?, kind);
    let (Some(cluster), Some(user)) = (find("clusters", "cluster"), find("users", "user")) else { return false };
    cluster.get("proxy-url").is_none() && user.get("exec").is_none() && user.get("auth-provider").is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kubectl_tells_an_api_server_that_is_away_from_an_asker_that_is_of_no_use() {
        use Failure::{Asker, Away, Forbidden};
        for (line, wanted) in [
            (
                "The connection to the server 10.0.0.1:6443 was refused - did you specify the right host or port?",
                Away,
            ),
            ("Unable to connect to the server: net/http: TLS handshake timeout", Away),
            (
                "Error from server (InternalError): an error on the server (\"[+]ping ok\") has prevented the request",
                Away,
            ),
            ("Error from server (Timeout): the server was unable to return a response in the time allotted", Away),
            (
                "/usr/bin/kubectl: failed with exit status: 1: readyz check failed\") has prevented the request from succeeding",
                Away,
            ),
            ("Unable to connect to the server: dial tcp 10.0.0.1:6443: connect: connection refused", Away),
            ("Error from server (Forbidden): forbidden: User \"x\" cannot get path \"/readyz\"", Forbidden),
            ("error: You must be logged in to the server (Unauthorized)", Asker),
            (
                "Unable to connect to the server: tls: failed to verify certificate: x509: certificate signed by unknown authority",
                Asker,
            ),
            (
                "Unable to connect to the server: getting credentials: exec: executable /no/such failed with exit code 1",
                Asker,
            ),
            ("Unable to connect to the server: proxyconnect tcp: dial tcp 192.0.2.1:3128: i/o timeout", Asker),
            ("Unable to connect to the server: remote error: tls: expired certificate", Asker),
            (
                "error: Get \"https://10.0.0.1:6443/readyz\": net/http: request canceled (Client.Timeout exceeded)",
                Away,
            ),
            ("error: --raw and --output are mutually exclusive", Asker),
            ("/usr/bin/kubectl: failed with signal: 11 (SIGSEGV)", Asker),
            (
                "error loading config file \"/etc/kubernetes/admin.conf\": yaml: control characters are not allowed",
                Asker,
            ),
        ] {
            assert_eq!(failure(line), wanted, "{line}");
        }
    }

    /// Whatever words they have.
    #[test]
    fn a_kubectl_that_does_not_end_is_told_from_an_api_server_that_does_not_answer() {
        let kubectl = |is_direct| Kubectl { program: "/bin/sh", asker: Asker::Admin, options: vec![], is_direct };
        let script = process::command("/bin/sh", &["-c", "echo Timeout >&2; exec sleep 60"]);
        let late = process::output(script, "", Duration::from_millis(500)).unwrap_err();
        let silent = || NoAnswer("Unauthorized".to_owned()).into();
        assert_eq!([true, false].map(|direct| kubectl(direct).failure(&late)), [Failure::Asker; 2]);
        assert_eq!(kubectl(true).failure(&silent()), Failure::Away);
        assert_eq!(kubectl(false).failure(&silent()), Failure::Asker);
    }

    fn kubeconfig(cluster: &str, user: &str) -> String {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- name: c\n  context: {{cluster: k, user: u}}\n\
             clusters:\n- name: other\n  cluster: {{proxy-url: x}}\n- name: k\n  cluster: {{server: s{cluster}}}\n\
             users:\n- name: u\n  user: {{{user}}}\n"
        )
    }

    #[test]
    fn a_plugin_and_a_proxy_are_seen_in_a_kubeconfig() {
        for (text, wanted) in [
            (kubeconfig("", "client-certificate-data: x"), true),
            (kubeconfig("", "token: x"), true),
            (kubeconfig(", proxy-url: http://x", "token: x"), false),
            (kubeconfig("", "exec: {command: x}"), false),
            (kubeconfig("", "auth-provider: {name: oidc}"), false),
            (kubeconfig("", "token: x").replace("current-context: c", "current-context: d"), false),
            (kubeconfig("", "token: x").replace("- name: u", "- name: v"), false),
            ("\u{1}".to_owned(), false),
            // kubectl then has the options alone.
            (String::new(), true),
        ] {
            assert_eq!(is_direct(&text), wanted, "{text}");
        }
    }

    #[test]
    fn one_asker_after_the_other_is_tried_until_the_api_server_answers() {
        let kubectl = |asker| Kubectl { program: "/bin/false", asker, options: vec![], is_direct: true };
        let all = || Asker::ALL.map(kubectl).into_iter().collect::<Vec<_>>();
        let ok = || Ok("ok");
        let fails = |failure| Err(failure);
        for (answers, wanted) in [
            ([ok(), ok(), ok()], Ok(Asker::Admin)),
            ([fails(Failure::Asker), ok(), ok()], Ok(Asker::ApiServer)),
            ([fails(Failure::Asker), fails(Failure::Asker), ok()], Ok(Asker::Kubelet)),
            // The API server is not asked twice whether it is there.
            ([fails(Failure::Away), ok(), ok()], Err(Failure::Away)),
            ([fails(Failure::Asker), fails(Failure::Away), ok()], Err(Failure::Away)),
            ([fails(Failure::Forbidden), ok(), ok()], Ok(Asker::ApiServer)),
            (
                [fails(Failure::Forbidden), fails(Failure::Forbidden), fails(Failure::Asker)],
                Err(Failure::Forbidden),
            ),
            ([fails(Failure::Asker), fails(Failure::Asker), fails(Failure::Asker)], Err(Failure::Asker)),
        ] {
            let answer = |kubectl: &Kubectl| match answers[kubectl.asker as usize] {
                Ok(text) => Ok(text.to_owned()),
                Err(failure) => Err((anyhow!("why"), failure)),
            };
            let found = try_each(all(), answer).map(|(_, kubectl)| kubectl.asker).map_err(|(_, failure)| failure);
            assert_eq!(found, wanted, "{answers:?}");
        }
    }
}
