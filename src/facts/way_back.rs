//! What is known of a way back: the backup sets that it takes back, and what is now at each path that they know.

use std::collections::HashMap;

use super::backup::{Action, Record, Set};
use super::file::{Entry, Snapshot};
use crate::storage::mounts::Mount;

/// A way back, before it is decided what of it is done.
#[derive(Clone, Debug, Default)]
pub struct WayBack {
    /// The sets that are taken back, newest first.
    pub sets: Vec<Set>,
    /// One a path, in the order of the way back.
    pub goals: Vec<Goal>,
    /// It is the running system, not an image.
    pub is_host: bool,
}

/// What the sets say of one path, and what is there now.
#[derive(Clone, Debug)]
pub struct Goal {
    /// The oldest record, and the id of its set.
    pub record: Record,
    pub set: String,
    /// The bytes that were there, as the oldest record has them that tells.
    pub copy: Option<Vec<u8>>,
    pub now: Now,
}

/// What is at a path, as far as it matters to what its record says.
#[derive(Clone, Debug, Default)]
pub struct Now {
    pub entry: Option<Entry>,
    pub file: Option<Snapshot>,
    /// The names in a directory, sorted.
    pub names: Vec<String>,
    /// What is mounted there, on the running system.
    pub mounted: Option<Mount>,
    /// Files went aside from it.
    pub has_aside: bool,
    /// The cluster's own configuration, or why it can't be read.
    pub cluster: Option<Result<String, String>>,
}

/// What the sets say of one path: where the oldest record is, and where the oldest that says whether there was a file, and what was in it.
#[derive(Clone, Copy, Debug)]
pub struct Known<'s> {
    pub first: (&'s Set, &'s Record),
    pub content: Option<(&'s Set, &'s Record)>,
    /// How far from the end of its set the path was, at most: 0 is the manifest, which comes last.
    rank: usize,
}

/// What sets say of each path, in the order of the way back. `sets`: newest first.
pub fn known(sets: &[Set]) -> Vec<Known<'_>> {
    let mut all: Vec<Known<'_>> = Vec::new();
    let mut index: HashMap<&str, usize> = HashMap::new();
    for set in sets.iter().rev() {
        for (at, record) in set.records.iter().enumerate() {
            let (rank, this) = (set.records.len() - at, (set, record));
            let content = (record.action != Action::Attributes).then_some(this);
            match index.get(record.path.as_str()).and_then(|&known| all.get_mut(known)) {
                Some(goal) => {
                    goal.rank = goal.rank.max(rank);
                    goal.content = goal.content.or(content);
                }
                None => {
                    index.insert(&record.path, all.len());
                    all.push(Known { first: this, content, rank });
                }
            }
        }
    }
    all.sort_by_key(|goal| goal.rank);
    all
}
