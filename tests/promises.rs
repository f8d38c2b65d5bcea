//! `tests/PROMISES.md` names an owner of each promise of README.md: the test that fails if the promise is broken. This
//! tests that each owner exists, and that it runs where its row says, and nowhere else.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn at(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text_of(name: &str) -> Result<String, String> {
    fs::read_to_string(at(name)).map_err(|error| format!("{name}: {error}"))
}

/// Where an owner can run: targets of make, and `slice`.
const PLACES: [&str; 5] = ["check", "test", "slice", "vm-tests", "test-all"];

/// Where each file runs that is not a cargo test. A part of the packages' tests runs only in a slice.
const FILES: [(&str, &[&str]); 12] = [
    (".ci/run", &["test", "vm-tests"]),
    ("Makefile", &["test"]),
    ("tests/arm64.sh", &["slice"]),
    ("tests/bench/bench.sh", &["test"]),
    ("tests/demo.sh", &["test"]),
    ("tests/examples/judge.sh", &["slice"]),
    ("tests/packages-installed.sh", &["test", "slice"]),
    ("tests/reproducible.sh", &["slice"]),
    ("tests/sarif.sh", &["test"]),
    ("tests/shippers.sh", &["slice"]),
    ("tests/slice.sh", &["slice"]),
    ("tests/static.sh", &["test"]),
];

/// The number of promises. If you add or remove a row, change it.
const PROMISES: usize = 297;

/// Are the words in a line of a script that is not a comment?
fn says(text: &str, words: &str) -> bool {
    text.lines().any(|line| !line.trim_start().starts_with('#') && line.contains(words))
}

/// The text of all files below a folder.
fn all_below(folder: &Path) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let texts =
        entries.map(|path| if path.is_dir() { all_below(&path) } else { fs::read_to_string(path).unwrap() });
    texts.collect()
}

/// Where an owner runs; its row must name at least one of these.
///
/// # Errors
///
/// What is wrong with the owner.
fn places_of(owner: &str) -> Result<&'static [&'static str], String> {
    if let Some((file, test)) = owner.split_once("::") {
        let text = text_of(file)?;
        let (before, _) = text.split_once(&format!("fn {test}(")).ok_or(format!("{file} has no test {test}"))?;
        let attributes = before.rsplit("#[test]").next().unwrap();
        let is_test = before.contains("#[test]") && !attributes.contains("fn ");
        return if is_test {
            Ok(if attributes.contains("#[ignore") { &["test"] } else { &["check"] })
        } else {
            Err(format!("{test} is no test"))
        };
    }
    let (name, words) =
        owner.split_once(": '").map_or((owner, ""), |(name, words)| (name, words.trim_end_matches('\'')));
    if let Some(case) = name.strip_prefix("cases/") {
        let plan = at("tests/cases").join(case).join("plan.txt");
        return if plan.exists() { Ok(&["check"]) } else { Err(format!("{} isn't there", plan.display())) };
    }
    let Some(case) = name.strip_prefix("nodes/") else {
        if !says(&text_of(name)?, words) {
            return Err(format!("{name} doesn't say {words:?}"));
        }
        // This test itself reads a file that is shipped with the program.
        let shipped = name.starts_with("image/").then_some(&["check"][..]);
        let places = shipped.or(FILES.iter().find(|(file, _)| *file == name).map(|(_, places)| *places));
        return places
            .ok_or(format!("add {name} to FILES of tests/promises.rs, with the places in which it runs"));
    };
    let description = text_of(&format!("vm-tests/cases/{case}/case.yaml"))?;
    if !says(&all_below(&at("vm-tests/cases").join(case)), words) {
        return Err(format!("no step of {case} says {words:?}"));
    }
    Ok(match (case, description.contains("\nlong: true")) {
        ("kind", _) => &["vm-tests"],
        (_, true) => &["slice"],
        ("first-boot" | "reboot", _) => &["test", "vm-tests"],
        _ => &["test"],
    })
}

/// What is wrong with a row.
fn faults(row: &str) -> Vec<String> {
    let cells: Vec<_> = row.split('|').map(str::trim).collect();
    let ["", promise, owners, runs_in, without, ""] = cells[..] else {
        return vec!["it hasn't four cells".to_owned()];
    };
    let owners: Vec<_> = owners.split('`').skip(1).step_by(2).collect();
    if owners.is_empty() && without.is_empty() && !promise.starts_with('(') {
        return vec!["it has no owner, and doesn't say why".to_owned()];
    }
    let named: Vec<_> = runs_in.split(", ").filter(|place| !place.is_empty()).collect();
    let (mut faults, mut owned) = (Vec::new(), Vec::new());
    for owner in owners {
        match places_of(owner) {
            Ok(places) => {
                if places.iter().any(|place| named.contains(place)) {
                    owned.extend(places);
                    continue;
                }
                faults.push(format!("{owner} runs in {}, and not in {runs_in:?}", places.join(" or ")));
            }
            Err(fault) => faults.push(fault),
        }
        // The row already has a fault, and this owner could run anywhere.
        owned.extend(PLACES);
    }
    for place in named {
        if !PLACES.contains(&place) {
            faults.push(format!("{place} is no place: there are {}", PLACES.join(", ")));
        } else if !owned.contains(&place) {
            faults.push(format!("none of its owners runs in {place}"));
        }
    }
    faults
}

/// The sections of a table that have no row.
fn empty_sections(table: &str) -> Vec<&str> {
    let sections = table.split("\n##").skip(1);
    let has_row = |section: &str| section.lines().any(is_row);
    sections
        .filter(|section| !has_row(section))
        .map(|section| section.lines().next().unwrap().trim_start_matches('#').trim())
        .collect()
}

fn is_row(line: &str) -> bool {
    line.starts_with("| ") && !line.starts_with("| promise |")
}

#[test]
fn every_promise_has_its_owner() {
    let table = text_of("tests/PROMISES.md").unwrap();
    let rows = table.lines().filter(|line| is_row(line));
    assert_eq!(rows.clone().count(), PROMISES);
    let faults: Vec<_> =
        rows.flat_map(|row| faults(row).into_iter().map(move |fault| format!("{fault}\n    {row}"))).collect();
    assert!(faults.is_empty(), "tests/PROMISES.md:\n{}", faults.join("\n"));
}

#[test]
fn every_section_of_the_readme_has_a_table() {
    let headings = |name: &str| -> Vec<String> {
        let text = text_of(name).unwrap();
        text.lines().filter(|line| line.starts_with("##")).map(str::to_owned).collect()
    };
    let mut expected = headings("README.md");
    // For the text before the first heading.
    expected.insert(0, "## In short".to_owned());
    assert_eq!(headings("tests/PROMISES.md"), expected);
    assert_eq!(empty_sections(&text_of("tests/PROMISES.md").unwrap()), [""; 0], "these sections have no row");
}

#[test]
fn a_section_without_a_row_is_found() {
    let head = "| promise | owner | runs in | without an owner |\n|---|---|---|---|\n";
    let table = format!(
        "# All\n\n## One\n\n{head}| a | | | b |\n\n### Two\n\n{head}\n## Three\n\n{head}| (links) | | | |\n"
    );
    assert_eq!(empty_sections(&table), ["Two"]);
}

#[test]
fn a_row_that_is_wrong_is_found() {
    for (row, fault) in [
        ("| a | `tests/promises.rs::no_such` | check | |", "has no test no_such"),
        ("| a | `tests/promises.rs::places_of` | check | |", "is no test"),
        (
            "| a | `tests/faults.rs::a_run_killed_at_any_system_call_is_finished_by_the_next` | check | |",
            "runs in test",
        ),
        ("| a | `tests/demo.sh: 'no such words'` | test | |", "doesn't say"),
        // The words are only in a comment.
        ("| a | `tests/demo.sh: 'tests/demo.sh PROGRAM'` | test | |", "doesn't say"),
        ("| a | `tests/none.sh: 'a'` | test | |", "tests/none.sh: "),
        ("| a | `cases/none` | check | |", "isn't there"),
        ("| a | `nodes/none` | test | |", "none/case.yaml: "),
        ("| a | `nodes/heal: 'no such step'` | slice | |", "no step of heal"),
        ("| a | `nodes/heal` | test | |", "runs in slice"),
        ("| a | `nodes/heal` | test, slice | |", "none of its owners runs in test"),
        ("| a | `nodes/heal` | | |", "runs in slice, and not in"),
        ("| a | `nodes/heal` | slice, somewhere | |", "somewhere is no place"),
        ("| a | `tests/demo.sh: 'was not put back'` | test, check | |", "none of its owners runs in check"),
        ("| a | `tests/beside.sh: 'nice'` | test | |", "add tests/beside.sh to FILES"),
        ("| a | | check | b |", "none of its owners runs in check"),
        ("| a | | | |", "no owner"),
        ("| a | b | c |", "four cells"),
    ] {
        let found = faults(row);
        assert!(found.len() == 1 && found[0].contains(fault), "{row}: {found:?}");
    }
    assert!(faults("| a | | | a measurement |").is_empty());
}
