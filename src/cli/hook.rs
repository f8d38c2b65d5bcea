//! The hook: under the name `kubeadm`, in front of the real one on `PATH`, the program prepares the node and then becomes
//! the real one, with the same arguments.
//!
//! [`Call::of`] says what the arguments mean; what is below it touches the host.

use std::convert::Infallible;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Component, Path, PathBuf};
use std::process::{Command, ExitCode};
use std::{env, fs};

use anyhow::{Context, Result, anyhow, bail};
use clap::Parser;
use nix::unistd::{AccessFlags, access};

use super::{Cli, Outcome, execute, log, outcome_of};

const NAME: &str = "kubeadm";
/// Where kubeadm is if not on `PATH`, which a service may have none of.
const USUAL: &[&str] = &["/usr/bin", "/usr/local/bin", "/opt/bin"];
/// How often kubeadm was called through the hook on the way here: what the real one calls isn't prepared again, and one
/// that only leads back here is found out.
const GUARD: &str = "KUBE_AUDIT_BOOTSTRAP_HOOK";
const MAX_CALLS: u32 = 10;

/// The flags without a value that kubeadm has for every command, of all versions. All others take the next argument where
/// they have no `=`, and so do unknown ones while cobra looks for the command.
const SWITCHES: &[&str] = &[
    "help",
    // klog's, up to 1.26.
    "add-dir-header",
    "alsologtostderr",
    "logtostderr",
    "one-output",
    "skip-headers",
    "skip-log-headers",
];
/// Those that `init` or `join` has in addition.
const COMMAND_SWITCHES: &[&str] = &[
    "control-plane",
    "discovery-token-unsafe-skip-ca-verification",
    "dry-run",
    "skip-certificate-key-print",
    "skip-token-print",
    "upload-certs",
];

/// What kubeadm is asked to do, as far as it matters here.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Call {
    /// `init` or `join` with a configuration file.
    WithFile { verb: &'static str, file: String, rootfs: Option<String> },
    /// `init` or `join` without one.
    WithoutFile { verb: &'static str },
    /// What changes no node, or none that could be prepared.
    Other,
}

impl Call {
    /// Reads arguments as kubeadm does. What it would refuse may come out as anything.
    fn of(arguments: &[String]) -> Call {
        // cobra looks for the command first, takes it out, and gives the rest to the command: the flags before it, too.
        let Some(at) = Scan::of(arguments, SWITCHES).word else { return Call::Other };
        let verb = match arguments[at].as_str() {
            "init" => "init",
            "join" => "join",
            _ => return Call::Other,
        };
        let rest = [&arguments[..at], &arguments[at + 1..]].concat();
        let scan = Scan::of(&rest, &[SWITCHES, COMMAND_SWITCHES].concat());
        let phase = scan.word.is_some_and(|at| rest[at] == "phase");
        if phase || scan.is_on("help") || scan.is_on("dry-run") {
            return Call::Other;
        }
        match scan.value("config") {
            Some(file) => {
                let rootfs = scan.value("rootfs").map(str::to_owned);
                Call::WithFile { verb, file: file.to_owned(), rootfs }
            }
            None => Call::WithoutFile { verb },
        }
    }
}

/// Arguments taken apart as pflag does it.
struct Scan {
    /// Where the first one is that is neither a flag nor a flag's value.
    word: Option<usize>,
    flags: Vec<(String, String)>,
}

impl Scan {
    fn of(arguments: &[String], switches: &[&str]) -> Scan {
        let mut scan = Scan { word: None, flags: Vec::new() };
        let mut left = arguments.iter().enumerate();
        while let Some((at, argument)) = left.next() {
            if argument == "--" {
                break;
            } else if let Some(long) = argument.strip_prefix("--") {
                let (name, value) = long.split_once('=').map_or((long, None), |(name, value)| (name, Some(value)));
                let value = match value {
                    Some(value) => value,
                    None if switches.contains(&name) => "true",
                    None => left.next().map_or("", |(_, next)| next),
                };
                scan.flags.push((name.to_owned(), value.to_owned()));
            } else if let Some(short) = argument.strip_prefix('-') {
                // There are two: -h is help, and -v takes the rest of the word, or the next one.
                let (before, level) = short.split_once('v').map_or((short, None), |(h, level)| (h, Some(level)));
                if before.starts_with('h') {
                    let value = before.strip_prefix("h=").unwrap_or("true");
                    scan.flags.push(("help".to_owned(), value.to_owned()));
                }
                if level == Some("") {
                    left.next();
                }
            } else if scan.word.is_none() && !argument.is_empty() {
                scan.word = Some(at);
            }
        }
        scan
    }

    /// The value of a flag, which is its last one. Empty is what kubeadm has by default.
    fn value(&self, flag: &str) -> Option<&str> {
        let last = self.flags.iter().rfind(|(name, _)| name == flag);
        last.map(|(_, value)| value.as_str()).filter(|value| !value.is_empty())
    }

    fn is_on(&self, flag: &str) -> bool {
        // What Go reads as false.
        self.value(flag).is_some_and(|value| !["0", "f", "F", "false", "FALSE", "False"].contains(&value))
    }
}

/// Whether the program was called as kubeadm.
pub fn is_meant(called_as: &OsStr) -> bool {
    Path::new(called_as).file_name() == Some(OsStr::new(NAME))
}

/// Prepares the node where that is asked for, and becomes the real kubeadm. Returns only where that fails.
pub fn main(arguments: &[OsString]) -> ExitCode {
    log::init(0);
    let Err(error) = run(arguments);
    ::log::error!("{error:#}");
    ExitCode::from(outcome_of(&error) as u8)
}

fn run(arguments: &[OsString]) -> Result<Infallible> {
    let path = env::var_os("PATH").unwrap_or_default();
    // Before anything is written: what is prepared is for this one.
    let real = real_kubeadm(&path, USUAL)?;
    let calls = env::var(GUARD).ok().and_then(|calls| calls.parse().ok()).unwrap_or(0);
    if calls >= MAX_CALLS {
        bail!(
            "{}: called {MAX_CALLS} times, it calls this hook each time and not kubeadm; remove it, or put the real \
             kubeadm before it in PATH",
            real.display()
        );
    }
    // A name that isn't UTF-8 stays wrong, and is refused where it is used.
    let words: Vec<_> = arguments.iter().map(|word| word.to_string_lossy().into_owned()).collect();
    let call = Call::of(&words);
    if calls > 0 && !matches!(call, Call::Other) {
        // Or somebody has it in the environment, and believes that the node is prepared.
        ::log::warn!("{GUARD} is set, so the outer call has prepared the node, and this one does nothing");
    }
    if calls == 0 {
        match call {
            Call::WithFile { verb, file, rootfs } => {
                prepare(verb, &file, rootfs.as_deref()).map_err(|error| not_started(verb, &real, error))?;
            }
            Call::WithoutFile { verb } => ::log::warn!("{}", unprepared(verb)),
            Call::Other => {}
        }
    }
    let error = Command::new(&real).arg0(&real).args(arguments).env(GUARD, (calls + 1).to_string()).exec();
    Err(error).with_context(|| format!("{}: can't be run; reinstall kubeadm", real.display()))
}

/// `apply --kubeadm-config FILE`, with what it prints on stderr: kubeadm's stdout may be somebody's input.
fn prepare(verb: &str, file: &str, rootfs: Option<&str>) -> Result<()> {
    // kubeadm makes this its root, and goes there, before it reads the file.
    let file = match rootfs {
        Some(_) => std::path::absolute(Path::new("/").join(file)),
        None => on_host(Path::new(file)),
    }
    .with_context(|| file.to_owned())?;
    let root = format!("--root={}", rootfs.unwrap_or("/"));
    let file = format!("--kubeadm-config={}", file.display());
    let init = (verb == "init").then_some("--kubeadm-init");
    let cli = Cli::try_parse_from(["kube-audit-bootstrap", "apply", &root, &file].into_iter().chain(init))?;
    let mut out = String::new();
    let result = execute(cli, &mut out);
    for line in out.lines() {
        let _ = writeln!(std::io::stderr(), "kube-audit-bootstrap: {line}");
    }
    result.map(|_| ())
}

/// A file's path from the root on, without `.` and `..`.
fn on_host(file: &Path) -> std::io::Result<PathBuf> {
    let path = std::path::absolute(file)?;
    // Where `..` leads, the links before it decide.
    match path.components().any(|part| part == Component::ParentDir) {
        true => fs::canonicalize(path),
        false => Ok(path),
    }
}

/// `error`, with what it means for who called kubeadm, in a last line that can stand alone.
fn not_started(verb: &str, real: &Path, error: anyhow::Error) -> anyhow::Error {
    let whole = format!("{error:#}");
    let mut lines = whole.lines();
    let first = lines.next().unwrap_or_default();
    if lines.next().is_some() {
        // Several faults, or lines to add by hand.
        ::log::error!("{whole}");
    }
    let message = format!(
        "kubeadm {verb} was not started, as the node can't be prepared for audit logs: {first}; correct that and call \
         kubeadm {verb} again, or go without audit logs by calling {} {verb}",
        real.display()
    );
    match outcome_of(&error) {
        Outcome::Misused => super::Misuse(message).into(),
        _ => anyhow!(message),
    }
}

/// Why nothing was done, where something could be expected.
fn unprepared(verb: &str) -> String {
    let advice = match verb {
        // The manifest is there only then.
        "init" => "call `kube-audit-bootstrap apply` after it",
        // Where the cluster's API servers have the flags, this one doesn't start without the policy.
        _ => "for a control plane, call `kube-audit-bootstrap apply` before it",
    };
    format!(
        "the cluster configuration was not prepared for audit logs: kubeadm {verb} was called without --config, and only a \
         file can be prepared; {advice}, or use --config"
    )
}

/// The first kubeadm on `path`, then in `usual`, that isn't this program.
fn real_kubeadm(path: &OsStr, usual: &[&str]) -> Result<PathBuf> {
    let own = Path::new("/proc/self/exe");
    let own_meta =
        fs::metadata(own).context("/proc/self/exe: this program can't be told from kubeadm; mount /proc")?;
    let is_own = |path: &Path, meta: &fs::Metadata| {
        (meta.dev(), meta.ino()) == (own_meta.dev(), own_meta.ino())
            // A copy.
            || meta.len() == own_meta.len() && matches!((fs::read(path), fs::read(own)), (Ok(a), Ok(b)) if a == b)
    };
    // Not from the working directory, which may be anybody's.
    let on_path = env::split_paths(path).filter(|directory| directory.is_absolute());
    for directory in on_path.chain(usual.iter().map(PathBuf::from)) {
        let candidate = directory.join(NAME);
        if let Ok(meta) = fs::metadata(&candidate)
            && meta.is_file()
            && access(&candidate, AccessFlags::X_OK).is_ok()
            && !is_own(&candidate, &meta)
        {
            return Ok(candidate);
        }
    }
    bail!(
        "kubeadm: there is none but this hook, neither in PATH ({}) nor in {}; install kubeadm, or put its directory into \
         PATH",
        path.display(),
        usual.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    fn call(line: &str) -> Call {
        Call::of(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
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
            ("init --upload-certs --config f", "init", "f"),
            ("init --config a=b", "init", "a=b"),
            ("init --config f -- --dry-run --config g", "init", "f"),
            ("init --help=false --config f", "init", "f"),
            ("init --config f --rootfs=", "init", "f"),
        ] {
            let verb = if verb == "init" { "init" } else { "join" };
            assert_eq!(call(line), Call::WithFile { verb, file: file.to_owned(), rootfs: None }, "{line}");
        }
        for (line, verb) in [
            ("init", "init"),
            ("init --v=6", "init"),
            ("init --config", "init"),
            ("init --config=", "init"),
            ("init --config f --config=", "init"),
            ("init -- --config f", "init"),
            ("init --token --config f", "init"),
            ("join 10.0.0.1:6443 --token t --control-plane", "join"),
        ] {
            assert_eq!(call(line), Call::WithoutFile { verb }, "{line}");
        }
        for line in [
            "",
            "--v=6",
            "-",
            "--",
            "-- init --config f",
            "version --config f",
            "reset --config f",
            "upgrade apply --config f",
            "config images pull --config f",
            "token create --config f init",
            "completion bash",
            "help init --config f",
            "init phase control-plane all --config f",
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
            "-h init --config f",
            "--help",
            // To cobra, which doesn't know these flags yet, `init` is their value.
            "--dry-run init --config f",
            "--config init",
        ] {
            assert_eq!(call(line), Call::Other, "{line}");
        }
        let rootfs = Some("/host".to_owned());
        assert_eq!(
            call("--rootfs /host init --config f"),
            Call::WithFile { verb: "init", file: "f".to_owned(), rootfs }
        );
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

    #[test]
    fn the_real_one_is_the_first_that_is_another_program() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).join(NAME);
        for name in ["link", "hard", "copy", "plain", "directory/kubeadm", "dangling", "real", "usual"] {
            fs::create_dir_all(directory.path().join(name)).unwrap();
        }
        let own = env::current_exe().unwrap();
        symlink(&own, at("link")).unwrap();
        fs::copy(&own, at("copy")).unwrap();
        fs::hard_link(at("copy"), at("hard")).unwrap();
        symlink("/no/such", at("dangling")).unwrap();
        fs::write(at("plain"), "").unwrap();
        fs::set_permissions(at("plain"), fs::Permissions::from_mode(0o644)).unwrap();
        for name in ["real", "usual"] {
            fs::write(at(name), name).unwrap();
            fs::set_permissions(at(name), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let path = |names: &[&str]| env::join_paths(names.iter().map(|name| directory.path().join(name))).unwrap();
        let usual = directory.path().join("usual");
        let usual = [usual.to_str().unwrap()];
        let none = ["missing", "link", "hard", "copy", "plain", "directory", "dangling"];
        assert_eq!(real_kubeadm(&path(&[&none[..], &["real"]].concat()), &usual).unwrap(), at("real"));
        assert_eq!(real_kubeadm(&path(&none), &usual).unwrap(), at("usual"));
        assert_eq!(real_kubeadm(OsStr::new(""), &usual).unwrap(), at("usual"));
        let error = real_kubeadm(&path(&none), &["/no/such"]).unwrap_err().to_string();
        assert!(error.contains(path(&none).to_str().unwrap()) && error.contains("/no/such"), "{error}");
    }

    #[test]
    fn paths_are_absolute_and_plain() {
        let directory = tempfile::tempdir().unwrap();
        let top = directory.path().canonicalize().unwrap();
        fs::create_dir_all(top.join("far/below")).unwrap();
        fs::write(top.join("far/file"), "").unwrap();
        symlink("far/below", top.join("link")).unwrap();
        let here = env::current_dir().unwrap();
        assert_eq!(on_host(Path::new("a")).unwrap(), here.join("a"));
        assert_eq!(on_host(Path::new("./a/.//b")).unwrap(), here.join("a/b"));
        assert_eq!(on_host(Path::new("/a")).unwrap(), Path::new("/a"));
        assert_eq!(on_host(&top.join("link/../file")).unwrap(), top.join("far/file"), "as the kernel has it");
    }
}
