//! The program opens no connection, but kubectl, which it runs, does. strace shows which program makes which call.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;

use common::control_plane::ControlPlane;
use common::strace::{Call, calls};

/// The network system calls in a trace: those of kubectl, and all others.
#[derive(Debug, Default)]
struct Calls {
    own: Vec<String>,
    kubectl: Vec<String>,
}

impl Calls {
    fn read(trace: &str) -> Calls {
        let mut found = Calls::default();
        // A thread, and a child that has not become another program, count as the program itself.
        let mut programs: BTreeMap<&str, &str> = BTreeMap::new();
        for call @ Call { process, name, line } in calls(trace) {
            if name == "execve" {
                programs.insert(process, call.quoted()[0]);
                continue;
            }
            let is_kubectl = programs.get(process).is_some_and(|path| path.ends_with("/kubectl"));
            if is_kubectl { &mut found.kubectl } else { &mut found.own }.push(line.to_owned());
        }
        found
    }
}

#[test]
#[ignore = "needs strace and namespaces: `make test` runs it"]
fn nobody_but_kubectl_opens_a_connection() {
    let runs = [
        ("plan", "plan", 3, "+++ b/kube-system/configmaps/kubeadm-config", true),
        ("before", "status", 3, "kubeadm   differs  kube-system/configmaps/kubeadm-config", true),
        ("apply", "apply", 0, "kube-system/configmaps/kubeadm-config", true),
        ("after", "status", 0, "kubeadm   ok       kube-system/configmaps/kubeadm-config", true),
        ("verify", "verify --wait 1m", 0, " runs with ", true),
        ("render", "render rsyslog", 0, "logs.example.com", false),
        ("restore", "restore", 0, "kube-system/configmaps/kubeadm-config", true),
    ];
    let story = runs.map(|(name, arguments, ..)| format!("trace {name} {arguments}; settle")).join("\n");
    let node = ControlPlane::tell("restart: {drain: 0s}", 0, &story);
    for (name, arguments, code, says, asks) in runs {
        let said = node.stdout(name, code);
        assert!(said.contains(says), "{arguments}: {said}{}", node.stderr(name));
        let calls = Calls::read(&node.text(&format!("{name}/trace")));
        assert_eq!(calls.own, [""; 0], "{arguments}");
        // strace sees the connections of kubectl, so it would see one of the program.
        assert_eq!(calls.kubectl.iter().any(|line| line.contains(" connect(")), asks, "{arguments}: {calls:?}");
    }
}
