//! kubeadm as the judge: it must accept the files that the program edited, and make of them the manifest that the program
//! makes of kubeadm's own.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use serde_yaml::Value;

use crate::case::{Setting, Verdict};
use crate::components::minor;
use crate::{interrupt, run, stale};

/// Configurations in shapes of all kinds, a folder for each version of the API.
const SHAPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/shapes");

/// The cases of the program's own tests: what a case has before its run, is an input here.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/cases");

/// Files that kubeadm refuses before the edit, for a number where it wants a string.
const MADE_RIGHT: [&str; 1] = ["first-boot-existing-replace"];

/// A case that is about places: it has two files, and kubeadm takes one.
const NO_INPUT: &str = "first-boot-kairos";

/// Where the program looks for kubeadm's file when nobody tells it.
const PLACE: &str = "run/kubeadm/kubeadm.yaml";

/// The version that kubeadm validates, if it is allowed to, but makes no cluster of.
const EXPERIMENTAL: &str = "kubeadm.k8s.io/v1";

/// The versions of its API that a kubeadm reads, oldest first, of those that the program edits: `SupportedVersions` and
/// `oldKnownAPIVersions` of `cmd/kubeadm/app/util/config/common.go`.
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

/// The newest version of its API that a kubeadm makes a cluster of.
pub fn api_version(version: &str) -> Option<&'static str> {
    api_versions(version).into_iter().rfind(|api| *api != EXPERIMENTAL)
}

/// Are a component's arguments a list in this version, rather than a map, and can it say how long kubeadm waits for what?
pub fn has_lists(api: &str) -> bool {
    ["kubeadm.k8s.io/v1beta4", EXPERIMENTAL].contains(&api)
}

/// A kubeadm configuration in the root of a node.
struct Input {
    name: String,
    /// What else is in the root, such as the program's configuration.
    root: Option<PathBuf>,
    /// Where the file is in the root.
    path: String,
    text: String,
}

/// Runs all checks for a version of kubeadm and of its API.
///
/// # Errors
///
/// The harness's own: a scratch folder or kubeadm can't be made.
pub fn judge(version: &str, api: &str, setting: &Setting) -> Result<Verdict> {
    let kubeadm = setting.components.kubernetes(version, "kubeadm")?;
    let short = api.rsplit('/').next().unwrap_or(api);
    let top = stale::run_dir(&format!("kubeadm-{version}-{short}"))?;
    let judge = Judge { kubeadm, version, api, setting, top: top.path() };
    for input in judge.inputs()? {
        interrupt::check()?;
        let top = judge.top.join(&input.name);
        if let Err(error) = judge.check(&input, &top) {
            interrupt::check()?;
            let logs = setting.logs(&format!("kubeadm-{short}"), version);
            fs::create_dir_all(&logs)?;
            run::copy(&top, &logs)?;
            return Ok(Verdict::Failed(format!("{}: {error:#}\nfiles: {}", input.name, logs.display())));
        }
        if setting.verbose {
            eprintln!("kubeadm-{short} ({version}): OK {}", input.name);
        }
    }
    Ok(Verdict::Passed(None))
}

struct Judge<'a> {
    kubeadm: PathBuf,
    version: &'a str,
    api: &'a str,
    setting: &'a Setting,
    top: &'a Path,
}

impl Judge<'_> {
    /// kubeadm's own defaults, and what is [`written`] here.
    fn inputs(&self) -> Result<Vec<Input>> {
        let mut inputs = written(self.version, self.api)?;
        // kubeadm prints the newest version alone.
        if api_version(self.version) == Some(self.api) {
            let defaults = run::output(Command::new(&self.kubeadm).args(["config", "print", "init-defaults"]))?;
            ensure!(defaults.contains(&format!("{}\n", self.api)), "kubeadm's defaults are not of {}", self.api);
            inputs.push(input("init-defaults", None, PLACE, &defaults, self.version));
        }
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(inputs)
    }

    fn check(&self, input: &Input, top: &Path) -> Result<()> {
        let unedited = top.join("unedited.yaml");
        let edited = self.root(input, &top.join("edited"))?;
        fs::write(&unedited, &input.text)?;
        let was_right = self.validate(&unedited);
        match (&was_right, MADE_RIGHT.contains(&input.name.as_str())) {
            (Err(error), false) => bail!("kubeadm refuses the file before the edit: {error:#}"),
            (Ok(()), true) => bail!("kubeadm takes the file before the edit: it doesn't belong into MADE_RIGHT"),
            _ => {}
        }
        self.apply(&edited)?;
        let edited_file = edited.join(&input.path);
        let text = fs::read_to_string(&edited_file)?;
        ensure!(text != input.text, "apply didn't edit {}", input.path);
        self.validate(&edited_file).context("kubeadm refuses the edited file")?;
        // A number where kubeadm wants a string is put right by the edit; before it there is nothing to compare with.
        if self.api == EXPERIMENTAL || was_right.is_err() {
            return Ok(());
        }

        // kubeadm's manifest from the edited file is our edit of kubeadm's manifest from the unedited one.
        let theirs = self.render(&text, &top.join("theirs"))?;
        let ours = self.render(&input.text, &top.join("ours"))?;
        let node = self.root(input, &top.join("node"))?;
        fs::remove_file(node.join(&input.path))?;
        put_manifest(&node, &ours)?;
        self.apply(&node)?;
        let ours = fs::read_to_string(manifest(&node))?;
        let (we_say, they_say) = (meaning(&ours)?, meaning(&theirs)?);
        let less = |these: &[String], those: &[String]| {
            these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<_>>().join("\n")
        };
        ensure!(
            we_say == they_say,
            "the edit of kubeadm's manifest says\n{}\nand kubeadm's manifest from the edited file\n{}",
            less(&we_say, &they_say),
            less(&they_say, &we_say)
        );

        // On a node that kubeadm made from the edited file there is nothing to do.
        put_manifest(&edited, &theirs)?;
        run::output(Command::new(&self.setting.program).arg("plan").arg("--root").arg(&edited))
            .context("there is something to do on what kubeadm made of the edited file")?;
        Ok(())
    }

    /// The input's root, with its kubeadm file.
    fn root(&self, input: &Input, root: &Path) -> Result<PathBuf> {
        fs::create_dir_all(root)?;
        if let Some(before) = &input.root {
            run::copy(before, root)?;
        }
        let file = root.join(&input.path);
        fs::create_dir_all(file.parent().context("a file has a folder")?)?;
        fs::write(&file, &input.text)?;
        Ok(root.to_owned())
    }

    fn apply(&self, root: &Path) -> Result<()> {
        run::output(Command::new(&self.setting.program).arg("apply").arg("--root").arg(root)).map(drop)
    }

    /// Does kubeadm accept a file? Before 1.28 it has no verb for that, and must make something of it.
    fn validate(&self, file: &Path) -> Result<()> {
        if minor(self.version) < 28 {
            return self.render(&fs::read_to_string(file)?, &self.top.join("validate")).map(drop);
        }
        let mut command = Command::new(&self.kubeadm);
        command.args(["config", "validate", "--config"]).arg(file);
        if self.api == EXPERIMENTAL {
            command.arg("--allow-experimental-api");
        }
        run::output(&mut command).map(drop)
    }

    /// The manifest that kubeadm makes of a configuration.
    fn render(&self, text: &str, root: &Path) -> Result<String> {
        fs::create_dir_all(root)?;
        fs::write(root.join("kubeadm.yaml"), text)?;
        init_phase(&self.kubeadm, root, "/kubeadm.yaml", &["control-plane", "apiserver"])?;
        Ok(fs::read_to_string(manifest(root))?)
    }
}

/// Every configuration of this API version in the cases of first boots, and all shapes.
fn written(version: &str, api: &str) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for name in MADE_RIGHT.iter().chain([&NO_INPUT]) {
        ensure!(Path::new(CASES).join(name).exists(), "there is no case {name} any more");
    }
    for entry in fs::read_dir(CASES)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A case with arguments is about these.
        if !name.starts_with("first-boot-") || name == NO_INPUT || path.join("args").exists() {
            continue;
        }
        let before = path.join("before");
        let list = run::output(Command::new("grep").args(["-rl", "kubeadm.k8s.io"]).arg(&before))?;
        let [file] = list.lines().collect::<Vec<_>>()[..] else {
            bail!("{} has {list:?}, where one kubeadm file was expected", before.display());
        };
        let text = fs::read_to_string(file)?;
        let place = Path::new(file).strip_prefix(&before)?.to_string_lossy().into_owned();
        let own =
            text.lines().find_map(|line| line.strip_prefix("apiVersion: ").filter(|api| api.contains("kubeadm")));
        let own = own.with_context(|| format!("{file} names no version"))?;
        // What looks the same in both versions is an input for both; only the experimental one has mergeMethod.
        let same_shape = has_lists(own) == has_lists(api) || !text.contains("extraArgs");
        if same_shape && (own != EXPERIMENTAL || api == EXPERIMENTAL) {
            inputs.push(input(&name, Some(before), &place, &text.replace(own, api), version));
        }
    }
    // Shapes that people write, and few cases have.
    let shapes = Path::new(SHAPES).join(api.rsplit('/').next().unwrap_or(api));
    let of_api = if shapes.exists() { Some(fs::read_dir(&shapes)?) } else { None };
    ensure!(
        of_api.is_some() || !["kubeadm.k8s.io/v1beta3", "kubeadm.k8s.io/v1beta4"].contains(&api),
        "{} is missing",
        shapes.display()
    );
    for entry in of_api.into_iter().flatten() {
        let path = entry?.path();
        let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path)?;
        inputs.push(input(&name, None, PLACE, &text, version));
    }
    Ok(inputs)
}

/// An input whose Kubernetes version is one that this kubeadm deploys.
fn input(name: &str, root: Option<PathBuf>, path: &str, text: &str, version: &str) -> Input {
    let mut lines = String::new();
    for line in text.split_inclusive('\n') {
        match line.split_once("kubernetesVersion:") {
            Some((indent, _)) if indent.trim().is_empty() && !line.contains("@VERSION@") => {
                let end = if line.ends_with("\r\n") { "\r\n" } else { "\n" };
                lines += &format!("{indent}kubernetesVersion: v{version}{end}");
            }
            _ => lines += &line.replace("@VERSION@", version),
        }
    }
    Input { name: name.to_owned(), root, path: path.to_owned(), text: lines }
}

/// Runs a phase of `kubeadm init` with a folder as its root.
///
/// # Errors
///
/// kubeadm's.
pub fn init_phase(kubeadm: &Path, root: &Path, config: &str, phase: &[&str]) -> Result<()> {
    let mut command = Command::new(kubeadm);
    command.args(["init", "phase"]).args(phase).args(["--config", config, "--rootfs"]).arg(root);
    run::output(&mut command).map(drop)
}

fn manifest(root: &Path) -> PathBuf {
    root.join("etc/kubernetes/manifests/kube-apiserver.yaml")
}

fn put_manifest(root: &Path, text: &str) -> Result<()> {
    let path = manifest(root);
    fs::create_dir_all(path.parent().context("a file has a folder")?)?;
    fs::write(path, text).map_err(Into::into)
}

/// What a manifest says, a line each: the arguments, volumes and mounts in any order, and the rest as it is. A mount that is
/// writable need not say so.
fn meaning(text: &str) -> Result<Vec<String>> {
    let mut pod: Value = serde_yaml::from_str(text)?;
    let mut lines = Vec::new();
    let mut take = |list: &mut Value| {
        let items = std::mem::take(list);
        for mut item in items.as_sequence().into_iter().flatten().cloned() {
            if let Some(mount) =
                item.as_mapping_mut().filter(|mount| mount.get("readOnly") == Some(&Value::Bool(false)))
            {
                mount.remove("readOnly");
            }
            lines.push(serde_json::to_string(&item)?);
        }
        anyhow::Ok(())
    };
    let container = &mut pod["spec"]["containers"][0];
    take(&mut container["command"])?;
    take(&mut container["volumeMounts"])?;
    take(&mut pod["spec"]["volumes"])?;
    lines.sort();
    lines.push(serde_json::to_string(&pod)?);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

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

    /// Which cases of first boots are inputs, and how many shapes: those that are dropped are missed here.
    #[test]
    fn these_are_judged() {
        let maps = [
            "booleans-off",
            "by-hand",
            "existing-replace",
            "ignition",
            "init-only",
            "kind",
            "log-file-mounted",
            "volume-names-taken",
        ];
        let lists = [
            "by-hand",
            "cluster-api",
            "init-only",
            "log-file-mounted",
            "log-path-moved",
            "v1",
            "v1beta4-duplicate-args",
            "volume-names-taken",
        ];
        let without_v1: Vec<_> = lists.into_iter().filter(|name| *name != "v1").collect();
        for (version, api, cases, shapes) in [
            ("1.26.15", "v1beta2", &maps[..], 0),
            ("1.26.15", "v1beta3", &maps, 22),
            ("1.37.2", "v1beta4", &without_v1, 22),
            ("1.37.2", "v1", &lists, 0),
        ] {
            let inputs = written(version, &format!("kubeadm.k8s.io/{api}")).unwrap();
            let mut found: Vec<_> =
                inputs.iter().filter_map(|input| input.name.strip_prefix("first-boot-")).collect();
            found.sort_unstable();
            assert_eq!(found, cases, "{api}");
            assert_eq!(inputs.len() - found.len(), shapes, "{api}");
        }
    }

    #[test]
    fn order_of_arguments_has_no_meaning_but_another_argument_has() {
        let pod = |arguments: &str| {
            format!("spec: {{containers: [{{command: [{arguments}], volumeMounts: []}}], volumes: []}}")
        };
        let meaning = |arguments: &str| meaning(&pod(arguments)).unwrap();
        assert_eq!(meaning("a, --b, --c"), meaning("a, --c, --b"));
        assert_ne!(meaning("a, --b, --c"), meaning("a, --b"));
        assert_ne!(meaning("a, --b, --c"), meaning("a, --b, --d"));
    }
}
