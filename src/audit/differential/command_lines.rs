//! Random arguments of kube-apiserver.

use serde_json::json;

use super::{Oracle, Random, number};
use crate::audit::command_line;

const NAMES: [&str; 22] = [
    "secure-port",
    "secure_port",
    "bind-address",
    "bind_address",
    "advertise-address",
    "audit-log-path",
    "audit_log_path",
    "audit-log_maxage",
    "audit-policy-file",
    "audit-log-compress",
    "audit_log_compress",
    "audit-log-truncate-enabled",
    "audit-webhook-batch-throttle-enable",
    "profiling",
    "allow-privileged",
    "anonymous_auth",
    "v",
    "vmodule",
    "enable-admission-plugins",
    "tls-sni-cert-key",
    "help",
    "version",
];

const VALUES: [&str; 18] = [
    "8443",
    "::",
    "10.0.0.1",
    "/var/log/a.log",
    "-",
    "--",
    "---",
    "--audit-log-path",
    "--audit-log-path=/b",
    "--v=3",
    "-v",
    "true",
    "false",
    "",
    "=",
    "a=b",
    "$(IP)",
    "ä b",
];

const SHORT: [&str; 14] = [
    "-v",
    "-v3",
    "-v=4",
    "-v=",
    "-h",
    "-h=false",
    "-hv",
    "-hv=2",
    "-vh",
    "-",
    "-x",
    "-audit-log-path=/a",
    "-é",
    "-=v",
];

fn arguments(random: &mut Random) -> Vec<String> {
    let mut arguments = Vec::new();
    for _ in 0..random.below(7) {
        let (name, value) = (random.pick(&NAMES), random.pick(&VALUES));
        match random.below(12) {
            0..4 => arguments.push(format!("--{name}={value}")),
            4..8 => arguments.extend([format!("--{name}"), value.to_owned()]),
            8 => arguments.push(format!("--{name}")),
            9 => arguments.push(value.to_owned()),
            10 if random.one_in(4) => arguments.push("--".to_owned()),
            10 if random.one_in(4) => arguments.push(format!("--no-such-{name}={value}")),
            _ => arguments.push(random.pick(&SHORT).to_owned()),
        }
    }
    arguments
}

#[test]
#[ignore = "needs the API server's own flags: COMMANDS"]
fn command_lines_are_read_as_the_api_server_reads_them() {
    let (seed, pairs) = (number("SEED", 1), number("PAIRS", 20_000));
    let mut oracles = Oracle::all("COMMANDS");
    let share = pairs.div_ceil(oracles.len() as u64);
    for oracle in &mut oracles {
        let switches = oracle.ask(&json!({}));
        for switch in switches["switches"].as_array().unwrap() {
            let name = format!("--{}", switch.as_str().unwrap());
            let words = [name.as_str(), "w"];
            assert_eq!(command_line::read(&words).words, [1], "{}: {name} takes no next word", oracle.version);
        }
        let mut random = Random::new(seed, oracle.version);
        let mut taken = 0;
        for _ in 0..share {
            let arguments = arguments(&mut random);
            let answer = oracle.ask(&json!({ "apiserver": &arguments }));
            let found = command_line::read(&arguments);
            let values = command_line::values(&found);
            let ends = found.fault.is_some() || found.words.iter().any(|at| !arguments[*at].is_empty());
            match answer["error"].as_str() {
                None => {
                    taken += 1;
                    let theirs: crate::audit::flags::Flags =
                        serde_json::from_value(answer["flags"].clone()).unwrap();
                    assert_eq!((ends, values), (false, theirs), "{}: {arguments:?}", oracle.version);
                }
                // Which flags there are, this program does not know.
                Some(why) if why.contains("unknown flag:") || why.contains("help") => {}
                // The value of --help.
                Some(why) if why.contains("invalid argument") => {}
                Some(why) => assert!(ends, "{}: {arguments:?}: {why}", oracle.version),
            }
        }
        println!("{}: seed {seed}, {share} command lines, {taken} accepted", oracle.version);
        assert!(taken > share / 5, "almost no command line is accepted");
    }
}
