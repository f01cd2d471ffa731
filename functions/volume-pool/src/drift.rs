//! Free slots whose volumes were meddled with: deleted, attached by a person, in error. Such a slot is set apart with
//! the reason, so that no launch waits for it, and nothing else is done: what a person did is for a person to undo.
//!
//! Describes may be stale, and a slot out of the pool is no small thing. So the same trouble must show in several looks
//! over some time, with the slot read before and after each, unchanged; and that EC2 does not show a volume counts only
//! once nobody can have touched the slot for a while.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::decide::{Alarm, Reason};
use crate::ids::{InstanceId, SlotId, VolumeId};
use crate::lease_tag::LeaseTag;
use crate::observation::{Attachment, Volume, VolumeState, tags};
use crate::record::{Key, Record, Slot, SlotState};
use crate::request::{Ending, Outcome, Request, Response};
use crate::time::Timestamp;
use crate::transition::drift as transitions;

/// How often trouble must be seen, and how long after the last look the next one is.
const LOOKS: u32 = 4;
const PAUSE: Duration = Duration::from_secs(5);
/// A slot that was free for this long, and its volumes older than this: EC2's describes know them by now.
const A_WHILE: Duration = Duration::from_mins(10);

/// What a person is told of a volume with several attachments.
pub(crate) const TWICE: &str = "EC2 shows it attached more than once, though without Multi-Attach: nobody can tell who writes to it";

/// What makes a volume unusable for its slot, if anything does. `holder` is who is to have it, where somebody is.
///
/// An attachment to an earlier holder may be a describe that is older than the release: once that is long ago, it was made
/// by hand.
pub(crate) fn unusable(
    slot: &Slot,
    volume: &Volume,
    holder: Option<&InstanceId>,
    now: Timestamp,
) -> Option<String> {
    if volume.multi_attach {
        return Some(
            "it has Multi-Attach enabled, so EC2 would not keep two holders apart".to_owned(),
        );
    }
    if volume.is_attached_twice() {
        return Some(TWICE.to_owned());
    }
    match (volume.attachment(), &volume.state) {
        (Some(Attachment { instance: Some(other), .. }), _) => {
            let released = slot.recent_holders.contains(other);
            if Some(other) == holder || (released && !idle_for_a_while(slot, now)) {
                return None;
            }
            let whose = if released {
                "which has given the slot back"
            } else {
                "which never held the slot"
            };
            Some(format!("it is attached to {other}, {whose}"))
        }
        (Some(Attachment { instance: None, .. }), _) => {
            Some("it is attached to a resource that AWS manages".to_owned())
        }
        (None, VolumeState::Other(state)) => Some(format!("EC2 shows it {state}")),
        (None, VolumeState::Available | VolumeState::Creating | VolumeState::InUse) => None,
    }
}

/// Whether a slot was released so long ago that EC2's describes know it: a volume of it that they do not show is gone, and
/// an attachment that they show to an earlier holder is a new one.
pub(crate) fn idle_for_a_while(slot: &Slot, now: Timestamp) -> bool {
    let touched = slot.volumes.iter().map(|volume| volume.created_at).chain(slot.released_at);
    touched.max().is_none_or(|touched| now.since(touched) >= A_WHILE)
}

/// What is the matter with a free slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// Nothing.
    Fine,
    /// A volume of it does not carry its pool's tag. It is used all the same: the records say whose it is.
    Untagged(VolumeId),
    /// This volume can't be used, and why.
    Unusable(VolumeId, String),
    /// This volume was leased since the slot's record was written: nothing can be concluded from that record.
    Outdated(VolumeId),
}

/// Judges a free slot by what EC2 shows of its volumes. Those that EC2 does not know are left out of `volumes`.
pub fn judge(slot: &Slot, volumes: &BTreeMap<VolumeId, Volume>, now: Timestamp) -> Verdict {
    let shown = slot.volumes.iter().filter_map(|wanted| volumes.get(&wanted.volume));
    for volume in shown {
        if LeaseTag::of(volume).is_some_and(|lease| lease.outdates(slot)) {
            return Verdict::Outdated(volume.id.clone());
        }
    }
    let mut verdict = Verdict::Fine;
    for wanted in &slot.volumes {
        let id = &wanted.volume;
        let problem = match volumes.get(id) {
            Some(volume) => unusable(slot, volume, None, now),
            None => idle_for_a_while(slot, now)
                .then(|| "EC2 does not know it any more: it was deleted".to_owned()),
        };
        if let Some(problem) = problem {
            return Verdict::Unusable(id.clone(), problem);
        }
        let pool = volumes.get(id).map(|volume| volume.tags.get(tags::POOL).map(String::as_str));
        if pool.is_some_and(|pool| pool != Some(slot.id.pool.as_str())) {
            verdict = Verdict::Untagged(id.clone());
        }
    }
    verdict
}

/// A closer look at one free slot, as a machine without I/O.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    slot: SlotId,
    state: State,
    read: Option<Slot>,
    volumes: BTreeMap<VolumeId, Volume>,
    looks: u32,
    alarms: BTreeSet<Alarm>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    Reading,
    Describing,
    Rereading,
    Pausing,
    Committing,
    Finished,
}

impl Inspection {
    /// A look at `slot`.
    pub const fn new(slot: SlotId) -> Self {
        Self {
            slot,
            state: State::Finished,
            read: None,
            volumes: BTreeMap::new(),
            looks: 0,
            alarms: BTreeSet::new(),
        }
    }

    /// The slot that it is about.
    pub const fn slot(&self) -> &SlotId {
        &self.slot
    }

    /// What a person must know of.
    pub const fn alarms(&self) -> &BTreeSet<Alarm> {
        &self.alarms
    }

    /// The first request.
    pub fn start(&mut self) -> Request {
        self.state = State::Reading;
        self.read_slot()
    }

    /// The next request, after the answer to the last one.
    pub fn resume(&mut self, response: Response, now: Timestamp) -> Request {
        match (std::mem::replace(&mut self.state, State::Finished), response) {
            (_, Response::Failed(error)) => finish(Ending::Failed(error)),
            (State::Reading, Response::Records(records, _)) => {
                let slot = slot_of(records).filter(|slot| slot.state == SlotState::Free);
                match slot {
                    Some(slot) => {
                        self.read = Some(slot);
                        self.describe()
                    }
                    None => finish(Ending::Settled),
                }
            }
            (State::Describing, Response::Volumes(volumes)) => {
                self.volumes =
                    volumes.into_iter().map(|volume| (volume.id.clone(), volume)).collect();
                self.state = State::Rereading;
                self.read_slot()
            }
            (State::Rereading, Response::Records(records, _)) => {
                match (self.read.take(), slot_of(records)) {
                    (Some(before), Some(after)) if before == after => self.conclude(after, now),
                    // It changed hands meanwhile: whoever has it now sees for himself.
                    _ => finish(Ending::Settled),
                }
            }
            (State::Pausing, _) => self.describe(),
            // Set apart, or leased in the meantime: then the launch comes upon the same.
            (State::Committing, Response::Committed(_)) => finish(Ending::Settled),
            (_, _) => finish(Ending::WorkLeft),
        }
    }

    fn conclude(&mut self, slot: Slot, now: Timestamp) -> Request {
        match judge(&slot, &self.volumes, now) {
            Verdict::Fine => finish(Ending::Settled),
            Verdict::Untagged(volume) => {
                let slot = self.slot.clone();
                self.alarms.insert(Alarm::PoolTagLost { slot, volume });
                finish(Ending::Settled)
            }
            Verdict::Outdated(volume) => {
                let slot = self.slot.clone();
                self.alarms.insert(Alarm::RecordsOutdated { slot, volume });
                finish(Ending::Settled)
            }
            Verdict::Unusable(volume, problem) => {
                self.looks += 1;
                if self.looks < LOOKS {
                    self.read = Some(slot);
                    self.state = State::Pausing;
                    return Request::Pause(PAUSE);
                }
                let reason =
                    Reason::Quarantine { volume: volume.clone(), problem: problem.clone() };
                let Some(transaction) = transitions::set_apart(&slot, &reason.to_string()) else {
                    return finish(Ending::Settled);
                };
                // Told before it is done: its answer may be lost.
                self.alarms.insert(Alarm::Quarantined { slot: slot.id, volume, problem });
                self.state = State::Committing;
                Request::Commit(transaction)
            }
        }
    }

    fn read_slot(&self) -> Request {
        let keys = vec![Key::Slot(self.slot.clone()), Key::Pool(self.slot.pool.clone())];
        Request::Read { keys, lists: Vec::new() }
    }

    fn describe(&mut self) -> Request {
        self.state = State::Describing;
        Request::Volumes(self.read.iter().flat_map(Slot::every_volume).cloned().collect())
    }
}

/// The slot; nothing where it has no record, or its pool is being rebuilt.
fn slot_of(records: BTreeMap<Key, Record>) -> Option<Slot> {
    let rebuilding =
        |record: &Record| matches!(record, Record::Pool(pool) if pool.rebuilding.is_some());
    if records.values().any(rebuilding) {
        return None;
    }
    records.into_values().find_map(|record| match record {
        Record::Slot(slot) => Some(slot),
        _ => None,
    })
}

const fn finish(ending: Ending) -> Request {
    Request::Finish(Outcome { ending, changed: false, wakes: None })
}
