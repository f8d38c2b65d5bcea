//! The systemd units that mount a dedicated disk at the log directory: systemd.mount(5).

use std::fmt::Write as _;

/// The first line of each unit that the program writes.
pub const NOTE: &str = "# Written by kube-audit-bootstrap, for the storage that its configuration names.\n";

/// The directory of the units that belong to this node, not to a package.
pub const UNITS: &str = "/etc/systemd/system";

/// The drop-in that makes the kubelet wait for the mount, relative to [`UNITS`].
pub const KUBELET_DROP_IN: &str = "kubelet.service.d/20-audit-log.conf";

/// What is mounted at the log directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MountSource {
    /// A directory of another file system.
    Bind(String),
    /// A device, by `LABEL=`, `UUID=` or a path in `/dev`, and the file system that it gets if it is blank.
    Device { name: String, format: Option<FileSystem> },
}

/// A file system for a blank device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystem {
    Ext4,
    Xfs,
}

impl FileSystem {
    /// Its name for mount(8) and mkfs.
    pub fn name(self) -> &'static str {
        match self {
            FileSystem::Ext4 => "ext4",
            FileSystem::Xfs => "xfs",
        }
    }
}

/// The path that udev gives to a device with a name such as `LABEL=audit`.
pub fn device_path(name: &str) -> String {
    let by = |directory: &str, value: &str| format!("/dev/disk/{directory}/{}", escaped_label(value));
    match name.split_once('=') {
        Some(("LABEL", value)) => by("by-label", value),
        Some(("UUID", value)) => by("by-uuid", &value.to_lowercase()),
        Some(("PARTLABEL", value)) => by("by-partlabel", value),
        Some(("PARTUUID", value)) => by("by-partuuid", &value.to_lowercase()),
        _ => name.to_owned(),
    }
}

/// A label as udev writes it in a file name (`udev_node_escape_path`): letters, digits and a few marks as they are, all
/// other bytes by number.
fn escaped_label(label: &str) -> String {
    label.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b if b.is_ascii_alphanumeric() || b"#+-.:=@_".contains(&b) => out.push(char::from(b)),
            b => {
                let _ = write!(out, "\\x{b:02x}");
            }
        }
        out
    })
}

/// The name of the unit that mounts at `path`, as `systemd-escape --path --suffix=mount` prints it.
pub fn name(path: &str) -> String {
    escaped(path) + ".mount"
}

fn escaped(path: &str) -> String {
    let mut name = String::new();
    let words: Vec<_> = path.split('/').filter(|word| !word.is_empty()).collect();
    for (at, byte) in words.join("/").bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if at == 0 => name.push_str("\\x2e"),
            b if b.is_ascii_alphanumeric() || b":_.".contains(&b) => name.push(char::from(b)),
            b => {
                let _ = write!(name, "\\x{b:02x}");
            }
        }
    }
    if name.is_empty() { "-".to_owned() } else { name }
}

/// The files for the mount, each as (path, text): the mount unit, and the drop-in that makes the kubelet wait for the
/// mount and need it. Because of `nofail`, nothing else waits for the mount.
pub fn files(source: &MountSource, directory: &str) -> [(String, String); 2] {
    let mut unit =
        format!("{NOTE}[Unit]\nDescription=Audit log of the Kubernetes API server\nBefore=kubelet.service\n");
    let (what, kind, options) = match source {
        MountSource::Bind(from) => {
            let _ = writeln!(unit, "RequiresMountsFor={}", specifiers(from));
            (from.clone(), "none".to_owned(), "bind,nofail")
        }
        MountSource::Device { name, format } => {
            let (kind, path) = (format.map_or("auto", FileSystem::name).to_owned(), device_path(name));
            // The file system is checked after a power cut, as systemd does for fstab.
            let check = format!("systemd-fsck@{}.service", escaped(&path));
            let _ = writeln!(unit, "Wants={check}\nAfter={check}");
            // If the device's name disappears for a moment, this must not stop the kubelet.
            (path, kind, "nodev,nosuid,noexec,nofail,x-systemd.device-bound=no")
        }
    };
    let what = specifiers(&what);
    let _ = write!(
        unit,
        "\n[Mount]\nWhat={what}\nWhere={}\nType={kind}\nOptions={options}\nDirectoryMode=0700\n",
        specifiers(directory)
    );
    let drop_in = format!("{NOTE}[Unit]\nRequiresMountsFor={}\n", specifiers(directory));
    [(format!("{UNITS}/{}", name(directory)), unit), (format!("{UNITS}/{KUBELET_DROP_IN}"), drop_in)]
}

/// Whether a file of this program is one that it writes, for some source and directory. If not, somebody has edited it.
pub fn is_as_written(text: &str) -> bool {
    let value =
        |key: &str| text.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.replace("%%", "%"));
    let what = value("What=").unwrap_or_default();
    let source = match value("Type=").as_deref() {
        Some("ext4") => MountSource::Device { name: what, format: Some(FileSystem::Ext4) },
        Some("xfs") => MountSource::Device { name: what, format: Some(FileSystem::Xfs) },
        Some("auto") => MountSource::Device { name: what, format: None },
        _ => MountSource::Bind(what),
    };
    let directory = value("Where=").or_else(|| value("RequiresMountsFor=")).unwrap_or_default();
    files(&source, &directory).iter().any(|(_, made)| made == text)
}

/// A path as a unit file needs it: a percent sign would begin a specifier, so it is doubled.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The expected names are what `systemd-escape --path --suffix=mount` prints.
    #[test]
    fn the_name_of_a_mount_unit_is_that_of_its_path() {
        for (path, expected) in [
            ("/var/log/kubernetes/audit", "var-log-kubernetes-audit.mount"),
            ("/var/log/kube-audit", "var-log-kube\\x2daudit.mount"),
            ("/.audit/a.b_c:d", "\\x2eaudit-a.b_c:d.mount"),
            ("//var//log/", "var-log.mount"),
            ("/", "-.mount"),
        ] {
            assert_eq!(name(path), expected, "{path}");
        }
    }

    #[test]
    fn a_device_has_the_path_that_udev_gives_it() {
        for (name, expected) in [
            ("LABEL=audit", "/dev/disk/by-label/audit"),
            ("LABEL=audit log/1", "/dev/disk/by-label/audit\\x20log\\x2f1"),
            ("UUID=0B1D-2C3E", "/dev/disk/by-uuid/0b1d-2c3e"),
            ("PARTLABEL=Audit", "/dev/disk/by-partlabel/Audit"),
            ("PARTUUID=AB", "/dev/disk/by-partuuid/ab"),
            ("/dev/disk/by-id/virtio-audit", "/dev/disk/by-id/virtio-audit"),
        ] {
            assert_eq!(device_path(name), expected, "{name}");
        }
    }

    #[test]
    fn the_kubelet_needs_the_mount_and_nobody_else_waits_for_it() {
        let source = MountSource::Device { name: "LABEL=audit".to_owned(), format: None };
        let [(path, unit), (drop_in_path, drop_in)] = files(&source, "/var/log/kubernetes/audit");
        assert_eq!(path, "/etc/systemd/system/var-log-kubernetes-audit.mount");
        assert_eq!(
            unit,
            "# Written by kube-audit-bootstrap, for the storage that its configuration names.\n\
             [Unit]\n\
             Description=Audit log of the Kubernetes API server\n\
             Before=kubelet.service\n\
             Wants=systemd-fsck@dev-disk-by\\x2dlabel-audit.service\n\
             After=systemd-fsck@dev-disk-by\\x2dlabel-audit.service\n\
             \n\
             [Mount]\n\
             What=/dev/disk/by-label/audit\n\
             Where=/var/log/kubernetes/audit\n\
             Type=auto\n\
             Options=nodev,nosuid,noexec,nofail,x-systemd.device-bound=no\n\
             DirectoryMode=0700\n"
        );
        for (format, line) in [(FileSystem::Ext4, "Type=ext4"), (FileSystem::Xfs, "Type=xfs")] {
            let source = MountSource::Device { name: "/dev/disk/by-id/x".to_owned(), format: Some(format) };
            let [(_, unit), _] = files(&source, "/a/b");
            assert!(unit.lines().any(|found| found == line), "{unit}");
        }
        assert_eq!(drop_in_path, "/etc/systemd/system/kubelet.service.d/20-audit-log.conf");
        assert!(drop_in.ends_with("\n[Unit]\nRequiresMountsFor=/var/log/kubernetes/audit\n"), "{drop_in}");
    }

    #[test]
    fn an_edit_of_a_written_file_is_seen() {
        let device = |name: &str, format| MountSource::Device { name: name.to_owned(), format };
        for source in [
            MountSource::Bind("/data/50%".to_owned()),
            device("LABEL=a b", None),
            device("/dev/disk/by-id/x", Some(FileSystem::Ext4)),
            device("UUID=1", Some(FileSystem::Xfs)),
        ] {
            for (path, text) in files(&source, "/var/log/5%") {
                assert!(is_as_written(&text), "{text}");
                for edited in [format!("{text}# mine\n"), text.replace("Mount", "Mounted"), text.replace(NOTE, "")]
                {
                    assert!(!is_as_written(&edited), "{path}: {edited}");
                }
            }
        }
    }

    #[test]
    fn a_bound_directory_needs_what_it_lies_on() {
        let [(_, unit), _] = files(&MountSource::Bind("/data/50%".to_owned()), "/a/b");
        for line in ["RequiresMountsFor=/data/50%%", "What=/data/50%%", "Type=none", "Options=bind,nofail"] {
            assert!(unit.lines().any(|found| found == line), "{line}: {unit}");
        }
    }
}
