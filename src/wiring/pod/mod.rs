//! Whether the kubelet runs the pod of a static pod manifest, by the kubelet's own rules
//! (`pkg/kubelet/config/common.go`, `pkg/apis/core/validation/validation.go`, as of 1.37). The kubelet only logs what it
//! refuses, and runs nothing.
//!
//! `tables` has the rules about single fields, `forms` those about texts, and this file those about several fields. What
//! they leave out is listed in `wiring::differential`.

use std::collections::BTreeMap;

mod forms;
mod tables;

use super::settings::Refusal;
use crate::audit::version::Version;
use crate::quantity::thousandths;
use crate::yaml::scalar::{Type, resolve};
use crate::yaml::{Node, NodeKind, Position, is_json};
use forms::{Form, is_time};
use tables::{FORMS, LABELS, MOST, NUMBERS, ONE_OF, POD_FIELDS, REQUIRED, RESOURCE_FIELDS, UNIQUE, WORDS};

/// The fields of a pod: the name of a type, and below it its fields, each with what it takes. `vm-tests/oracle/kubelet`
/// prints them from the types of Kubernetes.
const FIELDS: &str = concat!("\n", include_str!("pod-fields.txt"));

/// Volumes that a static pod cannot have, because their content comes from the API. The kubelet refuses them since
/// 1.34; a kubelet can be three minors older than the API server.
const OF_THE_API: &[&str] =
    &["configMap", "secret", "csi", "glusterfs", "persistentVolumeClaim", "ephemeral", "azureFile"];
const REFUSES_API: Version = Version::new(37);

type Check = Result<(), Refusal>;

fn refuse(position: Position, reason: impl Into<String>) -> Check {
    Err(Refusal::new(position, reason))
}

/// Checks that the kubelet runs the pod of a manifest. Like the kubelet, it reads only the first document. `version`: of
/// the API server.
///
/// # Errors
///
/// The kubelet refuses the manifest: the position, why, and what to do.
pub fn check(text: &str, version: Option<Version>) -> Check {
    judge(text, version).map_err(|refusal| Refusal {
        reason: format!("the kubelet refuses this manifest: {}", refusal.reason),
        ..refusal
    })
}

/// As [`check`], for a manifest that is in no file yet: the reason says nothing of the file.
///
/// # Errors
///
/// As [`check`].
pub fn judge(text: &str, version: Option<Version>) -> Check {
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
    check_type("Pod", root, "the manifest")?;
    let missing = empty(root);
    let spec = field(root, "spec").unwrap_or(&missing);
    metadata(field(root, "metadata").unwrap_or(&missing), spec)?;
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
    let (_, lines) = FIELDS.split_once(&format!("\n{name}\n")).unwrap_or_default();
    lines.lines().map_while(|line| line.strip_prefix(' ')?.split_once(' '))
}

/// The field of a mapping; `None` if it is missing or null.
fn field<'n>(node: &'n Node, name: &str) -> Option<&'n Node> {
    node.get(name).filter(|node| !node.is_null())
}

/// The field in fields of a mapping; `None` if one of them is missing or null.
fn at<'n>(node: &'n Node, path: &[&str]) -> Option<&'n Node> {
    path.iter().try_fold(node, |node, name| field(node, name))
}

/// The text of a field; empty if it is missing.
fn word<'n>(node: &'n Node, name: &str) -> &'n str {
    field(node, name).map(text).unwrap_or_default()
}

/// A text; empty for null.
fn text(node: &Node) -> &str {
    node.scalar().filter(|_| !node.is_null()).unwrap_or_default()
}

fn items<'n>(node: &'n Node, name: &str) -> &'n [Node] {
    field(node, name).and_then(Node::items).unwrap_or_default()
}

fn entries<'n>(node: &'n Node, name: &str) -> Vec<(&'n Node, &'n Node)> {
    field(node, name).map(Node::entries).unwrap_or_default()
}

fn is_true(node: Option<&Node>) -> bool {
    node.is_some_and(|node| resolve(node) == Type::Bool(true))
}

fn is_false(node: Option<&Node>) -> bool {
    node.is_some_and(|node| resolve(node) == Type::Bool(false))
}

/// Checks that a value has a type, and so on to its end. Null is a value of every type.
fn check_type(kind: &str, node: &Node, name: &str) -> Check {
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
            true => check_type(kind, &empty(item), name),
            false => check_type(kind, item, name),
        });
    }
    if let Some(kind) = kind.strip_prefix("map ") {
        if node.pairs().is_none() {
            return wrong("a mapping");
        }
        return node.entries().into_iter().try_for_each(|(_, value)| check_type(kind, value, name));
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
        "quantity" if quantity(node).is_none() => wrong("a quantity such as 100m or 1Gi"),
        "string" | "time" | "bool" | "int32" | "int64" | "int-or-string" | "quantity" => Ok(()),
        _ if node.pairs().is_none() => wrong("a mapping"),
        _ => {
            for (key, value) in node.entries() {
                let name = key.scalar().unwrap_or_default();
                if let Some((_, of)) = fields_of(kind).find(|(known, _)| *known == name) {
                    check_type(of, value, name)?;
                }
            }
            check_fields(kind, node)?;
            several_fields(kind, node)
        }
    }
}

/// The end of the integers of 64 bits, 2 to the power of 63.
const I64_END: f64 = 9_223_372_036_854_775_808.0;

/// Go reads `0x10` and `1e3`, too.
fn number(node: &Node) -> Option<i64> {
    let text = node.scalar()?.replace('_', "");
    match resolve(node) {
        Type::Int => crate::audit::flags::integer(&text),
        // JSON writes it without an exponent, and larger ones are not read as integers.
        Type::Float => {
            let whole = text.parse::<f64>().ok().filter(|n| n.fract() == 0.0)?;
            (-I64_END..I64_END).contains(&whole).then_some(whole as i64)
        }
        _ => None,
    }
}

fn is_number(node: &Node, least: i64, most: i64) -> bool {
    number(node).is_some_and(|number| (least..=most).contains(&number))
}

/// A quantity in thousandths; null is 0.
fn quantity(node: &Node) -> Option<i128> {
    match resolve(node) {
        Type::Null => Some(0),
        Type::Int => number(node).map(|number| i128::from(number) * 1000),
        Type::Float => thousandths(&node.scalar()?.replace('_', "")),
        Type::Str => thousandths(node.scalar()?),
        _ => None,
    }
}

/// The rules of the tables.
fn check_fields(kind: &str, node: &Node) -> Check {
    for (_, name) in REQUIRED.iter().filter(|(of, _)| *of == kind) {
        let found = field(node, name);
        if found.is_none_or(|node| node.scalar() == Some("") || node.items().is_some_and(<[Node]>::is_empty)) {
            return refuse(found.unwrap_or(node).position, format!("{name} is missing or empty; add it"));
        }
    }
    /// The values to look at: of a list, its items.
    fn each<'n>(node: &'n Node, name: &str) -> impl Iterator<Item = &'n Node> {
        let found = field(node, name);
        let one = found.filter(|found| found.items().is_none());
        one.into_iter().chain(found.and_then(Node::items).unwrap_or_default())
    }
    for (_, name, empty, words) in WORDS.iter().filter(|(of, ..)| *of == kind) {
        let fits = |found: &&Node| words.contains(&text(found)) || *empty && text(found).is_empty();
        if let Some(found) = each(node, name).find(|found| !fits(found)) {
            let reason = format!("{name} takes one of {}, not {:?}", words.join(", "), text(found));
            return refuse(found.position, reason);
        }
    }
    for (_, name, least, most) in NUMBERS.iter().filter(|(of, ..)| *of == kind) {
        // A null in a list is 0.
        let fits = |found: &&Node| is_number(found, *least, *most) || found.is_null() && *least <= 0;
        if let Some(found) = each(node, name).find(|found| !fits(found)) {
            return refuse(found.position, format!("{name} must be a number from {least} to {most}"));
        }
    }
    for (_, name, empty, form) in FORMS.iter().filter(|(of, ..)| *of == kind) {
        let keys = entries(node, name).into_iter().map(|(key, _)| key);
        let texts = each(node, name).filter(|found| found.pairs().is_none()).chain(keys);
        fit(*form, name, texts.filter(|found| !(*empty && text(found).is_empty())))?;
    }
    for (_, name) in LABELS.iter().filter(|(of, _)| *of == kind) {
        fit(Form::Value, name, entries(node, name).into_iter().map(|(_, value)| value))?;
    }
    for (_, name, most) in MOST.iter().filter(|(of, ..)| *of == kind) {
        if let Some(found) = items(node, name).get(*most) {
            return refuse(found.position, format!("{name} has more than {most} items; remove some"));
        }
    }
    UNIQUE.iter().filter(|(of, ..)| *of == kind).try_for_each(|(_, lists, keys)| unique(node, lists, keys))?;
    ONE_OF.iter().filter(|(of, ..)| *of == kind).try_for_each(|(_, needs_one, others)| {
        let known = || fields_of(kind).map(|(name, _)| name).filter(|name| !others.contains(name));
        let mut given = node.entries().into_iter().filter_map(|(key, value)| {
            let name = key.scalar().filter(|name| !value.is_null() && known().any(|known| known == *name))?;
            Some((name, value))
        });
        match (given.next(), given.next()) {
            (None, _) if *needs_one => {
                let known: Vec<_> = known().collect();
                refuse(node.position, format!("this has none of {}; add one, or remove this", known.join(", ")))
            }
            (Some((first, _)), Some((second, found))) => {
                refuse(found.position, format!("this can't have both {first} and {second}; remove one of them"))
            }
            _ => Ok(()),
        }
    })
}

/// Checks the form of texts.
fn fit<'n>(form: Form, name: &str, mut texts: impl Iterator<Item = &'n Node>) -> Check {
    match texts.find(|found| !form.fits(text(found))) {
        Some(found) => refuse(found.position, format!("{name}: {:?} {}", text(found), form.words())),
        None => Ok(()),
    }
}

fn unique(node: &Node, lists: &[&str], keys: &[&str]) -> Check {
    let mut known = BTreeMap::new();
    for item in lists.iter().flat_map(|list| items(node, list)) {
        let value = keys.iter().map(|key| word(item, key)).collect::<Vec<_>>().join(" ");
        let value = if keys.is_empty() { text(item).to_owned() } else { value };
        if let Some(first) = known.insert(value.clone(), item.position).filter(|_| !value.is_empty()) {
            let what = if keys.is_empty() { "value".to_owned() } else { keys.join(" and ") };
            let reason = format!("{}: two have the {what} {value:?}; rename or remove one", lists.join(" and "));
            return Err(Refusal { first: Some(first), ..Refusal::new(item.position, reason) });
        }
    }
    Ok(())
}

/// The rules about several fields of a type, wherever it is.
fn several_fields(kind: &str, node: &Node) -> Check {
    match kind {
        "EmptyDirVolumeSource" => match field(node, "sizeLimit").filter(|found| quantity(found) < Some(0)) {
            Some(found) => refuse(found.position, "sizeLimit must not be negative; correct it"),
            None => Ok(()),
        },
        "VolumeMount" => mount(node),
        "Container" => container(node),
        "HTTPGetAction" | "TCPSocketAction" => port(node),
        "EnvVar" => match field(node, "valueFrom").filter(|_| !word(node, "value").is_empty()) {
            Some(from) => refuse(
                from.position,
                format!("the variable {:?} has a value and a valueFrom; remove one", word(node, "name")),
            ),
            None => Ok(()),
        },
        "EnvVarSource" => reference(node, false),
        "DownwardAPIVolumeFile" => reference(node, true),
        "SeccompProfile" => profile(node, false),
        "AppArmorProfile" => profile(node, true),
        "Toleration" => toleration(node),
        "PodAffinityTerm" | "TopologySpreadConstraint" => topology(node),
        "LabelSelectorRequirement" => requirement(node),
        "NodeSelector" => {
            let expressions =
                items(node, "nodeSelectorTerms").iter().flat_map(|term| items(term, "matchExpressions"));
            fit(Form::Value, "values", expressions.flat_map(|one| items(one, "values")))
        }
        "NodeSelectorTerm" => {
            items(node, "matchExpressions").iter().try_for_each(requirement)?;
            items(node, "matchFields").iter().try_for_each(|one| match items(one, "values") {
                [name] if word(one, "key") == "metadata.name" && word(one, "operator").ends_with("In") => {
                    fit(Form::Subdomain, "values", [name].into_iter())
                }
                _ => refuse(
                    one.position,
                    "matchFields takes key: metadata.name, operator: In, and one name; correct it",
                ),
            })
        }
        "PodDNSConfig" => {
            let length: usize = items(node, "searches").iter().map(|one| text(one).len() + 1).sum();
            if length > 2049 {
                return refuse(node.position, "the texts in searches are longer than 2048 bytes; remove some");
            }
            Ok(())
        }
        _ => Ok(()),
    }
}

fn mount(node: &Node) -> Check {
    unique(node, &["bindMountOptions"], &[])?;
    if !word(node, "subPath").is_empty() && !word(node, "subPathExpr").is_empty() {
        return refuse(node.position, "a mount has a subPath and a subPathExpr; remove one of them");
    }
    let Some(recursive) =
        field(node, "recursiveReadOnly").filter(|_| word(node, "recursiveReadOnly") != "Disabled")
    else {
        return Ok(());
    };
    if !is_true(field(node, "readOnly")) {
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

/// The image, the mounts and the security of a container, and what else is to be checked in it.
fn container(node: &Node) -> Check {
    if let Some(image) = field(node, "image").filter(|_| word(node, "image").trim() != word(node, "image")) {
        return refuse(image.position, "the image has blanks at an end; remove them");
    }
    let security = field(node, "securityContext");
    let of_security = |name: &str| security.and_then(|security| field(security, name));
    let is_privileged = is_true(of_security("privileged"));
    let shared = |mount: &&Node| word(mount, "mountPropagation") == "Bidirectional";
    if let Some(mount) = items(node, "volumeMounts").iter().find(shared).filter(|_| !is_privileged) {
        return refuse(mount.position, "mountPropagation: Bidirectional needs privileged: true; correct it");
    }
    if let Some(found) = of_security("allowPrivilegeEscalation").filter(|found| is_false(Some(found))) {
        let added = at(node, &["securityContext", "capabilities"]).map(|of| items(of, "add")).unwrap_or_default();
        let other = match added.iter().any(|one| text(one) == "CAP_SYS_ADMIN") {
            _ if is_privileged => "privileged: true",
            true => "the capability CAP_SYS_ADMIN",
            false => return lifecycle_and_resources(node),
        };
        let reason = format!("allowPrivilegeEscalation: false does not fit {other}; remove one of them");
        return refuse(found.position, reason);
    }
    lifecycle_and_resources(node)
}

/// More rules about a container.
fn lifecycle_and_resources(node: &Node) -> Check {
    for probe in ["livenessProbe", "startupProbe"] {
        if let Some(found) = at(node, &[probe, "successThreshold"]).filter(|found| !is_number(found, 0, 1)) {
            return refuse(found.position, format!("successThreshold of a {probe} must be 1"));
        }
    }
    let none = |path: &[&str], what: &str| match at(node, path)
        .filter(|found| !found.items().is_some_and(<[Node]>::is_empty))
    {
        Some(found) => refuse(found.position, format!("{what}; remove it")),
        None => Ok(()),
    };
    none(
        &["readinessProbe", "terminationGracePeriodSeconds"],
        "a readinessProbe can have no terminationGracePeriodSeconds",
    )?;
    if field(node, "restartPolicy").is_none() {
        none(&["restartPolicyRules"], "restartPolicyRules need a restartPolicy of the container")?;
    }
    for probe in
        ["livenessProbe", "readinessProbe", "startupProbe"].into_iter().filter_map(|name| field(node, name))
    {
        if let Some(get) = field(probe, "httpGet").filter(|get| word(get, "protocol") == "HTTP2")
            && (word(get, "scheme") == "HTTPS" || !word(get, "host").is_empty())
        {
            return refuse(get.position, "protocol: HTTP2 needs scheme: HTTP and no host; remove one of them");
        }
    }
    let Some(found) = field(node, "resources") else { return Ok(()) };
    resources(&entries(found, "limits"), &entries(found, "requests"), false)
}

/// Sizes of resources (`validateResourceRequirements`). `is_whole_pod`: they are those of the pod, and not of a container.
fn resources(limits: &[(&Node, &Node)], requests: &[(&Node, &Node)], is_whole_pod: bool) -> Check {
    let is_page = |name: &str| name.starts_with("hugepages-");
    let is_native = |name: &str| !name.contains('/') || name.contains("kubernetes.io/");
    for (key, value) in limits.iter().chain(requests) {
        let name = key.scalar().unwrap_or_default();
        let is_known = match name.contains('/') {
            _ if is_page(name) || ["cpu", "memory"].contains(&name) => true,
            _ if is_whole_pod => false,
            true => {
                is_native(name) || !name.starts_with("requests.") && Form::Key.fits(&format!("requests.{name}"))
            }
            false => name == "ephemeral-storage",
        };
        if !is_known || !Form::Key.fits(name) {
            return refuse(
                key.position,
                format!("{name:?} is no resource; write cpu, memory, hugepages-SIZE or another one, or remove it"),
            );
        }
        let amount = quantity(value).unwrap_or_default();
        let size = name.strip_prefix("hugepages-").map(|size| thousandths(size).unwrap_or_default());
        if amount < 0
            || !is_native(name) && amount % 1000 != 0
            || size.is_some_and(|size| size < 1000 || size % 1000 != 0 || whole(amount) % whole(size) != 0)
        {
            return refuse(value.position, format!("{name} can't have this size; correct it"));
        }
    }
    let is_computed = |(key, _): &(&Node, &Node)| ["cpu", "memory"].contains(&key.scalar().unwrap_or_default());
    let all = || limits.iter().chain(requests);
    if let Some((page, _)) = all().find(|(key, _)| is_page(key.scalar().unwrap_or_default()))
        && !all().any(is_computed)
    {
        return refuse(page.position, "hugepages need cpu or memory, too; add a request of memory");
    }
    for (key, value) in requests {
        let name = key.scalar().unwrap_or_default();
        let is_shared = is_native(name) && !is_page(name);
        let limit =
            limits.iter().find(|(key, _)| key.scalar() == Some(name)).and_then(|(_, limit)| quantity(limit));
        match (quantity(value).unwrap_or_default(), limit) {
            (request, Some(limit)) if request > limit || !is_shared && request != limit => {
                let reason = format!(
                    "the request of {name} must not be above its limit; lower the request, or raise the limit"
                );
                return refuse(value.position, reason);
            }
            (_, None) if !is_shared => {
                return refuse(key.position, format!("{name} needs a limit, too; add it to limits"));
            }
            _ => {}
        }
    }
    Ok(())
}

/// A quantity as a whole number, rounded up.
fn whole(thousandths: i128) -> i128 {
    (thousandths + 999) / 1000
}

/// A port by its number or its name.
fn port(node: &Node) -> Check {
    let Some(found) = field(node, "port") else { return Ok(()) };
    let fits = match resolve(found) {
        Type::Str => Form::PortName.fits(word(node, "port")),
        _ => is_number(found, 1, 65535),
    };
    if fits { Ok(()) } else { refuse(found.position, "port must be a number from 1 to 65535, or a port's name") }
}

/// A reference to a field or a resource of the pod, in a variable or a file.
fn reference(node: &Node, is_file: bool) -> Check {
    if let Some(reference) = field(node, "fieldRef") {
        let path = word(reference, "fieldPath");
        let subscript = |name: &str| path.strip_prefix(name)?.strip_prefix("['")?.strip_suffix("']");
        let fits = match (subscript("metadata.labels"), subscript("metadata.annotations")) {
            (Some(key), _) => Form::Key.fits(key),
            (_, Some(key)) => Form::Key.fits(&key.to_ascii_lowercase()),
            _ => POD_FIELDS[usize::from(is_file)].contains(&path),
        };
        if !fits || !["", "v1"].contains(&word(reference, "apiVersion")) {
            let at = field(reference, "fieldPath").unwrap_or(reference);
            return refuse(at.position, format!("fieldPath {path:?} is not known here; correct it"));
        }
    }
    let Some(reference) = field(node, "resourceFieldRef") else { return Ok(()) };
    if is_file && word(reference, "containerName").is_empty() {
        return refuse(reference.position, "containerName is missing or empty; add it");
    }
    let of = word(reference, "resource");
    let name = of.strip_prefix("limits.").or_else(|| of.strip_prefix("requests.")).unwrap_or_default();
    if !RESOURCE_FIELDS.contains(&name) && !name.starts_with("hugepages-") {
        return refuse(reference.position, format!("resource {of:?} is not known here; correct it"));
    }
    let Some(divisor) = field(reference, "divisor") else { return Ok(()) };
    let size = quantity(divisor).unwrap_or_default();
    let is_unit = |base: i128| (0..7).any(|power| size == 1000 * base.pow(power));
    let fits = if name == "cpu" { [1, 1000].contains(&size) } else { is_unit(1000) || is_unit(1024) };
    if fits || size == 0 {
        Ok(())
    } else {
        refuse(divisor.position, "divisor must be a unit, such as 1 or 1Mi; correct it")
    }
}

fn profile(node: &Node, is_app_armor: bool) -> Check {
    let is_local = word(node, "type") == "Localhost";
    let found = field(node, "localhostProfile");
    let name = found.map(text).unwrap_or_default();
    match found {
        None if is_local => refuse(node.position, "type: Localhost needs a localhostProfile; add it"),
        Some(found) if !is_local => {
            refuse(found.position, "localhostProfile needs type: Localhost; remove one of them")
        }
        Some(found) if is_app_armor && (name.trim() != name || name.len() > 4095) => {
            refuse(found.position, "localhostProfile must be a name without blanks at an end; correct it")
        }
        _ => Ok(()),
    }
}

fn toleration(node: &Node) -> Check {
    let (operator, value) = (word(node, "operator"), word(node, "value"));
    let wrong = |name: &str, reason: &str| refuse(field(node, name).unwrap_or(node).position, reason);
    if word(node, "key").is_empty() && operator != "Exists" {
        return wrong("key", "a toleration without a key needs operator: Exists; add one of them");
    }
    if field(node, "tolerationSeconds").is_some() && word(node, "effect") != "NoExecute" {
        return wrong(
            "effect",
            "tolerationSeconds needs effect: NoExecute; remove tolerationSeconds, or correct effect",
        );
    }
    let is_right = match operator {
        "Exists" => value.is_empty(),
        // A decimal number without a plus or zeros before it.
        "Lt" | "Gt" => value.parse::<i64>().is_ok_and(|number| number.to_string() == value),
        _ => Form::Value.fits(value),
    };
    if is_right { Ok(()) } else { wrong("value", "this value does not fit the operator; correct or remove it") }
}

/// The values of a requirement: none, one or more, as the operator has it.
fn requirement(node: &Node) -> Check {
    let values = items(node, "values").len();
    let (fits, expected) = match word(node, "operator") {
        "In" | "NotIn" => (values > 0, "at least one value"),
        "Gt" | "Lt" => (values == 1, "one value"),
        _ => (values == 0, "no values"),
    };
    match fits {
        true => Ok(()),
        false => {
            refuse(node.position, format!("the operator {} needs {expected}; correct it", word(node, "operator")))
        }
    }
}

/// The terms that place a pod among others.
fn topology(node: &Node) -> Check {
    if let Some(found) = field(node, "minDomains").filter(|_| word(node, "whenUnsatisfiable") != "DoNotSchedule") {
        return refuse(found.position, "minDomains needs whenUnsatisfiable: DoNotSchedule; remove one of them");
    }
    let selector = field(node, "labelSelector");
    for name in ["matchLabelKeys", "mismatchLabelKeys"] {
        if let Some(found) = items(node, name).first().filter(|_| selector.is_none()) {
            return refuse(found.position, format!("{name} needs a labelSelector; remove it"));
        }
    }
    let others: Vec<_> = items(node, "mismatchLabelKeys").iter().map(text).collect();
    match items(node, "matchLabelKeys").iter().find(|key| others.contains(&text(key))) {
        Some(found) => refuse(found.position, "this key is in mismatchLabelKeys, too; remove one of them"),
        None => Ok(()),
    }
}

fn metadata(node: &Node, spec: &Node) -> Check {
    let name = word(node, "name");
    let position = field(node, "name").unwrap_or(node).position;
    if name.is_empty() {
        return refuse(position, "the pod has no metadata.name; add name: kube-apiserver");
    }
    // The kubelet adds a dash and the name of the node.
    if !Form::Subdomain.fits(&format!("{name}-node")) {
        return refuse(
            position,
            format!("metadata.name {name:?} must be lower-case letters, digits, dashes and dots; rename the pod"),
        );
    }
    let generated = word(node, "generateName");
    if !generated.is_empty() && !Form::Subdomain.fits(&format!("{}a", generated.trim_end_matches('-'))) {
        return refuse(position, "generateName is no name of a pod; remove it");
    }
    let is_own = |one: &&Node| {
        !text(one).contains('/') && !["orphan", "foregroundDeletion", "kubernetes"].contains(&text(one))
    };
    if let Some(found) = items(node, "finalizers").iter().find(is_own) {
        return refuse(
            found.position,
            format!("the finalizer {:?} needs a domain before it; remove it", text(found)),
        );
    }
    let mut size = 0;
    for (key, value) in entries(node, "annotations") {
        let name = key.scalar().unwrap_or_default();
        size += name.len() + text(value).len();
        if !Form::Key.fits(&name.to_ascii_lowercase()) {
            return refuse(key.position, format!("{name:?} is no key of annotations; rename or remove it"));
        }
        annotation(name, value, spec)?;
    }
    if size > 256 * 1024 {
        return refuse(node.position, "the annotations are larger than 256 KiB; remove some");
    }
    Ok(())
}

/// Annotations that the kubelet reads. The old ones of security profiles must say what the fields say.
fn annotation(name: &str, value: &Node, spec: &Node) -> Check {
    const APPARMOR: &str = "container.apparmor.security.beta.kubernetes.io/";
    let containers = || items(spec, "containers").iter().chain(items(spec, "initContainers"));
    let named_by = |prefix: &str| {
        let of = name.strip_prefix(prefix)?;
        Some((containers().find(|one| word(one, "name") == of), of))
    };
    let profile = text(value);
    let (fits, of) = match (name, named_by(APPARMOR)) {
        ("controller.kubernetes.io/pod-deletion-cost", _) => {
            let digits = profile.strip_prefix('-').unwrap_or(profile);
            let is_plain = !digits.starts_with('+') && (digits == "0" || !digits.starts_with('0'));
            (is_plain && profile.parse::<i32>().is_ok(), None)
        }
        (_, Some((None, container))) => {
            return refuse(
                value.position,
                format!("the pod has no container {container:?}; remove this annotation"),
            );
        }
        (_, Some((of, _))) => {
            let is_known = ["", "runtime/default", "unconfined"].contains(&profile);
            (is_known || profile.starts_with("localhost/"), of)
        }
        ("seccomp.security.alpha.kubernetes.io/pod", _) => (is_seccomp(profile), Some(spec)),
        _ => match named_by("container.seccomp.security.alpha.kubernetes.io/") {
            Some((of, _)) => (is_seccomp(profile), of),
            None => return Ok(()),
        },
    };
    let kind = if name.starts_with(APPARMOR) { "appArmorProfile" } else { "seccompProfile" };
    let own = of.and_then(|of| at(of, &["securityContext", kind]));
    let of_spec = at(spec, &["securityContext", kind]).filter(|_| kind == "appArmorProfile" && of.is_some());
    let is_same = own.or(of_spec).is_none_or(|found| match word(found, "type") {
        "RuntimeDefault" => {
            profile == "runtime/default" || kind == "seccompProfile" && profile == "docker/default"
        }
        "Localhost" => profile.strip_prefix("localhost/") == Some(word(found, "localhostProfile")),
        _ => profile == "unconfined",
    });
    match fits && is_same {
        true => Ok(()),
        false => {
            refuse(value.position, format!("the annotation {name} can't be {profile:?}; correct or remove it"))
        }
    }
}

fn is_seccomp(profile: &str) -> bool {
    ["runtime/default", "docker/default", "unconfined"].contains(&profile)
        || profile.strip_prefix("localhost/").is_some_and(|path| Form::Below.fits(path))
}

fn pod_spec(spec: &Node) -> Check {
    let containers = items(spec, "containers");
    if containers.is_empty() {
        return refuse(spec.position, "the pod has no containers; add one that runs kube-apiserver");
    }
    namespaces(spec)?;
    let volumes: BTreeMap<_, _> =
        items(spec, "volumes").iter().map(|volume| (word(volume, "name"), volume)).collect();
    let all = || containers.iter().chain(items(spec, "initContainers"));
    for mount in all().flat_map(|container| items(container, "volumeMounts")) {
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
    for device in all().flat_map(|container| items(container, "volumeDevices")) {
        let volume = volumes.get(word(device, "name"));
        if !volume.is_some_and(|volume| {
            ["persistentVolumeClaim", "ephemeral"].iter().any(|name| field(volume, name).is_some())
        }) {
            return refuse(
                device.position,
                "volumeDevices need a volume of the API, and a static pod has none; remove it",
            );
        }
    }
    for from in
        all().flat_map(|container| items(container, "env")).filter_map(|one| at(one, &["valueFrom", "fileKeyRef"]))
    {
        let name = word(from, "volumeName");
        let is_scratch = |volume: &&Node| {
            field(volume, "emptyDir").is_some()
                || !volume.entries().iter().any(|(key, value)| key.scalar() != Some("name") && !value.is_null())
        };
        if volumes.get(name).is_none_or(|volume| !is_scratch(volume)) {
            return refuse(from.position, format!("fileKeyRef needs an emptyDir volume {name:?}; add it"));
        }
    }
    for name in ["ephemeralContainers", "schedulingGates"] {
        if let Some(found) = field(spec, name).filter(|_| !items(spec, name).is_empty()) {
            return refuse(found.position, format!("a static pod cannot have {name}; remove it"));
        }
    }
    placement(spec)?;
    life(spec)?;
    host_ports(spec, containers, false)?;
    // These run one after the other.
    items(spec, "initContainers").chunks(1).try_for_each(|one| host_ports(spec, one, true))
}

/// The namespaces of the host and of the pod.
fn namespaces(spec: &Node) -> Check {
    let both =
        |at: &Node, one: &str, other: &str| refuse(at.position, format!("{one} with {other}; remove one of them"));
    let hosts = |name: &str| is_true(field(spec, name));
    // `validateHostUsers`: a user namespace of its own needs the other namespaces, too.
    let users = field(spec, "hostUsers").filter(|users| is_false(Some(users)));
    if let Some(users) = users
        && let Some(name) = ["hostNetwork", "hostPID", "hostIPC"].into_iter().find(|name| hosts(name))
    {
        return both(users, "hostUsers can't be false", name);
    }
    if let Some(at) = field(spec, "shareProcessNamespace").filter(|at| is_true(Some(at)) && hosts("hostPID")) {
        return both(at, "shareProcessNamespace can't be true", "hostPID");
    }
    if let Some(at) = field(spec, "hostnameOverride") {
        if let Some(name) = ["hostNetwork", "setHostnameAsFQDN"].into_iter().find(|name| hosts(name)) {
            return both(at, "hostnameOverride can't be set", name);
        }
        if text(at).len() > 64 {
            return refuse(at.position, "hostnameOverride must have at most 64 letters; shorten it");
        }
    }
    for sysctl in at(spec, &["securityContext"]).map(|of| items(of, "sysctls")).unwrap_or_default() {
        let name = word(sysctl, "name").replace('/', ".");
        let of_ipc =
            ["kernel.shm", "kernel.msg", "kernel.sem", "fs.mqueue."].iter().any(|of| name.starts_with(of));
        if hosts("hostNetwork") && name.starts_with("net.") {
            return both(sysctl, "sysctls can't begin with net.", "hostNetwork");
        }
        if hosts("hostIPC") && of_ipc {
            return both(sysctl, &format!("sysctls can't have {name}"), "hostIPC");
        }
    }
    for container in items(spec, "containers").iter().chain(items(spec, "initContainers")) {
        if let Some(mount) = at(container, &["securityContext", "procMount"])
            && text(mount) == "Unmasked"
            && users.is_none()
        {
            return refuse(mount.position, "procMount: Unmasked needs hostUsers: false; remove procMount");
        }
    }
    Ok(())
}

/// Where the pod runs, and with which names and sizes.
fn placement(spec: &Node) -> Check {
    if word(spec, "dnsPolicy") == "None"
        && at(spec, &["dnsConfig"]).is_none_or(|of| items(of, "nameservers").is_empty())
    {
        let at = field(spec, "dnsPolicy").map_or(spec.position, |node| node.position);
        return refuse(at, "dnsPolicy: None needs dnsConfig.nameservers; add them, or remove dnsPolicy");
    }
    if field(spec, "schedulingGroup").is_some() && !items(spec, "evictionResponders").is_empty() {
        return refuse(spec.position, "the pod has a schedulingGroup and evictionResponders; remove one of them");
    }
    if let Some(found) = field(spec, "overhead") {
        resources(&found.entries(), &[], false)?;
    }
    let Some(found) = field(spec, "resources") else { return Ok(()) };
    if let Some(claims) = field(found, "claims") {
        return refuse(claims.position, "the resources of a pod can have no claims; remove them");
    }
    resources(&entries(found, "limits"), &entries(found, "requests"), true)?;
    for (key, limit) in items(spec, "containers")
        .iter()
        .filter_map(|one| field(one, "resources"))
        .flat_map(|of| entries(of, "limits"))
    {
        let of_all = entries(found, "limits").into_iter().find(|(name, _)| name.scalar() == key.scalar());
        if of_all.is_some_and(|(_, most)| quantity(limit) > quantity(most)) {
            return refuse(limit.position, "this limit is above the limit of the pod; lower it");
        }
    }
    Ok(())
}

/// How containers start and end.
fn life(spec: &Node) -> Check {
    // An init container that ends has no probes.
    for container in items(spec, "initContainers").iter().filter(|one| word(one, "restartPolicy") != "Always") {
        for name in ["livenessProbe", "readinessProbe", "startupProbe", "lifecycle"] {
            if let Some(found) = field(container, name) {
                let reason =
                    format!("an init container without restartPolicy: Always can have no {name}; remove {name}");
                return refuse(found.position, reason);
            }
        }
    }
    // The kubelet takes one second for a negative time.
    let grace = field(spec, "terminationGracePeriodSeconds")
        .and_then(number)
        .map_or(30, |time| if time < 0 { 1 } else { time });
    for container in items(spec, "containers").iter().chain(items(spec, "initContainers")) {
        for step in ["postStart", "preStop"] {
            let seconds = at(container, &["lifecycle", step, "sleep"])
                .and_then(|sleep| Some((sleep, field(sleep, "seconds").map_or(Some(0), number)?)));
            if let Some((sleep, _)) = seconds.filter(|(_, seconds)| !(0..=grace).contains(seconds)) {
                let reason =
                    format!("sleep must take 0 to {grace} seconds (terminationGracePeriodSeconds); correct one");
                return refuse(sleep.position, reason);
            }
        }
        if let Some(signal) =
            at(container, &["lifecycle", "stopSignal"]).filter(|_| at(spec, &["os", "name"]).is_none())
        {
            return refuse(signal.position, "stopSignal needs os.name: linux; add it, or remove stopSignal");
        }
        if let Some(rule) =
            items(container, "resizePolicy").iter().find(|one| word(one, "restartPolicy") != "NotRequired")
            && word(spec, "restartPolicy") == "Never"
        {
            return refuse(rule.position, "with restartPolicy: Never, resizePolicy takes NotRequired; correct it");
        }
    }
    Ok(())
}

/// No two containers have the same port of the host. With hostNetwork, each port is one of the host.
fn host_ports(spec: &Node, containers: &[Node], is_init: bool) -> Check {
    let of_host = is_true(field(spec, "hostNetwork"));
    let mut taken = BTreeMap::new();
    for port in containers.iter().flat_map(|container| items(container, "ports")) {
        let read = |name: &str| field(port, name).and_then(number).filter(|number| *number != 0);
        let Some(number) = read("hostPort").or_else(|| read("containerPort").filter(|_| of_host)) else {
            continue;
        };
        if of_host && !is_init && read("hostPort").is_some_and(|number| read("containerPort") != Some(number)) {
            return refuse(port.position, "with hostNetwork, hostPort must be containerPort; correct hostPort");
        }
        let protocol = Some(word(port, "protocol")).filter(|word| !word.is_empty()).unwrap_or("TCP");
        if let Some(first) = taken.insert((number, protocol, word(port, "hostIP")), port.position) {
            let reason = format!("ports: two have the port {number} of the host; remove one");
            return Err(Refusal { first: Some(first), ..Refusal::new(port.position, reason) });
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
        if let Some(found) =
            at(container, &["resources", "claims"]).filter(|found| !found.items().is_some_and(<[Node]>::is_empty))
        {
            return no(found, "claims of resources");
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
            (
                "volumes: [",
                "volumes: [{name: v, emptyDir: {}}, ^",
                "volumes: two have the name \"v\"; rename or remove one",
            ),
            ("{name: v, mountPath: /v}", "{name: ^w, mountPath: /v}", "no volume \"w\""),
            (
                "{name: v, mountPath: /v}",
                "{name: v, mountPath: /v}, ^{name: v, mountPath: /v}",
                "volumeMounts: two have the mountPath \"/v\"",
            ),
            ("mountPath: /v}", "mountPath: /v, recursiveReadOnly: ^Enabled}", "needs readOnly: true"),
            ("mountPath: /v}", "mountPath: /v, subPath: ^../x}", "and without .."),
            ("mountPath: /v}", "mountPath: /v, subPath: ^/x}", "a path below a directory"),
            ("mountPath: /v}", "mountPath: /v, readOnly: ^\"true\"}", "must be true or false"),
            ("mountPath: /v}", "mountPath: ^\"\"}", "mountPath is missing or empty"),
            ("{path: /v}", "{path: /v, type: ^Dir}", "type takes one of"),
            ("{path: /v}", "^{}", "path is missing or empty"),
            ("hostPath: {path: /v}", "hostPath: {path: /v}, emptyDir: ^{}", "both hostPath and emptyDir"),
            ("hostPath: {path: /v}", "configMap: ^{name: x}", "a static pod cannot have a configMap volume"),
            ("image: a", "image: ^\"\"", "image is missing or empty"),
            ("image: a", "image: ^1", "image must be a string"),
            ("image: a", "image: a, command: [a, ^1]", "command must be a string"),
            ("image: a", "image: a, ports: [{containerPort: ^70000}]", "from 1 to 65535"),
            ("image: a", "image: a, livenessProbe: ^{periodSeconds: 1}", "none of exec, grpc, httpGet, tcpSocket"),
            (
                "  - {name: kube-apiserver",
                "  - {name: kube-apiserver, image: b}\n  - ^{name: kube-apiserver",
                "containers and initContainers: two have the name",
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
            ("namespace: kube-system", "namespace: ^Kube", "namespace: \"Kube\" must be"),
            ("tier: control-plane", "tier: ^control plane", "a label's value"),
            ("tier: control-plane", "tier: ^1", "labels must be a string"),
            ("spec:\n", "spec:\n  hostNetwork: ^yess\n", "hostNetwork must be true or false"),
            ("spec:\n", "spec:\n  serviceAccountName: ^x\n", "a service account"),
            // Sizes of resources.
            (
                "image: a",
                "image: a, resources: {requests: {cpu: ^2}, limits: {cpu: 1500m}}",
                "must not be above its limit",
            ),
            ("image: a", "image: a, resources: {limits: {^storage: 1Gi}}", "is no resource"),
            ("image: a", "image: a, resources: {limits: {memory: ^-1}}", "can't have this size"),
            ("image: a", "image: a, resources: {limits: {a.b/c: ^1500m}}", "can't have this size"),
            (
                "image: a",
                "image: a, resources: {limits: {memory: 1Gi, hugepages-2Mi: ^3Mi}}",
                "can't have this size",
            ),
            ("image: a", "image: a, resources: {limits: {^hugepages-2Mi: 4Mi}}", "hugepages need cpu or memory"),
            ("image: a", "image: a, resources: {requests: {cpu: 1, ^hugepages-2Mi: 4Mi}}", "needs a limit"),
            // Where the pod runs.
            ("spec:\n", "spec:\n  tolerations: [{key: a, operator: ^In}]\n", "operator takes one of Exists"),
            ("spec:\n", "spec:\n  tolerations: [^{operator: Equal}]\n", "needs operator: Exists"),
            ("spec:\n", "spec:\n  tolerations: [{operator: Exists, effect: ^Never}]\n", "effect takes one of"),
            ("spec:\n", "spec:\n  tolerations: [{operator: Exists, key: ^a b}]\n", "must be a key of labels"),
            ("spec:\n", "spec:\n  tolerations: [{operator: Exists, value: ^a}]\n", "does not fit the operator"),
            ("spec:\n", "spec:\n  hostAliases: [{ip: ^a, hostnames: [b]}]\n", "must be an IP address"),
            (
                "spec:\n",
                "spec:\n  topologySpreadConstraints: [{maxSkew: ^0, topologyKey: a, whenUnsatisfiable: DoNotSchedule}]\n",
                "maxSkew must be a number from 1",
            ),
            ("spec:\n", "spec:\n  runtimeClassName: ^\"\"\n", "runtimeClassName: \"\" must be"),
            ("spec:\n", "spec:\n  dnsPolicy: ^None\n", "needs dnsConfig.nameservers"),
            (
                "spec:\n",
                "spec:\n  dnsConfig: {nameservers: [1.1.1.1, 1.1.1.2, 1.1.1.3, ^1.1.1.4]}\n",
                "more than 3 items",
            ),
            ("spec:\n", "spec:\n  dnsConfig: {searches: [^A]}\n", "must be a domain name"),
            (
                "spec:\n",
                "spec:\n  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: ^[]}}}\n",
                "nodeSelectorTerms is missing or empty",
            ),
            (
                "spec:\n",
                "spec:\n  affinity: {nodeAffinity: {requiredDuringSchedulingIgnoredDuringExecution: {nodeSelectorTerms: [{matchExpressions: [^{key: a, operator: In}]}]}}}\n",
                "the operator In needs at least one value",
            ),
            ("spec:\n", "spec:\n  readinessGates: [{conditionType: ^a b}]\n", "must be a key of labels"),
            ("spec:\n", "spec:\n  terminationGracePeriodSeconds: ^1e20\n", "must be a whole number"),
            ("spec:\n", "spec:\n  terminationGracePeriodSeconds: ^1e19\n", "must be a whole number"),
            // What a container has.
            (
                "image: a",
                "image: a, volumeDevices: [^{name: v, devicePath: /d}]",
                "volumeDevices need a volume of the API",
            ),
            ("image: a", "image: a, securityContext: {procMount: ^Unmasked}", "needs hostUsers: false"),
            (
                "image: a",
                "image: a, readinessProbe: {exec: {command: [a]}, terminationGracePeriodSeconds: ^5}",
                "can have no terminationGracePeriodSeconds",
            ),
            (
                "image: a",
                "image: a, securityContext: {appArmorProfile: {type: Localhost, localhostProfile: ^\" x \"}}",
                "without blanks",
            ),
            (
                "image: a",
                "image: a, securityContext: {seccompProfile: ^{type: Localhost}}",
                "needs a localhostProfile",
            ),
            (
                "image: a",
                "image: a, env: [{name: A, valueFrom: {fieldRef: {fieldPath: ^status.x}}}]",
                "is not known here",
            ),
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
            ("image: a", "image: a, resources: {limits: {cpu: 1, a.b/c: 2}, requests: {cpu: 1000m}}"),
            ("spec:\n", "spec:\n  hostNetwork: on\n  restartPolicy: ~\n"),
            ("spec:\n", "spec:\n  terminationGracePeriodSeconds: -5\n"),
            ("spec:\n", "spec:\n  terminationGracePeriodSeconds: 1e18\n"),
            ("spec:\n", "spec:\n  hostUsers: false\n"),
            ("spec:\n", "spec:\n  securityContext: {supplementalGroups: [null, 1]}\n"),
            (
                "image: a",
                "image: a, securityContext: {seccompProfile: {type: Localhost, localhostProfile: \" x \"}}",
            ),
            ("spec:\n", "spec:\n  tolerations: [{operator: Exists}, {key: a, value: b}]\n"),
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
