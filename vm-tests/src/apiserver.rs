//! kube-apiserver as the judge: it must write the events that the policy asks for. It runs on this machine, with an
//! etcd, and with the command line of the manifest that the program edited. The paths are moved into a scratch folder.

use std::collections::BTreeSet;
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use fs_err::{self as fs, File};
use serde_json::{Value, json};

use crate::kubeadm::run_init_phase;
use crate::run::wait_for;
use crate::setting::{Invocation, Setting, Verdict};
use crate::{components, interrupt, run, stale};

/// How long a server may take for one request.
const LIMIT: Duration = Duration::from_secs(60);

/// A policy with a rule for each level, and Metadata for the rest.
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

/// A policy with `verb:`, which is no field of a rule. The API server drops it, and the rule matches every verb.
const MISSPELT: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
rules:
- level: RequestResponse
  verb: [delete]
  resources: [{group: '', resources: [configmaps]}]
- level: Metadata
";

/// A policy without rules.
const EMPTY: &str = "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules: []\n";

/// Runs all checks for a version of Kubernetes.
///
/// # Errors
///
/// The harness's own: a scratch folder or a program can't be made. A check that fails is a [`Verdict`].
pub fn judge(version: &str, invocation: &Invocation) -> Result<Verdict> {
    let setting = &invocation.setting;
    // Built before the checks: a program that can't be built is no failure of theirs.
    for name in ["kubeadm", "kube-apiserver", "kubectl"] {
        setting.components.provide_kubernetes(version, name)?;
    }
    setting.components.provide_etcd()?;
    let top = stale::make_run_dir(&format!("apiserver-{version}"))?;
    let judge = ApiServerJudge { version: version.to_owned(), setting, top: top.path().to_owned() };
    // Each check starts a server. Between them, they start it with every mode of the log.
    let checks: [(&str, Check<'_>); 6] = [
        ("levels", ApiServerJudge::check_levels),
        ("rotation", ApiServerJudge::check_rotation),
        ("truncation", ApiServerJudge::check_truncation),
        ("stdout", ApiServerJudge::check_stdout),
        ("misspelt verb", ApiServerJudge::check_misspelt_verb),
        ("no rules", ApiServerJudge::check_no_rules),
    ];
    for (name, check) in checks {
        if let Err(error) = check(&judge) {
            interrupt::check()?;
            let logs = invocation.logs("apiserver", version);
            fs::create_dir_all(&logs)?;
            run::copy(&judge.top, &logs)?;
            return Ok(Verdict::Failed(format!("{name}: {error:#}\nlogs: {}", logs.display())));
        }
        if invocation.is_verbose {
            eprintln!("apiserver ({version}): OK {name}");
        }
    }
    Ok(Verdict::Passed { events: None })
}

type Check<'a> = fn(&ApiServerJudge<'a>) -> Result<()>;

/// Which parts of a request an event has.
#[derive(Debug, PartialEq, Eq)]
struct Bodies {
    request: bool,
    response: bool,
}

struct ApiServerJudge<'a> {
    version: String,
    setting: &'a Setting,
    top: PathBuf,
}

impl ApiServerJudge<'_> {
    /// Events have the level that the policy asks for, and only the owner may read the log.
    fn check_levels(&self) -> Result<()> {
        let plane = self.make_plane("levels", "", Some(POLICY))?;
        let server = plane.start()?;
        for kind in ["secret generic", "configmap", "serviceaccount", "namespace"] {
            server.change(&["create"], kind, "judge")?;
        }
        server.change(&["delete", "--wait=false"], "namespace", "judge")?;
        for (resource, verb, level, bodies) in [
            ("configmaps", "create", "Request", Bodies { request: true, response: false }),
            ("serviceaccounts", "create", "RequestResponse", Bodies { request: true, response: true }),
            ("namespaces", "delete", "Metadata", Bodies { request: false, response: false }),
        ] {
            let event = server.wait_for_event(|event| {
                event["verb"] == verb
                    && event["objectRef"]["resource"] == resource
                    && event["objectRef"]["name"] == "judge"
                    && event["stage"] == "ResponseComplete"
            })?;
            ensure!(event["level"] == level, "{verb} of {resource} has level {}, not {level}", event["level"]);
            let found = Bodies {
                request: event["requestObject"].is_object(),
                response: event["responseObject"].is_object(),
            };
            ensure!(found == bodies, "{verb} of {resource} at {level} has {found:?}, not {bodies:?}");
        }
        // The namespace was deleted last, so an event about the secret would be in the log by now.
        let events = server.read_events()?;
        ensure!(
            events.iter().all(|event| event["objectRef"]["resource"] != "secrets"),
            "the log has an event about a secret, whose level is None"
        );
        ensure!(
            events.iter().all(|event| event["stage"] != "RequestReceived"),
            "the log has an event of the stage RequestReceived, which the policy omits"
        );
        check_mode(&plane.log, 0o600)
    }

    /// The log rotates at its size, compresses old files, keeps as many as it should, and stays its owner's alone.
    fn check_rotation(&self) -> Result<()> {
        let config = "log: {mode: blocking, maxSize: 1, maxBackup: 2, compress: true}";
        let plane = self.make_plane("rotation", config, Some(POLICY))?;
        let server = plane.start()?;
        let directory = plane.log.parent().context("the log has no directory")?;
        let mut all = BTreeSet::new();
        let mut rotated = || -> Result<BTreeSet<PathBuf>> {
            let mut now = BTreeSet::new();
            for entry in fs::read_dir(directory)? {
                now.extend(Some(entry?.path()).filter(|path| *path != plane.log));
            }
            // A compressed file is the same file as before.
            all.extend(now.iter().map(|path| path.to_string_lossy().trim_end_matches(".gz").to_owned()));
            Ok(now)
        };
        // A MiB holds about 13 events, so these are four rotations.
        for round in 0..6 {
            let names: Vec<_> = (0..10).map(|number| format!("load-{round}-{number}")).collect();
            server.create_configmaps(&names, 80_000)?;
            rotated()?;
        }
        // The server goes on writing, and may remove a file while it is checked here. Then the check repeats.
        wait_for(plane.limit, || {
            let now = rotated()?;
            let compressed = now.iter().all(|path| path.extension().is_some_and(|extension| extension == "gz"));
            ensure!(compressed && now.len() == 2, "rotated files: {now:?}");
            for path in &now {
                check_mode(path, 0o600)?;
                let text = run::output(Command::new("gzip").arg("-dc").arg(path))?;
                ensure!(text.len() <= 1024 * 1024, "{} has more than 1 MiB", path.display());
                ensure!(
                    text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()),
                    "{} has a line that is no event",
                    path.display()
                );
            }
            Ok(())
        })?;
        ensure!(all.len() > 2, "the log rotated {} times, so it had no file to remove", all.len());
        check_mode(&plane.log, 0o600)
    }

    /// An event larger than `maxEventSize` loses its bodies, and says so.
    fn check_truncation(&self) -> Result<()> {
        let config = "log: {mode: blocking-strict, truncate: {maxEventSize: 50000}}";
        let plane = self.make_plane("truncation", config, Some(POLICY))?;
        let server = plane.start()?;
        server.create_configmaps(&["big".to_owned()], 60_000)?;
        let event = server.wait_for_event(|event| event["objectRef"]["name"] == "big")?;
        ensure!(event["annotations"]["audit.k8s.io/truncated"] == "true", "the event isn't marked: {event}");
        ensure!(event["requestObject"].is_null(), "the event is marked as truncated, but has its body");
        Ok(())
    }

    /// The log may be `-`, the standard output, without compression and truncation, and with a throttle.
    fn check_stdout(&self) -> Result<()> {
        let config = "log: {path: '-', compress: false, truncate: {enabled: false}, batch: {throttleEnable: true, \
                      throttleQPS: 20, throttleBurst: 30}}";
        let mut plane = self.make_plane("stdout", config, Some(POLICY))?;
        plane.log = plane.top.join("stdout");
        let server = plane.start()?;
        server.change(&["create"], "configmap", "judge")?;
        server.wait_for_event(|event| event["objectRef"]["name"] == "judge").map(drop)
    }

    /// `policy check` is right about a misspelt field: the server starts, and audits what the rule wasn't meant for.
    fn check_misspelt_verb(&self) -> Result<()> {
        self.check_refusal(MISSPELT, "verbs")?;
        let config = "log: {mode: batch, batch: {maxSize: 5, maxWait: 1s, bufferSize: 100}}";
        let plane = self.make_plane("misspelt", config, None)?;
        fs::write(&plane.policy, MISSPELT)?;
        let server = plane.start()?;
        server.change(&["create"], "configmap", "judge")?;
        let event =
            server.wait_for_event(|event| event["objectRef"]["name"] == "judge" && event["verb"] == "create")?;
        ensure!(event["level"] == "RequestResponse", "a create was taken for a delete: {event}");
        Ok(())
    }

    /// A policy without rules keeps the server from starting.
    fn check_no_rules(&self) -> Result<()> {
        self.check_refusal(EMPTY, "rule")?;
        let plane = self.make_plane("no-rules", "", None)?;
        fs::write(&plane.policy, EMPTY)?;
        match plane.start() {
            Ok(_) => bail!("the server started with a policy without rules"),
            Err(error) if error.to_string().contains("loaded illegal policy with 0 rules") => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// The program refuses a policy, and its reason has this word.
    fn check_refusal(&self, policy: &str, word: &str) -> Result<()> {
        let path = self.top.join("refused.yaml");
        fs::write(&path, policy)?;
        let mut check = Command::new(&self.setting.program);
        let check = check.args(["policy", "check", "--kubernetes-version", &self.version]).arg(&path).output()?;
        let said = String::from_utf8_lossy(&check.stdout).replace(&*path.to_string_lossy(), "");
        ensure!(
            check.status.code() == Some(1),
            "policy check ends with {} for this policy:\n{policy}",
            check.status
        );
        ensure!(said.contains(word), "policy check refuses a policy without the word {word}: {said}");
        Ok(())
    }

    /// Makes the files of a control plane, as kubeadm makes them and the program edits them. `config` is the
    /// configuration of the program, without its head. Without a policy, the program installs its own.
    fn make_plane(&self, name: &str, config: &str, policy: Option<&str>) -> Result<ControlPlane> {
        let top = self.top.join(name);
        let root = top.join("root");
        let (port, etcd_port) = (find_free_port()?, find_free_port()?);
        let api = components::api_version(&self.version)
            .context("kubeadm reads no version of its API that the harness knows: see api_versions")?;
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
            fs::create_dir_all(path.parent().context("the path of the file has no folder")?)?;
            fs::write(path, text)?;
        }
        let programs = &self.setting.components;
        let kubeadm = programs.provide_kubernetes(&self.version, "kubeadm")?;
        // Keys take seconds to make, and are the same in every check.
        let keys = self.top.join("keys");
        if keys.exists() {
            run::copy(&keys, &root.join("etc"))?;
        } else {
            for phase in [&["certs", "all"], &["kubeconfig", "all"]] {
                run_init_phase(&kubeadm, &root, "/root/cluster.yaml", phase)?;
            }
            fs::create_dir(&keys)?;
            run::output(Command::new("cp").arg("-a").arg(root.join("etc/kubernetes")).arg(&keys))?;
        }
        run_init_phase(&kubeadm, &root, "/root/cluster.yaml", &["control-plane", "apiserver"])?;
        run::output(Command::new(&self.setting.program).arg("apply").arg("--root").arg(&root))?;

        let manifest = fs::read_to_string(root.join("etc/kubernetes/manifests/kube-apiserver.yaml"))?;
        let pod: serde_yaml::Value = serde_yaml::from_str(&manifest)?;
        let command =
            pod["spec"]["containers"][0]["command"].as_sequence().context("the manifest has no command")?;
        let command = command.iter().skip(1).filter_map(serde_yaml::Value::as_str).map(|word| {
            word.replace("=/etc/kubernetes/", &format!("={}/etc/kubernetes/", root.display()))
                .replace("=/var/log/kubernetes/", &format!("={}/var/log/kubernetes/", root.display()))
        });
        let mut command: Vec<_> = command.collect();
        // The addresses of the node are not those of this machine, where the server must listen.
        command.push("--bind-address=127.0.0.1".to_owned());
        // From 1.29 on, admin.conf has the rights of a group that only `kubeadm init` grants.
        let admin = ["super-admin.conf", "admin.conf"].map(|name| root.join("etc/kubernetes").join(name));
        let admin = admin.into_iter().find(|path| path.exists()).context("kubeadm made no admin.conf")?;
        Ok(ControlPlane {
            log: root.join("var/log/kubernetes/audit/audit.log"),
            policy: root.join("etc/kubernetes/audit-policy.yaml"),
            admin,
            server: programs.provide_kubernetes(&self.version, "kube-apiserver")?,
            kubectl: programs.provide_kubernetes(&self.version, "kubectl")?,
            etcd: programs.provide_etcd()?,
            command,
            port,
            etcd_port,
            limit: LIMIT * self.setting.patience(),
            top,
        })
    }
}

/// The files of a control plane, and how to start it.
struct ControlPlane {
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
    /// How long to wait for anything.
    limit: Duration,
}

/// A control plane that runs.
struct Server<'a> {
    plane: &'a ControlPlane,
    /// The API server and etcd, in the order in which they are ended.
    processes: Vec<Process>,
}

impl ControlPlane {
    /// Starts etcd and the API server, and waits until the API server is ready. An error has the last lines of its log.
    fn start(&self) -> Result<Server<'_>> {
        let mut etcd = Command::new(&self.etcd);
        let client = format!("http://127.0.0.1:{}", self.etcd_port);
        etcd.arg("--data-dir").arg(self.top.join("etcd")).arg("--unsafe-no-fsync");
        // etcd has no peers here, and listens for them anyway.
        let peers = format!("http://127.0.0.1:{}", find_free_port()?);
        etcd.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
        etcd.arg(format!("--initial-cluster=default={peers}"));
        etcd.args(["--listen-client-urls", &client, "--advertise-client-urls", &client]);
        let etcd = Process::start(&mut etcd, &self.top.join("etcd.log"), &self.top.join("etcd.log"))?;
        let mut server = Command::new(&self.server);
        server.args(&self.command);
        let log = self.top.join("kube-apiserver.log");
        let server = Process::start(&mut server, &self.top.join("stdout"), &log)?;
        let mut running = Server { plane: self, processes: vec![server, etcd] };
        let last_words = || run::tail(&fs::read_to_string(&log).unwrap_or_default(), 5);
        wait_for(self.limit, || {
            let ended = running.processes[0].0.try_wait()?;
            if ended.is_some() {
                return Ok(Err(anyhow::anyhow!("the API server ended:\n{}", last_words())));
            }
            // Before the server listens, kubectl would only take processor time from it.
            TcpStream::connect(("127.0.0.1", self.port))?;
            running.run_kubectl(&["get", "--raw", "/readyz"])?;
            Ok(Ok(()))
        })
        .with_context(|| format!("the API server isn't ready:\n{}", last_words()))??;
        Ok(running)
    }
}

impl Server<'_> {
    fn run_kubectl(&self, arguments: &[&str]) -> Result<String> {
        let server = format!("https://127.0.0.1:{}", self.plane.port);
        let mut kubectl = Command::new(&self.plane.kubectl);
        kubectl
            .arg("--kubeconfig")
            .arg(&self.plane.admin)
            .args(["--server", &server, "--request-timeout=30s"])
            .args(arguments);
        run::output(kubectl.env("HOME", &self.plane.top))
    }

    /// Creates or deletes an object. The kind may have two words, such as `secret generic`.
    fn change(&self, verb: &[&str], kind: &str, name: &str) -> Result<()> {
        let kind: Vec<_> = kind.split(' ').collect();
        self.run_kubectl(&[verb, &kind, &[name]].concat()).map(drop)
    }

    /// Creates configmaps of a size in bytes. One kubectl creates all of them, since its start takes longer than a
    /// request.
    fn create_configmaps(&self, names: &[String], size: usize) -> Result<()> {
        let path = self.plane.top.join("configmaps.json");
        let text = "x".repeat(size);
        let items: Vec<_> = names
            .iter()
            .map(|name| {
                json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": {"text": text}})
            })
            .collect();
        fs::write(&path, json!({"apiVersion": "v1", "kind": "List", "items": items}).to_string())?;
        self.run_kubectl(&["create", "--validate=false", "-f", &path.to_string_lossy()]).map(drop)
    }

    /// The events that are in the log now.
    fn read_events(&self) -> Result<Vec<Value>> {
        let text = fs::read_to_string(&self.plane.log)?;
        // The last line may not be complete.
        let lines = text.rsplit_once('\n').map_or("", |(lines, _)| lines).lines();
        lines
            .map(|line| serde_json::from_str(line).with_context(|| format!("this line is no event: {line}")))
            .collect()
    }

    /// Waits for an event.
    fn wait_for_event(&self, wanted: impl Fn(&Value) -> bool) -> Result<Value> {
        wait_for(self.plane.limit, || {
            let found = self.read_events()?.into_iter().find(&wanted);
            found.with_context(|| format!("the event isn't in {}", self.plane.log.display()))
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

fn check_mode(path: &Path, wanted: u32) -> Result<()> {
    let mode = fs::metadata(path)?.permissions().mode() & 0o7777;
    ensure!(mode == wanted, "{} has mode {mode:04o}, not {wanted:04o}", path.display());
    Ok(())
}

/// A TCP port on which nobody listens now.
fn find_free_port() -> Result<u16> {
    Ok(TcpListener::bind(("127.0.0.1", 0))?.local_addr()?.port())
}
