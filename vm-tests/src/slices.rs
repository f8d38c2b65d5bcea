//! Tests of what must be in `tests/slices`. CI runs one slice for each commit.

use std::collections::BTreeMap;

use clap::Parser;

use crate::arguments::Arguments;
use crate::case::{self, Case};
use crate::setting::On;

const SLICES: &str = include_str!("../../tests/slices");
const SCRIPT: &str = include_str!("../../tests/slice.sh");
const MAKEFILE: &str = include_str!("../../Makefile");

/// The most slices that there may be, so that each runs at every eighth commit or so.
const MOST: usize = 8;
/// What a slice may take, in seconds, on two processors.
const LIMIT: u32 = 15 * 60;
/// How many cases in namespaces run in the time of one case that runs alone, as they wait more than they work.
const BESIDE: u32 = 3;

/// A line of the file.
struct Line {
    slice: usize,
    kind: &'static str,
    /// The seconds that it takes. For nodes it is 0, as their cases say that.
    seconds: u32,
    names: Vec<&'static str>,
    /// The options of `vm-tests run`.
    options: Vec<&'static str>,
}

fn lines() -> Vec<Line> {
    let lines = SLICES.lines().filter(|line| !line.starts_with('#'));
    let read = |line: &'static str| {
        let words: Vec<_> = line.split(' ').collect();
        let (slice, kind, words) = (words[0].parse().unwrap(), words[1], &words[2..]);
        let (seconds, words) = if kind == "nodes" { (0, words) } else { (words[0].parse().unwrap(), &words[1..]) };
        let (names, options) = if kind == "machines" { words.split_at(1) } else { (words, &[][..]) };
        Line { slice, kind, seconds, names: names.to_vec(), options: options.to_vec() }
    };
    lines.map(read).collect()
}

/// The names in the lines of a kind, sorted.
fn of(kind: &str) -> Vec<&'static str> {
    let mut names: Vec<_> =
        lines().into_iter().filter(|line| line.kind == kind).flat_map(|line| line.names).collect();
    names.sort_unstable();
    names
}

/// The names of the long cases that a condition holds for, sorted.
fn long_cases(of: impl Fn(&Case) -> bool) -> Vec<String> {
    let all = case::names().unwrap().into_iter().map(|name| Case::named(&name).unwrap());
    all.filter(|case| case.description.long && of(case)).map(|case| case.name).collect()
}

#[test]
fn every_long_case_is_in_one_slice_or_in_every_run() {
    let in_namespaces = |case: &Case| case.description.on.contains(&On::Namespaces);
    assert_eq!(of("nodes"), long_cases(in_namespaces));
    let mut on_machines = of("machines");
    // `make vm-tests` runs this case each time.
    assert!(MAKEFILE.contains("$(HARNESS) run first-boot reboot kind $(ALSO) --on qemu"));
    on_machines.push("kind");
    on_machines.sort_unstable();
    assert_eq!(on_machines, long_cases(|case| !in_namespaces(case)));
    // The options are those of a whole run, so a slice has one case on machines.
    let mut slices: Vec<_> =
        lines().iter().filter(|line| line.kind == "machines").map(|line| line.slice).collect();
    slices.dedup();
    assert_eq!(slices.len(), of("machines").len());
}

#[test]
fn the_harness_takes_the_options_of_a_machine() {
    for line in lines().into_iter().filter(|line| line.kind == "machines") {
        let words = ["vm-tests", "run", "kind"].into_iter().chain(line.names).chain(line.options);
        Arguments::try_parse_from(words).unwrap();
    }
}

#[test]
fn what_else_make_test_leaves_out_is_in_one_slice() {
    let tests = of("test");
    assert_eq!(tests, ["examples", "image", "packages", "shippers"]);
    assert!(
        SCRIPT.contains(&format!("{}) timed", tests.join(" | "))),
        "tests/slice.sh has other tests than tests/slices"
    );
}

#[test]
fn a_slice_comes_often_and_does_not_take_long() {
    let mut took = BTreeMap::<_, u32>::new();
    for line in lines() {
        let seconds = match line.kind {
            "nodes" => {
                let cases: Vec<_> =
                    line.names.iter().map(|name| Case::named(name).unwrap().description.seconds).collect();
                let longest = cases.iter().max().copied().unwrap_or_default();
                longest.max(cases.iter().sum::<u32>() / BESIDE)
            }
            // A machine has one of two processors, and other cases run on the other one.
            "machines" => line.seconds / 2,
            "test" => line.seconds,
            kind => panic!("{kind}"),
        };
        *took.entry(line.slice).or_default() += seconds;
    }
    assert_eq!(took.keys().copied().collect::<Vec<_>>(), (0..took.len()).collect::<Vec<_>>());
    assert!(took.len() <= MOST, "{} slices", took.len());
    assert!(took.values().all(|seconds| *seconds <= LIMIT), "{took:?}");
}

/// The previous version, with which they start, is built once.
#[test]
fn upgrades_are_in_the_same_slice() {
    let begins_with_previous = |name: &&str| Case::named(name).unwrap().description.from_previous;
    let slices: Vec<_> = lines()
        .into_iter()
        .filter(|line| line.kind != "test" && line.names.iter().any(begins_with_previous))
        .map(|line| line.slice)
        .collect();
    assert_eq!(slices.len(), 1, "slices {slices:?}");
}
