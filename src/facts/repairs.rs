//! The repairs that self-healing made on a node.

use std::time::Duration;

use crate::time;

/// A repair of the manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repair {
    /// The ID of its backup.
    pub id: String,
    /// RFC 3339, UTC.
    pub when: String,
}

/// What was last done to a node, as far as a repair must know it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairHistory {
    /// The repairs since the last `apply`, newest first.
    pub repairs: Vec<Repair>,
    /// The ID of the backup that the restore wrote, if a restore or a rollback came last. The administrator wants the
    /// node like this, or a repair could not be proved.
    pub restored: Option<String>,
}

impl RepairHistory {
    /// Were there [`REPAIRS`] repairs within an hour? Then another program keeps removing the settings, and no repair
    /// follows until the administrator runs `apply`.
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

/// The largest number of repairs within an hour.
pub const REPAIRS: usize = 3;

const WINDOW: Duration = Duration::from_secs(3600);
