//! What falls due in the world, and when. The order is by time, then by when it was scheduled, so that one seed
//! always gives one history.

use std::collections::BTreeMap;

use volume_pool::Timestamp;

use super::command_steps::CommandStep;

/// Something that the cloud finishes later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Due {
    /// A volume has been created, or its creation has failed.
    VolumeCreated(String),
    /// A volume has been deleted.
    VolumeDeleted(String),
    /// A snapshot has been completed.
    SnapshotCompleted(String),
    /// A modification of a volume reaches its next state.
    Modification(String),
    /// The replacement of a root volume reaches its next state.
    RootReplacement(String),
    /// An attachment reaches its next state, unless it has changed since.
    Attachment { volume: String, instance: String, generation: u64 },
    /// The workload mounts a volume, if it is still attached there.
    Mount { volume: String, instance: String },
    /// An instance reaches its next state, unless it has changed since.
    Instance { instance: String, generation: u64 },
    /// A command goes on, on one of its instances.
    Command { command: String, instance: String, step: CommandStep },
    /// EC2 forgets a terminated instance.
    Forget(String),
    /// EC2 terminates a Spot instance that it has warned about.
    SpotInterruption(String),
    /// A group compares what it has with what it wants.
    ScalingPass(String),
    /// An instance refresh of a group goes on.
    Refresh { group: String, refresh: String },
    /// A group looks at the health of its instances.
    HealthCheck(String),
    /// A group's instance takes its next lifecycle step.
    Member { group: String, instance: String },
    /// A lifecycle action times out, unless its deadline has moved.
    ActionTimeout(String),
}

/// What is due, in order.
#[derive(Debug, Clone, Default)]
pub(super) struct DueQueue {
    entries: BTreeMap<(Timestamp, u64), Due>,
    scheduled: u64,
}

impl DueQueue {
    /// Adds something that falls due at `at`.
    pub(super) fn schedule(&mut self, at: Timestamp, due: Due) {
        self.entries.insert((at, self.scheduled), due);
        self.scheduled += 1;
    }

    /// When the next thing falls due.
    pub(super) fn first(&self) -> Option<Timestamp> {
        self.entries.keys().next().map(|(at, _)| *at)
    }

    /// Takes the next thing that falls due at or before `until`.
    pub(super) fn take(&mut self, until: Timestamp) -> Option<(Timestamp, Due)> {
        let entry = self.entries.first_entry()?;
        let (at, _) = *entry.key();
        (at <= until).then(|| (at, entry.remove()))
    }

    /// Whether exactly this is due at some time.
    pub(super) fn contains(&self, due: &Due) -> bool {
        self.entries.values().any(|entry| entry == due)
    }
}
