//! The names and the texts of patches (`app/util/patches/patches.go` of kubeadm).

use super::operations;
use super::value::value_of;
use crate::audit::version::Version;
use crate::wiring::settings::Refusal;
use crate::yaml::node::YamlFault;
use crate::yaml::{Document, Node, Position};

/// The targets of kubeadm's patches, and the first version that knows them. The name of a patch begins with its target.
const TARGETS: [(&str, u32); 7] = [
    (API_SERVER, 0),
    ("etcd", 0),
    ("kube-controller-manager", 0),
    ("kube-scheduler", 0),
    ("kubeletconfiguration", 0),
    ("corednsdeployment", 32),
    ("kubeproxydaemonset", 37),
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

/// Does a kubeadm read a file of this name as a patch?
pub fn is_patch(name: &str) -> bool {
    target(name).is_some() && [".yaml", ".json"].iter().any(|end| name.ends_with(end))
}

/// Is this the name of a patch, but for its end, so that kubeadm ignores the file?
pub fn is_misnamed(name: &str) -> bool {
    target(name).is_some() && name.ends_with(".yml")
}

fn target(name: &str) -> Option<(&'static str, u32)> {
    TARGETS.into_iter().find(|(target, _)| name.starts_with(target))
}

/// The kind of a patch, by its name: `TARGET[SUFFIX][+KIND].yaml`. `None`: kubeadm stops at it.
fn kind_of(name: &str, target: &str) -> Option<Kind> {
    let rest = &name[target.len()..];
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

/// Why kubeadm can't apply a patch, for a message.
pub fn broken(why: &str) -> String {
    format!("kubeadm can't apply this patch: {why}; correct it")
}

/// Reads the patches of the API server among these files, each a path and a text, in the order of kubeadm. kubeadm reads
/// all files before it applies one, so the others count where they are certainly wrong. `version`: of the API server.
///
/// # Errors
///
/// kubeadm stops at one of them: its path, and the fault.
pub fn read<'t>(
    files: impl Iterator<Item = (&'t str, &'t str)>,
    version: Option<Version>,
) -> Result<Vec<PatchFile>, (String, Refusal)> {
    let mut patches = Vec::new();
    for (path, text) in files {
        let refused = |position, why: String| (path.to_owned(), Refusal::new(position, why));
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some((target, since)) = target(name).filter(|_| is_patch(name)) else { continue };
        if since > version.map_or(0, |version| version.minor) {
            continue;
        }
        let Some(kind) = kind_of(name, target) else {
            let why = "kubeadm stops at this file, because a plus in the name of a patch needs json, merge or strategic \
                       behind it; rename the file";
            return Err(refused(Position::START, why.to_owned()));
        };
        if text.is_empty() {
            continue;
        }
        if kind == Kind::Merge
            && let Some(line) = line_of_nothing(text)
        {
            return Err(refused(Position { line, column: 1 }, broken("a merge patch must not be empty")));
        }
        let documents = match crate::yaml::parse(text) {
            Ok(documents) => documents,
            Err(fault) if target == API_SERVER => return Err((path.to_owned(), fault.into())),
            // kubeadm reads all patches before it uses one.
            Err(fault) if fault.is_syntax() => return Err(refused(fault.position, broken(&fault.message))),
            // kubeadm reads more YAML than this program: `doubt` tells of it.
            Err(_) => continue,
        };
        let file = PatchFile { path: path.to_owned(), kind, documents };
        if target == API_SERVER {
            patches.push(file);
        } else if let Some((position, why)) = file.parts().into_iter().find_map(|part| shape_fault(kind, part)) {
            return Err(refused(position, broken(&why)));
        }
    }
    Ok(patches)
}

/// Why a patch can't be applied to anything.
fn shape_fault(kind: Kind, part: &Node) -> Option<(Position, String)> {
    let why = match kind {
        Kind::Json => operations::shape_fault(&value_of(part, None))?,
        _ if part.pairs().is_some() => return None,
        _ => "it is no mapping".to_owned(),
    };
    Some((part.position, why))
}

/// The line of a document that has nothing but comments: kubeadm makes a null of it, which is no merge patch.
fn line_of_nothing(text: &str) -> Option<usize> {
    let (mut start, mut has_lines, mut has_content) = (1, false, false);
    for (index, line) in text.lines().chain(["---"]).enumerate() {
        if line.starts_with("---") {
            if has_lines && !has_content {
                return Some(start);
            }
            (start, has_lines, has_content) = (index + 2, false, false);
        } else {
            let line = line.trim();
            has_lines |= !line.is_empty();
            has_content |= !["", "~", "null"].contains(&line) && !line.starts_with('#');
        }
    }
    None
}

/// What a person must know of a file in a directory of patches besides what is certainly wrong with it.
pub fn doubt(path: &str, text: &str) -> Option<String> {
    let name = path.rsplit('/').next().unwrap_or_default();
    if is_misnamed(name) {
        return Some(format!(
            "{path}: kubeadm ignores this file; if it is a patch, rename it: its name must end with .yaml"
        ));
    }
    // `read` refuses the others.
    let is_doubtful = |fault: &YamlFault| is_patch(name) && !name.starts_with(API_SERVER) && !fault.is_syntax();
    let fault = crate::yaml::parse(text).err().filter(is_doubtful)?;
    Some(format!(
        "{path}:{}: {}; kubeadm reads all patches, and may stop at this one; correct it",
        fault.position, fault.message
    ))
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
            ("etcd0+json.json", true, Some(Json)),
            ("kubeletconfiguration+strategic.yaml", true, Some(Strategic)),
            // kubeadm stops at these.
            ("kube-apiserver+.yaml", true, None),
            ("kube-apiserver+other.yaml", true, None),
            ("other.yaml", false, None),
            ("kube-apiserver.yml", false, Some(Strategic)),
            ("Kube-apiserver.yaml", false, None),
        ] {
            let kind_found = target(name).and_then(|(target, _)| kind_of(name, target));
            assert_eq!((is_patch(name), kind_found), (is, kind), "{name}");
        }
    }

    #[test]
    fn the_parts_of_a_patch_are_applied_one_by_one() {
        for (name, text, parts) in [
            ("kube-apiserver.yaml", "a: 1\n---\n# nothing\n---\nb: 2\n", 2),
            ("kube-apiserver+json.yaml", "- {op: a}\n- {op: b}\n---\n- {op: c}\n", 3),
            ("kube-apiserver+json.yaml", "a: 1\n", 1),
            ("kube-apiserver+merge.yaml", "---\na: 1\n---\n\n---\nb: 2\n", 2),
            ("etcd.yaml", "a: 1\n", 0),
            ("kube-apiserver.yaml", "", 0),
        ] {
            let files = read([(name, text)].into_iter(), None).unwrap();
            assert_eq!(files.iter().flat_map(PatchFile::parts).count(), parts, "{name} {text}");
        }
        let (path, refusal) = read([("/p/kube-apiserver.yaml", "a: [\n")].into_iter(), None).unwrap_err();
        assert_eq!((path.as_str(), refusal.position.line), ("/p/kube-apiserver.yaml", 2));
    }

    #[test]
    fn files_at_which_kubeadm_stops_are_found_whatever_they_patch() {
        for (name, text, minor, fault) in [
            ("etcd+.yaml", "", 31, "1:1: kubeadm stops at this file"),
            ("kube-scheduler0+patch.yaml", "a: 1\n", 31, "1:1: kubeadm stops at this file"),
            ("kube-scheduler+json.yaml", "spec: {}\n", 31, "1:1: kubeadm can't apply this patch: "),
            (
                "etcd+json.yaml",
                "- {op: add, path: /a, value: 1}\n- {op: put, path: /a}\n",
                31,
                "2:3: kubeadm can't",
            ),
            (
                "etcd.yaml",
                "- {op: add, path: /a, value: 1}\n",
                31,
                "1:1: kubeadm can't apply this patch: it is no mapping",
            ),
            (
                "etcd+merge.yaml",
                "a: 1\n---\n# nothing\n",
                31,
                "3:1: kubeadm can't apply this patch: a merge patch",
            ),
            ("kube-apiserver+merge.yaml", "# nothing\n", 31, "1:1: kubeadm can't apply this patch: a merge patch"),
            ("kubeproxydaemonset+.yaml", "a: 1\n", 37, "1:1: kubeadm stops at this file"),
            ("kubeproxydaemonset+.yaml", "a: 1\n", 36, ""),
            ("corednsdeployment+.yaml", "a: 1\n", 31, ""),
            ("kube-proxy+.yaml", "a: [\n", 37, ""),
            ("kube-apiserver.yaml", "# nothing\n", 37, ""),
            ("etcd.yaml", "spec: {containers: [{name: etcd, resources: {}}]}\n", 37, ""),
            ("etcd+json.yaml", "- {op: remove, path: /spec/priority}\n", 37, ""),
            ("etcd+merge.yaml", "", 37, ""),
            ("kube-scheduler.yaml", "a: [\n", 37, "2:1: kubeadm can't apply this patch: not YAML: "),
            ("kube-scheduler.yaml", "a: 1\na: 2\n", 37, ""),
        ] {
            let found = read([(name, text)].into_iter(), Some(Version::new(minor)));
            let found = found.err().map(|(_, refusal)| refusal.to_string()).unwrap_or_default();
            assert!(found.starts_with(fault) && found.is_empty() == fault.is_empty(), "{name} 1.{minor}: {found}");
        }
        for (path, text, words) in [
            ("/p/etcd.yaml", "a: [\n", ""),
            ("/p/etcd.yaml", "a: 1\na: 2\n", "/p/etcd.yaml:2:1: "),
            ("/p/kube-apiserver.yml", "a: 1\n", "/p/kube-apiserver.yml: kubeadm ignores this file"),
            ("/p/etcd.yaml", "a: 1\n", ""),
            ("/p/README.yml", "a: [\n", ""),
        ] {
            let found = doubt(path, text).unwrap_or_default();
            assert!(found.starts_with(words) && found.is_empty() == words.is_empty(), "{path}: {found}");
        }
    }
}
