//! The static pod manifest of the API server.

use super::command::{Arg, CommandLine, command_line, runs_api_server};
use super::mounts::{
    Match, NeededMount, find_match, free_name, has_value, is_known, is_true, needed_mounts, serves,
    tell_left_over, tell_of_unknown_paths, to_wired, with_names,
};
use super::present::{Place, Present, place_of};
use super::references::{self, Container, Question, Verdict, missing_mounts, wanted_mounts};
use super::settings::{Refusal, Wanted, Wired, check, effective, filled_in};
use crate::audit::flags::{self, Flags};
use crate::audit::version::Version;
use crate::config::Existing;
use crate::facts::file::{FileUser, Files};
use crate::path::{clean, is_within, parent};
use crate::yaml::edit::{New, Op, PathStep, edit};
use crate::yaml::scalar::{Type, has_mark, resolve};
use crate::yaml::{Document, Node, NodeKind, Position};

/// A manifest that was read.
#[derive(Debug)]
pub struct Manifest {
    documents: Vec<Document>,
    container: usize,
    /// The version in the image's tag.
    pub version: Option<Version>,
    pub run_as: RunAs,
}

/// The user and the group that the API server runs as, if the manifest has them: `runAsUser` and `runAsGroup`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RunAs {
    pub user: Option<u32>,
    pub group: Option<u32>,
}

/// A pod as the kubelet knows it. The kubelet runs only one pod of each namespace and name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodName {
    pub namespace: String,
    pub name: String,
}

/// What a file in the manifest directory defines: the pod, and whether it runs the API server. `None` if the kubelet
/// would not read it as a pod.
///
/// # Errors
///
/// The text is not YAML for this program; the kubelet may accept more.
pub fn identify_pod(text: &str) -> Result<Option<(PodName, bool)>, Refusal> {
    let documents = crate::yaml::parse(text)?;
    let Some(root) = documents.first().map(|document| &document.root) else {
        return Ok(None);
    };
    if root.get("kind").and_then(Node::str) != Some("Pod") {
        return Ok(None);
    }
    // The kubelet puts a pod whose namespace is missing, null or empty into this one.
    let field = |name: &str| root.at(&["metadata", name]).filter(|node| !node.is_null()).and_then(Node::scalar);
    let identity = PodName {
        namespace: field("namespace").filter(|name| !name.is_empty()).unwrap_or("default").to_owned(),
        name: field("name").unwrap_or_default().to_owned(),
    };
    let containers = root.at(&["spec", "containers"]).and_then(Node::items).unwrap_or_default();
    Ok(Some((identity, containers.iter().any(runs_api_server))))
}

/// The container of the API server, as the kubelet names it: by its pod and its name.
///
/// # Errors
///
/// As [`read`].
pub fn identify_container(text: &str) -> Result<(PodName, String), Refusal> {
    let manifest = read(text)?;
    let root = &manifest.documents[0].root;
    let containers = root.at(&["spec", "containers"]).and_then(Node::items).unwrap_or_default();
    let name = containers.get(manifest.container).and_then(|container| container.get("name")?.scalar());
    let Some((pod, _)) = identify_pod(text)? else {
        return Err(Refusal::new(root.position, "the kubelet would not read this as a pod"));
    };
    Ok((pod, name.unwrap_or_default().to_owned()))
}

/// Reads the manifest of the API server. Like the kubelet, it reads only the first document of the file.
///
/// # Errors
///
/// The file is not a static pod manifest of the API server: the position, and what is expected.
pub fn read(text: &str) -> Result<Manifest, Refusal> {
    let documents = crate::yaml::parse(text)?;
    let Some(document) = documents.first() else {
        return Err(Refusal::new(
            Position::START,
            "the file is empty; set manifest.path to the API server's manifest",
        ));
    };
    let root = &document.root;
    let field = |name: &str| root.get(name).and_then(Node::str).unwrap_or_default();
    if (field("apiVersion"), field("kind")) != ("v1", "Pod") {
        let found = format!("{} {}", field("apiVersion"), field("kind"));
        let found = if found.trim().is_empty() { "something else".to_owned() } else { found };
        return Err(Refusal::new(
            root.position,
            format!(
                "a v1 Pod that runs kube-apiserver is expected, but this is {found}; set manifest.path to the API \
                 server's manifest"
            ),
        ));
    }
    let containers = root.at(&["spec", "containers"]).and_then(Node::items).unwrap_or_default();
    let named = |container: &Node| container.get("name").and_then(Node::scalar) == Some("kube-apiserver");
    let container = containers
        .iter()
        .position(|container| named(container) && runs_api_server(container))
        .or_else(|| containers.iter().position(runs_api_server))
        .or_else(|| containers.iter().position(named));
    let Some(container) = container else {
        return Err(Refusal::new(
            root.at(&["spec", "containers"]).unwrap_or(root).position,
            "no container of this pod runs kube-apiserver; set manifest.path to the API server's manifest",
        ));
    };
    let node = &containers[container];
    // The name of an image never has the marks of a template, in quotes or not.
    if let Some(image) = node.get("image").filter(|image| image.scalar().is_some_and(has_mark)) {
        return Err(Refusal::new(image.position, "the image is a placeholder of a template; fill it in"));
    }
    for field in ["command", "args", "volumeMounts"] {
        node.get(field).map_or(Ok(()), filled_in)?;
    }
    let version = node.get("image").and_then(Node::scalar).and_then(image_version);
    let run_as = |name: &str| {
        let own = node.at(&["securityContext", name]).filter(|node| !node.is_null());
        let Some(id) = own.or_else(|| root.at(&["spec", "securityContext", name])).filter(|node| !node.is_null())
        else {
            return Ok(None);
        };
        // YAML readers do not agree on numbers such as 01750 and 1_000, and with the wrong owner the API server could
        // not read its policy.
        let text = id.scalar().unwrap_or_default();
        match text.parse::<u32>() {
            Ok(number) if number.to_string() == text && resolve(id) == Type::Int => Ok(Some(number)),
            _ => Err(Refusal::new(id.position, format!("{name} must be a plain decimal number"))),
        }
    };
    let run_as = RunAs { user: run_as("runAsUser")?, group: run_as("runAsGroup")? };
    Ok(Manifest { container, version, run_as, documents })
}

/// The version in an image's tag, as in `registry.k8s.io/kube-apiserver:v1.30.2@sha256:...`.
fn image_version(image: &str) -> Option<Version> {
    let image = image.split('@').next()?;
    let (_, tag) = image.rsplit('/').next()?.split_once(':')?;
    Version::parse(tag)
}

/// The volumes with a type, in a manifest or in a kubeadm configuration: the position, the path on the host, and the
/// type.
pub fn typed_volumes(text: &str) -> Vec<(Position, String, String)> {
    let documents = crate::yaml::parse(text).unwrap_or_default();
    let volumes = documents.iter().flat_map(|document| {
        let of = |path: &[&str]| document.root.at(path).and_then(Node::items).unwrap_or_default();
        let pod = of(&["spec", "volumes"])
            .iter()
            .map(|volume| (volume.at(&["hostPath", "path"]), volume.at(&["hostPath", "type"])));
        let extra = of(&["apiServer", "extraVolumes"]).iter();
        pod.chain(extra.map(|volume| (volume.get("hostPath"), volume.get("pathType")))).collect::<Vec<_>>()
    });
    let typed = volumes.filter_map(|(path, kind)| {
        let (path, kind) = (path?.str()?, kind?);
        let word = kind.str().filter(|word| !word.is_empty() && path.starts_with('/'))?;
        Some((kind.position, clean(path), word.to_owned()))
    });
    typed.collect()
}

/// The paths of volumes whose type says that something must be there already.
pub(super) fn must_exist(text: &str) -> impl Iterator<Item = String> {
    let typed = typed_volumes(text).into_iter().filter(|(.., kind)| !kind.ends_with("OrCreate"));
    typed.map(|(_, path, _)| path)
}

/// The paths of the host that a pod mounts or, if it runs an API server, that its audit flags name. `None`: the text is no
/// pod that can be read.
pub fn host_paths(text: &str) -> Option<Vec<String>> {
    let (documents, _) = crate::yaml::parse_lenient(text).ok()?;
    let volumes = documents.first()?.root.at(&["spec", "volumes"]).and_then(Node::items).unwrap_or_default();
    let path =
        |volume: &Node| volume.at(&["hostPath", "path"])?.str().filter(|path| path.starts_with('/')).map(clean);
    let mut paths: Vec<_> = volumes.iter().filter_map(path).collect();
    paths.extend(read_auditing(text).map(|auditing| auditing.referenced).unwrap_or_default());
    Some(paths)
}

/// The paths of the host without which the pod of an API server does not start: what its audit flags name, its log, and
/// what it mounts with a type that must exist.
///
/// # Errors
///
/// The manifest cannot be read, or starts no API server.
pub fn needed_paths(text: &str) -> Result<Vec<String>, Refusal> {
    let question = Question { files: &Files::new(), path: "", keeps: true, installs: true, webhook: None };
    let opened = judge(text, &question)?.on_host();
    Ok(opened.into_iter().chain(must_exist(text)).collect())
}

/// What a manifest says about auditing.
#[derive(Clone, Debug, Default)]
pub struct Auditing {
    /// The audit flags of the API server. If a flag is given twice, the last one counts.
    pub flags: Flags,
    /// All flags of the API server as `--NAME=VALUE`, with dashes in the name, each once with the value that counts.
    pub words: Vec<String>,
    /// The paths on the host that the flags name: the policy, the log directory, the webhook's configuration.
    pub referenced: Vec<String>,
    /// The log file on the host, if the log goes to a file.
    pub log: Option<String>,
    /// The policy on the host.
    pub policy: Option<String>,
    /// The webhook's kubeconfig on the host.
    pub webhook: Option<String>,
}

/// Reads what a manifest says about auditing.
///
/// # Errors
///
/// The manifest cannot be read, or starts no API server.
pub fn read_auditing(text: &str) -> Result<Auditing, Refusal> {
    let (CommandLine { args, words, .. }, present) = line_and_mounts(text)?;
    let flags = flags_of(args);
    // Where no mount shows a file, somebody forgot the mount: nothing appears at that path of the host, and a proof that
    // looks there fails.
    let look_at = |path: &str| match place_of(&present, path) {
        Place::Image => Some(path.to_owned()),
        place => place.on_host(),
    };
    let referenced =
        needed_mounts(&flags, &Flags::new()).iter().filter_map(|mount| look_at(&mount.container)).collect();
    let path = |flag: &str| flags.get(flag).filter(|path| is_known(path)).and_then(|path| look_at(path));
    let (log, policy) = (path("audit-log-path"), path("audit-policy-file"));
    let webhook = path("audit-webhook-config-file");
    Ok(Auditing { flags, words, referenced, log, policy, webhook })
}

/// The command line of the API server, and its mounts.
fn line_and_mounts(text: &str) -> Result<(CommandLine, Vec<Present>), Refusal> {
    let manifest = read(text)?;
    let root = &manifest.documents[0].root;
    let containers = root.at(&["spec", "containers"]).and_then(Node::items).unwrap_or_default();
    let container = containers.get(manifest.container).unwrap_or(root);
    Ok((command_line(container)?, mounts_of(&manifest)))
}

fn flags_of(args: Vec<Arg>) -> Flags {
    flags::from_pairs(args.into_iter().map(|arg| (flags::normal(&arg.written), arg.value)))
}

/// What kubeadm's files need, so that kubeadm makes the API server again that a manifest keeps.
///
/// # Errors
///
/// kubeadm's files can't say what the manifest says: why, and what to do.
pub fn kept(wanted: &Wanted, manifest: &Wired) -> Result<Wanted, String> {
    let (_, shown) = contents(&manifest.text).map_err(|refusal| refusal.to_string())?;
    for flag in ["audit-policy-file", "audit-log-path", "audit-webhook-config-file"] {
        let Some(path) = manifest.flags.get(flag).filter(|path| path.starts_with('/')) else { continue };
        let (why, advice) = match place_of(&shown, path) {
            _ if !is_known(path) => ("a path that only the kubelet knows", "write the path without a variable"),
            Place::Pod(by) => (by.elsewhere(), "mount a directory of the host there (hostPath)"),
            Place::Image | Place::Host(..) => continue,
        };
        return Err(format!(
            "--{flag}={path} is {why}, and kubeadm can't make such an API server again: the next kubeadm upgrade \
             changes these audit settings; to keep them, {advice}"
        ));
    }
    let mut kept = Wanted { shown, ..wanted.clone() };
    kept.set(&manifest.flags);
    Ok(kept)
}

/// The flags of the API server, each with the value that counts, and its mounts.
///
/// # Errors
///
/// As [`read_auditing`].
pub(super) fn contents(text: &str) -> Result<(Flags, Vec<Present>), Refusal> {
    line_and_mounts(text).map(|(line, present)| (flags_of(line.args), present))
}

/// A mount for a file that the flags name, whose mount point the container runtime cannot create, because the directory
/// above is a mount in which it cannot, and which is of another place: the paths of both.
pub(super) fn closed_off(text: &str, flags: &Flags) -> Option<(String, String)> {
    let (_, present) = contents(text).ok()?;
    let needed = needed_mounts(flags, &Flags::new());
    let is_needed = |one: &Present| {
        one.name.starts_with(references::FILES)
            || needed
                .iter()
                .any(|mount| [mount.container.as_str(), mount.file()].contains(&one.container.as_str()))
    };
    present.iter().filter(|one| is_needed(one)).find_map(|one| {
        let others: Vec<_> = present.iter().filter(|other| other.container != one.container).cloned().collect();
        let (Place::Host(_, by) | Place::Pod(by)) = place_of(&others, &one.container) else { return None };
        let above = by.container.clone();
        let is_closed = by.closed && place_of(&others, &one.container).on_host() != one.host;
        is_closed.then(|| (one.container.clone(), above))
    })
}

/// Judges whether the API server finds the files that its flags name.
///
/// # Errors
///
/// The manifest cannot be read, or starts no API server.
pub fn judge(text: &str, question: &Question<'_>) -> Result<Verdict, Refusal> {
    let manifest = read(text)?;
    let root = &manifest.documents[0].root;
    let containers = root.at(&["spec", "containers"]).and_then(Node::items).unwrap_or_default();
    let (Some(container), Some(spec)) = (containers.get(manifest.container), root.get("spec")) else {
        return Ok(Verdict::default());
    };
    let flags = flags_of(command_line(container)?.args);
    let present = Lists::of(container, spec).present;
    let reader = reader(container, spec, manifest.run_as);
    Ok(references::judge(&Container { flags, present, reader }, question))
}

/// The user that the API server runs as, for the permissions of files.
fn reader(container: &Node, spec: &Node, run_as: RunAs) -> FileUser {
    let number = |node: &Node| node.scalar()?.parse::<u32>().ok();
    let of_pod = |name: &str| spec.at(&["securityContext", name]);
    let groups = of_pod("supplementalGroups").and_then(Node::items).unwrap_or_default().iter();
    let groups = groups.chain(of_pod("fsGroup")).filter_map(number).chain([run_as.group.unwrap_or(0)]).collect();
    let has = |list: &str, names: &[&str]| {
        let items = container.at(&["securityContext", "capabilities", list]).and_then(Node::items);
        let mut words = items.unwrap_or_default().iter().filter_map(Node::scalar);
        words.any(|word| names.contains(&word.trim_start_matches("CAP_")))
    };
    let is_dropped = has("drop", &["ALL", "all", "DAC_OVERRIDE"]) && !has("add", &["ALL", "all", "DAC_OVERRIDE"]);
    let is_privileged = container.at(&["securityContext"]).is_some_and(|node| is_true(node, "privileged"));
    let user = run_as.user.unwrap_or(0);
    // Without the root user, the container runtime gives no capabilities.
    FileUser { user, groups, overrides: user == 0 && (is_privileged || !is_dropped) }
}

/// A container's mounts and its pod's volumes.
struct Lists {
    /// As nodes.
    mounts: Vec<Node>,
    volumes: Vec<Node>,
    /// The mounts, for comparison.
    present: Vec<Present>,
    /// The names of the volumes.
    taken: Vec<String>,
    new_mounts: Vec<New>,
    new_volumes: Vec<New>,
}

impl Lists {
    fn of(container: &Node, spec: &Node) -> Lists {
        let list = |node: &Node, name: &str| node.get(name).and_then(Node::items).unwrap_or_default().to_vec();
        let (mounts, volumes) = (list(container, "volumeMounts"), list(spec, "volumes"));
        let present = mounts
            .iter()
            .map(|node| {
                let field = |name: &str| node.get(name).and_then(Node::scalar);
                let host = volume_of(node, &volumes).and_then(|index| host_of(&volumes[index]));
                let host = host.map(|host| clean(&format!("{host}/{}", field("subPath").unwrap_or_default())));
                Present {
                    position: node.position,
                    name: field("name").unwrap_or_default().to_owned(),
                    container: field("mountPath").filter(|path| !path.is_empty()).map(clean).unwrap_or_default(),
                    by_expression: host.is_some() && field("subPathExpr").is_some_and(|path| !path.is_empty()),
                    host: host.filter(|_| field("subPathExpr").is_none_or(str::is_empty)),
                    read_only: is_true(node, "readOnly"),
                    // Volumes other than hostPath and emptyDir, such as a ConfigMap, are read-only.
                    closed: is_true(node, "readOnly")
                        || volume_of(node, &volumes).is_none_or(|index| {
                            let volume = &volumes[index];
                            volume.get("hostPath").is_none() && volume.get("emptyDir").is_none()
                        }),
                }
            })
            .collect();
        let taken = volumes.iter().filter_map(|volume| volume.get("name")?.scalar().map(str::to_owned)).collect();
        Lists { mounts, volumes, present, taken, new_mounts: Vec::new(), new_volumes: Vec::new() }
    }
}

/// Checks that a field that the edit adds to is a list, or is missing.
fn check_list(node: &Node, name: &str) -> Result<(), Refusal> {
    match node.get(name) {
        Some(list) if list.items().is_none() && !list.is_null() => {
            Err(Refusal::new(list.position, format!("{name} must be a list")))
        }
        _ => Ok(()),
    }
}

/// The volume of a mount: an index into `volumes`.
fn volume_of(mount: &Node, volumes: &[Node]) -> Option<usize> {
    let name = mount.get("name").and_then(Node::scalar)?;
    volumes.iter().position(|volume| volume.get("name").and_then(Node::scalar) == Some(name))
}

/// The path on the host of a volume, if it is one.
fn host_of(volume: &Node) -> Option<String> {
    volume.at(&["hostPath", "path"]).and_then(Node::scalar).filter(|path| !path.is_empty()).map(clean)
}

/// Adds the wanted settings to the manifest. `text`: the text that `manifest` was read from.
///
/// # Errors
///
/// The manifest cannot be edited: the position, what to do, and the YAML to add by hand.
pub fn wire(text: &str, manifest: &Manifest, wanted: &Wanted, version: Option<Version>) -> Result<Wired, Refusal> {
    let root = &manifest.documents[0].root;
    let containers = root.at(&["spec", "containers"]).and_then(Node::items).unwrap_or_default();
    let container = &containers[manifest.container];
    let mut edits = ManifestEdits {
        container,
        spec: root.get("spec").unwrap_or(root),
        at: vec![PathStep::from("spec"), PathStep::from("containers"), PathStep::from(manifest.container)],
        ops: Vec::new(),
        in_container: Vec::new(),
        in_spec: Vec::new(),
    };
    let mounts = mounts_of(manifest);
    let refuse = |refusal: Refusal, present: &[(String, String)], is_shell: bool| {
        let by_hand = refusal.by_hand.or_else(|| Some(by_hand(wanted, present, &mounts, is_shell)));
        Refusal { by_hand, ..refusal }
    };
    let line = command_line(container).map_err(|refusal| refuse(refusal, &[], false))?;
    let present: Vec<_> = line.args.iter().map(|arg| (flags::normal(&arg.written), arg.value.clone())).collect();
    let flags = effective(wanted, &present);
    let place_of_flag = |flag: &str| {
        let arg = line.args.iter().rfind(|arg| flags::normal(&arg.written) == flag);
        let item = arg.and_then(|arg| container.get(arg.list)?.items()?.get(arg.index));
        line.shell.or(item.map(|node| node.position)).unwrap_or(container.position)
    };
    check(&flags, version.or(manifest.version), &place_of_flag)?;
    edits.set_flags(&line, wanted).map_err(|refusal| refuse(refusal, &present, line.is_in_line(container)))?;
    for (node, list) in [(container, "volumeMounts"), (edits.spec, "volumes")] {
        check_list(node, list).map_err(|refusal| refuse(refusal, &present, false))?;
    }
    let mut notes = Vec::new();
    let log_flag = place_of_flag("audit-log-path");
    let before = flags::from_pairs(present.iter().cloned());
    edits.mount(&flags, &before, wanted, &mut notes, log_flag)?;
    tell_of_unknown_paths(&flags, &mounts, &place_of_flag, &mut notes)?;
    tell_of_second(containers, manifest.container, &mut notes);
    let ops = edits.finish();
    if ops.is_empty() {
        references::tell_left_over_files(&flags, wanted, &mounts, &mut notes);
        return Ok(to_wired(text.to_owned(), (&before, &mounts), (&flags, &mounts), notes));
    }
    let edited = edit(text, &manifest.documents, 0, &ops)
        .map_err(|refused| Refusal::from_edit(refused, by_hand(wanted, &present, &mounts, false)))?;
    let after = mounts_of(&read(&edited)?);
    tell_left_over((&before, &mounts), (&flags, &after), &mut notes);
    references::tell_left_over_files(&flags, wanted, &after, &mut notes);
    tell_readers(manifest, (&before, &mounts), (&flags, &after), &mut notes);
    Ok(to_wired(edited, (&before, &mounts), (&flags, &after), notes))
}

/// A note about another container of the pod that runs an API server, too.
fn tell_of_second(containers: &[Node], own: usize, notes: &mut Vec<String>) {
    let name = |container: &Node| container.get("name").and_then(Node::scalar).unwrap_or_default().to_owned();
    let mut others =
        containers.iter().enumerate().filter(|(index, other)| *index != own && runs_api_server(other));
    if let Some((_, other)) = others.next() {
        notes.push(format!(
            "{}: the container {:?} runs kube-apiserver, too, and does not get the audit settings: only the container \
             {:?} does; start one API server in a pod",
            other.position,
            name(other),
            name(&containers[own])
        ));
    }
}

/// Notes about other containers of the pod that have a mount of the directory where the log was: they read no new
/// events there. `before` and `after`: the flags and mounts.
fn tell_readers(
    manifest: &Manifest,
    before: (&Flags, &[Present]),
    after: (&Flags, &[Present]),
    notes: &mut Vec<String>,
) {
    let log = |(flags, mounts): (&Flags, &[Present])| {
        let path = flags.get("audit-log-path").filter(|path| path.starts_with('/'))?;
        Some((path.clone(), place_of(mounts, path).on_host()?))
    };
    let (Some((path, old)), new) = (log(before), log(after)) else { return };
    if new.as_ref().is_some_and(|(_, new)| *new == old) {
        return;
    }
    let root = &manifest.documents[0].root;
    let Some(spec) = root.get("spec") else { return };
    let containers = spec.get("containers").and_then(Node::items).unwrap_or_default();
    let others = containers.iter().enumerate().filter(|(index, _)| *index != manifest.container);
    for (_, container) in others {
        let sees = Lists::of(container, spec).present.into_iter().find(|one| {
            one.host.as_ref().is_some_and(|host| is_within(&old, host) || is_within(host, parent(&old)))
        });
        if let Some(mount) = sees {
            let name = container.get("name").and_then(Node::scalar).unwrap_or_default();
            let to = new.as_ref().map_or("elsewhere".to_owned(), |(_, new)| format!("to {new}"));
            notes.push(format!(
                "{}: the container {name:?} has the directory of the previous log {path} mounted, and new \
                 events go {to}; if it reads the log, mount that directory in it, or use --existing keep",
                mount.position
            ));
        }
    }
}

/// The mounts of the API server's container.
fn mounts_of(manifest: &Manifest) -> Vec<Present> {
    let root = &manifest.documents[0].root;
    let containers = root.at(&["spec", "containers"]).and_then(Node::items).unwrap_or_default();
    let container = containers.get(manifest.container).zip(root.get("spec"));
    container.map(|(container, spec)| Lists::of(container, spec).present).unwrap_or_default()
}

struct ManifestEdits<'n> {
    container: &'n Node,
    spec: &'n Node,
    /// The path of the container.
    at: Vec<PathStep>,
    ops: Vec<Op>,
    in_container: Vec<(String, New)>,
    in_spec: Vec<(String, New)>,
}

/// Would a change of this node also change another field?
fn shared(node: &Node) -> bool {
    node.shared || matches!(node.kind, NodeKind::Alias(_))
}

impl ManifestEdits<'_> {
    fn path(&self, steps: &[PathStep]) -> Vec<PathStep> {
        [&self.at, steps].concat()
    }

    fn set_flags(&mut self, line: &CommandLine, wanted: &Wanted) -> Result<(), Refusal> {
        let mut missing = Vec::new();
        let args = &line.args;
        for (name, value, required) in wanted.values() {
            let present: Vec<_> = args.iter().filter(|arg| flags::normal(&arg.written) == *name).collect();
            if wanted.existing == Existing::Keep && !present.is_empty() {
                continue;
            }
            let needed = !present.is_empty();
            let mut found = false;
            for arg in present {
                if flags::is_equivalent(name, &arg.value, value) {
                    found = true;
                    continue;
                }
                let list = self.container.get(arg.list).unwrap_or(self.container);
                let items = list.items().unwrap_or_default();
                // A value that another field shares stays. The flag is added after it, where it counts.
                if line.shell.is_some() || shared(list) || items.get(arg.index).is_none_or(shared) {
                    found = false;
                    continue;
                }
                found = true;
                let text = if arg.separate { value.to_owned() } else { format!("--{}={value}", arg.written) };
                let path = self.path(&[PathStep::from(arg.list), PathStep::from(arg.index)]);
                self.ops.push(Op::Set { path, value: New::Str(text) });
            }
            if !found && (required || needed) {
                missing.push(New::Str(format!("--{name}={value}")));
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        if let Some(position) = line.shell {
            let words = |list: &str| self.container.get(list).and_then(Node::items).unwrap_or_default();
            let last = if words("args").is_empty() { "command" } else { "args" };
            let reason = match line.is_in_line(self.container) {
                true => {
                    "a shell starts the API server, and this program does not edit shell lines; add the flags to \
                          that line, after kube-apiserver"
                        .to_owned()
                }
                false => format!(
                    "a shell starts the API server with the items after its line, and this program does not edit them; \
                     add each flag as an item at the end of {last}"
                ),
            };
            return Err(Refusal::new(position, reason));
        }
        let list = |name: &str| self.container.get(name).filter(|node| !node.is_null());
        let filled = |name: &str| list(name).and_then(Node::items).is_some_and(|items| !items.is_empty());
        if !filled("command") && !filled("args") {
            return Err(Refusal::new(
                self.container.position,
                "the container has no command and no args to add flags to; add a command",
            ));
        }
        // `args` come after `command`, so if both have flags, those in `args` count.
        let into = if filled("args") || list("command").is_none_or(shared) { "args" } else { "command" };
        if self.container.get(into).is_some() {
            let path = self.path(&[PathStep::from(into)]);
            self.ops.push(Op::Append { path, items: missing });
        } else {
            self.in_container.push((into.to_owned(), New::List(missing)));
        }
        Ok(())
    }

    /// Adds the mounts that the flags need.
    fn mount(
        &mut self,
        flags: &Flags,
        before: &Flags,
        wanted: &Wanted,
        notes: &mut Vec<String>,
        log_flag: Position,
    ) -> Result<(), Refusal> {
        let mut lists = Lists::of(self.container, self.spec);
        for mount in wanted_mounts(flags, before, wanted, &lists.present) {
            let found = find_match(&mount, &lists.present, wanted.existing, notes, log_flag)?;
            match found {
                Match::Served => {}
                Match::Missing => {
                    let name = self.volume_for(&mount, &mut lists);
                    lists.new_mounts.push(New::map([
                        ("mountPath", New::str(&mount.container)),
                        ("name", New::str(name)),
                        ("readOnly", New::Bool(mount.read_only)),
                    ]));
                }
                Match::Same(index) | Match::Taken(index) | Match::Move(index) => {
                    self.redirect(&mount, &found, index, &mut lists)?;
                }
            }
        }
        let Lists { new_mounts, new_volumes, .. } = lists;
        let container = self.container;
        for (items, name, own, at, pairs) in [
            (new_mounts, "volumeMounts", container.get("volumeMounts"), self.at.clone(), &mut self.in_container),
            (new_volumes, "volumes", self.spec.get("volumes"), vec![PathStep::from("spec")], &mut self.in_spec),
        ] {
            if items.is_empty() {
            } else if own.is_some() {
                self.ops.push(Op::Append { path: [at, vec![PathStep::from(name)]].concat(), items });
            } else {
                pairs.push((name.to_owned(), New::List(items)));
            }
        }
        Ok(())
    }

    /// Changes an existing mount so that it has the needed path, and the needed path on the host.
    fn redirect(
        &mut self,
        mount: &NeededMount,
        found: &Match,
        index: usize,
        lists: &mut Lists,
    ) -> Result<(), Refusal> {
        let node = lists.mounts[index].clone();
        let volume = volume_of(&node, &lists.volumes);
        let host = |volume: usize| host_of(&lists.volumes[volume]);
        let is_moved = |volume: &usize| {
            *found == Match::Move(index) && self.is_used_once(*volume, lists) && host(*volume).is_some()
        };
        if *found == Match::Same(index) {
            // With a subPath, the volume is a directory above, and its type stays.
            if let Some(volume) = volume.filter(|volume| host(*volume).as_ref() == Some(&mount.host)) {
                self.set_volume(&lists.volumes, volume, mount);
            }
        } else if node.get("subPath").is_some() || node.get("subPathExpr").is_some() {
            return Err(Refusal::new(
                node.position,
                "the settings need the path of this mount, but it has a subPath; remove this mount, or, if it shows the right \
                 file, use --existing keep",
            ));
        } else if let Some(volume) = volume.filter(is_moved) {
            let at = ["spec", "volumes"].map(PathStep::from).to_vec();
            let path = [at, vec![PathStep::from(volume), "hostPath".into(), "path".into()]].concat();
            self.ops.push(Op::Set { path, value: New::str(&mount.host) });
            self.set_volume(&lists.volumes, volume, mount);
        } else {
            let name = self.volume_for(mount, lists);
            self.set_mount(&node, index, "name", New::str(name));
        }
        self.set_mount(&node, index, "mountPath", New::str(&mount.container));
        self.set_mount(&node, index, "readOnly", New::Bool(mount.read_only));
        // The kubelet refuses this field in a mount that is not read-only.
        if !mount.read_only && node.get("recursiveReadOnly").is_some_and(|field| !field.is_null()) {
            self.set_mount(&node, index, "recursiveReadOnly", New::str("Disabled"));
        }
        Ok(())
    }

    /// Is this the only mount of the volume? Another container, such as a log shipper, would lose its directory.
    fn is_used_once(&self, volume: usize, lists: &Lists) -> bool {
        let all = ["containers", "initContainers"].map(|list| self.spec.get(list).and_then(Node::items));
        let containers = all.into_iter().flatten().flatten();
        let mounts = containers.filter_map(|one| one.get("volumeMounts").and_then(Node::items)).flatten();
        mounts.filter(|node| volume_of(node, &lists.volumes) == Some(volume)).count() == 1
    }

    /// The name of the volume to mount: an existing volume of this path, or a new one.
    fn volume_for(&mut self, mount: &NeededMount, lists: &mut Lists) -> String {
        if let Some(index) = lists.volumes.iter().position(|volume| host_of(volume).as_ref() == Some(&mount.host))
        {
            self.set_volume(&lists.volumes, index, mount);
            return lists.volumes[index].get("name").and_then(Node::scalar).unwrap_or_default().to_owned();
        }
        let name = free_name(mount.name, &lists.taken);
        lists.taken.push(name.clone());
        lists.new_volumes.push(New::map([
            ("hostPath", New::map([("path", New::str(&mount.host)), ("type", New::str(mount.kind))])),
            ("name", New::str(&name)),
        ]));
        name
    }

    /// Sets a field of an existing mount, if it differs. A missing `readOnly` is false.
    fn set_mount(&mut self, node: &Node, index: usize, name: &str, value: New) {
        let path = self.path(&["volumeMounts".into(), PathStep::from(index)]);
        self.set(node, path, name, value);
    }

    /// Sets the type of an existing hostPath volume, if the present one does not serve.
    fn set_volume(&mut self, volumes: &[Node], index: usize, mount: &NeededMount) {
        if let Some(host_path) = volumes[index].get("hostPath") {
            let path = vec!["spec".into(), "volumes".into(), PathStep::from(index), "hostPath".into()];
            self.set(host_path, path, "type", New::str(mount.kind));
        }
    }

    fn set(&mut self, node: &Node, mut path: Vec<PathStep>, name: &str, value: New) {
        match node.get(name) {
            Some(found) if has_value(found, &value) || serves(found, &value) => {}
            Some(_) => {
                path.push(PathStep::from(name));
                self.ops.push(Op::Set { path, value });
            }
            None if value == New::Bool(false) => {}
            None => self.ops.push(Op::Insert { path, pairs: vec![(name.to_owned(), value)] }),
        }
    }

    /// The operations, inner ones first.
    fn finish(self) -> Vec<Op> {
        let mut ops = self.ops;
        if !self.in_container.is_empty() {
            ops.push(Op::Insert { path: self.at, pairs: self.in_container });
        }
        if !self.in_spec.is_empty() {
            ops.push(Op::Insert { path: vec![PathStep::from("spec")], pairs: self.in_spec });
        }
        ops
    }
}

/// The settings as YAML, for a person to add: with the values of the flags that stay, and the mounts that are missing.
/// `is_shell`: the flags belong into a shell line, so those that are missing stand on one line, before the mounts.
fn by_hand(wanted: &Wanted, present: &[(String, String)], mounts: &[Present], is_shell: bool) -> String {
    let flags = effective(wanted, present);
    let value = |name: &String| flags.get(name).map(String::as_str).unwrap_or_default();
    let is_there = |name: &String| present.iter().any(|(there, found)| there == name && found == value(name));
    let args = wanted.flags.iter().filter(|(name, _)| !is_shell || !is_there(name));
    let args: Vec<_> = args.map(|(name, _)| format!("--{name}={}", value(name))).collect();
    let mounts = with_names(missing_mounts(&flags, wanted, mounts));
    let volume_mounts = mounts.iter().map(|(mount, name)| {
        New::map([
            ("mountPath", New::str(&mount.container)),
            ("name", New::str(name)),
            ("readOnly", New::Bool(mount.read_only)),
        ])
    });
    let volumes = mounts.iter().map(|(mount, name)| {
        New::map([
            ("hostPath", New::map([("path", New::str(&mount.host)), ("type", New::str(mount.kind))])),
            ("name", New::str(name)),
        ])
    });
    let command = ("command", New::List(args.iter().map(New::str).collect()));
    let mut container = vec![("name", New::str("kube-apiserver"))];
    container.extend(Some(command).filter(|_| !is_shell));
    container.push(("volumeMounts", New::List(volume_mounts.collect())));
    let container = New::Map(container.into_iter().map(|(name, value)| (name.to_owned(), value)).collect());
    let spec = New::map([("containers", New::List(vec![container])), ("volumes", New::List(volumes.collect()))]);
    let line = if is_shell { format!("{}\n", args.join(" ")) } else { String::new() };
    let yaml = if mounts.is_empty() && is_shell {
        String::new()
    } else {
        crate::yaml::edit::render(&[("spec".to_owned(), spec)])
    };
    line + &yaml
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::facts::file::Files;

    #[test]
    fn a_wrappers_words_are_not_the_api_servers() {
        for (command, wanted) in [
            ("[kube-apiserver, --v=2, --a=b]", vec!["--v=2", "--a=b"]),
            ("[/dumb-init, --, kube-apiserver, --v=2]", vec!["--v=2"]),
            ("[/go-runner, --log-file=/l, --also-stdout, /usr/local/bin/kube-apiserver, --v=2]", vec!["--v=2"]),
            ("[--v=2]", vec!["--v=2"]),
        ] {
            let text = format!(
                "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command: {command}\n"
            );
            assert_eq!(read_auditing(&text).unwrap().words, wanted, "{command}");
        }
    }

    fn pod(container: &str) -> String {
        format!("apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: a\n    {container}\n")
    }

    #[test]
    fn what_only_the_kubelet_knows_of_a_kept_path_is_not_made_up() {
        let mounted = "\n    volumeMounts: [{name: l, mountPath: /var/log/api}]\n  volumes: [{name: l, hostPath: {path: /data}}]";
        for (env, path, rest, log, told) in [
            (
                "valueFrom: {fieldRef: {fieldPath: spec.nodeName}}",
                "/var/log/api/$(NODE)/a.log",
                mounted,
                None,
                "only the kubelet knows",
            ),
            (
                "value: n1",
                "/var/log/api/a.log",
                mounted.replace("/var/log/api}", "/var/log/api, subPathExpr: $(NODE)}").as_str(),
                None,
                "at a path of the host that only the kubelet knows (subPathExpr), so this program cannot see it",
            ),
            ("value: n1", "/var/log/api/$(NODE)/a.log", mounted, Some("/data/n1/a.log"), ""),
            (
                "valueFrom: {fieldRef: {fieldPath: spec.nodeName}}",
                "/var/log/x/$(NODE)/a.log",
                mounted,
                None,
                "no mount shows /var/log/x;",
            ),
            (
                "valueFrom: {fieldRef: {fieldPath: spec.nodeName}}",
                "$(NODE)/a.log",
                mounted,
                None,
                "is not an absolute path",
            ),
        ] {
            let text = pod(&format!(
                "command: [kube-apiserver, --audit-log-path={path}]\n    env: [{{name: NODE, {env}}}]{rest}"
            ));
            let config = Config { existing: Existing::Keep, ..Config::default() };
            let wired = wire(&text, &read(&text).unwrap(), &Wanted::of(&config, &Files::new()), None);
            let (found, words) = match wired {
                Ok(wired) => (wired.log, wired.notes.join("; ")),
                Err(refusal) => (None, refusal.reason),
            };
            assert_eq!(found.as_deref(), log, "{path}: {words}");
            assert!(words.contains(told) && words.is_empty() == told.is_empty(), "{path}: {words}");
            assert_eq!(read_auditing(&text).unwrap().log.is_some(), log.is_some(), "{path}");
        }
    }

    #[test]
    fn a_second_api_server_of_the_pod_is_told() {
        for (second, is_told) in [("kube-apiserver", true), ("sleep", false)] {
            let text =
                pod(&format!("command: [kube-apiserver, --v=2]\n  - name: b\n    command: [{second}, --v=2]"));
            let wanted = Wanted::of(&Config::default(), &Files::new());
            let notes = wire(&text, &read(&text).unwrap(), &wanted, None).unwrap().notes.join("; ");
            let words = "7:5: the container \"b\" runs kube-apiserver, too";
            assert!(notes.contains(words) == is_told && notes.is_empty() != is_told, "{notes}");
        }
    }

    #[test]
    fn flags_are_not_put_where_nobody_reads_them() {
        let wired = |container: &str| {
            let text = pod(container);
            wire(&text, &read(&text).expect(container), &Wanted::of(&Config::default(), &Files::new()), None)
        };
        // The mark stands before what is refused.
        for marked in [
            "command: [kube-apiserver, --v=2, ^--]",
            "command: [kube-apiserver, ^--, --v=2]",
            "command: [/usr/bin/kube-apiserver, --v=2, ^--, --a=b]",
            "command: [kube-apiserver, ^--, --audit-log-maxage=3]",
            "command: [/tini, --, /kube-apiserver, ^--]",
            "command: [kube-apiserver]\n    args: [--v=2, ^--]",
            "args: [kube-apiserver, --v=2, ^--]",
        ] {
            let refusal = wired(&marked.replace('^', "")).expect_err(marked);
            let (line, at) =
                pod(marked).lines().enumerate().find_map(|(line, text)| Some((line, text.find('^')?))).unwrap();
            assert_eq!(
                (refusal.position.line, refusal.position.column),
                (line + 1, at + 1),
                "{marked}: {refusal}"
            );
            assert_eq!(refusal.reason, "kube-apiserver reads no flags after `--`; remove it", "{marked}");
        }
        // What ends a wrapper's own flags doesn't matter.
        for container in [
            "command: [/tini, --, /kube-apiserver, --v=2]",
            "command: [kube-apiserver, --v=2]",
            "args: [kube-apiserver, --v=2]",
        ] {
            assert!(wired(container).expect(container).text.contains("--audit-policy-file="), "{container}");
        }
    }

    #[test]
    fn an_api_server_is_known_by_what_starts_it() {
        for (container, runs) in [
            ("command: [kube-apiserver]", true),
            ("command: [/usr/local/bin/kube-apiserver, --v=2]", true),
            ("command: [/go-runner, --log-file=/l, /usr/local/bin/kube-apiserver]", true),
            ("command: [hyperkube, kube-apiserver, --v=2]", true),
            ("command: [/hyperkube, apiserver, --v=2]", true),
            ("command: [/usr/bin/hyperkube]\n    args: [kube-apiserver, --v=2]", true),
            ("command: [/tini, --, /hyperkube, apiserver]", true),
            ("command: [sh, -c, \"exec kube-apiserver --v=2\"]", true),
            ("command: [hyperkube]", false),
            ("command: [hyperkube, kubelet, kube-apiserver]", false),
            ("command: [hyperkube, --v=2, apiserver]", false),
            ("command: [echo, hyperkube, apiserver]", false),
            ("command: [watch, kube-apiserver]", false),
            ("command: [--kube-apiserver]", false),
            ("image: kube-apiserver:v1.33.1", false),
        ] {
            let text = pod(container);
            assert_eq!(read(&text).is_ok(), runs, "{container}");
            let name = "\nmetadata: {name: other}\n";
            let (_, found) = identify_pod(&(text + name)).unwrap().unwrap();
            assert_eq!(found, runs, "{container}");
        }
    }

    #[test]
    fn flags_go_behind_what_hyperkube_runs() {
        let text = pod("command:\n    - /hyperkube\n    - kube-apiserver\n    - --v=2");
        let wired =
            wire(&text, &read(&text).unwrap(), &Wanted::of(&Config::default(), &Files::new()), None).unwrap();
        assert!(
            wired.text.contains("- /hyperkube\n    - kube-apiserver\n    - --v=2\n    - --audit-"),
            "{}",
            wired.text
        );
        let audited = read_auditing(&wired.text).unwrap();
        assert_eq!((audited.words[0].as_str(), audited.flags), ("--v=2", wired.flags));
    }

    fn pod_of(spec: &str) -> String {
        format!("apiVersion: v1\nkind: Pod\nspec: {spec}\n")
    }

    #[test]
    fn the_container_is_the_one_that_starts_the_api_server() {
        for (containers, expected) in [
            ("{name: kube-apiserver, command: [sleep]}, {name: b, command: [kube-apiserver]}", 1),
            ("{name: a, command: [kube-apiserver]}, {name: kube-apiserver, command: [kube-apiserver]}", 1),
            ("{name: a, command: [sh, -c, exec kube-apiserver --v=2]}, {name: kube-apiserver}", 0),
            ("{name: a, command: [sleep]}, {name: kube-apiserver, command: [sleep]}", 1),
        ] {
            assert_eq!(
                read(&pod_of(&format!("{{containers: [{containers}]}}"))).unwrap().container,
                expected,
                "{containers}"
            );
        }
    }

    #[test]
    fn the_user_is_the_containers_own_or_the_pods() {
        for (own, of_pod, expected) in [
            ("{runAsUser: 7}", "{runAsUser: 5}", Some(Some(7))),
            ("{runAsUser: ~}", "{runAsUser: 5}", Some(Some(5))),
            ("{}", "{runAsUser: 5}", Some(Some(5))),
            ("{}", "{runAsUser: ~}", Some(None)),
            ("{runAsUser: 007}", "{}", None),
            ("{runAsUser: \"7\"}", "{}", None),
        ] {
            let container = format!("{{name: kube-apiserver, command: [kube-apiserver], securityContext: {own}}}");
            let text = pod_of(&format!("{{securityContext: {of_pod}, containers: [{container}]}}"));
            assert_eq!(read(&text).ok().map(|manifest| manifest.run_as.user), expected, "{text}");
        }
    }

    #[test]
    fn a_mounts_path_on_the_host_is_with_its_sub_path() {
        for (sub, expected) in [
            ("", "/host/policy.yaml"),
            (", subPath: \"\"", "/host/policy.yaml"),
            (", subPath: sub", "/host/sub/policy.yaml"),
        ] {
            let text = pod_of(&format!(
                "{{containers: [{{name: kube-apiserver, command: [kube-apiserver, --audit-policy-file=/c/policy.yaml], \
                 volumeMounts: [{{mountPath: /c, name: a{sub}}}]}}], volumes: [{{name: a, hostPath: {{path: /host}}}}]}}"
            ));
            assert_eq!(read_auditing(&text).unwrap().policy.as_deref(), Some(expected), "{sub}");
        }
    }

    /// A manifest after an edit that gives its API server these flags.
    fn wired_with(text: &str, flags: &[(&str, &str)]) -> Result<String, Refusal> {
        let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let wanted =
            Wanted { flags, off: Vec::new(), existing: Existing::Replace, files: Files::new(), shown: Vec::new() };
        wire(text, &read(text)?, &wanted, None).map(|wired| wired.text)
    }

    #[test]
    fn a_path_in_a_flag_is_no_shell() {
        for path in ["--x=/bin/sh", "--audit-webhook-config-file, /bin/sh"] {
            let text = pod_of(&format!(
                "{{containers: [{{name: kube-apiserver, command: [kube-apiserver, {path}, --audit-log-maxage=1]}}]}}"
            ));
            let wired = wired_with(&text, &[("audit-log-maxage", "30")]);
            assert_eq!(wired, Ok(text.replace("maxage=1", "maxage=30")), "{path}");
        }
    }

    #[test]
    fn flags_are_read_from_a_shells_line() {
        for line in [
            "[/bin/sh, -c, \"exec kube-apiserver --audit-log-maxage=7 --v=2 '--audit_log_maxsize=5'; true\"]",
            "[/bin/sh, -c, kube-apiserver --audit-log-maxage 7 --audit_log_maxsize=5, --audit-log-maxbackup=3]",
            "[/bin/sh, -c, \"# --audit-log-maxage=1\\nkube-apiserver --audit-log-maxage=7 --audit-log-maxsize=5\"]",
        ] {
            let flags = read_auditing(&pod(&format!("command: {line}"))).unwrap().flags;
            let expected = [("audit-log-maxage", "7"), ("audit-log-maxsize", "5")];
            assert_eq!(flags, expected.map(|(name, value)| (name.to_owned(), value.to_owned())).into(), "{line}");
        }
    }

    #[test]
    fn a_flag_that_another_container_has_by_an_alias_is_overruled() {
        // The mark stands where something is added.
        for (marked, added) in [
            (
                "{name: kube-apiserver, command: &c [kube-apiserver, --audit-log-maxage=1]^}, {name: b, command: *c}",
                ", args: [\"--audit-log-maxage=30\"]",
            ),
            (
                "{name: kube-apiserver, command: [kube-apiserver, &f --audit-log-maxage=1^]}, {name: b, command: [*f]}",
                ", \"--audit-log-maxage=30\"",
            ),
            (
                "{name: b, command: [&f --audit-log-maxage=1]}, {name: kube-apiserver, command: [kube-apiserver, *f^]}",
                ", \"--audit-log-maxage=30\"",
            ),
        ] {
            let text = pod_of(&format!("{{containers: [{marked}]}}"));
            let wired = wired_with(&text.replace('^', ""), &[("audit-log-maxage", "30")]);
            assert_eq!(wired, Ok(text.replace('^', added)), "{marked}");
        }
    }

    #[test]
    fn a_boolean_is_turned_off_where_it_is() {
        // The mark stands where something is added.
        for (marked, added) in [
            ("{name: kube-apiserver, command: [kube-apiserver, --v=2^]}", ""),
            (
                "{name: kube-apiserver, command: [kube-apiserver, &f --audit-log-compress^]}, {name: b, command: [*f]}",
                ", \"--audit-log-compress=false\"",
            ),
        ] {
            let text = pod_of(&format!("{{containers: [{marked}]}}"));
            let off = vec!["audit-log-compress".to_owned()];
            let wanted = Wanted {
                flags: Vec::new(),
                off,
                existing: Existing::Replace,
                files: Files::new(),
                shown: Vec::new(),
            };
            let before = text.replace('^', "");
            let wired = wire(&before, &read(&before).unwrap(), &wanted, None).map(|wired| wired.text);
            assert_eq!(wired, Ok(text.replace('^', added)), "{marked}");
        }
    }

    #[test]
    fn a_mount_and_its_volume_get_the_fields_that_they_lack() {
        let pod = |mount: &str, volume: &str| {
            format!(
                "apiVersion: v1\nkind: Pod\nspec:\n  containers:\n  - name: kube-apiserver\n    command:\n    - kube-apiserver\n    \
                 - --audit-policy-file=/p.yaml\n    - --audit-log-path=/l/a.log\n    volumeMounts:\n    \
                 - mountPath: /p.yaml\n      name: p\n{mount}    - mountPath: /l/\n      name: l\n  volumes:\n  \
                 - name: p\n    hostPath:\n      path: /p.yaml\n{volume}  \
                 - name: l\n    hostPath:\n      path: /l/\n      type: Directory\n"
            )
        };
        let (right, file) = ("      readOnly: true\n", "      type: File\n");
        let whole = "      subPath: \"\"\n      readOnly: true\n";
        for (before, after) in [
            (pod("", ""), pod(right, file)),
            (pod("      readOnly: false\n", file), pod(right, file)),
            (pod(right, file), pod(right, file)),
            (pod(whole, file), pod(whole, file)),
        ] {
            let wired = wired_with(&before, &[("audit-policy-file", "/p.yaml"), ("audit-log-path", "/l/a.log")]);
            assert_eq!(wired, Ok(after), "{before}");
        }
    }

    #[test]
    fn what_the_settings_leave_behind_is_told() {
        let pod = |mounts: &str, other: &str| {
            pod_of(&format!(
                "{{containers: [{{name: kube-apiserver, command: [kube-apiserver, --audit-policy-file=/old/p.yaml, \
                 --audit-log-path=/l/a.log], volumeMounts: [{mounts}]}}, {{name: other, volumeMounts: [{other}]}}], volumes: \
                 [{{name: p, hostPath: {{path: /host/p.yaml}}}}, {{name: d, hostPath: {{path: /host}}}}, \
                 {{name: l, hostPath: {{path: /host/l}}}}]}}"
            ))
        };
        let log = "{mountPath: /l, name: l}";
        let new = [("audit-policy-file", "/new.yaml"), ("audit-log-path", "/m/a.log")];
        let same = [("audit-policy-file", "/old/p.yaml"), ("audit-log-path", "/l/a.log")];
        for (mounts, other, flags, told) in [
            ("{mountPath: /old/p.yaml, name: p}", "", &new[..], vec!["remove /host/p.yaml"]),
            ("{mountPath: /old, name: d}", "", &new, vec![]),
            (
                log,
                "{mountPath: /x, name: l}",
                &new,
                vec!["the container \"other\" has the directory of the previous log /l/a.log"],
            ),
            (log, "{mountPath: /x, name: d}", &new, vec!["the container \"other\""]),
            (log, "{mountPath: /x, name: p}", &new, vec![]),
            (log, "", &new, vec![]),
            // The log stays where the flag says, and moves to that path on the host.
            (log, "{mountPath: /x, name: l}", &same, vec!["new events go to /l/a.log"]),
        ] {
            let text = pod(mounts, other);
            let flags = flags.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
            let wanted = Wanted {
                flags,
                off: Vec::new(),
                existing: Existing::Replace,
                files: Files::new(),
                shown: Vec::new(),
            };
            let notes = wire(&text, &read(&text).unwrap(), &wanted, None).unwrap().notes;
            let notes: Vec<_> = notes.iter().filter(|note| !note.contains("without a pause")).collect();
            assert_eq!(notes.len(), told.len(), "{mounts} {other}: {notes:?}");
            assert!(notes.iter().zip(&told).all(|(note, words)| note.contains(words)), "{mounts}: {notes:?}");
        }
    }

    /// Whatever the settings do with the mounts: where this program looks for the policy and the log afterwards is where
    /// the API server opens them.
    #[test]
    fn an_edit_and_the_look_at_it_agree() {
        for existing in [Existing::Replace, Existing::Keep] {
            for mounts in [
                "",
                "{mountPath: /c, name: a}",
                "{mountPath: /c/d, name: a}, {mountPath: /c, name: b}",
                "{mountPath: /, name: b}",
            ] {
                let text = pod_of(&format!(
                    "{{containers: [{{name: kube-apiserver, command: [kube-apiserver, --audit-policy-file=/c/d/p.yaml, \
                     --audit-log-path=/c/l/a.log], volumeMounts: [{mounts}]}}], volumes: \
                     [{{name: a, hostPath: {{path: /host}}}}, {{name: b, emptyDir: {{}}}}]}}"
                ));
                let wanted = Wanted { existing, ..Wanted::of(&Config::default(), &Files::new()) };
                let wired = wire(&text, &read(&text).unwrap(), &wanted, None).unwrap();
                let found = read_auditing(&wired.text).unwrap();
                assert_eq!((&found.policy, &found.log), (&wired.policy, &wired.log), "{existing:?} {mounts}");
                let again = wire(&wired.text, &read(&wired.text).unwrap(), &wanted, None).unwrap();
                assert_eq!(again.text, wired.text, "{existing:?} {mounts}");
                let ours = Config::default();
                assert!(
                    existing == Existing::Keep
                        || (wired.policy.as_ref(), wired.log.as_ref())
                            == (Some(&ours.policy_path), Some(&ours.log.path)),
                    "{mounts}: {wired:?}"
                );
            }
        }
    }

    #[test]
    fn mounts_and_volumes_are_lists() {
        let command = "name: kube-apiserver, command: [kube-apiserver]";
        for (spec, reason) in [
            (format!("{{containers: [{{{command}, volumeMounts: a}}]}}"), "volumeMounts must be a list"),
            (format!("{{containers: [{{{command}}}], volumes: {{}}}}"), "volumes must be a list"),
        ] {
            let refusal = wired_with(&pod_of(&spec), &[("audit-policy-file", "/p.yaml")]).unwrap_err();
            assert_eq!((refusal.reason.as_str(), refusal.by_hand.is_some()), (reason, true), "{spec}");
        }
    }
}
