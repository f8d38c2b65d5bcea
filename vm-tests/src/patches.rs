//! Random kubeadm configurations with patches, and what is right about the manifests that kubeadm makes of them. This
//! shares no code with the program.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use crate::random::Random;

/// The directory of the patches.
pub const DIRECTORY: &str = "etc/kubernetes/patches";

const POLICY: &str = "/etc/kubernetes/audit-policy.yaml";
const LOG: &str = "/var/log/kubernetes/audit";

/// A configuration with patches.
#[derive(Debug)]
pub struct Sample {
    /// The text of kubeadm's configuration.
    pub config: String,
    /// The names below [`DIRECTORY`], and the texts.
    pub patches: Vec<(String, String)>,
    /// The directories that the node has.
    pub directories: Vec<&'static str>,
    /// There is a patch at which kubeadm stops.
    pub stops: bool,
}

/// Patches at which each kubeadm stops.
const STOPS: [(&str, &str); 7] = [
    ("etcd+.yaml", "spec: {priority: 1}\n"),
    ("kube-scheduler1+patch.json", ""),
    ("kube-apiserver2+other.yaml", "spec: {priority: 1}\n"),
    ("kube-controller-manager+json.yaml", "spec: {priority: 1}\n"),
    ("kube-scheduler+json.yaml", "- {op: put, path: /spec/priority, value: 1}\n"),
    ("kube-scheduler.yaml", "- {op: add, path: /spec/priority, value: 1}\n"),
    ("kube-apiserver3+merge.yaml", "# nothing\n"),
];

struct Draw(Random);

impl Draw {
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.0.below(limit as u64)).unwrap_or_default()
    }

    /// True once in `n` times.
    fn once_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())].clone()
    }

    fn some<T: Clone>(&mut self, of: &[T], one_in: usize) -> Vec<T> {
        of.iter().filter(|_| self.once_in(one_in)).cloned().collect()
    }
}

/// Draws a sample for an API version. The same seed gives the same sample.
pub fn draw(seed: u64, api: &str, version: &str, has_lists: bool) -> Sample {
    let mut draw = Draw(Random::new(seed));
    let config = config(&mut draw, api, version, has_lists);
    let count = 1 + draw.below(3);
    let mut patches: BTreeMap<_, _> = (0..count).map(|_| patch(&mut draw)).collect();
    let stops = draw.once_in(8);
    if stops {
        let (name, text) = draw.one(&STOPS);
        patches.insert(name.to_owned(), text.to_owned());
    }
    let patches = patches.into_iter().collect();
    let pki = ["etc/pki/ca-trust", "etc/pki/tls/certs", "etc/ca-certificates", "usr/share/ca-certificates"];
    Sample { config, patches, directories: draw.some(&pki, 2), stops }
}

fn config(draw: &mut Draw, api: &str, version: &str, has_lists: bool) -> String {
    let known = [
        ("v", "2"),
        ("profiling", "false"),
        ("authorization-mode", "Node,RBAC"),
        ("anonymous-auth", "false"),
        ("audit-log-maxage", "7"),
        ("audit-log-path", "/var/log/old/audit.log"),
        ("zz", "1"),
        ("admission-control-config-file", "/etc/a.yaml"),
    ];
    let mut args = draw.some(&known, 3);
    args.sort_unstable();
    let args = if has_lists {
        json!(args.iter().map(|(name, value)| json!({"name": name, "value": value})).collect::<Vec<_>>())
    } else {
        json!(args.iter().copied().collect::<BTreeMap<_, _>>())
    };
    let volumes = [
        json!({"name": "a", "hostPath": "/opt/a", "mountPath": "/opt/a", "readOnly": true, "pathType": "DirectoryOrCreate"}),
        json!({"name": "audit", "hostPath": "/opt/b", "mountPath": "/opt/b"}),
        json!({"name": "zz", "hostPath": "/etc/z", "mountPath": "/etc/z", "pathType": "File"}),
        json!({"name": "logs", "hostPath": "/var/log", "mountPath": "/var/log"}),
        json!({"name": "ca-certs", "hostPath": "/opt/c", "mountPath": "/etc/ssl/certs", "readOnly": true}),
    ];
    let mut cluster = json!({
        "apiVersion": api, "kind": "ClusterConfiguration", "kubernetesVersion": format!("v{version}"),
        "apiServer": {"extraArgs": args, "extraVolumes": draw.some(&volumes, 4)}
    });
    if draw.once_in(5) {
        cluster["certificatesDir"] = "/etc/certs".into();
    }
    if draw.once_in(5) {
        cluster["etcd"] = json!({"external": {
            "endpoints": ["https://192.0.2.9:2379"],
            "caFile": "/etc/etcd/ca.crt", "certFile": "/etc/etcd/tls/c.crt", "keyFile": "/etc/etcd/tls/c.key"
        }});
    }
    let init = json!({
        "apiVersion": api, "kind": "InitConfiguration", "localAPIEndpoint": {"advertiseAddress": "192.0.2.7"},
        "nodeRegistration": {"name": "node", "criSocket": "unix:///run/x.sock"},
        "patches": {"directory": format!("/{DIRECTORY}")}
    });
    format!("{init:#}\n---\n{cluster:#}\n")
}

/// A patch: its name and its text.
fn patch(draw: &mut Draw) -> (String, String) {
    let suffix = draw.one(&["", "0", "9", "-more", "_x"]);
    let below = draw.one(&["", "", "", "deep/"]);
    let end = draw.one(&["yaml", "json"]);
    let (kind, document) = match draw.below(10) {
        0 => return ("etcd0.yaml".to_owned(), "spec: {containers: null}\n".to_owned()),
        // kubeadm ignores these.
        1 => {
            let name = draw.one(&["README.md", "kube-apiserver.yml", "kube-proxy+.yaml", "etcd3.json"]);
            let text = if name == "etcd3.json" { "" } else { "spec: {containers: null}\n" };
            return (name.to_owned(), text.to_owned());
        }
        2..5 => ("+json", json!((0..=draw.below(4)).map(|_| operation(draw)).collect::<Vec<_>>())),
        5..7 => ("+merge", tree(draw, false)),
        7 => ("+strategic", tree(draw, true)),
        _ => ("", tree(draw, true)),
    };
    let text = if draw.once_in(3) {
        serde_yaml::to_string(&document).unwrap_or_default()
    } else {
        format!("{document:#}\n")
    };
    (format!("{below}kube-apiserver{suffix}{kind}.{end}"), text)
}

fn words(draw: &mut Draw) -> Vec<&'static str> {
    let known = [
        "kube-apiserver",
        "--v=4",
        "--audit-log-maxage=1",
        "--audit_policy_file=/x",
        "--profiling=true",
        "--zz=2",
    ];
    draw.some(&known, 2)
}

fn mount(draw: &mut Draw) -> Value {
    let mut mount = json!({
        "mountPath": draw.one(&["/opt/a", "/mnt", "/var/log", LOG, POLICY, "/etc/kubernetes", "/etc/kubernetes/pki"]),
        "name": draw.one(&["a", "audit", "audit-log", "k8s-certs", "new", "zz"])
    });
    if draw.once_in(3) {
        mount["readOnly"] = draw.one(&[true, false]).into();
    }
    mount
}

fn volume(draw: &mut Draw) -> Value {
    let source = draw.one(&[
        json!({"hostPath": {"path": "/opt/new", "type": ""}}),
        json!({"hostPath": {"path": LOG}}),
        json!({"emptyDir": {}}),
        json!({}),
    ]);
    let mut volume = source;
    volume["name"] = draw.one(&["new", "new", "new2", "a", "audit", "audit-log"]).into();
    volume
}

fn user(draw: &mut Draw) -> Value {
    draw.one(&[
        json!({"runAsUser": 1234}),
        json!({"runAsNonRoot": false}),
        json!({"runAsUser": 0, "runAsGroup": 7}),
        Value::Null,
    ])
}

/// An operation, with a value that its path can have.
fn operation(draw: &mut Draw) -> Value {
    let index = draw.one(&["0", "1", "2", "3", "4", "7", "12", "20", "40", "-", "-", "-", "-1", "x"]);
    let container = "/spec/containers/0";
    let (path, value) = match draw.below(16) {
        0..3 => (
            format!("{container}/command/{index}"),
            json!(draw.one(&["--v=4", "--zz=3", "--audit-log-maxage=1", "--a=b"])),
        ),
        3 => (format!("{container}/args"), json!(words(draw))),
        4 => (format!("{container}/volumeMounts/{index}"), mount(draw)),
        5 => (format!("/spec/volumes/{index}"), volume(draw)),
        6 => (format!("{container}/volumeMounts/{index}/readOnly"), json!(draw.one(&[true, false]))),
        7 => (format!("/spec/volumes/{index}/hostPath/path"), json!("/opt/moved")),
        8 => (format!("{container}/securityContext"), user(draw)),
        9 => ("/spec/securityContext".to_owned(), user(draw)),
        10 => (format!("/metadata/labels/{index}"), json!("label")),
        11 => (format!("{container}/resources/limits"), json!({"memory": "2Gi"})),
        12 => (format!("{container}/livenessProbe/failureThreshold"), json!(5)),
        13 => ("/spec/priority".to_owned(), json!(5)),
        14 => (
            format!("/spec/containers/{}", draw.one(&["-", "0", "1"])),
            json!({"name": "side", "image": "x", "command": ["x"]}),
        ),
        _ => (format!("{container}/command"), json!(words(draw))),
    };
    let from = draw.one(&["/spec/volumes/0", "/spec/containers/0/command/1", "/metadata/labels/tier"]);
    match draw.below(12) {
        0 => json!({"op": "remove", "path": path}),
        1..4 => json!({"op": "replace", "path": path, "value": value}),
        4 => json!({"op": "test", "path": path, "value": value}),
        5 => {
            json!({"op": draw.one(&["move", "copy"]), "from": from, "path": draw.one(&["/spec/volumes/-", "/spec/containers/0/command/-", "/metadata/labels/x"])})
        }
        _ => json!({"op": "add", "path": path, "value": value}),
    }
}

/// A merge patch, or a strategic one, which can have directives.
fn tree(draw: &mut Draw, is_strategic: bool) -> Value {
    let mut document = json!({"spec": {}});
    if draw.once_in(2) {
        document["metadata"] =
            json!({"labels": {"a": "b"}, "annotations": {"x": draw.one(&[json!("y"), Value::Null])}});
    }
    let spec = &mut document["spec"];
    if draw.once_in(3) {
        spec["priority"] = json!(7);
    }
    if draw.once_in(5) {
        spec["securityContext"] = user(draw);
    }
    // A merge patch replaces lists, which is seldom right.
    if draw.once_in(if is_strategic { 2 } else { 6 }) {
        let mut volumes: Vec<_> = (0..draw.below(3)).map(|_| volume(draw)).collect();
        if is_strategic && draw.once_in(4) {
            volumes.push(draw.one(&[
                json!({"$patch": "delete", "name": "audit-log"}),
                json!({"$patch": "delete", "name": "a"}),
                json!({"$patch": "replace"}),
            ]));
        }
        spec["volumes"] = volumes.into();
    }
    if is_strategic && draw.once_in(6) {
        spec["$setElementOrder/volumes"] = json!([{"name": "k8s-certs"}, {"name": "new"}, {"name": "audit"}]);
    }
    if draw.once_in(if is_strategic { 1 } else { 6 }) {
        let mut container = json!({"name": "kube-apiserver"});
        for field in draw.some(&["resources", "env", "args", "command", "mounts", "user", "delete", "retain"], 4) {
            match field {
                "resources" => container["resources"] = json!({"limits": {"cpu": "1"}}),
                "env" => container["env"] = json!([{"name": "A", "value": "1"}]),
                "args" => container["args"] = json!(words(draw)),
                "command" if draw.once_in(3) => container["command"] = json!(words(draw)),
                "mounts" => container["volumeMounts"] = json!([mount(draw)]),
                "user" => container["securityContext"] = user(draw),
                "delete" if is_strategic => {
                    container["$deleteFromPrimitiveList/command"] =
                        json!([draw.one(&["--profiling=false", "--audit-log-maxage=30", "--v=2"])]);
                }
                "retain" if is_strategic && draw.once_in(4) => {
                    container["$retainKeys"] = json!(["name", "command"])
                }
                _ => {}
            }
        }
        let mut containers = vec![container];
        if draw.once_in(4) {
            containers.push(json!({"name": "side", "image": "x", "command": ["x"]}));
        }
        spec["containers"] = containers.into();
    }
    document
}

/// What is to be said of a patched manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Right {
    Yes,
    /// Both answers are right: it audits, but not as the settings ask for it in each detail.
    Either,
    No(String),
}

/// A manifest of kubeadm's.
pub type Made = Result<Value, String>;

/// Judges a manifest with settings and patches: by the one with settings alone, and by the one with patches alone.
pub fn judge(patched: &Made, audited: &Value, plain: &Made) -> Right {
    let no = |why: String| Right::No(why);
    let patched = match (patched, plain) {
        (Ok(patched), _) => patched,
        (Err(_), Err(_)) => return Right::Either,
        (Err(why), Ok(_)) => return no(format!("kubeadm fails because of the settings: {why}")),
    };
    let Some(container) = api_server(patched) else { return no("there is no API server".to_owned()) };
    let Some(before) = api_server(audited) else { return no("there was no API server".to_owned()) };
    let (has, wants) = (audit_flags(container), audit_flags(before));
    if has != wants {
        return no(format!("it has the flags {has:?}"));
    }
    if let Err(why) = valid(patched) {
        return no(why);
    }
    // kube-apiserver takes no arguments besides flags, and ends (`cmd/kube-apiserver/app/server.go`).
    if let Some(word) =
        all_words(container).iter().skip(1).find(|word| !word.is_empty() && !word.starts_with("--"))
    {
        return no(format!("it has the word {word:?}"));
    }
    let (policy, log) = (seen(patched, container, POLICY), seen(patched, container, LOG));
    match (&policy, &log) {
        (Some((POLICY, _)), Some((LOG, false))) => {}
        _ => return no(format!("the policy is {policy:?}, and the log {log:?}")),
    }
    if let Ok(plain) = plain {
        let ours = ours(audited);
        if rest(patched, &ours) != rest(plain, &ours) {
            return no("the settings change what the patches do".to_owned());
        }
    }
    // The program asks for the kind of each volume, and for a policy that the API server cannot write.
    let exact = |path: &str| {
        let mount = list(container, "volumeMounts").iter().find(|mount| mount["mountPath"] == path);
        let volume =
            mount.and_then(|mount| volumes(patched).iter().find(|volume| volume["name"] == mount["name"]));
        let wanted = list(before, "volumeMounts").iter().find(|mount| mount["mountPath"] == path);
        let wanted_volume =
            wanted.and_then(|mount| volumes(audited).iter().find(|volume| volume["name"] == mount["name"]));
        volume == wanted_volume && mount.map(|mount| &mount["readOnly"]) == wanted.map(|mount| &mount["readOnly"])
    };
    let all = all_words(container);
    let mut flags = all.iter().filter_map(|word| audit_flag(word));
    let is_said_once = flags.all(|(name, value)| wants.get(&name) == Some(&value));
    if is_said_once && exact(POLICY) && exact(LOG) { Right::Yes } else { Right::Either }
}

/// The user and the group of the API server, if the manifest has them.
pub fn owner(manifest: &Value) -> (u32, u32) {
    let of = |field: &str| {
        let own = api_server(manifest).map(|container| &container["securityContext"][field]);
        let own = own.filter(|value| !value.is_null()).unwrap_or(&manifest["spec"]["securityContext"][field]);
        own.as_u64().and_then(|id| u32::try_from(id).ok()).unwrap_or_default()
    };
    (of("runAsUser"), of("runAsGroup"))
}

fn list<'v>(value: &'v Value, field: &str) -> &'v [Value] {
    value[field].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn volumes(manifest: &Value) -> &[Value] {
    list(&manifest["spec"], "volumes")
}

fn api_server(manifest: &Value) -> Option<&Value> {
    list(&manifest["spec"], "containers").iter().find(|container| container["command"][0] == "kube-apiserver")
}

fn all_words(container: &Value) -> Vec<String> {
    let words = ["command", "args"].into_iter().flat_map(|field| list(container, field));
    words.filter_map(|word| word.as_str().map(str::to_owned)).collect()
}

/// The name of an audit flag, and its value.
fn audit_flag(word: &str) -> Option<(String, String)> {
    let (name, value) = word.strip_prefix("--")?.split_once('=')?;
    let name = name.replace('_', "-");
    name.starts_with("audit-").then(|| (name, value.to_owned()))
}

/// The audit flags, of which the last one of a name counts.
fn audit_flags(container: &Value) -> BTreeMap<String, String> {
    all_words(container).iter().filter_map(|word| audit_flag(word)).collect()
}

/// What the kubelet demands of volumes and mounts.
fn valid(manifest: &Value) -> Result<(), String> {
    let mut names = BTreeSet::new();
    for volume in volumes(manifest) {
        let sources = volume.as_object().map_or(0, |fields| fields.keys().filter(|key| *key != "name").count());
        // Without a source, the kubelet takes an emptyDir (`SetDefaults_Volume`).
        if !names.insert(volume["name"].to_string()) || sources > 1 {
            return Err(format!("the volume {volume} is not valid"));
        }
    }
    for container in list(&manifest["spec"], "containers") {
        let mut paths = BTreeSet::new();
        for mount in list(container, "volumeMounts") {
            if !paths.insert(mount["mountPath"].to_string()) || !names.contains(&mount["name"].to_string()) {
                return Err(format!("the mount {mount} is not valid"));
            }
        }
    }
    Ok(())
}

/// Where a path of the container is on the host, and whether it is read-only there.
fn seen<'m>(manifest: &'m Value, container: &'m Value, path: &'static str) -> Option<(&'m str, bool)> {
    let is_above = |mount: &&Value| {
        let at = mount["mountPath"].as_str().unwrap_or_default();
        path == at || path.strip_prefix(at).is_some_and(|rest| rest.starts_with('/'))
    };
    let mounts = list(container, "volumeMounts").iter().filter(is_above);
    let mount = mounts.max_by_key(|mount| mount["mountPath"].as_str().map_or(0, str::len))?;
    let volume = volumes(manifest).iter().find(|volume| volume["name"] == mount["name"])?;
    let host = volume["hostPath"]["path"].as_str()?;
    let is_same = host == mount["mountPath"].as_str()?;
    Some((if is_same { path } else { host }, mount["readOnly"] == true))
}

/// The names of the volumes at the paths of the settings, and these paths.
fn ours(audited: &Value) -> BTreeSet<String> {
    let mounts = api_server(audited).map(|container| list(container, "volumeMounts")).unwrap_or_default();
    let mounts = mounts.iter().filter(|mount| [POLICY, LOG].iter().any(|path| mount["mountPath"] == *path));
    mounts.flat_map(|mount| [mount["name"].to_string(), mount["mountPath"].to_string()]).collect()
}

/// What is in a manifest beside the audit settings. The order of its lists does not count.
fn rest(manifest: &Value, ours: &BTreeSet<String>) -> Value {
    let mut manifest = manifest.clone();
    let is_other =
        |item: &Value| ![&item["name"], &item["mountPath"]].iter().any(|of| ours.contains(&of.to_string()));
    let keep = |list: Option<&mut Value>, wanted: &dyn Fn(&Value) -> bool| {
        if let Some(items) = list.and_then(Value::as_array_mut) {
            items.retain(|item| wanted(item));
            items.sort_by_cached_key(Value::to_string);
        }
    };
    keep(manifest.pointer_mut("/spec/volumes"), &is_other);
    for container in manifest.pointer_mut("/spec/containers").and_then(Value::as_array_mut).into_iter().flatten() {
        keep(container.get_mut("volumeMounts"), &is_other);
        for field in ["command", "args"] {
            keep(container.get_mut(field), &|word| word.as_str().and_then(audit_flag).is_none());
        }
    }
    manifest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn manifest(words: &[&str], log: &str, more: &Value) -> Value {
        let mut command = vec!["kube-apiserver"];
        command.extend(words);
        json!({"spec": {
            "containers": [{"name": "kube-apiserver", "command": command, "volumeMounts": [
                {"mountPath": POLICY, "name": "p", "readOnly": true}, {"mountPath": LOG, "name": "l"}
            ]}],
            "volumes": [{"name": "p", "hostPath": {"path": POLICY}}, {"name": "l", "hostPath": {"path": log}}],
            "more": more
        }})
    }

    #[test]
    fn what_ends_auditing_is_not_right() {
        let flags = ["--audit-policy-file=/p", "--audit-log-maxage=30"];
        let audited = manifest(&flags, LOG, &json!(1));
        let fine = |made: Value| judge(&Ok(made.clone()), &audited, &Ok(made));
        assert_eq!(fine(audited.clone()), Right::Yes);
        assert_eq!(fine(manifest(&flags, LOG, &json!(2))), Right::Yes);
        let twice = ["--audit_log_maxage=1", flags[0], flags[1]];
        assert_eq!(fine(manifest(&twice, LOG, &json!(1))), Right::Either);
        for wrong in [
            manifest(&flags[..1], LOG, &json!(1)),
            manifest(&[flags[0], flags[1], "--audit-log-maxage=1"], LOG, &json!(1)),
            manifest(&flags, "/other", &json!(1)),
        ] {
            assert!(matches!(fine(wrong.clone()), Right::No(_)), "{wrong}");
        }
        let differs = judge(&Ok(audited.clone()), &audited, &Ok(manifest(&flags, LOG, &json!(2))));
        assert!(matches!(differs, Right::No(_)), "the settings change something else");
        let failed = || Err("it failed".to_owned());
        assert!(matches!(judge(&failed(), &audited, &Ok(audited.clone())), Right::No(_)));
        assert_eq!(judge(&failed(), &audited, &failed()), Right::Either);
    }

    #[test]
    fn samples_are_the_same_for_the_same_seed() {
        let said = |seed| format!("{:?}", draw(seed, "kubeadm.k8s.io/v1beta4", "1.37.2", true));
        assert_eq!(said(1), said(1));
        assert_ne!(said(1), said(2));
    }
}
