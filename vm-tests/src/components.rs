//! The real programs of Kubernetes, etcd and containerd, built from their Go modules into the cache, or taken from a
//! folder of release binaries.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;

use crate::cache::{self, Key};
use crate::{interrupt, run};

/// Where the pinned modules are: a folder each, named MODULE-VERSION, with go.mod, go.sum and the list of commands.
pub const PINNED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/components");

/// The programs of a control-plane node.
pub const KUBERNETES: [&str; 6] =
    ["kubeadm", "kubelet", "kubectl", "kube-apiserver", "kube-controller-manager", "kube-scheduler"];

/// The programs of containerd.
pub const CONTAINERD: [&str; 3] = ["containerd", "containerd-shim-runc-v2", "ctr"];

const CRI_TOOLS_VERSION: &str = "1.36.0";
const CONTAINERD_VERSION: &str = "2.2.0";
const ETCD_VERSION: &str = "3.6.5";
const KIND_VERSION: &str = "0.33.0";

/// Where programs come from.
#[derive(Clone, Debug, Default)]
pub struct Components {
    /// A folder of release binaries; without one they are built.
    pub given: Option<PathBuf>,
}

impl Components {
    /// A program of Kubernetes, in a version such as `1.37.2`.
    ///
    /// # Errors
    ///
    /// It isn't in the given folder, or can't be built.
    pub fn kubernetes(&self, version: &str, name: &str) -> Result<PathBuf> {
        if let Some(path) = self.find(&format!("v{version}/{name}"))? {
            return Ok(path);
        }
        let minor = version.split('.').nth(1).unwrap_or_default();
        // What the release build stamps: kubeadm deploys the version that it has itself.
        let stamps: String = ["k8s.io/component-base/version", "k8s.io/client-go/pkg/version"]
            .iter()
            .flat_map(|package| {
                [
                    ("gitVersion", format!("v{version}")),
                    ("gitMajor", "1".to_owned()),
                    ("gitMinor", minor.to_owned()),
                    ("gitTreeState", "clean".to_owned()),
                    ("gitCommit", "0".repeat(40)),
                    ("buildDate", "2026-01-01T00:00:00Z".to_owned()),
                ]
                .map(|(name, value)| format!(" -X {package}.{name}={value}"))
            })
            .collect();
        let package = format!("k8s.io/kubernetes/cmd/{name}");
        build(&format!("kubernetes-{version}"), &package, name, &stamps)
    }

    /// etcd.
    ///
    /// # Errors
    ///
    /// As with [`Components::kubernetes`].
    pub fn etcd(&self) -> Result<PathBuf> {
        match self.find("etcd")? {
            Some(path) => Ok(path),
            None => build(&format!("etcd-{ETCD_VERSION}"), "go.etcd.io/etcd/server/v3", "etcd", ""),
        }
    }

    /// A program of containerd.
    ///
    /// # Errors
    ///
    /// As with [`Components::kubernetes`].
    pub fn containerd(&self, name: &str) -> Result<PathBuf> {
        if let Some(path) = self.find(name)? {
            return Ok(path);
        }
        let module = "github.com/containerd/containerd/v2";
        let stamp = format!(" -X {module}/version.Version=v{CONTAINERD_VERSION}");
        build(&format!("containerd-{CONTAINERD_VERSION}"), &format!("{module}/cmd/{name}"), name, &stamp)
    }

    /// crictl, which kubeadm calls before 1.31 ([`needs_crictl`]).
    ///
    /// # Errors
    ///
    /// As with [`Components::kubernetes`].
    pub fn crictl(&self) -> Result<PathBuf> {
        match self.find("crictl")? {
            Some(path) => Ok(path),
            None => {
                build(&format!("cri-tools-{CRI_TOOLS_VERSION}"), "sigs.k8s.io/cri-tools/cmd/crictl", "crictl", "")
            }
        }
    }

    /// kind.
    ///
    /// # Errors
    ///
    /// As with [`Components::kubernetes`].
    pub fn kind(&self) -> Result<PathBuf> {
        match self.find("kind")? {
            Some(path) => Ok(path),
            None => build(&format!("kind-{KIND_VERSION}"), "sigs.k8s.io/kind", "kind", ""),
        }
    }

    /// A program of the given folder, if there is a folder.
    fn find(&self, name: &str) -> Result<Option<PathBuf>> {
        let Some(dir) = &self.given else { return Ok(None) };
        let path = dir.join(name);
        ensure!(
            path.is_file(),
            "{} is missing: --components takes a folder with etcd, {}, and v1.N.P/{{{}}} for each version",
            path.display(),
            CONTAINERD.join(", "),
            KUBERNETES.join(",")
        );
        Ok(Some(path))
    }
}

/// Where Go keeps the module of kind, which has the files of a node image.
///
/// # Errors
///
/// It can't be had.
pub fn kind_module() -> Result<PathBuf> {
    let module = Path::new(PINNED).join(format!("kind-{KIND_VERSION}"));
    let go = |arguments: &[&str]| {
        run::output(go_environment(&mut Command::new("go")).current_dir(&module).args(arguments))
    };
    go(&["mod", "download", "sigs.k8s.io/kind"])?;
    Ok(go(&["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kind"])?.trim().into())
}

/// The versions of Kubernetes that are pinned, oldest first, such as `1.37.2`.
///
/// # Errors
///
/// The folder of pinned modules can't be read.
pub fn versions() -> Result<Vec<String>> {
    let mut versions: Vec<String> = fs::read_dir(PINNED)
        .with_context(|| PINNED.to_owned())?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_prefix("kubernetes-").map(str::to_owned))
        .collect();
    versions.sort_by_key(|version| minor(version));
    Ok(versions)
}

/// Does this version's kubeadm call crictl to pull images? Later ones ask containerd themselves.
pub fn needs_crictl(version: &str) -> bool {
    minor(version) < 31
}

/// The number of the minor version: 37 of `1.37.2`.
pub fn minor(version: &str) -> u32 {
    version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or_default()
}

/// Builds one program of a pinned module, unless the cache has it.
fn build(module: &str, package: &str, name: &str, stamps: &str) -> Result<PathBuf> {
    let source = Path::new(PINNED).join(module);
    let go = go(&source)?;
    let flags = format!("-s -w{stamps}");
    let key = Key::default().with(&go).with(package).with(&flags).with_folder(&source)?;
    let folder = cache::folder(&format!("{name}-{module}"), &key, |folder| {
        interrupt::check()?;
        eprintln!("{name} ({module}): building, which can take minutes");
        let start = Instant::now();
        // This process holds the lock on what is made.
        let mut build = run::bound("nice");
        build.args(["go", "build", "-trimpath", "-ldflags", &flags, "-o"]).arg(folder.join(name)).arg(package);
        run::long_output(go_environment(&mut build).current_dir(&source))?;
        eprintln!("{name} ({module}): built in {} s", start.elapsed().as_secs());
        Ok(())
    })?;
    Ok(folder.join(name))
}

/// What every call of Go gets: static programs, nothing but what is pinned, no other toolchain than the one here.
pub fn go_environment(command: &mut Command) -> &mut Command {
    for name in ["GOARCH", "GOOS", "GOAMD64", "GOEXPERIMENT", "GOROOT"] {
        command.env_remove(name);
    }
    command
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
}

/// The version of Go, such as `go1.26.8`, if it can build a module.
fn go(source: &Path) -> Result<String> {
    let printed = run::output(Command::new("go").arg("version").env("GOTOOLCHAIN", "local")).context(
        "Go is needed to build Kubernetes (or release binaries, with --components DIR): see https://go.dev/dl",
    )?;
    let version = printed.split(' ').find(|word| word.starts_with("go1")).unwrap_or_default().to_owned();
    let path = source.join("go.mod");
    let text = fs::read_to_string(&path)?;
    let wanted = text.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or_default();
    if numbers(version.trim_start_matches("go")) < numbers(wanted) {
        bail!(
            "{} needs Go {wanted} or newer, and this is {version}: see https://go.dev/dl, or give release binaries with \
             --components DIR",
            source.display()
        );
    }
    Ok(version)
}

fn numbers(version: &str) -> Vec<u32> {
    let digits =
        |part: &str| part.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default().parse().unwrap_or(0);
    version.split('.').map(digits).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_minor_from_1_26_to_1_37_is_pinned_once() {
        let minors: Vec<_> = versions().unwrap().iter().map(|version| minor(version)).collect();
        assert_eq!(minors, (26..=37).collect::<Vec<_>>());
    }

    #[test]
    fn go_versions_compare_as_numbers() {
        assert!(numbers("1.9") < numbers("1.26.0"));
        assert!(numbers("1.26.8") > numbers("1.26.0"));
        assert!(numbers("1.19.8") < numbers("1.24"));
        assert!(numbers("1.27rc1") > numbers("1.26.8"));
    }

    #[test]
    fn a_given_folder_without_the_program_is_told() {
        let components = Components { given: Some("/nowhere".into()) };
        let error = components.kubernetes("1.37.2", "kubeadm").unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/v1.37.2/kubeadm is missing"), "{error}");
    }
}
