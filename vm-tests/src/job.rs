//! What is to be run: cases and judges, each for a version of Kubernetes, several at once.

use std::cmp::Reverse;
use std::io::{Write, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::slice::from_ref;
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail, ensure};
use fs_err as fs;

use crate::case::{self, Case, On, Setting, Verdict};
use crate::components::{self, minor};
use crate::{Misuse, apiserver, image, interrupt, kubeadm};

/// One thing to run.
#[derive(Clone, Debug)]
pub struct Job {
    pub name: String,
    /// The last one is the version that this is about.
    versions: Vec<String>,
    what: What,
}

#[derive(Clone, Debug)]
enum What {
    Case(Case),
    /// kubeadm, with a version of its API.
    Kubeadm(&'static str),
    ApiServer,
}

/// What can be run besides cases.
const JUDGES: [(&str, &str); 2] = [
    ("kubeadm", "kubeadm accepts what the program edited, and makes the manifest of it that the program makes"),
    ("apiserver", "kube-apiserver writes the events that the policy asks for, with every kind of configuration"),
];

/// How a job ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    pub name: String,
    pub version: String,
    pub passed: bool,
}

/// The names that can be run, with a line about each.
///
/// # Errors
///
/// A case is not as it should be.
pub fn list() -> Result<Vec<(String, String)>> {
    let mut list: Vec<_> = JUDGES.iter().map(|(name, about)| ((*name).to_owned(), (*about).to_owned())).collect();
    for name in case::names()? {
        let about = Case::named(&name)?.description.about;
        list.push((name, about));
    }
    Ok(list)
}

/// The pinned versions that are asked for, in full or by their minor version; all of them where none is.
///
/// # Errors
///
/// A version is not pinned.
pub fn versions(asked: &[String]) -> Result<Vec<String>> {
    let known = components::versions()?;
    if asked.is_empty() {
        return Ok(known);
    }
    let find = |asked: &String| {
        let found = known.iter().find(|version| *version == asked || version.starts_with(&format!("{asked}.")));
        let none = || Misuse(format!("version {asked} is not one of {}", known.join(", "))).into();
        found.cloned().ok_or_else(none)
    };
    let mut found: Vec<_> = asked.iter().map(find).collect::<Result<_>>()?;
    found.sort_by_key(|version| minor(version));
    found.dedup();
    Ok(found)
}

/// A version that isn't built here: kubeadm and kind take nothing but a full one.
fn full(version: &str) -> Result<String> {
    let numbers: Vec<_> = version.split('.').map(str::parse::<u32>).collect();
    ensure!(
        numbers.len() == 3 && numbers.iter().all(Result::is_ok),
        Misuse(format!("version {version}: here the full version is needed, such as 1.34.2"))
    );
    Ok(version.to_owned())
}

/// The jobs for names and versions. Without names these are the ones that every change must pass: all that are not long;
/// without versions the newest one, and for kubeadm the oldest as well. Where nothing is built, any version will do.
///
/// # Errors
///
/// There is no such name or version.
pub fn chosen(names: &[String], asked: &[String], all: bool, setting: &Setting) -> Result<Vec<Job>> {
    let on = setting.on;
    let cases = case::names()?;
    for name in names {
        let is_known = cases.contains(name) || JUDGES.iter().any(|(judge, _)| judge == name);
        ensure!(is_known, Misuse(format!("there is no case {name}; see `vm-tests list`")));
    }
    let every = components::versions()?;
    let (oldest, newest) = every.first().zip(every.last()).context("no version is pinned")?;
    // All cases for one version take hours on machines.
    let few = |few: &[&String]| match asked {
        _ if all && on == On::Namespaces => Ok(every.clone()),
        [] if setting.image.is_some() || on == On::Host => {
            eprintln!("without --versions the kubeadm there is taken to be {newest}");
            Ok(few.iter().map(|version| (*version).clone()).collect())
        }
        [] => Ok(few.iter().map(|version| (*version).clone()).collect()),
        asked if setting.image.is_some() || on == On::Host => asked.iter().map(|version| full(version)).collect(),
        // Whoever has release binaries has them of any version.
        asked if setting.components.given.is_some() => asked
            .iter()
            .map(|version| full(version).or_else(|_| Ok(versions(from_ref(version))?.remove(0))))
            .collect(),
        asked => versions(asked),
    };
    let wanted =
        |name: &str, long: bool| all || if names.is_empty() { !long } else { names.iter().any(|n| n == name) };
    let mut jobs = Vec::new();
    for name in cases {
        // One that somebody is still writing keeps no other from being run.
        if !all && !names.is_empty() && !names.contains(&name) {
            continue;
        }
        let case = Case::named(&name)?;
        if !wanted(&case.name, case.description.long) {
            continue;
        }
        if !case.description.on.contains(&on) {
            let there: Vec<_> = case.description.on.iter().map(|on| format!("{on:?}").to_lowercase()).collect();
            let where_to = format!("{} runs with --on {}", case.name, there.join(" or --on "));
            ensure!(names.is_empty(), Misuse(where_to));
            continue;
        }
        let about = &case.description;
        // A package is installed with our Debian, what a cut of power leaves is told by how our disk is mounted, and on somebody's image
        // our own vendor-data brings the files of the case.
        let own = about.bare
            || about.docker
            || about.from_previous
            || about.baked
            || about.cuts > 0
            || case.nodes() > 1
            || case.has_vendor_data();
        if own && setting.image.is_some() {
            ensure!(names.is_empty(), Misuse(format!("{} runs on our own image only", case.name)));
            continue;
        }
        ensure!(
            !about.baked || setting.package.is_some(),
            Misuse(format!("{} needs --package; `make packages` builds it", case.name))
        );
        for version in few(&[newest])? {
            match case.versions(&version, &every) {
                Ok(versions) => {
                    jobs.push(Job { name: case.name.clone(), versions, what: What::Case(case.clone()) })
                }
                // There is nothing to upgrade the oldest one from.
                Err(_) if all && case.description.from_previous && version == *oldest => {}
                Err(error) => return Err(error.context(case.name)),
            }
        }
    }
    if on != On::Namespaces {
        let judge = names.iter().find(|name| JUDGES.iter().any(|(judge, _)| judge == name));
        ensure!(
            judge.is_none(),
            Misuse(format!(
                "{} needs no node; leave --on, --image and --accel out",
                judge.map_or("", |name| name)
            ))
        );
    }
    let wanted = |name: &str| on == On::Namespaces && wanted(name, false);
    if wanted("kubeadm") {
        for version in few(&[oldest, newest])? {
            for api in kubeadm::api_versions(&version) {
                let name = api.replace("kubeadm.k8s.io/", "kubeadm-");
                jobs.push(Job { name, versions: vec![version.clone()], what: What::Kubeadm(api) });
            }
        }
    }
    if wanted("apiserver") {
        for version in few(&[newest])? {
            jobs.push(Job { name: "apiserver".to_owned(), versions: vec![version], what: What::ApiServer });
        }
    }
    ensure!(!jobs.is_empty(), Misuse("nothing that every change must pass runs there; name a case".to_owned()));
    // The versions one after the other, and of each what takes longest first. What must be built for the oldest comes when little else runs.
    jobs.sort_by_key(|job| Reverse((minor(job.version()), job.seconds())));
    Ok(jobs)
}

impl Job {
    /// Gives a shell on the case's first node.
    ///
    /// # Errors
    ///
    /// As with [`Case::shell`], or this is no case.
    pub fn shell(&self, setting: &Setting) -> Result<()> {
        match &self.what {
            What::Case(case) => case.shell(&self.versions, setting),
            What::Kubeadm(_) | What::ApiServer => bail!(Misuse(format!("{} has no node", self.name))),
        }
    }

    fn seconds(&self) -> u32 {
        match &self.what {
            What::Case(case) => case.description.seconds,
            What::Kubeadm(_) => 5,
            What::ApiServer => 60,
        }
    }

    fn nodes(&self) -> usize {
        match &self.what {
            What::Case(case) => case.nodes(),
            What::Kubeadm(_) | What::ApiServer => 0,
        }
    }

    fn version(&self) -> &str {
        self.versions.last().map_or("", String::as_str)
    }

    fn run(&self, setting: &Setting) -> Result<Verdict> {
        match &self.what {
            What::Case(case) => case.run(&self.versions, setting),
            What::Kubeadm(api) => kubeadm::judge(self.version(), api, setting),
            What::ApiServer => apiserver::judge(self.version(), setting),
        }
        .with_context(|| format!("{} ({})", self.name, self.versions.join(" to ")))
    }
}

/// Builds what the cases need, before anything runs beside it. The judges build their own: they have the time in which the
/// nodes wait.
///
/// # Errors
///
/// Something can't be built, or this process was asked to end.
pub fn prepare(jobs: &[Job], setting: &Setting) -> Result<()> {
    let mut cases = Vec::new();
    for job in jobs {
        if let What::Case(case) = &job.what {
            cases.push((case, &job.versions));
        }
    }
    thread::scope(|scope| {
        // This one waits for a network more than for a processor.
        let debian = scope.spawn(|| match (cases.is_empty() || setting.image.is_some(), setting.on) {
            (true, _) => Ok(()),
            (_, On::Namespaces) => image::debian().map(drop),
            (_, On::Qemu) => image::debian_of_machines().map(drop),
            (_, On::Host) => Ok(()),
        });
        for (case, versions) in &cases {
            interrupt::check()?;
            case.prepare(versions, setting)?;
        }
        debian.join().map_err(|_| anyhow!("a thread panicked"))?
    })
}

/// What hasn't been run, the first first, and how many nodes there may be besides those that are there.
struct Queue {
    jobs: Vec<Job>,
    free: usize,
}

/// Runs jobs, so many nodes at once, and prints how each ends. What has more nodes than that runs alone. Beside them a judge is as much as a node.
///
/// # Errors
///
/// The harness fails, or is interrupted.
pub fn run(jobs: Vec<Job>, at_once: usize, setting: &Setting) -> Result<Vec<Outcome>> {
    let (queue, freed) = (Mutex::new(Queue { jobs, free: at_once }), Condvar::new());
    let outcomes = Mutex::new(Vec::new());
    let poisoned = || anyhow!("another job panicked");
    let work = || -> Result<()> {
        let mut locked = queue.lock().map_err(|_| poisoned())?;
        while !locked.jobs.is_empty() {
            let Some((job, nodes)) = locked.take(at_once) else {
                locked = freed.wait(locked).map_err(|_| poisoned())?;
                continue;
            };
            drop(locked);
            let name = job.name.clone();
            // Who waits for its room would wait for ever.
            let outcome = catch_unwind(AssertUnwindSafe(|| run_one(job, setting)))
                .unwrap_or_else(|_| Err(anyhow!("{name} panicked")));
            locked = queue.lock().map_err(|_| poisoned())?;
            locked.free += nodes;
            if outcome.is_err() {
                if interrupt::check().is_ok() {
                    eprintln!("{name}: the harness failed; nothing more is begun, and what runs is waited for");
                }
                // What the harness can't do for one it can't do for the others.
                locked.jobs.clear();
            }
            freed.notify_all();
            outcomes.lock().map_err(|_| poisoned())?.push(outcome?);
        }
        Ok(())
    };
    thread::scope(|scope| {
        let workers: Vec<_> = (0..at_once).map(|_| scope.spawn(work)).collect();
        workers.into_iter().try_for_each(|worker| worker.join().map_err(|_| poisoned())?)
    })?;
    outcomes.into_inner().map_err(|_| poisoned())
}

impl Queue {
    /// Takes the first job for whose nodes there is room, and their room.
    fn take(&mut self, at_once: usize) -> Option<(Job, usize)> {
        let nodes = |job: &Job| job.nodes().clamp(1, at_once);
        let index = self.jobs.iter().position(|job| nodes(job) <= self.free)?;
        let job = self.jobs.remove(index);
        let nodes = nodes(&job);
        self.free -= nodes;
        Some((job, nodes))
    }
}

/// Runs a job, and prints how it ends.
fn run_one(job: Job, setting: &Setting) -> Result<Outcome> {
    let start = Instant::now();
    let _ = fs::remove_dir_all(setting.logs(&job.name, job.version()));
    let verdict = job.run(setting)?;
    let about = format!("{} ({}, {:.1} s)", job.name, job.versions.join(" to "), start.elapsed().as_secs_f64());
    let (passed, text) = match verdict {
        Verdict::Passed(Some(events)) => (true, format!("ok      {about}, {events} events")),
        Verdict::Passed(None) => (true, format!("ok      {about}")),
        Verdict::Failed(why) => (false, format!("FAILED  {about}\n        {}", why.replace('\n', "\n        "))),
    };
    writeln!(stdout(), "{text}")?;
    Ok(Outcome { version: job.version().to_owned(), name: job.name, passed })
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
            cuts: None,
            seed: 0,
            program: "/nowhere".into(),
            package: Some("/nowhere".into()),
            log_root: "/nowhere".into(),
            patience: 1,
            verbose: false,
        }
    }

    fn names(cases: &[&str], versions: &[&str], all: bool) -> Vec<String> {
        let owned = |list: &[&str]| list.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let jobs = chosen(&owned(cases), &owned(versions), all, &setting()).unwrap();
        jobs.iter().map(|job| format!("{} {}", job.name, job.versions.join("-"))).collect()
    }

    fn on_machines(all: bool) -> Vec<String> {
        let setting = Setting { on: On::Qemu, ..setting() };
        sorted(chosen(&[], &[], all, &setting).unwrap().into_iter().map(|job| job.name).collect())
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
    const EVERY_CHANGE: [&str; 11] = [
        "baked-image",
        "baked-repairs",
        "cluster",
        "first-boot",
        "hook",
        "join",
        "reboot",
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
    const EVERY_VERSION: [&str; 28] = [
        "absence",
        "awkward",
        "bad-flag",
        "bad-node",
        "baked-image",
        "baked-repairs",
        "cluster",
        "control-planes",
        "existing-cluster",
        "first-boot",
        "heal",
        "hook",
        "hook-join",
        "join",
        "killed",
        "reboot",
        "rollback",
        "rsyslog",
        "runcmd",
        "storage",
        "storage-bind",
        "storage-devices",
        "storage-rollback",
        "stray-backup",
        "upgrade-heals",
        "vendor-data",
        "wait",
        "wait-killed",
    ];
    const FROM_PREVIOUS: [&str; 3] = ["upgrade", "upgrade-edited-since", "upgrade-manifest-only"];
    const NAMESPACES_ONLY: [&str; 1] = ["restart"];
    const MACHINE_ONLY: [&str; 5] = ["disk", "kind", "kind-worker", "power-cut", "power-cut-files"];

    #[test]
    fn all_is_everything_with_every_version() {
        let every = components::versions().unwrap();
        let mut expected = Vec::new();
        for (index, version) in every.iter().enumerate() {
            expected.extend(EVERY_VERSION.map(|case| format!("{case} {version}")));
            expected.extend(NAMESPACES_ONLY.map(|case| format!("{case} {version}")));
            expected.push(format!("apiserver {version}"));
            expected.extend(
                kubeadm::api_versions(version)
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
    fn what_fits_beside_the_others_is_run_first() {
        let jobs = ["hook-join", "join", "first-boot"]
            .map(|name| chosen(&[name.to_owned()], &[], false, &setting()).unwrap().remove(0));
        let mut queue = Queue { jobs: jobs.into(), free: 2 };
        let mut take = |ended: usize| {
            queue.free += ended;
            queue.take(2).map(|(job, nodes)| (job.name, nodes))
        };
        // Three nodes are more than there may be: alone.
        assert_eq!(take(0), Some(("hook-join".to_owned(), 2)));
        assert_eq!(take(0), None);
        assert_eq!(take(1), Some(("first-boot".to_owned(), 1)));
        assert_eq!(take(1), None);
        assert_eq!(take(1), Some(("join".to_owned(), 2)));
    }

    #[test]
    fn a_case_without_what_it_needs_is_told() {
        let bare = Setting { package: None, ..setting() };
        let foreign = Setting { on: On::Qemu, image: Some("/nowhere".into()), ..setting() };
        for (case, setting, why) in [
            ("baked-image", bare, "needs --package"),
            ("baked-image", foreign.clone(), "on our own image only"),
            ("vendor-data", foreign, "on our own image only"),
        ] {
            let error = chosen(&[case.to_owned()], &[], false, &setting).unwrap_err();
            assert!(error.is::<Misuse>() && error.to_string().contains(why), "{error}");
        }
    }

    #[test]
    fn an_unknown_name_or_version_is_told() {
        assert!(chosen(&["nothing".to_owned()], &[], false, &setting()).is_err());
        assert!(chosen(&[], &["1.25".to_owned()], false, &setting()).is_err());
    }
}
