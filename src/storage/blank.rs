//! Decides whether a device is blank. Only a blank device may be formatted; whatever is not known counts against it.

use std::fmt;

/// The label of the file systems that the program makes. A file system with another label may be in use.
pub const LABEL: &str = "kube-audit";

const MIB: u64 = 1 << 20;

/// The size of the smallest device that gets a file system, in bytes.
const MIN_SIZE: u64 = 16 * MIB;
/// How many bytes are read at each end. A first partition usually begins after one MiB, and its table may be lost.
const END: u64 = 16 * MIB;
/// How many samples are read between the ends, and the size of each in bytes.
const SAMPLES: u64 = 256;
const SAMPLE: u64 = 64 << 10;

/// A signature that wipefs finds, and its label; empty if it has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// Such as `ext4`, `gpt`, `LVM2_member`, `crypto_LUKS`.
    pub kind: String,
    pub label: String,
}

/// What is known about a device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeviceEvidence {
    pub is_block_device: bool,
    /// Bytes.
    pub size: u64,
    /// What uses the device, in words: partitions, another device, a mount, a loop device; or why this is not known.
    pub users: Vec<String>,
    pub signatures: Vec<Signature>,
    /// Why the device can't be opened exclusively: it is mounted, swap, or a part of another device.
    pub claimed: Option<String>,
    /// The offset of the first byte that is not zero, of those that were read.
    pub data: Option<u64>,
}

/// What is on a device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// Nothing.
    Blank,
    /// One file system, or something else with exactly one signature.
    Single(Signature),
    /// It has content, or something uses it: the reason why it must not be changed.
    Taken(String),
}

impl fmt::Display for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Content::Blank => f.write_str("it is blank"),
            Content::Single(signature) => write!(f, "it is not blank, there is {}", signature.kind),
            Content::Taken(why) => f.write_str(why),
        }
    }
}

/// Judges what is on a device. It is blank only if all of the evidence says so.
pub fn judge(evidence: &DeviceEvidence) -> Content {
    let taken = |why: String| Content::Taken(why);
    if !evidence.is_block_device {
        return taken("it is not a block device".to_owned());
    }
    if let Some(user) = evidence.users.first() {
        return taken(user.clone());
    }
    match evidence.signatures.as_slice() {
        [] => {}
        [one] => return Content::Single(one.clone()),
        several => {
            let kinds: Vec<_> = several.iter().map(|signature| signature.kind.as_str()).collect();
            return taken(format!("it is not blank, there is {}", kinds.join(", ")));
        }
    }
    if let Some(why) = &evidence.claimed {
        return taken(format!("something else uses it: {why}"));
    }
    if evidence.size < MIN_SIZE {
        return taken("it is too small for a log".to_owned());
    }
    match evidence.data {
        Some(at) => taken(format!("it is not blank: there is unknown data at byte {at}")),
        None => Content::Blank,
    }
}

/// Reads the output of `wipefs --no-act --parsable`. Several signatures of one kind count as one, because a file
/// system may have copies of its signature.
pub fn signatures(wipefs: &str) -> Vec<Signature> {
    let mut found: Vec<Signature> = Vec::new();
    for line in wipefs.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        // The columns are offset, UUID, label and type. A label may contain anything.
        let (rest, kind) = line.rsplit_once(',').unwrap_or(("", line));
        let label = rest.splitn(3, ',').nth(2).unwrap_or_default();
        if !found.iter().any(|signature| signature.kind == kind) {
            found.push(Signature { kind: kind.trim().to_owned(), label: label.to_owned() });
        }
    }
    found
}

/// The ranges of a device of that size that must be zero, each as (start, length), in bytes.
pub fn parts(size: u64) -> Vec<(u64, u64)> {
    if size <= 2 * END {
        return vec![(0, size)];
    }
    let mut parts = vec![(0, END), (size - END, END)];
    let step = (size / (SAMPLES + 1)).max(SAMPLE);
    let samples = (1..=SAMPLES).map(|number| number.saturating_mul(step) / SAMPLE * SAMPLE);
    // btrfs keeps a copy of its superblock at 64 MiB.
    parts.extend(
        samples
            .chain([64 * MIB])
            .filter(|start| *start >= END && *start < size - END)
            .map(|start| (start, SAMPLE)),
    );
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn blank() -> DeviceEvidence {
        DeviceEvidence { is_block_device: true, size: 1 << 30, ..DeviceEvidence::default() }
    }

    #[test]
    fn nothing_found_is_blank() {
        assert_eq!(judge(&blank()), Content::Blank);
        assert_eq!(judge(&DeviceEvidence::default()), Content::Taken("it is not a block device".to_owned()));
        assert_eq!(judge(&DeviceEvidence { size: 16 << 20, ..blank() }), Content::Blank);
        let small = judge(&DeviceEvidence { size: (16 << 20) - 1, ..blank() });
        let one = Content::Single(Signature { kind: "ext4".to_owned(), label: String::new() });
        let said = [Content::Blank, one, small].map(|content| content.to_string());
        assert_eq!(said, ["it is blank", "it is not blank, there is ext4", "it is too small for a log"]);
    }

    #[test]
    fn wipefs_is_read() {
        let text = "# offset,UUID,LABEL,TYPE\n0x438,0b1d-2c3e,kube-audit,ext4\n0x3ffff000,,a,b,LVM2_member\n0x10438,0b1d,x,ext4\n";
        let found: Vec<_> = signatures(text).into_iter().map(|found| (found.kind, found.label)).collect();
        assert_eq!(
            found,
            [("ext4".to_owned(), "kube-audit".to_owned()), ("LVM2_member".to_owned(), "a,b".to_owned())]
        );
        assert_eq!(signatures(""), []);
        // A line in an unknown format still counts as a signature.
        assert_eq!(signatures("?\n").len(), 1);
    }

    #[test]
    fn parts_cover_where_something_is_as_a_rule() {
        for size in [MIN_SIZE, 33 * MIB, 64 * MIB, 1 << 30, 1 << 44] {
            let parts = parts(size);
            let covers = |at: u64| parts.iter().any(|(start, length)| (*start..start + length).contains(&at));
            for at in [0, 1023, MIB + 1080, 8 * MIB, size - 1, size - 512, size - MIB] {
                assert!(covers(at), "{at} of {size}");
            }
            assert!(size <= 65 * MIB || covers(64 * MIB + 64), "{size}");
            assert!(parts.iter().all(|(start, length)| start + length <= size), "{size}");
            assert!(parts.iter().map(|(_, length)| length).sum::<u64>() <= 49 * MIB, "{size}");
        }
    }

    #[test]
    fn both_ends_and_256_places_between_them_are_looked_at() {
        const END: u64 = 16 << 20;
        assert_eq!(parts(2 * END), [(0, 2 * END)]);
        let of_a_tib = parts(1 << 40);
        assert_eq!(of_a_tib[..2], [(0, END), ((1 << 40) - END, END)]);
        // At multiples of a 257th, rounded down to 64 KiB.
        assert_eq!((of_a_tib[2], of_a_tib[257]), ((0xFF00_0000, 65536), (0xFF_00FF_0000, 65536)));
        assert_eq!((of_a_tib.len(), of_a_tib[258]), (259, (64 << 20, 65536)));
        // The ends are not read twice.
        let small = parts(80 << 20);
        assert_eq!(small.iter().filter(|(start, _)| *start == 64 << 20).count(), 1);
        assert!(small[2..].iter().all(|(start, _)| (END..64 << 20).contains(start)), "{small:?}");
    }

    proptest! {
        #[test]
        fn whatever_is_found_is_not_blank(
            is_block_device: bool, small: bool, users in prop::collection::vec("[a-z]{1,9}", 0..2),
            kinds in prop::collection::vec("[a-z0-9_]{1,9}", 0..3), claimed in prop::option::of("[a-z]{1,9}"), data in prop::option::of(0u64..1 << 30),
        ) {
            let evidence = DeviceEvidence {
                is_block_device,
                size: if small { 1 << 20 } else { 1 << 30 },
                users,
                signatures: kinds.into_iter().map(|kind| Signature { kind, label: String::new() }).collect(),
                claimed,
                data,
            };
            prop_assert_eq!(judge(&evidence) == Content::Blank, evidence == blank());
        }

        #[test]
        fn whatever_wipefs_says_nothing_panics(text in "[ -~\n,]{0,200}") {
            let said = text.lines().any(|line| !line.starts_with('#') && !line.trim().is_empty());
            prop_assert_eq!(signatures(&text).is_empty(), !said);
        }
    }
}
