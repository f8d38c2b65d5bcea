//! Cases: stories of one or more nodes. A folder in `cases/` has `case.yaml` and a folder for each node, with its cloud-init
//! `user-data` and a script for each boot, `boot-1.sh` and so on. The scripts run in the node when cloud-init is done, and
//! tell of their steps; `rootfs/usr/local/lib/case/lib.sh` has what they say.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use crate::components::{Components, minor};
use crate::interrupt;
use crate::namespaces::{NETWORK, Node, Running, Switch};
use crate::{image, kubeadm, run, stale};

/// Where the cases are.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");

/// How long a boot may take, as a multiple of what the whole case takes, and how long it may say nothing.
const LIMIT: u32 = 5;
const SILENCE: Duration = Duration::from_secs(300);

/// A story.
#[derive(Clone, Debug)]
pub struct Case {
    pub name: String,
    pub about: String,
    /// It begins with the version before the one that it is run for.
    pub from_previous: bool,
    /// It takes too long to be run for every change.
    pub long: bool,
    /// How long it takes, more or less: the longest begin first.
    pub seconds: u32,
    dir: PathBuf,
    nodes: Vec<String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    about: String,
    #[serde(default)]
    from_previous: bool,
    #[serde(default)]
    long: bool,
    seconds: u32,
}

/// What a case is run with.
#[derive(Clone, Debug)]
pub struct Setting {
    pub components: Components,
    /// The program under test.
    pub program: PathBuf,
    /// Where logs of failed jobs go.
    pub log_root: PathBuf,
    /// By how much limits are longer.
    pub patience: u32,
    /// Print each step.
    pub verbose: bool,
}

impl Setting {
    /// Where the logs of a job go, for a version.
    pub fn logs(&self, job: &str, version: &str) -> PathBuf {
        self.log_root.join(format!("{job}-{version}"))
    }
}

/// How a case ended.
#[derive(Debug)]
pub enum Verdict {
    Passed,
    /// Why, and where the logs are.
    Failed(String),
}

/// All cases, by name.
///
/// # Errors
///
/// A case is not as it should be.
pub fn all() -> Result<Vec<Case>> {
    let mut cases = Vec::new();
    for entry in fs::read_dir(CASES).context(CASES)? {
        cases.push(Case::read(&entry?.path())?);
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

impl Case {
    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("case.yaml");
        let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
        let description: Description = serde_yaml::from_str(&text).with_context(|| path.display().to_string())?;
        let mut nodes = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                ensure!(path.join("user-data").exists(), "{}: a node has user-data", path.display());
                ensure!(path.join("boot-1.sh").exists(), "{}: a node has boot-1.sh", path.display());
                nodes.push(name_of(&path));
            }
        }
        nodes.sort();
        ensure!(!nodes.is_empty(), "{}: a case has a folder for each node", dir.display());
        Ok(Self {
            name: name_of(dir),
            about: description.about,
            from_previous: description.from_previous,
            long: description.long,
            seconds: description.seconds,
            dir: dir.to_owned(),
            nodes,
        })
    }

    /// The versions that the case needs of all that there are, the first node's first, if it is run for `version`.
    ///
    /// # Errors
    ///
    /// The version before this one isn't there.
    pub fn versions(&self, version: &str, all: &[String]) -> Result<Vec<String>> {
        if !self.from_previous {
            return Ok(vec![version.to_owned()]);
        }
        let previous = all.iter().find(|other| minor(other) + 1 == minor(version));
        let previous = previous.with_context(|| format!("there is no version before {version} to begin with"))?;
        Ok(vec![previous.clone(), version.to_owned()])
    }

    /// Tells the story. An error is one of the harness, not of the case.
    ///
    /// # Errors
    ///
    /// A node can't be made, or the run was interrupted.
    pub fn run(&self, versions: &[String], setting: &Setting) -> Result<Verdict> {
        let image = image::image(&setting.components, versions)?;
        let top = stale::run_dir(&format!("{}-{}", self.name, versions.join("-")))?;
        let switch = Switch::start()?;
        let mut nodes = Vec::new();
        for (index, name) in self.nodes.iter().enumerate() {
            let address = format!("{NETWORK}.{}", 11 + index);
            let node = Node::new(&image, &top.path().join(name), name, &address, &switch)?;
            self.furnish(&node, name, &address, versions, setting)?;
            nodes.push(node);
        }
        let mut boot = 0;
        loop {
            boot += 1;
            let present: Vec<_> =
                self.nodes.iter().zip(&nodes).filter(|(name, _)| self.script(name, boot).exists()).collect();
            if present.is_empty() {
                return Ok(Verdict::Passed);
            }
            let running =
                present.iter().map(|(name, node)| Ok((*name, *node, node.boot()?))).collect::<Result<Vec<_>>>()?;
            if let Err(reason) = self.watch(running, boot, setting)? {
                let logs = setting.logs(&self.name, versions.last().map_or("", String::as_str));
                for (name, node) in self.nodes.iter().zip(&nodes) {
                    keep_logs(node, &logs.join(name))?;
                }
                return Ok(Verdict::Failed(format!("{reason}\nlogs: {}", logs.display())));
            }
        }
    }

    fn script(&self, node: &str, boot: u32) -> PathBuf {
        self.dir.join(node).join(format!("boot-{boot}.sh"))
    }

    /// Puts into a node what the case gives it.
    fn furnish(
        &self,
        node: &Node,
        name: &str,
        address: &str,
        versions: &[String],
        setting: &Setting,
    ) -> Result<()> {
        let newest = versions.last().map_or("", String::as_str);
        let api = kubeadm::api_version(&versions[0]).context("a kubeadm reads a version of its API")?;
        let fill = |text: &str| {
            text.replace("@VERSION@", &versions[0])
                .replace("@NEXT@", newest)
                .replace("@ADDRESS@", address)
                .replace("@KUBEADM_API@", api)
        };
        let seed = node.path("/var/lib/cloud/seed/nocloud");
        let case = node.path("/case");
        let bin = node.path("/usr/local/bin");
        for dir in [&seed, &case, &bin] {
            fs::create_dir_all(dir).with_context(|| dir.display().to_string())?;
        }
        for entry in fs::read_dir(self.dir.join(name))? {
            let path = entry?.path();
            let text = fill(&fs::read_to_string(&path).with_context(|| path.display().to_string())?);
            let to = if path.ends_with("user-data") { &seed } else { &case };
            fs::write(to.join(name_of(&path)), text)?;
        }
        fs::write(case.join("patience"), setting.patience.to_string())?;
        fs::write(seed.join("meta-data"), format!("instance-id: {}-{name}\n", self.name))?;
        fs::copy(&setting.program, bin.join("kube-audit-bootstrap"))
            .with_context(|| setting.program.display().to_string())?;
        Ok(())
    }

    /// Waits for all nodes to end, and says why one of them failed.
    fn watch(
        &self,
        mut running: Vec<(&String, &Node, Running)>,
        boot: u32,
        setting: &Setting,
    ) -> Result<Result<(), String>> {
        let start = Instant::now();
        let limit = Duration::from_secs(u64::from(self.seconds.max(60) * LIMIT * setting.patience));
        // Of each node: how many lines were seen, how much it had said by then, and when.
        let mut heard = vec![(0, 0, start); running.len()];
        while !running.is_empty() {
            interrupt::check()?;
            let mut index = 0;
            while index < running.len() {
                let (name, node, process) = &mut running[index];
                let ended = process.ended();
                let told = told(node, boot)?;
                for line in &told[heard[index].0.min(told.len())..] {
                    if setting.verbose {
                        eprintln!("{} {name}: {line}", self.name);
                    }
                }
                let said = size(&node.console()) + size(&node.result());
                if (told.len(), said) != (heard[index].0, heard[index].1) {
                    heard[index] = (told.len(), said, Instant::now());
                }
                let why = if start.elapsed() > limit {
                    Some("it didn't end in time")
                } else if heard[index].2.elapsed() > SILENCE * setting.patience {
                    Some("it said nothing for too long")
                } else {
                    None
                };
                match ended {
                    Ok(false) => match why {
                        Some(why) => return Ok(Err(failure(name, boot, &told, why))),
                        None => index += 1,
                    },
                    Ok(true) if told.last().is_some_and(|line| line == "RESULT pass") => {
                        running.remove(index);
                        heard.remove(index);
                    }
                    Ok(true) => return Ok(Err(failure(name, boot, &told, "it powered itself off"))),
                    Err(error) => {
                        let console = fs::read_to_string(node.console()).unwrap_or_default();
                        let console = run::tail(&console, 10);
                        if told.is_empty() {
                            return Err(error.context(console));
                        }
                        return Ok(Err(failure(name, boot, &told, &format!("{error}\n{console}"))));
                    }
                }
            }
            thread::sleep(Duration::from_millis(50));
        }
        Ok(Ok(()))
    }
}

/// The lines that a node told during a boot.
fn told(node: &Node, boot: u32) -> Result<Vec<String>> {
    let text = fs::read_to_string(node.result())?;
    let marker = format!("BOOT {boot}");
    Ok(text.lines().skip_while(|line| *line != marker).map(str::to_owned).collect())
}

fn failure(node: &str, boot: u32, told: &[String], why: &str) -> String {
    let mut step = "before its first step".to_owned();
    let mut lines = Vec::new();
    for line in told {
        if let Some(name) = line.strip_prefix("STEP ") {
            step = format!("in \"{name}\"");
        } else if line.starts_with("FAILED ") || line.starts_with("| ") {
            lines.push(line.clone());
        }
    }
    if lines.is_empty() {
        lines.push(why.to_owned());
    }
    format!("{node}, boot {boot}: failed {step}\n{}", lines.join("\n"))
}

/// Copies what tells why a node failed.
fn keep_logs(node: &Node, to: &Path) -> Result<()> {
    fs::create_dir_all(to).with_context(|| to.display().to_string())?;
    for file in [node.console(), node.result()] {
        fs::copy(&file, to.join(name_of(&file)))?;
    }
    for (from, name) in [
        ("/var/log/case", "case"),
        ("/var/log/pods", "pods"),
        ("/var/log/journal", "journal"),
        ("/var/log/kubernetes", "kubernetes"),
        ("/etc/kubernetes/manifests", "manifests"),
    ] {
        let from = node.path(from);
        if from.exists() {
            fs::create_dir_all(to.join(name))?;
            run::copy(&from, &to.join(name))?;
        }
    }
    for file in ["/var/log/cloud-init.log", "/var/log/cloud-init-output.log"] {
        let from = node.path(file);
        if from.exists() {
            fs::copy(&from, to.join(name_of(&from)))?;
        }
    }
    Ok(())
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}
