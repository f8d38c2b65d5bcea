//! Prints a plan, in text and in JSON: each change, its diff, and the state of the log directory.

use std::fmt::Write as _;

use anyhow::Result;
use serde_json::{Value, json};

use super::common::{Common, Outcome};
use super::secrets;
use crate::change::{Change, KUBEADM_CONFIG};
use crate::facts::file::{Attributes, lossy};
use crate::node::root::Root;
use crate::path::{aside, parent};
use crate::plan::in_force::State;
use crate::plan::{FollowUp, LogStorage, Plan, Planned, Role};
use crate::storage::forecast::{Bytes, Kept, Span};
use crate::time::{at, rfc3339};

/// The command that undoes what is in a backup. `path` is the root directory, as the user named it.
pub fn restore_command(root: &Root, id: &str) -> String {
    format!("{} restore {id}", root.program())
}

/// Prints warnings on stderr. In JSON they are in the document, so nothing is printed.
pub fn warn(common: &Common, warnings: &[String]) {
    if !common.json() {
        for warning in warnings {
            log::warn!("{warning}");
        }
    }
}

/// The first line about a node: its role, and its Kubernetes version.
pub fn headline(plan: &Plan) -> String {
    let version = match plan.version {
        Some(version) => format!("Kubernetes {version} {}", plan.version_source),
        None => "Kubernetes version not known".to_owned(),
    };
    let remark = plan.remark.as_ref().map(|remark| format!("note: {remark}\n")).unwrap_or_default();
    let what = match plan.role {
        // Not even that is known: it may belong to a distribution that does without kubeadm.
        Role::Image if plan.is_unread => "a node for which no plan can be made",
        role => role.description(),
    };
    format!("{what}; {version}\n{remark}")
}

/// What a change does, in words.
pub fn describe(change: &Change) -> String {
    let who = |attributes: &Attributes| {
        format!("mode {:04o}, owner {}:{}", attributes.mode, attributes.uid, attributes.gid)
    };
    match change {
        Change::CreateDirectory { path, attributes } => format!("create directory {path} ({})", who(attributes)),
        Change::SetAttributes { path, before, after } => {
            format!("set {path} to {} (was {})", who(after), who(before))
        }
        Change::WriteFile { path, before: None, attributes, .. } => format!("create {path} ({})", who(attributes)),
        Change::WriteFile { path, before: Some(before), bytes, attributes } => {
            let (added, removed) = count(&lossy(&before.bytes), &lossy(bytes));
            let old = who(&before.attributes);
            let also =
                if old == who(attributes) { String::new() } else { format!("; {} (was {old})", who(attributes)) };
            format!("edit {path} (lines: {added} added, {removed} removed{also})")
        }
        Change::MoveAway { path, .. } => format!("move {path} to the backup"),
        Change::Format { device, format } => format!("format {device}, which is blank, as {}", format.name()),
        Change::Mount { path, unit, .. } => format!("mount {unit} at {path}"),
        Change::Unmount { path } => format!("unmount {path}"),
        Change::RemoveFile { path, .. } => format!("remove {path}"),
        Change::RemoveDirectory { path, .. } => format!("remove directory {path}"),
        Change::WriteCluster { before, after } => {
            let (added, removed) = count(before, after);
            format!("edit the cluster's {} (lines: {added} added, {removed} removed)", KUBEADM_CONFIG)
        }
    }
}

/// The unified diff of a change to a text; `None` for other changes.
pub fn diff(change: &Change) -> Option<String> {
    let (path, old, new) = match change {
        Change::WriteFile { path, before, bytes, .. } => {
            (path.as_str(), before.as_ref().map(|before| lossy(&before.bytes)), Some(lossy(bytes)))
        }
        Change::RemoveFile { path, before } => (path.as_str(), Some(lossy(&before.bytes)), None),
        Change::WriteCluster { before, after } => (KUBEADM_CONFIG, Some(before.clone()), Some(after.clone())),
        _ => return None,
    };
    let name = |side: &str, there: bool| match there {
        true => format!("{side}/{}", path.trim_start_matches('/')),
        false => "/dev/null".to_owned(),
    };
    let mut text = format!("--- {}\n+++ {}\n", name("a", old.is_some()), name("b", new.is_some()));
    let (old, new) = (old, new.unwrap_or_default());
    let (hidden_old, hidden_new) = (secrets::hide(old.as_deref().unwrap_or_default()), secrets::hide(&new));
    let mut left = (hidden_old.iter(), hidden_new.iter());
    for line in hunks(old.as_deref(), &new).lines() {
        if let Some((old, new)) = starts(line) {
            let skip = |lines: &[String], start: usize| start.saturating_sub(1).min(lines.len());
            left = (hidden_old[skip(&hidden_old, old)..].iter(), hidden_new[skip(&hidden_new, new)..].iter());
            text.push_str(line);
        } else if let Some(sign @ ('-' | '+' | ' ')) = line.chars().next() {
            let removed = if sign == '+' { None } else { left.0.next() };
            let added = if sign == '-' { None } else { left.1.next() };
            text.push(sign);
            text.push_str(&added.or(removed).cloned().unwrap_or_else(|| secrets::hide_alone(&line[1..])));
        } else {
            text.push_str(line);
        }
        text.push('\n');
    }
    Some(text)
}

/// The numbers of the first lines of a hunk, from its first line: `@@ -1,2 +3,4 @@`.
fn starts(line: &str) -> Option<(usize, usize)> {
    let mut words = line.strip_prefix("@@ ")?.split(' ');
    let mut number = |sign| words.next()?.strip_prefix(sign)?.split(',').next()?.parse().ok();
    Some((number('-')?, number('+')?))
}

/// The hunks of a unified diff, which follow the two names. `old` is `None` if there was no file.
fn hunks(old: Option<&str>, new: &str) -> String {
    let input = imara_diff::InternedInput::new(old.unwrap_or_default(), new);
    let mut diff = imara_diff::Diff::compute(imara_diff::Algorithm::Histogram, &input);
    diff.postprocess_lines(&input);
    let printer = imara_diff::BasicLineDiffPrinter(&input.interner);
    let text = diff.unified_diff(&printer, imara_diff::UnifiedDiffConfig::default(), &input).to_string();
    // imara-diff 0.2 prints all lines before a first change that is near the start, but counts from three before it.
    let text = match diff.hunks().next().map(|hunk| hunk.before.start) {
        Some(start @ 4..=6) => {
            let line = start - 2;
            text.replacen(&format!("@@ -{line},"), "@@ -1,", 1).replacen(&format!(" +{line},"), " +1,", 1)
        }
        _ => text,
    };
    // The hunk of a new file must begin at line 0, or `patch` looks for line 1.
    match (old, text.strip_prefix("@@ -1,0 ")) {
        (None, Some(rest)) => format!("@@ -0,0 {rest}"),
        _ => text,
    }
}

/// How many lines were added, and how many were removed.
fn count(old: &str, new: &str) -> (u32, u32) {
    let input = imara_diff::InternedInput::new(old, new);
    let diff = imara_diff::Diff::compute(imara_diff::Algorithm::Histogram, &input);
    (diff.count_additions(), diff.count_removals())
}

/// Prints a plan, and returns the exit code.
///
/// # Errors
///
/// As [`Plan::allowed`].
pub fn print_plan(plan: &Plan, common: &Common, out: &mut String) -> Result<Outcome> {
    warn(common, &plan.warnings);
    plan.allowed()?;
    if common.json() {
        let _ = writeln!(out, "{:#}", document(plan, plan.expected_follow_up(), None));
    } else {
        out.push_str(&headline(plan));
        out.push_str(&plan.storage.as_ref().map(storage_text).unwrap_or_default());
        if plan.is_empty() {
            out.push_str(nothing(plan));
        }
        for planned in &plan.changes {
            let _ = writeln!(out, "{:9} {}", planned.step.name(), describe(&planned.change));
        }
        if let Some(follow_up) = plan.expected_follow_up() {
            let _ = writeln!(out, "{:9} {}", FollowUp::STEP.name(), describe_follow_up(follow_up));
        }
        if let Some(absence) = plan.absence().filter(|_| !plan.is_empty()) {
            let _ = writeln!(out, "{:9} {absence}", "restart");
        }
        for planned in &plan.changes {
            if let Some(diff) = diff(&planned.change) {
                out.push('\n');
                out.push_str(&diff);
            }
        }
    }
    Ok(if plan.is_empty() { Outcome::Done } else { Outcome::Differs })
}

/// What to print if nothing changes.
pub fn nothing(plan: &Plan) -> &'static str {
    match plan.role {
        Role::Worker => "nothing to do: a worker has no API server\n",
        _ if plan.in_force.state == State::Pending => {
            "nothing to do: the files are in place, and the kubelet is about to restart the API server\n"
        }
        _ if !plan.in_force.is_settled() => {
            "nothing to change: the files are in place, but the API server does not have them; see the warning\n"
        }
        _ => "nothing to do: everything is in place\n",
    }
}

/// A plan as JSON, with its follow-up. `backup` is the ID of the backup that an `apply` made.
pub fn document(plan: &Plan, follow_up: Option<&FollowUp>, backup: Option<&str>) -> Value {
    json!({
        "role": plan.role.name(),
        "kubernetesVersion": plan.version.map(|version| version.to_string()),
        "changes": plan.changes.iter().map(change).chain(follow_up.map(follow_up_document)).collect::<Vec<_>>(),
        "storage": plan.storage.as_ref().map(storage_document),
        "warnings": plan.warnings,
        "backup": backup,
    })
}

fn change(planned: &Planned) -> Value {
    let mut value = json!({
        "step": planned.step.name(),
        "action": planned.change.action(),
        "path": planned.change.path(),
    });
    if let Change::CreateDirectory { attributes, .. }
    | Change::SetAttributes { after: attributes, .. }
    | Change::WriteFile { attributes, .. } = &planned.change
    {
        value["mode"] = json!(format!("{:04o}", attributes.mode));
        value["uid"] = json!(attributes.uid);
        value["gid"] = json!(attributes.gid);
    }
    if let Some(diff) = diff(&planned.change) {
        value["diff"] = json!(diff);
    }
    value
}

/// What a follow-up does, in words.
pub fn describe_follow_up(follow_up: &FollowUp) -> String {
    let directory = parent(&follow_up.log);
    format!("move the events in {} to {directory}", aside(directory))
}

fn follow_up_document(follow_up: &FollowUp) -> Value {
    json!({"step": FollowUp::STEP.name(), "action": FollowUp::ACTION, "path": follow_up.log})
}

/// The log directory and the forecast for it: a few lines for people.
pub fn storage_text(storage: &LogStorage) -> String {
    let LogStorage { seen, forecast, .. } = storage;
    let mut out = String::new();
    let _ = writeln!(
        out,
        "directory {:10} {}: {}",
        seen.judgement.lasting.name(),
        storage.directory,
        seen.judgement.reason
    );
    let mut line = match (forecast.worst, forecast.expected) {
        (worst, Some(expected)) => {
            let mut line = format!("up to {} on the disk", Bytes(expected));
            if let Some(worst) = worst.filter(|worst| *worst > expected) {
                let how = match (forecast.ratio > 1.0, forecast.is_measured) {
                    (true, true) => {
                        format!("uncompressed; compressed to {:.0} percent, measured", 100.0 / forecast.ratio)
                    }
                    (true, false) => {
                        format!("uncompressed; compressed to {:.0} percent, assumed", 100.0 / forecast.ratio)
                    }
                    (false, _) => "without maxage".to_owned(),
                };
                let _ = write!(line, " ({} {how})", Bytes(worst));
            }
            line
        }
        (_, None) => "nothing limits the log".to_owned(),
    };
    if let Some(disk) = seen.disk {
        let _ = write!(line, "; its file system has {}, {} of it free", Bytes(disk.total), Bytes(disk.available));
        if disk.eviction > 0 {
            let _ = write!(line, ", and the kubelet evicts pods when less than {} is free", Bytes(disk.eviction));
        }
    }
    let _ = writeln!(out, "forecast  {line}");
    match (forecast.rate, forecast.rotation) {
        (Some(rate), rotation) => {
            let _ = write!(
                out,
                "forecast  {} of events an hour since {}",
                Bytes((rate.bytes_per_second * 3600.0) as u64),
                rfc3339(at(rate.since))
            );
            if let Some(rotation) = rotation {
                let _ = write!(out, ", a new file every {}", Span(rotation));
            }
            match forecast.kept {
                Some(Kept { seconds, end }) => {
                    let _ =
                        writeln!(out, ": the log will reach back {}, limited by {}", Span(seconds), end.name());
                }
                None => out.push_str(": nothing limits how far back the log will reach\n"),
            }
        }
        (None, _) => out.push_str(
            "forecast  how far back the log will reach is not known before there are events of half a minute\n",
        ),
    }
    out
}

/// The same as JSON. Sizes are in bytes, times in seconds.
pub fn storage_document(storage: &LogStorage) -> Value {
    let LogStorage { seen, forecast, .. } = storage;
    json!({
        "directory": storage.directory,
        "lasting": seen.judgement.lasting.name(),
        "reason": seen.judgement.reason,
        "fileSystem": seen.disk.map(|disk| json!({
            "bytes": disk.total,
            "availableBytes": disk.available,
            "evictionBytes": disk.eviction,
        })),
        "readOnly": seen.is_read_only,
        "log": {
            "bytes": seen.history.total(),
            "files": seen.history.rotated.len() + usize::from(seen.history.bytes > 0),
            "firstEvent": seen.history.events.map(|times| rfc3339(at(times.first))),
            "lastEvent": seen.history.events.map(|times| rfc3339(at(times.last))),
        },
        "forecast": {
            "plainBytes": forecast.worst,
            "bytes": forecast.expected,
            "ratio": forecast.ratio,
            "ratioMeasured": forecast.is_measured,
            "bytesPerSecond": forecast.rate.map(|rate| rate.bytes_per_second),
            "since": forecast.rate.map(|rate| rfc3339(at(rate.since))),
            "rotationSeconds": forecast.rotation,
            "keptSeconds": forecast.kept.map(|kept| kept.seconds),
            "limitedBy": forecast.kept.map(|kept| kept.end.name()),
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hunk_says_where_its_lines_are() {
        let old: Vec<_> = (1..=20).map(|line| format!("{line}\n")).collect();
        for at in 0..20 {
            let mut new = old.clone();
            new.insert(at, "new\n".to_owned());
            let text = hunks(Some(&old.concat()), &new.concat());
            let mut lines = text.lines();
            let header = lines.next().unwrap();
            let numbers: Vec<usize> =
                header.split(|c: char| !c.is_ascii_digit()).filter_map(|word| word.parse().ok()).collect();
            let body: Vec<_> = lines.collect();
            let kept: Vec<_> = body.iter().filter_map(|line| line.strip_prefix(' ')).collect();
            assert_eq!(kept.first().copied(), Some(numbers[0].to_string().as_str()), "{at}: {text}");
            assert_eq!((numbers[1], numbers[3]), (kept.len(), body.len()), "{at}: {text}");
            assert_eq!(numbers[0], numbers[2], "{at}: {text}");
        }
    }

    #[test]
    fn secrets_do_not_get_into_the_diff() {
        // The field is too far above its value to be in the diff.
        let old = "secret: |\n  1\n  2\n  3\n  4\n  5\nb: 1\n";
        let before = Some(crate::facts::file::Snapshot {
            bytes: old.into(),
            attributes: Attributes::new(0o600, 0, 0),
            identity: crate::facts::file::FileIdentity { device: 0, inode: 0 },
        });
        let bytes = format!("{old}token: abc\n").into_bytes();
        let change =
            Change::WriteFile { path: "/a".to_owned(), before, bytes, attributes: Attributes::new(0o600, 0, 0) };
        let shown = "--- a/a\n+++ b/a\n@@ -5,3 +5,4 @@\n   <hidden>\n   <hidden>\n b: 1\n+token: <hidden>\n";
        assert_eq!(diff(&change).unwrap(), shown);
    }
}
