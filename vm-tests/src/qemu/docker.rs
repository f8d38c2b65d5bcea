//! What Docker has in a machine in which kind makes a cluster: a node image like those of kind, made of our parts.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use serde_json::{Value, json};

use super::disk::make_file_system;
use crate::cache::{self, Key};
use crate::components::{self, Components};
use crate::image::{self, Installed};
use crate::run;

const OWN_TEXT: &[u8] = include_bytes!("docker.rs");
const HERE: &str = env!("CARGO_MANIFEST_DIR");
const SIZE: &str = "12G";

/// The files that kind's Dockerfile removes.
const UNWANTED: &str = "usr/lib/systemd/system/sysinit.target.wants/systemd-tmpfiles-setup.service \
    usr/lib/systemd/system/multi-user.target.wants/* etc/systemd/system/*.wants/* \
    usr/lib/systemd/system/local-fs.target.wants/* usr/lib/systemd/system/basic.target.wants/* \
    usr/lib/systemd/system/sockets.target.wants/*udev* usr/lib/systemd/system/sockets.target.wants/*initctl*";

/// Units that only cost time in a container.
const MASKED: [&str; 14] = [
    "dev-hugepages.mount",
    "getty.target",
    "ldconfig.service",
    "sys-kernel-debug.mount",
    "sys-kernel-tracing.mount",
    "systemd-binfmt.service",
    "systemd-firstboot.service",
    "systemd-hwdb-update.service",
    "systemd-journal-catalog-update.service",
    "systemd-logind.service",
    "systemd-modules-load.service",
    "systemd-random-seed.service",
    "systemd-udev-trigger.service",
    "systemd-udevd.service",
];

/// Makes a disk for `/var/lib/docker` that has the node image of a version, such as `kindest/node:v1.37.2`.
///
/// # Errors
///
/// A part can't be made.
pub fn make_docker_disk(components: &Components, version: &str) -> Result<PathBuf> {
    let node = make_kind_node(components, version)?;
    let debian = image::make_debian_of_machines()?;
    let script = Path::new(HERE).join("kind/import.sh");
    let parts = [&node, &debian].map(|path| path.to_string_lossy().into_owned());
    let key = Key::default().with(OWN_TEXT).with_file(&script)?.with(parts.join(" "));
    let folder = cache::provide_folder(&format!("docker-{version}"), &key, |folder| {
        eprintln!("kind's node image of {version}: importing it");
        let root = folder.join("root");
        // The Docker of this Debian imports the image. It runs in a copy.
        run::link(&debian, &root)?;
        let docker = folder.join("docker");
        fs::create_dir_all(&docker)?;
        let mut import = run::bound("unshare");
        import.args(["--mount", "--propagation", "private", "bash"]).arg(&script);
        import.arg(&root).arg(&node).arg(&docker).arg(format!("kindest/node:v{version}"));
        run::long_output(&mut import)?;
        make_file_system(&docker, &folder.join("docker.raw"), "docker", SIZE)?;
        fs::remove_dir_all(&root)?;
        fs::remove_dir_all(&docker)?;
        Ok(())
    })?;
    Ok(folder.join("docker.raw"))
}

/// Makes the root of a node in a container: kind's own files over a Debian, as kind's Dockerfile (`images/base`) and
/// its build of a node image (`pkg/build/nodeimage`) do it.
fn make_kind_node(components: &Components, version: &str) -> Result<PathBuf> {
    let debian = image::make_debian()?;
    let versions = [version.to_owned()];
    let store = image::make_store(components, &versions)?;
    let theirs = components::fetch_kind_module()?.join("images/base/files");
    let ours = Path::new(HERE).join("kind/node");
    let network = Path::new(HERE).join("rootfs/etc/cni");
    let pause = image::find_pause(components, version)?;
    let ctr = components.provide_containerd("ctr")?;
    let mut programs = vec![Installed::new(components.provide_crictl()?, "usr/local/bin/crictl")];
    for name in components::CONTAINERD {
        programs.push(Installed::new(components.provide_containerd(name)?, format!("usr/local/bin/{name}")));
    }
    for name in ["kubeadm", "kubelet", "kubectl"] {
        programs.push(Installed::new(components.provide_kubernetes(version, name)?, format!("usr/bin/{name}")));
    }
    let parts = [&debian, &store, &theirs].map(|path| path.to_string_lossy().into_owned());
    let mut key = Key::default().with(OWN_TEXT).with(parts.join(" ")).with_folder(&ours)?.with_folder(&network)?;
    for Installed { program, path } in &programs {
        key = key.with_program(program)?.with(path);
    }
    let folder = cache::provide_folder(&format!("kind-node-{version}"), &key, |folder| {
        let root = folder.join("root");
        run::link(&debian, &root)?;
        // In a node runs nothing but what kind asks for.
        let mut unwanted = Command::new("sh");
        unwanted.args(["-ec", "rm -rf $0", UNWANTED]).current_dir(&root);
        run::output(&mut unwanted)?;
        let mut copy = Command::new("cp");
        copy.args(["-r", "--remove-destination", "--no-preserve=mode,ownership"]);
        run::output(copy.arg(theirs.join(".")).arg(ours.join(".")).arg(&root))?;
        run::output(
            Command::new("chmod").args(["-R", "755"]).args(["usr/local/bin", "kind/bin"]).current_dir(&root),
        )?;
        run::copy(&network, &root.join("etc/cni"))?;
        for Installed { program, path } in &programs {
            fs::copy(program, root.join(path))?;
        }
        let units = root.join("etc/systemd/system");
        let wants = units.join("multi-user.target.wants");
        fs::create_dir_all(&wants)?;
        for unit in ["containerd.service", "kubelet.service", "undo-mount-hacks.service"] {
            symlink(format!("/etc/systemd/system/{unit}"), wants.join(unit))?;
        }
        for unit in MASKED {
            let _ = fs::remove_file(units.join(unit));
            symlink("/dev/null", units.join(unit))?;
        }
        for dir in ["etc/kubernetes/manifests", "opt/cni", "var/lib/containerd"] {
            fs::create_dir_all(root.join(dir))?;
        }
        for (target, link) in [
            ("/usr/lib/systemd/systemd", "usr/sbin/init"),
            ("/usr/lib/systemd/system/multi-user.target", "etc/systemd/system/default.target"),
            ("/usr/lib/cni", "opt/cni/bin"),
        ] {
            let _ = fs::remove_file(root.join(link));
            symlink(target, root.join(link)).with_context(|| link.to_owned())?;
        }
        edit(&root.join("etc/systemd/journald.conf"), |text| text + "ReadKMsg=no\n")?;
        fs::write(root.join("kind/version"), format!("v{version}"))?;
        let config = root.join("etc/containerd/config.toml");
        let text = fs::read_to_string(&config)?;
        ensure!(
            text.contains(THEIR_PAUSE),
            "{} has no {THEIR_PAUSE}: find which pause image kind names now",
            config.display()
        );
        edit(&config, |text| text.replace(THEIR_PAUSE, &pause))?;
        let spec = run::output(Command::new(&ctr).args(["oci", "spec"]))?;
        fs::write(root.join("etc/containerd/cri-base.json"), edit_container_spec(&spec)?)?;
        run::link(&store, &root.join("var/lib/containerd"))
    })?;
    Ok(folder.join("root"))
}

/// The pause image in kind's configuration of containerd.
const THEIR_PAUSE: &str = "registry.k8s.io/pause:3.10";

/// The base of every container's spec, edited as kind's Dockerfile does with jq.
fn edit_container_spec(spec: &str) -> Result<String> {
    let mut spec: Value = serde_json::from_str(spec).context("what ctr oci spec prints")?;
    spec["hooks"]["createContainer"] = json!([{"path": "/kind/bin/mount-product-files.sh"}]);
    if let Some(process) = spec["process"].as_object_mut() {
        process.remove("rlimits");
    }
    Ok(spec.to_string())
}

/// Replaces a file. It may be a link into the cache, through which nothing may be written.
fn edit(path: &Path, change: impl FnOnce(String) -> String) -> Result<()> {
    let text = fs::read_to_string(path).unwrap_or_default();
    if path.exists() {
        fs::remove_file(path)?;
    }
    Ok(fs::write(path, change(text))?)
}
