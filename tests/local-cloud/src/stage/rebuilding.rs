//! The table is lost, or restored from a backup, and a person rebuilds what hung on it.

use std::time::Duration;

use volume_pool::event::Event;
use volume_pool::ids::PoolName;
use volume_pool::rebuild::Rebuild;
use volume_pool::request::Ending;

use super::delivery::Delivery;
use super::invocations::{Function, Machine, Running};
use super::{HOOK_PREFIX, Stage};
use crate::records::Records;

/// How long the rebuilding of a pool may take, and a call of it that hangs.
const PATIENCE: Duration = Duration::from_hours(1);

/// Whether the records are what the functions wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Table {
    Whole,
    /// Lost, or that of a backup: what instances have in truth, they need not have on record.
    Lost,
}

impl Stage {
    /// The table is lost. Until the pool is rebuilt, its records say nothing of what instances have.
    pub fn lose_records(&mut self) {
        self.leases.lose();
        self.table = Table::Lost;
    }

    /// The table is restored from a backup.
    pub fn restore_records(&mut self, backup: &Records) {
        self.leases.restore(backup);
        self.table = Table::Lost;
    }

    /// A person rebuilds the records of a pool, in no function and with time enough.
    pub fn rebuild(&mut self, pool: &PoolName) -> Result<(), String> {
        let rebuild = Rebuild::new(pool.clone(), HOOK_PREFIX.to_owned());
        // Nobody but that person tries it again.
        let delivery = Delivery { event: Event::Schedule, attempt: 1 };
        self.sequence += 1;
        let deadline = self.cloud.world().now().plus(PATIENCE);
        let person = Function { number: self.sequence, deadline, skew: 0 };
        self.run((&format!("{pool} is rebuilt"), None), &delivery, person, |_| {
            Machine::Rebuild(Box::new(rebuild))
        })
    }

    /// How many pools are being rebuilt now.
    pub fn rebuilding(&self) -> usize {
        self.running.iter().filter(|running| running.rebuilds()).count()
    }

    /// A rebuilding has ended.
    pub(super) fn has_rebuilt(&mut self, rebuild: &Rebuild, ending: Ending) {
        if ending == Ending::Settled {
            self.table = Table::Whole;
        }
        self.rebuilt.push((ending, rebuild.alarms().iter().cloned().collect()));
    }
}

impl Running {
    fn rebuilds(&self) -> bool {
        !self.hanging && matches!(self.machine, Machine::Rebuild(_))
    }
}
