//! Each setting of the program counts on a control plane that runs (`tests/common/control_plane.rs`), in seconds. The
//! cases of `vm-tests` show what the program does on a real control plane.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use common::control_plane::{CLUSTER, ControlPlane};
use serde_json::{Value, json};

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_run_is_proved_told_and_put_back() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        100,
        "run apply apply --wait 1m --output json; cp /mnt/configmap /mnt/edited; cp /mnt/pid /mnt/proved
         run verify verify --output json; run text verify
         run status status --output json; run told status
         run restore restore; cp /mnt/configmap /mnt/restored; settle
         run again apply; settle
         sed 's/v1.33.1/v1.33.2/' /mnt/configmap >/mnt/upgraded; cp /mnt/upgraded /mnt/configmap
         run preview restore --dry-run --output json; run left restore --output json",
    );
    let process: u32 = node.text("proved").trim().parse().unwrap();
    let applied = node.json("apply", 0);
    for proof in [&applied["proof"], &node.json("verify", 0)] {
        let seconds = proof["seconds"].as_f64().unwrap();
        assert_eq!(*proof, json!({"proved": true, "process": process, "event": "/version", "seconds": seconds}));
    }
    assert!(node.stdout("text", 0).starts_with(&format!("the API server (process {process}) runs with")));
    assert!(node.cluster("edited").contains("audit-policy-file"));

    let status = node.json("status", 0);
    assert_eq!(status["lost"]["events"], json!({"log": 7}));
    assert_eq!((&status["role"], &status["unproved"]), (&json!("control-plane"), &Value::Null));
    assert_eq!(status["storage"]["directory"], "/var/log/kubernetes/audit");
    let told = node.stdout("told", 0);
    let since = status["lost"]["since"].as_str().unwrap();
    assert!(
        told.contains(&format!(
            "\nevents    lost     since the API server started at {since}, as it counts: 7 by log"
        )),
        "{told}"
    );
    assert!(told.contains("\nplace     volatile   /var/log/kubernetes/audit: tmpfs"), "{told}");

    node.stdout("restore", 0);
    assert_eq!(node.cluster("restored"), CLUSTER);
    // What kubeadm changed since stays.
    let upgraded = node.cluster("upgraded");
    assert!(upgraded.contains("v1.33.2") && upgraded.contains("audit-policy-file"));
    for (run, code) in [("preview", 3), ("left", 0)] {
        let restore = node.json(run, code);
        let notes = restore["notes"].as_array().unwrap();
        let note = "kube-system/configmaps/kubeadm-config is not put back, because it was changed since";
        assert!(notes.iter().any(|one| one.as_str().unwrap().starts_with(note)), "{notes:?}");
        let paths: Vec<_> =
            restore["changes"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
        assert!(paths.contains(&"/etc/kubernetes/manifests/kube-apiserver.yaml"), "{paths:?}");
        assert!(!paths.iter().any(|path| path.contains("kubeadm-config")), "{paths:?}");
    }
    assert_eq!(node.cluster("configmap"), upgraded);
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_cannot_be_proved_is_put_back_in_the_cluster_too() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "cp \"$manifest\" /mnt/before; : >/mnt/broken
         run apply apply --wait 2s --output json; cp \"$manifest\" /mnt/after; settle",
    );
    let proof = node.json("apply", 4)["proof"].clone();
    assert_eq!(proof["proved"], false);
    let reason = proof["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(
            "no API server runs with the audit flags of the manifest after 2 s; everything is as it was"
        ),
        "{reason}"
    );
    assert_eq!(node.text("after"), node.text("before"));
    assert_eq!((node.cluster("configmap").as_str(), node.count_asked(" replace --raw ")), (CLUSTER, 2));
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn the_clusters_own_configuration_is_left_to_who_says_so() {
    for (config, option, is_edited) in
        [("", "", true), ("", "--no-cluster", false), ("kubeadm: {cluster: false}", "", false)]
    {
        let node = ControlPlane::tell(config, 0, &format!("run apply apply {option}"));
        assert!(node.stdout("apply", 0).contains("manifest  edit "), "{config} {option}");
        assert_eq!(node.cluster("configmap").contains("audit-policy-file"), is_edited, "{config} {option}");
        assert_eq!(node.count_asked("kubeadm-config") > 0, is_edited, "{config} {option}");
    }
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn the_old_api_server_is_ended_as_the_configuration_says() {
    for (restart, ends, words) in [
        ("{drain: 0s}", "ended", Some("0 s")),
        ("{drain: 1.5s}", "ended", Some("1.5 s")),
        ("{mode: graceful}", "killed", None),
        ("{mode: graceful, drain: 0s}", "killed", None),
    ] {
        // Who leaves it to the kubelet waits this long; the others have it ended before.
        let grace = if words.is_some() { 300 } else { 20 };
        let node = ControlPlane::tell(&format!("restart: {restart}"), grace, "run apply apply --wait 1m -v");
        node.stdout("apply", 0);
        let stderr = node.stderr("apply");
        assert_eq!(node.lines("ends"), [ends], "{restart}: {stderr}");
        let closed = "the old one takes no more requests; it has ";
        let told = stderr.lines().find_map(|line| line.split_once(closed)?.1.strip_suffix(" for those under way"));
        assert_eq!(told, words, "{restart}: {stderr}");
    }
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn three_repairs_within_an_hour_are_the_last_ones() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "run apply apply; settle
         for repair in 1 2 3; do
             set=/var/lib/kube-audit-bootstrap/backups/20990101T00000${repair}Z
             mkdir \"$set\"
             when='\"when\": \"2099-01-01T00:00:00Z\"'
             echo \"{\\\"version\\\": 1, $when, \\\"why\\\": \\\"heal\\\", \\\"entries\\\": []}\" >\"$set/index.json\"
         done
         cp /mnt/manifest \"$manifest\"; settle
         run heal apply --heal --wait 1m; cp \"$manifest\" /mnt/after; run status status --output json",
    );
    assert_eq!(node.stdout("heal", 1), "");
    let stderr = node.stderr("heal");
    assert!(
        stderr
            .contains("it was repaired 3 times within an hour, and is without its settings again; it is left so"),
        "{stderr}"
    );
    assert_eq!(node.text("after"), node.text("manifest"));
    assert_eq!(node.json("status", 3)["selfHealing"]["stopped"], true);
}

/// A run may have been killed before it had mounted everything, and a restore before it had put everything back.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_was_mounted_is_taken_away_and_what_is_half_done_too() {
    let node = ControlPlane::tell(
        "",
        0,
        "log=/var/log/kubernetes/audit set=/var/lib/kube-audit-bootstrap/backups/20260101T000000Z
         mkdir -p \"$log\" \"$set\"
         echo '{\"version\": 1, \"when\": \"2026-01-01T00:00:00Z\", \"why\": \"apply\", \
                \"entries\": [{\"path\": \"/var/log/kubernetes/audit/\", \
                \"action\": \"mounted\", \"mode\": 448, \"uid\": 0, \"gid\": 0}]}' >\"$set/index.json\"
         run nothing restore --dry-run --output json
         mkdir \"$log.before-mount\"; : >\"$log.before-mount/audit.log\"
         run moved restore --dry-run --output json
         mount -t tmpfs events \"$log\"
         run both restore --dry-run --output json
         mv \"$log.before-mount\" /var/kept
         run mounted restore --dry-run --output json
         mv /var/kept \"$log.before-mount\"
         run restore restore
         ls \"$log\" >/mnt/left; grep \" $log \" /proc/self/mountinfo >/mnt/mounts || :",
    );
    let path = "/var/log/kubernetes/audit";
    let stays = format!("all events in {path} stay on events, in its directory /");
    for (run, is_undone, is_mounted) in
        [("nothing", false, false), ("moved", true, false), ("both", true, true), ("mounted", true, true)]
    {
        let restore = node.json(run, if is_undone { 3 } else { 0 });
        let change = json!({"action": "unmount", "path": path, "diff": null});
        assert_eq!(restore["changes"], Value::from(if is_undone { vec![change] } else { vec![] }), "{run}");
        let notes = if is_mounted { vec![stays.as_str()] } else { vec![] };
        assert_eq!(restore["notes"], Value::from(notes), "{run}");
    }
    node.stdout("restore", 0);
    assert_eq!((node.lines("left"), node.text("mounts").as_str()), (vec!["audit.log".to_owned()], ""));
}
