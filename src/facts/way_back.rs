//! What is known for a restore: the backups to put back, and what is now at each path in them.

use std::collections::HashMap;

use super::backup::{Record, Set};
use super::file::{Entry, Snapshot};
use crate::storage::mounts::Mount;

/// What a restore is made from, before `plan` decides what it does.
#[derive(Clone, Debug, Default)]
pub struct WayBack {
    /// The backups that are put back, newest first.
    pub sets: Vec<Set>,
    /// One for each path, in the order of the restore.
    pub goals: Vec<Goal>,
    /// The node is the running system, not an image.
    pub is_host: bool,
}

/// What the backups say about one path, and what is there now.
#[derive(Clone, Debug)]
pub struct Goal {
    /// The oldest record, and the ID of its backup.
    pub record: Record,
    pub set: String,
    /// What the runs did to the content, the oldest first. Empty if they changed only attributes, or for a path that
    /// is no file.
    pub steps: Vec<ContentStep>,
    pub now: Now,
}

/// What one run did to the content of a file.
#[derive(Clone, Debug)]
pub struct ContentStep {
    /// The ID of its backup.
    pub set: String,
    pub record: Record,
    /// The content before. `None`: there was no file.
    pub before: Option<Vec<u8>>,
    /// What the run wrote, if the backup has it.
    pub after: Option<Vec<u8>>,
}

/// What is at a path now, as far as its record needs it.
#[derive(Clone, Debug, Default)]
pub struct Now {
    pub entry: Option<Entry>,
    pub file: Option<Snapshot>,
    /// The names in a directory, sorted.
    pub names: Vec<String>,
    /// The mount at the path, on the running system.
    pub mounted: Option<Mount>,
    /// The files of the directory were renamed to another path before a mount.
    pub has_aside: bool,
    /// The text of the cluster's kubeadm configuration, or why it cannot be read.
    pub cluster: Option<Result<String, String>>,
}

/// What the backups say about one path.
#[derive(Clone, Debug)]
pub struct Known<'s> {
    pub first: (&'s Set, &'s Record),
    /// The records of its content, the oldest first.
    pub contents: Vec<(&'s Set, &'s Record)>,
    /// The largest distance of the path from the end of its backup. The manifest comes last, so its rank is the
    /// smallest.
    rank: usize,
}

/// What the backups say about each path, in the order of a restore. `sets`: newest first.
pub fn known(sets: &[Set]) -> Vec<Known<'_>> {
    let mut all: Vec<Known<'_>> = Vec::new();
    let mut index: HashMap<&str, usize> = HashMap::new();
    for set in sets.iter().rev() {
        for (at, record) in set.records.iter().enumerate() {
            let (rank, this) = (set.records.len() - at, (set, record));
            let content = record.is_of_content().then_some(this);
            match index.get(record.path.as_str()).and_then(|&known| all.get_mut(known)) {
                Some(goal) => {
                    goal.rank = goal.rank.max(rank);
                    goal.contents.extend(content);
                }
                None => {
                    index.insert(&record.path, all.len());
                    all.push(Known { first: this, contents: content.into_iter().collect(), rank });
                }
            }
        }
    }
    all.sort_by_key(|goal| goal.rank);
    all
}
