//! Cases: stories of one or more nodes, as their folders in `cases/` say them.
//!
//! A folder has `case.yaml` and a folder for each node. That one has a script for each boot, `boot-1.sh` and so on, and
//! may have cloud-init's `user-data` and `vendor-data`. The scripts run in the node when cloud-init is done, and report
//! their steps in the words of `scripts/lib.sh`. Nothing runs here: see [`crate::story`].

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use fs_err as fs;
use serde::Deserialize;

use crate::components::minor;
use crate::setting::On;

/// The folder of the cases.
const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/cases");

/// The user-data of a node's own. A node without it becomes a control plane, by kubeadm alone.
pub const USER_DATA: &str = "user-data";
/// What the maker of an image has cloud-init do, whatever the user-data says.
pub const VENDOR_DATA: &str = "vendor-data";

/// A story.
#[derive(Clone, Debug)]
pub struct Case {
    /// The name of its folder.
    pub name: String,
    /// What its `case.yaml` says.
    pub description: Description,
    /// Its folder.
    pub dir: PathBuf,
    /// The names of its nodes, sorted.
    pub nodes: Vec<String>,
}

/// What `case.yaml` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Description {
    /// What it shows, in one line.
    pub about: String,
    /// About how many seconds it takes in namespaces. The longest case starts first.
    pub seconds: u32,
    /// It takes too long to run for every change.
    #[serde(default)]
    pub long: bool,
    /// It starts with the version before the one that it is run for.
    #[serde(default)]
    pub from_previous: bool,
    /// Where it can run.
    #[serde(default = "on_nodes")]
    pub on: Vec<On>,
    /// The nodes have what kind needs: Docker, and a node image.
    #[serde(default)]
    pub docker: bool,
    /// The size in MiB of one more disk of the nodes, `/dev/disk/by-id/virtio-audit`, which is blank.
    #[serde(default)]
    pub disk: Option<u32>,
    /// The program is in the image of the nodes, where its package was installed.
    #[serde(default)]
    pub baked: bool,
    /// The nodes run the scripts, and neither systemd nor anything else.
    #[serde(default)]
    pub bare: bool,
    /// How often the power is cut.
    #[serde(default)]
    pub cuts: u32,
}

fn on_nodes() -> Vec<On> {
    vec![On::Namespaces, On::Qemu]
}

/// The names of all cases, sorted.
///
/// # Errors
///
/// The folder of the cases can't be read.
pub fn names() -> Result<Vec<String>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(CASES)? {
        let path = entry?.path();
        if path.is_dir() {
            names.push(name_of(&path));
        }
    }
    names.sort();
    Ok(names)
}

impl Case {
    /// Reads the case of a name.
    ///
    /// # Errors
    ///
    /// There is none, or it is not as it should be.
    pub fn named(name: &str) -> Result<Self> {
        Self::read(&Path::new(CASES).join(name))
    }

    fn read(dir: &Path) -> Result<Self> {
        let path = dir.join("case.yaml");
        let text = fs::read_to_string(&path)?;
        let description: Description = serde_yaml::from_str(&text).with_context(|| path.display().to_string())?;
        let mut nodes = Vec::new();
        for entry in fs::read_dir(dir)? {
            let path = entry?.path();
            if path.is_dir() {
                let files = fs::read_dir(&path)?;
                let boots = files.filter_map(|file| Some(name_of(&file.ok()?.path()).starts_with("boot-")));
                let boots = boots.filter(|is_boot| *is_boot).count();
                ensure!(
                    boots > 0 && (1..=boots).all(|boot| path.join(format!("boot-{boot}.sh")).exists()),
                    "{}: give a node boot-1.sh, boot-2.sh and so on, without a gap",
                    path.display()
                );
                nodes.push(name_of(&path));
            }
        }
        nodes.sort();
        ensure!(!nodes.is_empty(), "{}: a case has a node: add a folder for it", dir.display());
        let needs_machine =
            description.docker || description.disk.is_some() || description.bare || description.cuts > 0;
        ensure!(
            !(needs_machine && description.on.contains(&On::Namespaces)),
            "{}: what has docker, disk, bare or cuts doesn't run in namespaces: add `on: [qemu]`",
            path.display()
        );
        Ok(Self { name: name_of(dir), description, dir: dir.to_owned(), nodes })
    }

    /// The versions that the case needs if it is run for `version`: the version of its first boot, then the others.
    /// `all` are those that there are.
    ///
    /// # Errors
    ///
    /// The case starts with the version before, which isn't there.
    pub fn versions(&self, version: &str, all: &[String]) -> Result<Vec<String>> {
        if !self.description.from_previous {
            return Ok(vec![version.to_owned()]);
        }
        let previous = all.iter().find(|other| minor(other) + 1 == minor(version));
        let previous = previous.with_context(|| format!("there is no version before {version} to start with"))?;
        Ok(vec![previous.clone(), version.to_owned()])
    }

    /// Has a node vendor-data?
    pub fn has_vendor_data(&self) -> bool {
        self.nodes.iter().any(|node| self.dir.join(node).join(VENDOR_DATA).exists())
    }

    /// Has a node a script for this boot, which is counted from 1?
    pub fn has_script(&self, node: &str, boot: u32) -> bool {
        self.dir.join(node).join(format!("boot-{boot}.sh")).exists()
    }

    /// How often the power is cut, if the command line asks for so many cuts.
    pub fn count_cuts(&self, asked: Option<u32>) -> u32 {
        if self.description.cuts == 0 { 0 } else { asked.unwrap_or(self.description.cuts) }
    }
}

/// The last part of a path.
pub fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_case_that_would_not_be_told_to_its_end_is_refused() {
        let top = std::env::temp_dir().join(format!("cases-{}", std::process::id()));
        for (index, (more, scripts, wanted)) in [
            ("", &["boot-1.sh", "boot-2.sh"][..], None),
            ("", &["boot-1.sh", "boot-3.sh"], Some("give a node boot-1.sh, boot-2.sh and so on")),
            ("", &["lib.sh"], Some("give a node boot-1.sh")),
            ("cuts: 3", &["boot-1.sh"], Some("doesn't run in namespaces")),
            ("on: [qemu]\ncuts: 3", &["boot-1.sh"], None),
        ]
        .into_iter()
        .enumerate()
        {
            let dir = top.join(index.to_string());
            fs::create_dir_all(dir.join("node")).unwrap();
            fs::write(dir.join("case.yaml"), format!("about: it\nseconds: 60\n{more}\n")).unwrap();
            for script in scripts {
                fs::write(dir.join("node").join(script), "").unwrap();
            }
            let read = Case::read(&dir).map_err(|error| format!("{error:#}"));
            match wanted {
                None => assert_eq!(read.unwrap().nodes, ["node"], "{scripts:?}"),
                Some(wanted) => assert!(read.unwrap_err().contains(wanted), "{scripts:?}"),
            }
        }
        fs::remove_dir_all(&top).unwrap();
    }
}
