//! Whether the kubelet runs the pod of a static pod manifest, by the kubelet's own rules
//! (`pkg/kubelet/config/common.go`, `pkg/apis/core/validation/validation.go`, as of 1.37). The kubelet only logs what it
//! refuses, and runs nothing.
//!
//! These rules know every field of a pod and its type, and the rules about names, volumes, mounts, containers, probes,
//! ports and users. They don't know those of affinity and topology, of sizes of resources, of Windows, and of volumes
//! that a static pod cannot have.

use std::collections::BTreeMap;

use super::settings::Refusal;
use crate::audit::version::Version;
use crate::yaml::scalar::{Type, resolve};
use crate::yaml::{Node, NodeKind, Position, is_json};

/// The fields of a pod: the name of a type, and below it its fields, each with what it takes. `vm-tests/oracle/kubelet`
/// prints them from the types of Kubernetes.
const FIELDS: &str = include_str!("pod-fields.txt");

/// Words that a field takes. An empty word is left out by the kubelet if `true`.
const WORDS: &[(&str, &str, bool, &[&str])] = &[
    ("PodSpec", "restartPolicy", true, &["Always", "OnFailure", "Never"]),
    ("PodSpec", "dnsPolicy", true, &["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]),
    ("PodSpec", "preemptionPolicy", false, &["PreemptLowerPriority", "Never"]),
    ("Container", "imagePullPolicy", true, &["Always", "IfNotPresent", "Never"]),
    ("Container", "terminationMessagePolicy", true, &["File", "FallbackToLogsOnError"]),
    ("ContainerPort", "protocol", true, &["TCP", "UDP", "SCTP"]),
    ("HTTPGetAction", "scheme", true, &["HTTP", "HTTPS"]),
    (
        "HostPathVolumeSource",
        "type",
        true,
        &["DirectoryOrCreate", "Directory", "FileOrCreate", "File", "Socket", "CharDevice", "BlockDevice"],
    ),
    ("VolumeMount", "mountPropagation", false, &["None", "HostToContainer", "Bidirectional"]),
    ("VolumeMount", "recursiveReadOnly", false, &["Disabled", "IfPossible", "Enabled"]),
    ("SeccompProfile", "type", false, &["RuntimeDefault", "Localhost", "Unconfined"]),
    ("AppArmorProfile", "type", false, &["RuntimeDefault", "Localhost", "Unconfined"]),
    ("Toleration", "effect", true, &["NoSchedule", "PreferNoSchedule", "NoExecute"]),
    ("SecurityContext", "procMount", false, &["Default", "Unmasked"]),
    ("PodSecurityContext", "fsGroupChangePolicy", false, &["OnRootMismatch", "Always"]),
];

/// The smallest and the largest number of a field.
const NUMBERS: &[(&str, &str, i64, i64)] = &[
    ("ContainerPort", "containerPort", 1, 65535),
    ("ContainerPort", "hostPort", 0, 65535),
    ("GRPCAction", "port", 1, 65535),
    ("Probe", "initialDelaySeconds", 0, MAX),
    ("Probe", "timeoutSeconds", 0, MAX),
    ("Probe", "periodSeconds", 0, MAX),
    ("Probe", "successThreshold", 0, MAX),
    ("Probe", "failureThreshold", 0, MAX),
    ("Probe", "terminationGracePeriodSeconds", 1, i64::MAX),
    ("PodSpec", "activeDeadlineSeconds", 1, MAX),
    ("PodSpec", "terminationGracePeriodSeconds", 0, i64::MAX),
    ("SecurityContext", "runAsUser", 0, MAX),
    ("SecurityContext", "runAsGroup", 0, MAX),
    ("PodSecurityContext", "runAsUser", 0, MAX),
    ("PodSecurityContext", "runAsGroup", 0, MAX),
    ("PodSecurityContext", "fsGroup", 0, MAX),
];

const MAX: i64 = i32::MAX as i64;

/// Fields that must be there, and not be empty.
const REQUIRED: &[(&str, &str)] = &[
    ("Container", "name"),
    ("Container", "image"),
    ("Volume", "name"),
    ("VolumeMount", "name"),
    ("VolumeMount", "mountPath"),
    ("HostPathVolumeSource", "path"),
    ("EnvVar", "name"),
    ("ContainerPort", "containerPort"),
    ("HTTPGetAction", "port"),
    ("TCPSocketAction", "port"),
    ("GRPCAction", "port"),
    ("ExecAction", "command"),
    ("SeccompProfile", "type"),
    ("AppArmorProfile", "type"),
    ("PodOS", "name"),
];

/// Volumes that a static pod cannot have, because their content comes from the API. The kubelet refuses them since
/// 1.34; a kubelet can be three minors older than the API server.
const OF_THE_API: &[&str] =
    &["configMap", "secret", "csi", "glusterfs", "persistentVolumeClaim", "ephemeral", "azureFile"];
const REFUSES_API: Version = Version::new(37);

type Check = Result<(), Refusal>;

fn refuse(position: Position, reason: impl std::fmt::Display) -> Check {
    Err(Refusal::new(position, format!("the kubelet refuses this manifest: {reason}")))
}

/// Checks that the kubelet runs the pod of a manifest. Like the kubelet, it reads only the first document. `version`: of
/// the API server.
///
/// # Errors
///
/// The kubelet refuses the manifest: the position, why, and what to do.
pub fn check(text: &str, version: Option<Version>) -> Check {
    if is_json(text)
        && let Err(fault) = serde_json::from_str::<serde::de::IgnoredAny>(text)
    {
        let position = Position { line: fault.line().max(1), column: fault.column().max(1) };
        return refuse(
            position,
            "it reads a text that begins with { as JSON, and here it stops to be JSON; put a line --- before the text",
        );
    }
    let documents = crate::yaml::parse(text)?;
    let Some(document) = documents.first() else { return Ok(()) };
    let root = &document.root;
    can_be_json(root)?;
    of_type("Pod", root, "the manifest")?;
    let missing = empty(root);
    metadata(root.get("metadata").filter(|node| !node.is_null()).unwrap_or(&missing))?;
    let spec = root.get("spec").filter(|node| !node.is_null()).unwrap_or(&missing);
    pod_spec(spec)?;
    if version.is_some_and(|version| version >= REFUSES_API) { no_references(spec) } else { Ok(()) }
}

/// An empty mapping in the place of a node.
fn empty(node: &Node) -> Node {
    Node { kind: NodeKind::Mapping { pairs: Vec::new(), flow: true }, tag: None, ..node.clone() }
}

/// The kubelet makes JSON of the YAML. A few values have no form there.
fn can_be_json(node: &Node) -> Check {
    for item in node.items().unwrap_or_default() {
        can_be_json(item)?;
    }
    for (key, value) in node.pairs().unwrap_or_default() {
        if matches!(resolve(key), Type::Null | Type::Collection) {
            return refuse(key.position, "a key must be a word; put it in quotes");
        }
        can_be_json(value)?;
    }
    let is_infinite = |text: &str| text.ends_with(['f', 'F', 'n', 'N']);
    if resolve(node) == Type::Float && node.scalar().is_some_and(is_infinite) {
        return refuse(node.position, "this number has no form in JSON; put it in quotes if it is a string");
    }
    Ok(())
}

/// The fields of a type, each with what it takes.
fn fields_of(name: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let mut lines = FIELDS.lines().skip_while({
        let name = name.to_owned();
        move |line| *line != name
    });
    lines.next();
    lines.map_while(|line| line.strip_prefix(' ')?.split_once(' '))
}

/// The field of a mapping; `None` if it is missing or null.
fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    node.get(name).filter(|node| !node.is_null())
}

/// The text of a field; empty if it is missing.
fn word<'n>(node: &'n Node, name: &str) -> &'n str {
    field(node, name).and_then(Node::scalar).unwrap_or_default()
}

fn items<'n>(node: &'n Node, name: &str) -> &'n [Node] {
    field(node, name).and_then(Node::items).unwrap_or_default()
}

/// Checks that a value has a type, and so on to its end. Null is a value of every type.
fn of_type(kind: &str, node: &Node, name: &str) -> Check {
    let wrong = |expected: &str| {
        let quotes = if expected == "a string" { "; put it in quotes" } else { "; correct it" };
        refuse(node.position, format!("{name} must be {expected}, and this is {}{quotes}", resolve(node).name()))
    };
    if node.is_null() {
        return Ok(());
    }
    if let Some(kind) = kind.strip_prefix("list ") {
        let Some(items) = node.items() else { return wrong("a list") };
        // A null in a list counts as an item without fields.
        let is_empty = |item: &Node| item.is_null() && fields_of(kind).next().is_some();
        return items.iter().try_for_each(|item| match is_empty(item) {
            true => of_type(kind, &empty(item), name),
            false => of_type(kind, item, name),
        });
    }
    if let Some(kind) = kind.strip_prefix("map ") {
        if node.pairs().is_none() {
            return wrong("a mapping");
        }
        return node.entries().into_iter().try_for_each(|(_, value)| of_type(kind, value, name));
    }
    let found = resolve(node);
    match kind {
        "string" if found != Type::Str => wrong("a string"),
        "time" if found != Type::Str || !is_time(node.scalar().unwrap_or_default()) => {
            wrong("a time such as 2026-01-31T12:00:00Z")
        }
        "bool" if !matches!(found, Type::Bool(_)) => wrong("true or false"),
        "int32" if !is_number(node, i64::from(i32::MIN), i64::from(i32::MAX)) => wrong("a whole number"),
        "int64" if !is_number(node, i64::MIN, i64::MAX) => wrong("a whole number"),
        "int-or-string" if found != Type::Str && !is_number(node, i64::from(i32::MIN), i64::from(i32::MAX)) => {
            wrong("a whole number or a string")
        }
        "quantity" if !is_quantity(node) => wrong("a quantity such as 100m or 1Gi"),
        "string" | "time" | "bool" | "int32" | "int64" | "int-or-string" | "quantity" => Ok(()),
        _ if node.pairs().is_none() => wrong("a mapping"),
        _ => {
            for (key, value) in node.entries() {
                let name = key.scalar().unwrap_or_default();
                if let Some((_, of)) = fields_of(kind).find(|(known, _)| *known == name) {
                    of_type(of, value, name)?;
                }
            }
            of_fields(kind, node)
        }
    }
}

/// Go reads `0x10` and `1e3`, too.
fn number(node: &Node) -> Option<i64> {
    let text = node.scalar()?.replace('_', "");
    match resolve(node) {
        Type::Int => crate::audit::flags::integer(&text),
        // The largest number that JSON writes without an exponent.
        Type::Float => text.parse::<f64>().ok().filter(|n| n.fract() == 0.0 && n.abs() < 1e21).map(|n| n as i64),
        _ => None,
    }
}

fn is_number(node: &Node, least: i64, most: i64) -> bool {
    number(node).is_some_and(|number| (least..=most).contains(&number))
}

/// A time as RFC 3339 writes it.
fn is_time(text: &str) -> bool {
    let (seconds, rest) = text.split_at_checked(19).unwrap_or_default();
    let fits = |text: &str, form: &str| {
        text.len() == form.len()
            && text
                .bytes()
                .zip(form.bytes())
                .all(|(byte, form)| if form == b'0' { byte.is_ascii_digit() } else { byte == form })
    };
    let number = |at: usize| seconds.get(at..at + 2).and_then(|text| text.parse::<u32>().ok()).unwrap_or(99);
    let zone = match rest.strip_prefix(['.', ',']) {
        Some(fraction) if fraction.starts_with(|c: char| c.is_ascii_digit()) => {
            fraction.trim_start_matches(|c: char| c.is_ascii_digit())
        }
        _ => rest,
    };
    fits(seconds, "0000-00-00T00:00:00")
        && (1..=12).contains(&number(5))
        && (1..=31).contains(&number(8))
        && number(11) < 24
        && number(14) < 60
        && number(17) < 60
        && (zone == "Z" || fits(zone, "+00:00") || fits(zone, "-00:00"))
}

/// A quantity (`k8s.io/apimachinery/pkg/api/resource`): a number with a sign, a fraction, and a unit or an exponent.
fn is_quantity(node: &Node) -> bool {
    let text = match resolve(node) {
        Type::Int | Type::Float => return node.scalar().is_some_and(|text| !text.contains(['n', 'N', 'i', 'I'])),
        Type::Str => node.scalar().unwrap_or_default(),
        _ => return false,
    };
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(digits.len());
    let (digits, unit) = digits.split_at(end);
    let exponent = unit.strip_prefix(['e', 'E']).map(|rest| rest.strip_prefix(['+', '-']).unwrap_or(rest));
    let is_exponent =
        exponent.is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|digit| digit.is_ascii_digit()));
    let units =
        ["", "n", "u", "m", "k", "M", "G", "T", "P", "E", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei"].contains(&unit);
    digits.matches('.').count() <= 1 && digits.len() > digits.matches('.').count() && (units || is_exponent)
}

/// The rules about single fields, and those of the types that are alike wherever they are.
fn of_fields(kind: &str, node: &Node) -> Check {
    for (_, name) in REQUIRED.iter().filter(|(of, _)| *of == kind) {
        let found = field(node, name);
        if found.is_none_or(|node| node.scalar() == Some("") || node.items().is_some_and(<[Node]>::is_empty)) {
            return refuse(found.unwrap_or(node).position, format!("{name} is missing or empty; add it"));
        }
    }
    for (_, name, empty, words) in WORDS.iter().filter(|(of, ..)| *of == kind) {
        if let Some(found) = field(node, name) {
            let word = found.scalar().unwrap_or_default();
            let fits = words.contains(&word) || *empty && word.is_empty();
            if !fits {
                return refuse(found.position, format!("{name} takes one of {}, not {word:?}", words.join(", ")));
            }
        }
    }
    for (_, name, least, most) in NUMBERS.iter().filter(|(of, ..)| *of == kind) {
        if let Some(found) = field(node, name)
            && !is_number(found, *least, *most)
        {
            return refuse(found.position, format!("{name} must be a number from {least} to {most}"));
        }
    }
    match kind {
        "Volume" => volume(node),
        "EmptyDirVolumeSource" => match field(node, "sizeLimit") {
            Some(found) if word(node, "sizeLimit").starts_with('-') && number(found) != Some(0) => {
                refuse(found.position, "sizeLimit must not be negative; correct it")
            }
            _ => Ok(()),
        },
        "HostPathVolumeSource" => no_step_back(node, "path"),
        "VolumeMount" => mount(node),
        "Container" => container(node),
        "Probe" => handler(node),
        "LifecycleHandler" => handler(node),
        "HTTPGetAction" | "TCPSocketAction" => port(node),
        "EnvVar" => env(node),
        _ => Ok(()),
    }
}

fn no_step_back(node: &Node, name: &str) -> Check {
    match field(node, name) {
        Some(found) if word(node, name).split('/').any(|part| part == "..") => {
            refuse(found.position, format!("{name} must not contain ..; write the path without it"))
        }
        _ => Ok(()),
    }
}

/// A label of DNS (RFC 1123), of which a name is made.
fn is_label(text: &str) -> bool {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= 63
        && is_edge(text.chars().next())
        && is_edge(text.chars().last())
        && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// A name of DNS: labels with dots between them, of any length.
fn is_subdomain(text: &str) -> bool {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    text.len() <= 253
        && text.split('.').all(|part| {
            is_edge(part.chars().next())
                && is_edge(part.chars().last())
                && part.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        })
}

fn label(node: &Node, name: &str) -> Check {
    match field(node, name) {
        Some(found) if !word(node, name).is_empty() && !is_label(word(node, name)) => refuse(
            found.position,
            format!(
                "{name} {:?} must be at most 63 lower-case letters, digits and dashes, without a dash at an end; rename it",
                word(node, name)
            ),
        ),
        _ => Ok(()),
    }
}

/// The part of a label's or an annotation's key behind its prefix, and the value of a label.
fn is_qualified(text: &str) -> bool {
    let is_edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_alphanumeric());
    text.len() <= 63
        && is_edge(text.chars().next())
        && is_edge(text.chars().last())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
}

fn metadata(node: &Node) -> Check {
    if word(node, "name").is_empty() {
        let position = field(node, "name").unwrap_or(node).position;
        return refuse(position, "the pod has no metadata.name; add name: kube-apiserver");
    }
    let name = word(node, "name");
    // The kubelet adds a dash and the name of the node.
    if let Some(found) = field(node, "name").filter(|_| !is_subdomain(&format!("{name}-node"))) {
        return refuse(
            found.position,
            format!("metadata.name {name:?} must be lower-case letters, digits, dashes and dots; rename the pod"),
        );
    }
    label(node, "namespace")?;
    for map in ["labels", "annotations"] {
        for (key, value) in field(node, map).map(Node::entries).unwrap_or_default() {
            let name = key.scalar().unwrap_or_default();
            let (prefix, rest) = name.split_once('/').map_or((None, name), |(prefix, rest)| (Some(prefix), rest));
            let prefix =
                prefix.map(str::to_ascii_lowercase).filter(|_| map == "annotations").or(prefix.map(str::to_owned));
            let lower = if map == "annotations" { rest.to_ascii_lowercase() } else { rest.to_owned() };
            if !is_qualified(&lower) || prefix.is_some_and(|prefix| !is_subdomain(&prefix)) {
                return refuse(key.position, format!("{name:?} is no key of {map}; rename or remove it"));
            }
            let text = value.scalar().filter(|_| !value.is_null()).unwrap_or_default();
            if map == "labels" && !text.is_empty() && !is_qualified(text) {
                return refuse(
                    value.position,
                    format!(
                        "a label's value must be at most 63 letters, digits, -, _ and ., not {text:?}; shorten it"
                    ),
                );
            }
        }
    }
    Ok(())
}

/// The fields of a volume that name a source.
fn sources(node: &Node) -> Vec<(&str, &Node)> {
    let known = |name: &str| name != "name" && fields_of("Volume").any(|(known, _)| known == name);
    let entries = node.entries().into_iter().filter(|(_, value)| !value.is_null());
    entries.filter_map(|(key, value)| Some((key.scalar().filter(|name| known(name))?, value))).collect()
}

fn volume(node: &Node) -> Check {
    label(node, "name")?;
    match sources(node).as_slice() {
        [_, (second, value), ..] => refuse(
            value.position,
            format!("the volume {:?} has two sources; remove {second} or the other one", word(node, "name")),
        ),
        _ => Ok(()),
    }
}

fn mount(node: &Node) -> Check {
    for name in ["subPath", "subPathExpr"] {
        if let Some(found) = field(node, name).filter(|_| word(node, name).starts_with('/')) {
            return refuse(
                found.position,
                format!("{name} must be a path below the volume; remove the slash before it"),
            );
        }
        no_step_back(node, name)?;
    }
    if !word(node, "subPath").is_empty() && !word(node, "subPathExpr").is_empty() {
        return refuse(node.position, "a mount has a subPath and a subPathExpr; remove one of them");
    }
    let Some(recursive) =
        field(node, "recursiveReadOnly").filter(|_| word(node, "recursiveReadOnly") != "Disabled")
    else {
        return Ok(());
    };
    if !field(node, "readOnly").is_some_and(|node| resolve(node) == Type::Bool(true)) {
        return refuse(
            recursive.position,
            "recursiveReadOnly needs readOnly: true; remove recursiveReadOnly, or make the mount read-only",
        );
    }
    if !["", "None"].contains(&word(node, "mountPropagation")) {
        return refuse(recursive.position, "recursiveReadOnly needs mountPropagation: None; remove one of them");
    }
    Ok(())
}

fn is_true(node: Option<&Node>) -> bool {
    node.is_some_and(|node| resolve(node) == Type::Bool(true))
}

fn container(node: &Node) -> Check {
    label(node, "name")?;
    if let Some(image) = field(node, "image").filter(|_| word(node, "image").trim() != word(node, "image")) {
        return refuse(image.position, "the image has blanks at an end; remove them");
    }
    let mut paths = BTreeMap::new();
    for mount in items(node, "volumeMounts") {
        if let Some(first) = paths.insert(word(mount, "mountPath"), mount.position) {
            return refuse(
                mount.position,
                format!("{:?} is mounted twice, the first time at {first}; remove one", word(mount, "mountPath")),
            );
        }
        let privileged = is_true(node.at(&["securityContext", "privileged"]));
        if word(mount, "mountPropagation") == "Bidirectional" && !privileged {
            return refuse(mount.position, "mountPropagation: Bidirectional needs privileged: true; correct it");
        }
    }
    let security = field(node, "securityContext");
    let of_security = |name: &str| security.and_then(|security| field(security, name));
    if let Some(found) = of_security("allowPrivilegeEscalation").filter(|node| resolve(node) == Type::Bool(false))
        && is_true(of_security("privileged"))
    {
        return refuse(
            found.position,
            "allowPrivilegeEscalation: false does not fit privileged: true; remove one of them",
        );
    }
    for probe in ["livenessProbe", "startupProbe"] {
        if let Some(found) = node.at(&[probe, "successThreshold"])
            && !found.is_null()
            && !is_number(found, 0, 1)
        {
            return refuse(found.position, format!("successThreshold of a {probe} must be 1"));
        }
    }
    ports(node)
}

fn ports(node: &Node) -> Check {
    let mut names = Vec::new();
    for port in items(node, "ports") {
        let name = word(port, "name");
        if let Some(found) = field(port, "name").filter(|_| !name.is_empty()) {
            if !is_port_name(name) {
                return refuse(found.position, format!("{name:?} is no name of a port; rename it"));
            }
            if names.contains(&name) {
                return refuse(found.position, format!("two ports are named {name:?}; rename or remove one"));
            }
            names.push(name);
        }
    }
    Ok(())
}

/// A name of a service (RFC 6335).
fn is_port_name(name: &str) -> bool {
    name.len() <= 15
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && name.bytes().any(|byte| byte.is_ascii_lowercase())
        && !name.contains("--")
        && !name.starts_with('-')
        && !name.ends_with('-')
}

/// A port by its number or its name.
fn port(node: &Node) -> Check {
    let Some(found) = field(node, "port") else { return Ok(()) };
    let fits = match resolve(found) {
        Type::Str => is_port_name(word(node, "port")),
        _ => is_number(found, 1, 65535),
    };
    if fits { Ok(()) } else { refuse(found.position, "port must be a number from 1 to 65535, or a port's name") }
}

/// A probe, or a step of a life cycle, does one thing.
fn handler(node: &Node) -> Check {
    let found: Vec<_> =
        ["exec", "httpGet", "tcpSocket", "grpc", "sleep"].iter().filter_map(|name| field(node, name)).collect();
    match found.as_slice() {
        [] => refuse(node.position, "a probe or a handler has nothing to do; add httpGet, or remove it"),
        [_, second, ..] => {
            refuse(second.position, "a probe or a handler does one thing, and this has two; remove one")
        }
        _ => Ok(()),
    }
}

fn env(node: &Node) -> Check {
    let name = word(node, "name");
    if let Some(found) = field(node, "name").filter(|_| !name.bytes().all(|b| (32..127).contains(&b) && b != b'='))
    {
        return refuse(found.position, format!("{name:?} is no name of a variable; rename it"));
    }
    let Some(from) = field(node, "valueFrom") else { return Ok(()) };
    if !word(node, "value").is_empty() {
        return refuse(from.position, format!("the variable {name:?} has a value and a valueFrom; remove one"));
    }
    let known = |name: &str| fields_of("EnvVarSource").any(|(known, _)| known == name);
    let given =
        from.entries().into_iter().filter(|(key, value)| !value.is_null() && key.scalar().is_some_and(known));
    match given.count() {
        1 => Ok(()),
        _ => refuse(from.position, format!("valueFrom of {name:?} must have one source; correct it")),
    }
}

fn pod_spec(spec: &Node) -> Check {
    let containers = items(spec, "containers");
    if containers.is_empty() {
        return refuse(spec.position, "the pod has no containers; add one that runs kube-apiserver");
    }
    // `validateHostUsers`: a user namespace of its own needs the other namespaces, too.
    if let Some(users) = field(spec, "hostUsers").filter(|users| resolve(users) == Type::Bool(false)) {
        for name in ["hostNetwork", "hostPID", "hostIPC"] {
            if is_true(field(spec, name)) {
                return refuse(
                    users.position,
                    format!("hostUsers can't be false with {name}; remove one of them"),
                );
            }
        }
    }
    if is_true(field(spec, "shareProcessNamespace")) && is_true(field(spec, "hostPID")) {
        let at = field(spec, "shareProcessNamespace").map_or(spec.position, |node| node.position);
        return refuse(at, "shareProcessNamespace can't be true with hostPID; remove one of them");
    }
    let mut volumes = BTreeMap::new();
    for volume in items(spec, "volumes") {
        let name = word(volume, "name");
        if let Some(first) = volumes.insert(name, volume.position) {
            return refuse(
                volume.position,
                format!("two volumes are named {name:?}, the first at {first}; rename or remove one"),
            );
        }
    }
    let mut names = BTreeMap::new();
    for container in containers.iter().chain(items(spec, "initContainers")) {
        let name = word(container, "name");
        if let Some(first) = names.insert(name, container.position) {
            return refuse(
                container.position,
                format!("two containers are named {name:?}, the first at {first}; rename or remove one"),
            );
        }
        for mount in items(container, "volumeMounts") {
            let name = word(mount, "name");
            if !volumes.contains_key(name) {
                return refuse(
                    field(mount, "name").unwrap_or(mount).position,
                    format!(
                        "the pod has no volume {name:?}, which is mounted here; add the volume, or remove the mount"
                    ),
                );
            }
        }
    }
    for (name, what) in [("hostname", "hostname"), ("subdomain", "subdomain")] {
        if field(spec, name).is_some() {
            label(spec, what)?;
        }
    }
    for name in ["priorityClassName", "runtimeClassName"] {
        if let Some(found) =
            field(spec, name).filter(|_| !word(spec, name).is_empty() && !is_subdomain(word(spec, name)))
        {
            return refuse(
                found.position,
                format!("{name} {:?} is no name of an object; correct it", word(spec, name)),
            );
        }
    }
    for name in ["ephemeralContainers", "schedulingGates"] {
        if let Some(found) = field(spec, name).filter(|_| !items(spec, name).is_empty()) {
            return refuse(found.position, format!("a static pod cannot have {name}; remove it"));
        }
    }
    probes_of_init_containers(spec)?;
    host_ports(spec)
}

/// An init container that ends has no probes.
fn probes_of_init_containers(spec: &Node) -> Check {
    for container in items(spec, "initContainers").iter().filter(|one| word(one, "restartPolicy") != "Always") {
        for name in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
            if let Some(found) = field(container, name) {
                let reason =
                    format!("an init container without restartPolicy: Always can have no {name}; remove {name}");
                return refuse(found.position, reason);
            }
        }
    }
    Ok(())
}

/// No two containers have the same port of the host. With hostNetwork, each port is one of the host.
fn host_ports(spec: &Node) -> Check {
    let of_host = is_true(field(spec, "hostNetwork"));
    let mut taken = BTreeMap::new();
    for port in items(spec, "containers").iter().flat_map(|container| items(container, "ports")) {
        let read = |name: &str| field(port, name).and_then(number).filter(|number| *number != 0);
        let Some(number) = read("hostPort").or_else(|| read("containerPort").filter(|_| of_host)) else {
            continue;
        };
        if of_host && read("hostPort").is_some_and(|number| read("containerPort") != Some(number)) {
            return refuse(port.position, "with hostNetwork, hostPort must be containerPort; correct hostPort");
        }
        let protocol = Some(word(port, "protocol")).filter(|word| !word.is_empty()).unwrap_or("TCP");
        if let Some(first) = taken.insert((number, protocol, word(port, "hostIP")), port.position) {
            return refuse(
                port.position,
                format!("the port {number} is there twice, first at {first}; remove one"),
            );
        }
    }
    Ok(())
}

/// A static pod starts without the API, so it can have nothing from there.
fn no_references(spec: &Node) -> Check {
    let no = |node: &Node, what: &str| {
        refuse(node.position, format!("a static pod cannot have {what}; use a hostPath, or remove it"))
    };
    for name in ["serviceAccountName", "serviceAccount"] {
        if let Some(found) = field(spec, name).filter(|_| !word(spec, name).is_empty()) {
            return no(found, "a service account");
        }
    }
    for name in ["imagePullSecrets", "resourceClaims"] {
        if let Some(found) = field(spec, name).filter(|_| !items(spec, name).is_empty()) {
            return no(found, name);
        }
    }
    for volume in items(spec, "volumes") {
        for (name, found) in sources(volume) {
            let is_of_the_node = |source: &Node| {
                let known = |name: &str| fields_of("VolumeProjection").any(|(known, _)| known == name);
                let entries = source.entries().into_iter().filter(|(_, value)| !value.is_null());
                let names: Vec<_> =
                    entries.filter_map(|(key, _)| key.scalar().filter(|name| known(name))).collect();
                names == ["downwardAPI"]
            };
            let of_the_api = name == "projected" && !items(found, "sources").iter().all(is_of_the_node);
            if OF_THE_API.contains(&name) || of_the_api {
                return no(found, &format!("a {name} volume"));
            }
        }
    }
    for container in items(spec, "containers").iter().chain(items(spec, "initContainers")) {
        for from in items(container, "envFrom") {
            if let Some(found) = ["configMapRef", "secretRef"].iter().find_map(|name| field(from, name)) {
                return no(found, "variables of an object");
            }
        }
        for from in items(container, "env").iter().filter_map(|env| field(env, "valueFrom")) {
            if let Some(found) = ["configMapKeyRef", "secretKeyRef"].iter().find_map(|name| field(from, name)) {
                return no(found, "variables of an object");
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POD: &str = "apiVersion: v1
kind: Pod
metadata: {name: kube-apiserver, namespace: kube-system, labels: {tier: control-plane}}
spec:
  containers:
  - {name: kube-apiserver, image: a, volumeMounts: [{name: v, mountPath: /v}]}
  volumes: [{name: v, hostPath: {path: /v}}]
";

    /// The sample with one text in the place of another. A mark in it stands where the refusal must be.
    fn found(from: &str, to: &str) -> (Option<(String, bool)>, String) {
        assert!(POD.contains(from), "{from}");
        let marked = POD.replacen(from, to, 1);
        let text = marked.replace('^', "");
        let refusal = check(&text, Some(REFUSES_API)).err();
        let is_there = |position: Position| {
            let (line, at) = marked
                .lines()
                .enumerate()
                .find_map(|(line, text)| Some((line, text.find('^')?)))
                .unwrap_or_default();
            (position.line, position.column) == (line + 1, at + 1)
        };
        (refusal.map(|refusal| (refusal.reason.clone(), is_there(refusal.position))), text)
    }

    #[test]
    fn what_the_kubelet_refuses_is_refused_where_it_is() {
        for (from, to, reason) in [
            ("volumes: [", "volumes: [{name: v, emptyDir: {}}, ^", "two volumes are named \"v\""),
            ("{name: v, mountPath: /v}", "{name: ^w, mountPath: /v}", "no volume \"w\""),
            ("{name: v, mountPath: /v}", "{name: v, mountPath: /v}, ^{name: v, mountPath: /v}", "mounted twice"),
            ("mountPath: /v}", "mountPath: /v, recursiveReadOnly: ^Enabled}", "needs readOnly: true"),
            ("mountPath: /v}", "mountPath: /v, subPath: ^../x}", "must not contain .."),
            ("mountPath: /v}", "mountPath: /v, subPath: ^/x}", "remove the slash"),
            ("mountPath: /v}", "mountPath: /v, readOnly: ^\"true\"}", "must be true or false"),
            ("mountPath: /v}", "mountPath: ^\"\"}", "mountPath is missing or empty"),
            ("{path: /v}", "{path: /v, type: ^Dir}", "type takes one of"),
            ("{path: /v}", "^{}", "path is missing or empty"),
            ("hostPath: {path: /v}", "hostPath: {path: /v}, emptyDir: ^{}", "two sources"),
            ("hostPath: {path: /v}", "configMap: ^{name: x}", "a static pod cannot have a configMap volume"),
            ("image: a", "image: ^\"\"", "image is missing or empty"),
            ("image: a", "image: ^1", "image must be a string"),
            ("image: a", "image: a, command: [a, ^1]", "command must be a string"),
            ("image: a", "image: a, ports: [{containerPort: ^70000}]", "from 1 to 65535"),
            ("image: a", "image: a, livenessProbe: ^{periodSeconds: 1}", "nothing to do"),
            (
                "  - {name: kube-apiserver",
                "  - {name: kube-apiserver, image: b}\n  - ^{name: kube-apiserver",
                "two containers",
            ),
            (
                "{name: kube-apiserver, image",
                "{name: ^Kube_apiserver, image",
                "must be at most 63 lower-case letters",
            ),
            ("{name: kube-apiserver, namespace", "{name: ^\"\", namespace", "no metadata.name"),
            ("labels: {", "creationTimestamp: ^today, labels: {", "must be a time"),
            ("spec:\n", "status: ^[]\nspec:\n", "status must be a mapping"),
            ("  - {name: kube-apiserver", "  - ^~\n  - {name: kube-apiserver", "name is missing or empty"),
            ("namespace: kube-system", "namespace: ^Kube", "namespace \"Kube\" must be"),
            ("tier: control-plane", "tier: ^control plane", "a label's value"),
            ("tier: control-plane", "tier: ^1", "labels must be a string"),
            ("spec:\n", "spec:\n  hostNetwork: ^yess\n", "hostNetwork must be true or false"),
            ("spec:\n", "spec:\n  serviceAccountName: ^x\n", "a service account"),
            (
                "spec:\n",
                "spec:\n  hostUsers: ^false\n  hostNetwork: true\n",
                "hostUsers can't be false with hostNetwork",
            ),
            (
                "spec:\n",
                "spec:\n  hostPID: true\n  shareProcessNamespace: ^true\n",
                "shareProcessNamespace can't be true with hostPID",
            ),
        ] {
            let (refusal, text) = found(from, to);
            let (found, is_there) = refusal.unwrap_or_default();
            assert!(found.contains(reason) && is_there, "{reason}: {found} {is_there}\n{text}");
        }
        let flow = "{apiVersion: v1, kind: Pod}";
        let refusal = check(flow, None).unwrap_err();
        assert!(refusal.reason.contains("as JSON") && refusal.position.line == 1, "{refusal}");
    }

    #[test]
    fn what_the_kubelet_takes_is_taken() {
        for (from, to) in [
            ("kind: Pod", "kind: Pod"),
            ("namespace: kube-system", "namespace: "),
            ("namespace: kube-system", "namespace: \"\""),
            ("namespace: kube-system", "creationTimestamp: null"),
            ("hostPath: {path: /v}", "hostPath: "),
            ("hostPath: {path: /v}", "emptyDir: {sizeLimit: 1.5Gi}"),
            ("{path: /v}", "{path: /v, type: \"\"}"),
            ("mountPath: /v}", "mountPath: /v, readOnly: yes, recursiveReadOnly: IfPossible}"),
            ("mountPath: /v}", "mountPath: /v, recursiveReadOnly: Disabled, unknown: 1}"),
            ("mountPath: /v}", "mountPath: /v}, {name: v, mountPath: /v/}"),
            ("image: a", "image: a, securityContext: {runAsUser: 0x10}, imagePullPolicy: \"\""),
            ("image: a", "image: a, resources: {requests: {cpu: 1e3, memory: 100Mi}}"),
            ("spec:\n", "spec:\n  hostNetwork: on\n  restartPolicy: ~\n"),
        ] {
            let (refusal, text) = found(from, to);
            assert_eq!(refusal, None, "{text}");
        }
        // An older kubelet may take it.
        let text = POD.replace("hostPath: {path: /v}", "configMap: {name: x}");
        assert_eq!(check(&text, Some(Version::new(33))), Ok(()));
        // The second document is not read.
        assert_eq!(check(&format!("{POD}---\nkind: 1\n"), None), Ok(()));
    }
}
