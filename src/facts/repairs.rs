//! Which repairs a node has had.

use std::time::Duration;

use crate::time;

/// A repair of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// Its backup set.
    pub id: String,
    /// RFC 3339, UTC.
    pub when: String,
}

/// What was done last to a node, as far as it matters to who would repair it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairHistory {
    /// The repairs since the last `apply`, newest first.
    pub repairs: Vec<Repair>,
    /// The set of the restore that came last of all. Somebody wants the node like that, or it was a repair that couldn't be proved.
    pub restored: Option<String>,
}

impl RepairHistory {
    /// Were there [`REPAIRS`] within an hour? None comes after that until somebody runs `apply` himself.
    pub fn is_a_fight(&self) -> bool {
        let moment = |repair: &Repair| time::seconds(&repair.when).map(Duration::from_secs);
        let ends = self.repairs.first().and_then(moment).zip(self.repairs.get(REPAIRS - 1).and_then(moment));
        ends.is_some_and(|(last, first)| last.saturating_sub(first) < WINDOW)
    }

    /// The id of the newest backup set that keeps repairs away, or counts as one. Without it there is nothing to forget.
    pub fn newest(&self) -> Option<&str> {
        self.restored.as_deref().or_else(|| self.repairs.first().map(|repair| repair.id.as_str()))
    }
}

/// How many repairs there may be within an hour: who undoes more than that means it.
pub const REPAIRS: usize = 3;

const WINDOW: Duration = Duration::from_secs(3600);
