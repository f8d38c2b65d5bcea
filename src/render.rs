//! Snippets that bring the program, its configuration and what reads its log into other people's files. Pure.

use std::fmt::Write as _;

use clap::ValueEnum;

use crate::config::{Config, DEFAULT_PATH, parent};
use crate::wiring::kubeadm;
use crate::yaml::scalar::{double_quoted, quote};

/// Where the path unit of the image looks for the manifest.
const MANIFEST: &str = "/etc/kubernetes/manifests/kube-apiserver.yaml";

/// What a snippet is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Kind {
    /// cloud-init's user-data, for an image that has the program
    CloudInit,
    /// cloud-init's vendor-data, for an image whose users bring user-data of their own
    VendorData,
    /// Part of a KubeadmControlPlane, for images that have the program
    ClusterApi,
    /// Part of a KubeadmControlPlane, for images without the program
    ClusterApiFiles,
    /// A Dockerfile of a node image for kind
    Kind,
    /// A Butane config for Flatcar, which makes an Ignition config
    Ignition,
    /// A mkosi.postinst script
    Mkosi,
    /// Provisioners of Packer
    Packer,
    /// Tasks of Ansible, such as a role of image-builder's
    Ansible,
    /// A Dockerfile of a Kairos image
    Kairos,
    /// A drop-in that makes self-healing watch the node's manifest
    Systemd,
    /// rsyslog reads the log
    Rsyslog,
    /// Vector reads the log
    Vector,
    /// Fluent Bit reads the log
    FluentBit,
    /// The OpenTelemetry Collector reads the log
    OtelCollector,
}

/// What a snippet is made of.
#[derive(Debug)]
pub struct Facts<'f> {
    pub config: &'f Config,
    /// The configuration file's text, where there is one.
    pub configuration: Option<&'f str>,
    /// The audit policy that is installed.
    pub policy: &'f str,
    /// Where the manifest is.
    pub manifest: &'f str,
}

/// A file to put on the node.
struct File<'f> {
    path: &'f str,
    mode: &'static str,
    text: &'f str,
    /// Its name where it lies beside the snippet.
    beside: &'static str,
}

/// The snippet, or why there is none for this configuration.
pub fn render(kind: Kind, facts: &Facts) -> Result<String, String> {
    let files = files(kind, facts);
    let listed = |name: &str| files.iter().fold(String::new(), |text, file| text + name + file.beside);
    let each = |one: fn(&File) -> String| files.iter().map(one).collect::<String>();
    let text = match kind {
        Kind::CloudInit => fill(
            include_str!("render/cloud-init.yaml"),
            &[("FILES", section("write_files:", &files, 0)), ("COMMAND", first_boot(facts.config))],
        ),
        Kind::VendorData => fill(include_str!("render/vendor-data.sh"), &[("FILES", each(here_document))]),
        Kind::ClusterApi => {
            let files = match files.as_slice() {
                [] => " {}".to_owned(),
                files => format!("\n{}", section("files:", files, 4).trim_end_matches('\n')),
            };
            fill(include_str!("render/cluster-api.yaml"), &[("FILES", files)])
        }
        Kind::ClusterApiFiles => fill(
            include_str!("render/cluster-api-files.yaml"),
            &[
                ("FILES", section("files:", &files, 4)),
                ("COMMANDS", make_directory(facts.config)),
                ("SETTINGS", indented(kubeadm::settings(facts.config).trim_end(), 6)),
            ],
        ),
        Kind::Kind | Kind::Kairos => {
            let template = match kind {
                Kind::Kind => include_str!("render/kind.Dockerfile"),
                _ => include_str!("render/kairos.Dockerfile"),
            };
            let copy = each(|file| format!("COPY [{}, {}]\n", double_quoted(file.beside), double_quoted(file.path)));
            fill(template, &[("BESIDE", listed(", ")), ("FILES", copy)])
        }
        Kind::Ignition => fill(
            include_str!("render/ignition.bu"),
            &[
                ("FILES", each(butane_file)),
                ("PATH", unit(include_str!("../image/systemd/kube-audit-bootstrap-heal.path"), facts)),
                ("SERVICE", unit(include_str!("../image/systemd/kube-audit-bootstrap-heal.service"), facts)),
                ("TIMER", unit(include_str!("../image/systemd/kube-audit-bootstrap-heal.timer"), facts)),
            ],
        ),
        Kind::Mkosi => {
            let install = each(|file| {
                let path = format!("\"$BUILDROOT\"{}", shell_word(file.path));
                format!("install -D -m {} \"$SRCDIR/{}\" {path}\n", file.mode, file.beside)
            });
            fill(include_str!("render/mkosi.postinst"), &[("BESIDE", listed(", ")), ("FILES", install)])
        }
        Kind::Packer => {
            let names = listed(" /tmp/");
            let sources =
                files.iter().map(|file| double_quoted(file.beside)).fold("\"kube-audit-bootstrap.tar.gz\"".to_owned(), |all, one| all + ", " + &one);
            let install = each(|file| {
                let command = format!("install -D -m {} /tmp/{} {}", file.mode, file.beside, shell_word(file.path));
                format!("    {},\n", hcl_string(&command))
            });
            let remove = format!("/tmp/kube-audit-bootstrap.tar.gz /tmp/kube-audit-bootstrap{names}");
            fill(
                include_str!("render/packer.pkr.hcl"),
                &[("BESIDE", listed(", ")), ("SOURCES", sources), ("FILES", install), ("REMOVE", remove)],
            )
        }
        Kind::Ansible => {
            fill(include_str!("render/ansible.yml"), &[("BESIDE", listed(", ")), ("FILES", each(ansible_copy))])
        }
        Kind::Systemd => fill(
            include_str!("render/heal-path.conf"),
            &[("MANIFEST", specifiers(facts.manifest))],
        ),
        Kind::Rsyslog => shipper(include_str!("render/rsyslog.conf"), facts.config)?,
        Kind::Vector => shipper(include_str!("render/vector.yaml"), facts.config)?,
        Kind::FluentBit => shipper(include_str!("render/fluent-bit.yaml"), facts.config)?,
        Kind::OtelCollector => shipper(include_str!("render/otel-collector.yaml"), facts.config)?,
    };
    Ok(format!("{}\n", text.trim_end_matches('\n')))
}

/// What a snippet leaves to the user, in sentences.
pub fn warnings(kind: Kind, config: &Config) -> Vec<String> {
    let mut warnings = Vec::new();
    match kind {
        Kind::Rsyslog | Kind::Vector | Kind::FluentBit | Kind::OtelCollector => {
            if config.storage.group.is_none() {
                warnings.push("storage.group is not set, so only root can read the log".to_owned());
            }
            if config.log.format != "json" {
                warnings.push(format!("log.format is {}, and this reads JSON", config.log.format));
            }
        }
        Kind::Systemd => {}
        _ => {
            if let Some(webhook) = &config.webhook {
                warnings.push(format!(
                    "{}: webhook.configFile is not in it, as it holds credentials; put it on the node yourself",
                    webhook.config_file
                ));
            }
        }
    }
    if kind == Kind::ClusterApiFiles && config.storage.source.is_some() {
        warnings.push("storage.device and storage.bind need the program on the node; nothing is mounted here".to_owned());
    }
    warnings
}

/// The files that a snippet puts on the node. Without the program it is the policy itself.
fn files<'f>(kind: Kind, facts: &Facts<'f>) -> Vec<File<'f>> {
    let config = facts.config;
    let policy = |path| File { path, mode: "0600", text: facts.policy, beside: "audit-policy.yaml" };
    if kind == Kind::ClusterApiFiles {
        return vec![policy(&config.policy_path)];
    }
    let configuration = facts.configuration.map(|text| File {
        path: DEFAULT_PATH,
        mode: "0644",
        text,
        beside: "config.yaml",
    });
    let source = Some(config.policy_source.as_str()).filter(|source| *source != "default");
    configuration.into_iter().chain(source.map(policy)).collect()
}

/// Fills in `@NAME@`. What is filled in isn't looked at again.
fn fill(template: &str, values: &[(&str, String)]) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('@') {
        out.push_str(before);
        let found = values.iter().find_map(|(name, value)| Some((value, after.strip_prefix(name)?.strip_prefix('@')?)));
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

/// A list of files as cloud-init has it, and Cluster API, which takes the same fields.
fn section(name: &str, files: &[File], indent: usize) -> String {
    if files.is_empty() {
        return String::new();
    }
    let mut out = format!("{name}\n");
    for file in files {
        let (path, mode) = (quote(file.path, false), file.mode);
        let _ = write!(out, "- path: {path}\n  owner: root:root\n  permissions: \"{mode}\"\n");
        // Cluster API's user-data is a template of Jinja's.
        let is_template = ["{{", "{%", "{#"].iter().any(|mark| file.text.contains(mark));
        out += &match block(file.text, 4).filter(|_| !is_template) {
            Some(block) => format!("  content: {block}"),
            None => format!("  encoding: base64\n  content: {}\n", base64(file.text)),
        };
    }
    indented(&out, indent)
}

/// A file of a Butane config.
fn butane_file(file: &File) -> String {
    let contents = match block(file.text, 6) {
        Some(block) => format!("inline: {block}"),
        None => format!("source: data:;base64,{}\n", base64(file.text)),
    };
    let (path, mode) = (quote(file.path, false), file.mode);
    indented(&format!("- path: {path}\n  mode: {mode}\n  contents:\n    {contents}"), 2)
}

/// A unit of the image's as Flatcar needs it, where programs can't be where systemd looks for them.
fn unit(text: &str, facts: &Facts) -> String {
    let text = text
        .replace("ExecStart=kube-", "ExecStart=/opt/bin/kube-")
        .replace("ExecStart=/usr/bin/", "ExecStart=/opt/bin/")
        .replace(MANIFEST, &specifiers(facts.manifest));
    indented(text.trim_end(), 6)
}

/// A task that copies a file from beside the snippet.
fn ansible_copy(file: &File) -> String {
    let File { path, mode, beside, .. } = file;
    // Ansible fills in braces, unless it is told not to.
    let unsafe_tag = if path.contains('{') { "!unsafe " } else { "" };
    let directory = |path: &str| format!("{unsafe_tag}{}", quote(path, true));
    format!(
        "- name: Make the directory of {beside}\n  ansible.builtin.file:\n    path: {}\n    state: directory\n    mode: \"0755\"\n\
         - name: Put {beside} in place\n  ansible.builtin.copy:\n    src: {beside}\n    dest: {}\n    owner: root\n    group: root\n    mode: \"{mode}\"\n",
        directory(parent(path)),
        directory(path),
    )
}

/// What puts a file in place in a shell script, from the script itself.
fn here_document(file: &File) -> String {
    let (path, mode) = (shell_word(file.path), file.mode);
    // cloud-init changes line ends, and a here-document has one at its end.
    let (input, text) = match file.text.ends_with('\n') && is_plain(file.text) {
        true => ("", file.text.to_owned()),
        false => ("base64 -d | ", base64(file.text) + "\n"),
    };
    let is_taken = |end: &String| text.lines().any(|line| line == end);
    let end = (0..).map(|n| "END".to_owned() + &"_".repeat(n)).find(|end| !is_taken(end)).unwrap_or_default();
    format!("{input}install -D -m {mode} /dev/stdin {path} <<'{end}'\n{text}{end}\n")
}

/// What the API server can't make itself as it should be: the directory of the log.
fn make_directory(config: &Config) -> String {
    let Some(directory) = config.log.file().map(|path| shell_word(parent(path))) else {
        return String::new();
    };
    let command = match config.storage.group {
        Some(group) => format!("install -d -m 0750 -g {group} {directory}"),
        None => format!("install -d -m 0700 {directory}"),
    };
    format!("    preKubeadmCommands:\n    - {}\n", yaml_line(&command))
}

/// What a first boot runs.
fn first_boot(config: &Config) -> String {
    let file = config.kubeadm_configs.iter().flatten().next();
    let file = file.map_or("/run/kubeadm/kubeadm.yaml", String::as_str);
    yaml_line(&format!("kube-audit-bootstrap apply && kubeadm init --config {}", shell_word(file)))
}

/// A log shipper's configuration.
fn shipper(template: &str, config: &Config) -> Result<String, String> {
    let Some(log) = config.log.file() else {
        return Err("log.path is -, so there is no file to read: read the container's output instead".to_owned());
    };
    let group = config.storage.group.map_or("0".to_owned(), |group| group.to_string());
    Ok(fill(
        template,
        &[("LOG", log.clone()), ("DIRECTORY", parent(log).to_owned()), ("GROUP", group)],
    ))
}

/// A text as a literal block of YAML, its lines at `indent`; `None` for what such a block can't hold.
fn block(text: &str, indent: usize) -> Option<String> {
    if !is_plain(text) || text.trim_matches('\n').is_empty() {
        return None;
    }
    let level = if text.starts_with([' ', '\t', '\n']) { "2" } else { "" };
    let end = match text.strip_suffix('\n') {
        None => "-",
        Some(rest) if rest.ends_with('\n') => "+",
        Some(_) => "",
    };
    Some(format!("|{level}{end}\n{}\n", indented(text.strip_suffix('\n').unwrap_or(text), indent)))
}

/// Whether a text reads the same in any YAML, and as a script that cloud-init runs: printable, and with no line end but `\n`.
fn is_plain(text: &str) -> bool {
    text.chars().all(|c| match c {
        '\t' | '\n' | ' '..='~' => true,
        '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => false,
        _ => c >= '\u{a0}',
    })
}

/// Lines further to the right. Empty ones stay so.
fn indented(text: &str, indent: usize) -> String {
    let mut out = String::new();
    for line in text.split_inclusive('\n') {
        let width = if line == "\n" { 0 } else { indent };
        let _ = write!(out, "{:width$}{line}", "");
    }
    out
}

/// A command as a scalar of YAML.
fn yaml_line(command: &str) -> String {
    match command.chars().all(|c| c.is_ascii_alphanumeric() || " /._-&".contains(c)) {
        true => command.to_owned(),
        false => double_quoted(command),
    }
}

/// A path as one word of a shell's. The configuration lets none have quotes, blanks or `$`.
fn shell_word(path: &str) -> String {
    match path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+=@,%".contains(c)) {
        true => path.to_owned(),
        false => format!("'{path}'"),
    }
}

/// A string of HCL's.
fn hcl_string(text: &str) -> String {
    double_quoted(text).replace("%{", "%%{")
}

/// A path in a unit file, where a percent sign would begin a specifier.
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
