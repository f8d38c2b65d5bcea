//! The names and the texts of patches (`app/util/patches/patches.go` of kubeadm).

use crate::wiring::settings::Refusal;
use crate::yaml::{Document, Node, Position};

/// The targets of kubeadm's patches. The name of a patch begins with its target.
const TARGETS: [&str; 7] = [
    API_SERVER,
    "etcd",
    "kube-controller-manager",
    "kube-scheduler",
    "kubeletconfiguration",
    "corednsdeployment",
    "kubeproxydaemonset",
];
const API_SERVER: &str = "kube-apiserver";

/// How a patch is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Strategic,
    Merge,
    /// A list of operations.
    Json,
}

/// Does kubeadm read a file of this name as a patch?
pub fn is_patch(name: &str) -> bool {
    TARGETS.iter().any(|target| name.starts_with(target))
        && [".yaml", ".json"].iter().any(|end| name.ends_with(end))
}

/// The kind of a patch of the API server, by its name: `kube-apiserver[SUFFIX][+KIND].yaml`. `None` for other files.
pub fn kind_of(name: &str) -> Option<Kind> {
    let rest = name.strip_prefix(API_SERVER).filter(|_| is_patch(name))?;
    // What follows the kind does not matter to kubeadm. It stops at a plus that no kind follows.
    let kind = match rest.find(['.', '+']) {
        Some(at) if rest[at..].starts_with('+') => &rest[at + 1..],
        _ => "strategic",
    };
    [("strategic", Kind::Strategic), ("merge", Kind::Merge), ("json", Kind::Json)]
        .into_iter()
        .find_map(|(name, known)| kind.starts_with(name).then_some(known))
}

/// A patch of the API server.
#[derive(Debug)]
pub struct PatchFile {
    pub path: String,
    pub kind: Kind,
    pub documents: Vec<Document>,
}

/// Reads the patches of the API server among these files, each a path and a text, in the order of kubeadm.
///
/// # Errors
///
/// One of them cannot be read: its path, and the fault.
pub fn read<'t>(files: impl Iterator<Item = (&'t str, &'t str)>) -> Result<Vec<PatchFile>, (String, Refusal)> {
    let mut patches = Vec::new();
    for (path, text) in files {
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some(kind) = kind_of(name).filter(|_| !text.is_empty()) else { continue };
        let documents = crate::yaml::parse(text).map_err(|fault| (path.to_owned(), fault.into()))?;
        patches.push(PatchFile { path: path.to_owned(), kind, documents });
    }
    Ok(patches)
}

impl PatchFile {
    /// What is applied at once: each operation of a JSON patch, or each document of the others.
    pub fn parts(&self) -> Vec<&Node> {
        let roots = self.documents.iter().map(|document| &document.root).filter(|root| !root.is_null());
        match self.kind {
            // A patch that is no list is one part, which cannot be applied.
            Kind::Json => roots
                .flat_map(|root| root.items().map_or_else(|| vec![root], |items| items.iter().collect()))
                .collect(),
            _ => roots.collect(),
        }
    }

    /// Where the file begins.
    pub fn position(&self) -> Position {
        self.documents.first().map_or(Position::START, |document| document.root.position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patches_are_told_by_their_names() {
        use Kind::{Json, Merge, Strategic};
        for (name, is, kind) in [
            ("kube-apiserver.yaml", true, Some(Strategic)),
            ("kube-apiserver0+strategic.yaml", true, Some(Strategic)),
            ("kube-apiserver-any.thing+json.yaml", true, Some(Strategic)),
            ("kube-apiserver+json.json", true, Some(Json)),
            ("kube-apiserver_9+jsonpatch.yaml", true, Some(Json)),
            ("kube-apiserver+merge.yaml", true, Some(Merge)),
            ("kube-apiserverjson.yaml", true, Some(Strategic)),
            // kubeadm stops at these.
            ("kube-apiserver+.yaml", true, None),
            ("kube-apiserver+other.yaml", true, None),
            ("etcd0+json.json", true, None),
            ("kubeletconfiguration+strategic.yaml", true, None),
            ("other.yaml", false, None),
            ("kube-apiserver.yml", false, None),
            ("Kube-apiserver.yaml", false, None),
        ] {
            assert_eq!((is_patch(name), kind_of(name)), (is, kind), "{name}");
        }
    }

    #[test]
    fn the_parts_of_a_patch_are_applied_one_by_one() {
        for (name, text, parts) in [
            ("kube-apiserver.yaml", "a: 1\n---\n# nothing\n---\nb: 2\n", 2),
            ("kube-apiserver+json.yaml", "- {op: a}\n- {op: b}\n---\n- {op: c}\n", 3),
            ("kube-apiserver+json.yaml", "a: 1\n", 1),
            ("etcd.yaml", "a: 1\n", 0),
            ("kube-apiserver.yaml", "", 0),
        ] {
            let files = read([(name, text)].into_iter()).unwrap();
            assert_eq!(files.iter().flat_map(PatchFile::parts).count(), parts, "{name} {text}");
        }
        let (path, refusal) = read([("/p/kube-apiserver.yaml", "a: [\n")].into_iter()).unwrap_err();
        assert_eq!((path.as_str(), refusal.position.line), ("/p/kube-apiserver.yaml", 2));
    }
}
