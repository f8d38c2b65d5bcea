//! The table of what each version of Kubernetes supports, made of what ran.

use std::fmt::Write as _;
use std::path::Path;

use anyhow::{Context, Result};
use fs_err as fs;

use crate::components;
use crate::job::Outcome;

const BEGIN: &str = "<!-- made by `make matrix`: begin -->\n";
const END: &str = "<!-- end -->";

/// The columns, and the jobs that must have passed for each. A job that a version doesn't have leaves it empty.
const COLUMNS: [(&str, &[&str]); 6] = [
    ("kubeadm v1beta3", &["kubeadm-v1beta3"]),
    ("kubeadm v1beta4", &["kubeadm-v1beta4"]),
    ("manifest", &["kubeadm-v1beta2", "kubeadm-v1beta3", "kubeadm-v1beta4"]),
    ("policy and flags", &["apiserver"]),
    ("live node", &["existing-cluster"]),
    ("events", &["first-boot"]),
];

/// Puts the table between its marks in a file. What didn't run stays as it was there.
///
/// # Errors
///
/// The file can't be read or written, or has no marks.
pub fn write(path: &Path, outcomes: &[Outcome]) -> Result<()> {
    let text = fs::read_to_string(path)?;
    let marks = text.split_once(BEGIN).and_then(|(head, rest)| Some((head, rest.split_once(END)?)));
    let (head, (old, tail)) = marks.with_context(|| format!("{} has no place for the table", path.display()))?;
    let table = table(&components::versions()?, outcomes, old);
    Ok(fs::write(path, format!("{head}{BEGIN}{table}{END}{tail}"))?)
}

fn table(versions: &[String], outcomes: &[Outcome], old: &str) -> String {
    let mut table = "| Kubernetes |".to_owned();
    for (name, _) in COLUMNS {
        let _ = write!(table, " {name} |");
    }
    table += "\n|---|";
    table += &"---|".repeat(COLUMNS.len());
    table.push('\n');
    for version in versions {
        let _ = write!(table, "| {version} |");
        let before: Vec<_> = old
            .lines()
            .map(|line| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>())
            .find(|cells| cells.first() == Some(&version.as_str()))
            .unwrap_or_default();
        for (index, (_, jobs)) in COLUMNS.iter().enumerate() {
            let ran = || outcomes.iter().filter(|o| o.version == *version && jobs.contains(&o.name.as_str()));
            let cell = match (ran().count(), ran().all(|outcome| outcome.passed)) {
                (0, _) => before.get(index + 1).copied().unwrap_or_default(),
                (_, true) => "yes",
                (_, false) => "FAILED",
            };
            let _ = write!(table, " {cell} |");
        }
        table.push('\n');
    }
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_is_what_ran_or_what_was_there() {
        let outcome = |name: &str, version: &str, passed| Outcome {
            name: name.to_owned(),
            version: version.to_owned(),
            passed,
        };
        let outcomes = [
            outcome("kubeadm-v1beta3", "1.26.15", true),
            outcome("kubeadm-v1beta4", "1.37.2", true),
            outcome("first-boot", "1.37.2", false),
            outcome("reboot", "1.37.2", true),
        ];
        let old = "| 1.37.2 |  |  |  |  | yes | yes |\n";
        let table = table(&["1.26.15".to_owned(), "1.37.2".to_owned()], &outcomes, old);
        assert_eq!(
            table,
            "\
| Kubernetes | kubeadm v1beta3 | kubeadm v1beta4 | manifest | policy and flags | live node | events |
|---|---|---|---|---|---|---|
| 1.26.15 | yes |  | yes |  |  |  |
| 1.37.2 |  | yes | yes |  | yes | FAILED |
"
        );
    }
}
