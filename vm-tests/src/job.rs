//! Jobs: a case or a judge for a version of Kubernetes. Several run at once.

use std::io::{Write, stdout};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Instant;

use anyhow::{Context, Result, anyhow, bail};
use fs_err as fs;

use crate::case::Case;
use crate::misuse::Misuse;
use crate::setting::{Invocation, On, Setting, Verdict};
use crate::{apiserver, image, interrupt, kubeadm, story};

/// One thing to run.
#[derive(Clone, Debug)]
pub struct Job {
    /// The name of its case, or of its judge, for kubeadm with the version of its API.
    pub name: String,
    /// The versions of Kubernetes that it needs. The last one is the version that it is about.
    pub versions: Vec<String>,
    /// What it runs.
    pub task: Task,
}

/// What a job runs.
#[derive(Clone, Debug)]
pub enum Task {
    Case(Case),
    /// The judge that is kubeadm, with a version of its API.
    Kubeadm(&'static str),
    /// The judge that is kube-apiserver.
    ApiServer,
}

/// How a job ended, for the table of versions.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The name of the job.
    pub name: String,
    /// The version of Kubernetes that it is about.
    pub version: String,
    /// Did it pass?
    pub passed: bool,
}

impl Job {
    /// Gives a shell on the first node of the case.
    ///
    /// # Errors
    ///
    /// A node can't be made, or the job is no case.
    pub fn give_shell(&self, setting: &Setting) -> Result<()> {
        match &self.task {
            Task::Case(case) => story::give_shell(case, &self.versions, setting),
            Task::Kubeadm(_) | Task::ApiServer => bail!(Misuse(format!("{} has no node: name a case", self.name))),
        }
    }

    /// About how long it takes, in seconds.
    pub fn seconds(&self) -> u32 {
        match &self.task {
            Task::Case(case) => case.description.seconds,
            Task::Kubeadm(_) => 5,
            Task::ApiServer => 60,
        }
    }

    /// The version of Kubernetes that it is about.
    pub fn version(&self) -> &str {
        self.versions.last().map_or("", String::as_str)
    }

    /// How many nodes it has.
    fn nodes(&self) -> usize {
        match &self.task {
            Task::Case(case) => case.nodes.len(),
            Task::Kubeadm(_) | Task::ApiServer => 0,
        }
    }

    fn judge(&self, invocation: &Invocation) -> Result<Verdict> {
        match &self.task {
            Task::Case(case) => story::tell(case, &self.versions, invocation),
            Task::Kubeadm(api) => kubeadm::judge(self.version(), api, invocation),
            Task::ApiServer => apiserver::judge(self.version(), invocation),
        }
        .with_context(|| format!("{} ({})", self.name, self.versions.join(" to ")))
    }
}

/// Builds what the cases need before anything runs. The judges build what they need themselves, while nodes wait.
///
/// # Errors
///
/// Something can't be built, or this process was asked to end.
pub fn prepare(jobs: &[Job], setting: &Setting) -> Result<()> {
    let mut cases = Vec::new();
    for job in jobs {
        if let Task::Case(case) = &job.task {
            cases.push((case, &job.versions));
        }
    }
    thread::scope(|scope| {
        // A Debian waits for the network, while programs are compiled.
        let debian = scope.spawn(|| match (cases.is_empty() || setting.image.is_some(), setting.on) {
            (true, _) | (_, On::Host) => Ok(()),
            (_, On::Namespaces) => image::make_debian().map(drop),
            (_, On::Qemu) => image::make_debian_of_machines().map(drop),
        });
        for (case, versions) in &cases {
            interrupt::check()?;
            story::prepare(case, versions, setting)?;
        }
        debian.join().map_err(|_| anyhow!("a thread panicked"))?
    })
}

/// The jobs that wait, the first one first, and the number of nodes that may still be started.
struct Queue {
    jobs: Vec<Job>,
    free: usize,
}

/// A job that was taken from the queue, and the number of nodes that it holds until it ends.
struct Taken {
    job: Job,
    nodes: usize,
}

/// Runs jobs with up to `at_once` nodes at the same time, and prints how each job ends. A job that has more nodes than
/// that runs alone. A judge counts as one node.
///
/// # Errors
///
/// The harness fails, or is interrupted.
pub fn run(jobs: Vec<Job>, at_once: usize, invocation: &Invocation) -> Result<Vec<Outcome>> {
    let (queue, freed) = (Mutex::new(Queue { jobs, free: at_once }), Condvar::new());
    let outcomes = Mutex::new(Vec::new());
    let poisoned = || anyhow!("another job panicked");
    let work = || -> Result<()> {
        let mut locked = queue.lock().map_err(|_| poisoned())?;
        while !locked.jobs.is_empty() {
            let Some(Taken { job, nodes }) = locked.take(at_once) else {
                locked = freed.wait(locked).map_err(|_| poisoned())?;
                continue;
            };
            drop(locked);
            let name = job.name.clone();
            // A panic must free the nodes, or other workers wait for them for ever.
            let outcome = catch_unwind(AssertUnwindSafe(|| run_one(job, invocation)))
                .unwrap_or_else(|_| Err(anyhow!("{name} panicked")));
            locked = queue.lock().map_err(|_| poisoned())?;
            locked.free += nodes;
            if outcome.is_err() {
                if interrupt::check().is_ok() {
                    eprintln!("{name}: the harness failed; it starts no other job, and waits for those that run");
                }
                // What the harness can't do for one job it can't do for the others.
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
    /// Takes the first job whose nodes may be started now.
    fn take(&mut self, at_once: usize) -> Option<Taken> {
        let nodes = |job: &Job| job.nodes().clamp(1, at_once);
        let index = self.jobs.iter().position(|job| nodes(job) <= self.free)?;
        let job = self.jobs.remove(index);
        let nodes = nodes(&job);
        self.free -= nodes;
        Some(Taken { job, nodes })
    }
}

/// Runs a job, and prints how it ends.
fn run_one(job: Job, invocation: &Invocation) -> Result<Outcome> {
    let start = Instant::now();
    let _ = fs::remove_dir_all(invocation.logs(&job.name, job.version()));
    let verdict = job.judge(invocation)?;
    let about = format!("{} ({}, {:.1} s)", job.name, job.versions.join(" to "), start.elapsed().as_secs_f64());
    let (passed, text) = match verdict {
        Verdict::Passed { events: Some(events) } => (true, format!("ok      {about}, {events} events")),
        Verdict::Passed { events: None } => (true, format!("ok      {about}")),
        Verdict::Failed(why) => (false, format!("FAILED  {about}\n        {}", why.replace('\n', "\n        "))),
    };
    writeln!(stdout(), "{text}")?;
    Ok(Outcome { version: job.version().to_owned(), name: job.name, passed })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_fits_beside_the_others_is_run_first() {
        let jobs = ["hook-join", "join", "first-boot"].map(|name| {
            let task = Task::Case(Case::named(name).unwrap());
            Job { name: name.to_owned(), versions: vec!["1.37.2".to_owned()], task }
        });
        let mut queue = Queue { jobs: jobs.into(), free: 2 };
        let mut take = |ended: usize| {
            queue.free += ended;
            queue.take(2).map(|taken| (taken.job.name, taken.nodes))
        };
        // It has three nodes, which is more than may run at once, so it runs alone.
        assert_eq!(take(0), Some(("hook-join".to_owned(), 2)));
        assert_eq!(take(0), None);
        assert_eq!(take(1), Some(("first-boot".to_owned(), 1)));
        assert_eq!(take(1), None);
        assert_eq!(take(1), Some(("join".to_owned(), 2)));
    }
}
