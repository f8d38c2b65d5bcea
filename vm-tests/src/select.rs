//! Which jobs the names, the versions and the setting of a command line stand for.

use std::cmp::Reverse;
use std::slice::from_ref;

use anyhow::{Context, Result, ensure};

use crate::case::{self, Case};
use crate::components::{self, minor};
use crate::job::{Job, Task};
use crate::misuse::Misuse;
use crate::setting::{On, Setting};

/// A name that can be run, with a line about it.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The name of a case or a judge.
    pub name: String,
    /// What it shows.
    pub about: String,
}

/// What can be run besides cases: a name, and a line about it.
const JUDGES: [(&str, &str); 2] = [
    ("kubeadm", "kubeadm accepts what the program edited, and makes the manifest of it that the program makes"),
    ("apiserver", "kube-apiserver writes the events that the policy asks for, with every kind of configuration"),
];

/// The names that can be run, judges first.
///
/// # Errors
///
/// A case is not as it should be.
pub fn list() -> Result<Vec<Entry>> {
    let judge = |(name, about): &(&str, &str)| Entry { name: (*name).to_owned(), about: (*about).to_owned() };
    let mut list: Vec<_> = JUDGES.iter().map(judge).collect();
    for name in case::names()? {
        let about = Case::named(&name)?.description.about;
        list.push(Entry { name, about });
    }
    Ok(list)
}

/// The pinned versions that are asked for, oldest first. A version is asked for in full (1.37.2) or by its minor
/// version (1.37). An empty list asks for all of them.
///
/// # Errors
///
/// A version is not pinned.
pub fn find_versions(asked: &[String]) -> Result<Vec<String>> {
    let known = components::pinned_versions()?;
    if asked.is_empty() {
        return Ok(known);
    }
    let find = |asked: &String| {
        let found = known.iter().find(|version| *version == asked || version.starts_with(&format!("{asked}.")));
        let none = || Misuse(format!("version {asked} is not pinned: name one of {}", known.join(", "))).into();
        found.cloned().ok_or_else(none)
    };
    let mut found: Vec<_> = asked.iter().map(find).collect::<Result<_>>()?;
    found.sort_by_key(|version| minor(version));
    found.dedup();
    Ok(found)
}

/// A version that isn't built here, which kubeadm and kind take in full alone.
fn require_full(version: &str) -> Result<String> {
    let numbers: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
    ensure!(
        numbers.len() == 3 && numbers.iter().all(Result::is_ok),
        Misuse(format!("version {version}: name the full version here, such as 1.34.2"))
    );
    Ok(version.to_owned())
}

/// The jobs for names and versions, newest version first, and of each version the longest job first.
///
/// Without names these are the jobs that every change must pass: all that are not long. Without versions they run for
/// the newest one, and kubeadm for the oldest as well. With `all`, every case runs, and in namespaces every version.
/// Where nothing is built, any version will do.
///
/// # Errors
///
/// There is no such name or version, or a named case doesn't run with this setting.
pub fn select_jobs(names: &[String], asked: &[String], all: bool, setting: &Setting) -> Result<Vec<Job>> {
    let every = components::pinned_versions()?;
    let selection = Selection { names, asked, all, setting, every: &every };
    let cases = case::names()?;
    selection.check_names(&cases)?;
    let mut jobs = Vec::new();
    for name in cases {
        // A case that somebody is still writing keeps no other case from being run.
        if !all && !names.is_empty() && !names.contains(&name) {
            continue;
        }
        let case = Case::named(&name)?;
        if selection.is_wanted(&case.name, case.description.long) && selection.can_run(&case)? {
            jobs.extend(selection.case_jobs(&case)?);
        }
    }
    jobs.extend(selection.judge_jobs()?);
    ensure!(!jobs.is_empty(), Misuse("nothing that every change must pass runs there: name a case".to_owned()));
    // The oldest version comes last: what must be built for it is built while little else runs.
    jobs.sort_by_key(|job| Reverse((minor(job.version()), job.seconds())));
    Ok(jobs)
}

/// What the command line asks for.
struct Selection<'a> {
    names: &'a [String],
    /// The versions that are asked for, as they were typed.
    asked: &'a [String],
    all: bool,
    setting: &'a Setting,
    /// All pinned versions, oldest first.
    every: &'a [String],
}

impl Selection<'_> {
    fn oldest(&self) -> Result<&String> {
        self.every.first().context("no version is pinned")
    }

    fn newest(&self) -> Result<&String> {
        self.every.last().context("no version is pinned")
    }

    /// Does each name stand for a case, or for a judge where judges run?
    fn check_names(&self, cases: &[String]) -> Result<()> {
        for name in self.names {
            let is_judge = JUDGES.iter().any(|(judge, _)| judge == name);
            ensure!(
                is_judge || cases.contains(name),
                Misuse(format!("there is no case {name}: see `vm-tests list`"))
            );
            ensure!(
                !is_judge || self.setting.on == On::Namespaces,
                Misuse(format!("{name} needs no node: leave --on, --image and --accel out"))
            );
        }
        Ok(())
    }

    fn is_wanted(&self, name: &str, long: bool) -> bool {
        self.all || if self.names.is_empty() { !long } else { self.names.iter().any(|wanted| wanted == name) }
    }

    /// Can a case run with this setting? One that was named and can't is an error.
    fn can_run(&self, case: &Case) -> Result<bool> {
        let about = &case.description;
        if !about.on.contains(&self.setting.on) {
            let there: Vec<_> = about.on.iter().map(|on| format!("{on:?}").to_lowercase()).collect();
            let hint = format!("{} runs with --on {}", case.name, there.join(" or --on "));
            ensure!(self.names.is_empty(), Misuse(hint));
            return Ok(false);
        }
        // A package is installed into our Debian. What a cut of the power leaves behind depends on how our disk is
        // mounted. On somebody's image our own vendor-data brings the files of the case.
        let needs_own_image = about.bare
            || about.docker
            || about.from_previous
            || about.baked
            || about.cuts > 0
            || case.nodes.len() > 1
            || case.has_vendor_data();
        if needs_own_image && self.setting.image.is_some() {
            ensure!(
                self.names.is_empty(),
                Misuse(format!("{} runs on our own image alone: leave --image out", case.name))
            );
            return Ok(false);
        }
        ensure!(
            !about.baked || self.setting.package.is_some(),
            Misuse(format!("{} needs --package; `make packages` builds it", case.name))
        );
        Ok(true)
    }

    fn case_jobs(&self, case: &Case) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for version in self.versions_or(&[self.newest()?])? {
            match case.versions(&version, self.every) {
                Ok(versions) => {
                    jobs.push(Job { name: case.name.clone(), versions, task: Task::Case(case.clone()) });
                }
                // There is nothing to upgrade the oldest version from.
                Err(_) if self.all && case.description.from_previous && version == *self.oldest()? => {}
                Err(error) => return Err(error.context(case.name.clone())),
            }
        }
        Ok(jobs)
    }

    /// The jobs of the judges, which need no node: they run beside nodes in namespaces.
    fn judge_jobs(&self) -> Result<Vec<Job>> {
        let is_wanted = |name: &str| self.setting.on == On::Namespaces && self.is_wanted(name, false);
        let mut jobs = Vec::new();
        if is_wanted("kubeadm") {
            for version in self.versions_or(&[self.oldest()?, self.newest()?])? {
                for api in components::api_versions(&version) {
                    let name = api.replace("kubeadm.k8s.io/", "kubeadm-");
                    jobs.push(Job { name, versions: vec![version.clone()], task: Task::Kubeadm(api) });
                }
            }
        }
        if is_wanted("apiserver") {
            for version in self.versions_or(&[self.newest()?])? {
                jobs.push(Job { name: "apiserver".to_owned(), versions: vec![version], task: Task::ApiServer });
            }
        }
        Ok(jobs)
    }

    /// The versions that the command line asks for; where it names none, the given ones.
    fn versions_or(&self, usual: &[&String]) -> Result<Vec<String>> {
        let has_other_kubeadm = self.setting.image.is_some() || self.setting.on == On::Host;
        match self.asked {
            // All cases for one version take hours on machines.
            _ if self.all && self.setting.on == On::Namespaces => Ok(self.every.to_vec()),
            [] => {
                if has_other_kubeadm {
                    eprintln!("without --versions the kubeadm there is taken to be {}", self.newest()?);
                }
                Ok(usual.iter().map(|version| (*version).clone()).collect())
            }
            asked if has_other_kubeadm => asked.iter().map(|version| require_full(version)).collect(),
            // Release binaries may be of any version.
            asked if self.setting.components.given.is_some() => asked
                .iter()
                .map(|version| require_full(version).or_else(|_| Ok(find_versions(from_ref(version))?.remove(0))))
                .collect(),
            asked => find_versions(asked),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting() -> Setting {
        Setting {
            components: crate::components::Components::default(),
            on: On::Namespaces,
            accelerator: crate::qemu::Accelerator::Tcg,
            image: None,
            program: "/nowhere".into(),
            package: Some("/nowhere".into()),
            cuts: None,
            asked_patience: 1,
        }
    }

    fn names(cases: &[&str], versions: &[&str], all: bool) -> Vec<String> {
        let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let jobs = select_jobs(&owned(cases), &owned(versions), all, &setting()).unwrap();
        jobs.iter().map(|job| format!("{} {}", job.name, job.versions.join("-"))).collect()
    }

    fn on_machines(all: bool) -> Vec<String> {
        let setting = Setting { on: On::Qemu, ..setting() };
        sorted(select_jobs(&[], &[], all, &setting).unwrap().into_iter().map(|job| job.name).collect())
    }

    fn sorted<T: Ord>(mut list: Vec<T>) -> Vec<T> {
        list.sort();
        list
    }

    #[test]
    fn one_case_is_run_for_the_newest_version() {
        assert_eq!(names(&["reboot"], &[], false), ["reboot 1.37.2"]);
        assert_eq!(names(&["upgrade"], &[], false), ["upgrade 1.36.3-1.37.2"]);
        assert_eq!(names(&["reboot", "reboot"], &["1.37", "1.37.2"], false), ["reboot 1.37.2"]);
    }

    #[test]
    fn kubeadm_is_asked_in_every_version_of_its_api() {
        assert_eq!(names(&["kubeadm"], &["1.31"], false), ["kubeadm-v1beta3 1.31.14", "kubeadm-v1beta4 1.31.14"]);
    }

    /// The cases that every change must pass: one that is made long, or to run elsewhere alone, is missed here.
    const EVERY_CHANGE: [&str; 15] = [
        "admin-conf-of-no-use",
        "baked-image",
        "baked-repairs",
        "cluster",
        "edited-meanwhile",
        "first-boot",
        "hook",
        "join",
        "reboot",
        "sidecars",
        "silent",
        "storage-bind",
        "storage-devices",
        "wait",
        "wait-killed",
    ];

    #[test]
    fn every_change_must_pass_these() {
        let mut expected: Vec<_> = EVERY_CHANGE.map(|case| format!("{case} 1.37.2")).into();
        expected.push("apiserver 1.37.2".to_owned());
        for (version, apis) in [("1.26.15", ["v1beta2", "v1beta3"]), ("1.37.2", ["v1beta4", "v1"])] {
            expected.extend(apis.map(|api| format!("kubeadm-{api} {version}")));
        }
        assert_eq!(sorted(names(&[], &[], false)), sorted(expected));
    }

    #[test]
    fn every_change_must_pass_these_on_machines() {
        assert_eq!(on_machines(false), EVERY_CHANGE);
    }

    /// The cases that every version of Kubernetes runs with `--all`, and on machines those that need one.
    const EVERY_VERSION: [&str; 40] = [
        "absence",
        "admin-conf-of-no-use",
        "awkward",
        "bad-flag",
        "bad-node",
        "baked-image",
        "baked-repairs",
        "cluster",
        "control-planes",
        "edited-meanwhile",
        "existing-cluster",
        "first-boot",
        "heal",
        "hidden",
        "hidden-stopped",
        "hook",
        "hook-join",
        "in-force",
        "join",
        "keep",
        "killed",
        "mended",
        "profiles",
        "reboot",
        "rollback",
        "rsyslog",
        "runcmd",
        "sidecars",
        "silent",
        "storage",
        "storage-bind",
        "storage-devices",
        "storage-rollback",
        "stray-backup",
        "upgrade-heals",
        "vendor-data",
        "wait",
        "wait-killed",
        "webhook-blocks",
        "webhook-files",
    ];
    const FROM_PREVIOUS: [&str; 3] = ["upgrade", "upgrade-edited-since", "upgrade-manifest-only"];
    const NAMESPACES_ONLY: [&str; 4] = ["hidden-kubelet", "hidden-load", "ipv6", "restart"];
    const MACHINE_ONLY: [&str; 6] =
        ["disk", "kind", "kind-worker", "power-cut", "power-cut-files", "power-cut-hidden"];

    #[test]
    fn all_is_everything_with_every_version() {
        let every = components::pinned_versions().unwrap();
        let mut expected = Vec::new();
        for (index, version) in every.iter().enumerate() {
            expected.extend(EVERY_VERSION.map(|case| format!("{case} {version}")));
            expected.extend(NAMESPACES_ONLY.map(|case| format!("{case} {version}")));
            expected.push(format!("apiserver {version}"));
            expected.extend(
                components::api_versions(version)
                    .iter()
                    .map(|api| format!("{} {version}", api.replace("kubeadm.k8s.io/", "kubeadm-"))),
            );
            if let Some(previous) = index.checked_sub(1).and_then(|index| every.get(index)) {
                expected.extend(FROM_PREVIOUS.map(|case| format!("{case} {previous}-{version}")));
            }
        }
        assert_eq!(sorted(names(&[], &[], true)), sorted(expected));
    }

    #[test]
    fn all_on_machines_is_every_case_with_the_newest_version() {
        let expected = [&EVERY_VERSION[..], &FROM_PREVIOUS, &MACHINE_ONLY].concat();
        assert_eq!(on_machines(true), sorted(expected));
    }

    #[test]
    fn a_case_without_what_it_needs_is_refused() {
        let bare = Setting { package: None, ..setting() };
        let foreign = Setting { on: On::Qemu, image: Some("/nowhere".into()), ..setting() };
        for (case, setting, why) in [
            ("baked-image", bare, "needs --package"),
            ("baked-image", foreign.clone(), "on our own image alone"),
            ("vendor-data", foreign, "on our own image alone"),
        ] {
            let error = select_jobs(&[case.to_owned()], &[], false, &setting).unwrap_err();
            assert!(error.is::<Misuse>() && error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn an_unknown_name_or_version_is_refused() {
        assert!(select_jobs(&["nothing".to_owned()], &[], false, &setting()).is_err());
        assert!(select_jobs(&[], &["1.25".to_owned()], false, &setting()).is_err());
    }
}
