//! Lists everything that `make check`, `make test` and CI run. If a step is removed, or its failure is ignored, no
//! other test fails, because the tests in that step no longer run.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::fs;
use std::process::Command;

fn at(name: &str) -> String {
    format!("{}/{name}", env!("CARGO_MANIFEST_DIR"))
}

fn text_of(name: &str) -> String {
    fs::read_to_string(at(name)).unwrap()
}

/// The prerequisites of a target of make, and its commands, without comments.
fn recipe(target: &str) -> Vec<String> {
    let makefile = text_of("Makefile").replace("\\\n\t\t", "");
    let (_, after) = makefile.split_once(&format!("\n{target}:")).unwrap();
    let (needs, commands) = after.split_once('\n').unwrap();
    let needs = needs.split(" ##").next().unwrap().trim().to_owned();
    let commands = commands.lines().take_while(|line| line.starts_with('\t')).map(|line| line.trim().to_owned());
    std::iter::once(needs).chain(commands.filter(|line| !line.starts_with('#'))).collect()
}

#[test]
fn each_target_of_make_runs_all_of_its_steps() {
    for (target, steps) in [
        (
            "check",
            &[
                "",
                "@tests/setup.sh cc cargo-fmt cargo-clippy jq",
                "cargo fmt --all --check",
                "cargo fmt --manifest-path fuzz/Cargo.toml --check",
                "cargo clippy --locked --all-targets --features docs -- -D warnings",
                "cargo clippy --locked -p vm-tests --all-targets -- -D warnings",
                "RUSTDOCFLAGS='-D warnings' cargo doc --quiet --locked --no-deps --document-private-items",
                "cargo test --locked",
                "cargo test --locked -p vm-tests",
            ][..],
        ),
        (
            "test",
            &[
                "",
                "@tests/setup.sh cc cargo-fmt",
                "cargo fmt --all --check",
                "tests/beside.sh '$(MAKE) --no-print-directory test-program' '$(MAKE) --no-print-directory test-kubernetes'",
            ],
        ),
        (
            "test-program",
            &[
                "check judge",
                "@tests/setup.sh strace file nm setpriv unshare c++",
                "CARGO_TARGET_DIR=target/fuzz cargo clippy --locked --manifest-path fuzz/Cargo.toml --all-targets -- -D warnings",
                "tests/as-user.sh",
                "cargo test --locked -- --ignored --skip differential",
                "image/build.sh $(TRIPLE)",
                "tests/static.sh $(RELEASE) $(DEBUG)",
                "tests/demo.sh $(RELEASE) quietly",
                "tests/sarif.sh $(RELEASE)",
                "tests/bench/bench.sh $(RELEASE) 3",
            ],
        ),
        (
            "judge",
            &[
                "build",
                "@tests/setup.sh cc go",
                "cd tests/judge && GOTOOLCHAIN=local go vet . && GOTOOLCHAIN=local go test .",
                "cd tests/judge && GOTOOLCHAIN=local go build -o ../../target/judge .",
                "target/judge cases tests/cases",
                "target/judge shapes --binary $(RELEASE) vm-tests/shapes",
            ],
        ),
        ("test-kubernetes", &["build", "tests/packages.sh $(RELEASE)", "tests/real.sh $(RELEASE) $(PACKAGE)"]),
        ("slice", &["packages oci harness", "tests/slice.sh $(RELEASE) $(PACKAGE)"]),
        (
            "vm-tests",
            &[
                "build harness $(if $(ALSO),packages)",
                "$(HARNESS) run first-boot reboot kind $(ALSO) --on qemu --program $(RELEASE) \
                 $(if $(ALSO),--package $(PACKAGE)) --patience $(PATIENCE)",
            ],
        ),
    ] {
        assert_eq!(recipe(target), steps, "{target}");
    }
}

/// The lines without which a script would do less and still succeed.
#[test]
fn each_script_has_the_lines_that_it_is_for() {
    for (script, lines) in [
        (
            ".ci/run",
            &[
                "set -euo pipefail",
                "export CI=true",
                "timed make test",
                "timed make slice",
                "also=$(tests/slice.sh machines)",
                "timed make vm-tests ALSO=\"$also\"",
            ][..],
        ),
        (
            "tests/real.sh",
            &[
                "set -euo pipefail",
                "case ${CI-} in '' | false) exit 0 ;; *) exit 1 ;; esac",
                "\"${run[@]}\" --all --patched 250",
                "\"${run[@]}\"",
                "vm-tests/tests/bad-programs.sh \"$harness\" \"$program\"",
                "build \"$module\" oracle-1.\"$minor\" main.go",
                "build \"$module\" commands-1.\"$minor\" commands/main.go",
                "build \"$(echo vm-tests/components/kubernetes-1.\"$newest\".*)\" kubelet-1.\"$newest\" kubelet/main.go",
                "if ! \"target/kubelet-1.$newest\" fields | diff src/wiring/pod/pod-fields.txt -; then",
                "ORACLES=$oracles COMMANDS=$commands KUBELETS=\"1.$newest=$PWD/target/kubelet-1.$newest\" SEED=$seed PAIRS=$pairs \\",
                "cargo test --locked --lib differential -- --include-ignored --nocapture",
            ],
        ),
        (
            "tests/sarif.sh",
            &[
                "set -euo pipefail",
                "case ${CI-} in '' | false) exit 0 ;; *) exit 1 ;; esac",
                "assert not faults, faults",
                "assert found == same and len(found) > 20, (found, same)",
                "\"$BIN/pre-commit\" validate-manifest \"$ROOT/.pre-commit-hooks.yaml\"",
            ],
        ),
        (
            "tests/packages.sh",
            &[
                "set -euo pipefail",
                "case ${CI-} in '' | false) exit 0 ;; *) exit 1 ;; esac",
                "make --no-print-directory packages oci",
                "tests/reproducible.sh \"$program\"",
                "tests/packages-installed.sh \"${2-}\"",
            ],
        ),
        (
            "tests/slice.sh",
            &["set -euo pipefail", "timed nodes", "examples | image | packages | shippers) timed \"$test\" ;;"],
        ),
        (
            "tests/as-user.sh",
            &["set -euo pipefail", "PATH=\"$PATH:$scratch/bin\" \"$program\" --quiet --skip $skipped </dev/null"],
        ),
    ] {
        let text = text_of(script);
        // A line that is commented out begins with `#`, so it does not match.
        let said: Vec<_> = text.lines().map(str::trim).collect();
        for line in lines {
            assert!(said.contains(line), "{script} does not have the line {line}");
        }
    }
}

#[test]
fn what_runs_beside_fails_where_one_of_two_fails() {
    for (first, second, code) in [
        ("true", "true", 0),
        ("exit 3", "true", 3),
        ("true", "exit 4", 4),
        ("exit 5", "sleep 60", 5),
        ("sleep 60", "exit 6", 6),
    ] {
        let output = Command::new(at("tests/beside.sh")).args([first, second]).output().unwrap();
        assert_eq!(output.status.code(), Some(code), "{first} beside {second}");
        let failed = String::from_utf8(output.stderr).unwrap();
        assert_eq!(failed.contains("FAILED"), code != 0, "{failed}");
    }
}
