//! Reads `/proc/self/mountinfo`, the list of mounts: proc_pid_mountinfo(5).

use std::fmt;

use crate::path::is_within;

/// One mount: one line of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    pub id: u32,
    pub parent: u32,
    /// The number of the device, `MAJOR:MINOR`. A file system without a device of its own, such as btrfs, has a
    /// made-up one.
    pub device: String,
    /// The directory of the file system that is mounted: `/`, or another one for a bind mount or a subvolume.
    pub root: String,
    /// The directory where it is mounted.
    pub point: String,
    pub file_system: String,
    /// The device, or what the file system has in place of one.
    pub source: String,
    /// The options of the mount, separated by commas.
    pub options: String,
    /// The options of the file system, separated by commas.
    pub super_options: String,
}

impl Mount {
    /// The value of an option of the file system.
    pub fn super_option(&self, name: &str) -> Option<&str> {
        self.super_options.split(',').find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
    }

    /// Whether the mount or its file system is read-only.
    pub fn is_read_only(&self) -> bool {
        [&self.options, &self.super_options].iter().any(|options| options.split(',').any(|option| option == "ro"))
    }
}

/// A line that is not in the format of mountinfo.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LineFault {
    /// The number of the line, from 1.
    pub line: usize,
}

impl fmt::Display for LineFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: this is not a line of mountinfo", self.line)
    }
}

/// Reads the text of mountinfo.
///
/// # Errors
///
/// A line can't be read. Without that line, a mount that covers a directory could be missed.
pub fn parse(text: &str) -> Result<Vec<Mount>, LineFault> {
    text.lines().enumerate().map(|(at, line)| mount(line).ok_or(LineFault { line: at + 1 })).collect()
}

fn mount(line: &str) -> Option<Mount> {
    // Blanks inside a field are escaped. A file system may have an empty source, which leaves two blanks in a row.
    let (mount, file_system) = line.split_once(" - ")?;
    let mut words = mount.split(' ');
    let (id, parent) = (words.next()?.parse().ok()?, words.next()?.parse().ok()?);
    let device = words.next()?.to_owned();
    let (root, point) = (plain(words.next()?), plain(words.next()?));
    let options = words.next()?.to_owned();
    let mut words = file_system.splitn(3, ' ');
    Some(Mount {
        id,
        parent,
        device,
        root,
        point,
        options,
        file_system: plain(words.next()?),
        source: plain(words.next()?),
        super_options: plain(words.next()?),
    })
}

/// The line of a file system table (fstab(5)) that mounts something at `path`, and what it mounts. If several do, the last
/// one.
pub fn in_fstab(text: &str, path: &str) -> Option<(usize, String)> {
    let entries = text.lines().enumerate().filter_map(|(at, line)| {
        let mut words = line.split_whitespace();
        let what = words.next().filter(|what| !what.starts_with('#'))?;
        let point = plain(words.next()?);
        (point.trim_end_matches('/') == path).then(|| (at + 1, plain(what)))
    });
    entries.last()
}

/// A text with its octal escapes resolved: `\040` is a blank, `\011` a tab, `\012` a newline, `\134` a backslash,
/// `\043` a number sign.
fn plain(text: &str) -> String {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'\\', [a @ b'0'..=b'3', b @ b'0'..=b'7', c @ b'0'..=b'7', tail @ ..]) => {
                bytes.push([a, b, c].iter().fold(0, |byte, digit| byte * 8 + (*digit - b'0')));
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap_or_else(|error| String::from_utf8_lossy(error.as_bytes()).into_owned())
}

/// The mount that a path is on. It follows the path like the kernel: from the root directory on, at each mount point on
/// the way, to what was mounted there last. So a mount that an outer mount hides doesn't count. `path` is absolute and
/// without links. `None` if no mount covers it, such as under a root directory that is not a mount point.
pub fn covering<'m>(mounts: &'m [Mount], path: &str) -> Option<&'m Mount> {
    let is_listed = |id: u32| mounts.iter().any(|mount| mount.id == id);
    let begins = |mount: &&Mount| mount.parent == mount.id || !is_listed(mount.parent);
    let on_the_way = |mount: &&Mount| mount.point == "/" || is_within(path, &mount.point);
    let mut found = mounts.iter().filter(begins).filter(on_the_way).min_by_key(|mount| mount.point.len())?;
    // Each step goes to another mount, so this loop ends for every text.
    for _ in mounts {
        let inside = |mount: &&Mount| mount.parent == found.id && mount.id != found.id;
        match mounts.iter().filter(inside).filter(on_the_way).min_by_key(|mount| mount.point.len()) {
            Some(next) => found = next,
            None => break,
        }
    }
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn point(text: &str, path: &str) -> Option<(u32, String)> {
        covering(&parse(text).unwrap(), path).map(|mount| (mount.id, mount.file_system.clone()))
    }

    #[test]
    fn the_last_line_of_a_table_counts() {
        let text = "# /dev/a /logs\n/dev/b /logs ext4\n\nLABEL=c\\040d /my\\040logs/ ext4 defaults 0 2\nUUID=1 /logs xfs\n";
        for (path, expected) in [("/logs", Some((5, "UUID=1"))), ("/my logs", Some((4, "LABEL=c d"))), ("/", None)]
        {
            assert_eq!(in_fstab(text, path), expected.map(|(line, what)| (line, what.to_owned())), "{path}");
        }
    }

    #[test]
    fn a_line_is_read() {
        let text = r"36 35 98:0 /mnt1 /mnt2/a\040b rw,noatime shared:1 master:2 - ext3 /dev/r\134t ro,errors=continue,x=a,b";
        let mounts = parse(text).unwrap();
        let expected = Mount {
            id: 36,
            parent: 35,
            device: "98:0".to_owned(),
            root: "/mnt1".to_owned(),
            point: "/mnt2/a b".to_owned(),
            file_system: "ext3".to_owned(),
            source: r"/dev/r\t".to_owned(),
            options: "rw,noatime".to_owned(),
            super_options: "ro,errors=continue,x=a,b".to_owned(),
        };
        assert_eq!(mounts, std::slice::from_ref(&expected));
        assert!(expected.is_read_only());
        assert_eq!(expected.super_option("errors"), Some("continue"));
        assert_eq!(expected.super_option("error"), None);
    }

    #[test]
    fn every_byte_can_be_escaped() {
        let text: String = (1..=127).map(|byte| format!("\\{byte:03o}")).collect();
        assert_eq!(plain(&text).into_bytes(), (1..=127).collect::<Vec<u8>>());
        assert_eq!(plain(r"\303\244\400\08"), r"ä\400\08");
    }

    #[test]
    fn nothing_can_be_written_where_the_mount_or_its_file_system_is_read_only() {
        for (options, super_options, expected) in [
            ("rw", "rw", false),
            ("noatime,ro", "rw", true),
            ("rw", "ro,errors=continue", true),
            ("rw", "root", false),
        ] {
            let mounts = parse(&format!("1 0 0:1 / / {options} - ext4 /dev/a {super_options}")).unwrap();
            assert_eq!(mounts[0].is_read_only(), expected, "{options} {super_options}");
        }
    }

    #[test]
    fn a_mount_without_optional_fields_or_source_is_read() {
        let mounts = parse("1 0 0:1 / / rw - tmpfs  rw,size=4k\n").unwrap();
        assert_eq!((mounts[0].source.as_str(), mounts[0].super_options.as_str()), ("", "rw,size=4k"));
    }

    #[test]
    fn a_line_that_is_none_is_an_error() {
        for (text, line) in [
            ("", 0),
            ("1 0 0:1 / / rw - ext4 /dev/a rw\n\n", 2),
            ("1 0 0:1 / / rw ext4 /dev/a rw\n", 1),
            ("x 0 0:1 / / rw - ext4 /dev/a rw\n", 1),
            ("1 0 0:1 / / rw - ext4 /dev/a\n", 1),
        ] {
            assert_eq!(parse(text).err().map_or(0, |fault| fault.line), line, "{text:?}");
        }
        assert_eq!(parse("?").unwrap_err().to_string(), "line 1: this is not a line of mountinfo");
    }

    #[test]
    fn of_stacked_mounts_the_last_counts() {
        let text = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
                    2 1 8:2 / /var rw - xfs /dev/sda2 rw\n\
                    3 2 0:3 / /var rw - tmpfs tmpfs rw\n\
                    4 2 8:4 / /var/log rw - ext4 /dev/sda4 rw\n";
        // The tmpfs was mounted later, and hides the disk with /var/log.
        assert_eq!(point(text, "/var/log/x"), Some((3, "tmpfs".to_owned())));
        assert_eq!(point(text, "/var"), Some((3, "tmpfs".to_owned())));
        assert_eq!(point(text, "/variable"), Some((1, "ext4".to_owned())));
    }

    #[test]
    fn a_mount_over_an_older_inner_one_hides_it() {
        let text = "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n\
                    2 1 8:2 / /a/b rw - xfs /dev/sda2 rw\n\
                    3 1 0:3 / /a rw - tmpfs tmpfs rw\n";
        assert_eq!(point(text, "/a/b/c"), Some((3, "tmpfs".to_owned())));
    }

    #[test]
    fn a_root_may_be_stacked_or_no_mount_point() {
        let text = "1 1 0:1 / / rw - rootfs rootfs rw\n2 1 8:1 / / rw - ext4 /dev/sda1 rw\n";
        assert_eq!(point(text, "/var"), Some((2, "ext4".to_owned())));
        assert_eq!(point("7 3 0:5 / /proc rw - proc proc rw\n", "/var"), None);
        assert_eq!(point("7 3 0:5 / /proc rw - proc proc rw\n", "/proc/self"), Some((7, "proc".to_owned())));
    }

    #[test]
    fn mounts_in_a_circle_have_an_end() {
        let text = "1 2 0:1 / / rw - ext4 a rw\n2 1 0:1 / / rw - ext4 b rw\n3 9 0:1 / / rw - ext4 c rw\n";
        assert_eq!(point(text, "/var"), Some((3, "ext4".to_owned())));
    }

    /// Writes a path as the kernel does.
    fn escaped(text: &str) -> String {
        text.chars()
            .map(|c| if " \t\n\\#".contains(c) { format!("\\{:03o}", c as u32) } else { c.to_string() })
            .collect()
    }

    proptest! {
        #[test]
        fn whatever_the_text_nothing_panics(text in "[ -~\n\\\\]{0,300}", path in "(/[a-z]{0,2}){0,4}") {
            if let Ok(mounts) = parse(&text) {
                covering(&mounts, &path);
            }
        }

        #[test]
        fn what_the_kernel_writes_is_what_was_there(
            fields in prop::collection::vec("/[ \t\n\\\\#a-zäé/0-7]{0,12}", 4), id in 1u32..99, optional in "( [a-z]+:[0-9]+){0,3}",
        ) {
            let words: Vec<_> = fields.iter().map(|field| escaped(field)).collect();
            let line = format!(
                "{id} 1 8:1 {} {} rw,relatime{optional} - ext4 {} rw,x={}", words[0], words[1], words[2], words[3],
            );
            let mounts = parse(&line).unwrap();
            prop_assert_eq!(&mounts[0].root, &fields[0]);
            prop_assert_eq!(&mounts[0].point, &fields[1]);
            prop_assert_eq!(&mounts[0].source, &fields[2]);
            prop_assert_eq!(mounts[0].super_option("x"), Some(fields[3].as_str()));
        }

        /// Makes mounts one after the other, each where it can be reached. The mount of a path is the last one that
        /// was made on its way.
        #[test]
        fn what_was_mounted_last_on_the_way_counts(points in prop::collection::vec("(/[ab]){0,3}", 0..8), path in "(/[ab]){1,4}") {
            let mut mounts = parse("1 0 8:1 / / rw - ext4 root rw").unwrap();
            let mut expected = 1;
            for (at, point) in points.iter().enumerate() {
                let point = if point.is_empty() { "/" } else { point };
                let parent = covering(&mounts, point).unwrap().id;
                let id = u32::try_from(at).unwrap() + 2;
                mounts.push(Mount { id, parent, point: point.to_owned(), ..mounts[0].clone() });
                if point == "/" || is_within(&path, point) {
                    expected = id;
                }
            }
            prop_assert_eq!(covering(&mounts, &path).map(|mount| mount.id), Some(expected));
        }
    }
}
