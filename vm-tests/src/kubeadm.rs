//! kubeadm as the judge: it must accept the files that the program edited, and make the same manifest of them that the
//! program makes of kubeadm's own manifest.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};
use fs_err as fs;
use serde_yaml::Value;

use crate::components::{EXPERIMENTAL, api_version, has_lists, minor};
use crate::patches::{self, Made, Right, Sample};
use crate::setting::{Invocation, Verdict};
use crate::{interrupt, run, stale};

/// The folder of configurations in the shapes that people write. It has a folder for each version of the API.
const SHAPES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/shapes");

/// The folder of the cases of the program's own tests. What a node has before the run of its case is an input here.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/cases");

/// The inputs that kubeadm refuses before the edit, for a number where it wants a string.
const MADE_RIGHT: [&str; 1] = ["first-boot-existing-replace"];

/// Cases that are no input. Kairos has two files, and kubeadm takes one. Of a webhook's files, some come only after the
/// first boot: what is mounted then differs from what a control plane with all of them needs.
const NO_INPUT: [&str; 2] = ["first-boot-kairos", "first-boot-webhook-names-files"];

/// The kubeconfig of the shapes that have a webhook of their own, and its path in the root.
const HOOK: (&str, &str) = (
    "etc/kubernetes/hook.conf",
    "clusters: [{name: a, cluster: {server: 'https://127.0.0.1:1'}}]\n\
     contexts: [{name: a, context: {cluster: a}}]\ncurrent-context: a\n",
);

/// The version of kubeadm's API whose configurations name no patches.
const WITHOUT_PATCHES: &str = "kubeadm.k8s.io/v1beta2";

/// The path at which the program finds kubeadm's file without being told.
const USUAL_PATH: &str = "run/kubeadm/kubeadm.yaml";

/// A kubeadm configuration in the root of a node.
struct Input {
    name: String,
    /// A folder with what else is in the root, such as the program's configuration.
    root: Option<PathBuf>,
    /// The path of the file in the root.
    path: String,
    text: String,
}

/// Runs all checks for a version of kubeadm and of its API.
///
/// # Errors
///
/// The harness's own: a scratch folder or kubeadm can't be made. An input that fails is a [`Verdict`].
pub fn judge(version: &str, api: &str, invocation: &Invocation) -> Result<Verdict> {
    let setting = &invocation.setting;
    let kubeadm = setting.components.provide_kubernetes(version, "kubeadm")?;
    let short = api.rsplit('/').next().unwrap_or(api);
    let top = stale::make_run_dir(&format!("kubeadm-{version}-{short}"))?;
    let judge = KubeadmJudge { kubeadm, version, api, program: &setting.program, top: top.path() };
    for input in judge.read_inputs()? {
        interrupt::check()?;
        let top = judge.top.join(&input.name);
        if let Err(error) = judge.check(&input, &top) {
            interrupt::check()?;
            let logs = invocation.logs(&format!("kubeadm-{short}"), version);
            fs::create_dir_all(&logs)?;
            run::copy(&top, &logs)?;
            return Ok(Verdict::Failed(format!("{}: {error:#}\nfiles: {}", input.name, logs.display())));
        }
        if invocation.is_verbose {
            eprintln!("kubeadm-{short} ({version}): OK {}", input.name);
        }
    }
    // The oldest version has no patches, and of the experimental one kubeadm makes nothing.
    if [EXPERIMENTAL, WITHOUT_PATCHES].contains(&api) {
        return Ok(Verdict::Passed { events: None });
    }
    let mut counts = BTreeMap::new();
    for index in 0..u64::from(invocation.patched) {
        interrupt::check()?;
        let seed = invocation.seed.wrapping_mul(1_000_003).wrapping_add(index);
        let top = judge.top.join("patched");
        match judge.check_patched(seed, &top) {
            Ok(what) => *counts.entry(what).or_insert(0_u32) += 1,
            Err(error) => {
                interrupt::check()?;
                let logs = invocation.logs(&format!("kubeadm-{short}"), version);
                fs::create_dir_all(&logs)?;
                run::copy(&top, &logs)?;
                let sample = format!("sample {index} of --seed {}", invocation.seed);
                return Ok(Verdict::Failed(format!("{sample}: {error:#}\nfiles: {}", logs.display())));
            }
        }
        fs::remove_dir_all(&top)?;
    }
    if !counts.is_empty() {
        println!(
            "kubeadm-{short} ({version}): --seed {} --patched {}: {counts:?}",
            invocation.seed, invocation.patched
        );
    }
    Ok(Verdict::Passed { events: None })
}

struct KubeadmJudge<'a> {
    kubeadm: PathBuf,
    version: &'a str,
    api: &'a str,
    /// The program under test.
    program: &'a Path,
    top: &'a Path,
}

impl KubeadmJudge<'_> {
    /// kubeadm's own defaults, and the configurations that this repository has.
    fn read_inputs(&self) -> Result<Vec<Input>> {
        let mut inputs = read_written(self.version, self.api)?;
        // kubeadm prints its defaults in the newest version of its API alone.
        if api_version(self.version) == Some(self.api) {
            let defaults = run::output(Command::new(&self.kubeadm).args(["config", "print", "init-defaults"]))?;
            ensure!(defaults.contains(&format!("{}\n", self.api)), "kubeadm's defaults are not of {}", self.api);
            inputs.push(make_input("init-defaults", None, USUAL_PATH, &defaults, self.version));
        }
        inputs.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(inputs)
    }

    fn check(&self, input: &Input, top: &Path) -> Result<()> {
        let unedited = top.join("unedited.yaml");
        let edited = self.make_root(input, &top.join("edited"))?;
        fs::write(&unedited, &input.text)?;
        let was_right = self.validate(&unedited);
        match (&was_right, MADE_RIGHT.contains(&input.name.as_str())) {
            (Err(error), false) => bail!("kubeadm refuses the file before the edit: {error:#}"),
            (Ok(()), true) => bail!("kubeadm takes the file before the edit: remove it from MADE_RIGHT"),
            _ => {}
        }
        self.apply(&edited)?;
        let edited_file = edited.join(&input.path);
        let text = fs::read_to_string(&edited_file)?;
        ensure!(text != input.text, "apply didn't edit {}", input.path);
        self.validate(&edited_file).context("kubeadm refuses the edited file")?;
        // The edit puts right a number where kubeadm wants a string. There is no manifest of before to compare with.
        if self.api == EXPERIMENTAL || was_right.is_err() {
            return Ok(());
        }

        // kubeadm's manifest of the edited file must be our edit of kubeadm's manifest of the unedited file.
        let theirs = self.render(&text, &top.join("theirs"))?;
        let ours = self.render(&input.text, &top.join("ours"))?;
        let node = self.make_root(input, &top.join("node"))?;
        fs::remove_file(node.join(&input.path))?;
        write_manifest(&node, &ours)?;
        self.apply(&node)?;
        let ours = fs::read_to_string(manifest_path(&node))?;
        let (we_say, they_say) = (sort_meaning(&ours)?, sort_meaning(&theirs)?);
        let subtract = |these: &[String], those: &[String]| {
            these.iter().filter(|line| !those.contains(line)).cloned().collect::<Vec<_>>().join("\n")
        };
        ensure!(
            we_say == they_say,
            "the edit of kubeadm's manifest says\n{}\nand kubeadm's manifest of the edited file says\n{}",
            subtract(&we_say, &they_say),
            subtract(&they_say, &we_say)
        );

        // On a node that kubeadm made of the edited file there must be nothing to do.
        write_manifest(&edited, &theirs)?;
        run::output(Command::new(self.program).arg("plan").arg("--root").arg(&edited))
            .context("there is something to do on what kubeadm made of the edited file")?;
        Ok(())
    }

    /// Checks what the program says of a random configuration with patches, by the manifest that kubeadm makes. Returns
    /// what it said.
    fn check_patched(&self, seed: u64, top: &Path) -> Result<&'static str> {
        let sample = patches::draw(seed, self.api, self.version, has_lists(self.api));
        let lay = |name: &str, text: &str, has_patches: bool| -> Result<PathBuf> {
            let root = top.join(name);
            fs::create_dir_all(root.join("run/kubeadm"))?;
            fs::write(root.join(USUAL_PATH), text)?;
            for directory in &sample.directories {
                fs::create_dir_all(root.join(directory))?;
            }
            fs::create_dir_all(root.join(patches::DIRECTORY))?;
            let Sample { patches, .. } = &sample;
            for (name, text) in patches.iter().filter(|_| has_patches) {
                let path = root.join(patches::DIRECTORY).join(name);
                fs::create_dir_all(path.parent().context("the path of the file has no folder")?)?;
                fs::write(path, text)?;
            }
            Ok(root)
        };
        let made = |root: &Path| -> Made {
            let error = |error: anyhow::Error| format!("{error:#}");
            // The other parts of the control plane, too: `init` stops if one can't be made.
            for phase in [["control-plane", "all"], ["etcd", "local"]] {
                run_init_phase(&self.kubeadm, root, &format!("/{USUAL_PATH}"), &phase).map_err(error)?;
            }
            let text = fs::read_to_string(manifest_path(root)).map_err(|fault| fault.to_string())?;
            serde_yaml::from_str(&text).map_err(|fault| fault.to_string())
        };
        let plain = made(&lay("plain", &sample.config, true)?);
        let audited = lay("audited", &sample.config, false)?;
        self.apply(&audited)?;
        let edited = fs::read_to_string(audited.join(USUAL_PATH))?;
        let audited = made(&audited).map_err(anyhow::Error::msg)?;
        let patched = made(&lay("patched", &edited, true)?);
        let right = patches::judge(&patched, &audited, &plain);
        let root = lay("judged", &sample.config, true)?;
        let output = Command::new(self.program).arg("apply").arg("--root").arg(&root).output()?;
        let says = String::from_utf8_lossy(&output.stderr);
        ensure!(!says.contains("can't be checked"), "the program has no judgement: {says}");
        if sample.stops {
            ensure!(patched.is_err(), "kubeadm does not stop");
            ensure!(output.status.code() == Some(1), "the program does not say that kubeadm stops");
        }
        match (output.status.code(), &right) {
            (Some(0), Right::No(why)) => bail!("the program says done, but {why}"),
            (Some(0), _) => {
                if let Ok(patched) = &patched {
                    let policy = fs::metadata(root.join("etc/kubernetes/audit-policy.yaml"))?;
                    let owner = (policy.uid(), policy.gid());
                    ensure!(owner == patches::owner(patched), "the policy belongs to {owner:?}");
                }
                ensure!(fs::read_to_string(root.join(USUAL_PATH))? == edited, "the patches change the edit");
                Ok("done")
            }
            (Some(1), Right::Yes) => bail!("the program refuses what is right: {says}"),
            (Some(1), _) => {
                let names_patch = sample.patches.iter().any(|(name, _)| says.contains(&format!("/{name}:")));
                ensure!(names_patch, "the refusal names no patch: {says}");
                Ok("refused")
            }
            (code, _) => bail!("the program ends with {code:?}: {says}"),
        }
    }

    /// Makes the root of an input, with its kubeadm file.
    fn make_root(&self, input: &Input, root: &Path) -> Result<PathBuf> {
        fs::create_dir_all(root)?;
        if let Some(before) = &input.root {
            run::copy(before, root)?;
        }
        let hook = Some(HOOK).filter(|(path, _)| input.text.contains(path));
        for (path, text) in hook.into_iter().chain([(input.path.as_str(), input.text.as_str())]) {
            let file = root.join(path);
            fs::create_dir_all(file.parent().context("the path of the file has no folder")?)?;
            fs::write(&file, text)?;
        }
        Ok(root.to_owned())
    }

    fn apply(&self, root: &Path) -> Result<()> {
        run::output(Command::new(self.program).arg("apply").arg("--root").arg(root)).map(drop)
    }

    /// Has kubeadm validate a file. Before 1.28 it has no verb for that, and has to make a manifest of the file.
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

    /// Has kubeadm make the manifest of a configuration.
    fn render(&self, text: &str, root: &Path) -> Result<String> {
        fs::create_dir_all(root)?;
        fs::write(root.join("kubeadm.yaml"), text)?;
        run_init_phase(&self.kubeadm, root, "/kubeadm.yaml", &["control-plane", "apiserver"])?;
        Ok(fs::read_to_string(manifest_path(root))?)
    }
}

/// The configurations of this version of the API: those of the cases of first boots, and all shapes.
fn read_written(version: &str, api: &str) -> Result<Vec<Input>> {
    let mut inputs = Vec::new();
    for name in MADE_RIGHT.iter().chain(&NO_INPUT) {
        ensure!(Path::new(CASES).join(name).exists(), "there is no case {name} any more");
    }
    for entry in fs::read_dir(CASES)? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        // A case that has arguments is about its arguments.
        if !name.starts_with("first-boot-") || NO_INPUT.contains(&name.as_str()) || path.join("args").exists() {
            continue;
        }
        let before = path.join("before");
        let list = run::output(Command::new("grep").args(["-rl", "kubeadm.k8s.io"]).arg(&before))?;
        let [file] = list.lines().collect::<Vec<_>>()[..] else {
            bail!("{} must have one kubeadm file, and has {list:?}", before.display());
        };
        let text = fs::read_to_string(file)?;
        let in_root = Path::new(file).strip_prefix(&before)?.to_string_lossy().into_owned();
        let own =
            text.lines().find_map(|line| line.strip_prefix("apiVersion: ").filter(|api| api.contains("kubeadm")));
        let own = own.with_context(|| format!("{file} names no version"))?;
        // What looks the same in two versions is an input for both. Only the experimental version has mergeMethod.
        let same_shape = has_lists(own) == has_lists(api) || !text.contains("extraArgs");
        if same_shape && (own != EXPERIMENTAL || api == EXPERIMENTAL) {
            inputs.push(make_input(&name, Some(before), &in_root, &text.replace(own, api), version));
        }
    }
    // Few cases have the shapes that people write.
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
        inputs.push(make_input(&name, None, USUAL_PATH, &text, version));
    }
    Ok(inputs)
}

/// An input whose Kubernetes version is the one that this kubeadm deploys.
fn make_input(name: &str, root: Option<PathBuf>, path: &str, text: &str, version: &str) -> Input {
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

/// Runs a phase of `kubeadm init` with a folder as its root. `config` is a path in that root.
///
/// # Errors
///
/// kubeadm can't be run, or fails.
pub fn run_init_phase(kubeadm: &Path, root: &Path, config: &str, phase: &[&str]) -> Result<()> {
    let mut command = Command::new(kubeadm);
    command.args(["init", "phase"]).args(phase).args(["--config", config, "--rootfs"]).arg(root);
    run::output(&mut command).map(drop)
}

fn manifest_path(root: &Path) -> PathBuf {
    root.join("etc/kubernetes/manifests/kube-apiserver.yaml")
}

fn write_manifest(root: &Path, text: &str) -> Result<()> {
    let path = manifest_path(root);
    fs::create_dir_all(path.parent().context("the path of the file has no folder")?)?;
    fs::write(path, text).map_err(Into::into)
}

/// What a manifest says, in lines that compare: its arguments, volumes and mounts sorted, and the rest as it is. A
/// mount is writable unless it says otherwise, so `readOnly: false` is left out. Only the program marks a pod with its
/// policy, so the mark is left out, too.
fn sort_meaning(text: &str) -> Result<Vec<String>> {
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
    if let Some(annotations) = pod["metadata"]["annotations"].as_mapping_mut() {
        annotations.remove("kube-audit-bootstrap/policy");
    }
    lines.push(serde_json::to_string(&pod)?);
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Which cases of first boots are inputs, and how many shapes. This test notices an input that was dropped.
    #[test]
    fn these_inputs_are_judged() {
        let maps = [
            "booleans-off",
            "by-hand",
            "existing-replace",
            "ignition",
            "init-only",
            "kind",
            "log-file-mounted",
            "volume-names-taken",
            "with-storage-device",
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
            "with-storage-device",
        ];
        let without_v1: Vec<_> = lists.into_iter().filter(|name| *name != "v1").collect();
        for (version, api, cases, shapes) in [
            ("1.26.15", "v1beta2", &maps[..], 0),
            ("1.26.15", "v1beta3", &maps, 22),
            ("1.37.2", "v1beta4", &without_v1, 22),
            ("1.37.2", "v1", &lists, 0),
        ] {
            let inputs = read_written(version, &format!("kubeadm.k8s.io/{api}")).unwrap();
            let mut found: Vec<_> =
                inputs.iter().filter_map(|input| input.name.strip_prefix("first-boot-")).collect();
            found.sort_unstable();
            assert_eq!(found, cases, "{api}");
            assert_eq!(inputs.len() - found.len(), shapes, "{api}");
        }
    }

    #[test]
    fn the_order_of_arguments_means_nothing_but_another_argument_does() {
        let pod = |arguments: &str| {
            format!("spec: {{containers: [{{command: [{arguments}], volumeMounts: []}}], volumes: []}}")
        };
        let meaning = |arguments: &str| sort_meaning(&pod(arguments)).unwrap();
        assert_eq!(meaning("a, --b, --c"), meaning("a, --c, --b"));
        assert_ne!(meaning("a, --b, --c"), meaning("a, --b"));
        assert_ne!(meaning("a, --b, --c"), meaning("a, --b, --d"));
    }
}
