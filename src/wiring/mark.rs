//! The mark of a pod: an annotation with the checksums of the policy, and of the webhook's kubeconfig, that its API
//! server started with. An API server reads both only when it starts, and a new one changes nothing else in the
//! manifest. A new mark makes the kubelet restart it.

use super::settings::Refusal;
use crate::facts::backup::fingerprint;
use crate::yaml::edit::{New, Op, PathStep, edit};
use crate::yaml::{Document, Node};

/// The name of the annotation.
const MARK: &str = "kube-audit-bootstrap/policy";

/// What an API server reads only when it starts.
#[derive(Clone, Copy, Debug)]
pub struct Contents<'b> {
    pub policy: &'b [u8],
    pub webhook: Option<&'b [u8]>,
}

impl Contents<'_> {
    /// The checksums in a mark.
    fn checksums(&self) -> String {
        let webhook = self.webhook.map(of_webhook);
        format!("{SUM}{:016x}{}", fingerprint(self.policy), webhook.unwrap_or_default())
    }
}

/// Is a manifest marked with what its API server is to start with?
pub fn is_marked(text: &str, contents: &Contents<'_>) -> bool {
    of_text(text).is_some_and(|sums| sums == contents.checksums())
}

/// Is a manifest marked with this policy? `None` if it has no mark, or the mark of an earlier version of this program,
/// which does not tell the policy.
pub fn has_policy(text: &str, policy: &[u8]) -> Option<bool> {
    let sums = of_text(text)?;
    let sum = sums.split(WEBHOOK).next().unwrap_or_default();
    Some(sum == Contents { policy, webhook: None }.checksums())
}

/// Is a manifest marked with this kubeconfig of the webhook? `None` if its mark does not tell.
pub fn has_webhook(text: &str, webhook: &[u8]) -> Option<bool> {
    let sums = of_text(text)?;
    Some(sums[sums.find(WEBHOOK)?..] == of_webhook(webhook))
}

/// Marks a manifest. The new mark always differs from the present one.
///
/// # Errors
///
/// The annotation cannot be added.
pub fn mark(text: &str, contents: &Contents<'_>) -> Result<String, Refusal> {
    let documents = crate::yaml::parse(text)?;
    let annotations = documents.first().and_then(|document| document.root.at(&["metadata", "annotations"]));
    let (old, sum) = (present(&documents), contents.checksums());
    let value = match old.and_then(Node::scalar) {
        Some(old) if sum_of(old) == sum => {
            let count = old.split_once('-').and_then(|(_, count)| count.parse::<u32>().ok()).unwrap_or_default();
            format!("{sum}-{}", count.wrapping_add(1))
        }
        _ => sum,
    };
    let path = ["metadata", "annotations", MARK].map(PathStep::from);
    let value = New::Str(value);
    let op = match (annotations, old) {
        (_, Some(_)) => Op::Set { path: path.to_vec(), value },
        // A null counts as an empty mapping.
        (Some(_), None) => Op::Insert { path: path[..2].to_vec(), pairs: vec![(MARK.to_owned(), value)] },
        (None, None) => Op::Insert {
            path: path[..1].to_vec(),
            pairs: vec![("annotations".to_owned(), New::Map(vec![(MARK.to_owned(), value)]))],
        },
    };
    edit(text, &documents, 0, &[op]).map_err(|refused| Refusal::new(refused.position, refused.reason))
}

fn present(documents: &[Document]) -> Option<&Node> {
    documents.first()?.root.at(&["metadata", "annotations"])?.get(MARK)
}

/// The first letter of the checksums. It makes the mark a string for every YAML reader.
const SUM: char = 'c';
/// The letter before the webhook's checksum.
const WEBHOOK: char = 'w';

/// The checksum of a webhook's kubeconfig. The file may have a password, and many can read the annotations of a pod, so
/// the checksum is too short to confirm a guess.
fn of_webhook(webhook: &[u8]) -> String {
    format!("{WEBHOOK}{:04x}", fingerprint(webhook) & 0xffff)
}

/// The checksums in the mark of a manifest.
fn of_text(text: &str) -> Option<String> {
    let documents = crate::yaml::parse(text).ok()?;
    let mark = present(&documents)?.scalar()?;
    mark.starts_with(SUM).then(|| sum_of(mark).to_owned())
}

/// The checksums in a mark, without the count of the restarts for the same contents.
fn sum_of(mark: &str) -> &str {
    mark.split_once('-').map_or(mark, |(sum, _)| sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_marked(text: &str, policy: &[u8]) -> Option<bool> {
        has_policy(text, policy)
    }

    fn mark(text: &str, policy: &[u8]) -> Result<String, Refusal> {
        super::mark(text, &Contents { policy, webhook: None })
    }

    #[test]
    fn a_mark_tells_the_webhooks_kubeconfig_too() {
        let of = |webhook| Contents { policy: b"policy", webhook };
        let bare = "kind: Pod\nmetadata:\n  name: a\nspec: {}\n";
        let alone = super::mark(bare, &of(None)).unwrap();
        let both = super::mark(&alone, &of(Some(b"one"))).unwrap();
        let again = super::mark(&both, &of(Some(b"one"))).unwrap();
        assert_ne!(both, again);
        for (text, webhook, told) in [
            (bare, None, None),
            (&alone, None, None),
            (&both, Some(&b"one"[..]), Some(true)),
            (&again, Some(b"one"), Some(true)),
        ] {
            assert_eq!(
                [has_webhook(text, b"one"), has_webhook(text, b"two")],
                [told, told.map(|_| false)],
                "{text}"
            );
            assert_eq!(has_policy(text, b"policy"), (text != bare).then_some(true), "{text}");
            let marks = [of(None), of(Some(b"one")), of(Some(b"two"))].map(|of| super::is_marked(text, &of));
            assert_eq!(marks, [text != bare && webhook.is_none(), webhook.is_some(), false], "{text}");
        }
    }

    #[test]
    fn a_mark_tells_the_policy_and_each_new_one_differs() {
        let bare = "kind: Pod\nmetadata:\n  name: a\nspec: {}\n";
        assert_eq!(is_marked(bare, b"one"), None);
        let of_before = "kind: Pod\nmetadata: {annotations: {kube-audit-bootstrap/policy: pb4b39dd1830a36cf}}\n";
        assert_eq!(is_marked(of_before, b"one"), None);
        assert_eq!(mark(of_before, b"one").map(|text| is_marked(&text, b"one")), Ok(Some(true)));
        let first = mark(bare, b"one").unwrap();
        assert_eq!((is_marked(&first, b"one"), is_marked(&first, b"two")), (Some(true), Some(false)));
        let mut seen = vec![bare.to_owned(), first];
        for policy in [&b"one"[..], b"one", b"two", b"one"] {
            let next = mark(seen.last().unwrap(), policy).unwrap();
            assert_eq!(is_marked(&next, policy), Some(true), "{next}");
            assert_ne!(seen.last(), Some(&next));
            seen.push(next);
        }
    }

    #[test]
    fn a_pod_takes_the_mark_whatever_its_metadata_looks_like() {
        let pod = |metadata: &str| format!("kind: Pod\nmetadata:{metadata}\nspec: {{}}\n");
        for metadata in [
            " {name: a}",
            "\n  name: a",
            "\n  name: a\n  annotations:\n    a: b # kept",
            "\n  name: a\n  annotations: null",
            " {annotations: {}}",
        ] {
            let one = mark(&pod(metadata), b"new").expect(metadata);
            let two = mark(&one, b"new").expect(&one);
            assert_eq!((one.matches(MARK).count(), two.matches(MARK).count()), (1, 1), "{one}{two}");
        }
        let mut marked: Vec<_> = (0..8).map(|bit| mark(&pod(" {name: a}"), &[1 << bit]).unwrap()).collect();
        marked.sort();
        marked.dedup();
        assert_eq!(marked.len(), 8, "policies that differ in a bit: {marked:?}");
    }

    #[test]
    fn annotations_that_take_no_mark_are_told() {
        for metadata in [" [a]", "\n  labels: &l {a: b}\n  annotations: *l"] {
            assert!(mark(&format!("kind: Pod\nmetadata:{metadata}\n"), b"one").is_err(), "{metadata}");
        }
    }
}
