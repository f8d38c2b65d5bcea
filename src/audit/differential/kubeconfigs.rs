//! Kubeconfigs of an audit webhook, with the files beside them.

use std::collections::BTreeMap;

use serde_json::json;

use super::super::kubeconfig::{FileRole, read};
use super::{Oracle, Random, number};
use crate::yaml::fields::Severity;

/// The files that a kubeconfig can name, and their contents. `none` does not exist.
const FILES: [(&str, &str); 12] = [
    ("a.crt", include_str!("keys/a.crt")),
    ("a.key", include_str!("keys/a.key")),
    ("a8.key", include_str!("keys/a8.key")),
    ("b.crt", include_str!("keys/b.crt")),
    ("b.key", include_str!("keys/b.key")),
    ("e.crt", include_str!("keys/e.crt")),
    ("e.key", include_str!("keys/e.key")),
    ("r.crt", include_str!("keys/r.crt")),
    ("r.key", include_str!("keys/r.key")),
    ("locked.key", include_str!("keys/locked.key")),
    ("empty", ""),
    ("words", "words\n"),
];

/// A field of a cluster, a user or exec: likely values, and odd ones, as YAML.
const CLUSTER: &[(&str, &[&str], &[&str])] = &[
    (
        "server",
        &["https://audit.example.com", "https://192.0.2.1:8443/audit"],
        &[
            "''",
            "https://",
            "audit.example.com",
            "audit.example.com:443",
            "audit.example.com/path",
            "http://audit.example.com",
            "'https://a b'",
            "https://a:port",
            "HTTPS://a",
            "'https://[::1]:8443/x'",
            "'https://[::1'",
            "'%zz'",
            "https://a/%zz",
            "'https://a%41'",
            "':443'",
            "ftp://a",
            "123",
            "yes",
            "null",
            "'https://u:p@a/'",
            "//a/b",
            "'https://a^b'",
            "'http:/a'",
            "'https://a/?q=%zz#f'",
            "'https://a/#%zz'",
            "'/a'",
            "'a b'",
            "'[::1]:443'",
            "'https://a{b'",
            "\"https://a\\tb\"",
            "https://ä.example",
        ],
    ),
    ("certificate-authority", &["a.crt"], &["none", "empty", "words", "r.crt", "a.key", "''", "7", "./a.crt"]),
    (
        "certificate-authority-data",
        &["DATA:a.crt"],
        &["DATA:words", "DATA:a.key", "'!'", "''", "Zg", "7", "Zg==", "[]"],
    ),
    ("insecure-skip-tls-verify", &["false"], &["true", "'true'", "yes", "1"]),
    (
        "proxy-url",
        &["http://proxy:3128"],
        &["proxy", "socks5://p", "ftp://p", "'://'", "''", "HTTP://p", "'https://p:x'"],
    ),
    ("tls-server-name", &["audit"], &["''", "7"]),
    ("disable-compression", &["true"], &["'no'", "off"]),
    ("extensions", &["[]"], &["null"]),
];
const USER: &[(&str, &[&str], &[&str])] = &[
    ("client-certificate", &["a.crt"], &["none", "words", "empty", "e.crt", "r.crt", "7", "''"]),
    ("client-key", &["a.key", "a8.key"], &["none", "b.key", "e.key", "r.key", "locked.key", "words", "''"]),
    (
        "client-certificate-data",
        &["DATA:a.crt"],
        &["DATA:r.crt", "DATA:e.crt", "DATA:words", "DATA:a.key", "'='", "''"],
    ),
    (
        "client-key-data",
        &["DATA:a.key"],
        &["DATA:a8.key", "DATA:b.key", "DATA:r.key", "DATA:e.key", "DATA:locked.key", "DATA:words", "x", "''"],
    ),
    ("token", &["secret"], &["''", "7"]),
    ("tokenFile", &["words"], &["none", "empty", "''", "7"]),
    ("username", &["u"], &["''", "1e3"]),
    ("password", &["p"], &["''"]),
    ("as", &["u"], &["''"]),
    ("as-uid", &["'1'"], &["1"]),
    ("as-groups", &["[g]"], &["g", "[]", "[1]"]),
    ("as-user-extra", &["{a: [b]}"], &["{a: b}", "{}", "[]"]),
    (
        "auth-provider",
        &["{name: oidc, config: {idp-issuer-url: 'https://i', client-id: c}}"],
        &["{}", "{name: oidc, config: {client-id: c}}", "null", "x", "{name: gcp, config: {a: 1}}"],
    ),
];
const EXEC: &[(&str, &[&str], &[&str])] = &[
    ("command", &["get-token"], &["''", "./get-token", "7"]),
    (
        "apiVersion",
        &["client.authentication.k8s.io/v1"],
        &["client.authentication.k8s.io/v1beta1", "client.authentication.k8s.io/v1alpha1", "v1", "''"],
    ),
    ("interactiveMode", &["Never"], &["IfAvailable", "Always", "never", "''"]),
    ("args", &["[a]"], &["a", "[1]"]),
    ("env", &["[{name: a, value: b}]"], &["[{value: b}]", "[]", "{}", "[a]"]),
    ("provideClusterInfo", &["true"], &["'true'"]),
];

/// Some of the fields, as a mapping. Each of the first `always` is nearly always there.
fn mapping(random: &mut Random, fields: &[(&str, &[&str], &[&str])], always: usize, rare: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for (index, (field, likely, odd)) in fields.iter().enumerate() {
        if if index < always { random.one_in(20) } else { !random.one_in(rare) } {
            continue;
        }
        let values = if random.one_in(6) { odd } else { likely };
        lines.push(format!("{field}: {}", random.pick(values)));
    }
    lines
}

/// The text of a random kubeconfig.
fn kubeconfig(random: &mut Random) -> String {
    let cluster = mapping(random, CLUSTER, 1, 4).join(", ");
    let mut user = if random.one_in(3) {
        // The two files, or the two texts, that belong together.
        let kind = random.pick(&[
            "client-certificate: a.crt, client-key: a.key",
            "client-certificate-data: DATA:a.crt, client-key-data: DATA:a.key",
            "client-certificate: r.crt, client-key-data: DATA:r.key",
            "client-certificate-data: DATA:e.crt, client-key: e.key",
        ]);
        vec![kind.to_owned()]
    } else {
        mapping(random, USER, 0, 5)
    };
    if random.one_in(6) {
        user.push(format!("exec: {{{}}}", mapping(random, EXEC, 3, 4).join(", ")));
    }
    let name = |random: &mut Random, name: &str| match random.below(30) {
        0 => "other".to_owned(),
        1 => "''".to_owned(),
        2 => "7".to_owned(),
        _ => name.to_owned(),
    };
    let second = match random.below(12) {
        0 => ", {name: c, cluster: {server: \"https://b\"}}",
        1 => ", {name: d, cluster: {server: 7}}",
        2 => ", {name: d, cluster: {certificate-authority: none}}",
        3 => ", null",
        _ => "",
    };
    let mut lines = vec![
        format!("clusters: [{{name: {}, cluster: {{{cluster}}}}}{second}]", name(random, "c")),
        format!("users: [{{name: {}, user: {{{}}}}}]", name(random, "u"), user.join(", ")),
        format!(
            "contexts: [{{name: {}, context: {{cluster: {}, user: {}}}}}]",
            name(random, "x"),
            name(random, "c"),
            name(random, "u")
        ),
        format!("current-context: {}", name(random, "x")),
    ];
    if random.one_in(20) {
        lines.remove(random.below(4));
    }
    if random.one_in(2) {
        let (version, kind) = (
            random.pick(&["v1", "v1", "v1", "''", "v2", "a/v1"]),
            random.pick(&["Config", "Config", "Config", "Pod", "''"]),
        );
        lines.insert(0, format!("apiVersion: {version}\nkind: {kind}"));
    }
    let mut text = lines.join("\n") + "\n";
    for (file, content) in FILES {
        let encoded = encode(content.as_bytes());
        text = text.replace(&format!("DATA:{file}"), if encoded.is_empty() { "''" } else { &encoded });
    }
    text
}

fn encode(bytes: &[u8]) -> String {
    let alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let index = bits >> (18 - 6 * at) & 63;
            text.push(if at <= chunk.len() { char::from(alphabet[index]) } else { '=' });
        }
    }
    text
}

/// The first reason why the API server would not start, by this program.
fn fault(text: &str, files: &BTreeMap<&str, &str>) -> Option<String> {
    let kubeconfig = read(text, "/d");
    let content = |path: &str| files.get(path.strip_prefix("/d/")?).map(|text| text.as_bytes());
    let missing = kubeconfig.files.iter().find(|file| file.is_needed && content(&file.path).is_none());
    let judged = kubeconfig.judge(|file| content(&file.path));
    let errors = kubeconfig.findings.iter().chain(&judged).filter(|found| found.severity == Severity::Error);
    let mut errors = errors.map(ToString::to_string);
    errors.next().or_else(|| missing.map(|file| format!("{} is missing: {}", file.role.name(), file.path)))
}

#[test]
#[ignore = "needs the API server's own code: ORACLES"]
fn kubeconfigs_keep_the_api_server_down_where_we_say_so() {
    let (seed, pairs) = (number("SEED", 1), number("PAIRS", 20_000));
    let mut differences = Vec::new();
    let mut oracles = Oracle::all();
    // The API server keeps a client for each kubeconfig that it takes, so a question takes longer than one about flags.
    let share = (pairs / 10).div_ceil(oracles.len() as u64).min(20_000);
    let files: BTreeMap<_, _> = FILES.into_iter().collect();
    for oracle in &mut oracles {
        let mut random = Random::new(seed, oracle.version);
        let mut accepted = 0;
        for _ in 0..share {
            let text = kubeconfig(&mut random);
            let answer = oracle.ask(&json!({ "kubeconfig": text, "files": files }));
            let (theirs, ours) = (answer["error"].as_str(), fault(&text, &files));
            accepted += u64::from(theirs.is_none());
            if theirs.is_none() != ours.is_none() {
                differences.push(format!("{}: {theirs:?}, and {ours:?} by us\n{text}", oracle.version));
                if differences.len() >= 30 {
                    break;
                }
            }
        }
        println!("{}: seed {seed}, {share} kubeconfigs, {accepted} accepted", oracle.version);
    }
    assert!(
        differences.is_empty(),
        "{} differences with SEED={seed} PAIRS={pairs}\n\n{}",
        differences.len(),
        differences.join("\n\n")
    );
}

#[test]
fn a_file_is_opened_where_a_kubeconfig_names_it() {
    let head = "clusters: [{name: c, cluster: {server: 'https://a', certificate-authority: ca}}]\n\
                contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n";
    for (user, expected) in [
        ("{}", &[(FileRole::Authority, "/d/ca", true)][..]),
        ("{token: t, tokenFile: /t}", &[(FileRole::Authority, "/d/ca", true), (FileRole::Token, "/t", false)]),
        ("{tokenFile: ../t}", &[(FileRole::Authority, "/d/ca", true), (FileRole::Token, "/t", true)]),
        ("{client-key: k}", &[(FileRole::Authority, "/d/ca", true)]),
        (
            "{client-certificate: /c//x, client-key: ./k}",
            &[
                (FileRole::Authority, "/d/ca", true),
                (FileRole::Certificate, "/c/x", true),
                (FileRole::Key, "/d/k", true),
            ],
        ),
    ] {
        let found = read(&format!("{head}users: [{{name: u, user: {user}}}]\n"), "/d");
        let files: Vec<_> =
            found.files.iter().map(|file| (file.role, file.path.as_str(), file.is_needed)).collect();
        assert_eq!((files.as_slice(), found.is_usable()), (expected, true), "{user}: {:?}", found.findings);
    }
}
