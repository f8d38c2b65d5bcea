//! Watches nodes that run: reads the lines that they tell, and judges each node by its lines and its end.
//!
//! A node tells lines with `tell` of `scripts/lib.sh`:
//!
//! | line | |
//! |---|---|
//! | `BOOT N` | the script of this boot starts |
//! | `STEP NAME`, then `OK SECONDS s NAME` or `FAILED WHY` | a step starts, and ends |
//! | `| TEXT` | one of the last lines of what failed |
//! | `WAIT NAME` | a step is not at its end, and its node is alive |
//! | `CUT MS` | the harness must cut the power within MS milliseconds |
//! | `NOT JUDGED: WHY` | something can't be judged here, which the harness always prints |
//! | `EVENTS N` | the audit log has N events |
//! | `RESULT pass` or `fail` | the script is over, and the node powers itself off |
//!
//! All other lines are for a reader.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use fs_err as fs;

use crate::node::{Node, Running};
use crate::random::Random;
use crate::{interrupt, run};

/// The last message of a kernel.
const PANIC: &str = "Kernel panic - not syncing";
/// The number of lines of a console that tell why a node ended. A panic has fewer.
const CONSOLE_LINES: usize = 50;
/// The time between two looks at a node.
const PAUSE: Duration = Duration::from_millis(20);

/// How the nodes of a case are watched.
#[derive(Debug)]
pub struct Watch<'a> {
    /// The name of the case.
    pub case: &'a str,
    /// When the case started.
    pub start: Instant,
    /// How long the case may take.
    pub limit: Duration,
    /// How long a node may say nothing.
    pub silence: Duration,
    /// The number of boots, from the first one on, that end with a cut of the power and in no other way.
    pub cuts: u32,
    /// Print each line.
    pub is_verbose: bool,
}

/// A node, and its name in the case.
#[derive(Clone, Copy, Debug)]
pub struct NamedNode<'a> {
    /// The name of its folder in the case.
    pub name: &'a str,
    /// The node itself.
    pub node: &'a dyn Node,
}

/// A node that runs.
struct Watched<'a> {
    name: &'a str,
    node: &'a dyn Node,
    process: Box<dyn Running>,
    /// The number of lines that were read.
    lines: usize,
    /// The number of bytes that it had said by then.
    said: u64,
    /// When it said something last.
    since: Instant,
    /// Was it restarted in this boot?
    restarted: bool,
}

/// What becomes of a node.
#[derive(Debug, PartialEq, Eq)]
enum State {
    Runs,
    /// It ended as it should, or its power was cut.
    Ended,
    /// It failed. The text says why.
    Failed(String),
    /// It must be restarted.
    MustRestart,
    /// It ended before anything could be judged. The text says why.
    Unjudged(String),
}

impl Watch<'_> {
    /// Boots nodes, and waits until all have ended. Returns why a node failed, if one did. `boot` is counted from 1.
    ///
    /// # Errors
    ///
    /// The harness's own: a node can't be started, or ended before anything could be judged, or the run was
    /// interrupted.
    pub fn boot(&self, nodes: &[NamedNode], boot: u32, random: &mut Random) -> Result<Option<String>> {
        let since = Instant::now();
        let watched = |&NamedNode { name, node }: &_| {
            let process = Node::boot(node)?;
            Ok(Watched { name, node, process, lines: 0, said: 0, since, restarted: false })
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
                    State::Failed(why) => return Ok(Some(why)),
                    State::MustRestart => {
                        node.restarted = true;
                        node.process = node.node.boot()?;
                    }
                    State::Unjudged(why) => bail!("{} ended before it said anything:\n{why}", node.name),
                }
            }
            thread::sleep(PAUSE);
        }
        Ok(None)
    }

    fn look(&self, node: &mut Watched, boot: u32, random: &mut Random) -> Result<State> {
        // This comes first, so that all lines are read that the node told before its end.
        let ended = node.process.has_ended();
        let told = read_told(node.node, boot)?;
        for line in &told[node.lines.min(told.len())..] {
            if self.is_verbose || line.starts_with("NOT JUDGED") {
                eprintln!("{} {}: {line}", self.case, node.name);
            }
        }
        match wants_cut(&told, boot <= self.cuts) {
            None => {}
            Some(Ok(within)) => return self.cut(node, boot, random.below(within)),
            Some(Err(why)) => return Ok(State::Failed(describe_failure(node.name, boot, &told, why))),
        }
        // While a script runs, systemd counts its seconds on the console, even if the script hangs. So the console
        // counts only before the first line.
        let said = size_of(&if told.is_empty() { node.node.console() } else { node.node.result() });
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
                    format!("the case didn't end within {} s", self.limit.as_secs())
                } else if node.since.elapsed() > self.silence {
                    format!("it said nothing for {} s", self.silence.as_secs())
                } else {
                    return Ok(State::Runs);
                };
                return Ok(State::Failed(describe_failure(
                    node.name,
                    boot,
                    &told,
                    &format!("{why}\n{}", console()),
                )));
            }
        };
        let console = console();
        let end = End {
            node: node.name,
            boot,
            must_be_cut: boot <= self.cuts,
            told: &told,
            error: error.as_deref(),
            console: &console,
            restarted: node.restarted,
        };
        let state = end.judge();
        if state == State::MustRestart {
            let (case, name) = (self.case, node.name);
            eprintln!("{case} {name}: its kernel panicked before it said anything, so it restarts:\n{console}");
        }
        Ok(state)
    }

    /// Cuts the power after `moment` milliseconds, unless the node says before that it failed.
    fn cut(&self, node: &Watched, boot: u32, moment: u64) -> Result<State> {
        let end = Instant::now() + Duration::from_millis(moment);
        while let left = end.saturating_duration_since(Instant::now())
            && !left.is_zero()
        {
            interrupt::check()?;
            thread::sleep(left.min(PAUSE));
        }
        let told = read_told(node.node, boot)?;
        if told.iter().any(|line| line.starts_with("FAILED ")) {
            return Ok(State::Failed(describe_failure(node.name, boot, &told, "")));
        }
        if self.is_verbose {
            eprintln!("{} {}: the power is cut after {moment} ms", self.case, node.name);
        }
        Ok(State::Ended)
    }
}

/// The milliseconds within which a node wants its power to be cut, if it does. It is an error if this boot must not end
/// so.
fn wants_cut(told: &[String], may_be_cut: bool) -> Option<std::result::Result<u64, &'static str>> {
    let within = told.iter().find_map(|line| line.strip_prefix("CUT ")?.parse().ok())?;
    Some(if may_be_cut {
        Ok(within)
    } else {
        Err("it waits for a cut of its power, but case.yaml has fewer `cuts`")
    })
}

/// The end of a node.
struct End<'a> {
    node: &'a str,
    boot: u32,
    /// Must this boot end with a cut of the power?
    must_be_cut: bool,
    /// The lines that the node told in this boot.
    told: &'a [String],
    /// The error of its process, if it has one.
    error: Option<&'a str>,
    /// The last lines of its console.
    console: &'a str,
    /// Was it restarted in this boot?
    restarted: bool,
}

impl End<'_> {
    /// What this end says of the node. An emulated kernel panics now and then while it starts, and is restarted once. A
    /// node that says nothing and crashes at its first boot is the harness's own failure. At a later boot it is a
    /// failure of the case, and so is a node that powers itself off.
    fn judge(&self) -> State {
        let has = |start: &str| self.told.iter().any(|line| line.starts_with(start));
        let panicked = self.console.contains(PANIC);
        let is_silent = self.told.is_empty();
        let console = self.console;
        let why = match self.error {
            _ if is_silent && panicked && !self.restarted => return State::MustRestart,
            Some(error) => format!("{error}\n{console}"),
            None if has("RESULT pass") && self.must_be_cut => "its power was not cut".to_owned(),
            None if has("RESULT pass") && !has("OK ") => "it passed without a step".to_owned(),
            None if has("RESULT pass") && !has("FAILED ") => return State::Ended,
            None if panicked => console.to_owned(),
            None if is_silent => format!("it powered itself off before its script started\n{console}"),
            None if has("RESULT fail") => "its script failed".to_owned(),
            None => "it powered itself off".to_owned(),
        };
        if is_silent && self.boot == 1 && (panicked || self.error.is_some()) {
            return State::Unjudged(why);
        }
        State::Failed(describe_failure(self.node, self.boot, self.told, &why))
    }
}

/// The lines that a node told during a boot. A line that isn't complete is not among them.
fn read_told(node: &dyn Node, boot: u32) -> Result<Vec<String>> {
    let text = fs::read(node.result())?;
    let end = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let text = printable(&text[..end]);
    let marker = format!("BOOT {boot}");
    Ok(text.lines().skip_while(|line| *line != marker).map(str::to_owned).collect())
}

/// What a node wrote, without the characters that control a terminal.
fn printable(text: &[u8]) -> String {
    String::from_utf8_lossy(text).replace(|char: char| char.is_control() && !matches!(char, '\n' | '\t'), "")
}

/// Says in which step or after which step a node failed, and why: in the words of the node, or else in ours.
fn describe_failure(node: &str, boot: u32, told: &[String], why: &str) -> String {
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

fn size_of(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |metadata| metadata.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(lines: &[&str]) -> Vec<String> {
        lines.iter().map(|line| (*line).to_owned()).collect()
    }

    /// A node that says lines, and ends at once or never.
    #[derive(Debug)]
    struct Sayer {
        top: std::path::PathBuf,
        ends: bool,
    }

    /// Whether a [`Sayer`] ends.
    #[derive(Debug)]
    struct Ends(bool);

    impl Running for Ends {
        fn has_ended(&mut self) -> Result<bool> {
            Ok(self.0)
        }
    }

    impl Node for Sayer {
        fn top(&self) -> &Path {
            &self.top
        }

        fn boot(&self) -> Result<Box<dyn Running>> {
            Ok(Box::new(Ends(self.ends)))
        }

        fn give_shell(&self) -> Result<()> {
            Ok(())
        }

        fn keep_logs(&self, _: &Path) -> Result<()> {
            Ok(())
        }
    }

    #[test]
    fn one_node_that_fails_or_does_not_end_fails_the_case() {
        let passes = ["BOOT 1", "STEP one", "OK 1.0 s one", "RESULT pass"];
        let fails = ["BOOT 1", "STEP one", "FAILED exit 1", "RESULT fail"];
        let long = Duration::from_secs(3600);
        let all = std::env::temp_dir().join(format!("watch-{}", std::process::id()));
        for (lines, ends, limit, silence, wanted) in [
            (&passes[..], true, long, long, None),
            (&fails, true, long, long, Some("b, boot 1: failed in \"one\"\nFAILED exit 1")),
            (&passes[..2], false, Duration::ZERO, long, Some("the case didn't end within 0 s")),
            (&passes[..2], false, long, Duration::ZERO, Some("it said nothing for 0 s")),
        ] {
            let node = |name: &str, lines: &[&str], ends| {
                let top = all.join(name);
                fs::create_dir_all(&top).unwrap();
                fs::write(top.join("result"), lines.join("\n") + "\n").unwrap();
                fs::write(top.join("console"), "").unwrap();
                Sayer { top, ends }
            };
            let (good, other) = (node("a", &passes, true), node("b", lines, ends));
            let nodes = [NamedNode { name: "a", node: &good }, NamedNode { name: "b", node: &other }];
            let watch = Watch { case: "case", start: Instant::now(), limit, silence, cuts: 0, is_verbose: false };
            let why = watch.boot(&nodes, 1, &mut Random::new(1)).unwrap();
            let is_it = |wanted: &str| why.as_ref().is_some_and(|why| why.contains(wanted));
            assert!(wanted.map_or(why.is_none(), is_it), "{lines:?} {wanted:?}: {why:?}");
        }
        fs::remove_dir_all(&all).unwrap();
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
            assert_eq!(describe_failure("node", 1, &lines, "why"), wanted);
        }
    }

    #[test]
    fn power_is_cut_only_where_the_case_says_so() {
        for (lines, may_be_cut, wanted) in [
            (&["BOOT 1", "CUT 4000"][..], true, Some(Some(4000))),
            (&["BOOT 1", "CUT 4000"], false, Some(None)),
            (&["BOOT 1", "STEP CUT 4000"], true, None),
        ] {
            assert_eq!(wants_cut(&told(lines), may_be_cut).map(std::result::Result::ok), wanted, "{lines:?}");
        }
    }

    #[test]
    fn what_a_node_wrote_does_nothing_to_a_terminal() {
        assert_eq!(printable(b"a\x1b[2Jb\r\n\tc\xff\x00"), "a[2Jb\n\tc\u{fffd}");
    }

    #[test]
    fn a_node_passes_only_if_it_says_so_after_a_step_and_no_step_failed() {
        let failed = |why: &str| State::Failed(why.to_owned());
        let end = |boot, must_be_cut, lines: &[&str]| {
            End { node: "node", boot, must_be_cut, told: &told(lines), error: None, console: "", restarted: false }
                .judge()
        };
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
            let why = "it powered itself off before its script started\noff";
            State::Failed(format!("node, boot {boot}: failed before its first step\n{why}"))
        };
        for (boot, error, console, restarted, wanted) in [
            (1, None, panic.as_str(), false, State::MustRestart),
            (2, None, &panic, false, State::MustRestart),
            (1, None, &panic, true, State::Unjudged(panic.clone())),
            (2, None, &panic, true, State::Failed(format!("node, boot 2: failed before its first step\n{panic}"))),
            (1, Some("QEMU: no"), "off", false, State::Unjudged("QEMU: no\noff".to_owned())),
            (1, None, "off", false, off(1)),
            (2, None, "off", false, off(2)),
        ] {
            let end = End { node: "node", boot, must_be_cut: false, told: &[], error, console, restarted };
            assert_eq!(end.judge(), wanted, "{boot} {console} {restarted}");
        }
    }

    #[test]
    fn a_process_that_fails_or_a_kernel_that_panics_is_no_success() {
        let one = ["BOOT 1", "STEP one", "OK 1.0 s one", "RESULT pass"];
        for (lines, error, console, why) in
            [(&one[..], Some("QEMU: no"), "off", "QEMU: no\noff"), (&one[..3], None, PANIC, PANIC)]
        {
            let wanted = State::Failed(format!("node, boot 1: failed after \"one\"\n{why}"));
            let told = told(lines);
            let end =
                End { node: "node", boot: 1, must_be_cut: false, told: &told, error, console, restarted: false };
            assert_eq!(end.judge(), wanted);
        }
    }
}
