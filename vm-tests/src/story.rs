//! Tells a case: boots its nodes, watches them, and judges how they end.

use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fs_err as fs;

use crate::case::{Case, name_of};
use crate::node::Node;
use crate::random::Random;
use crate::setting::{Invocation, On, Setting, Verdict};
use crate::watch::{NamedNode, Watch};
use crate::{furnish, image, interrupt, qemu, stale};

/// The limit of a case, as a multiple of the seconds that it takes.
const LIMIT: u32 = 5;
/// How long a node may say nothing.
const SILENCE: Duration = Duration::from_secs(120);

/// Builds what the nodes of a case start from.
///
/// # Errors
///
/// A part can't be built.
pub fn prepare(case: &Case, versions: &[String], setting: &Setting) -> Result<()> {
    match (setting.on, &setting.image) {
        (On::Namespaces, _) => image::make_base(&setting.components, versions).map(drop),
        (On::Host, _) => Ok(()),
        (On::Qemu, Some(_)) => qemu::find_emulator(setting.accelerator).map(drop),
        (On::Qemu, None) => {
            qemu::find_emulator(setting.accelerator)?;
            qemu::make_disk(&setting.components, versions)?;
            if case.description.docker {
                qemu::make_docker_disk(&setting.components, &versions[0])?;
            }
            Ok(())
        }
    }
}

/// Tells a case to its end. `versions` are as [`Case::versions`] has them.
///
/// # Errors
///
/// The harness's own: a node can't be made, or the run was interrupted. A case that fails is a [`Verdict`].
pub fn tell(case: &Case, versions: &[String], invocation: &Invocation) -> Result<Verdict> {
    let setting = &invocation.setting;
    let top = stale::make_run_dir(&format!("{}-{}", case.name, versions.join("-")))?;
    let nodes = furnish::make_nodes(case, top.path(), versions, setting)?;
    let mut random = Random::new(invocation.seed);
    let cuts = case.count_cuts(setting.cuts);
    // Where the power is cut, there is one boot more than cuts; otherwise the scripts say how many boots there are.
    let boots = if cuts == 0 { u32::MAX } else { cuts + 1 };
    if cuts > 0 {
        eprintln!("{}: the power is cut {cuts} times, --seed {}", case.name, invocation.seed);
    }
    let patience = setting.patience();
    // Where the power is cut, `seconds` is what one boot takes.
    let limit = u64::from(case.description.seconds.max(60)) * u64::from(LIMIT * patience * (cuts + 1));
    let watch = Watch {
        case: &case.name,
        start: Instant::now(),
        limit: Duration::from_secs(limit),
        silence: SILENCE * patience,
        cuts,
        is_verbose: invocation.is_verbose,
    };
    for boot in 1..=boots {
        let all = case.nodes.iter().zip(&nodes).map(|(name, node)| NamedNode { name, node: node.as_ref() });
        let booted: Vec<_> = all.filter(|node| cuts > 0 || case.has_script(node.name, boot)).collect();
        if booted.is_empty() {
            break;
        }
        let why = match watch.boot(&booted, boot, &mut random) {
            Ok(None) => continue,
            Ok(Some(reason)) => Ok(reason),
            Err(error) => Err(error),
        };
        // Whoever interrupts the run has no use for logs.
        interrupt::check()?;
        let logs = invocation.logs(&case.name, versions.last().map_or("", String::as_str));
        for (name, node) in case.nodes.iter().zip(&nodes) {
            // Without its logs, too, the failure is reported.
            keep_logs(node.as_ref(), &logs.join(name))
                .unwrap_or_else(|error| eprintln!("the logs of {name} are not complete: {error:#}"));
        }
        return match why {
            Ok(reason) => Ok(Verdict::Failed(format!("{reason}\nlogs: {}", logs.display()))),
            Err(error) => Err(error.context(format!("logs in {}", logs.display()))),
        };
    }
    Ok(Verdict::Passed { events: count_events(&nodes)? })
}

/// Gives a shell on the first node, with the case's user-data at work and its scripts in `/case`, and starts the other
/// nodes.
///
/// # Errors
///
/// A node can't be made.
pub fn give_shell(case: &Case, versions: &[String], setting: &Setting) -> Result<()> {
    let top = stale::make_run_dir(&format!("{}-shell", case.name))?;
    let nodes = furnish::make_nodes(case, top.path(), versions, setting)?;
    for node in &nodes {
        fs::write(node.path("/case/shell"), "")?;
    }
    eprintln!(
        "The node is booting. Its scripts are in /case. To run the first one:\n  \
         bash -c '. /usr/local/lib/case/lib.sh; . /case/boot-1.sh'"
    );
    let (first, others) = nodes.split_first().context("the case has no node")?;
    let _others = others.iter().map(|node| node.boot()).collect::<Result<Vec<_>>>()?;
    first.give_shell()
}

/// The sum of the events that the nodes reported last, if any did.
fn count_events(nodes: &[Box<dyn Node>]) -> Result<Option<u64>> {
    let mut events = None;
    for node in nodes {
        let text = fs::read(node.result())?;
        let text = String::from_utf8_lossy(&text);
        let last = text.lines().rev().find_map(|line| line.strip_prefix("EVENTS ")?.parse::<u64>().ok());
        events = last.map(|last| last + events.unwrap_or_default()).or(events);
    }
    Ok(events)
}

/// Copies what tells why a node failed.
fn keep_logs(node: &dyn Node, to: &Path) -> Result<()> {
    fs::create_dir_all(to)?;
    for file in [node.console(), node.result()] {
        fs::copy(&file, to.join(name_of(&file)))?;
    }
    node.keep_logs(to)
}
