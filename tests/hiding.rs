//! Injects a fault at each system call of `apply --wait` while the new manifest is hidden, and at each of its guard's, by
//! strace: a kill, and an error. The control plane is that of `tests/running.rs`, with a stand-in for systemd.
//!
//! After any fault, and without anybody's help, a manifest is in place within 20 s, the previous or the new one, and an
//! API server runs with it. The next run proves it, and leaves nothing behind.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeMap;

use common::control_plane::ControlPlane;
use common::strace;

/// The calls that change something. The others are made again and again, and their number differs from run to run.
const CALLS: [&str; 8] =
    ["clone3", "fsync", "linkat", "pidfd_send_signal", "renameat", "renameat2", "unlinkat", "write"];

/// The words of all stories. `fault NAME WORDS`: a run with these words of strace, and what comes after it.
const WORDS: &str = r#"
hidden=/etc/kubernetes/manifests/.kube-apiserver.yaml.kube-audit-bootstrap-hidden
guards() { grep -lzs 'guard-hidden-manifes[t]' /proc/[0-9]*/cmdline; }
# As before the first run.
reset() {
    rm -rf /var/lib/kube-audit-bootstrap /var/log/kubernetes /etc/kubernetes/audit-policy.yaml
    cp /mnt/manifest /etc/kubernetes/.manifest
    mv /etc/kubernetes/.manifest "$manifest"
    cp /mnt/first-configmap /mnt/configmap
    settle
}
# Waits for 20 s at most until a manifest is in place, and no guard is left.
in_place() {
    tenths=0
    until [ -e "$manifest" ] && [ -z "$(guards)" ] || [ $tenths = 200 ]; do
        sleep 0.1
        tenths=$((tenths + 1))
    done
}
fault() {
    reset
    strace="strace -qq -o /mnt/$1-trace $2"
    run "$1" apply --wait 1m
    strace=''
    in_place
    is=neither
    if cmp -s "$manifest" /mnt/manifest; then is=old; elif grep -q audit-policy-file "$manifest"; then is=new; fi
    echo "$1 exit=$(cat "/mnt/$1/code") tenths=$tenths is=$is" >>/mnt/after
    settle
    run "$1-next" apply --wait 1m
    echo "$1 exit=$(cat "/mnt/$1-next/code") left=$(find /etc -name '*kube-audit-bootstrap-*')" >>/mnt/next
}
cp /mnt/configmap /mnt/first-configmap
"#;

fn tell(story: &str) -> ControlPlane {
    ControlPlane::tell_hiding("restart: {drain: 0s}", 20, &format!("{WORDS}{story}"))
}

/// The calls of a trace that are tried, each as its name and its number among the calls of this name. They begin with
/// the first line that has `mark`, and end with the call that makes durable that the line for the next boot is gone.
fn calls(trace: &str, mark: &str) -> Vec<(String, usize)> {
    let mut counts = BTreeMap::<_, usize>::new();
    let mut found = Vec::new();
    let (mut has_begun, mut is_gone) = (false, false);
    // Without -f, strace leaves the number of the process out.
    for line in trace.lines().map(|line| format!("1 {line}")) {
        let Some(call) = strace::calls(&line).next() else { continue };
        has_begun |= line.contains(mark);
        let nth = counts.entry(call.name.to_owned()).or_default();
        *nth += 1;
        if has_begun && CALLS.contains(&call.name) {
            found.push((call.name.to_owned(), *nth));
            if is_gone && call.name == "fsync" {
                return found;
            }
            is_gone |= call.name == "unlinkat" && line.contains("\"kube-audit-bootstrap-hidden.conf\"");
        }
    }
    panic!("the line for the next boot is not removed: {found:?}");
}

/// The calls of a run while it hides the manifest.
fn calls_of_the_run() -> Vec<(String, usize)> {
    let node = tell("reset; strace='strace -qq -y -o /mnt/trace'; run apply apply --wait 1m");
    let stderr = node.stderr("apply");
    assert!(stderr.contains("the kubelet has finished the previous pod"), "{stderr}");
    let found = calls(&node.text("trace"), "\".kube-audit-bootstrap-hidden.conf.kube-audit-bootstrap\"");
    assert!(found.len() > 8, "{found:?}");
    found
}

/// What kills a run at the call after the one that hides the manifest: the third of the three renames.
fn kills_the_run(calls: &[(String, usize)]) -> String {
    let hides = calls.iter().enumerate().filter(|(_, (call, _))| call == "renameat").nth(2).unwrap().0;
    let (call, nth) = &calls[hides + 1];
    format!("-e trace={call} -e inject={call}:signal=KILL:when={nth}")
}

/// Runs the faults, each with a name and the words of the shell, and checks what comes after them.
fn check(faults: &[(String, String)]) {
    let lines: Vec<_> = faults.iter().map(|(_, line)| line.as_str()).collect();
    let node = tell(&lines.join("\n"));
    let line_of = |file: &str, name: &str| {
        let lines = node.lines(file);
        lines.into_iter().find(|line| line.split(' ').next() == Some(name)).unwrap_or_default()
    };
    let mut wrong = String::new();
    for (name, _) in faults {
        let (after, next) = (line_of("after", name), line_of("next", name));
        let is_one = after.ends_with("is=old") || after.ends_with("is=new");
        let is_as_told = !after.contains("exit=0") || after.ends_with("is=new");
        if !is_one || !is_as_told || after.contains("tenths=200") || !next.ends_with("exit=0 left=") {
            let said = [node.stderr(name), node.stderr(&format!("{name}-next"))].concat();
            wrong += &format!("{after}; {next}\n{said}");
        }
    }
    assert!(wrong.is_empty(), "{wrong}{}", node.text("service"));
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_run_may_be_killed_at_each_call_while_the_manifest_is_hidden() {
    let faults = calls_of_the_run().into_iter().map(|(call, nth)| {
        let name = format!("{call}-{nth}");
        let line = format!("fault {name} '-e trace={call} -e inject={call}:signal=KILL:when={nth}'");
        (name, line)
    });
    check(&faults.collect::<Vec<_>>());
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn each_call_may_fail_while_the_manifest_is_hidden() {
    let calls = calls_of_the_run();
    // An error may last, as on a disk that is full.
    for (error, lasts) in [("EIO", ""), ("ENOSPC", ""), ("ENOSPC", "+")] {
        let faults = calls.iter().map(|(call, nth)| {
            let name = format!("{call}-{nth}-{error}{lasts}");
            let line = format!("fault {name} '-e trace={call} -e inject={call}:error={error}:when={nth}{lasts}'");
            (name, line)
        });
        check(&faults.collect::<Vec<_>>());
    }
}

/// systemd starts a guard again if it fails or is killed.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_guard_may_be_killed_or_fail_at_each_call_after_its_run_was_killed() {
    let kills = kills_the_run(&calls_of_the_run());
    let node = tell(&format!(
        "echo 'strace -qq -y -o /mnt/guard' >/mnt/service-fault; fault run '{kills}'; cp /mnt/after /mnt/seen"
    ));
    assert!(
        node.text("seen").contains("exit=137") && node.text("seen").contains("is=new"),
        "{}",
        node.text("seen")
    );
    let calls = calls(&node.text("guard"), "pidfd_send_signal(");
    let mut faults = Vec::new();
    for (call, nth) in calls {
        for (what, fault) in [("kill", "signal=KILL"), ("EIO", "error=EIO"), ("ENOSPC", "error=ENOSPC")] {
            let name = format!("{call}-{nth}-{what}");
            let words =
                format!("strace -qq -o /mnt/{name}-guard -e trace={call} -e inject={call}:{fault}:when={nth}");
            faults.push((name.clone(), format!("echo '{words}' >/mnt/service-fault; fault {name} '{kills}'")));
        }
    }
    assert!(faults.len() > 8, "{faults:?}");
    check(&faults);
}

/// The words of the stories in which something else happens in the moment.
const MOMENT: &str = r#"
await_moment() { until [ -e "$hidden" ] && [ ! -e "$manifest" ]; do sleep 0.02; done; }
# guard_pid: the guard itself, and not what starts it.
guard_pid() {
    for pid in $(guards | sed 's/[^0-9]//g'); do
        [ "$(readlink "/proc/$pid/exe")" != /mnt/bin/kube-audit-bootstrap ] || echo "$pid"
    done
}
run_pid() {
    for pid in /proc/[0-9]*; do
        case $(tr '\0' ' ' 2>/dev/null <"$pid/cmdline") in "/mnt/bin/kube-audit-bootstrap apply --wait "*) echo "${pid#/proc/}" ;; esac
    done
}
end() {
    in_place
    settle
    echo "$1 tenths=$tenths left=$(find /etc -name '*-hidden*' -o -name '*-old')" >>/mnt/end
}
"#;

fn tell_moment(story: &str) -> ControlPlane {
    ControlPlane::tell_hiding("restart: {drain: 1.5s}", 100, &format!("{WORDS}{MOMENT}{story}"))
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn other_runs_wait_while_the_manifest_is_hidden() {
    let node = tell_moment(
        "reset; run first apply --wait 1m & runs=$!; await_moment
         run status status
         for other in 'second apply --wait 1m' 'heal apply --heal --wait 1m' 'plain apply'; do
             run $other & runs=\"$runs $!\"
         done
         wait $runs; end all",
    );
    assert!(
        node.stderr("first").contains("the kubelet has finished the previous pod"),
        "{}",
        node.stderr("first")
    );
    for run in ["first", "second", "heal", "plain"] {
        node.stdout(run, 0);
    }
    assert!(node.stderr("status").contains("has hidden it from the kubelet"), "{}", node.stderr("status"));
    assert!(
        node.text("end").ends_with("left=\n") && !node.text("end").contains("tenths=200"),
        "{}",
        node.text("end")
    );
}

#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn a_signal_to_a_run_or_its_guard_leaves_no_manifest_hidden() {
    let mut story = String::new();
    let mut names = Vec::new();
    for signal in ["TERM", "HUP"] {
        for who in ["run", "guard"] {
            let name = format!("{signal}-{who}");
            story += &format!(
                "reset; run {name} apply --wait 1m & await_moment; kill -{signal} $({who}_pid); wait $! || :; end {name}
                 run {name}-next apply --wait 1m\n"
            );
            names.push(name);
        }
    }
    // Both stop, and go on.
    story += "reset; run STOP apply --wait 1m & await_moment; all=\"$(run_pid) $(guard_pid)\"; kill -STOP $all
              sleep 3; kill -CONT $all; wait $! || :; end STOP; run STOP-next apply --wait 1m\n";
    names.push("STOP".to_owned());
    let node = tell_moment(&story);
    let ends = node.lines("end");
    for name in names {
        let end = ends.iter().find(|line| line.split(' ').next() == Some(&name)).cloned().unwrap_or_default();
        assert!(end.ends_with("left=") && !end.contains("tenths=200"), "{end}: {}", node.stderr(&name));
        node.stdout(&format!("{name}-next"), 0);
        if !name.ends_with("run") {
            node.stdout(&name, 0);
        }
    }
}

/// Where systemd starts no guard, nothing is hidden.
#[test]
#[ignore = "needs namespaces: `make test` runs it"]
fn without_a_guard_nothing_is_hidden() {
    for (systemd_run, why) in [
        ("echo no space left >&2; exit 1", "no space left"),
        ("sleep 20", "did not end within 5 s"),
        ("", "systemd has not started the guard of the hidden manifest"),
    ] {
        let node = tell_moment(&format!(
            "reset; printf '%s\\n' '#!/bin/sh' '{systemd_run}' >/sbin/systemd-run; run apply apply --wait 1m -v; end apply"
        ));
        node.stdout("apply", 0);
        let stderr = node.stderr("apply");
        assert!(stderr.contains("not hidden: ") && stderr.contains(why), "{stderr}");
        assert!(stderr.contains("the previous API server is ended"), "{stderr}");
        assert!(
            node.text("end").ends_with("left=\n") && !node.text("end").contains("tenths=200"),
            "{}",
            node.text("end")
        );
    }
}
