//! Edits kubeadm configuration files: the audit settings in `ClusterConfiguration.apiServer`.

use super::beside::Beside;
use super::command::{expand, variables};
use super::manifest::must_exist;
use super::mounts::{
    Match, NeededMount, find_match, free_name, has_value, is_true, serves, tell_left_over, tell_of_unknown_paths,
    to_wired, with_names,
};
use super::present::Present;
use super::references::{self, Container, Question, Verdict, missing_mounts, wanted_mounts};
use super::settings::{Refusal, Wanted, Wired, check, effective, filled_in};
use crate::audit::flags;
use crate::audit::version::Version;
use crate::config::{Config, Existing};
use crate::facts::file::{FileUser, Files};
use crate::path::clean;
use crate::yaml::edit::{New, Op, PathStep, append_document, edit};
use crate::yaml::fields::likely;
use crate::yaml::node::YamlFault;
use crate::yaml::scalar::{Type, has_mark, resolve};
use crate::yaml::{Document, Node, Position};

/// The volumes of directories that kubeadm gives the API server (`phases/controlplane/volumes.go`): the name, the path,
/// and `Some` if not each kubeadm has it: `true` up to 1.30, when /etc/pki is mounted whole, `false` from then on. All
/// but the first two are there if the node has the directory.
pub(super) const VOLUMES: [(&str, &str, Option<bool>); 8] = [
    // The path is `certificatesDir`, if that is set.
    ("k8s-certs", "/etc/kubernetes/pki", None),
    ("ca-certs", "/etc/ssl/certs", None),
    ("etc-pki", "/etc/pki", Some(true)),
    ("etc-pki-ca-trust", "/etc/pki/ca-trust", Some(false)),
    ("etc-pki-tls-certs", "/etc/pki/tls/certs", Some(false)),
    ("etc-ca-certificates", "/etc/ca-certificates", None),
    ("usr-share-ca-certificates", "/usr/share/ca-certificates", None),
    ("usr-local-share-ca-certificates", "/usr/local/share/ca-certificates", None),
];

/// The names of the volumes that kubeadm gives the API server. kubeadm keeps volumes by name, so an extra volume with
/// one of these names would silently replace kubeadm's own.
fn built_in_volumes() -> Vec<String> {
    let known = VOLUMES.iter().map(|(name, ..)| *name).chain(["etcd-certs-0", "etcd-certs-1", "etcd-certs-2"]);
    known.map(str::to_owned).collect()
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// `kubeadm init` reads it.
    Init,
    /// `kubeadm join` reads it, for a control plane: its settings come from the cluster.
    JoinControlPlane,
    /// `kubeadm join` reads it, for a worker.
    JoinWorker,
    /// The file has no document of kubeadm.
    Other,
}

/// The command of kubeadm that reads a file. It decides which documents count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    Init,
    /// `kubeadm join` reads the JoinConfiguration alone: the settings come from the cluster.
    Join,
    /// It is not known, so the documents show what the file is for.
    Unknown,
}

/// A kubeadm configuration file that was read.
#[derive(Debug)]
pub struct KubeadmFile {
    pub documents: Vec<Document>,
    /// The document with the ClusterConfiguration.
    cluster: Option<usize>,
    /// The apiVersion of the ClusterConfiguration; without one, of the InitConfiguration.
    api_version: Option<String>,
    pub purpose: Purpose,
    /// `kubernetesVersion`, if it is a version.
    pub version: Option<Version>,
    /// The directories of patches that the documents name.
    pub patches: Vec<NamedPatches>,
    /// What patches give the API server beside this file. Whoever knows them sets it, and only where existing settings
    /// stay; elsewhere the file has all settings itself.
    pub beside: Beside,
    /// The keys that are there twice, of which kubeadm only warns.
    repeated: Vec<YamlFault>,
}

/// The group of kubeadm's documents, and their kinds.
const GROUP: &str = "kubeadm.k8s.io";
const KINDS: &[&str] = &[
    "ClusterConfiguration",
    "ClusterStatus",
    "InitConfiguration",
    "JoinConfiguration",
    "ResetConfiguration",
    "UpgradeConfiguration",
];

impl KubeadmFile {
    /// Does the file configure an upgrade?
    pub fn has_upgrade(&self) -> bool {
        let is_of_kind =
            |document: &Document| document.root.get("kind").and_then(Node::str) == Some("UpgradeConfiguration");
        self.documents.iter().any(is_of_kind)
    }

    /// Where the file names the patches that `kubeadm init` applies.
    pub fn place_of_patches(&self) -> Position {
        let named = self.patches.iter().find(|named| named.user == PatchUser::Init);
        named.map_or(Position::START, |named| named.position)
    }
}

/// Which command of kubeadm applies the patches of a directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PatchUser {
    Init,
    Join,
    UpgradeApply,
    UpgradeNode,
}

/// A directory of patches that a document names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPatches {
    pub user: PatchUser,
    pub directory: String,
    pub position: Position,
}

/// The directories of patches that a document of this kind names (`patches.directory`).
fn named_patches(kind: &str, root: &Node) -> Vec<NamedPatches> {
    let places: &[(PatchUser, &[&str])] = match kind {
        "InitConfiguration" => &[(PatchUser::Init, &["patches", "directory"])],
        "JoinConfiguration" => &[(PatchUser::Join, &["patches", "directory"])],
        "UpgradeConfiguration" => &[
            (PatchUser::UpgradeApply, &["apply", "patches", "directory"]),
            (PatchUser::UpgradeNode, &["node", "patches", "directory"]),
        ],
        _ => &[],
    };
    let named = places.iter().filter_map(|(user, path)| {
        let node = root.at(path)?;
        let directory = node.str().filter(|directory| !directory.is_empty())?.to_owned();
        Some(NamedPatches { user: *user, directory, position: node.position })
    });
    named.collect()
}

/// Refuses a document that is meant for kubeadm, and that kubeadm ignores because its group or its kind is misspelt.
fn expect_spelled(root: &Node, api_version: &str, kind: &str) -> Result<(), Refusal> {
    let refused = |field: &str, reason: String| {
        Err(Refusal::new(root.get(field).map_or(root.position, |node| node.position), reason))
    };
    let group = api_version.split('/').next().unwrap_or_default();
    let is_group = group == GROUP;
    match likely(kind, KINDS) {
        Some(likely) if is_group && likely != kind => {
            refused("kind", format!("kubeadm ignores a document of the kind {kind}; did you mean {likely}?"))
        }
        Some(found) if !is_group && found == kind && likely(group, &[GROUP]).is_some() => refused(
            "apiVersion",
            format!("kubeadm ignores a document of {api_version}; did you mean {GROUP}/v1beta4?"),
        ),
        None if is_group => match KINDS.iter().find(|known| begins_as(kind, known)) {
            Some(known) => {
                refused("kind", format!("kubeadm ignores a document of the kind {kind}; did you mean {known}?"))
            }
            None => Ok(()),
        },
        _ => Ok(()),
    }
}

/// Does a kind begin with the word that tells a known one from the others, as ClusterConfig does?
fn begins_as(kind: &str, known: &str) -> bool {
    let word = known.strip_suffix("Configuration").unwrap_or(known).to_lowercase();
    kind.to_lowercase().starts_with(&word)
}

/// Reads a kubeadm configuration file.
///
/// `path`: to recognise kind's file, which has the documents of all roles on every node.
///
/// # Errors
///
/// kubeadm itself refuses the file: a document without apiVersion or kind, a kind that is there twice, an API version
/// that no supported kubeadm reads (`app/util/marshal.go`, `app/util/config/common.go`).
pub fn read(text: &str, path: &str, reader: Reader) -> Result<KubeadmFile, Refusal> {
    let (documents, repeated) = crate::yaml::parse_lenient(text)?;
    refuse_empty_documents(text)?;
    let mut file = KubeadmFile {
        documents: Vec::new(),
        cluster: None,
        api_version: None,
        purpose: Purpose::Other,
        version: None,
        patches: Vec::new(),
        beside: Beside::default(),
        repeated: Vec::new(),
    };
    let (mut init, mut join): (Option<String>, Option<bool>) = (None, None);
    let mut kinds: Vec<String> = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let root = &document.root;
        if root.is_null() {
            continue;
        }
        let field = |name: &str| root.get(name).and_then(Node::str).filter(|text| !text.is_empty());
        let (Some(api_version), Some(kind)) = (field("apiVersion"), field("kind")) else {
            return Err(Refusal::new(
                root.position,
                "this document has no apiVersion or no kind, which kubeadm refuses; add both",
            ));
        };
        expect_spelled(root, api_version, kind)?;
        let Some(version) = api_version.strip_prefix("kubeadm.k8s.io/") else {
            continue;
        };
        if kinds.iter().any(|known| known == kind) {
            return Err(Refusal::new(
                root.position,
                format!("this is a second {kind}, which kubeadm refuses; remove one"),
            ));
        }
        kinds.push(kind.to_owned());
        if !["v1beta2", "v1beta3", "v1beta4", "v1"].contains(&version) {
            return Err(Refusal::new(
                root.get("apiVersion").map_or(root.position, |node| node.position),
                format!(
                    "no supported kubeadm reads {api_version}; convert the file with `kubeadm config migrate` of a \
                     kubeadm that reads it"
                ),
            ));
        }
        filled_in(root)?;
        // In quotes, too, a version is never like this.
        if let Some(version) = root.get("kubernetesVersion").filter(|node| node.scalar().is_some_and(has_mark)) {
            let reason = "kubernetesVersion is a placeholder of a template; fill it in";
            return Err(Refusal::new(version.position, reason));
        }
        file.patches.extend(named_patches(kind, root));
        match kind {
            "ClusterConfiguration" => {
                file.cluster = Some(index);
                file.api_version = Some(api_version.to_owned());
                file.version = root.get("kubernetesVersion").and_then(Node::scalar).and_then(Version::parse);
            }
            "InitConfiguration" => init = Some(api_version.to_owned()),
            "JoinConfiguration" => join = Some(root.get("controlPlane").is_some_and(|node| !node.is_null())),
            _ => {}
        }
    }
    let has_init = file.cluster.is_some() || init.is_some();
    file.api_version = file.api_version.or(init);
    // kind writes all documents on every node; only the JoinConfiguration shows that this is a worker.
    let is_of_kind = path == "/kind/kubeadm.conf" && reader == Reader::Unknown;
    file.purpose = match join {
        Some(false) if !has_init || is_of_kind || reader == Reader::Join => Purpose::JoinWorker,
        Some(true) if reader == Reader::Join => Purpose::JoinControlPlane,
        None if reader == Reader::Join => Purpose::Other,
        _ if has_init => Purpose::Init,
        Some(true) => Purpose::JoinControlPlane,
        _ => Purpose::Other,
    };
    file.documents = documents;
    refuse_repeated(&file, &repeated)?;
    file.repeated = repeated;
    Ok(file)
}

/// Refuses a key that is there twice in what decides or is edited: kubeadm only warns, and takes the last one, and it is not
/// known which one is meant.
fn refuse_repeated(file: &KubeadmFile, repeated: &[YamlFault]) -> Result<(), Refusal> {
    let matters = |fault: &&YamlFault| {
        let of_edited = file.cluster.and_then(|index| file.documents[index].root.own("apiServer"));
        let names = ["apiServer", "apiVersion", "kind", "controlPlane"];
        let is_root = |document: &Document| {
            let own = |(key, _): &(Node, Node)| {
                key.position == fault.position && key.scalar().is_some_and(|name| names.contains(&name))
            };
            document.root.pairs().unwrap_or_default().iter().any(own)
        };
        of_edited.is_some_and(|node| has_key_at(node, fault.position)) || file.documents.iter().any(is_root)
    };
    repeated.iter().find(matters).map_or(Ok(()), |fault| Err(twice(fault)))
}

/// The refusal of a key that is there twice. kubeadm reads such a file twice: strictly, for a warning, and then so that
/// the last one counts (`documentMapToInitConfiguration` of `app/util/config/initconfiguration.go`).
fn twice(fault: &YamlFault) -> Refusal {
    let what = fault.message.trim_end_matches("; remove one");
    Refusal::new(fault.position, format!("{what}; kubeadm warns, and takes this one: remove the other one"))
}

/// Is there a key at this position in a node, or in what it holds?
fn has_key_at(node: &Node, position: Position) -> bool {
    let in_items = node.items().unwrap_or_default().iter().any(|item| has_key_at(item, position));
    let pairs = node.pairs().unwrap_or_default();
    in_items || pairs.iter().any(|(key, value)| key.position == position || has_key_at(value, position))
}

/// Refuses a document without a value, such as one of comments only: kubeadm reads the text between two `---` lines, or
/// before the first one, as a document, unless it has no line at all (`YAMLReader`, and `SplitConfigDocuments`). It
/// stops at what follows `---` on its line.
fn refuse_empty_documents(text: &str) -> Result<(), Refusal> {
    let (mut document, mut start) = (String::new(), 1);
    for (at, line) in text.lines().chain(["---"]).enumerate() {
        let ends = line.strip_prefix("---").map(str::trim);
        if let Some(rest) = ends.filter(|rest| !rest.is_empty() && !rest.starts_with('#')) {
            return Err(Refusal::new(
                Position { line: at + 1, column: line.find(rest).unwrap_or_default() + 1 },
                "kubeadm refuses a file with words after `---` on its line; write them on the next line",
            ));
        }
        if !document.is_empty() && ends.is_some() {
            let says_nothing = crate::yaml::parse_lenient(&document)
                .is_ok_and(|(found, _)| found.iter().all(|document| document.root.is_null()));
            if says_nothing {
                return Err(Refusal::new(
                    Position { line: start, column: 1 },
                    "this document is empty or has only comments, which kubeadm refuses; remove it, with one of the \
                     `---` lines around it",
                ));
            }
            document.clear();
            start = at + 2;
        } else {
            document += line;
            document.push('\n');
        }
    }
    Ok(())
}

/// The form of `extraArgs` in an API version.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// In v1beta3 and earlier.
    Map,
    /// In v1beta4 and later.
    List,
}

fn shape_of(api_version: &str) -> Shape {
    let is_map = ["kubeadm.k8s.io/v1beta2", "kubeadm.k8s.io/v1beta3"].contains(&api_version);
    if is_map { Shape::Map } else { Shape::List }
}

/// Adds the wanted settings to a file that `kubeadm init` reads. `text`: the text that `file` was read from.
///
/// # Errors
///
/// The file cannot be edited: the position, what to do, and the YAML to add by hand.
pub fn wire(text: &str, file: &KubeadmFile, wanted: &Wanted, version: Option<Version>) -> Result<Wired, Refusal> {
    let Some(api_version) = file.api_version.as_deref() else {
        return Err(Refusal::new(
            Position::START,
            "kubeadm init reads nothing from this file; name the file that it reads",
        ));
    };
    let shape = shape_of(api_version);
    let Some(cluster) = file.cluster else {
        let beside = &file.beside;
        let flags = effective(wanted, &beside.flags);
        let place = file.place_of_patches();
        check(&flags, version, &|_| place)?;
        let before = flags::from_pairs(beside.flags.iter().cloned());
        let mut present = built_in(None);
        beside.join(&mut present);
        let (mut missing, mut notes) = (Vec::new(), Vec::new());
        for mount in wanted_mounts(&flags, &before, wanted, &present) {
            let found = find_match(&mount, &present, wanted.existing, &mut notes, place)?;
            if found == Match::Missing || found == Match::Served && beside.is_not_enough(&mount, &present) {
                missing.push(mount);
            }
        }
        tell_of_unknown_paths(&flags, &present, &|_| place, &mut notes)?;
        let mut args = wanted.flags.clone();
        args.retain(|(name, _)| !before.contains_key(name));
        let volumes = with_names(missing).iter().map(|(mount, name)| volume(mount, name)).collect();
        let api_server = New::map([("extraArgs", args_value(&args, shape)), ("extraVolumes", New::List(volumes))]);
        let pairs = vec![
            ("apiVersion".to_owned(), New::str(api_version)),
            ("kind".to_owned(), New::str("ClusterConfiguration")),
            ("apiServer".to_owned(), api_server),
        ];
        let text = append_document(text, pairs)
            .map_err(|refused| Refusal::from_edit(refused, by_hand(wanted, shape, &[], &built_in(None))))?;
        let mounts = mounts_in(&text, shape, wanted, beside)?;
        return Ok(to_wired(text, (&before, &present), (&flags, &mounts), notes));
    };
    let root = &file.documents[cluster].root;
    // The API server then runs as a user whose number kubeadm chooses during init (`phases/controlplane/users.go`).
    if let Some(gate) =
        root.at(&["featureGates", "RootlessControlPlane"]).filter(|gate| resolve(gate) == Type::Bool(true))
    {
        let reason = "with RootlessControlPlane, kubeadm init chooses the user of the API server, who could not read \
                      a policy that is written now; run kube-audit-bootstrap apply after kubeadm init";
        return Err(Refusal::new(gate.position, reason));
    }
    expect_no_others(root)?;
    let mut edits = KubeadmEdits::new(root, shape, wanted, &file.beside)?;
    let flags = effective(wanted, &edits.present_flags);
    let api_server = root.get("apiServer").map_or(root.position, |node| node.position);
    check(&flags, version, &|flag| edits.flag_position(flag).unwrap_or(api_server))?;
    edits.set_flags(wanted);
    let is_misspelt = |name: &str| name != "apiServer" && likely(name, &["apiServer"]).is_some();
    let keys = root.entries().into_iter().filter_map(|(key, _)| Some((key.position, key.scalar()?)));
    let misspelt = keys.filter(|(_, name)| is_misspelt(name));
    let told = |fault: &YamlFault| format!("{}: {}; kubeadm takes the last one", fault.position, fault.message);
    let mut notes: Vec<_> = file.repeated.iter().map(told).collect();
    notes.extend(
        misspelt.map(|(position, name)| {
            format!("{position}: kubeadm reads no field {name:?}; did you mean apiServer?")
        }),
    );
    edits.mount(&flags, wanted, &mut notes)?;
    let place = |flag: &str| edits.flag_position(flag).unwrap_or(api_server);
    tell_of_unknown_paths(&flags, &edits.present_mounts, &place, &mut notes)?;
    let ops = edits.finish(root);
    let (present, mounts) = (edits.present_flags, edits.present_mounts);
    let before = flags::from_pairs(present.iter().cloned());
    if ops.is_empty() {
        references::tell_left_over_files(&flags, wanted, &mounts, &mut notes);
        return Ok(to_wired(text.to_owned(), (&before, &mounts), (&flags, &mounts), notes));
    }
    // What an edit does to the other keys can't be proved then.
    if let Some(fault) = file.repeated.first() {
        return Err(twice(fault));
    }
    let edited = edit(text, &file.documents, cluster, &ops)
        .map_err(|refused| Refusal::from_edit(refused, by_hand(wanted, shape, &present, &mounts)))?;
    let after = mounts_in(&edited, shape, wanted, &file.beside)?;
    tell_left_over((&before, &mounts), (&flags, &after), &mut notes);
    references::tell_left_over_files(&flags, wanted, &after, &mut notes);
    Ok(to_wired(edited, (&before, &mounts), (&flags, &after), notes))
}

/// The other programs that kubeadm starts with `extraArgs`. None of them has an audit flag.
const OTHERS: [(&str, &[&str], &str); 3] = [
    ("scheduler", &["scheduler", "extraArgs"], "kube-scheduler"),
    ("controllerManager", &["controllerManager", "extraArgs"], "kube-controller-manager"),
    ("etcd.local", &["etcd", "local", "extraArgs"], "etcd"),
];

/// Refuses audit flags of another program: it would not start, and kubeadm would wait for it until it gives up.
fn expect_no_others(root: &Node) -> Result<(), Refusal> {
    for (field, path, program) in OTHERS {
        let Some(args) = root.at(path) else { continue };
        let keys = args.entries().into_iter().map(|(key, _)| key);
        let names = args.items().unwrap_or_default().iter().filter_map(|item| item.get("name"));
        let audit = |node: &&Node| {
            node.scalar().is_some_and(|name| flags::is_audit(flags::normal(name).trim_start_matches('-')))
        };
        if let Some(name) = keys.chain(names).find(audit) {
            let reason = format!(
                "{program} has no flag --{}, and would not start; remove the audit flags from {field}.extraArgs",
                name.scalar().unwrap_or_default().trim_start_matches('-')
            );
            return Err(Refusal::new(name.position, reason));
        }
    }
    Ok(())
}

/// The mounts of the API server in the text of a file.
fn mounts_in(text: &str, shape: Shape, wanted: &Wanted, beside: &Beside) -> Result<Vec<Present>, Refusal> {
    let file = read(text, "", Reader::Init)?;
    match file.cluster.map(|cluster| &file.documents[cluster].root) {
        Some(root) => Ok(KubeadmEdits::new(root, shape, wanted, beside)?.present_mounts),
        None => Ok(Vec::new()),
    }
}

/// The mounts that kubeadm's manifest has anyway. Those of certificate authorities are there only if the directory is
/// on the host; else there is no file in it that the API server could lack. A kubeadm that is one version newer than the
/// API server may not mount /etc/pki whole, so nothing relies on that mount.
pub(super) fn built_in(cluster: Option<&Node>) -> Vec<Present> {
    let certificates =
        cluster.and_then(|root| root.get("certificatesDir")?.str()).filter(|path| path.starts_with('/'));
    let mount = |(name, path, _): &(&str, &str, Option<bool>)| {
        let path = clean(certificates.filter(|_| *name == VOLUMES[0].0).unwrap_or(path));
        Present {
            position: cluster.map_or(Position::START, |root| root.position),
            name: String::new(),
            container: path.clone(),
            host: Some(path),
            read_only: true,
            closed: true,
            by_expression: false,
        }
    };
    VOLUMES.iter().filter(|(.., is_whole)| *is_whole != Some(true)).map(mount).collect()
}

/// Judges whether the API server, with the manifest that kubeadm makes of a file, finds the files that its flags name.
///
/// # Errors
///
/// kubeadm refuses the file.
pub fn judge(text: &str, question: &Question<'_>) -> Result<Verdict, Refusal> {
    let file = read(text, "", Reader::Init)?;
    let Some((root, api)) = file.cluster.map(|index| &file.documents[index].root).zip(file.api_version.as_deref())
    else {
        return Ok(Verdict::default());
    };
    let wanted = Wanted {
        flags: Vec::new(),
        off: Vec::new(),
        existing: Existing::Keep,
        files: Files::new(),
        shown: Vec::new(),
    };
    let edits = KubeadmEdits::new(root, shape_of(api), &wanted, &file.beside)?;
    let flags = flags::from_pairs(edits.present_flags.iter().cloned());
    let present = edits.present_mounts;
    Ok(references::judge(&Container { flags, present, reader: FileUser::ROOT }, question))
}

/// The paths of the host without which the API server that kubeadm makes of a file does not start: the files that its
/// audit flags name, and what it mounts with a type that must exist.
///
/// # Errors
///
/// kubeadm refuses the file.
pub fn needed_paths(text: &str) -> Result<Vec<String>, Refusal> {
    let question = Question { files: &Files::new(), path: "", keeps: true, installs: true, webhook: None };
    let Verdict { opened, written, .. } = judge(text, &question)?;
    // The API server makes its log.
    let log = written.map(|log| log.host);
    let opened = opened.into_iter().map(|opened| opened.on_host).filter(|path| Some(path) != log.as_ref());
    Ok(opened.chain(must_exist(text)).collect())
}

/// Judges whether an API server finds the files that the settings alone name, where kubeadm's manifest has them.
pub fn judge_settings(wanted: &Wanted, question: &Question<'_>) -> Verdict {
    let flags = flags::from_pairs(wanted.flags.iter().cloned());
    let mut present = built_in(None);
    for mount in wanted_mounts(&flags, &flags::Flags::new(), wanted, &present) {
        present.push(Present {
            position: Position::START,
            name: mount.name.to_owned(),
            container: mount.container,
            host: Some(mount.host),
            read_only: mount.read_only,
            closed: mount.read_only,
            by_expression: false,
        });
    }
    references::judge(&Container { flags, present, reader: FileUser::ROOT }, question)
}

/// How the first entry of a mapping is written where a list is expected.
fn own_entry(node: &Node, shape: Shape) -> String {
    let first = node.entries().into_iter().find_map(|(key, _)| key.scalar()).filter(|_| shape == Shape::List);
    let how = first.map(|name| {
        format!(
            "; write each entry as an item: {name} becomes `- name: {name}`, with `value:` and its value below"
        )
    });
    how.unwrap_or_default()
}

struct KubeadmEdits<'n> {
    shape: Shape,
    args: Option<&'n Node>,
    volumes: Option<&'n Node>,
    beside: &'n Beside,
    present_flags: Vec<(String, String)>,
    present_mounts: Vec<Present>,
    sets: Vec<Op>,
    new_flags: Vec<(String, String)>,
    new_volumes: Vec<New>,
}

fn path(steps: &[&str]) -> Vec<PathStep> {
    ["apiServer"].iter().chain(steps).map(|step| PathStep::from(*step)).collect()
}

impl<'n> KubeadmEdits<'n> {
    fn new(root: &'n Node, shape: Shape, wanted: &Wanted, beside: &'n Beside) -> Result<Self, Refusal> {
        let refuse = |node: &Node, reason: String| Refusal {
            by_hand: Some(by_hand(wanted, shape, &[], &built_in(None))),
            ..Refusal::new(node.position, reason)
        };
        let api_server = root.get("apiServer").filter(|node| !node.is_null());
        if let Some(node) = api_server
            && node.pairs().is_none()
        {
            return Err(refuse(node, "apiServer must be a mapping".to_owned()));
        }
        let filled = |name: &str| api_server.and_then(|node| node.get(name)).filter(|node| !node.is_null());
        let (args, volumes) = (filled("extraArgs"), filled("extraVolumes"));
        let mut edits = KubeadmEdits {
            shape,
            args,
            volumes,
            beside,
            present_flags: Vec::new(),
            present_mounts: Vec::new(),
            sets: Vec::new(),
            new_flags: Vec::new(),
            new_volumes: Vec::new(),
        };
        // kubeadm gives them to the container, and the kubelet puts them in.
        let variables = variables(api_server.and_then(|node| node.get("extraEnvs")));
        for (name, value) in edits.args_pairs().map_err(|node| {
            let expected = match shape {
                Shape::Map => "a mapping in v1beta3 and earlier",
                Shape::List => "a list of name and value from v1beta4 on",
            };
            let own = own_entry(node, shape);
            refuse(node, format!("apiServer.extraArgs must be {expected}, or kubeadm does not read it{own}"))
        })? {
            if name.starts_with('-') && flags::is_audit(flags::normal(name).trim_start_matches('-')) {
                let node = value.or(args).unwrap_or(root);
                return Err(refuse(node, format!("write {name:?} without its dashes")));
            }
            let is_set = wanted.existing == Existing::Replace
                && wanted.values().any(|(wanted, _, _)| *wanted == flags::normal(name));
            if let Some(node) = value.filter(|node| !is_set && !node.is_null() && node.str().is_none()) {
                let kind = resolve(node).name();
                let reason = format!("--{name} is {kind}, and kubeadm takes only strings; put it in quotes");
                return Err(Refusal::new(node.position, reason));
            }
            let value = value.and_then(Node::scalar).unwrap_or_default();
            let value = expand(value, &variables).unwrap_or_else(|| value.to_owned());
            edits.present_flags.push((flags::normal(name), value));
        }
        // v1 can add a value to kubeadm's own one instead of replacing it, but every audit flag takes one value.
        for item in args.and_then(Node::items).unwrap_or_default() {
            let name = item.get("name").and_then(Node::scalar).map(flags::normal).unwrap_or_default();
            if let Some(method) =
                item.get("mergeMethod").filter(|node| !node.is_null() && node.scalar() != Some(""))
                && flags::is_audit(&name)
            {
                return Err(refuse(method, format!("--{name} takes one value; remove mergeMethod")));
            }
        }
        edits.read_volumes(&refuse)?;
        edits.present_mounts.extend(built_in(Some(root)));
        edits.present_flags.extend(beside.flags.iter().cloned());
        beside.join(&mut edits.present_mounts);
        Ok(edits)
    }

    /// Reads the mounts in `extraVolumes`.
    fn read_volumes(&mut self, refuse: &dyn Fn(&Node, String) -> Refusal) -> Result<(), Refusal> {
        if let Some(node) = self.volumes {
            let Some(items) = node.items() else {
                return Err(refuse(node, "apiServer.extraVolumes must be a list".to_owned()));
            };
            for (index, item) in items.iter().enumerate() {
                let field = |name: &str| item.get(name).and_then(Node::scalar);
                let name = field("name").unwrap_or_default();
                if items[..index].iter().any(|other| other.get("name").and_then(Node::scalar) == Some(name)) {
                    let reason =
                        format!("two volumes have the name {name:?}, and kubeadm keeps only the last; rename one");
                    return Err(refuse(item, reason));
                }
                self.present_mounts.push(Present {
                    position: item.position,
                    name: name.to_owned(),
                    container: field("mountPath").filter(|path| !path.is_empty()).map(clean).unwrap_or_default(),
                    host: field("hostPath").filter(|path| !path.is_empty()).map(clean),
                    read_only: is_true(item, "readOnly"),
                    closed: is_true(item, "readOnly"),
                    by_expression: false,
                });
            }
        }
        Ok(())
    }

    /// The names and values in `extraArgs`.
    ///
    /// # Errors
    ///
    /// The node that has the wrong form.
    fn args_pairs(&self) -> Result<Vec<(&'n str, Option<&'n Node>)>, &'n Node> {
        let Some(args) = self.args else {
            return Ok(Vec::new());
        };
        match self.shape {
            Shape::Map if args.pairs().is_some() => {
                let pairs = args.entries().into_iter();
                Ok(pairs.filter_map(|(key, value)| key.scalar().map(|name| (name, Some(value)))).collect())
            }
            Shape::List => {
                let items = args.items().ok_or(args)?;
                items
                    .iter()
                    .map(|item| {
                        let name = item.get("name").and_then(Node::scalar).ok_or(item)?;
                        Ok((name, item.get("value")))
                    })
                    .collect()
            }
            Shape::Map => Err(args),
        }
    }

    /// Sets and adds the flags that `extraArgs` lacks.
    fn set_flags(&mut self, wanted: &Wanted) {
        for (name, value, required) in wanted.values() {
            let mut found = self.beside.flags.iter().any(|(other, _)| other == name);
            if let Some(args) = self.args {
                match self.shape {
                    Shape::Map => {
                        for (key, node) in args.entries() {
                            let Some(written) = key.scalar().filter(|key| flags::normal(key) == *name) else {
                                continue;
                            };
                            // A value that `<<` merges in cannot be set here; the same key in this mapping overrides
                            // it.
                            let own = args.own(written).is_some();
                            found |= own || wanted.existing == Existing::Keep || has_flag_value(name, value, node);
                            if own && wanted.existing == Existing::Replace && !has_flag_value(name, value, node) {
                                let path = path(&["extraArgs", written]);
                                self.sets.push(Op::Set { path, value: New::str(value) });
                            }
                        }
                    }
                    // kubeadm writes every entry of a name, sorted by value, so each entry must have the wanted value.
                    Shape::List => {
                        for (index, item) in args.items().unwrap_or_default().iter().enumerate() {
                            if item.get("name").and_then(Node::scalar).map(flags::normal).as_ref() != Some(name) {
                                continue;
                            }
                            found = true;
                            if wanted.existing == Existing::Keep {
                                continue;
                            }
                            let mut path = path(&["extraArgs"]);
                            path.push(PathStep::from(index));
                            match item.get("value") {
                                Some(node) if has_flag_value(name, value, node) => {}
                                Some(_) => {
                                    path.push(PathStep::from("value"));
                                    self.sets.push(Op::Set { path, value: New::str(value) });
                                }
                                None => {
                                    let pairs = vec![("value".to_owned(), New::str(value))];
                                    self.sets.push(Op::Insert { path, pairs });
                                }
                            }
                        }
                    }
                }
            }
            if !found && required {
                self.new_flags.push((name.clone(), value.to_owned()));
            }
        }
    }

    /// Where the value of a flag is that is there already.
    fn flag_position(&self, flag: &str) -> Option<Position> {
        let is_flag = |name: &str| flags::normal(name) == flag;
        let pairs = self.args_pairs().unwrap_or_default().into_iter();
        let value = pairs.rev().find(|(name, _)| is_flag(name)).and_then(|(_, value)| value);
        value.or(self.args).map(|node| node.position)
    }

    /// Sets and adds the volumes that `extraVolumes` lacks.
    fn mount(&mut self, flags: &flags::Flags, wanted: &Wanted, notes: &mut Vec<String>) -> Result<(), Refusal> {
        let items = self.volumes.and_then(Node::items).unwrap_or_default();
        let mut taken = built_in_volumes();
        taken.extend(items.iter().filter_map(|item| item.get("name").and_then(Node::scalar)).map(str::to_owned));
        let before = flags::from_pairs(self.present_flags.iter().cloned());
        let log_flag = self.flag_position("audit-log-path").unwrap_or(Position::START);
        for mount in wanted_mounts(flags, &before, wanted, &self.present_mounts) {
            match find_match(&mount, &self.present_mounts, wanted.existing, notes, log_flag)? {
                Match::Served if !self.beside.is_not_enough(&mount, &self.present_mounts) => {}
                // One of kubeadm's own mounts, which this file does not have.
                Match::Same(index) | Match::Taken(index) | Match::Move(index) if index >= items.len() => {}
                Match::Same(index) | Match::Taken(index) | Match::Move(index) => {
                    self.set_field(items, index, "hostPath", New::str(&mount.host));
                    self.set_field(items, index, "mountPath", New::str(&mount.container));
                    self.set_field(items, index, "readOnly", New::Bool(mount.read_only));
                    self.set_field(items, index, "pathType", New::str(mount.kind));
                }
                Match::Served | Match::Missing => {
                    let name = free_name(mount.name, &taken);
                    self.new_volumes.push(volume(&mount, &name));
                    taken.push(name);
                }
            }
        }
        Ok(())
    }

    /// Sets a field of an existing volume, if it differs. A missing `readOnly` is false.
    fn set_field(&mut self, items: &[Node], index: usize, name: &str, value: New) {
        let mut path = path(&["extraVolumes"]);
        path.push(PathStep::from(index));
        match items[index].get(name) {
            Some(node) if has_value(node, &value) || serves(node, &value) => {}
            Some(_) => {
                path.push(PathStep::from(name));
                self.sets.push(Op::Set { path, value });
            }
            None if value == New::Bool(false) => {}
            None => self.sets.push(Op::Insert { path, pairs: vec![(name.to_owned(), value)] }),
        }
    }

    /// The operations, inner ones first.
    fn finish(&mut self, root: &Node) -> Vec<Op> {
        let mut ops = std::mem::take(&mut self.sets);
        let mut missing = Vec::new();
        let api_server = root.get("apiServer").filter(|node| !node.is_null());
        let has = |name: &str| api_server.is_some_and(|node| node.get(name).is_some());
        if !self.new_flags.is_empty() {
            if has("extraArgs") {
                let path = path(&["extraArgs"]);
                ops.push(match args_value(&self.new_flags, self.shape) {
                    New::List(items) => Op::Append { path, items },
                    New::Map(pairs) => Op::Insert { path, pairs },
                    _ => return ops,
                });
            } else {
                missing.push(("extraArgs".to_owned(), args_value(&self.new_flags, self.shape)));
            }
        }
        if !self.new_volumes.is_empty() {
            let items = std::mem::take(&mut self.new_volumes);
            if has("extraVolumes") {
                ops.push(Op::Append { path: path(&["extraVolumes"]), items });
            } else {
                missing.push(("extraVolumes".to_owned(), New::List(items)));
            }
        }
        if !missing.is_empty() {
            ops.push(if root.get("apiServer").is_some() {
                Op::Insert { path: path(&[]), pairs: missing }
            } else {
                Op::Insert { path: Vec::new(), pairs: vec![("apiServer".to_owned(), New::Map(missing))] }
            });
        }
        ops
    }
}

/// Does a node have the value of a flag already? kubeadm accepts only strings.
fn has_flag_value(name: &str, value: &str, node: &Node) -> bool {
    node.str().is_some_and(|found| flags::is_equivalent(name, found, value))
}

fn args_value(flags: &[(String, String)], shape: Shape) -> New {
    match shape {
        Shape::Map => New::Map(flags.iter().map(|(name, value)| (name.clone(), New::str(value))).collect()),
        Shape::List => New::List(
            flags
                .iter()
                .map(|(name, value)| New::map([("name", New::str(name)), ("value", New::str(value))]))
                .collect(),
        ),
    }
}

fn volume(mount: &NeededMount, name: &str) -> New {
    New::map([
        ("name", New::str(name)),
        ("hostPath", New::str(&mount.host)),
        ("mountPath", New::str(&mount.container)),
        ("readOnly", New::Bool(mount.read_only)),
        ("pathType", New::str(mount.kind)),
    ])
}

/// The settings for the ClusterConfiguration of Cluster API from its v1beta2 on. It has the form of kubeadm's v1beta4.
/// `files`: what the kubeconfig of the webhook names, which is mounted, too.
pub fn settings(config: &Config, files: &Files) -> String {
    by_hand(&Wanted::of(config, files), Shape::List, &[], &built_in(None))
}

/// The settings as YAML, to add by hand: with the values of the flags that stay, and the mounts that are missing.
fn by_hand(wanted: &Wanted, shape: Shape, present: &[(String, String)], mounts: &[Present]) -> String {
    let flags = effective(wanted, present);
    let value = |name: &String| flags.get(name).cloned().unwrap_or_default();
    let args: Vec<_> = wanted.flags.iter().map(|(name, _)| (name.clone(), value(name))).collect();
    let volumes = with_names(missing_mounts(&flags, wanted, mounts));
    let volumes = volumes.iter().map(|(mount, name)| volume(mount, name)).collect();
    crate::yaml::edit::render(&[(
        "apiServer".to_owned(),
        New::map([("extraArgs", args_value(&args, shape)), ("extraVolumes", New::List(volumes))]),
    )])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wired(version: &str, rest: &str, existing: Existing, flags: &[(&str, &str)]) -> Result<String, Refusal> {
        let text = format!("apiVersion: kubeadm.k8s.io/{version}\nkind: ClusterConfiguration\n{rest}");
        let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let wanted = Wanted { flags, off: Vec::new(), existing, files: Files::new(), shown: Vec::new() };
        let head = text.len() - rest.len();
        Ok(wire(&text, &read(&text, "", Reader::Init)?, &wanted, None)?.text[head..].to_owned())
    }

    #[test]
    fn what_is_right_or_kept_stays_as_it_is_written() {
        let merged = "x: &x {audit-log-maxage: \"30\"}\napiServer: {extraArgs: {<<: *x}}\n";
        let wrong = "x: &x {audit-log-maxage: \"7\"}\napiServer: {extraArgs: {<<: *x}}\n";
        let list = "apiServer: {extraArgs: [{name: audit-log-maxage, value: \"0x1e\"}]}\n";
        let map = "apiServer: {extraArgs: {audit-log-maxage: \"0x1e\"}}\n";
        for (version, text, existing) in [
            ("v1beta3", merged, Existing::Replace),
            ("v1beta3", merged, Existing::Keep),
            ("v1beta3", wrong, Existing::Keep),
            ("v1beta3", map, Existing::Replace),
            ("v1beta4", list, Existing::Replace),
        ] {
            let found = wired(version, text, existing, &[("audit-log-maxage", "30")]);
            assert_eq!(found.as_deref(), Ok(text), "{version} {existing:?}");
        }
        assert!(wired("v1beta3", wrong, Existing::Replace, &[("audit-log-maxage", "30")]).is_err(), "merged in");
    }

    #[test]
    fn variables_of_the_container_are_put_into_kept_paths() {
        for (value, path, expected) in [
            ("value: /zz", "$(X)/a.log", Ok("/zz")),
            ("valueFrom: {fieldRef: {fieldPath: spec.nodeName}}", "/zz/$(X)/a.log", Err("no mount shows /zz;")),
            ("valueFrom: {fieldRef: {fieldPath: spec.nodeName}}", "$(X)/a.log", Err("is not an absolute path")),
        ] {
            let rest = format!(
                "apiServer:\n  extraEnvs: [{{name: X, {value}}}]\n  extraArgs: [{{name: audit-log-path, value: {path}}}]\n"
            );
            let flags = [("audit-log-path", "/var/log/a/b.log")];
            let found = wired("v1beta4", &rest, Existing::Keep, &flags).map_err(|refusal| refusal.reason);
            match expected {
                Ok(mount) => assert!(
                    found.as_ref().is_ok_and(|text| text.contains(&format!("mountPath: {mount}\n"))),
                    "{found:?}"
                ),
                Err(why) => assert!(found.as_ref().is_err_and(|found| found.contains(why)), "{found:?}"),
            }
        }
    }

    #[test]
    fn a_document_without_a_value_is_refused_where_kubeadm_refuses_it() {
        let one = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";
        let two = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: InitConfiguration\n";
        for (text, line) in [
            (format!("{one}---\n{two}"), None),
            (format!("# c\n{one}---\n# d\n{two}"), None),
            (format!("---\n{one}---\n---\n{two}---\n"), None),
            (format!("--- # c\n{one}--- # d\n{two}--- # e\n"), None),
            (format!("{one}...\n---\n{two}..."), None),
            // kubeadm stops at words on the line of a separator.
            (format!("--- {{apiVersion: v1, kind: X}}\n---\n{one}"), Some(1)),
            (format!("{one}--- {{apiVersion: v1, kind: X}}\n"), Some(3)),
            (String::new(), None),
            ("# c\n".to_owned(), Some(1)),
            (format!("# c\n---\n{one}"), Some(1)),
            (format!("\n---\n{one}"), Some(1)),
            (format!("---\n# c\n---\n{one}"), Some(1)),
            (format!("{one}---\n# c\n---\n{two}"), Some(4)),
            (format!("{one}---\n---\n---\n{two}"), Some(4)),
            (format!("{one}---\n\n---\n{two}"), Some(4)),
            (format!("{one}---\r\n# c\r\n---\r\n{two}"), Some(4)),
            (format!("{one}---\n{two}---\n# c\n"), Some(7)),
            (format!("{one}---\n{two}---\nnull\n"), Some(7)),
        ] {
            let found = read(&text, "", Reader::Init).err().map(|refusal| refusal.position.line);
            assert_eq!(found, line, "{text:?}");
        }
    }

    #[test]
    fn a_key_that_is_there_twice_is_refused_where_the_program_needs_it() {
        let cluster = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";
        let join = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: JoinConfiguration\n";
        let kubelet = "---\napiVersion: kubelet.config.k8s.io/v1beta1\nkind: KubeletConfiguration\na: 1\na: 2\n";
        for (text, is_read, is_wired) in [
            (format!("{join}{kubelet}"), true, false),
            (format!("{join}controlPlane: {{}}\ncontrolPlane:\n"), false, false),
            (format!("{cluster}apiServer: {{}}\napiServer: {{}}\n"), false, false),
            (format!("{cluster}apiServer: {{certSANs: [a], certSANs: [b]}}\n"), false, false),
            (format!("{cluster}kind: ClusterConfiguration\n"), false, false),
            (format!("{cluster}clusterName: a\nclusterName: b\n"), true, false),
            (format!("{cluster}clusterName: a\n"), true, true),
        ] {
            let file = read(&text, "", Reader::Unknown);
            assert_eq!(file.is_ok(), is_read, "{text} {file:?}");
            let is_told = |why: &Refusal| why.reason.ends_with("takes this one: remove the other one");
            assert!(file.as_ref().err().is_none_or(is_told), "{text} {file:?}");
            let wanted = Wanted {
                flags: vec![("audit-log-maxage".to_owned(), "30".to_owned())],
                off: Vec::new(),
                existing: Existing::Replace,
                files: Files::new(),
                shown: Vec::new(),
            };
            let wired = file.and_then(|file| wire(&text, &file, &wanted, None));
            assert_eq!(wired.is_ok(), is_wired, "{text}");
        }
    }

    #[test]
    fn each_spelling_of_a_flag_gets_the_value() {
        for (version, extra_args) in [
            ("v1beta3", "{audit-log-maxage: \"7\", audit_log_maxage: \"8\"}"),
            ("v1beta4", "[{name: audit-log-maxage, value: \"7\"}, {name: audit_log_maxage, value: \"8\"}]"),
        ] {
            let text = format!("apiServer: {{extraArgs: {extra_args}}}\n");
            let found = wired(version, &text, Existing::Replace, &[("audit-log-maxage", "30")]);
            assert_eq!(found, Ok(text.replace(['7', '8'], "30")), "{version}");
        }
    }

    #[test]
    fn a_refusal_says_how_an_entry_is_written_and_where_a_bad_flag_stands() {
        for (version, text, expected) in [
            (
                "v1beta4",
                "apiServer: {extraArgs: {v: \"2\"}}",
                "3:24: apiServer.extraArgs must be a list of name and value from \
              v1beta4 on, or kubeadm does not read it; write each entry as an item: v becomes `- name: v`,",
            ),
            (
                "v1beta3",
                "apiServer: {extraArgs: [{name: v}]}",
                "a mapping in v1beta3 and earlier, or kubeadm does not read it",
            ),
            (
                "v1beta3",
                "apiServer: {extraArgs: {v: \"2\", audit-log-max-age: \"3\"}}",
                "3:52: the API server would not start",
            ),
        ] {
            let found = wired(version, &format!("{text}\n"), Existing::Replace, &[("audit-log-maxage", "30")]);
            let found = found.map_err(|why| why.to_string()).unwrap_err();
            assert!(found.contains(expected), "{text}: {found}");
        }
    }

    #[test]
    fn audit_flags_of_another_program_are_refused_where_they_stand() {
        let flags = [("audit-log-maxage", "30")];
        for (version, text, expected) in [
            ("v1beta3", "scheduler: {extraArgs: {audit-log-path: /a}}", Some("3:25: kube-scheduler has no flag")),
            ("v1beta3", "scheduler: {extraArgs: {v: \"2\"}}", None),
            (
                "v1beta4",
                "controllerManager: {extraArgs: [{name: v, value: \"2\"}, {name: audit_policy_file, value: /a}]}",
                Some("kube-controller-manager has no flag --audit_policy_file"),
            ),
            (
                "v1beta4",
                "etcd: {local: {extraArgs: [{name: audit-x, value: a}]}}",
                Some("from etcd.local.extraArgs"),
            ),
            (
                "v1beta4",
                "apiServer: {extraArgs: &b [{name: audit-log-maxage, value: \"30\"}]}\nscheduler: {extraArgs: *b}",
                Some("kube-scheduler"),
            ),
        ] {
            let found =
                wired(version, &format!("{text}\n"), Existing::Replace, &flags).map_err(|why| why.to_string());
            match expected {
                Some(expected) => {
                    assert!(found.as_ref().is_err_and(|why| why.contains(expected)), "{text}: {found:?}")
                }
                None => assert!(found.is_ok(), "{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn what_kubeadm_mounts_itself_is_not_mounted_again() {
        for (text, path, adds) in [
            ("apiServer: {}\n", "/etc/kubernetes/pki/p.yaml", false),
            ("certificatesDir: /data/pki\n", "/data/pki/p.yaml", false),
            ("certificatesDir: /data/pki\n", "/etc/kubernetes/pki/p.yaml", true),
            ("apiServer: {}\n", "/etc/kubernetes/p.yaml", true),
        ] {
            let found = wired("v1beta4", text, Existing::Replace, &[("audit-policy-file", path)]).unwrap();
            assert_eq!(found.contains("extraVolumes"), adds, "{text}{path}: {found}");
        }
    }

    #[test]
    fn a_volume_gets_the_fields_that_it_lacks() {
        let volumes = |policy: &str| {
            format!(
                "apiServer:\n  extraArgs:\n    audit-policy-file: /p.yaml\n    audit-log-path: /l/a.log\n  extraVolumes:\n  \
                 - name: p\n    hostPath: /p.yaml/\n    mountPath: /p.yaml\n{policy}  \
                 - name: l\n    hostPath: /l/\n    mountPath: /l\n    pathType: Directory\n"
            )
        };
        let flags = [("audit-policy-file", "/p.yaml"), ("audit-log-path", "/l/a.log")];
        let complete = volumes("    readOnly: true\n    pathType: File\n");
        assert_eq!(wired("v1beta3", &volumes(""), Existing::Replace, &flags), Ok(complete.clone()));
        assert_eq!(wired("v1beta3", &complete, Existing::Replace, &flags), Ok(complete.clone()));
    }
}
