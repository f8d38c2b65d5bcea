//! `tests/PROMISES.md` names what fails where a promise of README.md isn't kept. Is that there, and does it run where it
//! is said to?

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::path::{Path, PathBuf};

fn at(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text_of(name: &str) -> Result<String, String> {
    fs::read_to_string(at(name)).map_err(|error| format!("{name}: {error}"))
}

/// Everything that a folder's files say.
fn all_below(folder: &Path) -> String {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    let texts =
        entries.map(|path| if path.is_dir() { all_below(&path) } else { fs::read_to_string(path).unwrap() });
    texts.collect()
}

/// Where an owner runs, if that is to be told from it; or what is wrong with it.
fn place(owner: &str) -> Result<Option<&'static str>, String> {
    if let Some((file, test)) = owner.split_once("::") {
        let text = text_of(file)?;
        let (before, _) = text.split_once(&format!("fn {test}(")).ok_or(format!("{file} has no test {test}"))?;
        let attributes = before.rsplit("#[test]").next().unwrap();
        let is_test = before.contains("#[test]") && !attributes.contains("fn ");
        return if is_test {
            Ok(Some(if attributes.contains("#[ignore") { "test" } else { "check" }))
        } else {
            Err(format!("{test} is no test"))
        };
    }
    let (name, words) =
        owner.split_once(": '").map_or((owner, ""), |(name, words)| (name, words.trim_end_matches('\'')));
    if let Some(case) = name.strip_prefix("cases/") {
        let plan = at("tests/cases").join(case).join("plan.txt");
        return if plan.exists() { Ok(Some("check")) } else { Err(format!("{} isn't there", plan.display())) };
    }
    let Some(case) = name.strip_prefix("nodes/") else {
        return if text_of(name)?.contains(words) {
            Ok(None)
        } else {
            Err(format!("{name} doesn't say {words:?}"))
        };
    };
    let description = text_of(&format!("vm-tests/cases/{case}/case.yaml"))?;
    if !all_below(&at("vm-tests/cases").join(case)).contains(words) {
        return Err(format!("no step of {case} says {words:?}"));
    }
    Ok(Some(match description.contains("\nlong: true") {
        _ if case == "kind" => "vm-tests",
        true => "slice",
        false => "test",
    }))
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
    let places = runs_in.split(", ").collect::<Vec<_>>();
    let judge = |owner| match place(owner) {
        Ok(Some(place)) if !places.contains(&place) => {
            Some(format!("{owner} runs in {place}, and not in {runs_in}"))
        }
        Ok(_) => None,
        Err(fault) => Some(fault),
    };
    owners.into_iter().filter_map(judge).collect()
}

#[test]
fn every_promise_has_its_owner() {
    let table = text_of("tests/PROMISES.md").unwrap();
    let rows = table.lines().filter(|line| line.starts_with("| ") && !line.starts_with("| promise |"));
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
    // What comes before the first heading.
    expected.insert(0, "## In short".to_owned());
    assert_eq!(headings("tests/PROMISES.md"), expected);
}

#[test]
fn a_row_that_is_wrong_is_found() {
    for (row, fault) in [
        ("| a | `tests/promises.rs::no_such` | check | |", "has no test no_such"),
        ("| a | `tests/promises.rs::place` | check | |", "is no test"),
        (
            "| a | `tests/faults.rs::a_run_killed_at_any_system_call_is_finished_by_the_next` | check | |",
            "runs in test",
        ),
        ("| a | `tests/demo.sh: 'no such words'` | test | |", "doesn't say"),
        ("| a | `tests/none.sh: 'a'` | test | |", "tests/none.sh: "),
        ("| a | `cases/none` | check | |", "isn't there"),
        ("| a | `nodes/none` | test | |", "none/case.yaml: "),
        ("| a | `nodes/heal: 'no such step'` | slice | |", "no step of heal"),
        ("| a | `nodes/heal` | test | |", "runs in slice"),
        ("| a | | | |", "no owner"),
        ("| a | b | c |", "four cells"),
    ] {
        let found = faults(row);
        assert!(found.len() == 1 && found[0].contains(fault), "{row}: {found:?}");
    }
    assert!(faults("| a | | | a measurement |").is_empty());
}
