//! What becomes of nodes that run: the harness hears what they tell, and judges each by that.
//!
//! A node tells lines, by `tell` of `scripts/lib.sh`:
//!
//! | line | |
//! |---|---|
//! | `BOOT N` | the script of this boot begins |
//! | `STEP NAME`, then `OK SECONDS s NAME` or `FAILED WHY` | a step begins, and ends |
//! | `| TEXT` | what failed said last |
//! | `WAIT NAME` | a step goes on, and its node is alive |
//! | `CUT MS` | the power shall be cut within so many milliseconds |
//! | `NOT JUDGED: WHY` | something that can't be judged here, which is printed in any case |
//! | `EVENTS N` | so many events are in the audit log |
//! | `RESULT pass` or `fail` | the script is over, and the node powers itself off |
//!
//! All others are for who reads along.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fs_err as fs;

use crate::node::{Node, Running};
use crate::random::Random;
use crate::{interrupt, run};

/// What a kernel says last.
const PANIC: &str = "Kernel panic - not syncing";
/// How much of a console tells why a node ended: all that a panic says.
const CONSOLE_LINES: usize = 50;
/// How often is looked.
const PAUSE: Duration = Duration::from_millis(20);

/// How the nodes of a case are watched.
#[derive(Debug)]
pub struct Watch<'a> {
    pub case: &'a str,
    /// When it began, how long it may take, and how long a node may say nothing.
    pub start: Instant,
    pub limit: Duration,
    pub silence: Duration,
    /// In how many boots the power is cut; those end in no other way.
    pub cuts: u32,
    /// Print each line.
    pub verbose: bool,
}

/// A node of which the end is waited for.
struct Watched<'a> {
    name: &'a str,
    node: &'a dyn Node,
    process: Box<dyn Running>,
    /// How many lines were seen, how much it had said by then, and when.
    lines: usize,
    said: u64,
    since: Instant,
    /// It was started again.
    again: bool,
}

/// What is to be said of a node.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// It ended as it should, or its power was cut.
    Ended,
    Failed(String),
    /// It shall be started again.
    Again,
    /// It ended before anything was judged.
    Unjudged(String),
}

impl Watch<'_> {
    /// Boots nodes and waits for all to end; says why one of them failed.
    ///
    /// # Errors
    ///
    /// The harness's own: a node can't be started, ended before anything could be judged, or this was interrupted.
    pub fn boot(
        &self,
        nodes: &[(&str, &dyn Node)],
        boot: u32,
        random: &mut Random,
    ) -> Result<std::result::Result<(), String>> {
        let since = Instant::now();
        let watched = |&(name, node): &(_, _)| {
            let process = Node::boot(node)?;
            Ok(Watched { name, node, process, lines: 0, said: 0, since, again: false })
        };
        let mut running = nodes.iter().map(watched).collect::<Result<Vec<_>>>()?;
        while !running.is_empty() {
            interrupt::check()?;
            let mut index = 0;
            while index < running.len() {
                let node = &mut running[index];
                match self.look(node, boot, random)? {
                    State::Runs => index += 1,
                    State::Ended => drop(running.remove(index)),
                    State::Failed(why) => return Ok(Err(why)),
                    State::Again => {
                        node.again = true;
                        node.process = node.node.boot()?;
                    }
                    State::Unjudged(why) => bail!("{} ended before it said anything:\n{why}", node.name),
                }
            }
            thread::sleep(PAUSE);
        }
        Ok(Ok(()))
    }

    fn look(&self, node: &mut Watched, boot: u32, random: &mut Random) -> Result<State> {
        // Asked first, so that all is heard that it told by then.
        let ended = node.process.ended();
        let told = told_by(node.node, boot)?;
        for line in &told[node.lines.min(told.len())..] {
            if self.verbose || line.starts_with("NOT JUDGED") {
                eprintln!("{} {}: {line}", self.case, node.name);
            }
        }
        match wants_cut(&told, boot <= self.cuts) {
            None => {}
            Some(Ok(within)) => return self.cut(node, boot, random.below(within)),
            Some(Err(why)) => return Ok(State::Failed(failure(node.name, boot, &told, why))),
        }
        // Once a script runs, systemd counts its seconds on the console, also of one that hangs.
        let said = size(&if told.is_empty() { node.node.console() } else { node.node.result() });
        if (told.len(), said) != (node.lines, node.said) {
            (node.lines, node.said, node.since) = (told.len(), said, Instant::now());
        }
        let console = || {
            let console = fs::read(node.node.console()).unwrap_or_default();
            run::tail(&printable(&console), CONSOLE_LINES)
        };
        let error = match ended {
            Ok(true) => None,
            Err(error) => Some(format!("{error:#}")),
            Ok(false) => {
                let why = if self.start.elapsed() > self.limit {
                    "it didn't end in time"
                } else if node.since.elapsed() > self.silence {
                    "it said nothing for too long"
                } else {
                    return Ok(State::Runs);
                };
                return Ok(State::Failed(failure(node.name, boot, &told, &format!("{why}\n{}", console()))));
            }
        };
        let console = console();
        let state = judge(node.name, boot, boot <= self.cuts, &told, error.as_deref(), &console, node.again);
        if state == State::Again {
            let name = node.name;
            let case = self.case;
            eprintln!(
                "{case} {name}: its kernel panicked before it said anything, so it is started again:\n{console}"
            );
        }
        Ok(state)
    }

    /// The power is cut after some milliseconds, unless the node says before that it failed.
    fn cut(&self, node: &Watched, boot: u32, moment: u64) -> Result<State> {
        let end = Instant::now() + Duration::from_millis(moment);
        while let left = end.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            interrupt::check()?;
            thread::sleep(left.min(PAUSE));
        }
        let told = told_by(node.node, boot)?;
        if told.iter().any(|line| line.starts_with("FAILED ")) {
            return Ok(State::Failed(failure(node.name, boot, &told, "")));
        }
        if self.verbose {
            eprintln!("{} {}: the power is cut after {moment} ms", self.case, node.name);
        }
        Ok(State::Ended)
    }
}

/// Within how many milliseconds a node wants its power to be cut, if it does. An error says that it isn't `due`.
fn wants_cut(told: &[String], due: bool) -> Option<std::result::Result<u64, &'static str>> {
    let within = told.iter().find_map(|line| line.strip_prefix("CUT ")?.parse().ok())?;
    Some(if due {
        Ok(within)
    } else {
        Err("it waits for its power to be cut, which case.yaml says of no such boot")
    })
}

/// What the end of a node says, with the error of its process, if it has one. An emulated kernel panics now and then while it starts, and
/// is started `again`, once. One that says nothing and crashes at its first boot is the harness's own failure; one that powers itself
/// off, or does so later, was made to.
fn judge(
    node: &str,
    boot: u32,
    must_be_cut: bool,
    told: &[String],
    error: Option<&str>,
    console: &str,
    again: bool,
) -> State {
    let begins = |start: &str| told.iter().any(|line| line.starts_with(start));
    let panicked = console.contains(PANIC);
    let why = match error {
        _ if told.is_empty() && panicked && !again => return State::Again,
        Some(error) => format!("{error}\n{console}"),
        None if begins("RESULT pass") && must_be_cut => "its power was not cut".to_owned(),
        None if begins("RESULT pass") && !begins("OK ") => "it passed without a step".to_owned(),
        None if begins("RESULT pass") && !begins("FAILED ") => return State::Ended,
        None if panicked => console.to_owned(),
        None if told.is_empty() => format!("it powered itself off before that\n{console}"),
        None if begins("RESULT fail") => "its script failed".to_owned(),
        None => "it powered itself off".to_owned(),
    };
    if told.is_empty() && boot == 1 && (panicked || error.is_some()) {
        return State::Unjudged(why);
    }
    State::Failed(failure(node, boot, told, &why))
}

/// The lines that a node told during a boot. One that is in the making isn't among them.
fn told_by(node: &dyn Node, boot: u32) -> Result<Vec<String>> {
    let text = fs::read(node.result())?;
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let text = printable(&text[..end]);
    let marker = format!("BOOT {boot}");
    Ok(text.lines().skip_while(|line| *line != marker).map(str::to_owned).collect())
}

/// What a node wrote, without what would do more to a terminal than be read.
fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(|char: char| char.is_control() && !matches!(char, '\n' | '\t'), "")
}

fn failure(node: &str, boot: u32, told: &[String], why: &str) -> String {
    let mut step = "before its first step".to_owned();
    let mut lines = Vec::new();
    for line in told {
        if let Some(name) = line.strip_prefix("STEP ") {
            step = format!("in \"{name}\"");
        } else if line.starts_with("OK ") {
            step = step.replacen("in ", "after ", 1);
        } else if line.starts_with("FAILED ") || line.starts_with("| ") {
            lines.push(line.clone());
        }
    }
    if lines.is_empty() {
        lines.push(why.to_owned());
    }
    format!("{node}, boot {boot}: failed {step}\n{}", lines.join("\n"))
}

fn size(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    #[test]
    fn a_failure_names_the_step_it_was_in_or_came_after() {
        for (lines, wanted) in [
            (told(&["BOOT 1"]), "node, boot 1: failed before its first step\nwhy"),
            (told(&["STEP one"]), "node, boot 1: failed in \"one\"\nwhy"),
            (told(&["STEP one", "OK 1.0 s one"]), "node, boot 1: failed after \"one\"\nwhy"),
            (told(&["STEP one", "OK 1.0 s one", "| cp: no"]), "node, boot 1: failed after \"one\"\n| cp: no"),
            (
                told(&["STEP one", "OK 1.0 s one", "STEP two", "FAILED exit 1", "| no"]),
                "node, boot 1: failed in \"two\"\nFAILED exit 1\n| no",
            ),
        ] {
            assert_eq!(failure("node", 1, &lines, "why"), wanted);
        }
    }

    #[test]
    fn power_is_cut_only_where_the_case_says_so() {
        for (lines, due, wanted) in [
            (&["BOOT 1", "CUT 4000"][..], true, Some(Some(4000))),
            (&["BOOT 1", "CUT 4000"], false, Some(None)),
            (&["BOOT 1", "STEP CUT 4000"], true, None),
        ] {
            assert_eq!(wants_cut(&told(lines), due).map(std::result::Result::ok), wanted, "{lines:?}");
        }
    }

    #[test]
    fn what_a_node_wrote_does_nothing_to_a_terminal() {
        assert_eq!(printable(b"a\x1b[2Jb\r\n\tc\xff\x00"), "a[2Jb\n\tc\u{fffd}");
    }

    #[test]
    fn a_node_passes_only_if_it_says_so_after_a_step_and_no_step_failed() {
        let failed = |why: &str| State::Failed(why.to_owned());
        let end = |boot, cut, lines: &[&str]| judge("node", boot, cut, &told(lines), None, "", false);
        for (lines, wanted) in [
            (&["BOOT 1", "STEP one", "OK 1.0 s one", "RESULT pass"][..], State::Ended),
            (
                &["BOOT 1", "RESULT pass"],
                failed("node, boot 1: failed before its first step\nit passed without a step"),
            ),
            (
                &["BOOT 1", "STEP one", "FAILED exit 1", "STEP two", "OK 1.0 s two", "RESULT pass"],
                failed("node, boot 1: failed after \"two\"\nFAILED exit 1"),
            ),
            (
                &["BOOT 1", "STEP one", "OK 1.0 s one", "RESULT fail"],
                failed("node, boot 1: failed after \"one\"\nits script failed"),
            ),
            (
                &["BOOT 1", "STEP one", "OK 1.0 s one"],
                failed("node, boot 1: failed after \"one\"\nit powered itself off"),
            ),
        ] {
            assert_eq!(end(1, false, lines), wanted, "{lines:?}");
        }
        assert_eq!(
            end(2, true, &["BOOT 2", "STEP one", "OK 1.0 s one", "RESULT pass"]),
            failed("node, boot 2: failed after \"one\"\nits power was not cut")
        );
    }

    #[test]
    fn a_node_that_crashed_before_it_said_anything_is_the_harness_s_failure_at_its_first_boot_only() {
        let panic = format!("[ 1.0] {PANIC}: VFS");
        let off = |boot| {
            let why = "it powered itself off before that\noff";
            State::Failed(format!("node, boot {boot}: failed before its first step\n{why}"))
        };
        for (boot, error, console, again, wanted) in [
            (1, None, panic.as_str(), false, State::Again),
            (2, None, &panic, false, State::Again),
            (1, None, &panic, true, State::Unjudged(panic.clone())),
            (2, None, &panic, true, State::Failed(format!("node, boot 2: failed before its first step\n{panic}"))),
            (1, Some("QEMU: no"), "off", false, State::Unjudged("QEMU: no\noff".to_owned())),
            (1, None, "off", false, off(1)),
            (2, None, "off", false, off(2)),
        ] {
            assert_eq!(judge("node", boot, false, &[], error, console, again), wanted, "{boot} {console} {again}");
        }
    }

    #[test]
    fn a_process_that_fails_or_a_kernel_that_panics_is_no_success() {
        let one = ["BOOT 1", "STEP one", "OK 1.0 s one", "RESULT pass"];
        for (lines, error, console, why) in
            [(&one[..], Some("QEMU: no"), "off", "QEMU: no\noff"), (&one[..3], None, PANIC, PANIC)]
        {
            let wanted = State::Failed(format!("node, boot 1: failed after \"one\"\n{why}"));
            assert_eq!(judge("node", 1, false, &told(lines), error, console, false), wanted);
        }
    }
}
