//! kube-apiserver with etcd, natively, as the judge: started with the command line out of the manifest that the program
//! edited, its paths moved into a scratch folder, it must write the events that the policy asks for.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fs_err::{self as fs, File};
use serde_json::{Value, json};

use crate::case::{Setting, Verdict};
use crate::run::wait_for;
use crate::{interrupt, kubeadm, run, stale};

/// How long a server may take for what it is asked to do.
const LIMIT: Duration = Duration::from_secs(60);

/// What must be audited how: a rule for each level, and Metadata for the rest.
const POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  resources: [{group: '', resources: [secrets]}]
- level: Request
  resources: [{group: '', resources: [configmaps]}]
- level: RequestResponse
  resources: [{group: '', resources: [serviceaccounts]}]
- level: Metadata
";

/// `verb:` is no field of a rule. The API server drops it, and the rule matches every verb.
const MISSPELT: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: RequestResponse
  verb: [delete]
  resources: [{group: '', resources: [configmaps]}]
- level: Metadata
";

const EMPTY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []\n";

/// Runs all checks for a version.
///
/// # Errors
///
/// The harness's own: a scratch folder or a program can't be made.
pub fn judge(version: &str, setting: &Setting) -> Result<Verdict> {
    // Built before the checks: what can't be built is no failure of theirs.
    for name in ["kubeadm", "kube-apiserver", "kubectl"] {
        setting.components.kubernetes(version, name)?;
    }
    setting.components.etcd()?;
    let top = stale::run_dir(&format!("apiserver-{version}"))?;
    let judge = Judge { version: version.to_owned(), setting, top: top.path().to_owned() };
    // Each is a server's start, so the modes and what else it starts and audits with are of these, too.
    let checks: [(&str, Check<'_>); 6] = [
        ("levels", Judge::levels),
        ("rotation", Judge::rotation),
        ("truncation", Judge::truncation),
        ("stdout", Judge::stdout),
        ("misspelt verb", Judge::misspelt),
        ("no rules", Judge::no_rules),
    ];
    for (name, check) in checks {
        if let Err(error) = check(&judge) {
            interrupt::check()?;
            let logs = setting.logs("apiserver", version);
            fs::create_dir_all(&logs)?;
            run::copy(&judge.top, &logs)?;
            return Ok(Verdict::Failed(format!("{name}: {error:#}\nlogs: {}", logs.display())));
        }
        if setting.verbose {
            eprintln!("apiserver ({version}): OK {name}");
        }
    }
    Ok(Verdict::Passed(None))
}

/// A thing that must be so.
type Check<'a> = fn(&Judge<'a>) -> Result<()>;

struct Judge<'a> {
    version: String,
    setting: &'a Setting,
    top: PathBuf,
}

impl Judge<'_> {
    /// Events have the level that the policy asks for, and the log is its owner's alone.
    fn levels(&self) -> Result<()> {
        let node = self.node("levels", "", Some(POLICY))?;
        let server = node.start()?;
        for kind in ["secret generic", "configmap", "serviceaccount", "namespace"] {
            server.kubectl(&["create"], kind, "judge")?;
        }
        server.kubectl(&["delete", "--wait=false"], "namespace", "judge")?;
        for (resource, verb, level, bodies) in [
            ("configmaps", "create", "Request", (true, false)),
            ("serviceaccounts", "create", "RequestResponse", (true, true)),
            ("namespaces", "delete", "Metadata", (false, false)),
        ] {
            let event = server.event(|event| {
                event["verb"] == verb
                    && event["objectRef"]["resource"] == resource
                    && event["objectRef"]["name"] == "judge"
                    && event["stage"] == "ResponseComplete"
            })?;
            ensure!(event["level"] == level, "{verb} of {resource} has level {}, not {level}", event["level"]);
            let has = (event["requestObject"].is_object(), event["responseObject"].is_object());
            ensure!(has == bodies, "{verb} of {resource} at {level}: bodies {has:?}, not {bodies:?}");
        }
        // The namespace was deleted last: what would be there of the secret is there by now.
        let events = server.events()?;
        ensure!(
            events.iter().all(|event| event["objectRef"]["resource"] != "secrets"),
            "secrets are at level None"
        );
        ensure!(events.iter().all(|event| event["stage"] != "RequestReceived"), "RequestReceived is left out");
        mode_is(&node.log, 0o600)
    }

    /// The log rotates at its size, compresses, keeps to the number, and stays its owner's alone.
    fn rotation(&self) -> Result<()> {
        let config = "log: {mode: blocking, maxSize: 1, maxBackup: 2, compress: true}";
        let node = self.node("rotation", config, Some(POLICY))?;
        let server = node.start()?;
        let directory = node.log.parent().context("a log has a directory")?;
        let mut all = BTreeSet::new();
        let mut rotated = || -> Result<BTreeSet<PathBuf>> {
            let mut now = BTreeSet::new();
            for entry in fs::read_dir(directory)? {
                now.extend(Some(entry?.path()).filter(|path| *path != node.log));
            }
            // A compressed one is the same file as before.
            all.extend(now.iter().map(|path| path.to_string_lossy().trim_end_matches(".gz").to_owned()));
            Ok(now)
        };
        // About 13 events a MiB: four rotations.
        for round in 0..6 {
            let names: Vec<_> = (0..10).map(|number| format!("load-{round}-{number}")).collect();
            server.configmaps(&names, 80_000)?;
            rotated()?;
        }
        // The server writes on, and what is looked at here may be rotated out meanwhile: then look again.
        wait_for(node.limit, || {
            let now = rotated()?;
            let compressed = now.iter().all(|path| path.extension().is_some_and(|extension| extension == "gz"));
            ensure!(compressed && now.len() == 2, "rotated files: {now:?}");
            for path in &now {
                mode_is(path, 0o600)?;
                let text = run::output(Command::new("gzip").arg("-dc").arg(path))?;
                ensure!(text.len() <= 1024 * 1024, "{} has more than 1 MiB", path.display());
                ensure!(
                    text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
                    "not one event a line"
                );
            }
            Ok(())
        })?;
        ensure!(all.len() > 2, "it rotated {} times, so nothing had to go", all.len());
        mode_is(&node.log, 0o600)
    }

    /// An event of more than `maxEventSize` loses its bodies, and says so.
    fn truncation(&self) -> Result<()> {
        let config = "log: {mode: blocking-strict, truncate: {maxEventSize: 50000}}";
        let node = self.node("truncation", config, Some(POLICY))?;
        let server = node.start()?;
        server.configmaps(&["big".to_owned()], 60_000)?;
        let event = server.event(|event| event["objectRef"]["name"] == "big")?;
        ensure!(event["annotations"]["audit.k8s.io/truncated"] == "true", "the event isn't marked: {event}");
        ensure!(event["requestObject"].is_null(), "the event has its body all the same");
        Ok(())
    }

    /// `-` is the standard output. It goes without compression, without truncation, and with a throttle.
    fn stdout(&self) -> Result<()> {
        let config = "log: {path: '-', compress: false, truncate: {enabled: false}, batch: {throttleEnable: true, \
                      throttleQPS: 20, throttleBurst: 30}}";
        let mut node = self.node("stdout", config, Some(POLICY))?;
        node.log = node.top.join("stdout");
        let server = node.start()?;
        server.kubectl(&["create"], "configmap", "judge")?;
        server.event(|event| event["objectRef"]["name"] == "judge").map(drop)
    }

    /// What `policy check` says of a misspelt field is so: the server starts, and audits what the rule wasn't meant for.
    fn misspelt(&self) -> Result<()> {
        self.refused(MISSPELT, "verbs")?;
        let config = "log: {mode: batch, batch: {maxSize: 5, maxWait: 1s, bufferSize: 100}}";
        let node = self.node("misspelt", config, None)?;
        fs::write(&node.policy, MISSPELT)?;
        let server = node.start()?;
        server.kubectl(&["create"], "configmap", "judge")?;
        let event = server.event(|event| event["objectRef"]["name"] == "judge" && event["verb"] == "create")?;
        ensure!(event["level"] == "RequestResponse", "a create was taken for a delete: {event}");
        Ok(())
    }

    /// A policy without rules keeps the server from starting.
    fn no_rules(&self) -> Result<()> {
        self.refused(EMPTY, "rule")?;
        let node = self.node("no-rules", "", None)?;
        fs::write(&node.policy, EMPTY)?;
        match node.start() {
            Ok(_) => bail!("the server started without a rule"),
            Err(error) if error.to_string().contains("loaded illegal policy with 0 rules") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The program refuses a policy, and its reason has a word.
    fn refused(&self, policy: &str, word: &str) -> Result<()> {
        let path = self.top.join("refused.yaml");
        fs::write(&path, policy)?;
        let mut check = Command::new(&self.setting.program);
        let check = check.args(["policy", "check", "--kubernetes-version", &self.version]).arg(&path).output()?;
        let said = String::from_utf8_lossy(&check.stderr).replace(&*path.to_string_lossy(), "");
        ensure!(check.status.code() == Some(1), "policy check of this ends with {}:\n{policy}", check.status);
        ensure!(said.contains(word), "policy check refuses, but doesn't say why: {said}");
        Ok(())
    }

    /// A control plane's files, as kubeadm makes them and the program edits them, with a configuration and a policy.
    fn node(&self, name: &str, config: &str, policy: Option<&str>) -> Result<Node> {
        let top = self.top.join(name);
        let root = top.join("root");
        let (port, etcd_port) = (free_port()?, free_port()?);
        let api = kubeadm::api_version(&self.version).context("a kubeadm reads a version of its API")?;
        let cluster = format!(
            "apiVersion: {api}\nkind: InitConfiguration\nlocalAPIEndpoint: {{advertiseAddress: 192.0.2.1, bindPort: \
             {port}}}\n---\napiVersion: {api}\nkind: ClusterConfiguration\nkubernetesVersion: v{}\netcd: {{external: \
             {{endpoints: ['http://127.0.0.1:{etcd_port}']}}}}\napiServer: {{certSANs: [127.0.0.1]}}\n",
            self.version
        );
        let program_config = format!(
            "apiVersion: kube-audit-bootstrap/v1alpha1\nkind: AuditBootstrapConfiguration\n{config}\n{}",
            if policy.is_some() { "policy: {source: /root/policy.yaml}\n" } else { "" }
        );
        for (path, text) in [
            ("root/cluster.yaml", cluster.as_str()),
            ("root/policy.yaml", policy.unwrap_or_default()),
            ("etc/kube-audit-bootstrap/config.yaml", &program_config),
        ] {
            let path = root.join(path);
            fs::create_dir_all(path.parent().context("a file has a folder")?)?;
            fs::write(path, text)?;
        }
        let components = &self.setting.components;
        let program = components.kubernetes(&self.version, "kubeadm")?;
        // Keys take seconds to make, and are the same for every node here.
        let keys = self.top.join("keys");
        if keys.exists() {
            run::copy(&keys, &root.join("etc"))?;
        } else {
            for phase in [&["certs", "all"], &["kubeconfig", "all"]] {
                kubeadm::init_phase(&program, &root, "/root/cluster.yaml", phase)?;
            }
            fs::create_dir(&keys)?;
            run::output(Command::new("cp").arg("-a").arg(root.join("etc/kubernetes")).arg(&keys))?;
        }
        kubeadm::init_phase(&program, &root, "/root/cluster.yaml", &["control-plane", "apiserver"])?;
        run::output(Command::new(&self.setting.program).arg("apply").arg("--root").arg(&root))?;

        let manifest = fs::read_to_string(root.join("etc/kubernetes/manifests/kube-apiserver.yaml"))?;
        let pod: serde_yaml::Value = serde_yaml::from_str(&manifest)?;
        let command =
            pod["spec"]["containers"][0]["command"].as_sequence().context("a container has a command")?;
        let command = command.iter().skip(1).filter_map(serde_yaml::Value::as_str).map(|word| {
            word.replace("=/etc/kubernetes/", &format!("={}/etc/kubernetes/", root.display()))
                .replace("=/var/log/kubernetes/", &format!("={}/var/log/kubernetes/", root.display()))
        });
        let mut command: Vec<_> = command.collect();
        // The machine's network is not the node's: the server listens on this machine alone.
        command.push("--bind-address=127.0.0.1".to_owned());
        // From 1.29 on admin.conf is in a group that only `kubeadm init` gives rights to.
        let admin = ["super-admin.conf", "admin.conf"].map(|name| root.join("etc/kubernetes").join(name));
        let admin = admin.into_iter().find(|path| path.exists()).context("kubeadm made no admin.conf")?;
        Ok(Node {
            log: root.join("var/log/kubernetes/audit/audit.log"),
            policy: root.join("etc/kubernetes/audit-policy.yaml"),
            admin,
            server: components.kubernetes(&self.version, "kube-apiserver")?,
            kubectl: components.kubernetes(&self.version, "kubectl")?,
            etcd: components.etcd()?,
            command,
            port,
            etcd_port,
            limit: LIMIT * self.setting.patience(),
            top,
        })
    }
}

/// The files of a control plane and how to start it.
struct Node {
    top: PathBuf,
    log: PathBuf,
    policy: PathBuf,
    admin: PathBuf,
    server: PathBuf,
    kubectl: PathBuf,
    etcd: PathBuf,
    command: Vec<String>,
    port: u16,
    etcd_port: u16,
    /// How long is waited for anything.
    limit: Duration,
}

/// A control plane that runs.
struct Server<'a> {
    node: &'a Node,
    /// The first one is ended first.
    processes: Vec<Process>,
}

impl Node {
    /// Starts etcd and the API server, and waits until it is ready. An error has the server's last words.
    fn start(&self) -> Result<Server<'_>> {
        let mut etcd = Command::new(&self.etcd);
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        etcd.arg("--data-dir").arg(self.top.join("etcd")).arg("--unsafe-no-fsync");
        // It has no peers, and listens for them all the same.
        let peers = format!("http://127.0.0.1:{}", free_port()?);
        etcd.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        etcd.arg(format!("--initial-cluster=default={peers}"));
        etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        let etcd = Process::start(&mut etcd, &self.top.join("etcd.log"), &self.top.join("etcd.log"))?;
        let mut server = Command::new(&self.server);
        server.args(&self.command);
        let log = self.top.join("kube-apiserver.log");
        let server = Process::start(&mut server, &self.top.join("stdout"), &log)?;
        let mut running = Server { node: self, processes: vec![server, etcd] };
        let last_words = || run::tail(&fs::read_to_string(&log).unwrap_or_default(), 5);
        wait_for(self.limit, || {
            let ended = running.processes[0].0.try_wait()?;
            if ended.is_some() {
                return Ok(Err(anyhow::anyhow!("the API server ended:\n{}", last_words())));
            }
            // Who asks by kubectl before anybody listens takes time from the server's start.
            TcpStream::connect(("127.0.0.1", self.port))?;
            running.request(&["get", "--raw", "/readyz"])?;
            Ok(Ok(()))
        })
        .with_context(|| format!("the API server isn't ready:\n{}", last_words()))??;
        Ok(running)
    }
}

impl Server<'_> {
    fn request(&self, arguments: &[&str]) -> Result<String> {
        let server = format!("https://127.0.0.1:{}", self.node.port);
        let mut kubectl = Command::new(&self.node.kubectl);
        kubectl
            .arg("--kubeconfig")
            .arg(&self.node.admin)
            .args(["--server", &server, "--request-timeout=30s"])
            .args(arguments);
        run::output(kubectl.env("HOME", &self.node.top))
    }

    fn kubectl(&self, verb: &[&str], kind: &str, name: &str) -> Result<()> {
        let kind: Vec<_> = kind.split(' ').collect();
        self.request(&[verb, &kind, &[name]].concat()).map(drop)
    }

    /// Makes configmaps of a size, all by one kubectl, whose start takes longer than a request.
    fn configmaps(&self, names: &[String], size: usize) -> Result<()> {
        let path = self.node.top.join("configmaps.json");
        let text = "x".repeat(size);
        let items: Vec<_> = names
            .iter()
            .map(|name| {
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}})
            })
            .collect();
        fs::write(&path, json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
        self.request(&["create", "--validate=false", "-f", &path.to_string_lossy()]).map(drop)
    }

    /// The events that are in the log now.
    fn events(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(&self.node.log)?;
        // The last line may be in the making.
        let lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines).lines();
        lines.map(|line| serde_json::from_str(line).with_context(|| format!("no event: {line}"))).collect()
    }

    /// Waits for an event.
    fn event(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        wait_for(self.node.limit, || {
            let found = self.events()?.into_iter().find(&wanted);
            found.with_context(|| format!("the event isn't in {}", self.node.log.display()))
        })
    }
}

/// A program that runs beside this one, and ends with it.
struct Process(Child);

impl Process {
    fn start(command: &mut Command, stdout: &Path, stderr: &Path) -> Result<Self> {
        let open = |path: &Path| File::options().create(true).append(true).open(path).map(File::into_file);
        let mut with_me = run::bound(command.get_program());
        with_me.args(command.get_args()).stdin(Stdio::null()).stdout(open(stdout)?).stderr(open(stderr)?);
        Ok(Self(with_me.spawn().with_context(|| format!("can't run {:?}", command.get_program()))?))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn mode_is(path: &Path, wanted: u32) -> Result<()> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    ensure!(mode == wanted, "{} has mode {mode:04o}, not {wanted:04o}", path.display());
    Ok(())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
