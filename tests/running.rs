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
         sed -i 's/Metadata/Request/' /etc/kubernetes/audit-policy.yaml; run later verify
         sed -i 's/Request/Metadata/' /etc/kubernetes/audit-policy.yaml
         run restore restore; cp /mnt/configmap /mnt/restored; settle
         run again apply; settle
         sed 's/v1.33.1/v1.33.2/' /mnt/configmap >/mnt/since; cp /mnt/since /mnt/configmap
         run preview restore --dry-run --output json; run left restore --output json",
    );
    let process: u32 = node.text("proved").trim().parse().unwrap();
    let applied = node.json("apply", 0);
    for proof in [&applied["proof"], &node.json("verify", 0)] {
        let seconds = proof["seconds"].as_f64().unwrap();
        let wanted = json!({"proved": true, "process": process, "asked": "admin.conf", "event": "/version", "seconds": seconds});
        assert_eq!(*proof, wanted);
    }
    assert!(node.stdout("text", 0).starts_with(&format!("the API server (process {process}) runs with")));
    assert!(node.cluster("edited").contains("audit-policy-file"));
    // A policy that was written later is not the one that it read.
    for (run, is_warned_of) in [("text", false), ("later", true)] {
        node.stdout(run, 0);
        let stderr = node.stderr(run);
        let is_told = stderr
            .contains("started before this file was written, and reads it only when it starts; run ")
            && stderr.contains("apply --wait 5m");
        assert_eq!(is_told, is_warned_of, "{run}: {}", node.stderr(run));
    }

    let status = node.json("status", 0);
    assert_eq!(status["lost"]["events"], json!({"log": 7}));
    assert_eq!((&status["role"], &status["unproved"]), (&json!("control-plane"), &Value::Null));
    assert_eq!(status["storage"]["directory"], "/var/log/kubernetes/audit");
    let told = node.stdout("told", 0);
    let lost = told.lines().find(|line| line.starts_with("events    lost     since the API server started at 20"));
    assert!(lost.is_some_and(|line| line.contains("Z, by its own count: 7 by log")), "{told}");
    assert!(told.contains("\ndirectory volatile   /var/log/kubernetes/audit: tmpfs"), "{told}");

    node.stdout("restore", 0);
    assert_eq!(node.cluster("restored"), CLUSTER);
    // What kubeadm changed since stays, and only the settings go.
    let upgraded = node.cluster("since");
    assert!(upgraded.contains("v1.33.2") && upgraded.contains("audit-policy-file"));
    for (run, code) in [("preview", 3), ("left", 0)] {
        let restore = node.json(run, code);
        let notes = restore["notes"].as_array().unwrap();
        let note = "kube-system/configmaps/kubeadm-config: something else changed this, too, and that stays";
        assert!(notes.iter().any(|one| one.as_str().unwrap().starts_with(note)), "{notes:?}");
        let paths: Vec<_> =
            restore["changes"].as_array().unwrap().iter().map(|one| one["path"].as_str().unwrap()).collect();
        assert!(paths.contains(&"/etc/kubernetes/manifests/kube-apiserver.yaml"), "{paths:?}");
        assert!(paths.contains(&"kube-system/configmaps/kubeadm-config"), "{paths:?}");
    }
    assert_eq!(node.cluster("configmap"), CLUSTER.replace("v1.33.1", "v1.33.2"));
}

/// Each time, the API server has something else than the files say, and the mark of its pod restarts it.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_the_api_server_does_not_have_is_told_and_mended() {
    let tells = "policy=/etc/kubernetes/audit-policy.yaml log=/var/log/kubernetes/audit/audit.log
         run apply apply; settle; run right status --output json; cp /mnt/pid /mnt/first
         run nothing apply; cp /mnt/pid /mnt/same
         sed 's/Metadata/Request/' $policy >/mnt/other; run wanted status --policy /mnt/other --output json
         later() { age; \"$@\"; }
         later rm $log; run deleted status --output json; run mends-deleted apply; settle
         run after-deleted status --output json
         later mv $log $log.1; run renamed status --output json; run mends-renamed apply; settle
         cp $policy /mnt/policy; later sed -i 's/Metadata/Request/' $policy
         run edited status --existing keep --output json; run mends-edited apply --existing keep; settle
         run after-edited status --existing keep --output json
         later cp /mnt/policy $policy.new; mv $policy.new $policy
         run anew status --output json; run mends-anew apply; settle; run after-anew status --output json
         later rm $policy; run gone status --output json";
    let node = ControlPlane::tell("restart: {drain: 0s}", 0, tells);
    let running = |run: &str, code: i32| node.json(run, code)["running"].clone();
    let right = running("right", 0);
    assert_eq!((&right["state"], &right["reasons"]), (&json!("ok"), &json!([])));
    assert!(node.stdout("nothing", 0).contains("everything is in place"));
    assert_eq!(node.text("same"), node.text("first"));
    // Nobody has written another policy yet, so the API server has the one that is there.
    let wanted = node.json("wanted", 3);
    assert_eq!(
        (&wanted["running"]["state"], &wanted["running"]["reasons"]),
        (&json!("ok"), &json!([])),
        "{wanted}"
    );
    assert!(
        wanted["steps"].as_array().unwrap().iter().any(|one| one["step"] == "policy" && one["state"] == "differs")
    );
    for (run, words) in [
        ("deleted", "the log was deleted"),
        ("renamed", "the log was renamed"),
        ("edited", "started before this file was written"),
        ("anew", "started before this file was written"),
    ] {
        let found = running(run, 3);
        // The manifest was written a moment ago, but before this API server started.
        assert_eq!(found["state"], "differs", "{run}: {found}");
        assert!(found["reasons"][0].as_str().unwrap().contains(words), "{run}: {found}");
        assert!(node.stdout(&format!("mends-{run}"), 0).contains("manifest  edit "), "{run}");
    }
    for run in ["after-deleted", "after-edited", "after-anew"] {
        assert_eq!(running(run, 0)["state"], "ok", "{run}");
    }
    assert!(
        node.json("gone", 3)["steps"]
            .as_array()
            .unwrap()
            .iter()
            .any(|step| { step["step"] == "policy" && step["state"] == "differs" })
    );
}

/// The API server of the manifest can't start without it.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_policy_that_somebody_deletes_during_the_wait_is_the_reason_that_is_told() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        ": >/mnt/broken
         (until grep -q audit-log-path \"$manifest\"; do sleep 0.05; done; rm /etc/kubernetes/audit-policy.yaml) &
         run apply apply --wait 2s --output json; settle",
    );
    let reason = node.json("apply", 4)["proof"]["reason"].as_str().unwrap().to_owned();
    let why = "/etc/kubernetes/audit-policy.yaml: the policy does not exist";
    assert!(reason.contains(why) && reason.contains("; everything is as it was"), "{reason}");
}

/// The API server reads it when it starts, as the policy.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn an_edit_of_the_webhooks_kubeconfig_is_told_and_restarts_the_api_server() {
    let kubeconfig = "{apiVersion: v1, kind: Config, current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}], \
                      clusters: [{name: c, cluster: {server: https://192.0.2.1}}], users: [{name: u, user: {token: t}}]}";
    let story = format!(
        "webhook=/etc/kubernetes/webhook.yaml; echo '{kubeconfig}' >$webhook; chmod 600 $webhook
         run apply apply; settle; run right status --output json; cp /mnt/pid /mnt/first
         age; touch $webhook; run touched status --output json; run heal apply --heal --wait 1m; cp /mnt/pid /mnt/same
         sed -i 's/192.0.2.1/192.0.2.2/' $webhook; run edited status --output json
         run mends apply; settle; run after status --output json; cp /mnt/pid /mnt/second"
    );
    let node =
        ControlPlane::tell("restart: {drain: 0s}\nwebhook: {configFile: /etc/kubernetes/webhook.yaml}", 0, &story);
    for run in ["right", "touched"] {
        assert_eq!(node.json(run, 0)["running"]["state"], "ok", "{run}");
    }
    node.stdout("heal", 0);
    assert_eq!(node.text("same"), node.text("first"), "its times alone are no other kubeconfig");
    let running = node.json("edited", 3)["running"].clone();
    let why = "/etc/kubernetes/webhook.yaml: the API server (process ";
    assert_eq!(running["state"], "differs", "{running}");
    assert!(running["reasons"][0].as_str().unwrap().starts_with(why), "{running}");
    assert!(node.stdout("mends", 0).contains("manifest  edit "));
    assert_eq!(node.json("after", 0)["running"]["state"], "ok");
    assert_ne!(node.text("first"), node.text("second"));
}

/// Right files are no comfort where the API server hangs, ends, or does not run.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn an_api_server_that_does_not_answer_is_told_and_asked_once() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "run apply apply; settle; run unaware status
         : >/mnt/sick; run unready status --output json; rm /mnt/sick
         : >/mnt/hangs; mv /mnt/asked /mnt/before; run silent status --output json; run told status
         mv /mnt/asked /mnt/asks
         run checked policy check; run explained policy explain --user a --verb get --path /x
         : >/mnt/policy-asked; [ ! -e /mnt/asked ] || mv /mnt/asked /mnt/policy-asked
         run plan plan; rm /mnt/hangs
         : >/mnt/ending; while [ -e /mnt/listens ]; do sleep 0.05; done; run closed status --output json
         kill -9 $(cat /mnt/pid); while [ -s /proc/$(cat /mnt/pid)/cmdline ]; do sleep 0.05; done
         run starting status --output json; touch -d '10 minutes ago' \"$manifest\"; run gone status --output json",
    );
    let ok = "running   ok       kube-apiserver";
    assert!(node.stdout("unaware", 0).contains(ok));
    // An answer is an answer, whatever it says.
    assert_eq!(node.json("unready", 0)["running"]["state"], "ok");
    for (run, state, why) in [
        ("silent", "silent", "does not answer (/usr/bin/kubectl: "),
        ("closed", "starting", "takes no requests: it is being started or ended"),
        ("starting", "starting", "the kubelet has not started the API server yet"),
        ("gone", "silent", "no API server of this manifest runs; see the kubelet's log"),
    ] {
        let status = node.json(run, 3);
        let running = &status["running"];
        let reason = running["reasons"][0].as_str().unwrap();
        assert_eq!((&running["state"], &status["inPlace"]), (&json!(state), &json!(false)), "{run}: {running}");
        assert!(reason.contains(&why.replace("/usr/bin/kubectl: ", "")), "{run}: {reason}");
        assert_eq!(
            status["steps"].as_array().unwrap().iter().filter(|step| step["state"] == "unknown").count(),
            1
        );
    }
    // A policy is read from the node's files alone.
    node.stdout("checked", 0);
    node.stdout("explained", 0);
    assert_eq!(node.text("policy-asked"), "");
    let told = node.stdout("told", 3);
    assert!(
        told.contains("\nrunning   silent   kube-apiserver (")
            && told.contains("  does not answer; see the warning\n")
    );
    // Each of the two asked one question, so nobody waits for the next ones.
    let asked = node.lines("asks");
    assert!(asked.len() == 2 && asked.iter().all(|line| line.ends_with(" get --raw /livez")), "{asked:?}");
    node.stdout("plan", 0);
}

/// The API server drops events, and goes on.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_log_without_room_for_an_event_is_not_in_place() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "log=/var/log/kubernetes/audit; mkdir -p $log; mount -t tmpfs -o size=8m audit $log
         run apply apply; settle; run room status --output json
         head -c 8000000 /dev/zero >$log/audit-2026-11-26T12-00-00.000.log; run full status --output json
         rm $log/audit-*; run again status --output json",
    );
    for (run, code) in [("room", 0), ("full", 3), ("again", 0)] {
        let status = node.json(run, code);
        let is_full = code != 0;
        let warns = status["warnings"].as_array().unwrap().iter();
        let is_warned =
            warns.filter_map(Value::as_str).any(|one| one.contains("so no event could be written; make room"));
        assert_eq!((&status["inPlace"], is_warned), (&json!(!is_full), is_full), "{run}: {status}");
    }
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_restore_of_the_clusters_configuration_alone_leaves_repairs_on() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "cp /mnt/configmap /mnt/bare; run apply apply; settle
         cp /mnt/bare /mnt/configmap; run again apply; run restore restore; run status status
         cp /mnt/manifest \"$manifest\"; settle; run boot apply --boot",
    );
    assert!(node.stdout("again", 0).contains("kubeadm   edit the cluster's"));
    assert!(node.stdout("restore", 0).contains("edit the cluster's"));
    let status = node.stdout("status", 3);
    assert!(!status.contains("neither self-healing nor a boot"), "{status}");
    assert!(node.stdout("boot", 0).contains("manifest  edit "));
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn settings_that_a_rollback_leaves_in_the_cluster_are_told_with_the_way_back() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        ": >/mnt/broken; (until grep -q audit-log-path \"$manifest\"; do sleep 0.05; done; : >/mnt/stuck) &
         run apply apply --wait 2s --output json; settle; cp /mnt/configmap /mnt/left; run status status --output json
         rm /mnt/stuck; id=$(sed -n 's/.*run restore \\([^,]*\\), or.*/\\1/p' /mnt/status/stdout)
         run restore restore $id; run after status --output json",
    );
    node.stdout("apply", 4);
    assert!(node.cluster("left").contains("audit-policy-file"));
    let detail = |run: &str| {
        let steps = node.json(run, 3)["steps"].as_array().unwrap().clone();
        let step = steps.into_iter().find(|step| step["path"] == "kube-system/configmaps/kubeadm-config").unwrap();
        assert_eq!(step["state"], "differs", "{run}");
        step["detail"].as_str().unwrap().to_owned()
    };
    let told = detail("status");
    assert!(told.starts_with("still has the settings, and the node does not: run restore 20"), "{told}");
    node.stdout("restore", 0);
    assert_eq!(node.cluster("configmap"), CLUSTER);
    assert!(detail("after").starts_with("apply would edit the cluster's"));
}

/// Power fails, or somebody ends the run, when the files are back and the API server does not answer yet.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_rollback_that_is_killed_before_the_api_server_answers_is_finished_by_the_next_run() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "signal() { for one in /proc/[0-9]*; do [ \"$(cat $one/comm)\" != kubelet ] || kill -$1 ${one#/proc/}; done; }
         : >/mnt/broken; /mnt/bin/kube-audit-bootstrap apply --wait 2s 2>/mnt/told & apply=$!
         until grep -q audit-log-path /mnt/running; do sleep 0.05; done; signal STOP
         while grep -q audit-log-path \"$manifest\"; do sleep 0.05; done; kill -KILL $apply; wait $apply || :
         cp /mnt/configmap /mnt/left; signal CONT; settle; run status status --output json
         run next apply --heal --wait 1m; run after status --output json",
    );
    assert!(node.cluster("left").contains("audit-policy-file"));
    let told = node.json("status", 3).to_string();
    assert!(told.contains("still has the settings, and the node does not: run restore 20"), "{told}");
    node.stdout("next", 0);
    assert_eq!(node.cluster("configmap"), CLUSTER);
    let after = node.json("after", 3).to_string();
    assert!(!after.contains("still has the settings"), "{after}");
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_manifest_that_somebody_puts_back_after_a_rollback_has_the_settings() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        ": >/mnt/deaf; run apply apply --wait 4s & apply=$!
         until grep -q 'it answers' /mnt/apply/stderr; do sleep 0.1; done
         : >/mnt/stuck; mv \"$manifest\" /mnt/away; wait $apply; mv /mnt/away \"$manifest\"; rm /mnt/stuck; settle
         rm -f /etc/kubernetes/audit-policy.yaml; run status status --output json",
    );
    node.stdout("apply", 4);
    let status = node.text("status/stdout");
    assert!(!status.contains("still has the settings"), "{status}");
}

/// The container runtime makes the directory where the policy is missing when a container starts.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn an_empty_directory_in_place_of_the_policy_is_told_and_gives_way() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "policy=/etc/kubernetes/audit-policy.yaml; empty() { rm -f $policy; mkdir $policy; }
         run apply apply --wait 1m; empty; run status status --output json; run heal apply --heal --wait 1m; cp $policy /mnt/healed
         empty; run restore restore --force; [ -e $policy ] || : >/mnt/gone
         : >/mnt/broken
         (until grep -q audit-log-path \"$manifest\"; do sleep 0.05; done; empty) &
         run again apply --wait 2s",
    );
    node.stdout("apply", 0);
    let status = node.json("status", 3);
    let policy = status["steps"].as_array().unwrap().iter().find(|step| step["step"] == "policy").unwrap().clone();
    assert_eq!(policy["state"], "differs", "{policy}");
    assert!(status["warnings"].to_string().contains("there is an empty directory"), "{status}");
    node.stdout("heal", 0);
    assert!(node.text("healed").contains("kind: Policy"));
    node.stdout("restore", 0);
    node.stdout("again", 4);
}

/// The API server audits, but what stands there is not what the run left.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_somebody_changes_during_the_wait_is_told_in_place_of_a_proof() {
    let policy = "/etc/kubernetes/audit-policy.yaml";
    let logs = "/var/log/kubernetes/audit";
    for (change, path) in [
        (format!("sed 's/Metadata/Request/' {policy} >/mnt/new; cp /mnt/new {policy}"), policy),
        (format!("rm {policy}"), policy),
        (format!("mv {logs} {logs}.old; mkdir -m 755 {logs}; cp -p {logs}.old/* {logs}"), logs),
    ] {
        let node = ControlPlane::tell(
            "restart: {drain: 0s}",
            0,
            &format!(
                ": >/mnt/deaf; run apply apply --wait 1m & apply=$!
                 until grep -q 'it answers' /mnt/apply/stderr; do sleep 0.1; done
                 {change}; rm /mnt/deaf; wait $apply; run again apply --wait 1m; run status status"
            ),
        );
        node.stdout("apply", 1);
        let stderr = node.stderr("apply");
        let words = format!("not as this run left it: {path}: ");
        assert!(stderr.contains(&words) && stderr.contains("nothing is rolled back"), "{change}: {stderr}");
        node.stdout("again", 0);
        node.stdout("status", 0);
    }
}

/// kubectl would wait for a FIFO, or hangs whatever it is asked.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_kubectl_that_hangs_is_asked_once_and_gets_no_file_without_an_end() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "admin=/etc/kubernetes/admin.conf; rm $admin; mkfifo $admin; : >/mnt/asked; run fifo status; cp /mnt/asked /mnt/none
         rm $admin; : >$admin
         for kubectl in /usr/bin/kubectl /usr/local/bin/kubectl /opt/bin/kubectl; do
             [ ! -e $kubectl ] || printf '#!/bin/sh\\necho \"$*\" >>/mnt/calls; exec sleep 300\\n' >$kubectl
         done
         run hangs status",
    );
    node.stdout("fifo", 3);
    assert_eq!(node.lines("none"), [""; 0]);
    node.stdout("hangs", 3);
    let calls = node.lines("calls");
    assert!(calls.len() == 2 && calls[1] == "version --client", "{calls:?}");
}

/// Neither its times nor another file with its content make a policy another one.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_policy_with_the_content_that_the_api_server_started_with_is_in_force() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "policy=/etc/kubernetes/audit-policy.yaml; run apply apply --wait 1m; age; cp /mnt/pid /mnt/first
         touch $policy; run touched status --output json; run heal apply --heal --wait 1m
         cp -p $policy $policy.q; rm $policy; cp $policy.q $policy; chmod 600 $policy; run anew status --output json
         run heals apply --heal --wait 1m; settle; cp /mnt/pid /mnt/same
         sed 's/Metadata/Request/' $policy >$policy.q; mv $policy.q $policy; run other status",
    );
    for run in ["touched", "anew"] {
        assert_eq!(node.json(run, 0)["running"]["state"], "ok", "{run}");
    }
    for run in ["heal", "heals"] {
        node.stdout(run, 0);
    }
    assert_eq!(node.text("same"), node.text("first"));
    let told = node.stdout("other", 3);
    assert!(told.lines().any(|line| line.starts_with("running   differs")), "{told}");
}

/// The file and the mark say one policy, and the API server has the one that was there when its container was restarted.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_policy_that_stood_there_only_while_the_container_was_restarted_is_told_and_mended() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "policy=/etc/kubernetes/audit-policy.yaml; run apply apply --wait 1m; age; cp $policy /mnt/policy
         sed 's/Metadata/Request/' /mnt/policy >$policy; old=$(cat /mnt/pid); : >/mnt/restarts; kill -9 $old
         until [ \"$(cat /mnt/pid)\" != $old ]; do sleep 0.05; done; settle; age; run edited status
         cat /mnt/policy >$policy; run back status --output json; run verify verify
         run heal apply --heal --wait 1m; settle; rm -r /var/log/pods; run after status --output json
         touch $policy; run touched status --output json",
    );
    node.stdout("apply", 0);
    node.stdout("edited", 3);
    let running = node.json("back", 3)["running"].clone();
    assert_eq!(running["state"], "differs", "{running}");
    node.stdout("verify", 0);
    assert!(node.stderr("verify").contains("started before this file was written"), "{}", node.stderr("verify"));
    assert!(node.stdout("heal", 0).contains("manifest  edit "));
    for run in ["after", "touched"] {
        assert_eq!(node.json(run, 0)["running"]["state"], "ok", "{run}");
    }
}

/// The files that they lead to are older than the API server.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_link_that_leads_to_another_policy_is_told() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "run first apply; settle
         policy=/etc/kubernetes/audit-policy.yaml; cp $policy /etc/kubernetes/v1.yaml
         sed 's/Metadata/Request/' $policy >/etc/kubernetes/v2.yaml; ln -s v1.yaml $policy.new; mv -T $policy.new $policy
         age; run apply apply --existing keep --wait 1m; settle; age; run right status --existing keep --output json
         ln -s v2.yaml $policy.new; mv -T $policy.new $policy; run switched status --existing keep --output json
         run mends apply --existing keep --wait 1m; settle; run after status --existing keep --output json",
    );
    node.stdout("apply", 0);
    assert_eq!(node.json("right", 0)["running"]["state"], "ok");
    assert_eq!(node.json("switched", 3)["running"]["state"], "differs");
    assert!(node.stdout("mends", 0).contains("manifest  edit "));
    assert_eq!(node.json("after", 0)["running"]["state"], "ok");
}

/// The API server may have started with another one. Neither the file nor the mark of its pod tells that later.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_policy_that_is_written_back_during_the_wait_is_told_and_started_with_anew() {
    let policy = "/etc/kubernetes/audit-policy.yaml";
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        &format!(
            ": >/mnt/deaf; run apply apply --wait 1m & apply=$!
             until grep -q 'it answers' /mnt/apply/stderr; do sleep 0.1; done
             age; cp {policy} /mnt/policy; sed 's/Metadata/Request/' /mnt/policy >{policy}; cat /mnt/policy >{policy}
             rm /mnt/deaf; wait $apply; run verify verify; run told status --output json
             run again apply --wait 1m; cp /mnt/pid /mnt/second; run status status --output json"
        ),
    );
    node.stdout("apply", 1);
    let stderr = node.stderr("apply");
    assert!(
        stderr.contains(&format!("not as this run left it: {policy}: something else changed this")),
        "{stderr}"
    );
    assert!(node.stderr("verify").contains("started before this file was written"), "{}", node.stderr("verify"));
    let told = node.json("told", 3);
    assert_eq!((&told["running"]["state"], told["unproved"].is_string()), (&json!("differs"), true), "{told}");
    assert!(node.stdout("again", 0).contains("manifest  edit "));
    let status = node.json("status", 0);
    assert_eq!((&status["running"]["state"], &status["unproved"]), (&json!("ok"), &Value::Null), "{status}");
}

/// The program restarts only the API server of its manifest.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn another_api_server_that_has_the_previous_policy_is_told() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "sed -i 's/- --secure-port/- --v=2\\n    &/' \"$manifest\"; settle; run first apply --wait 1m
         second=/etc/kubernetes/manifests/second.yaml
         sed '0,/name: kube-apiserver/s//name: second/; s/--v=2/--v=3/; /kube-audit-bootstrap.policy/d' \
             \"$manifest\" >$second
         /mnt/programs/kube-apiserver /mnt/bin/kube-apiserver $(sed -n 's/^ *- --/--/p' $second) <>/mnt/never \
             4>>/var/log/kubernetes/audit/audit.log & other=$!; echo $other >/mnt/other
         until grep -q audit-log-path /proc/$other/cmdline; do sleep 0.05; done
         run before status --output json; age
         sed 's/Metadata/Request/' /etc/kubernetes/audit-policy.yaml >/mnt/policy.yaml
         run apply apply --policy /mnt/policy.yaml --wait 1m --output json
         run after status --policy /mnt/policy.yaml --output json; kill $other",
    );
    let other = node.text("other").trim().to_owned();
    let warnings = |run: &str| node.json(run, 0)["warnings"].to_string();
    let second = "/etc/kubernetes/manifests/second.yaml";
    for (run, has_previous) in [("before", false), ("apply", true), ("after", true)] {
        let warnings = warnings(run);
        let told = format!("this is the API server of {second}, which this program does not restart");
        assert_eq!(warnings.contains(&told), has_previous, "{run}: {warnings}");
        assert_eq!(
            warnings.contains(&format!(
                "the API server (process {other}) has another content of this file than apply writes"
            )),
            run == "apply"
        );
        let log = format!("{second}: the API server of this file writes the same log, /var/log/kubernetes/audit/");
        assert!(warnings.contains(&log), "{run}: {warnings}");
    }
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
            "no API server runs with the audit flags of the manifest after 2 s; see journalctl -u kubelet, \
             and the containers (crictl ps -a); everything is as it was"
        ),
        "{reason}"
    );
    assert_eq!(node.text("after"), node.text("before"));
    assert_eq!((node.cluster("configmap").as_str(), node.count_asked(" replace --raw ")), (CLUSTER, 2));
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_somebody_changes_during_the_wait_stays_when_the_rest_is_put_back() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "cp \"$manifest\" /mnt/before; : >/mnt/broken; edited=/etc/kubernetes/manifests/.edited
         (until grep -q audit-log-path \"$manifest\"; do sleep 0.05; done
          sed 's/- --secure-port/- --v=3\\n    &/' \"$manifest\" >$edited; mv $edited \"$manifest\") &
         run apply apply --wait 3s --output json; cp \"$manifest\" /mnt/after; settle",
    );
    let reason = node.json("apply", 4)["proof"]["reason"].as_str().unwrap().to_owned();
    let stays = ", except for what something else has changed in /etc/kubernetes/manifests/kube-apiserver.yaml, which stays";
    assert!(reason.contains(stays) && reason.ends_with(", and the API server answers again"), "{reason}");
    let edited = node.text("before").replace("- --secure-port", "- --v=3\n    - --secure-port");
    assert_eq!(node.text("after"), edited);
    assert_eq!(node.cluster("configmap"), CLUSTER);
}

/// Such as a second API server, which an administrator has added during the wait.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_another_manifest_mounts_stays_when_the_rest_is_put_back() {
    let policy = "/etc/kubernetes/audit-policy.yaml";
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        &format!(
            ": >/mnt/broken; others=/etc/kubernetes/manifests
             echo '{{apiVersion: v1, kind: Pod, metadata: {{name: a}}, spec: {{containers: [{{name: a, image: a}}], \
                   volumes: [{{name: p, hostPath: {{path: {policy}}}}}]}}}}' >$others/second.yaml
             run apply apply --wait 2s; cp {policy} /mnt/left; settle"
        ),
    );
    node.stdout("apply", 4);
    assert!(node.text("left").contains("kind: Policy"));
    let stderr = node.stderr("apply");
    assert!(stderr.contains(&format!("except for {policy}")), "{stderr}");
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_rollback_after_which_the_api_server_cannot_start_is_told() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}\npolicy: {path: /etc/a/p.yaml}",
        0,
        "run first apply --wait 1m; settle; cp \"$manifest\" /mnt/before
         sed -i 's,/etc/a/,/etc/b/,' /etc/kube-audit-bootstrap/config.yaml; rm /etc/a/p.yaml; : >/mnt/broken
         run second apply --wait 2s; cp \"$manifest\" /mnt/after",
    );
    node.stdout("first", 0);
    node.stdout("second", 4);
    assert_eq!(node.text("after"), node.text("before"));
    let stderr = node.stderr("second");
    let told = "the API server that is put back does not start: ";
    let why = "--audit-policy-file is /etc/a/p.yaml, which does not exist";
    assert!(stderr.lines().any(|line| line.contains(told) && line.contains(why)), "{stderr}");
}

/// The API server that is to be seen again is the one that runs, as its manifest is as it was.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_cannot_be_proved_is_put_back_without_another_start_where_the_manifest_stays() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "cp /mnt/configmap /mnt/bare; run first apply; settle; cp /mnt/pid /mnt/before; cp /mnt/bare /mnt/configmap
         : >/mnt/deaf; run apply apply --wait 2s --output json; cp /mnt/pid /mnt/after",
    );
    let reason = node.json("apply", 4)["proof"]["reason"].as_str().unwrap().to_owned();
    assert!(reason.ends_with(", and the API server answers again"), "{reason}");
    assert_eq!(node.cluster("configmap"), CLUSTER);
    assert_eq!(node.text("after"), node.text("before"));
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_manifest_that_somebody_removes_during_the_wait_is_told_at_once_with_the_way_back() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        ": >/mnt/deaf; run apply apply --wait 8s & apply=$!
         until grep -q 'it answers' /mnt/apply/stderr; do sleep 0.1; done
         mv \"$manifest\" /mnt/away; until grep -q 'the wait goes on' /mnt/apply/stderr; do sleep 0.1; done
         mv /mnt/away \"$manifest\"; until grep -q 'as it was again' /mnt/apply/stderr; do sleep 0.1; done
         rm \"$manifest\"; wait $apply; rm /mnt/deaf
         id=$(sed -n 's/.*restore \\([^ ]*\\) --force, which puts.*/\\1/p' /mnt/apply/stderr)
         run forced restore $id --force; [ ! -e \"$manifest\" ] || cp \"$manifest\" /mnt/back; settle
         run again apply --wait 1m; rm \"$manifest\"; run restore restore
         eval \"$(sed -n 's/.*to put it back, run kube-audit-bootstrap \\(.*\\)/run mended \\1/p' /mnt/restore/stderr)\"
         cmp \"$manifest\" /mnt/manifest && : >/mnt/same",
    );
    node.stdout("apply", 4);
    let told = node.stderr("apply");
    assert_eq!(
        told.matches("something else removed the manifest during the wait; the wait goes on").count(),
        2,
        "{told}"
    );
    node.stdout("forced", 0);
    assert_eq!(node.text("back"), node.text("manifest"));
    node.stdout("again", 0);
    node.stdout("restore", 0);
    let told = node.stderr("restore");
    assert!(told.contains("no API server runs without it"), "{told}");
    node.stdout("mended", 0);
    assert!(node.at("same").exists());
}

/// A package upgrade stops the kubelet for a while.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_kubelet_that_is_stopped_during_the_wait_is_told_and_waited_for() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "for one in /proc/[0-9]*; do [ \"$(cat $one/comm)\" != kubelet ] || kill -KILL ${one#/proc/}; done
         /mnt/programs/kubelet -c 'read -r _ </mnt/never' & kubelet=$!
         run apply apply --wait 2m & apply=$!
         until grep -q audit-log-path \"$manifest\"; do sleep 0.05; done; kill -KILL $kubelet
         until grep -q 'waiting for it' /mnt/apply/stderr; do kill -0 $apply; sleep 0.1; done
         kill -KILL $(cat /mnt/pid); rm /mnt/running; /mnt/programs/kubelet /mnt/bin/kubelet & wait $apply",
    );
    node.stdout("apply", 0);
    let told = node.stderr("apply");
    assert_eq!(
        told.matches("the kubelet doesn't run, and nothing else starts the API server").count(),
        1,
        "{told}"
    );
}

/// Its policy may ask for no event within the wait.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn an_api_server_that_cannot_write_its_events_is_told_at_once() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        ": >/mnt/deaf; run apply apply --wait 1m & apply=$!
         until grep -q 'it answers' /mnt/apply/stderr; do sleep 0.1; done
         logs=/var/log/pods/kube-system_kube-apiserver-$(cat /proc/sys/kernel/hostname)_uid/kube-apiserver; mkdir -p $logs
         echo '2026-01-01T00:00:00.1Z stderr F E0101 00:00:00.1 1 metrics.go:110] \"Error in audit plugin\" err=\"full\"' >$logs/0.log
         until grep -q \"it can't write an event\" /mnt/apply/stderr; do kill -0 $apply; sleep 0.1; done
         rm /mnt/deaf; wait $apply",
    );
    node.stdout("apply", 0);
    let told = node.stderr("apply");
    assert_eq!(
        told.matches("it can't write an event, and nothing is proved until it does: E0101").count(),
        1,
        "{told}"
    );
}

/// Somebody changes another flag, or takes out the audit flags, while the program waits for an event.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_manifest_that_is_edited_during_the_wait_is_judged_as_it_is_and_left() {
    for (edit, code, words) in [
        ("s/^ *- --secure-port/    - --v=3\\n&/", 0, &["something else changed the manifest during the wait"][..]),
        (
            "/- --audit-/d",
            1,
            &["something else removed the audit flags", "answers, so nothing is rolled back", "restore 20"],
        ),
    ] {
        let node = ControlPlane::tell(
            "restart: {drain: 0s}",
            0,
            &format!(
                ": >/mnt/deaf; run apply apply --wait 1m & apply=$!
                 until grep -q 'it answers' /mnt/apply/stderr; do sleep 0.1; done
                 sed '{edit}' \"$manifest\" >/mnt/edited; cp /mnt/edited /etc/kubernetes/manifests/.new
                 mv /etc/kubernetes/manifests/.new \"$manifest\"; settle; rm /mnt/deaf; wait $apply
                 cp \"$manifest\" /mnt/after; cp /etc/kubernetes/audit-policy.yaml /mnt/policy
                 run status status --output json"
            ),
        );
        node.stdout("apply", code);
        let stderr = node.stderr("apply");
        assert!(words.iter().all(|words| stderr.contains(words)), "{edit}: {stderr}");
        assert_eq!(node.text("after"), node.text("edited"), "{edit}: it is as it was edited");
        assert!(node.text("policy").contains("kind: Policy"), "{edit}");
        assert!(node.cluster("configmap").contains("audit-policy-file"), "{edit}");
        // What is not proved can still be put back.
        let unproved = node.json("status", if code == 0 { 0 } else { 3 })["unproved"].clone();
        assert_eq!(unproved.is_string(), code == 1, "{edit}: {unproved}");
    }
}

/// Somebody tries another flag, and takes it back, while the program waits for an event.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn an_edit_that_is_undone_during_the_wait_leaves_a_proof_of_what_stands_there() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        ": >/mnt/deaf; run apply apply --wait 1m & apply=$!
         until grep -q 'it answers' /mnt/apply/stderr; do sleep 0.1; done
         cp \"$manifest\" /mnt/ours; new=/etc/kubernetes/manifests/.new
         sed 's/^ *- --secure-port/    - --v=3\\n&/' /mnt/ours >$new; mv $new \"$manifest\"; settle
         until grep -q 'something else changed' /mnt/apply/stderr || [ -e /mnt/apply/code ]; do sleep 0.1; done
         cp /mnt/ours $new; mv $new \"$manifest\"; settle; rm /mnt/deaf; wait $apply
         cp \"$manifest\" /mnt/after; run status status",
    );
    node.stdout("apply", 0);
    assert_eq!(node.text("after"), node.text("ours"));
    node.stdout("status", 0);
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
        let closed = "the previous API server takes no more requests; running requests have ";
        let told = stderr.lines().find_map(|line| line.split_once(closed)?.1.strip_suffix(" to end"));
        assert_eq!(told, words, "{restart}: {stderr}");
    }
}

/// The kubelet can be quicker than the program's first look after the change.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn an_old_api_server_that_stops_listening_at_once_is_ended_as_well() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        2800,
        "strace='strace -f -o /mnt/syncs -e trace=fsync -e inject=fsync:delay_exit=400000'
         run apply apply --wait 4m",
    );
    node.stdout("apply", 0);
    assert_eq!(node.lines("ends"), ["ended"], "{}", node.stderr("apply"));
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
            .contains("it was repaired 3 times within an hour, and another program keeps removing the settings; it is not repaired again"),
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

/// As `kubeadm upgrade` does.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_somebody_else_writes_to_the_cluster_meanwhile_is_kept() {
    let node = ControlPlane::tell(
        "",
        0,
        "sed 's/v1.33.1/v1.33.2/; s/\"other\"/\"theirs\":\"new\",&/; s/\"resourceVersion\":\"1\"/\"resourceVersion\":\"2\"/' \
             /mnt/configmap >/mnt/upgraded
         run apply apply",
    );
    node.stdout("apply", 0);
    let stderr = node.stderr("apply");
    assert!(
        stderr.contains("was changed by another program meanwhile") && stderr.contains("trying once more"),
        "{stderr}"
    );
    let object: Value = serde_json::from_str(&node.text("configmap")).unwrap();
    assert_eq!((&object["data"]["theirs"], &object["metadata"]["resourceVersion"]), (&json!("new"), &json!("3")));
    let text = node.cluster("configmap");
    assert!(text.contains("v1.33.2") && text.contains("audit-policy-file"), "{text}");
}

/// The lock is held, so what waits for it has waited for quiet before.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_repair_waits_for_kubeadm_and_is_not_made_where_a_restore_came_first() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "run apply apply; settle; cp /mnt/manifest \"$manifest\"; settle
         state=/var/lib/kube-audit-bootstrap; exec 9>>$state/lock; flock 9
         /mnt/programs/kubeadm -c 'sleep 11; :' kubeadm upgrade apply & kubeadm=$!
         run heal apply --heal --wait 1m & heal=$!
         wait $kubeadm; cp /mnt/heal/stderr /mnt/meanwhile
         until grep -q 'waiting for up to' /mnt/heal/stderr; do sleep 0.1; done
         set=$state/backups/20990101T000000Z; mkdir $set
         echo '{\"version\": 1, \"when\": \"2099-01-01T00:00:00Z\", \"why\": \"restore\", \"entries\": []}' >$set/index.json
         flock -u 9; wait $heal; cp \"$manifest\" /mnt/after",
    );
    assert_eq!(node.text("meanwhile"), "", "it didn't wait for kubeadm's end");
    assert_eq!(node.stdout("heal", 1), "");
    let stderr = node.stderr("heal");
    assert!(
        stderr.contains("the node was restored or rolled back, by 20990101T000000Z, and stays so"),
        "{stderr}"
    );
    assert_eq!(node.text("after"), node.text("manifest"));
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_repair_waits_until_nobody_writes_the_manifest() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "run apply apply; settle; cp /mnt/manifest \"$manifest\"; settle
         exec 9>>/var/lib/kube-audit-bootstrap/lock; flock 9
         run heal apply --heal --wait 1m & heal=$!
         for write in 1 2 3 4 5 6; do sleep 2; echo \"# $write\" >>\"$manifest\"; done
         cp /mnt/heal/stderr /mnt/meanwhile; kill -0 $heal",
    );
    assert_eq!(node.text("meanwhile"), "", "it didn't wait for quiet");
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_nothing_would_start_anew_is_not_waited_for() {
    // The policy changes alone, and the pod's annotations are its labels, too, so they get no more.
    let node = ControlPlane::tell(
        "",
        0,
        "sed -i 's/^  name: kube-apiserver/  labels: \\&pod {tier: control-plane}\\n  annotations: *pod\\n&/' \"$manifest\"
         run apply apply; settle
         sed 's/Metadata/Request/' /etc/kubernetes/audit-policy.yaml >/mnt/policy.yaml; cp \"$manifest\" /mnt/before
         run waits apply --policy /mnt/policy.yaml --wait 1s; cp /etc/kubernetes/audit-policy.yaml /mnt/left
         run alone apply --policy /mnt/policy.yaml; cp \"$manifest\" /mnt/after",
    );
    assert_eq!(node.stdout("waits", 1), "");
    let stderr = node.stderr("waits");
    let why =
        "only you can restart the API server (see the warning), so there would be no proof; leave out --wait";
    assert!(stderr.contains(why), "{stderr}");
    assert!(node.text("left").contains("Metadata"));
    assert!(node.stdout("alone", 0).contains("policy    edit "));
    assert_eq!(node.text("after"), node.text("before"));
}

/// The manifest that takes no more annotations comes while the run waits for another one.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_nothing_would_start_anew_is_not_waited_for_either_if_it_is_planned_anew() {
    let node = ControlPlane::tell(
        "",
        0,
        "sed -i 's/^  name: kube-apiserver/  labels: \\&pod {tier: control-plane}\\n  annotations: *pod\\n&/' \"$manifest\"
         run apply apply; settle; cp \"$manifest\" /mnt/before
         sed -i '/labels: &pod/d; /annotations: .pod/d' \"$manifest\"; settle
         sed 's/Metadata/Request/' /etc/kubernetes/audit-policy.yaml >/mnt/policy.yaml
         exec 9>>/var/lib/kube-audit-bootstrap/lock; flock 9
         run waits apply --policy /mnt/policy.yaml --wait 20s & waits=$!
         until grep -q 'waiting for up to' /mnt/waits/stderr; do sleep 0.1; done
         cp /mnt/before \"$manifest\"; flock -u 9; wait $waits
         cp \"$manifest\" /mnt/after; cp /etc/kubernetes/audit-policy.yaml /mnt/left",
    );
    assert_eq!(node.stdout("waits", 1), "");
    let stderr = node.stderr("waits");
    assert!(stderr.contains("only you can restart the API server (see the warning)"), "{stderr}");
    assert!(node.text("left").contains("Metadata"));
    assert_eq!(node.text("after"), node.text("before"));
}

/// What the kubelet keeps free counts where the log lies on its file system, as its configuration says.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn the_logs_file_system_is_looked_at_as_it_is() {
    let node = ControlPlane::tell(
        "",
        0,
        "run default status --output json
         mkdir -p /var/lib/kubelet /var/log/kubernetes/audit
         echo 'evictionHard: {nodefs.available: 25%}' >/var/lib/kubelet/config.yaml
         run kubelet status --output json
         mount -t tmpfs -o size=64m audit /var/log/kubernetes/audit
         run own status --output json
         mount -o remount,ro /var/log/kubernetes/audit
         run damaged status --output json; run told status; run apply apply",
    );
    for (run, percent, is_read_only) in
        [("default", 10, false), ("kubelet", 25, false), ("own", 0, false), ("damaged", 0, true)]
    {
        let storage = node.json(run, 3)["storage"].clone();
        let system = &storage["fileSystem"];
        let bytes = system["bytes"].as_u64().unwrap();
        assert_eq!(system["evictionBytes"], bytes * percent / 100, "{run}: {storage}");
        assert_eq!(
            (bytes == 64 << 20, &storage["readOnly"]),
            (percent == 0, &json!(is_read_only)),
            "{run}: {storage}"
        );
    }
    // Why apply would refuse is told by status, too.
    node.stdout("told", 3);
    node.stdout("apply", 1);
    for run in ["told", "apply"] {
        let why = "/var/log/kubernetes/audit: its file system is read-only, so no event can be written";
        assert!(node.stderr(run).contains(why), "{run}: {}", node.stderr(run));
    }
}

/// Logs that went aside when something was mounted over them.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn events_from_before_follow_once_all_is_well_and_nobody_writes_them() {
    let node = ControlPlane::tell(
        "storage: {bind: /var/events, require: any, headroom: any}\nrestart: {drain: 0s}",
        0,
        "for systemctl in /usr/bin/systemctl /bin/systemctl; do [ ! -e $systemctl ] || mount --bind /bin/true $systemctl; done
         log=/var/log/kubernetes/audit; mkdir -p /var/events $log $log.before-mount; mount --bind /var/events $log
         echo event >$log.before-mount/audit.log
         : >/mnt/broken; run failed apply --wait 2s; ls $log.before-mount >/mnt/kept; rm /mnt/broken; settle
         exec 8>>$log.before-mount/audit.log; run written apply --output json; exec 8>&-; settle
         ls $log.before-mount >/mnt/still
         run apply apply; cat $log/audit-*.log >/mnt/moved; [ ! -e $log.before-mount ] || : >/mnt/aside",
    );
    node.stdout("failed", 4);
    assert_eq!(node.lines("kept"), ["audit.log"]);
    let written = node.json("written", 0);
    let why = "/var/log/kubernetes/audit.before-mount: node (1) still writes here; when it has ended, run apply again to move the log files";
    assert!(written["warnings"].as_array().unwrap().iter().any(|one| one == why), "{written}");
    assert_eq!(node.lines("still"), ["audit.log"]);
    let moved =
        "storage   move the events in /var/log/kubernetes/audit.before-mount to /var/log/kubernetes/audit: done\n";
    assert!(node.stdout("apply", 0).contains(moved), "{}", node.stdout("apply", 0));
    assert_eq!((node.text("moved").as_str(), node.at("aside").exists()), ("event\n", false));
}

/// A name says nothing: any user can give a process any name. Each of these runs in a shell, whatever it is called.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_process_that_only_has_the_name_does_not_count() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}",
        0,
        "run apply apply; settle
         mkdir /mnt/fake
         for name in kubeadm kube-apiserver kubelet; do
             printf '#!/bin/sh\\nread -r _ </mnt/never\\n' >/mnt/fake/$name; chmod 755 /mnt/fake/$name
             /mnt/fake/$name upgrade apply & eval \"fake_${name##*-}=\\$!\"
         done
         until [ \"$(cat /proc/$fake_kubelet/comm)\" = kubelet ]; do sleep 0.05; done
         # A real program of that name, in a root directory of its own, as in a container that is somebody's node.
         mkdir /mnt/container; mount -t tmpfs tmpfs /mnt/container; mkfifo /mnt/container/never
         for folder in bin lib lib64 usr; do
             [ -e /$folder ] || continue
             if [ -L /$folder ]; then cp -P /$folder /mnt/container; continue; fi
             mkdir /mnt/container/$folder; mount --rbind /$folder /mnt/container/$folder
         done
         cp /bin/sh /mnt/container/kubeadm
         chroot /mnt/container /kubeadm -c 'read -r _ </never' upgrade apply & contained=$!
         until [ \"$(cat /proc/$contained/comm)\" = kubeadm ]; do sleep 0.05; done
         run status status
         cp /mnt/manifest \"$manifest\"; settle
         run heal apply --heal --wait 1m
         rm \"$manifest\"; : >/etc/kubernetes/kubelet.conf
         run verify verify
         kill $fake_kubeadm $fake_apiserver $fake_kubelet $contained",
    );
    // The API server here was asked, and it is the only one.
    let status = node.text("status/stdout");
    assert!(status.contains("by its own count: 7 by log"), "{status}");
    node.stdout("heal", 0);
    assert!(node.stdout("verify", 0).contains("there is no API server here"));
}

/// A worker may host the control planes of other clusters.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_runs_on_a_worker_is_not_its_api_server() {
    let story = "cp \"$manifest\" /mnt/kept; : >/etc/kubernetes/kubelet.conf; mount -t tmpfs tmpfs /etc/kubernetes/manifests
                 [ -e /proc/$(cat /mnt/pid)/exe ]; run verify verify";
    let node = ControlPlane::tell("", 0, story);
    assert!(node.stdout("verify", 0).contains("there is no API server here"));
}

/// Somebody put links and pipes among the rotated logs. Opening such a thing can act: on `/dev/watchdog`, a tape.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn what_is_no_log_among_the_logs_is_not_opened() {
    let node = ControlPlane::tell(
        "",
        0,
        "run apply apply; settle; cd /var/log/kubernetes/audit
         ln -s /dev/zero audit-2026-11-26T12-00-00.000.log
         ln -s /dev/zero audit-2026-11-26T13-00-00.000.log.gz
         mkfifo audit-2026-11-26T14-00-00.000.log; cd /
         ln -s /dev/zero /etc/kubernetes/kubeadm.yaml
         strace='strace -f -y -o /mnt/opened -e trace=open,openat,openat2 -e signal=none'
         run status status; run plan plan; strace=''",
    );
    let opened = node.text("opened");
    // All that was opened; what is only looked at has O_PATH.
    let opened: Vec<_> = opened.lines().filter(|line| !line.contains("O_PATH")).collect();
    assert!(opened.iter().any(|line| line.contains("audit-policy.yaml>")), "{opened:?}");
    let planted =
        |line: &&&str| line.contains("= ") && (line.contains("</dev/zero") || line.contains("14-00-00.000.log>"));
    assert_eq!(opened.iter().filter(planted).collect::<Vec<_>>(), [] as [&&str; 0]);
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_restore_that_would_stop_the_api_server_is_refused() {
    let node = ControlPlane::tell(
        "restart: {drain: 0s}\npolicy: {path: /etc/a/p.yaml}",
        0,
        "run first apply --wait 1m; settle
         sed -i 's,/etc/a/,/etc/b/,' /etc/kube-audit-bootstrap/config.yaml; run second apply --wait 1m; settle
         rm /etc/a/p.yaml; cp \"$manifest\" /mnt/before
         run refused restore; run preview restore --dry-run; cp \"$manifest\" /mnt/after
         run forced restore --force; cp \"$manifest\" /mnt/back",
    );
    for run in ["first", "second"] {
        node.stdout(run, 0);
    }
    let told = "--audit-policy-file is /etc/a/p.yaml, which does not exist";
    node.stdout("refused", 1);
    let error = node.stderr("refused");
    assert!(error.contains("nothing was put back: ") && error.contains(told), "{error}");
    assert!(error.contains("run kube-audit-bootstrap restore --force"), "{error}");
    let preview = node.stdout("preview", 3);
    assert!(preview.contains("restore would put nothing back: ") && preview.contains(told), "{preview}");
    assert_eq!(node.text("after"), node.text("before"));
    // The way on that the error names.
    let forced = node.stdout("forced", 0);
    assert!(forced.contains("the API server will not start: ") && forced.contains(told), "{forced}");
    assert!(node.text("back").contains("--audit-policy-file=/etc/a/p.yaml"));
}
