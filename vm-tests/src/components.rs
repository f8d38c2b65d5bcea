//! The real programs of Kubernetes, etcd and containerd, and what a version of Kubernetes means to the harness. They
//! are built from their Go modules into the cache, or taken from a folder of release binaries.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;

use crate::cache::{self, Key};
use crate::{interrupt, run};

/// The folder of the pinned modules. Each has a folder MODULE-VERSION with go.mod, go.sum and the list of commands.
const PINNED: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/components");

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
    /// A folder of release binaries. Without it the programs are built.
    pub given: Option<PathBuf>,
}

impl Components {
    /// The path of a program of Kubernetes, in a version such as `1.37.2`.
    ///
    /// # Errors
    ///
    /// It isn't in the given folder, or can't be built.
    pub fn provide_kubernetes(&self, version: &str, name: &str) -> Result<PathBuf> {
        if let Some(path) = self.find(&format!("v{version}/{name}"))? {
            return Ok(path);
        }
        let minor = version.split('.').nth(1).unwrap_or_default();
        // The stamps of a release build. kubeadm deploys the version that is stamped into it.
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

    /// The path of etcd.
    ///
    /// # Errors
    ///
    /// As with [`Components::provide_kubernetes`].
    pub fn provide_etcd(&self) -> Result<PathBuf> {
        match self.find("etcd")? {
            Some(path) => Ok(path),
            None => build(&format!("etcd-{ETCD_VERSION}"), "go.etcd.io/etcd/server/v3", "etcd", ""),
        }
    }

    /// The path of a program of containerd.
    ///
    /// # Errors
    ///
    /// As with [`Components::provide_kubernetes`].
    pub fn provide_containerd(&self, name: &str) -> Result<PathBuf> {
        if let Some(path) = self.find(name)? {
            return Ok(path);
        }
        let module = "github.com/containerd/containerd/v2";
        let stamp = format!(" -X {module}/version.Version=v{CONTAINERD_VERSION}");
        build(&format!("containerd-{CONTAINERD_VERSION}"), &format!("{module}/cmd/{name}"), name, &stamp)
    }

    /// The path of crictl. See [`needs_crictl`].
    ///
    /// # Errors
    ///
    /// As with [`Components::provide_kubernetes`].
    pub fn provide_crictl(&self) -> Result<PathBuf> {
        match self.find("crictl")? {
            Some(path) => Ok(path),
            None => {
                build(&format!("cri-tools-{CRI_TOOLS_VERSION}"), "sigs.k8s.io/cri-tools/cmd/crictl", "crictl", "")
            }
        }
    }

    /// The path of kind.
    ///
    /// # Errors
    ///
    /// As with [`Components::provide_kubernetes`].
    pub fn provide_kind(&self) -> Result<PathBuf> {
        match self.find("kind")? {
            Some(path) => Ok(path),
            None => build(&format!("kind-{KIND_VERSION}"), "sigs.k8s.io/kind", "kind", ""),
        }
    }

    /// The path of a program in the given folder, if a folder is given.
    fn find(&self, name: &str) -> Result<Option<PathBuf>> {
        let Some(dir) = &self.given else { return Ok(None) };
        let path = dir.join(name);
        ensure!(
            path.is_file(),
            "{} is missing: put it there; --components takes a folder with etcd, {}, and v1.N.P/{{{}}}",
            path.display(),
            CONTAINERD.join(", "),
            KUBERNETES.join(",")
        );
        Ok(Some(path))
    }
}

/// The folder in which Go keeps the module of kind, with the files of a node image.
///
/// # Errors
///
/// Go can't download it.
pub fn fetch_kind_module() -> Result<PathBuf> {
    let module = Path::new(PINNED).join(format!("kind-{KIND_VERSION}"));
    let go = |arguments: &[&str]| {
        run::output(set_go_environment(&mut Command::new("go")).current_dir(&module).args(arguments))
    };
    go(&["mod", "download", "sigs.k8s.io/kind"])?;
    Ok(go(&["list", "-m", "-f", "{{.Dir}}", "sigs.k8s.io/kind"])?.trim().into())
}

/// The versions of Kubernetes that are pinned, oldest first, such as `1.37.2`.
///
/// # Errors
///
/// The folder of the pinned modules can't be read.
pub fn pinned_versions() -> Result<Vec<String>> {
    let mut versions: Vec<String> = fs::read_dir(PINNED)
        .with_context(|| PINNED.to_owned())?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_prefix("kubernetes-").map(str::to_owned))
        .collect();
    versions.sort_by_key(|version| minor(version));
    Ok(versions)
}

/// Does the kubeadm of this version call crictl to pull images? A later kubeadm asks containerd itself.
pub fn needs_crictl(version: &str) -> bool {
    minor(version) < 31
}

/// The number of the minor version: 37 for `1.37.2`.
pub fn minor(version: &str) -> u32 {
    version.split('.').nth(1).and_then(|minor| minor.parse().ok()).unwrap_or_default()
}

/// The version of kubeadm's API that kubeadm validates if it is allowed to, but makes no cluster of.
pub const EXPERIMENTAL: &str = "kubeadm.k8s.io/v1";

/// The versions of its API that the kubeadm of a version reads, oldest first, of those that the program edits. Source:
/// `SupportedVersions` and `oldKnownAPIVersions` of `cmd/kubeadm/app/util/config/common.go`.
pub fn api_versions(version: &str) -> Vec<&'static str> {
    [
        ("kubeadm.k8s.io/v1beta2", 0..27),
        ("kubeadm.k8s.io/v1beta3", 22..37),
        ("kubeadm.k8s.io/v1beta4", 31..u32::MAX),
        (EXPERIMENTAL, 37..u32::MAX),
    ]
    .into_iter()
    .filter(|(_, minors)| minors.contains(&minor(version)))
    .map(|(api, _)| api)
    .collect()
}

/// The newest version of its API that the kubeadm of a version makes a cluster of.
pub fn api_version(version: &str) -> Option<&'static str> {
    api_versions(version).into_iter().rfind(|api| *api != EXPERIMENTAL)
}

/// Are the arguments of a component a list in this version of kubeadm's API, rather than a map? The same versions take
/// timeouts.
pub fn has_lists(api: &str) -> bool {
    ["kubeadm.k8s.io/v1beta4", EXPERIMENTAL].contains(&api)
}

/// Builds one program of a pinned module, unless the cache has it.
fn build(module: &str, package: &str, name: &str, stamps: &str) -> Result<PathBuf> {
    let source = Path::new(PINNED).join(module);
    let go = find_go(&source)?;
    let flags = format!("-s -w{stamps}");
    let key = Key::default().with(&go).with(package).with(&flags).with_folder(&source)?;
    let folder = cache::provide_folder(&format!("{name}-{module}"), &key, |folder| {
        interrupt::check()?;
        eprintln!("{name} ({module}): building, which can take minutes");
        let start = Instant::now();
        // The build ends with this process, which holds the lock on the folder.
        let mut build = run::bound("nice");
        build.args(["go", "build", "-trimpath", "-ldflags", &flags, "-o"]).arg(folder.join(name)).arg(package);
        run::long_output(set_go_environment(&mut build).current_dir(&source))?;
        eprintln!("{name} ({module}): built in {} s", start.elapsed().as_secs());
        Ok(())
    })?;
    Ok(folder.join(name))
}

/// Has Go build static programs, of nothing but what is pinned, and with no other toolchain than the one here.
fn set_go_environment(command: &mut Command) -> &mut Command {
    for name in ["GOARCH", "GOOS", "GOAMD64", "GOEXPERIMENT", "GOROOT"] {
        command.env_remove(name);
    }
    command
        .env("CGO_ENABLED", "0")
        .env("GOTOOLCHAIN", "local")
        .env("GOFLAGS", "-mod=readonly")
        .env("GOWORK", "off")
}

/// The version of Go, such as `go1.26.8`, if it is new enough for a module.
fn find_go(source: &Path) -> Result<String> {
    let printed = run::output(Command::new("go").arg("version").env("GOTOOLCHAIN", "local")).context(
        "Go, which builds Kubernetes, is missing: install it from https://go.dev/dl, or give release binaries with \
         --components DIR",
    )?;
    let version = printed.split(' ').find(|word| word.starts_with("go1")).unwrap_or_default().to_owned();
    let path = source.join("go.mod");
    let text = fs::read_to_string(&path)?;
    let wanted = text.lines().find_map(|line| line.strip_prefix("go ")).unwrap_or_default();
    if numbers(version.trim_start_matches("go")) < numbers(wanted) {
        bail!(
            "{} needs Go {wanted} or newer, and this is {version}: install a newer one from https://go.dev/dl, or give \
             release binaries with --components DIR",
            source.display()
        );
    }
    Ok(version)
}

/// The numbers of a version, to compare: 1, 26 and 8 for `1.26.8`.
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
        let minors: Vec<_> = pinned_versions().unwrap().iter().map(|version| minor(version)).collect();
        assert_eq!(minors, (26..=37).collect::<Vec<_>>());
    }

    #[test]
    fn every_kubeadm_reads_a_version_of_its_api() {
        for (version, apis) in [
            ("1.26.15", &["v1beta2", "v1beta3"][..]),
            ("1.30.14", &["v1beta3"]),
            ("1.31.14", &["v1beta3", "v1beta4"]),
            ("1.37.2", &["v1beta4", "v1"]),
        ] {
            let apis: Vec<_> = apis.iter().map(|api| format!("kubeadm.k8s.io/{api}")).collect();
            assert_eq!(api_versions(version), apis, "{version}");
        }
    }

    #[test]
    fn go_versions_compare_as_numbers() {
        assert!(numbers("1.9") < numbers("1.26.0"));
        assert!(numbers("1.26.8") > numbers("1.26.0"));
        assert!(numbers("1.19.8") < numbers("1.24"));
        assert!(numbers("1.27rc1") > numbers("1.26.8"));
    }

    #[test]
    fn a_given_folder_without_the_program_is_reported() {
        let components = Components { given: Some("/nowhere".into()) };
        let error = components.provide_kubernetes("1.37.2", "kubeadm").unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/v1.37.2/kubeadm is missing"), "{error}");
    }
}
