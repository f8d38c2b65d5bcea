//! How a change is shown: in words, by its kind, as a diff.

use crate::change::{Change, KUBEADM_CONFIG};
use crate::facts::file::Attributes;
use crate::facts::file::lossy;
use crate::path::aside;
use crate::path::parent;

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
        Change::MoveAway { path, .. } => format!("move {path} to the backups"),
        Change::Format { device, format } => format!("format {device}, which is blank, as {}", format.name()),
        Change::Mount { path, unit, .. } => format!("mount {unit} at {path}"),
        Change::Unmount { path } => format!("unmount {path}"),
        Change::Gather { log, .. } => format!("move the events in {} to {}", aside(parent(log)), parent(log)),
        Change::RemoveFile { path, .. } => format!("remove {path}"),
        Change::RemoveDirectory { path, .. } => format!("remove directory {path}"),
        Change::WriteCluster { before, after } => {
            let (added, removed) = count(before, after);
            format!("edit the cluster's {} (lines: {added} added, {removed} removed)", KUBEADM_CONFIG)
        }
    }
}

/// The unified diff of a change to a file; `None` for all else.
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
    let hunks = hunks(old.as_deref(), &new.unwrap_or_default());
    for line in hunks.lines() {
        text.push_str(&hide_secret(line));
        text.push('\n');
    }
    Some(text)
}

/// What follows the two names in a unified diff; `old` is `None` where there was no file.
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
    // A file that isn't there has no line 1, or `patch` looks for it.
    match (old, text.strip_prefix("@@ -1,0 ")) {
        (None, Some(rest)) => format!("@@ -0,0 {rest}"),
        _ => text,
    }
}

/// A diff's line without a bootstrap token (`abcdef.0123456789abcdef`) or a certificate key (64 hexadecimal digits) that
/// may stand around an edit: a diff ends in the boot log, which more people read than the file.
fn hide_secret(line: &str) -> String {
    let part = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '.';
    let mut shown = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(start) = rest.find(part) {
        shown.push_str(&rest[..start]);
        rest = &rest[start..];
        let word = &rest[..rest.find(|c| !part(c)).unwrap_or(rest.len())];
        let token = word.len() == 23 && word.find('.') == Some(6) && word.rfind('.') == Some(6);
        let key = word.len() == 64 && word.chars().all(|c| c.is_ascii_hexdigit());
        shown.push_str(if token || key { "<hidden>" } else { word });
        rest = &rest[word.len()..];
    }
    shown + rest
}

fn count(old: &str, new: &str) -> (u32, u32) {
    let input = imara_diff::InternedInput::new(old, new);
    let diff = imara_diff::Diff::compute(imara_diff::Algorithm::Histogram, &input);
    (diff.count_additions(), diff.count_removals())
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
        let key = "0123456789abcdef".repeat(4);
        for (line, shown) in [
            (" - token: abcdef.0123456789abcdef", " - token: <hidden>".to_owned()),
            (" 'token': \"abcdef.0123456789abcdef\"  # mine", " 'token': \"<hidden>\"  # mine".to_owned()),
            (&format!("   {key}"), "   <hidden>".to_owned()),
            (&format!(" {{certificateKey: {key}}}"), " {certificateKey: <hidden>}".to_owned()),
            (
                "+    value: /var/log/kubernetes/audit/audit.log",
                "+    value: /var/log/kubernetes/audit/audit.log".to_owned(),
            ),
            (
                " image: registry.k8s.io/kube-apiserver:v1.31.4",
                " image: registry.k8s.io/kube-apiserver:v1.31.4".to_owned(),
            ),
        ] {
            assert_eq!(hide_secret(line), shown);
        }
    }
}
