//! Which repairs a node has had.

use std::time::Duration;

use crate::time;

/// What was done last to a node, as far as it matters to who would repair it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RepairHistory {
    /// The repairs since the last `apply`, newest first: the ids of their backup sets, and when they were.
    pub repairs: Vec<(String, String)>,
    /// The set of the restore that came last of all. Somebody wants the node like that, or it was a repair that couldn't be proved.
    pub restored: Option<String>,
}

impl RepairHistory {
    /// Were there [`REPAIRS`] within an hour? None comes after that until somebody runs `apply` himself.
    pub fn is_a_fight(&self) -> bool {
        let moment = |(_, when): &(String, String)| time::seconds(when).map(Duration::from_secs);
        let ends = self.repairs.first().and_then(moment).zip(self.repairs.get(REPAIRS - 1).and_then(moment));
        ends.is_some_and(|(last, first)| last.saturating_sub(first) < WINDOW)
    }
}

/// How many repairs there may be within an hour: who undoes more than that means it.
pub const REPAIRS: usize = 3;

const WINDOW: Duration = Duration::from_secs(3600);
