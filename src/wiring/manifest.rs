//! The static pod manifest of the API server.

use super::mounts::{
    Match, NeededMount, Present, check_kept, find_match, find_on_host, free_name, has_value, is_true, log_file_of,
    needed_mounts, serves, to_wired, wanted_mounts, without_slash,
};
use super::settings::{Refusal, Wanted, Wired, check, effective, filled_in};
use crate::audit::flags::{self, Flags, Takes};
use crate::audit::version::Version;
use crate::config::Existing;
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
    let field = |name: &str| root.at(&["metadata", name]).and_then(Node::scalar);
    let identity = PodName {
        namespace: field("namespace").unwrap_or("default").to_owned(),
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
            "the file is empty; a static pod manifest that runs kube-apiserver is expected",
        ));
    };
    let root = &document.root;
    let field = |name: &str| root.get(name).and_then(Node::str).unwrap_or_default();
    if (field("apiVersion"), field("kind")) != ("v1", "Pod") {
        let found = format!("{} {}", field("apiVersion"), field("kind"));
        let found = if found.trim().is_empty() { "something else".to_owned() } else { found };
        return Err(Refusal::new(
            root.position,
            format!("a v1 Pod that runs kube-apiserver is expected, but this is {found}"),
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
            root.position,
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

fn words_of<'n>(container: &'n Node, list: &str) -> Vec<&'n str> {
    let items = container.get(list).and_then(Node::items).unwrap_or_default();
    items.iter().filter_map(Node::scalar).collect()
}

/// Does a container start the API server? It does if the first word is the program's name, if a path to the program
/// follows a wrapper, or if a shell line has it. The bare name anywhere else is an argument of another program.
fn runs_api_server(container: &Node) -> bool {
    let mut all = words_of(container, "command");
    all.extend(words_of(container, "args"));
    let program = |word: &str, name: &str| !word.starts_with('-') && word.rsplit('/').next() == Some(name);
    all.iter().enumerate().any(|(index, word)| {
        let next = all.get(index + 1).copied().unwrap_or_default();
        let started = index == 0 || word.starts_with('/');
        started && program(word, "kube-apiserver")
            || started && program(word, "hyperkube") && ["apiserver", "kube-apiserver"].contains(&next)
            || in_shell_line(word)
    })
}

/// Is a word a whole shell line, and is one of its commands the API server?
fn in_shell_line(word: &str) -> bool {
    word.split_whitespace().count() > 1
        && word.split([';', '&', '|', '\n']).any(|command| {
            let mut words = command.split_whitespace().skip_while(|word| *word == "exec" || word.contains('='));
            words.next().is_some_and(|program| program.rsplit('/').next() == Some("kube-apiserver"))
        })
}

/// An audit flag in `command` or `args`.
struct Arg {
    list: &'static str,
    index: usize,
    /// The name as it is written, without the dashes.
    written: String,
    value: String,
    /// The value is the next item.
    separate: bool,
}

/// What a manifest says about auditing.
#[derive(Clone, Debug, Default)]
pub struct Auditing {
    /// The audit flags of the API server. If a flag is given twice, the last one counts.
    pub flags: Flags,
    /// All words of the API server's own command line that begin with two dashes, without the words of a wrapper
    /// before it.
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
    let manifest = read(text)?;
    let root = &manifest.documents[0].root;
    let containers = root.at(&["spec", "containers"]).and_then(Node::items).unwrap_or_default();
    let (Some(container), Some(spec)) = (containers.get(manifest.container), root.get("spec")) else {
        return Ok(Auditing::default());
    };
    let args = command_line(container)?.args;
    let flags: Flags = args.into_iter().map(|arg| (flags::normal(&arg.written), arg.value)).collect();
    let present = Lists::of(container, spec).present;
    let referenced = needed_mounts(&flags, &Flags::new())
        .iter()
        .filter_map(|mount| find_on_host(&present, &mount.container))
        .collect();
    let path = |flag: &str| {
        let path = flags.get(flag).filter(|path| path.starts_with('/'))?;
        find_on_host(&present, path)
    };
    let (log, policy) = (path("audit-log-path"), path("audit-policy-file"));
    let webhook = path("audit-webhook-config-file");
    let all = [words_of(container, "command"), words_of(container, "args")].concat();
    let is_program = |word: &&str| !word.starts_with('-') && word.rsplit('/').next() == Some("kube-apiserver");
    let own = all.iter().position(is_program).unwrap_or_default();
    let words = all[own..].iter().filter(|word| word.starts_with("--")).map(|word| (*word).to_owned()).collect();
    Ok(Auditing { flags, words, referenced, log, policy, webhook })
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
                let host = host.map(|host| match field("subPath") {
                    Some(sub) if !sub.is_empty() => format!("{}/{sub}", host.trim_end_matches('/')),
                    _ => host,
                });
                Present {
                    position: node.position,
                    name: field("name").unwrap_or_default().to_owned(),
                    container: without_slash(field("mountPath").unwrap_or_default()),
                    host: host.filter(|_| field("subPathExpr").is_none()),
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
    volume.at(&["hostPath", "path"]).and_then(Node::scalar).map(without_slash)
}

/// The flags of a container's command line.
struct CommandLine {
    /// The audit flags, in order; the last one of a name counts.
    args: Vec<Arg>,
    /// The position of the shell line, if a shell starts the API server. The line is read, but not edited.
    shell: Option<Position>,
}

/// Adds the wanted settings to the manifest. `text`: the text that `manifest` was read from.
///
/// # Errors
///
/// The manifest cannot be edited: the position, what to do, and the YAML to add by hand.
pub fn wire(text: &str, manifest: &Manifest, wanted: &Wanted, version: Option<Version>) -> Result<Wired, Refusal> {
    let refuse = |refusal: Refusal| Refusal { by_hand: refusal.by_hand.or(Some(by_hand(wanted))), ..refusal };
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
    let line = command_line(container).map_err(refuse)?;
    let present: Vec<_> = line.args.iter().map(|arg| (flags::normal(&arg.written), arg.value.clone())).collect();
    let flags = effective(wanted, &present);
    check(&flags, version.or(manifest.version), container.position)?;
    edits.set_flags(&line, wanted).map_err(refuse)?;
    let mut notes = Vec::new();
    let before: Flags = present.into_iter().collect();
    let present = edits.mount(&flags, &before, wanted, &mut notes).map_err(refuse)?;
    let ops = edits.finish();
    if ops.is_empty() {
        return Ok(to_wired(text.to_owned(), &before, &flags, wanted, &present, notes));
    }
    let edited = edit(text, &manifest.documents, 0, &ops)
        .map_err(|refused| Refusal::from_edit(refused, by_hand(wanted)))?;
    Ok(to_wired(edited, &before, &flags, wanted, &present, notes))
}

/// Reads the audit flags of a container.
fn command_line(container: &Node) -> Result<CommandLine, Refusal> {
    let (mut args, mut shell) = (Vec::new(), None);
    // Without a command, the image's own one runs.
    let mut has_program = container.get("command").is_none_or(Node::is_null);
    for list in ["command", "args"] {
        let Some(node) = container.get(list).filter(|node| !node.is_null()) else {
            continue;
        };
        let Some(items) = node.items() else {
            return Err(Refusal::new(node.position, format!("{list} must be a list")));
        };
        let mut index = 0;
        while let Some(item) = items.get(index) {
            let word = match resolve(item) {
                Type::Str => item.scalar().unwrap_or_default(),
                other => {
                    let reason = format!("{list} takes strings, and this is {}; put it in quotes", other.name());
                    return Err(Refusal::new(item.position, reason));
                }
            };
            let is_shell = ["sh", "bash", "dash", "ash"].contains(&word.rsplit('/').next().unwrap_or_default());
            if (is_shell && !word.starts_with('-')) || in_shell_line(word) {
                shell = Some(item.position);
            }
            if shell.is_some() {
                for word in word.split_whitespace().map(|word| word.trim_matches(['"', '\'', ';'])) {
                    let Some(flag) = word.strip_prefix("--") else { continue };
                    let (written, value) = flag.split_once('=').unwrap_or((flag, "true"));
                    if flags::is_audit(&flags::normal(written)) {
                        let (written, value) = (written.to_owned(), value.to_owned());
                        args.push(Arg { list, index, written, value, separate: false });
                    }
                }
                index += 1;
                continue;
            }
            has_program |= word.rsplit('/').next() == Some("kube-apiserver");
            // Before the program's name, it belongs to a wrapper such as tini.
            if word == "--" && has_program {
                return Err(Refusal::new(item.position, "kube-apiserver reads no flags after `--`; remove it"));
            }
            index += 1;
            let Some(flag) = word.strip_prefix("--") else {
                continue;
            };
            let (written, value) = flag.split_once('=').map_or((flag, None), |(name, value)| (name, Some(value)));
            let name = flags::normal(written);
            if !flags::is_audit(&name) {
                continue;
            }
            let at = index - 1;
            let (value, separate) = match (value, flags::takes(&name)) {
                (Some(value), _) => (value.to_owned(), false),
                // pflag: a boolean flag takes no next word; every other flag takes the next word, whatever it is.
                (None, Some(Takes::Bool) | None) => ("true".to_owned(), false),
                (None, Some(_)) => {
                    let node = items.get(index).filter(|next| !next.scalar().unwrap_or("--").starts_with("--"));
                    let Some(node) = node else {
                        return Err(Refusal::new(item.position, format!("--{written} has no value; give it one")));
                    };
                    let Some(next) = node.str() else {
                        let kind = resolve(node).name();
                        let reason = format!("{list} takes strings, and this is {kind}; put it in quotes");
                        return Err(Refusal::new(node.position, reason));
                    };
                    index += 1;
                    (next.to_owned(), true)
                }
            };
            args.push(Arg { list, index: at, written: written.to_owned(), value, separate });
        }
    }
    Ok(CommandLine { args, shell })
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
                let index = arg.index + usize::from(arg.separate);
                let items = list.items().unwrap_or_default();
                // A value that another field shares stays. The flag is added after it, where it counts.
                if line.shell.is_some() || shared(list) || items.get(index).is_none_or(shared) {
                    found = false;
                    continue;
                }
                found = true;
                let text = if arg.separate { value.to_owned() } else { format!("--{}={value}", arg.written) };
                let path = self.path(&[PathStep::from(arg.list), PathStep::from(index)]);
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
            let reason = "a shell starts the API server, and this program does not edit shell lines; add the flags to that \
                          line, after kube-apiserver";
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

    /// Adds the mounts that the flags need. Returns the mounts before the edit.
    fn mount(
        &mut self,
        flags: &Flags,
        before: &Flags,
        wanted: &Wanted,
        notes: &mut Vec<String>,
    ) -> Result<Vec<Present>, Refusal> {
        check_list(self.container, "volumeMounts")?;
        check_list(self.spec, "volumes")?;
        let mut lists = Lists::of(self.container, self.spec);
        for mount in wanted_mounts(flags, before, wanted) {
            let found = find_match(&mount, log_file_of(&mount, flags), &lists.present)?;
            if wanted.existing == Existing::Keep {
                check_kept(&mount, &found, &lists.present, notes)?;
                if found != Match::Missing {
                    continue;
                }
            }
            match found {
                Match::Above(_) => {}
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
        let Lists { new_mounts, new_volumes, present, .. } = lists;
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
        Ok(present)
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
                "the settings need the path of this mount, but it has a subPath; remove this mount",
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

/// The settings as YAML, for a person to add.
fn by_hand(wanted: &Wanted) -> String {
    let flags: Flags = wanted.flags.iter().cloned().collect();
    let args = wanted.flags.iter().map(|(name, value)| New::Str(format!("--{name}={value}"))).collect();
    let mounts = needed_mounts(&flags, &Flags::new());
    let volume_mounts = mounts.iter().map(|mount| {
        New::map([
            ("mountPath", New::str(&mount.container)),
            ("name", New::str(mount.name)),
            ("readOnly", New::Bool(mount.read_only)),
        ])
    });
    let volumes = mounts.iter().map(|mount| {
        New::map([
            ("hostPath", New::map([("path", New::str(&mount.host)), ("type", New::str(mount.kind))])),
            ("name", New::str(mount.name)),
        ])
    });
    let container = New::map([
        ("name", New::str("kube-apiserver")),
        ("command", New::List(args)),
        ("volumeMounts", New::List(volume_mounts.collect())),
    ]);
    let spec = New::map([("containers", New::List(vec![container])), ("volumes", New::List(volumes.collect()))]);
    crate::yaml::edit::render(&[("spec".to_owned(), spec)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

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
    fn flags_are_not_put_where_nobody_reads_them() {
        let wired = |container: &str| {
            let text = pod(container);
            wire(&text, &read(&text).expect(container), &Wanted::of(&Config::default()), None)
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
        let wired = wire(&text, &read(&text).unwrap(), &Wanted::of(&Config::default()), None).unwrap();
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
        let wanted = Wanted { flags, off: Vec::new(), existing: Existing::Replace };
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
            "[/bin/sh, -c, kube-apiserver --audit-log-maxage=7, --audit_log_maxsize=5]",
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
            let wanted = Wanted { flags: Vec::new(), off, existing: Existing::Replace };
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
