//! Judges the manifest that kubeadm makes with patches, and finds the patch that is to blame if the API server would
//! not audit, or would not start.

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;

use super::file::{Kind, PatchFile, broken};
use super::pod::{Kubeadm, pod};
use super::value::{is_small, value_of};
use super::{merge, operations};
use crate::audit::flags::{Flags, is_audit, is_equivalent, normal};
use crate::audit::version::Version;
use crate::config::Existing;
use crate::wiring::manifest::{self, RunAs};
use crate::wiring::pod as kubelet;
use crate::wiring::settings::{Refusal, Wanted, Wired};
use crate::yaml::{Node, Position};

/// The largest number of parts that patches may have: operations, and documents.
const MAX_PARTS: usize = 2000;
/// The largest number of values in a mapping or a list that are looked at one by one for the one to blame.
const MAX_CHILDREN: usize = 200;

/// What kubeadm makes the manifest of.
#[derive(Clone, Copy, Debug)]
pub enum Base<'b> {
    /// A kubeadm configuration, before and after the edit.
    Configuration { before: &'b str, after: &'b str },
    /// No configuration. The settings come as this patch, before all other patches.
    Patch(&'b str),
}

/// Patches, and what they are applied to.
#[derive(Debug)]
pub struct Patched<'p> {
    pub base: Base<'p>,
    pub files: &'p [PatchFile],
    pub wanted: &'p Wanted,
    pub version: Option<Version>,
    /// The directories of certificates that the node has, of [`certificates`].
    pub certificates: &'p [String],
}

/// The directories of certificates on which the pod depends.
pub fn certificates() -> impl Iterator<Item = &'static str> {
    crate::wiring::kubeadm::VOLUMES[2..].iter().map(|(_, path, _)| *path)
}

/// What the manifest says that kubeadm makes with the patches.
#[derive(Clone, Debug)]
pub struct Made {
    pub wired: Wired,
    pub run_as: RunAs,
}

/// Judges the manifest that kubeadm makes with the patches. `Ok(Err)`: it cannot be judged, because even without the
/// patches it would not be right; why.
///
/// # Errors
///
/// With a patch, the API server would not audit as it should, or would not start: the path of the patch, and where.
pub fn check(patched: &Patched<'_>) -> Result<Result<Made, String>, (String, Refusal)> {
    let mut made = Err("nothing is known of this kubeadm".to_owned());
    for kubeadm in Kubeadm::of(patched.version) {
        made = patched.check(kubeadm)?;
        if made.is_err() {
            break;
        }
    }
    Ok(made)
}

/// Why a manifest is not right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// kubeadm cannot apply the patch.
    Broken(String),
    /// The audit flag has another value, or is missing.
    Flag { name: String, found: Option<String>, wanted: String },
    /// The mount of this path is not as the settings need it.
    Mount(String),
    /// The container runtime cannot create the mount point of this path in the mount of a directory above.
    Closed { path: String, above: String },
    /// The kubelet refuses the pod.
    Invalid(String),
    /// The manifest cannot be read, or cannot have the settings.
    Unfit(String),
    /// The patch does something else than it did without the settings.
    Shifted(String),
}

impl Fault {
    /// Why a manifest without patches is not right.
    fn without_patches(self) -> String {
        match self {
            Fault::Broken(why) | Fault::Invalid(why) | Fault::Unfit(why) => why,
            Fault::Flag { name, found: None, .. } => {
                format!("without the patches, the API server has no --{name}")
            }
            Fault::Flag { name, found: Some(found), wanted } => format!(
                "without the patches, the API server has --{name}={found}, and the audit settings say {wanted}"
            ),
            Fault::Mount(path) => {
                format!("without the patches, {path} is not mounted as the audit settings need it")
            }
            Fault::Closed { path, above } => format!("{path} has no mount point in the mount of {above}"),
            Fault::Shifted(what) => format!("the audit settings alone make a manifest that {what}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Broken(why) => f.write_str(&broken(why)),
            Fault::Flag { name, found: None, .. } => write!(
                f,
                "with this patch, the API server has no --{name}; remove the list of flags from the patch, and put \
                 its flags into apiServer.extraArgs of kubeadm's configuration file, or add each flag with a JSON \
                 patch (op add, path /spec/containers/0/command/-)"
            ),
            Fault::Flag { name, found: Some(found), wanted } => write!(
                f,
                "with this patch, the API server has --{name}={found}, and the audit settings say {wanted}; remove \
                 the flag from the patch, or keep the flags that there are: set existing: keep in the configuration, because \
                 --existing keep counts for one run alone, and not for the kubeadm hook"
            ),
            Fault::Mount(path) => write!(
                f,
                "with this patch, {path} is not mounted as the audit settings need it; remove that from the patch, or \
                 add the volume and its mount to the patch"
            ),
            Fault::Closed { path, above } => write!(
                f,
                "with this patch, {path} needs its own mount below {above}, but the container runtime cannot create its \
                 mount point in the mount of {above}; remove that mount from the patch, or set the path of the \
                 configuration (policy.path, log.path or webhook.configFile) to one that is not below {above}"
            ),
            Fault::Invalid(why) => write!(
                f,
                "with this patch, the kubelet refuses the API server's pod: {why}; or remove that from the patch: the \
                 audit settings add the mounts that they need"
            ),
            Fault::Unfit(why) => {
                write!(f, "with this patch, the API server can't audit: {why}; correct the patch")
            }
            Fault::Shifted(what) => write!(
                f,
                "with the audit settings, this patch {what}, because it names an item of a list by its number, which \
                 is another item then; set a flag in apiServer.extraArgs of kubeadm's configuration file, or add it at \
                 the end (op add, path /spec/containers/0/command/-); name a volume, a mount or a variable by its name, \
                 with a strategic patch"
            ),
        }
    }
}

/// The pod without the settings and with them, while patches are applied.
#[derive(Clone, Debug)]
pub(super) struct Pods {
    /// `None`: they are not compared.
    before: Option<Value>,
    after: Value,
}

impl Pods {
    /// The pod with the settings, as kubeadm writes it.
    pub(super) fn text(&self) -> String {
        format!("{:#}\n", with_words(&self.after))
    }
}

impl Patched<'_> {
    /// As [`check`], for one kubeadm.
    fn check(&self, kubeadm: Kubeadm) -> Result<Result<Made, String>, (String, Refusal)> {
        let start = match self.pods(kubeadm) {
            Ok(start) => start,
            Err(fault) => return Ok(Err(fault.without_patches())),
        };
        // Where existing settings stay, patches may bring what the configuration lacks.
        let lacking = self.judge(&start, &start).err();
        let mut pods = start.clone();
        let parts: Vec<_> =
            self.files.iter().flat_map(|file| file.parts().into_iter().map(move |part| (file, part))).collect();
        if let Some((file, part)) = parts.get(MAX_PARTS) {
            let reason = format!(
                "there are more than {MAX_PARTS} patches of the API server, too many to check; merge some"
            );
            return Err((file.path.clone(), Refusal::new(part.position, reason)));
        }
        let refused = |file: &PatchFile, position: Position, fault: &Fault| {
            (file.path.clone(), Refusal::new(position, fault.to_string()))
        };
        for (file, part) in &parts {
            apply(&mut pods, file.kind, &value_of(part, None), kubeadm)
                .map_err(|fault| refused(file, part.position, &fault))?;
        }
        let fault = match self.judge(&start, &pods) {
            Ok(made) => return Ok(Ok(made)),
            Err(fault) if lacking.as_ref() == Some(&fault) => return Ok(Err(fault.without_patches())),
            Err(fault) => fault,
        };
        // The patch to blame is the one after which the manifest was never right again.
        let (mut pods, mut blamed) = (start.clone(), None);
        for (index, (file, part)) in parts.iter().enumerate() {
            let before = pods.clone();
            if apply(&mut pods, file.kind, &value_of(part, None), kubeadm).is_err() {
                break;
            }
            match self.judge(&start, &pods) {
                Ok(_) => blamed = None,
                Err(_) => _ = blamed.get_or_insert((index, before)),
            }
        }
        let Some(((file, part), before)) = blamed.and_then(|(index, before)| Some((parts.get(index)?, before)))
        else {
            let file = self.files.first().map(|file| (file.path.clone(), file.position())).unwrap_or_default();
            return Err((file.0, Refusal::new(file.1, fault.to_string())));
        };
        let is_right_without = |place: &[usize]| {
            let mut pods = before.clone();
            apply(&mut pods, file.kind, &value_of(part, Some(place)), kubeadm).is_ok()
                && self.judge(&start, &pods).is_ok()
        };
        let position = if file.kind == Kind::Json { part.position } else { blame(part, &is_right_without) };
        let fault = match fault {
            Fault::Flag { name, found: None, .. } if file.kind == Kind::Json && names_an_item(part) => {
                Fault::Shifted(format!("takes --{name} away"))
            }
            fault => fault,
        };
        Err(refused(file, position, &fault))
    }

    /// The pods as kubeadm makes them, without patches of others.
    pub(super) fn pods(&self, kubeadm: Kubeadm) -> Result<Pods, Fault> {
        let made = |text: &str| {
            let (documents, _) = crate::yaml::parse_lenient(text).unwrap_or_default();
            let cluster = documents
                .iter()
                .map(|document| &document.root)
                .find(|root| root.get("kind").and_then(Node::scalar) == Some("ClusterConfiguration"));
            pod(cluster, kubeadm, self.certificates, self.version)
        };
        match self.base {
            Base::Configuration { before, after } => {
                Ok(Pods { before: (before != after).then(|| made(before)), after: made(after) })
            }
            Base::Patch(patch) => {
                let mut pods = Pods { before: None, after: made("") };
                let before = pods.after.clone();
                let documents = crate::yaml::parse(patch).unwrap_or_default();
                for part in documents.iter().flat_map(|document| document.root.items().unwrap_or_default()) {
                    apply(&mut pods, Kind::Json, &value_of(part, None), kubeadm)?;
                }
                Ok(Pods { before: Some(before), ..pods })
            }
        }
    }

    /// Judges the pod that `start` became.
    fn judge(&self, start: &Pods, pods: &Pods) -> Result<Made, Fault> {
        let made = self.judge_pod(&pods.after)?;
        if let (Some(before), Some(start_before)) = (&pods.before, &start.before) {
            let ours = ours(start_before, &start.after);
            if let Some(what) = first_difference(&without_ours(before, &ours), &without_ours(&pods.after, &ours)) {
                return Err(Fault::Shifted(what));
            }
        }
        Ok(made)
    }

    fn judge_pod(&self, pod: &Value) -> Result<Made, Fault> {
        let pod = &with_words(pod);
        let text = format!("{pod:#}\n");
        // What to do about a manifest is not what to do about a patch.
        let unfit = |refusal: Refusal| {
            Fault::Unfit(refusal.reason.split("; set manifest.path").next().unwrap_or_default().to_owned())
        };
        let read = manifest::read(&text).map_err(unfit)?;
        // Not a container that only has its name.
        if !manifest::identify_pod(&text).is_ok_and(|pod| pod.is_some_and(|(_, runs)| runs)) {
            return Err(Fault::Unfit("no container starts kube-apiserver".to_owned()));
        }
        if let Some(name) = without_image(pod) {
            return Err(Fault::Invalid(format!(
                "the container {name:?} has no image; if the patch is for the container of the API server, write name: \
                 kube-apiserver there; if it adds a container, add its image"
            )));
        }
        kubelet::judge(&text, self.version).map_err(|refusal| Fault::Invalid(refusal.reason))?;
        let flags = manifest::read_auditing(&text).map_err(unfit)?.flags;
        let wired = match manifest::wire(&text, &read, self.wanted, self.version) {
            Ok(wired) => wired,
            // The flags are the better reason.
            Err(refusal) => return Err(self.other_flag(&flags).unwrap_or(Fault::Unfit(refusal.reason))),
        };
        let differs = |name: &String| wired.flags.get(name) != flags.get(name);
        // A list that is replaced lacks all flags. The policy is the one to name then.
        let names = ["audit-policy-file", "audit-log-path"].map(str::to_owned);
        if let Some(name) = names.iter().chain(wired.flags.keys()).find(|name| differs(name)) {
            let value = |flags: &Flags| flags.get(name).cloned();
            let (found, wanted) = (value(&flags), value(&wired.flags).unwrap_or_default());
            return Err(Fault::Flag { name: name.clone(), found, wanted });
        }
        // The last one of a name counts, but a later run would change the others, too.
        let is_replaced = self.wanted.existing == Existing::Replace && wired.text != text;
        if let Some(fault) = overruled_flag(pod, &wired.flags).filter(|_| is_replaced) {
            return Err(fault);
        }
        if wired.text != text {
            return Err(Fault::Mount(changed_mount(pod, &wired.text)));
        }
        if let Some((path, above)) = manifest::closed_off(&text, &wired.flags) {
            return Err(Fault::Closed { path, above });
        }
        Ok(Made { run_as: read.run_as, wired })
    }

    /// A wanted flag that the API server does not have.
    fn other_flag(&self, flags: &Flags) -> Option<Fault> {
        let (name, wanted) = self.wanted.flags.iter().find(|(name, _)| !flags.contains_key(name))?;
        Some(Fault::Flag { name: name.clone(), found: None, wanted: wanted.clone() })
    }
}

/// The name of a container that a patch made, because it misspells the one that it means.
fn without_image(pod: &Value) -> Option<&str> {
    let containers = pod.pointer("/spec/containers")?.as_array()?;
    let lacks = |one: &&Value| one.get("image").and_then(Value::as_str).unwrap_or_default().is_empty();
    let name = containers.iter().find(lacks)?.get("name")?.as_str()?;
    Some(name).filter(|name| *name != "kube-apiserver")
}

/// Applies a part of a patch to both pods. An operation that fails at what auditing does not depend on is left to
/// kubeadm, which knows the values there.
pub(super) fn apply(pods: &mut Pods, kind: Kind, part: &Value, kubeadm: Kubeadm) -> Result<(), Fault> {
    let one = |pod: &mut Value| match kind {
        Kind::Json => operations::apply(pod, part),
        Kind::Merge => merge::merge(pod, part),
        Kind::Strategic => merge::strategic(pod, part, kubeadm.merges_as_before),
    };
    if let (Kind::Json, Some(before)) = (kind, &pods.before)
        && operations::test(before, part) == Some(true)
        && operations::test(&pods.after, part) == Some(false)
    {
        return Err(Fault::Shifted("is refused by its own test".to_owned()));
    }
    if kind == Kind::Json && surely_fails(&pods.after, part) {
        return Err(Fault::Broken("its test fails, because the manifest has another value there".to_owned()));
    }
    match one(&mut pods.after) {
        Ok(()) if is_small(&pods.after) => {}
        Ok(()) => return Err(Fault::Broken("the manifest becomes too large".to_owned())),
        Err(_) if kind == Kind::Json && !concerns_auditing(part) => return Ok(()),
        Err(why) => return Err(Fault::Broken(why)),
    }
    // Without the settings, kubeadm could not apply it, so there is nothing to compare with.
    pods.before = pods.before.take().and_then(|mut pod| one(&mut pod).is_ok().then_some(pod));
    Ok(())
}

/// Whether an operation is a test that fails on every node. What kubeadm knows only when it runs is a sample in
/// `manifest`, and kubeadm says whether such a test fails.
fn surely_fails(manifest: &Value, operation: &Value) -> bool {
    if operations::test(manifest, operation) != Some(false) {
        return false;
    }
    let text = |name: &str| operation.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("path").split('/').skip(1).collect::<Vec<_>>().as_slice() {
        // The flags have their places, and some values are samples.
        ["spec", "containers", "0", "command", _] => {
            let found = manifest.pointer(text("path")).and_then(Value::as_str).unwrap_or_default();
            found.split('=').next() != text("value").split('=').next()
        }
        ["spec", "containers", _, field, ..] => ["name", "args", "volumeMounts"].contains(field),
        ["metadata", field, ..] => ["name", "namespace", "labels"].contains(field),
        ["spec", field, ..] => ["volumes", "hostNetwork"].contains(field),
        ["kind" | "apiVersion"] => true,
        _ => false,
    }
}

/// Whether an operation names an item of a list by its number.
fn names_an_item(operation: &Node) -> bool {
    let path = operation.get("path").and_then(Node::scalar).unwrap_or_default();
    path.rsplit('/').next().is_some_and(|last| last.parse::<i64>().is_ok())
}

/// Whether an operation is about a part of the pod that auditing depends on.
fn concerns_auditing(operation: &Value) -> bool {
    if operation.get("path").is_none() {
        return true;
    }
    ["path", "from"].into_iter().filter_map(|name| operation.get(name)?.as_str()).any(|path| {
        match path.split('/').skip(1).collect::<Vec<_>>().as_slice() {
            ["metadata" | "status", ..] => false,
            ["spec", "containers", _, field, ..] => {
                ["name", "command", "args", "volumeMounts", "securityContext"].contains(field)
            }
            ["spec", field, ..] => ["containers", "volumes", "securityContext"].contains(field),
            _ => true,
        }
    })
}

/// The pod as kubeadm writes it: a null among the words of a command is an empty word.
fn with_words(pod: &Value) -> Value {
    let mut pod = pod.clone();
    for container in pod.pointer_mut("/spec/containers").and_then(Value::as_array_mut).into_iter().flatten() {
        for name in ["command", "args"] {
            let words = container.get_mut(name).and_then(Value::as_array_mut).into_iter().flatten();
            words.filter(|word| word.is_null()).for_each(|word| *word = "".into());
        }
    }
    pod
}

fn list<'v>(value: &'v Value, path: &str) -> &'v [Value] {
    value.pointer(path).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn word<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The names of the volumes, and the paths of the mounts, that differ between two pods.
fn ours(one: &Value, other: &Value) -> BTreeSet<String> {
    let differing = |path: &str, field: &str| {
        let (one, other) = (list(one, path), list(other, path));
        let only = |these: &[Value], those: &[Value]| {
            let items = these.iter().filter(|item| !those.contains(item));
            items.map(|item| word(item, field).to_owned()).collect::<Vec<_>>()
        };
        [only(one, other), only(other, one)].concat()
    };
    let paths = differing("/spec/containers/0/volumeMounts", "mountPath");
    differing("/spec/volumes", "name").into_iter().chain(paths).collect()
}

/// A pod without the audit flags, and without these volumes and mounts. The order of its lists does not count.
fn without_ours(pod: &Value, ours: &BTreeSet<String>) -> Value {
    fn sort(items: &mut [Value]) {
        items.sort_by_cached_key(Value::to_string);
    }
    let is_ours = |item: &Value| ["name", "mountPath"].iter().any(|field| ours.contains(word(item, field)));
    let is_audit_flag = |word: &Value| {
        let flag = word.as_str().and_then(|word| word.strip_prefix("--")).unwrap_or_default();
        is_audit(&normal(flag.split('=').next().unwrap_or_default()))
    };
    let mut pod = pod.clone();
    if let Some(items) = pod.pointer_mut("/spec/volumes").and_then(Value::as_array_mut) {
        items.retain(|item| !is_ours(item));
        sort(items);
    }
    for container in pod.pointer_mut("/spec/containers").and_then(Value::as_array_mut).into_iter().flatten() {
        for (name, is_gone) in [
            ("volumeMounts", &is_ours as &dyn Fn(&Value) -> bool),
            ("command", &is_audit_flag),
            ("args", &is_audit_flag),
        ] {
            if let Some(items) = container.get_mut(name).and_then(Value::as_array_mut) {
                items.retain(|item| !is_gone(item));
                sort(items);
            }
        }
    }
    pod
}

/// An audit flag of a container with another value than the API server has.
fn overruled_flag(pod: &Value, flags: &Flags) -> Option<Fault> {
    let containers = list(pod, "/spec/containers").iter();
    let words = containers.flat_map(|container| [list(container, "/command"), list(container, "/args")].concat());
    words.filter_map(|word| word.as_str().map(str::to_owned)).find_map(|word| {
        let (name, found) = word.strip_prefix("--")?.split_once('=')?;
        let name = normal(name);
        let wanted = flags.get(&name).filter(|wanted| !is_equivalent(&name, found, wanted))?.clone();
        Some(Fault::Flag { name, found: Some(found.to_owned()), wanted })
    })
}

/// What a second pod has that a first one does not have, or the reverse, in words; `None`: they are the same. Only
/// names are told: a value may be a secret.
fn first_difference(one: &Value, other: &Value) -> Option<String> {
    match (one, other) {
        _ if one == other => None,
        (Value::Object(before), Value::Object(after)) => {
            let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            keys.into_iter().find_map(|key| match (before.get(key), after.get(key)) {
                (Some(before @ Value::Object(_)), Some(after @ Value::Object(_)))
                | (Some(before @ Value::Array(_)), Some(after @ Value::Array(_))) => {
                    first_difference(before, after)
                }
                (Some(before), Some(after)) => (before != after).then(|| format!("changes {key}")),
                (Some(_), None) => Some(format!("removes {key}")),
                (None, _) => Some(format!("adds {key}")),
            })
        }
        (Value::Array(before), Value::Array(after)) => {
            let lost = before.iter().find(|item| !after.contains(item));
            let brief = |item: &Value| match item {
                Value::String(text) if text.starts_with("--") => {
                    text.split('=').next().unwrap_or_default().to_owned()
                }
                Value::String(_) => "a word of the command".to_owned(),
                item => [word(item, "mountPath"), word(item, "name")]
                    .into_iter()
                    .find(|word| !word.is_empty())
                    .unwrap_or("an item")
                    .to_owned(),
            };
            let added = after.iter().find(|item| !before.contains(item));
            Some(match (lost, added) {
                (Some(lost), _) => format!("changes {}", brief(lost)),
                (None, Some(added)) => format!("adds {}", brief(added)),
                (None, None) => "changes how often an item is there".to_owned(),
            })
        }
        _ => Some("changes a value".to_owned()),
    }
}

/// The path of the mount that an edit of the pod would change.
fn changed_mount(pod: &Value, edited: &str) -> String {
    let documents = crate::yaml::parse(edited).unwrap_or_default();
    let edited = documents.first().map(|document| value_of(&document.root, None)).unwrap_or_default();
    let volume = |pod: &Value, name: &str| {
        list(pod, "/spec/volumes").iter().find(|volume| word(volume, "name") == name).cloned()
    };
    let mounts = |pod: &Value| {
        let containers = list(pod, "/spec/containers").iter();
        containers.flat_map(|container| list(container, "/volumeMounts").to_vec()).collect::<Vec<_>>()
    };
    let had: Vec<_> = mounts(pod).into_iter().map(|mount| (volume(pod, word(&mount, "name")), mount)).collect();
    let has = mounts(&edited).into_iter().map(|mount| (volume(&edited, word(&mount, "name")), mount));
    let changed = has.into_iter().find(|mount| !had.contains(mount));
    changed.map_or_else(|| "the log directory".to_owned(), |(_, mount)| word(&mount, "mountPath").to_owned())
}

/// The smallest part of a patch without which the manifest is right.
fn blame(part: &Node, is_right_without: &dyn Fn(&[usize]) -> bool) -> Position {
    let (mut node, mut position, mut place) = (part, part.position, Vec::new());
    loop {
        let children: Vec<(Position, &Node)> = match (node.items(), node.pairs()) {
            (Some(items), _) => items.iter().map(|item| (item.position, item)).collect(),
            (_, Some(pairs)) => pairs.iter().map(|(key, value)| (key.position, value)).collect(),
            _ => Vec::new(),
        };
        let found = children
            .iter()
            .take(MAX_CHILDREN)
            .enumerate()
            .find(|(index, _)| is_right_without(&[&place[..], &[*index]].concat()));
        let Some((index, (at, child))) = found else { return position };
        (node, position) = (child, *at);
        place.push(index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Existing};
    use crate::facts::file::Files;
    use crate::wiring::{kubeadm, patch};

    const CLUSTER: &str = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";

    /// What is said of patches, each a name and a text: the manifest, or the fault and its place.
    fn judged(patches: &[(&str, &str)], existing: Existing, minor: u32, by_patch: bool) -> Result<Made, String> {
        let (config, version) = (Config { existing, ..Config::default() }, Some(Version::new(minor)));
        let (wanted, files) = (
            Wanted::of(&config, &Files::new()),
            super::super::file::read(patches.iter().copied(), version).unwrap(),
        );
        let after =
            kubeadm::wire(CLUSTER, &kubeadm::read(CLUSTER, "", kubeadm::Reader::Init).unwrap(), &wanted, version)
                .unwrap()
                .text;
        let ours = patch::patch(&config, version, &Files::new()).unwrap();
        let base =
            if by_patch { Base::Patch(&ours) } else { Base::Configuration { before: CLUSTER, after: &after } };
        check(&Patched { base, files: &files, wanted: &wanted, version, certificates: &[] })
            .map(|made| made.expect("the manifest without patches is right"))
            .map_err(|(path, refusal)| format!("{path}:{refusal}"))
    }

    #[test]
    fn a_patch_with_which_the_api_server_would_not_audit_is_found() {
        let (strategic, merge, json) =
            ("kube-apiserver.yaml", "kube-apiserver+merge.yaml", "kube-apiserver+json.yaml");
        for (name, text, fault) in [
            // Another command.
            (
                strategic,
                "spec: {containers: [{name: kube-apiserver, command: [kube-apiserver, --v=2]}]}\n",
                "1:44: with this patch, the API server has no --audit-",
            ),
            (
                strategic,
                "spec:\n  containers:\n  - name: kube-apiserver\n    command:\n    - kube-apiserver\n",
                "4:5: ",
            ),
            (strategic, "spec: {containers: [{name: kube-apiserver, $patch: delete}]}\n", "1:"),
            (strategic, "spec: {containers: [{$patch: replace}]}\n", "1:"),
            (
                strategic,
                "spec: {containers: [{name: kube-apiserver, args: [--audit-log-maxage=1]}]}\n",
                "1:51: with this patch, the API server has --audit-log-maxage=1, and the audit settings say 30",
            ),
            (
                strategic,
                "spec: {containers: [{name: kube-apiserver, $deleteFromPrimitiveList/command: [--audit-log-path=/var/log/kubernetes/audit/audit.log]}]}\n",
                "1:",
            ),
            (json, "- {op: replace, path: /spec/containers/0/command, value: [kube-apiserver]}\n", "1:3: "),
            (
                json,
                "- {op: add, path: /metadata/labels/a, value: b}\n- {op: add, path: /spec/containers/0/command/-, value: --audit_log_path=/x}\n",
                "2:3: with this patch, the API server has --audit-log-path=/x, ",
            ),
            (json, "- {op: remove, path: /spec/containers/0/command}\n", "1:3: "),
            // Volumes and mounts.
            (
                json,
                "- {op: add, path: /spec/volumes/-, value: {name: audit-log, emptyDir: {}}}\n",
                "1:3: with this patch, the kubelet refuses the API server's pod: volumes: two have the name \"audit-log\"; rename",
            ),
            (
                json,
                "- {op: add, path: /spec/volumes/-, value: {name: x, hostPath: {path: /x}}}\n- {op: add, path: /spec/containers/0/volumeMounts/-, value: {name: x, mountPath: /var/log/kubernetes/audit/}}\n",
                "2:3: with this patch, the API server can't audit: /var/log/kubernetes/audit is mounted twice",
            ),
            (
                json,
                "- {op: replace, path: /spec/containers/0/command/0, value: --a=b}\n",
                "1:3: with this patch, the API server can't audit: no container starts kube-apiserver",
            ),
            (json, "- {op: remove, path: /spec/volumes/0}\n", "1:3: "),
            (json, "- {op: move, from: /spec/volumes, path: /x}\n", "1:3: "),
            (
                strategic,
                "spec: {volumes: [{name: audit, emptyDir: {}}]}\n",
                "1:32: with this patch, the kubelet refuses the API server's pod: this can't have both emptyDir and hostPath; remove one of them; or",
            ),
            (
                strategic,
                "spec: {volumes: [{name: audit-log, hostPath: {path: /x}}]}\n",
                "1:47: with this patch, /var/log/kubernetes/audit is not mounted as",
            ),
            (
                strategic,
                "spec: {containers: [{name: kube-apiserver, volumeMounts: [{mountPath: /var/log/kubernetes/audit, readOnly: true}]}]}\n",
                "1:98: with this patch, /var/log/kubernetes/audit is not mounted as",
            ),
            (strategic, "spec: {volumes: null}\n", "1:8: "),
            (merge, "spec: {volumes: []}\n", "1:8: "),
            (merge, "spec:\n", "1:1: "),
            (merge, "spec: {containers: [{name: kube-apiserver, command: [kube-apiserver]}]}\n", "1:8: "),
            // A mount in which no mount point can be made.
            (
                strategic,
                "spec: {containers: [{name: kube-apiserver, volumeMounts: [{mountPath: /etc/kubernetes, name: x, readOnly: true}]}], volumes: [{name: x, hostPath: {path: /data}}]}\n",
                "1:97: with this patch, /etc/kubernetes/audit-policy.yaml needs its own mount below /etc/kubernetes, but",
            ),
            (
                json,
                "- {op: add, path: /spec/volumes/-, value: {name: x, emptyDir: {}}}\n- {op: add, path: /spec/containers/0/volumeMounts/-, value: {name: x, mountPath: /var/log, readOnly: true}}\n",
                "2:3: with this patch, /var/log/kubernetes/audit needs its own mount below /var/log, but",
            ),
            // Users that no one knows.
            (
                strategic,
                "spec: {securityContext: {runAsUser: 010x}}\n",
                "1:26: with this patch, the API server can't audit: runAsUser must be a plain decimal number",
            ),
            // kubeadm stops.
            (
                json,
                "- {op: remove, path: /spec/volumes/99}\n",
                "1:3: kubeadm can't apply this patch: \"99\" names no item of a list with the items 0 to ",
            ),
            (
                json,
                "- {op: add, path: /spec/containers/0/command/99, value: --v=7}\n",
                "1:3: kubeadm can't apply this patch: \"99\" names no item of a list with the items 0 to ",
            ),
            (
                json,
                "- {op: add, path: /spec/containers/1/command/-, value: --v=7}\n",
                "1:3: kubeadm can't apply this patch: in \"/spec/containers/1/command/-\", \"1\" names no item of a list that has only the item 0",
            ),
            (strategic, "spec: {volumes: [{emptyDir: {}}]}\n", "1:1: kubeadm can't apply this patch: "),
            (json, "a: 1\n", "1:1: kubeadm can't apply this patch: "),
            (
                json,
                "- {op: test, path: /metadata/name, value: other}\n",
                "1:3: kubeadm can't apply this patch: its test fails",
            ),
            (
                json,
                "- {op: test, path: /spec/containers/0/command/0, value: sh}\n",
                "1:3: kubeadm can't apply this patch: its test fails",
            ),
            (
                json,
                "- {op: test, path: /spec/volumes, value: []}\n",
                "1:3: kubeadm can't apply this patch: its test fails",
            ),
            (
                merge,
                "spec: {containers: []}\n",
                "1:8: with this patch, the API server can't audit: no container of this pod runs kube-apiserver; correct the patch",
            ),
        ] {
            for minor in [26, 31, 37] {
                let found = judged(&[("/p/other.yaml", "x"), (name, text)], Existing::Replace, minor, false);
                let found = found.map_or_else(|why| why, |_| "right".to_owned());
                assert!(found.starts_with(&format!("{name}:{fault}")), "1.{minor} {text}: {found}");
            }
        }
    }

    #[test]
    fn a_patch_of_anything_else_is_right() {
        let (strategic, merge, json) =
            ("kube-apiserver.yaml", "kube-apiserver+merge.yaml", "kube-apiserver+json.yaml");
        for (name, text) in [
            (
                strategic,
                "spec: {containers: [{name: kube-apiserver, resources: {limits: {memory: 2Gi}}}], priority: 1}\n",
            ),
            (
                strategic,
                "spec: {containers: [{name: audit, command: [a], image: x}], volumes: [{name: x, emptyDir: {}}]}\n",
            ),
            (strategic, "metadata: {labels: {name: audit, audit: audit-log}}\nx: --audits=1\n"),
            (
                strategic,
                "apiVersion: v1\nkind: Pod\nmetadata: {name: kube-apiserver, annotations: {a: --audit-log-path=/x}}\n---\n# nothing\n",
            ),
            (
                strategic,
                "spec: {containers: [{name: kube-apiserver, volumeMounts: [{mountPath: /x, name: k8s-certs}], args: [--v=2]}]}\n",
            ),
            (merge, "spec: {priority: 1, dnsPolicy: Default}\n"),
            // Of the same place, or writable: the container runtime finds or makes the mount point.
            (
                strategic,
                "spec: {containers: [{name: kube-apiserver, volumeMounts: [{mountPath: /etc/kubernetes, name: x, readOnly: true}, {mountPath: /var/log, name: z}]}], volumes: [{name: x, hostPath: {path: /etc/kubernetes}}, {name: z, emptyDir: {}}]}\n",
            ),
            (
                json,
                "- {op: add, path: /spec/containers/0/command/-, value: --v=2}\n- {op: test, path: /metadata/name, value: kube-apiserver}\n",
            ),
            (json, "- {op: add, path: /spec/containers/0/livenessProbe/initialDelaySeconds, value: 2}\n"),
            // kubeadm writes an empty word for it.
            (json, "- {op: copy, from: /metadata/labels/none, path: /spec/containers/0/command/-}\n"),
            // Only kubeadm knows whether it has this.
            (json, "- {op: remove, path: /spec/containers/0/env/0}\n"),
            (json, "- {op: replace, path: /spec/containers/0/command/1, value: --advertise-address=10.0.0.1}\n"),
            (json, "- {op: move, from: /spec/volumes/-1, path: /spec/volumes/0}\n"),
            // Its value is only known when kubeadm runs.
            (json, "- {op: test, path: /spec/containers/0/command/1, value: --advertise-address=10.0.0.1}\n"),
            (json, "- {op: test, path: /spec/containers/0/image, value: mirror/kube-apiserver}\n"),
        ] {
            for (minor, by_patch) in [(26, false), (31, false), (37, false), (37, true)] {
                let found = judged(&[(name, text)], Existing::Replace, minor, by_patch);
                assert_eq!(
                    found.map(|made| made.run_as).map_err(|why| format!("{minor} {text}: {why}")),
                    Ok(RunAs::default())
                );
            }
        }
    }

    #[test]
    fn an_index_that_would_mean_another_item_is_found() {
        let patch = "- {op: replace, path: /spec/containers/0/command/5, value: --enable-admission-plugins=A}\n";
        // From 1.36 on, the settings come last. Before, they are sorted in.
        let judge = |minor, by_patch| {
            let name = "kube-apiserver+json.yaml";
            judged(&[(name, patch)], Existing::Replace, minor, by_patch).map(|_| ()).map_err(|why| why.len() > 80)
        };
        assert_eq!([judge(37, false), judge(31, false), judge(31, true)], [Ok(()), Err(true), Ok(())]);
        let found = judged(
            &[("kube-apiserver+json.yaml", "- {op: remove, path: /spec/containers/0/volumeMounts/-1}\n")],
            Existing::Replace,
            37,
            true,
        );
        assert!(found.unwrap_err().contains("/var/log/kubernetes/audit"));
        let shifted = judged(
            &[(
                "kube-apiserver+json.yaml",
                "- {op: replace, path: /spec/containers/0/volumeMounts/1/readOnly, value: false}\n",
            )],
            Existing::Keep,
            37,
            false,
        );
        assert!(shifted.unwrap_err().contains("names an item of a list by its number"));
    }

    #[test]
    fn later_patches_can_put_right_what_earlier_ones_break() {
        let broken = ("kube-apiserver0.yaml", "spec: {volumes: [{name: audit-log, hostPath: {path: /x}}]}\n");
        let right = (
            "kube-apiserver1.yaml",
            "spec: {volumes: [{name: audit-log, hostPath: {path: /var/log/kubernetes/audit}}]}\n",
        );
        let judge = |patches: &[(&str, &str)]| judged(patches, Existing::Replace, 37, false).map(|_| ());
        assert_eq!(judge(&[broken, right]), Ok(()));
        assert!(judge(&[right, broken]).unwrap_err().starts_with("kube-apiserver0.yaml:1:47: "));
    }

    #[test]
    fn a_number_that_hits_a_flag_of_the_settings_is_the_reason() {
        let patch = "- {op: replace, path: /spec/containers/0/command/3, value: --v=7}\n";
        let found = judged(&[("kube-apiserver+json.yaml", patch)], Existing::Replace, 31, false).unwrap_err();
        assert!(found.contains("1:3: with the audit settings, this patch takes --audit-"), "{found}");
        // The whole list is no item of one.
        let patch = "- {op: replace, path: /spec/containers/0/command, value: [kube-apiserver]}\n";
        let found = judged(&[("kube-apiserver+json.yaml", patch)], Existing::Replace, 31, false).unwrap_err();
        assert!(found.contains("remove the list of flags from the patch"), "{found}");
    }

    #[test]
    fn a_path_of_a_patch_that_is_kept_needs_its_mount() {
        let patch = "- {op: add, path: /spec/containers/0/command/-, value: --audit-log-path=/var/log/x/y.log}\n";
        for (existing, fault) in [
            (
                Existing::Replace,
                "has --audit-log-path=/var/log/x/y.log, and the audit settings say /var/log/kubernetes",
            ),
            (Existing::Keep, "/var/log/x is not mounted as the audit settings need it"),
        ] {
            let found = judged(&[("kube-apiserver+json.yaml", patch)], existing, 37, false).unwrap_err();
            assert!(found.contains(fault), "{existing:?}: {found}");
        }
    }

    #[test]
    fn what_patches_say_counts_where_existing_settings_stay() {
        let patch = "- {op: add, path: /spec/containers/0/command/-, value: --audit-log-maxage=7}\n\
                     - {op: add, path: /spec/securityContext/runAsUser, value: 1001}\n";
        let made = judged(&[("kube-apiserver+json.yaml", patch)], Existing::Keep, 37, false).unwrap();
        assert_eq!(made.wired.flags["audit-log-maxage"], "7");
        assert_eq!(made.run_as, RunAs { user: Some(1001), group: None });
    }

    #[test]
    fn patches_cannot_grow_without_end() {
        let doubling =
            "- {op: copy, from: /spec, path: /spec/x}\n- {op: copy, from: /spec, path: /spec/y}\n".repeat(40);
        let found = judged(&[("kube-apiserver+json.yaml", &doubling)], Existing::Replace, 37, false);
        let found = found.unwrap_err();
        assert!(found.contains("becomes too large"), "{found}");
        let many = "- {op: test, path: /x}\n".repeat(MAX_PARTS + 1);
        let found = judged(&[("kube-apiserver+json.yaml", &many)], Existing::Replace, 37, false);
        assert!(found.unwrap_err().contains("too many to check"));
    }

    #[test]
    fn what_cannot_be_judged_and_what_differs_is_told_in_words_without_secrets() {
        let wanted = Wanted::of(&Config::default(), &Files::new());
        let patch = [("kube-apiserver+json.yaml", "- {op: remove, path: /spec/containers/0/command/1}\n")];
        let files = super::super::file::read(patch.into_iter(), None).unwrap();
        let flag = format!("{CLUSTER}apiServer: {{extraArgs: [{{name: audit-log-maxage, value: \"1\"}}]}}\n");
        for (text, words) in [
            (CLUSTER, "without the patches, the API server has no --audit-policy-file"),
            (&flag, "without the patches, the API server has "),
        ] {
            let base = Base::Configuration { before: text, after: text };
            let version = Some(Version::new(31));
            let patched = Patched { base, files: &files, wanted: &wanted, version, certificates: &[] };
            let why = check(&patched).unwrap().err().unwrap();
            assert!(why.starts_with(words), "{why}");
        }
        let pod = |word: &str, value: &str| serde_json::json!({"command": ["kube-apiserver", word], "env": [{"name": "A", "value": value}], "port": value});
        let old = pod("--oidc-client-secret=hidden1", "hidden2");
        for (one, other, expected) in [
            (&old, &pod("--oidc-client-secret=hidden3", "hidden2"), "changes --oidc-client-secret"),
            (&old, &pod("--oidc-client-secret=hidden1", "hidden4"), "changes A"),
            (&serde_json::json!({"port": "hidden5"}), &serde_json::json!({"port": 1}), "changes port"),
            (
                &serde_json::json!(["kube-apiserver --token=hidden6"]),
                &serde_json::json!([]),
                "changes a word of the command",
            ),
        ] {
            assert_eq!(first_difference(one, other).as_deref(), Some(expected));
        }
    }
}
