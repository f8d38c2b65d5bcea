//! Makes the snippets that bring the program, its configuration or a log shipper into the user's own files.
//!
//! Everything here is text from text. The templates are the other files of this folder.

use std::fmt::Write as _;

use clap::ValueEnum;

use crate::config::{Config, DEFAULT_PATH};
use crate::facts::file::{Files, Seen};
use crate::path::{parent, path_fault};
use crate::storage::rotation;
use crate::wiring::kubeadm;
use crate::yaml::scalar::{double_quoted, quote};

/// The path of the manifest in the image's path unit.
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

/// What can be printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Snippet {
    /// cloud-init's user-data, for an image that has the program
    CloudInit,
    /// cloud-init's vendor-data, for an image to which other people give user-data
    VendorData,
    /// Part of a KubeadmControlPlane, for images that have the program
    ClusterApi,
    /// Part of a KubeadmControlPlane, for images without the program
    ClusterApiFiles,
    /// A Dockerfile for a node image of kind
    Kind,
    /// A Butane config for Flatcar, which makes an Ignition config
    Ignition,
    /// A mkosi.postinst script
    Mkosi,
    /// Packer provisioners
    Packer,
    /// Ansible tasks, such as for a role of image-builder
    Ansible,
    /// A Dockerfile for a Kairos image
    Kairos,
    /// A drop-in, so that self-healing watches the manifest at the path that this node has
    Systemd,
    /// Configuration of rsyslog, which reads the log
    Rsyslog,
    /// Configuration of Vector, which reads the log
    Vector,
    /// Configuration of Fluent Bit, which reads the log
    FluentBit,
    /// Configuration of the OpenTelemetry Collector, which reads the log
    OtelCollector,
}

impl Snippet {
    /// Whether the snippet has the path of the manifest.
    pub fn names_manifest(self) -> bool {
        matches!(self, Snippet::Systemd | Snippet::Ignition)
    }

    /// Whether the snippet has the mounts of the webhook's files.
    pub fn mounts_webhook(self, config: &Config) -> bool {
        self == Snippet::ClusterApiFiles && config.webhook.is_some()
    }

    /// Whether the snippet brings the settings to a node that has the program.
    pub fn brings_settings(self) -> bool {
        !matches!(
            self,
            Snippet::ClusterApiFiles
                | Snippet::Systemd
                | Snippet::Rsyslog
                | Snippet::Vector
                | Snippet::FluentBit
                | Snippet::OtelCollector
        )
    }

    /// Whether the snippet has the text of the policy.
    pub fn holds_policy(self, config: &Config) -> bool {
        match self {
            Snippet::ClusterApiFiles => true,
            Snippet::CloudInit | Snippet::VendorData | Snippet::ClusterApi | Snippet::Ignition => {
                config.policy_source != "default"
            }
            _ => false,
        }
    }
}

/// What a snippet is made of.
#[derive(Debug)]
pub struct Ingredients<'f> {
    pub config: &'f Config,
    /// The text of the configuration file, if there is one.
    pub configuration: Option<&'f str>,
    /// The text of the audit policy, if [`Snippet::holds_policy`].
    pub policy: &'f str,
    /// The path of the manifest, if [`Snippet::names_manifest`].
    pub manifest: &'f str,
    /// What the kubeconfig of the webhook names, if [`Snippet::mounts_webhook`].
    pub files: &'f Files,
}

/// A file that a snippet puts on the node.
struct SnippetFile<'f> {
    path: &'f str,
    mode: &'static str,
    text: &'f str,
    /// Its name beside the snippet.
    beside: &'static str,
}

/// The text of a snippet. It ends in one line end.
///
/// # Errors
///
/// There is no such snippet for this configuration; the error says why.
#[allow(clippy::too_many_lines, reason = "a list of snippets")]
pub fn render(kind: Snippet, facts: &Ingredients) -> Result<String, String> {
    // This path comes from the kubelet's configuration, which may hold anything.
    if let Some(fault) =
        path_fault("the path of the manifest", facts.manifest).filter(|_| !facts.manifest.is_empty())
    {
        return Err(fault);
    }
    let files = files(kind, facts);
    let listed = |name: &str| files.iter().fold(String::new(), |text, file| text + name + file.beside);
    let each = |one: fn(&SnippetFile) -> String| files.iter().map(one).collect::<String>();
    let text = match kind {
        Snippet::CloudInit => fill(
            include_str!("cloud-init.yaml"),
            &[("FILES", section("write_files:", &files, 0)), ("COMMAND", first_boot(facts.config))],
        ),
        Snippet::VendorData => fill(include_str!("vendor-data.sh"), &[("FILES", each(here_document))]),
        Snippet::ClusterApi => {
            let files = match files.as_slice() {
                [] => " {}".to_owned(),
                files => format!("\n{}", section("files:", files, 4).trim_end_matches('\n')),
            };
            fill(include_str!("cluster-api.yaml"), &[("FILES", files)])
        }
        Snippet::ClusterApiFiles => fill(
            include_str!("cluster-api-files.yaml"),
            &[
                ("FILES", section("files:", &files, 4)),
                ("COMMANDS", make_directory(facts.config)),
                ("SETTINGS", indented(kubeadm::settings(facts.config, facts.files).trim_end(), 6)),
            ],
        ),
        Snippet::Kind | Snippet::Kairos => {
            let template = match kind {
                Snippet::Kind => include_str!("kind.Dockerfile"),
                _ => include_str!("kairos.Dockerfile"),
            };
            let copy =
                each(|file| format!("COPY [{}, {}]\n", double_quoted(file.beside), double_quoted(file.path)));
            fill(template, &[("BESIDE", listed(", ")), ("FILES", copy)])
        }
        Snippet::Ignition => fill(
            include_str!("ignition.bu"),
            &[
                ("FILES", each(butane_file)),
                ("BOOT", unit(include_str!("../../image/systemd/kube-audit-bootstrap.service"), facts)),
                ("PATH", unit(include_str!("../../image/systemd/kube-audit-bootstrap-heal.path"), facts)),
                ("SERVICE", unit(include_str!("../../image/systemd/kube-audit-bootstrap-heal.service"), facts)),
                ("TIMER", unit(include_str!("../../image/systemd/kube-audit-bootstrap-heal.timer"), facts)),
            ],
        ),
        Snippet::Mkosi => {
            let install = each(|file| {
                let path = format!("\"$BUILDROOT\"{}", shell_word(file.path));
                format!("install -D -m {} \"$SRCDIR/{}\" {path}\n", file.mode, file.beside)
            });
            fill(include_str!("mkosi.postinst"), &[("BESIDE", listed(", ")), ("FILES", install)])
        }
        Snippet::Packer => {
            let names = listed(" /tmp/");
            let sources = files
                .iter()
                .map(|file| double_quoted(file.beside))
                .fold("\"kube-audit-bootstrap.tar.gz\"".to_owned(), |all, one| all + ", " + &one);
            let install = each(|file| {
                let command =
                    format!("install -D -m {} /tmp/{} {}", file.mode, file.beside, shell_word(file.path));
                format!("    {},\n", hcl_string(&command))
            });
            let remove = format!("/tmp/kube-audit-bootstrap.tar.gz /tmp/kube-audit-bootstrap{names}");
            fill(
                include_str!("packer.pkr.hcl"),
                &[("BESIDE", listed(", ")), ("SOURCES", sources), ("FILES", install), ("REMOVE", remove)],
            )
        }
        Snippet::Ansible => {
            fill(include_str!("ansible.yml"), &[("BESIDE", listed(", ")), ("FILES", each(ansible_copy))])
        }
        Snippet::Systemd => fill(include_str!("heal-path.conf"), &[("MANIFEST", specifiers(facts.manifest))]),
        Snippet::Rsyslog => shipper(include_str!("rsyslog.conf"), facts.config)?,
        Snippet::Vector => shipper(include_str!("vector.yaml"), facts.config)?,
        Snippet::FluentBit => shipper(include_str!("fluent-bit.yaml"), facts.config)?,
        Snippet::OtelCollector => shipper(include_str!("otel-collector.yaml"), facts.config)?,
    };
    Ok(format!("{}\n", text.trim_end_matches('\n')))
}

/// What a snippet leaves to the user: one message each.
///
/// `files`: what the kubeconfig of the webhook names, if [`Snippet::mounts_webhook`].
pub fn warnings(kind: Snippet, config: &Config, files: &Files) -> Vec<String> {
    let mut warnings = Vec::new();
    match kind {
        Snippet::Rsyslog | Snippet::Vector | Snippet::FluentBit | Snippet::OtelCollector => {
            if config.storage.group.is_none() {
                warnings.push(
                    "storage.group is not set, so only the root user can read the log; for others, set storage.group"
                        .to_owned(),
                );
            }
        }
        Snippet::Systemd => {}
        _ => {
            if let Some(webhook) = &config.webhook {
                warnings.push(format!(
                    "{}: webhook.configFile is not in the snippet, because it holds credentials; put it on the node yourself",
                    webhook.config_file
                ));
                if kind.mounts_webhook(config) {
                    warnings.extend(warnings_of_webhook(&webhook.config_file, &config.policy_path, files));
                }
            }
        }
    }
    if kind == Snippet::Ignition && config.policy_source.starts_with("/usr/") {
        warnings.push(format!(
            "{}: policy.source is in /usr, which is read-only on Flatcar; set it to a file elsewhere, such as \
             /etc/kubernetes/audit-policy.yaml",
            config.policy_source
        ));
    }
    if kind == Snippet::ClusterApiFiles && config.storage.source.is_some() {
        warnings.push(
            "storage.device and storage.bind need the program on the node; this snippet mounts nothing; install it \
             there, or mount the disk yourself"
                .to_owned(),
        );
    }
    warnings
}

/// What is left to do for the files that the kubeconfig of the webhook names. Nothing on the node finds them.
fn warnings_of_webhook(kubeconfig: &str, policy: &str, files: &Files) -> Vec<String> {
    if !matches!(files.get(kubeconfig), Some(Seen::File(_))) {
        return vec![format!(
            "{kubeconfig}: webhook.configFile is not there to be read, so the snippet mounts no file that it names; \
             put it below --root and run render again, or add an extraVolume for each of them"
        )];
    }
    let named = files.keys().filter(|path| ![kubeconfig, policy].contains(&path.as_str()));
    let tell =
        |path: &String| format!("{path}: the kubeconfig of the webhook names this; put it on the node yourself");
    named.map(tell).collect()
}

/// The files that a snippet puts on the node. Without the program, this is only the policy.
fn files<'f>(kind: Snippet, facts: &Ingredients<'f>) -> Vec<SnippetFile<'f>> {
    let config = facts.config;
    let policy = |path| SnippetFile { path, mode: "0600", text: facts.policy, beside: "audit-policy.yaml" };
    if kind == Snippet::ClusterApiFiles {
        return vec![policy(&config.policy_path)];
    }
    let configuration = facts.configuration.map(|text| SnippetFile {
        path: DEFAULT_PATH,
        mode: "0644",
        text,
        beside: "config.yaml",
    });
    let source = Some(config.policy_source.as_str()).filter(|source| *source != "default");
    configuration.into_iter().chain(source.map(policy)).collect()
}

/// Replaces each `@NAME@` by its value. A `@NAME@` in a value stays.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('@') {
        out.push_str(before);
        let found =
            values.iter().find_map(|(name, value)| Some((value, after.strip_prefix(name)?.strip_prefix('@')?)));
        rest = match found {
            Some((value, after)) => {
                out.push_str(value);
                after
            }
            None => {
                out.push('@');
                after
            }
        };
    }
    out + rest
}

/// A list of files for cloud-init, or for Cluster API, which has the same fields.
fn section(name: &str, files: &[SnippetFile], indent: usize) -> String {
    if files.is_empty() {
        return String::new();
    }
    let mut out = format!("{name}\n");
    for file in files {
        let (path, mode) = (quote(file.path, false), file.mode);
        let _ = write!(out, "- path: {path}\n  owner: root:root\n  permissions: \"{mode}\"\n");
        // Cluster API's user-data is a Jinja template.
        let is_template = ["{{", "{%", "{#"].iter().any(|mark| file.text.contains(mark));
        out += &match block(file.text, 4).filter(|_| !is_template) {
            Some(block) => format!("  content: {block}"),
            None => format!("  encoding: base64\n  content: \"{}\"\n", base64(file.text)),
        };
    }
    indented(&out, indent)
}

/// A file of a Butane config.
fn butane_file(file: &SnippetFile) -> String {
    let contents = match block(file.text, 6) {
        Some(block) => format!("inline: {block}"),
        None => format!("source: data:;base64,{}\n", base64(file.text)),
    };
    let (path, mode) = (quote(file.path, false), file.mode);
    indented(&format!("- path: {path}\n  mode: {mode}\n  contents:\n    {contents}"), 2)
}

/// A unit of the image, changed for Flatcar: the program can't be in the directories in which systemd looks for it.
fn unit(text: &str, facts: &Ingredients) -> String {
    let text =
        text.replace("ExecStart=kube-", "ExecStart=/opt/bin/kube-").replace(MANIFEST, &specifiers(facts.manifest));
    indented(text.trim_end(), 6)
}

/// The tasks that copy a file from beside the snippet.
fn ansible_copy(file: &SnippetFile) -> String {
    let SnippetFile { path, mode, beside, .. } = file;
    // Without this tag, Ansible reads braces as a template.
    let unsafe_tag = if path.contains('{') { "!unsafe " } else { "" };
    let directory = |path: &str| format!("{unsafe_tag}{}", quote(path, true));
    format!(
        "- name: Make the directory of {beside}\n  ansible.builtin.file:\n    path: {}\n    state: directory\n\
         - name: Put {beside} in place\n  ansible.builtin.copy:\n    src: {beside}\n    dest: {}\n    owner: root\n    group: root\n    mode: \"{mode}\"\n",
        directory(parent(path)),
        directory(path),
    )
}

/// The lines of a shell script that write a file, whose text is in the script.
fn here_document(file: &SnippetFile) -> String {
    let (path, mode) = (shell_word(file.path), file.mode);
    // cloud-init changes line ends, and a here-document always ends in a line end.
    let is_plain = file.text.ends_with('\n') && is_plain(file.text);
    let text = if is_plain { file.text.to_owned() } else { base64(file.text) + "\n" };
    let is_taken = |end: &String| text.lines().any(|line| line == end);
    let end = (0..).map(|n| "END".to_owned() + &"_".repeat(n)).find(|end| !is_taken(end)).unwrap_or_default();
    let install = format!("install -D -m {mode} /dev/stdin {path}");
    match is_plain {
        true => format!("{install} <<'{end}'\n{text}{end}\n"),
        false => format!("base64 -d <<'{end}' | {install}\n{text}{end}\n"),
    }
}

/// The commands that create the log directory, because the API server would create it with another mode.
fn make_directory(config: &Config) -> String {
    let Some(directory) = config.log.file().map(|path| shell_word(parent(path))) else {
        return String::new();
    };
    let log = shell_word(&config.log.path);
    let commands = match config.storage.group {
        // The API server keeps the mode of an existing log, and creates a log that only the root user can read.
        Some(group) => vec![
            format!("install -d -m 0750 -g {group} {directory}"),
            // A log from before the machine was set up anew keeps its events.
            format!("touch {log}"),
            format!("chgrp {group} {log}"),
            format!("chmod 0640 {log}"),
        ],
        None => vec![format!("install -d -m 0700 {directory}")],
    };
    let lines: String = commands.iter().map(|command| format!("    - {command}\n")).collect();
    format!("    preKubeadmCommands:\n{lines}")
}

/// The command for a first boot.
fn first_boot(config: &Config) -> String {
    let file = config.kubeadm_configs.iter().flatten().next();
    let file = file.map_or("/run/kubeadm/kubeadm.yaml", String::as_str);
    format!("kube-audit-bootstrap apply && kubeadm init --config {}", shell_word(file))
}

/// The configuration of a log shipper.
///
/// # Errors
///
/// The log is not a file, or the shipper would read its path as a pattern.
fn shipper(template: &str, config: &Config) -> Result<String, String> {
    let Some(log) = config.log.file() else {
        return Err("log.path is -, so there is no file to read; read the container's output instead".to_owned());
    };
    if log.contains(['*', '?', '[', ']', '{', '}', ',']) {
        return Err(format!(
            "log.path {log}: a log shipper reads *, ?, brackets and braces as a pattern, and commas as a list; set \
             log.path to a path without them"
        ));
    }
    let group = match config.storage.group {
        Some(group) => format!("{group} (storage.group)"),
        None => "of storage.group, which is not set".to_owned(),
    };
    Ok(fill(template, &[("LOG", log.clone()), ("ROTATED", rotation::pattern(log)), ("GROUP", group)]))
}

/// A text as a literal block of YAML, with its lines at `indent`. `None` if such a block can't hold the text. Cluster
/// API writes the block again, without an indicator for indentation or chomping, so the text must not need one.
fn block(text: &str, indent: usize) -> Option<String> {
    let lines = text.strip_suffix('\n').filter(|lines| !lines.is_empty() && !lines.ends_with('\n'))?;
    (is_plain(text) && !lines.starts_with([' ', '\t', '\n'])).then(|| format!("|\n{}\n", indented(lines, indent)))
}

/// Whether any YAML parser, and cloud-init in a script, reads the text unchanged: it is printable, and each line end is
/// `\n`.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| match c {
        '\t' | '\n' | ' '..='~' => true,
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => false,
        _ => c >= '\u{a0}',
    })
}

/// The lines, moved to the right. Empty lines stay empty.
fn indented(text: &str, indent: usize) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let width = if line == "\n" { 0 } else { indent };
        let _ = write!(out, "{:width$}{line}", "");
    }
    out
}

/// A path as one word of a shell. The configuration allows no quotes, blanks or `$` in a path.
fn shell_word(path: &str) -> String {
    match path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=@,%".contains(c)) {
        true => path.to_owned(),
        false => format!("'{path}'"),
    }
}

/// A string of HCL.
fn hcl_string(text: &str) -> String {
    // Packer reads its strings as Go templates.
    double_quoted(text).replace("%{", "%%{").replace("{{", "{{`{{`}}")
}

/// A path for a unit file, in which a percent sign would start a specifier.
fn specifiers(path: &str) -> String {
    path.replace('%', "%%")
}

fn base64(text: &str) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut out = String::new();
    for chunk in text.as_bytes().chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | usize::from(chunk.get(at).copied().unwrap_or(0)));
        for at in 0..4 {
            let digit = DIGITS[bits >> (18 - 6 * at) & 63];
            out.push(if at <= chunk.len() { char::from(digit) } else { '=' });
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::process::Command;

    use proptest::prelude::*;
    use serde_yaml::Value;

    use super::*;

    const AWKWARD: &str = "/etc/a;b&(c)/{{d}}%{e}#f*,!p~.yaml";

    fn snippet(kind: Snippet, config: &Config, text: &str) -> String {
        let facts = Ingredients {
            config,
            configuration: Some(text),
            policy: text,
            manifest: MANIFEST,
            files: &Files::new(),
        };
        render(kind, &facts).unwrap()
    }

    fn read(text: &str) -> Value {
        serde_yaml::from_str(text).unwrap_or_else(|error| panic!("{error}:\n{text}"))
    }

    fn decoded(text: &str) -> String {
        let output = Command::new("sh").args(["-c", &format!("printf %s '{text}' | base64 -d")]).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    /// The path and text of each file in a snippet, as the reader of the snippet gets them.
    fn files_in(kind: Snippet, snippet: &str) -> Vec<(String, String)> {
        let document = read(snippet);
        let files = match kind {
            Snippet::CloudInit => &document["write_files"],
            Snippet::Ignition => &document["storage"]["files"],
            _ => &document["spec"]["kubeadmConfigSpec"]["files"],
        };
        let text =
            |file: &Value| match (&file["content"], &file["contents"]["inline"], &file["contents"]["source"]) {
                (Value::String(text), _, _) if file["encoding"] == "base64" => decoded(text),
                (Value::String(text), _, _) | (_, Value::String(text), _) => text.clone(),
                (_, _, source) => {
                    decoded(source.as_str().unwrap().strip_prefix("data:;base64,").unwrap_or_default())
                }
            };
        let files = files.as_sequence().unwrap().iter();
        let files = files.filter(|file| file["contents"]["verification"].is_null());
        files.map(|file| (file["path"].as_str().unwrap().to_owned(), text(file))).collect()
    }

    fn texts() -> impl Strategy<Value = String> {
        let line =
            prop_oneof!["[ -~]{0,12}", "[ \t]{0,3}", "\\PC{0,6}", "[-|>#:@{}%\"'! ]{1,6}", Just("END".to_owned())];
        (prop::collection::vec(line, 0..6), prop_oneof!["\n", "", "\n\n", "\r\n", "\u{85}", "\u{2028}\n"])
            .prop_map(|(lines, end)| lines.join("\n") + &end)
    }

    proptest! {
        #[test]
        fn a_text_is_read_back_as_it_is(text in texts()) {
            let config = Config { policy_source: AWKWARD.to_owned(), policy_path: AWKWARD.to_owned(), ..Config::default() };
            for kind in [Snippet::CloudInit, Snippet::ClusterApi, Snippet::ClusterApiFiles, Snippet::Ignition] {
                let snippet = snippet(kind, &config, &text);
                let mut expected = vec![(DEFAULT_PATH.to_owned(), text.clone()), (AWKWARD.to_owned(), text.clone())];
                if kind == Snippet::ClusterApiFiles {
                    expected.remove(0);
                }
                prop_assert_eq!(files_in(kind, &snippet), expected, "{}", snippet);
            }
        }
    }

    #[test]
    fn a_script_puts_a_text_in_place_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a;b&(c)/{{d}}#f*");
        for text in ["", "a", "a\n", "\n\n a\n\n", "$HOME `id` \\\n", "END\nEND_\n", "a\r\n", "a\u{85}b\n", "ä\n"]
        {
            let file = SnippetFile { path: path.to_str().unwrap(), mode: "0640", text, beside: "" };
            let script = here_document(&file);
            let status = Command::new("sh").args(["-ec", &script]).status().unwrap();
            assert!(status.success(), "{script}");
            assert_eq!(fs::read_to_string(&path).unwrap(), text, "{script}");
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o7777, 0o640);
        }
    }

    #[test]
    fn every_snippet_is_filled_in_once() {
        let config = Config { policy_source: AWKWARD.to_owned(), ..Config::default() };
        for kind in Snippet::value_variants() {
            let text = snippet(*kind, &config, "text: \"@LOG@ @FILES@\"\n").replace("@LOG@ @FILES@", "");
            assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{text}");
            let left = text
                .split('@')
                .skip(1)
                .find(|part| !part.is_empty() && part.chars().all(|c| c.is_ascii_uppercase()));
            assert_eq!(left, None, "{text}");
        }
    }

    #[test]
    fn awkward_paths_are_quoted_for_where_they_go() {
        let source = Config { policy_source: AWKWARD.to_owned(), ..Config::default() };
        for (kind, expected) in [
            (Snippet::Kind, format!("COPY [\"audit-policy.yaml\", \"{AWKWARD}\"]\n")),
            (Snippet::Kairos, format!("COPY [\"audit-policy.yaml\", \"{AWKWARD}\"]\n")),
            (Snippet::Mkosi, format!("\"$SRCDIR/audit-policy.yaml\" \"$BUILDROOT\"'{AWKWARD}'\n")),
            (
                Snippet::Packer,
                format!(
                    "/tmp/audit-policy.yaml '{}'\",\n",
                    AWKWARD.replace("%{", "%%{").replace("{{", "{{`{{`}}")
                ),
            ),
            (Snippet::Ansible, format!("    dest: !unsafe \"{AWKWARD}\"\n")),
            (Snippet::VendorData, format!("/dev/stdin '{AWKWARD}' <<'END'\n")),
        ] {
            let text = snippet(kind, &source, "a: b\n");
            assert!(text.contains(&expected), "{expected}{text}");
        }
        let config = Config {
            kubeadm_configs: Some(vec![AWKWARD.to_owned()]),
            log: crate::config::Log { path: format!("{AWKWARD}/log"), ..Config::default().log },
            ..Config::default()
        };
        let command = &read(&snippet(Snippet::CloudInit, &config, "a: b\n"))["runcmd"][0];
        assert_eq!(command, &format!("kube-audit-bootstrap apply && kubeadm init --config '{AWKWARD}'"));
        let command = &read(&snippet(Snippet::ClusterApiFiles, &config, "a: b\n"))["spec"]["kubeadmConfigSpec"]["preKubeadmCommands"]
            [0];
        assert_eq!(command, &format!("install -d -m 0700 '{AWKWARD}'"));
        let facts = Ingredients {
            config: &config,
            configuration: None,
            policy: "",
            manifest: "/a%b/kube-apiserver.yaml",
            files: &Files::new(),
        };
        for kind in [Snippet::Systemd, Snippet::Ignition] {
            let text = render(kind, &facts).unwrap();
            assert!(
                text.contains("PathChanged=/a%%b/kube-apiserver.yaml\n") && !text.contains(MANIFEST),
                "{text}"
            );
        }
    }

    #[test]
    fn a_log_that_is_there_keeps_its_events() {
        let directory = tempfile::tempdir().unwrap();
        let mut config = Config::default();
        config.log.path = directory.path().join("logs/audit.log").to_str().unwrap().to_owned();
        // The group of this user: no other user's group can be set by everybody.
        config.storage.group = Some(nix::unistd::getegid().as_raw());
        let commands = make_directory(&config);
        let commands: Vec<_> = commands.lines().filter_map(|line| line.trim().strip_prefix("- ")).collect();
        for events in ["", "event\n"] {
            let status = Command::new("sh").args(["-ec", &commands.join("\n")]).status().unwrap();
            assert!(status.success(), "{commands:?}");
            assert_eq!(fs::read_to_string(&config.log.path).unwrap(), events);
            let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o7777;
            assert_eq!((mode(parent(&config.log.path)), mode(&config.log.path)), (0o750, 0o640));
            fs::write(&config.log.path, "event\n").unwrap();
        }
    }

    #[test]
    fn cluster_api_gets_what_kubeadms_file_gets() {
        let mut config = Config::default();
        config.log.path = "/var/log/other/audit.log".to_owned();
        config.policy_path = "/etc/kubernetes/other.yaml".to_owned();
        let text = "apiVersion: kubeadm.k8s.io/v1beta4\nkind: ClusterConfiguration\n";
        let file = kubeadm::read(text, "/kubeadm.yaml", kubeadm::Reader::Init).unwrap();
        let wanted = crate::wiring::Wanted::of(&config, &std::collections::BTreeMap::new());
        let wired = kubeadm::wire(text, &file, &wanted, None).unwrap();
        let rendered = read(&snippet(Snippet::ClusterApiFiles, &config, "a: b\n"));
        assert_eq!(
            rendered["spec"]["kubeadmConfigSpec"]["clusterConfiguration"]["apiServer"],
            read(&wired.text)["apiServer"]
        );
    }

    #[test]
    fn flatcar_runs_no_program_from_where_none_can_be() {
        let text = snippet(Snippet::Ignition, &Config::default(), "a: b\n");
        let programs: Vec<_> = text.lines().filter_map(|line| line.trim().strip_prefix("ExecStart=")).collect();
        assert!(programs.len() >= 2 && programs.iter().all(|line| line.starts_with("/opt/bin/")), "{programs:?}");
    }

    #[test]
    fn a_log_that_is_no_file_or_a_pattern_has_no_shipper() {
        let mut config = Config::default();
        for path in ["-", "/var/log/audit*/audit.log", "/var/log/a,b/audit.log"] {
            config.log.path = path.to_owned();
            let facts = Ingredients {
                config: &config,
                configuration: None,
                policy: "",
                manifest: MANIFEST,
                files: &Files::new(),
            };
            for kind in Snippet::value_variants() {
                let reads_log =
                    [Snippet::Rsyslog, Snippet::Vector, Snippet::FluentBit, Snippet::OtelCollector].contains(kind);
                assert_eq!(render(*kind, &facts).is_err(), reads_log, "{kind:?} {path}");
            }
        }
    }
}
