//! The kubeadm hook: called as `kubeadm`, the program prepares the node, and then becomes the real kubeadm with the
//! same arguments.
//!
//! [`Call::of`] reads the arguments. The functions from [`main`] on touch the host.

use std::convert::Infallible;
use std::env;
use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};

use super::apply::{LOCK_TIMEOUT, text};
use super::common::{Outcome, Overrides, configuration, open_root, outcome_of, run_of, without_mask};
use super::log;
use crate::audit::flags;
use crate::audit::version::Version;
use crate::facts::backup::Why;
use crate::facts::file::text_of;
use crate::node::handover::{self, Handed, KUBEADM};
use crate::node::root::Root;
use crate::pflag::Arguments;
use crate::plan::{KubeadmCall, Occasion};
use crate::run::Run;
use crate::run::apply::{self, ApplyTerms};
use crate::run::misuse::Misuse;
use crate::wiring::kubeadm::{self, KubeadmFile, PatchUser, Purpose, Reader};
use crate::wiring::patch;

/// This environment variable counts the calls of the hook. If it is set, the node is prepared already. At
/// [`MAX_CALLS`], the program that the hook calls is not kubeadm, but only calls the hook again.
const GUARD: &str = "KUBE_AUDIT_BOOTSTRAP_HOOK";
const MAX_CALLS: u32 = 10;

/// The flags without a value that every command of kubeadm has, in all versions. Without a `=`, any other flag takes
/// the next argument as its value. While cobra looks for the command, flags that it does not know do so, too.
const SWITCHES: &[&str] = &[
    "help",
    // Those of klog, up to 1.26.
    "add-dir-header",
    "alsologtostderr",
    "logtostderr",
    "one-output",
    "skip-headers",
    "skip-log-headers",
];
/// The flags without a value that only `init`, `join` or `upgrade` has.
const COMMAND_SWITCHES: &[&str] = &[
    "allow-experimental-upgrades",
    "allow-release-candidate-upgrades",
    "certificate-renewal",
    "control-plane",
    "discovery-token-unsafe-skip-ca-verification",
    "dry-run",
    "etcd-upgrade",
    "force",
    "print-config",
    "skip-certificate-key-print",
    "skip-token-print",
    "upload-certs",
    "yes",
];

/// The flags of `init`, `join` and `upgrade` with which kubeadm refuses `--config`, in all versions
/// (`ValidateMixedArguments` in `app/apis/kubeadm/validation/validation.go`); of `upgrade`, since 1.31.
const NOT_WITH_A_FILE: &[&str] = &[
    "allow-experimental-upgrades",
    "allow-release-candidate-upgrades",
    "apiserver-advertise-address",
    "apiserver-bind-port",
    "apiserver-cert-extra-sans",
    "cert-dir",
    "certificate-key",
    "certificate-renewal",
    "control-plane",
    "control-plane-endpoint",
    "cri-socket",
    "discovery-file",
    "discovery-token",
    "discovery-token-ca-cert-hash",
    "discovery-token-unsafe-skip-ca-verification",
    "etcd-upgrade",
    "force",
    "image-repository",
    "kubernetes-version",
    "patches",
    "pod-network-cidr",
    "print-config",
    "service-cidr",
    "service-dns-domain",
    "tls-bootstrap-token",
    "token",
    "token-ttl",
];

/// The flags whose values are secrets.
const SECRETS: &[&str] = &["--certificate-key", "--discovery-token", "--tls-bootstrap-token", "--token"];

/// The short forms of flags without a value.
const LETTERS: &[(char, &str)] = &[('h', "help"), ('y', "yes"), ('f', "force")];

/// A call of kubeadm that needs a prepared node.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Call {
    occasion: Occasion,
    config: Option<String>,
    patches: Option<String>,
    /// The file that configures an upgrade, and whether `upgrade node` reads it.
    upgrade: Option<(String, PatchUser)>,
    version: Option<String>,
    gates: Option<String>,
    rootfs: Option<String>,
    /// kubeadm refuses the upgrade, if it is one that reads an UpgradeConfiguration.
    is_mixed: bool,
    /// The position in the arguments at which the hook can insert an option.
    end: usize,
}

impl Call {
    /// Reads arguments as kubeadm does. `None` if the call changes no node, or none that needs preparation. For
    /// arguments that kubeadm refuses, the result does not matter.
    fn of(arguments: &[String]) -> Option<Call> {
        // cobra looks for the command first, removes it, and gives the rest to the command, with the flags before it.
        let at = *Scan::of(arguments, SWITCHES).words.first()?;
        let occasion = [Occasion::Init, Occasion::Join, Occasion::Upgrade]
            .into_iter()
            .find(|occasion| occasion.command() == Some(&arguments[at]))?;
        let rest = [&arguments[..at], &arguments[at + 1..]].concat();
        let scan = Scan::of(&rest, &[SWITCHES, COMMAND_SWITCHES].concat());
        // kubeadm ends there, and an option that the hook adds would become the missing value.
        if scan.arguments.fault.is_some() {
            return None;
        }
        let words: Vec<_> = scan.words.iter().map(|at| rest[*at].as_str()).collect();
        let value = |flag: &str| scan.value(flag).map(str::to_owned);
        let config = value("config");
        let is_mixed = scan.has(&["config"]) && scan.has(NOT_WITH_A_FILE);
        let is_prepared_for = match occasion {
            Occasion::Init | Occasion::Join if is_mixed => false,
            Occasion::Init => needs_preparation(occasion, &words),
            // A worker needs no preparation.
            Occasion::Join => {
                needs_preparation(occasion, &words) && (config.is_some() || scan.is_on("control-plane"))
            }
            _ => match words[..] {
                ["apply" | "node", ref rest @ ..] => needs_preparation(occasion, rest),
                _ => false,
            },
        };
        let call = Call {
            occasion,
            // This file configures the upgrade, not the node.
            upgrade: config.clone().filter(|_| occasion == Occasion::Upgrade).map(|file| {
                (
                    file,
                    if words.first() == Some(&"node") { PatchUser::UpgradeNode } else { PatchUser::UpgradeApply },
                )
            }),
            config: config.filter(|_| occasion != Occasion::Upgrade),
            patches: value("patches"),
            version: value("kubernetes-version"),
            gates: value("feature-gates"),
            rootfs: value("rootfs"),
            is_mixed,
            end: scan.end + 1,
        };
        Some(call).filter(|_| is_prepared_for && !scan.is_on("help") && !scan.is_on("dry-run"))
    }

    /// The command of kubeadm.
    fn verb(&self) -> &'static str {
        self.occasion.command().unwrap_or_default()
    }

    /// The root directory of the node.
    fn root(&self) -> &Path {
        Path::new(self.rootfs.as_deref().unwrap_or("/"))
    }

    /// What else kubeadm is told.
    fn kubeadm(&self, root: &Root) -> Result<KubeadmCall> {
        let path = |path: &str| self.path(path).map(|path| path.display().to_string());
        let patches = match &self.patches {
            Some(directory) => Some(path(directory)?),
            None => self.read_of_upgrade(root).and_then(|(read, user)| {
                let named = read.patches.into_iter().find(|named| named.user == user)?;
                path(&named.directory).ok()
            }),
        };
        Ok(KubeadmCall { patches, directory: path(".").ok() })
    }

    /// The file that configures an upgrade, and who reads it. `None` also if it can't be read; kubeadm says why.
    fn read_of_upgrade(&self, root: &Root) -> Option<(KubeadmFile, PatchUser)> {
        let (file, user) = self.upgrade.as_ref()?;
        let text = root.text(&self.path(file).ok()?.display().to_string()).ok()??;
        Some((kubeadm::read(&text.text, &text.path, Reader::Unknown).ok()?, *user))
    }

    /// Whether kubeadm refuses an upgrade because of its options. Until 1.30 it takes any options beside a file, and
    /// reads no UpgradeConfiguration; since then it needs one.
    fn is_refused_upgrade(&self, root: &Root) -> bool {
        let read = self.is_mixed.then(|| self.read_of_upgrade(root)).flatten();
        read.is_some_and(|(read, _)| read.has_upgrade())
    }

    /// A path on the command line, as the node sees it.
    fn path(&self, path: &str) -> Result<PathBuf> {
        match self.rootfs {
            // Before kubeadm reads a file, it makes this its root and working directory.
            Some(_) => std::path::absolute(Path::new("/").join(path)),
            None => handover::on_host(Path::new(path)),
        }
        .with_context(|| path.to_owned())
    }
}

/// Whether a command with these words writes the API server's manifest, or the configuration that manifests are made
/// from: the whole command, or that phase of it alone, as kubespray calls it.
fn needs_preparation(occasion: Occasion, words: &[&str]) -> bool {
    let ["phase", phase @ ..] = words else { return true };
    match occasion {
        Occasion::Init => {
            matches!(phase, ["control-plane", "all" | "apiserver", ..] | ["upload-config", "all" | "kubeadm", ..])
        }
        Occasion::Join => matches!(phase, ["control-plane-prepare", "all" | "control-plane", ..]),
        _ => matches!(phase, ["control-plane", ..]),
    }
}

/// Arguments, read as kubeadm does.
struct Scan<'a> {
    /// The positions of the arguments that are neither flags nor values of flags.
    words: Vec<usize>,
    arguments: Arguments<'a>,
    /// The position at which the flags end.
    end: usize,
}

impl<'a> Scan<'a> {
    fn of(arguments: &'a [String], switches: &[&str]) -> Scan<'a> {
        let found = Arguments::of(arguments, |name| switches.contains(&name), LETTERS);
        let end = found.end.unwrap_or(arguments.len());
        // cobra takes no empty word and no lone dash for a command.
        let is_command = |at: &usize| *at < end && !["", "-"].contains(&arguments[*at].as_str());
        let words = found.words.iter().copied().filter(is_command).collect();
        Scan { words, arguments: found, end }
    }

    /// The value of a flag; if it is there several times, the last one. `None` if it is empty, as is kubeadm's default.
    fn value(&self, flag: &str) -> Option<&'a str> {
        let last = self.arguments.flags.iter().rfind(|one| one.written == flag);
        last.map(|one| one.value).filter(|value| !value.is_empty())
    }

    /// Whether one of these flags is given, whatever its value is.
    fn has(&self, flags: &[&str]) -> bool {
        self.arguments.flags.iter().any(|one| flags.contains(&one.written))
    }

    /// Whether a boolean flag is true.
    fn is_on(&self, flag: &str) -> bool {
        // Go reads these as false (`strconv.ParseBool`).
        self.value(flag).is_some_and(|value| !["0", "f", "F", "false", "FALSE", "False"].contains(&value))
    }
}

/// Whether the program was called as `kubeadm`.
pub fn is_meant(called_as: &OsStr) -> bool {
    Path::new(called_as).file_name() == Some(OsStr::new(KUBEADM))
}

/// Prepares the node if the call needs it, and becomes the real kubeadm. Returns only after an error.
pub fn main(arguments: &[OsString]) -> ExitCode {
    log::init(0);
    let Err(error) = run(arguments);
    ::log::error!("{error:#}");
    ExitCode::from(outcome_of(&error) as u8)
}

fn run(arguments: &[OsString]) -> Result<Infallible> {
    let path = env::var_os("PATH").unwrap_or_default();
    // This is done before anything is written, because the node is prepared for this kubeadm.
    let real = handover::real_kubeadm(&path, handover::USUAL)?;
    let calls = env::var(GUARD).ok().and_then(|calls| calls.parse().ok()).unwrap_or(0);
    if calls >= MAX_CALLS {
        bail!(
            "{}: called {MAX_CALLS} times, it calls this hook each time, so it is not kubeadm; remove it, or put the real \
             kubeadm before it in PATH",
            real.display()
        );
    }
    // A name that is not UTF-8 becomes a wrong name here, and is refused where it is used.
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let call = Call::of(&words);
    let mut arguments = arguments.to_vec();
    match call {
        Some(call) if calls == 0 => {
            let mut given = Given::default();
            if let Err(error) = prepare(&call, &mut given) {
                go_on(&call, (&real, &words), &given, error)?;
                given.hold()?;
                // kubeadm still gets the copy of a file that it can't read again. It does not get the patches,
                // because with them the API server would need a policy.
                given.option = given.option.filter(|_| call.config.is_some());
            }
            arguments.splice(call.end..call.end, given.option.map(OsString::from));
        }
        // Warn, because the variable may also be in the user's environment; then the node is not prepared.
        Some(_) => {
            ::log::warn!(
                "{GUARD} is set, so an outer call has prepared the node, and this call prepares nothing; if there is \
                 no outer call, unset {GUARD}"
            );
        }
        None => {}
    }
    let error = Command::new(&real).arg0(&real).args(arguments).env(GUARD, (calls + 1).to_string()).exec();
    Err(error).with_context(|| format!("{}: can't be run; reinstall kubeadm", real.display()))
}

/// What the hook gives to kubeadm instead of the user's files.
#[derive(Default)]
struct Given {
    /// The option that names it.
    option: Option<String>,
    /// Its directory.
    directory: Option<String>,
    /// What was in the user's file, if it is a pipe: kubeadm would find nothing more in it.
    read: Option<Vec<u8>>,
}

impl Given {
    /// Writes the files into a directory that only the root user can read; the option names `file` in it.
    fn write(&mut self, root: &Root, option: &str, files: &[Handed], file: &str) -> Result<()> {
        let directory = handover::write(root, files)?;
        self.option = Some(format!("--{option}={directory}{file}"));
        self.directory = Some(directory);
        Ok(())
    }

    /// Gives kubeadm what was in a pipe, where no copy could be written.
    fn hold(&mut self) -> Result<()> {
        if let (Some(bytes), None) = (&self.read, &self.option) {
            self.option = Some(format!("--config={}", handover::hold(bytes)?));
        }
        Ok(())
    }
}

/// Prepares the node as `apply` does. The output goes to stderr, because another program may read kubeadm's stdout.
fn prepare(call: &Call, given: &mut Given) -> Result<()> {
    let root = open_root(call.root(), "--rootfs")?;
    if call.is_refused_upgrade(&root) {
        return Ok(());
    }
    let mut overrides = Overrides::default();
    // An `init` without a configuration file gets the settings as a patch.
    let is_patched = call.config.is_none() && call.occasion == Occasion::Init;
    if let Some(file) = &call.config {
        overrides.kubeadm_config.push(editable(call, file, &root, given)?);
    } else if is_patched {
        refuse_drawn_user(call)?;
        // Without a number (such as stable-1), the version of the kubelet counts.
        overrides.kubernetes_version = call.version.as_deref().and_then(Version::parse);
    }
    let mut run = run_of(&root, None, &overrides, call.occasion)?;
    run.kubeadm = call.kubeadm(&root)?;
    if is_patched {
        given.write(&root, "patches", &merged(&run)?, "")?;
    }
    let mut out = without_mask(|| make(&run))?;
    if let Some(option) = given.option.as_ref().filter(|_| is_patched) {
        out += &format!(
            "kubeadm   {option}: the settings, as a patch, which the cluster does not keep: when its API server runs, run \
             kube-audit-bootstrap apply, or the next kubeadm upgrade loses them\n"
        );
    }
    for line in out.lines() {
        let _ = writeln!(std::io::stderr(), "kube-audit-bootstrap: {line}");
    }
    Ok(())
}

/// The path of the kubeadm configuration file, or of a copy if the file can't be replaced where it is.
fn editable(call: &Call, file: &str, root: &Root, given: &mut Given) -> Result<String> {
    let path = call.path(file)?;
    let shown = path.display().to_string();
    let bytes = match call.rootfs {
        Some(_) if !handover::is_fixed(root, &shown) => return Ok(shown),
        // What is missing, or is no file, is reported as if it were to be edited.
        Some(_) => match root.text(&shown)? {
            Some(text) => text.text.into_bytes(),
            None => return Ok(shown),
        },
        None if !handover::needs_copy(root, &path, &shown) => return Ok(shown),
        None => handover::read(&path)?,
    };
    given.read = (call.rootfs.is_none() && handover::is_stream(&path)).then(|| bytes.clone());
    text_of(&bytes).map_err(|error| anyhow!("{shown}:{error}"))?;
    given.write(root, "config", &[("kubeadm.yaml".to_owned(), bytes)], "/kubeadm.yaml")?;
    Ok(format!("{}/kubeadm.yaml", given.directory.as_deref().unwrap_or_default()))
}

/// Refuses a call in which kubeadm chooses the user of the API server while it runs (`phases/controlplane/users.go`).
///
/// # Errors
///
/// The call has the feature gate RootlessControlPlane.
fn refuse_drawn_user(call: &Call) -> Result<()> {
    // As kubeadm reads them (`cmd/kubeadm/app/features/features.go`): of two values, the last one counts.
    let gates = call.gates.as_deref().unwrap_or_default().split(',').filter_map(|gate| gate.split_once('='));
    let mut drawn = gates.filter(|(name, _)| name.trim() == "RootlessControlPlane");
    if drawn.next_back().is_some_and(|(_, value)| flags::boolean(value.trim()) == Some(true)) {
        bail!(
            "--feature-gates: with RootlessControlPlane, the API server runs as a user that is not known yet, so it could \
             not read its policy; leave out this feature gate"
        );
    }
    Ok(())
}

/// Changes the node, and returns the text about it for people.
fn make(run: &Run<'_>) -> Result<String> {
    let tell = |warnings: &[String]| warnings.iter().for_each(|warning| ::log::warn!("{warning}"));
    let terms = ApplyTerms { why: Why::Apply, wait: None, patience: Duration::from_secs(LOCK_TIMEOUT) };
    let changed = apply::change(run, &terms).map_err(|refused| {
        tell(&refused.warnings);
        refused.error
    })?;
    tell(&changed.plan.warnings);
    let done = changed.finish(run)?;
    tell(&done.warnings);
    Ok(text(&done, run.root))
}

/// The patches of the command line, and before them the patch with the settings.
fn merged(run: &Run<'_>) -> Result<Vec<Handed>> {
    let plan = run.survey()?;
    let ours = patch::patch(&run.config, plan.version, &plan.files).map_err(|refusal| Misuse(refusal.reason))?;
    let mut files = vec![(format!("1-audit/{}", patch::NAME), ours.into_bytes())];
    if let Some(directory) = &run.kubeadm.patches {
        let given = handover::patches(run.root, directory)?
            .with_context(|| format!("{directory}: there is no such directory; correct --patches"))?;
        files.extend(given.into_iter().map(|(name, bytes)| (format!("2-given/{name}"), bytes)));
    }
    Ok(files)
}

/// Decides, after `error`, whether kubeadm starts all the same, and warns if it does.
///
/// # Errors
///
/// kubeadm must not start.
fn go_on(call: &Call, real: (&Path, &[String]), given: &Given, error: anyhow::Error) -> Result<()> {
    let verb = call.verb();
    let is_required = || {
        let overrides = Overrides::default();
        let config = open_root(call.root(), "--rootfs")
            .and_then(|root| configuration(&root, None, &overrides, Occasion::Any));
        // A configuration that can't be read does not allow it.
        config.map_or(true, |config| config.kubeadm_required)
    };
    if call.occasion == Occasion::Upgrade {
        ::log::warn!("kubeadm upgrade starts all the same; see kube-audit-bootstrap status: {error:#}");
    } else if may_join_as_worker(call, given) {
        ::log::warn!("kubeadm join starts all the same, because a worker needs no preparation: {error:#}");
    } else if is_required() {
        if let (Some(directory), None) = (&given.directory, &call.rootfs) {
            handover::discard(directory);
        }
        return Err(not_started(verb, real, error));
    } else {
        ::log::warn!("kubeadm {verb} starts without audit logs, because kubeadm.required is false: {error:#}");
    }
    Ok(())
}

/// Whether `join` makes a worker, or nothing shows that it makes a control plane: kubeadm then judges a file that this
/// program can't use. The program's configuration may be only for control planes, so an error in it must not stop a
/// worker.
fn may_join_as_worker(call: &Call, given: &Given) -> bool {
    let Some(file) = call.config.as_ref().filter(|_| call.occasion == Occasion::Join) else { return false };
    let is_missing = || {
        let path = call.path(file).ok()?;
        let entry = open_root(call.root(), "--rootfs").ok()?.stat(&path.display().to_string()).ok()?;
        Some(entry.is_none())
    };
    match read_as_kubeadm(call, file, given) {
        Some(text) => may_be_workers(&text),
        None => is_missing() != Some(true),
    }
}

/// What kubeadm finds in its file. Unlike this program, it follows a link of another user.
fn read_as_kubeadm(call: &Call, file: &str, given: &Given) -> Option<String> {
    let path = call.path(file).ok()?;
    let read = || {
        let text = open_root(call.root(), "--rootfs").ok()?.text(&path.display().to_string()).ok()?;
        text.map(|text| text.text.into_bytes())
    };
    let follow = || (call.rootfs.is_none() && path.is_file()).then(|| handover::read(&path).ok())?;
    let bytes = given.read.clone().or_else(read).or_else(follow)?;
    text_of(&bytes).map(str::to_owned).ok()
}

/// Whether `kubeadm join` makes no control plane of this file for sure.
fn may_be_workers(text: &str) -> bool {
    match kubeadm::read(text, "", Reader::Join) {
        Ok(file) => file.purpose == Purpose::JoinWorker,
        // A text that is broken for this program may not be so for kubeadm.
        Err(_) => !text.contains("controlPlane") && text.contains("JoinConfiguration"),
    }
}

/// `error`, with what it means for the caller of kubeadm. The last line can be understood alone.
fn not_started(verb: &str, (real, words): (&Path, &[String]), error: anyhow::Error) -> anyhow::Error {
    let whole = format!("{error:#}");
    let mut lines = whole.lines();
    let first = lines.next().unwrap_or_default();
    // The lines that it announces are above the last line.
    let first = first
        .strip_suffix("these lines that are missing:")
        .map_or(first.to_owned(), |start| format!("{start}the lines above that are missing"));
    if lines.next().is_some() {
        // Several faults, or lines to add by hand.
        ::log::error!("{whole}");
    }
    let message = format!(
        "kubeadm {verb} was not started, because the node can't be prepared for audit logs: {first}; fix this and \
         call kubeadm {verb} again, or start it without audit logs, with {}",
        typed(real, words)
    );
    match outcome_of(&error) {
        Outcome::Misused => Misuse(message).into(),
        _ => anyhow!(message),
    }
}

/// A command as it is typed in a shell. What it holds in secret is not repeated.
fn typed(program: &Path, words: &[String]) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    let quoted = |word: &str| match word.is_empty() || word.contains(|c| !is_plain(c)) {
        true => format!("'{}'", word.replace('\'', "'\\''")),
        false => word.to_owned(),
    };
    let mut line = quoted(&program.display().to_string());
    let mut is_secret = false;
    for word in words {
        let (name, value) =
            word.split_once('=').map_or((word.as_str(), None), |(name, value)| (name, Some(value)));
        let names_secret = SECRETS.contains(&name);
        line.push(' ');
        match (is_secret, names_secret, value) {
            (true, _, _) => line.push_str("..."),
            (false, true, Some(_)) => line.push_str(&format!("{name}=...")),
            _ => line.push_str(&quoted(word)),
        }
        is_secret = !is_secret && names_secret && value.is_none();
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_can_be_typed_as_it_is_told() {
        for (words, expected) in [
            (&["init", "--config", "/a b.yaml"][..], "/usr/bin/kubeadm init --config '/a b.yaml'"),
            (&["init", "--v=5", ""], "/usr/bin/kubeadm init --v=5 ''"),
            (&["init", "it's", "$(x)"], r"/usr/bin/kubeadm init 'it'\''s' '$(x)'"),
            (&["join", "1:2", "--token", "a.b", "--x"], "/usr/bin/kubeadm join 1:2 --token ... --x"),
            (&["join", "--certificate-key=c", "--v", "5"], "/usr/bin/kubeadm join --certificate-key=... --v 5"),
        ] {
            let words: Vec<_> = words.iter().map(|word| (*word).to_owned()).collect();
            assert_eq!(typed(Path::new("/usr/bin/kubeadm"), &words), expected);
        }
    }

    fn call(line: &str) -> Option<Call> {
        Call::of(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    /// A call with a configuration file, or without one.
    fn told(line: &str) -> Option<(&'static str, Option<String>)> {
        call(line).map(|call| (call.verb(), call.config))
    }

    #[test]
    fn arguments_mean_what_they_mean_to_kubeadm() {
        for (line, verb, file) in [
            ("init --config=/kind/kubeadm.conf --skip-token-print --v=6", "init", "/kind/kubeadm.conf"),
            ("init --config f", "init", "f"),
            ("join --config f", "join", "f"),
            ("join 10.0.0.1:6443 --config f", "join", "f"),
            // Before the command.
            ("--v=6 init --config f", "init", "f"),
            ("--v 6 init --config f", "init", "f"),
            ("-v 6 init --config f", "init", "f"),
            ("-v6 init --config f", "init", "f"),
            ("--config f init", "init", "f"),
            ("--config=f --dry-run=false init", "init", "f"),
            ("--skip-headers init --config f", "init", "f"),
            // The last one counts.
            ("init --config a --config=b", "init", "b"),
            ("--config a init --config b", "init", "b"),
            ("init --dry-run --dry-run=false --config f", "init", "f"),
            // Values that look like something else.
            ("init --node-name --dry-run --config f", "init", "f"),
            ("init --node-name phase --config f", "init", "f"),
            ("init --config --help", "init", "--help"),
            ("init -v --help --config f", "init", "f"),
            // What kubeadm takes beside a file.
            ("init --upload-certs --config f", "init", "f"),
            ("init --feature-gates g --ignore-preflight-errors all --skip-phases p --config f", "init", "f"),
            ("join --node-name n --config f", "join", "f"),
            ("init --config a=b", "init", "a=b"),
            ("init --config f -- --dry-run --config g", "init", "f"),
            ("init --help=false --config f", "init", "f"),
            ("init --config f --rootfs=", "init", "f"),
            // The phases that write the manifest, or what it is made from.
            ("init phase control-plane all --config f", "init", "f"),
            ("init phase control-plane apiserver --config f", "init", "f"),
            ("init --config f phase --v 6 control-plane apiserver", "init", "f"),
            ("init phase upload-config kubeadm --config f", "init", "f"),
            ("init phase upload-config all --config f", "init", "f"),
            ("join phase control-plane-prepare all --config f", "join", "f"),
            ("join phase control-plane-prepare control-plane --config f", "join", "f"),
        ] {
            assert_eq!(told(line), Some((verb, Some(file.to_owned()))), "{line}");
        }
        for (line, verb) in [
            ("init", "init"),
            ("init --v=6", "init"),
            ("init --config=", "init"),
            ("init --config f --config=", "init"),
            ("init -- --config f", "init"),
            ("init --token --config f", "init"),
            ("join 10.0.0.1:6443 --token t --control-plane", "join"),
            ("upgrade apply v1.37.2", "upgrade"),
            ("upgrade --yes apply", "upgrade"),
            ("- --v=6 upgrade apply", "upgrade"),
            // Whether kubeadm refuses it depends on its version.
            ("upgrade apply -y --force v1.37.2 --config f", "upgrade"),
            ("upgrade node --patches p --config f", "upgrade"),
            ("init --patches p --token t --skip-phases x", "init"),
            ("upgrade node", "upgrade"),
            ("init phase control-plane apiserver", "init"),
            ("join phase control-plane-prepare all 10.0.0.1:6443 --control-plane", "join"),
            ("upgrade apply phase control-plane", "upgrade"),
            ("upgrade node phase --config f control-plane", "upgrade"),
        ] {
            assert_eq!(told(line), Some((verb, None)), "{line}");
        }
        for line in [
            "",
            "--v=6",
            "-",
            "--",
            "-- init --config f",
            "version --config f",
            "reset --config f",
            "join 10.0.0.1:6443 --token t",
            "join --control-plane=false",
            "upgrade plan --config f",
            "upgrade diff",
            "upgrade",
            "upgrade apply --dry-run",
            "upgrade apply phase addon all",
            "config images pull --config f",
            "token create --config f init",
            "completion bash",
            "help init --config f",
            // An option without its value.
            "init --config",
            // kubeadm refuses these options beside a file, whatever their values are.
            "init --patches p --config f",
            "init --config f --patches=",
            "init --config= --token t",
            "init --config f --kubernetes-version v1.37.2",
            "init phase control-plane apiserver --patches p --config f",
            "join --config f --control-plane",
            "join --config f --control-plane=false",
            "join phase control-plane-prepare all --config f --patches p",
            "init --rootfs",
            "init --rootfs d --config",
            "init phase",
            "init phase control-plane",
            "init phase control-plane scheduler --config f",
            "init phase upload-config kubelet --config f",
            "join phase control-plane-prepare certs --config f",
            "join phase control-plane-prepare all",
            "upgrade apply phase",
            "upgrade apply phase preflight",
            "upgrade node phase kubelet-config --config f",
            "upgrade phase control-plane",
            "init --dry-run phase control-plane all --config f",
            "init --config f phase preflight",
            "join phase preflight --config f",
            "--v=6 init --v 6 phase certs --config f",
            "init --dry-run --config f",
            "init --dry-run=true --config f",
            "init --config f --dry-run=1",
            "init --dry-run false --config f",
            "init --help --config f",
            "init -h",
            "init -hv6 --config f",
            "upgrade apply -yh",
            "-h init --config f",
            "--help",
            // To cobra, which doesn't know these flags yet, `init` is their value.
            "--dry-run init --config f",
            "--config init",
        ] {
            assert_eq!(call(line), None, "{line}");
        }
    }

    #[test]
    fn an_option_that_is_added_counts() {
        for (line, with) in [
            ("init", "init X"),
            ("--v=6 init --patches p", "--v=6 init --patches p X"),
            ("init --config /dev/stdin -- --config g", "init --config /dev/stdin X -- --config g"),
        ] {
            let mut words: Vec<_> = line.split(' ').collect();
            words.insert(call(line).unwrap().end, "X");
            assert_eq!(words.join(" "), with);
        }
    }

    #[test]
    fn what_else_kubeadm_is_told_is_known() {
        let call = call("--rootfs /host init --patches p --kubernetes-version=v1.33.1").unwrap();
        let all = [&call.rootfs, &call.patches, &call.version].map(|value| value.as_deref().unwrap());
        assert_eq!(all, ["/host", "p", "v1.33.1"]);
    }

    #[test]
    fn the_name_alone_makes_the_hook() {
        for (name, meant) in [
            ("kubeadm", true),
            ("/usr/local/bin/kubeadm", true),
            ("./kubeadm", true),
            ("kube-audit-bootstrap", false),
            ("/kubeadm/kube-audit-bootstrap", false),
            ("kubeadm-1.31", false),
            ("", false),
        ] {
            assert_eq!(is_meant(OsStr::new(name)), meant, "{name}");
        }
    }
}

/// Random arguments, judged by kubeadm's own commands.
#[cfg(test)]
mod differential {
    use serde_json::json;

    use super::*;
    use crate::audit::differential::{Oracle, Random, number};

    const WORDS: [&str; 42] = [
        "init",
        "init",
        "join",
        "upgrade",
        "apply",
        "node",
        "plan",
        "phase",
        "control-plane",
        "all",
        "preflight",
        "apiserver",
        "upload-config",
        "reset",
        "version",
        "help",
        "v1.37.2",
        "10.0.0.1:6443",
        "",
        "-",
        "--",
        "-v",
        "-v3",
        "-h",
        "-y",
        "-hv",
        "--v=6",
        "--v",
        "--config",
        "--config=/f",
        "--patches",
        "--patches=/p",
        "--dry-run",
        "--dry-run=false",
        "--skip-token-print",
        "--upload-certs",
        "--control-plane",
        "--kubernetes-version",
        "--rootfs",
        "--token=t",
        "--help",
        "--yes",
    ];

    #[test]
    #[ignore = "needs kubeadm's own commands: COMMANDS"]
    fn arguments_mean_what_they_mean_to_kubeadm() {
        // kubeadm makes all its commands anew for each question, which takes milliseconds.
        let (seed, pairs) = (number("SEED", 1), number("PAIRS", 20_000).min(200_000) / 10);
        for oracle in &mut Oracle::all("COMMANDS") {
            let mut random = Random::new(seed, oracle.version);
            let (mut taken, mut prepared, mut mixed) = (0, 0_u64, 0_u64);
            for _ in 0..pairs {
                let mut line: Vec<_> = (0..1 + random.below(5)).map(|_| random.pick(&WORDS).to_owned()).collect();
                if random.one_in(2) {
                    let command =
                        ["init", "init --config /f", "join --config /f", "upgrade apply", "upgrade node"];
                    line.splice(0..0, random.pick(&command).split(' ').map(str::to_owned));
                }
                let answer = oracle.ask(&json!({ "kubeadm": &line }));
                // kubeadm refuses such a call itself, or prints its help.
                if answer["error"].is_string() {
                    continue;
                }
                taken += 1;
                let is_mixed = answer["mixed"] == true;
                mixed += u64::from(is_mixed);
                let flag = |name: &str| answer["flags"][name].as_str().filter(|value| !value.is_empty());
                let is_on = |name: &str| flag(name) == Some("true");
                let command = answer["command"].as_str().unwrap_or_default();
                let is_control_plane = flag("config").is_some() || is_on("control-plane");
                let verb = match command.strip_prefix("kubeadm ").unwrap_or_default() {
                    "init"
                    | "init phase control-plane all"
                    | "init phase control-plane apiserver"
                    | "init phase upload-config all"
                    | "init phase upload-config kubeadm" => Some("init"),
                    "join"
                    | "join phase control-plane-prepare all"
                    | "join phase control-plane-prepare control-plane" => {
                        Some("join").filter(|_| is_control_plane)
                    }
                    "upgrade apply" | "upgrade node" => Some("upgrade"),
                    phase if phase.starts_with("upgrade apply phase control-plane") => Some("upgrade"),
                    phase if phase.starts_with("upgrade node phase control-plane") => Some("upgrade"),
                    _ => None,
                };
                // Only the newer ones refuse such an upgrade.
                let is_refused = is_mixed && verb != Some("upgrade");
                let expected = verb.filter(|_| !is_on("dry-run") && !is_refused).map(|verb| {
                    let config = flag("config").filter(|_| verb != "upgrade");
                    [Some(verb), config, flag("patches"), flag("kubernetes-version"), flag("rootfs")]
                        .map(|value| value.map(str::to_owned))
                });
                let found = Call::of(&line).map(|call| {
                    [Some(call.verb().to_owned()), call.config, call.patches, call.version, call.rootfs]
                });
                assert_eq!(found, expected, "{}: {line:?}", oracle.version);
                prepared += u64::from(expected.is_some());
            }
            println!(
                "{}: seed {seed}, {pairs} calls, {taken} accepted, {prepared} prepared, {mixed} mixed",
                oracle.version
            );
            assert!(prepared > pairs / 100, "almost no call is one that needs preparation");
            assert!(mixed > pairs / 200, "almost no call has an option that kubeadm refuses beside a file");
        }
    }

    #[test]
    #[ignore = "needs kubeadm's own commands: COMMANDS"]
    fn what_is_never_mixed_is_refused_by_kubeadm() {
        for oracle in &mut Oracle::all("COMMANDS") {
            let commands = ["init", "join", "upgrade apply", "upgrade node"];
            for flag in NOT_WITH_A_FILE {
                let mut answers = commands.iter().map(|command| {
                    let mut line: Vec<_> = command.split(' ').map(str::to_owned).collect();
                    line.extend(["--config=/f".to_owned(), format!("--{flag}=0")]);
                    oracle.ask(&json!({ "kubeadm": &line }))
                });
                // Some command knows it, and none takes it beside a file.
                let known: Vec<_> = answers.by_ref().filter(|answer| !answer["error"].is_string()).collect();
                assert!(!known.is_empty(), "--{flag}");
                assert!(known.iter().all(|answer| answer["mixed"] == true), "--{flag}: {known:?}");
            }
        }
    }
}
