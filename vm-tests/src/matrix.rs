//! The table of what each version of Kubernetes supports, made of the jobs that ran.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::job::Outcome;
use crate::{components, run};

const BEGIN: &str = "<!-- made by `make matrix`: begin -->\n";
const END: &str = "<!-- end -->";

/// A column of the table, and the jobs that must have passed for it. It is empty for a version that has none of them.
struct Column {
    name: &'static str,
    jobs: &'static [&'static str],
}

const COLUMNS: [Column; 6] = [
    Column { name: "kubeadm v1beta3", jobs: &["kubeadm-v1beta3"] },
    Column { name: "kubeadm v1beta4", jobs: &["kubeadm-v1beta4"] },
    Column { name: "manifest", jobs: &["kubeadm-v1beta2", "kubeadm-v1beta3", "kubeadm-v1beta4"] },
    Column { name: "policy and flags", jobs: &["apiserver"] },
    Column { name: "live node", jobs: &["existing-cluster"] },
    Column { name: "events", jobs: &["first-boot"] },
];

/// What stands in place of a day, in a row that has none.
const NO_DAY: &str = "before days were kept";

/// The file that has the releases, newest first: `## 0.2.0 - 2027-01-31`.
const CHANGELOG: &str = include_str!("../../CHANGELOG.md");

/// The day on which something was shown, and the program with which.
#[derive(Clone, Debug, Default)]
struct Shown {
    day: String,
    with: String,
}

/// Writes the table between its marks in a file. The row of a version that ran has what this run showed and nothing
/// else. The other rows stay.
///
/// # Errors
///
/// The file can't be read or written, or has no marks; or the program doesn't print its version.
pub fn write(path: &Path, outcomes: &[Outcome], program: &Path) -> Result<()> {
    let day = run::output(Command::new("date").args(["--utc", "+%F"]))?.trim().to_owned();
    let with = find_commit(&run::output(Command::new(program).arg("--version"))?);
    rewrite(path, outcomes, &Shown { day, with })
}

fn rewrite(path: &Path, outcomes: &[Outcome], now: &Shown) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let marks = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?)));
    let (head, (old, tail)) = marks
        .with_context(|| format!("{} has no place for the table: add the marks\n{BEGIN}{END}", path.display()))?;
    let table = make_table(&components::pinned_versions()?, outcomes, now, old, find_newest_release(CHANGELOG));
    Ok(fs::write(path, format!("{head}{BEGIN}{table}{END}{tail}"))?)
}

/// The version and the commit in what `--version` prints: `0.1.0 (7aaab0494cef)` in `kube-audit-bootstrap 0.1.0
/// (7aaab0494cef 2026-11-26)`.
fn find_commit(version: &str) -> String {
    match version.split_whitespace().collect::<Vec<_>>()[..] {
        [_, version, commit, _] => format!("{version} {commit})"),
        [_, version] => version.to_owned(),
        _ => version.trim().to_owned(),
    }
}

/// The version and the day of the newest release, if there was one.
fn find_newest_release(changelog: &str) -> Option<(&str, &str)> {
    changelog.lines().find_map(|line| line.strip_prefix("## ")?.split_once(" - "))
}

fn make_table(
    versions: &[String],
    outcomes: &[Outcome],
    now: &Shown,
    old: &str,
    newest_release: Option<(&str, &str)>,
) -> String {
    let mut table = "| Kubernetes |".to_owned();
    for name in COLUMNS.map(|column| column.name).into_iter().chain(["shown", "with"]) {
        let _ = write!(table, " {name} |");
    }
    table += "\n|---|";
    table += &"---|".repeat(COLUMNS.len() + 2);
    table.push('\n');
    for version in versions {
        let ran = |jobs: &[&str]| -> Vec<_> {
            outcomes.iter().filter(|o| o.version == *version && jobs.contains(&o.name.as_str())).collect()
        };
        let (cells, shown) = if COLUMNS.iter().any(|column| !ran(column.jobs).is_empty()) {
            let cell = |jobs: &[&str]| match &ran(jobs)[..] {
                [] => "",
                ran if ran.iter().all(|outcome| outcome.passed) => "yes",
                _ => "FAILED",
            };
            (COLUMNS.map(|column| cell(column.jobs)), now.clone())
        } else {
            let before: Vec<_> = old
                .lines()
                .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>())
                .find(|cells| cells.first() == Some(&version.as_str()))
                .unwrap_or_default();
            let cell = |index: usize| before.get(index).copied().unwrap_or_default();
            // The day without its mark.
            let day = cell(COLUMNS.len() + 1).split(", ").next().unwrap_or_default().to_owned();
            let with = cell(COLUMNS.len() + 2).to_owned();
            (std::array::from_fn(|index| cell(index + 1)), Shown { day, with })
        };
        let day = match newest_release {
            _ if cells.iter().all(|cell| cell.is_empty()) => String::new(),
            // Days sort as they are written. A row without a day is older than every release.
            Some((release, _)) if ["", NO_DAY].contains(&shown.day.as_str()) => {
                format!("{NO_DAY}, before {release}")
            }
            _ if shown.day.is_empty() => NO_DAY.to_owned(),
            Some((release, of)) if shown.day.as_str() < of => format!("{}, before {release}", shown.day),
            _ => shown.day,
        };
        let _ = writeln!(table, "| {version} | {} | {day} | {} |", cells.join(" | "), shown.with);
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcome(name: &str, version: &str, passed: bool) -> Outcome {
        Outcome { name: name.to_owned(), version: version.to_owned(), passed }
    }

    fn rows(outcomes: &[Outcome], old: &str, newest_release: Option<(&str, &str)>) -> Vec<String> {
        let versions = ["1.26.15", "1.36.3", "1.37.2"].map(str::to_owned);
        let now = Shown { day: "2027-02-03".to_owned(), with: "0.1.0 (0123456789ab)".to_owned() };
        make_table(&versions, outcomes, &now, old, newest_release).lines().skip(2).map(str::to_owned).collect()
    }

    #[test]
    fn a_row_is_what_one_run_showed_with_its_day_and_commit() {
        let outcomes = [
            outcome("kubeadm-v1beta3", "1.26.15", true),
            outcome("kubeadm-v1beta4", "1.37.2", true),
            outcome("first-boot", "1.37.2", false),
            outcome("reboot", "1.36.3", true),
        ];
        let old = "| 1.36.3 | yes |  |  |  |  | yes | 2026-12-01 | 0.1.0 (fedcba987654) |\n\
                   | 1.37.2 |  |  |  |  | yes | yes | 2026-12-01 | 0.1.0 (fedcba987654) |\n";
        let expected = [
            "| 1.26.15 | yes |  | yes |  |  |  | 2027-02-03 | 0.1.0 (0123456789ab) |",
            "| 1.36.3 | yes |  |  |  |  | yes | 2026-12-01 | 0.1.0 (fedcba987654) |",
            "| 1.37.2 |  | yes | yes |  |  | FAILED | 2027-02-03 | 0.1.0 (0123456789ab) |",
        ];
        assert_eq!(rows(&outcomes, old, None), expected);
    }

    #[test]
    fn a_row_that_is_older_than_the_newest_release_is_marked() {
        let old = "| 1.26.15 | yes |  |  |  |  |  |\n\
                   | 1.36.3 | yes |  |  |  |  | yes | 2026-12-01 | 0.1.0 (fedcba987654) |\n\
                   | 1.37.2 |  |  |  |  | yes | yes | 2027-01-31 | 0.1.0 (fedcba987654) |\n";
        let expected = [
            "| 1.26.15 | yes |  |  |  |  |  | before days were kept, before 0.2.0 |  |",
            "| 1.36.3 | yes |  |  |  |  | yes | 2026-12-01, before 0.2.0 | 0.1.0 (fedcba987654) |",
            "| 1.37.2 |  |  |  |  | yes | yes | 2027-01-31 | 0.1.0 (fedcba987654) |",
        ];
        let release = find_newest_release(
            "# Changelog\n\n## Unreleased\n\n## 0.2.0 - 2027-01-31\n\n## 0.1.0 - 2026-12-31\n",
        );
        assert_eq!(release, Some(("0.2.0", "2027-01-31")));
        assert_eq!(rows(&[], old, release), expected);
        // The mark of a newer release replaces the previous mark.
        let marked = expected.join("\n");
        assert_eq!(rows(&[], &marked, release), expected);
        let next = expected.map(|row| row.replace("before 0.2.0", "before 0.3.0"));
        let next = next.map(|row| row.replace("2027-01-31", "2027-01-31, before 0.3.0"));
        assert_eq!(rows(&[], &marked, Some(("0.3.0", "2027-03-01"))), next);
        assert_eq!(find_newest_release("# Changelog\n\n## Unreleased\n\n* A - B\n"), None);
    }

    #[test]
    fn a_program_prints_the_commit_that_it_was_built_from() {
        for (version, wanted) in [
            ("kube-audit-bootstrap 0.1.0 (7aaab0494cef 2026-11-26)\n", "0.1.0 (7aaab0494cef)"),
            ("kube-audit-bootstrap 0.1.0 (7aaab0494cef-dirty 2026-11-26)\n", "0.1.0 (7aaab0494cef-dirty)"),
            ("kube-audit-bootstrap 0.1.0\n", "0.1.0"),
        ] {
            assert_eq!(find_commit(version), wanted);
        }
    }

    /// A release that is added to the change log makes rows of the README older than the newest release.
    /// `UPDATE_MATRIX=1` marks them.
    #[test]
    fn the_readme_marks_what_is_older() {
        let readme = Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md");
        let text = fs::read_to_string(&readme).unwrap();
        let copy = std::env::temp_dir().join(format!("matrix-{}.md", std::process::id()));
        let to = if std::env::var_os("UPDATE_MATRIX").is_some() { &readme } else { &copy };
        fs::write(to, &text).unwrap();
        rewrite(to, &[], &Shown::default()).unwrap();
        let marked = fs::read_to_string(to).unwrap();
        let _ = fs::remove_file(&copy);
        let same = fs::read_to_string(&readme).unwrap() == marked;
        assert!(same, "README.md has rows that are not marked: run UPDATE_MATRIX=1 cargo test -p vm-tests matrix");
    }
}
