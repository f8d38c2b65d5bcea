//! What a container sees at a path. Symbolic links of the host are resolved in the container: there, an absolute link
//! leads to the container's own files, and to a directory of the host only where that is mounted.
//!
//! All files that the API server's flags and a webhook's kubeconfig name are followed here, and nowhere else. Their paths
//! on the host by the mounts alone are `wiring::mounts::place_of`'s.

use super::root::{MAX_LINKS, Root, split};
use crate::facts::Opened;
use crate::path::{clean, innermost, parent};

/// The symbolic link that makes the container open another file than the one at this path of the host. `None` if both
/// are the same file, or if this is not known.
pub fn misleading_link(root: &Root, opened: &Opened) -> Option<String> {
    let (mut path, mut first) = (clean(&opened.in_container), None);
    for _ in 0..=MAX_LINKS {
        let mounts = opened.mounts.iter().map(|(container, _)| container.as_str());
        let Some((index, rest)) = innermost(mounts, &path) else { return first };
        let (container, Some(host)) = &opened.mounts[index] else { return first };
        let (lies_at, link) = follow(root, host, rest);
        let Some((depth, target)) = link else {
            return first.filter(|_| !is_same(root, &lies_at, &opened.on_host));
        };
        let parts: Vec<_> = rest.split('/').collect();
        let (above, below) = (parts[..depth].join("/"), parts[depth + 1..].join("/"));
        first.get_or_insert(clean(&format!("{host}/{above}/{}", parts[depth])));
        path = match target.starts_with('/') {
            true => clean(&format!("{target}/{below}")),
            false => clean(&format!("{container}/{above}/{target}/{below}")),
        };
    }
    first
}

/// Follows a path below a directory of the host until its first link: the path on the host so far, and which part of
/// `rest` is the link, with its target.
fn follow(root: &Root, directory: &str, rest: &str) -> (String, Option<(usize, String)>) {
    let mut at = clean(directory);
    for (depth, part) in rest.split('/').filter(|part| !part.is_empty()).enumerate() {
        let next = clean(&format!("{at}/{part}"));
        if let Ok(Some(target)) = root.link(&next) {
            return (at, Some((depth, target)));
        }
        at = next;
    }
    (at, None)
}

/// Do two paths lead to the same file, or, if it does not exist yet, to the same name in the same directory?
pub fn is_same(root: &Root, one: &str, other: &str) -> bool {
    let identity = |path: &str| root.stat(path).ok().flatten().map(|entry| entry.identity);
    match (identity(one), identity(other)) {
        (Some(one), Some(other)) => one == other,
        (None, None) => {
            let name = |path: &str| split(path).ok().map(|(_, name)| name.to_owned());
            identity(parent(one)).is_some()
                && identity(parent(one)) == identity(parent(other))
                && name(one) == name(other)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Node;
    use super::*;

    #[test]
    fn a_link_counts_as_the_container_resolves_it() {
        let etc = ("/etc/kubernetes", Some("/etc/kubernetes"));
        for (links, mounts, misleads) in [
            // No link, and links inside what is mounted.
            (&[][..], &[etc][..], false),
            (
                &[("/etc/kubernetes/audit/p.yaml", "..data/p.yaml"), ("/etc/kubernetes/audit/..data", "v1")],
                &[etc],
                false,
            ),
            (&[("/etc/kubernetes/audit/p.yaml", "../real.yaml")], &[etc], false),
            (&[("/etc/kubernetes/audit/p.yaml", "/etc/kubernetes/real.yaml")], &[etc], false),
            (&[("/etc/kubernetes/audit", "/etc/kubernetes/other")], &[etc], false),
            // Out of it: to the container's own files.
            (&[("/etc/kubernetes/audit/p.yaml", "/data/p.yaml")], &[etc], true),
            (&[("/etc/kubernetes/audit/p.yaml", "../../../data/p.yaml")], &[etc], true),
            (&[("/etc/kubernetes/audit", "/data")], &[etc], true),
            (
                &[("/etc/kubernetes/audit/p.yaml", "q.yaml"), ("/etc/kubernetes/audit/q.yaml", "/data/p.yaml")],
                &[etc],
                true,
            ),
            // That directory is mounted, too, from there or from elsewhere.
            (&[("/etc/kubernetes/audit/p.yaml", "/data/p.yaml")], &[etc, ("/data", Some("/data"))], false),
            (&[("/etc/kubernetes/audit/p.yaml", "/data/p.yaml")], &[etc, ("/data", Some("/other"))], true),
            // The runtime resolves the path of a mount itself on the host.
            (
                &[("/etc/kubernetes/audit", "/data")],
                &[("/etc/kubernetes/audit", Some("/etc/kubernetes/audit"))],
                false,
            ),
            (
                &[("/etc/kubernetes/audit/p.yaml", "/data/p.yaml")],
                &[("/etc/kubernetes/audit/p.yaml", Some("/etc/kubernetes/audit/p.yaml"))],
                false,
            ),
            (&[("/etc/kubernetes/audit/p.yaml", "p.yaml")], &[etc], true),
        ] {
            let node = Node::with(&[
                ("/data/p.yaml", "p"),
                ("/other/p.yaml", "p"),
                ("/etc/kubernetes/real.yaml", "p"),
                ("/etc/kubernetes/other/p.yaml", "p"),
            ]);
            let is_made = |link: &str| links.iter().any(|(path, _)| *path == link);
            if !is_made("/etc/kubernetes/audit") {
                node.put("/etc/kubernetes/audit/v1/p.yaml", "p");
                if !is_made("/etc/kubernetes/audit/p.yaml") {
                    node.put("/etc/kubernetes/audit/p.yaml", "p");
                }
            }
            links.iter().for_each(|(path, target)| node.link(path, target));
            let path = "/etc/kubernetes/audit/p.yaml".to_owned();
            let mounts = mounts.iter().map(|(container, host)| ((*container).to_owned(), host.map(str::to_owned)));
            let opened = Opened { in_container: path.clone(), on_host: path, mounts: mounts.collect() };
            assert_eq!(misleading_link(&node.root, &opened).is_some(), misleads, "{links:?} {opened:?}");
        }
    }
}
