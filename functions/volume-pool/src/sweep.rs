//! One sweep: from what was read of all groups, pools and marks at once, which instances need the loop, in which order,
//! and which free slots need a look. Pure.
//!
//! Everything in here is a hint. The reads are minutes or pages apart, so nothing is concluded from them but where to
//! look: the loop reads again, in its own order, before it acts. What is seen to be fine costs nothing more, so a sweep
//! in which nothing happens takes as many calls as there are pages: of groups, of marks and of volumes.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use displaydoc::Display;

use crate::action::Transition;
use crate::decide::Alarm;
use crate::drift;
use crate::ids::{DeviceName, GroupName, InstanceId, PoolName, SlotId, VolumeId};
use crate::lease_tag::LeaseTag;
use crate::observation::{
    Attachment, AttachmentState, DeleteOnTermination, GroupInstance, GroupView, Instance,
    InstanceState, LifecycleState, Volume, tags,
};
use crate::ports::PortError;
use crate::record::{ApartMark, HeldMark, OpenMark, Slot};
use crate::time::Timestamp;

/// What no mark says when it was attended last is put in as if it was this long ago: before what was attended in the
/// last run, and after what the last two runs had no time for.
const UNHEARD_OF: Duration = Duration::from_secs(90);

/// What one sweep has read. What could not be read is left out, and nothing is concluded from its absence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// The marks of claims with work left; nothing where the records can't be read.
    pub open: Option<Vec<OpenMark>>,
    /// The enrolled groups with their instances; nothing where Auto Scaling can't be read.
    pub groups: Option<Vec<GroupView>>,
    /// The pools that could be read whole.
    pub pools: Vec<PoolView>,
    /// Holders that are in no enrolled group, as EC2 shows them; nothing where it could not be read.
    pub holders: Option<BTreeMap<InstanceId, Instance>>,
    /// The reads that failed.
    pub failures: Vec<PortError>,
}

/// A pool, as its marks and its volumes show it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolView {
    /// Its name.
    pub name: PoolName,
    /// Its leased slots.
    pub held: Vec<HeldMark>,
    /// Its free slots.
    pub free: Vec<Slot>,
    /// Its slots that are set apart.
    pub apart: Vec<ApartMark>,
    /// Every volume with its tag.
    pub volumes: Vec<Volume>,
}

/// What is to be done now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Plan {
    /// The instances to run the loop for, most urgent first.
    pub instances: Vec<(InstanceId, Found)>,
    /// Free slots to be looked at: something is wrong with their volumes.
    pub slots: Vec<SlotId>,
    /// Actions to be kept alive at once, because something can't be read: instances that wait, by their groups.
    pub keep_alive: BTreeMap<GroupName, Vec<(InstanceId, Transition)>>,
}

/// Why the loop is to be run for an instance. The earlier kind wins where an instance is found for several reasons.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Display)]
pub enum Found {
    /// it waits in a lifecycle hook
    InHook,
    /// it has work left
    WorkLeft,
    /// it holds a slot, and Auto Scaling shows it on its way out or parked
    HolderLeaving,
    /// it holds a slot, and neither an enrolled group nor EC2 shows it alive
    HolderGone,
    /// it holds a slot whose volumes EC2 does not show as they should be
    SlotAmiss,
    /// it holds a slot whose volumes were not as they should be, and are again
    SlotMended,
    /// it is in service with volumes of the pool that no record knows
    NotEnrolled,
}

impl Found {
    /// Each of them, for counts.
    pub const ALL: [Self; 7] = [
        Self::InHook,
        Self::WorkLeft,
        Self::HolderLeaving,
        Self::HolderGone,
        Self::SlotAmiss,
        Self::SlotMended,
        Self::NotEnrolled,
    ];

    /// The constant name that log fields and metrics go by.
    pub const fn name(self) -> &'static str {
        match self {
            Self::InHook => "in_hook",
            Self::WorkLeft => "work_left",
            Self::HolderLeaving => "holder_leaving",
            Self::HolderGone => "holder_gone",
            Self::SlotAmiss => "slot_amiss",
            Self::SlotMended => "slot_mended",
            Self::NotEnrolled => "not_enrolled",
        }
    }

    /// Whether somebody may be waiting for it, or for what it holds.
    const fn presses(self) -> bool {
        match self {
            Self::InHook | Self::WorkLeft | Self::HolderLeaving | Self::HolderGone => true,
            Self::SlotAmiss | Self::SlotMended | Self::NotEnrolled => false,
        }
    }
}

impl Swept {
    /// The pools that the groups name by their tags.
    pub fn tagged_pools(groups: &[GroupView]) -> BTreeSet<PoolName> {
        groups.iter().filter_map(|group| group.pool_tag.as_deref()?.parse().ok()).collect()
    }

    /// The holders that no enrolled group shows: EC2 must tell whether they live. None where the groups are unknown.
    pub fn unseen_holders(&self) -> Vec<InstanceId> {
        if self.groups.is_none() {
            return Vec::new();
        }
        let members = self.members();
        let holders = self.pools.iter().flat_map(|pool| &pool.held).map(|mark| &mark.holder);
        let unseen: BTreeSet<&InstanceId> =
            holders.filter(|holder| !members.contains_key(holder)).collect();
        unseen.into_iter().cloned().collect()
    }

    /// How many slots are leased or free.
    pub fn slots(&self) -> usize {
        self.pools.iter().map(|pool| pool.held.len() + pool.free.len()).sum()
    }

    /// How many instances wait in a hook.
    pub fn waiting(&self) -> usize {
        self.members().values().filter(|member| !waits(&member.state).is_empty()).count()
    }

    /// What a person must know of, again in each sweep until it is seen to: whoever noticed it first may have died before
    /// he could say so.
    pub fn alarms(&self) -> Vec<Alarm> {
        let apart = self
            .pools
            .iter()
            .flat_map(|pool| &pool.apart)
            .map(|mark| Alarm::SetApart { slot: mark.slot.clone(), reason: mark.reason.clone() });
        apart.collect()
    }

    /// What follows from it.
    pub fn plan(&self, now: Timestamp) -> Plan {
        let members = self.members();
        let mut found: BTreeMap<InstanceId, Found> = BTreeMap::new();
        let mut note = |instance: &InstanceId, why: Found| {
            // The most pressing word wins; the loop looks at everything anyway.
            let known = found.entry(instance.clone()).or_insert(why);
            *known = (*known).min(why);
        };
        for (instance, member) in &members {
            if !waits(&member.state).is_empty() {
                note(instance, Found::InHook);
            }
        }
        for mark in self.open.iter().flatten() {
            note(&mark.instance, Found::WorkLeft);
        }
        for (mark, why) in self.holders_found(&members) {
            note(&mark.holder, why);
        }
        for instance in self.not_enrolled(&members) {
            note(instance, Found::NotEnrolled);
        }
        Plan {
            instances: self.in_order(found, now),
            slots: self.drifted(now),
            keep_alive: self.kept_alive(),
        }
    }

    fn members(&self) -> BTreeMap<&InstanceId, &GroupInstance> {
        self.groups.iter().flatten().flat_map(|group| &group.members).collect()
    }

    /// Who was attended longest ago comes first: the heartbeat that it got then is the first to run out. No kind comes
    /// before another as such, else a crowd of the one would keep the other from its turn for ever.
    fn in_order(
        &self,
        found: BTreeMap<InstanceId, Found>,
        now: Timestamp,
    ) -> Vec<(InstanceId, Found)> {
        let unheard_of = Timestamp::from_millis(
            now.as_millis().saturating_sub(u64::try_from(UNHEARD_OF.as_millis()).unwrap_or(0)),
        );
        let attended: BTreeMap<&InstanceId, Timestamp> =
            self.open.iter().flatten().map(|mark| (&mark.instance, mark.attended_at)).collect();
        let mut instances: Vec<(InstanceId, Found)> = found.into_iter().collect();
        instances.sort_by_key(|(instance, why)| {
            (!why.presses(), attended.get(instance).copied().unwrap_or(unheard_of), *why)
        });
        instances
    }

    /// The leased slots that are not as they should be, and those that are again.
    fn holders_found<'a>(
        &'a self,
        members: &'a BTreeMap<&InstanceId, &GroupInstance>,
    ) -> impl Iterator<Item = (&'a HeldMark, Found)> {
        // Without the groups, nobody could be told from those who have left them.
        let pools = self.groups.is_some().then_some(&self.pools);
        pools.into_iter().flatten().flat_map(move |pool| {
            let volumes: BTreeMap<&VolumeId, &Volume> =
                pool.volumes.iter().map(|volume| (&volume.id, volume)).collect();
            pool.held.iter().filter_map(move |mark| {
                let stays = match members.get(&mark.holder) {
                    Some(member) => in_group(&member.state),
                    None => self.outside(&mark.holder),
                };
                let whole = || mark.volumes.iter().all(|id| as_it_should(mark, volumes.get(id)));
                let why = match stays {
                    Stay::Leaving(why) => Some(why),
                    Stay::Unknown => None,
                    Stay::Stays if !whole() => Some(Found::SlotAmiss),
                    Stay::Stays => mark.amiss.then_some(Found::SlotMended),
                };
                why.map(|why| (mark, why))
            })
        })
    }

    /// A holder outside the enrolled groups keeps its slot while it lives: a lease follows the attachment.
    fn outside(&self, holder: &InstanceId) -> Stay {
        let Some(holders) = &self.holders else {
            return Stay::Unknown;
        };
        match holders.get(holder).map(|instance| &instance.state) {
            None | Some(InstanceState::ShuttingDown | InstanceState::Terminated) => {
                Stay::Leaving(Found::HolderGone)
            }
            Some(
                InstanceState::Pending
                | InstanceState::Running
                | InstanceState::Stopping
                | InstanceState::Stopped
                | InstanceState::Other(_),
            ) => Stay::Stays,
        }
    }

    /// Instances that do their work with volumes of their group's pool, and hold no slot.
    fn not_enrolled<'a>(
        &'a self,
        members: &BTreeMap<&'a InstanceId, &'a GroupInstance>,
    ) -> Vec<&'a InstanceId> {
        let held = self.pools.iter().flat_map(|pool| &pool.held);
        let holders: BTreeSet<&InstanceId> = held.clone().map(|mark| &mark.holder).collect();
        let free = self.pools.iter().flat_map(|pool| &pool.free).flat_map(Slot::every_volume);
        let known: BTreeSet<&VolumeId> = held.flat_map(|mark| &mark.volumes).chain(free).collect();
        let pool_of: BTreeMap<&GroupName, &str> = self
            .groups
            .iter()
            .flatten()
            .filter_map(|group| Some((&group.name, group.pool_tag.as_deref()?)))
            .collect();
        let mut found = Vec::new();
        for pool in &self.pools {
            for volume in pool.volumes.iter().filter(|volume| !known.contains(&volume.id)) {
                let data = volume.attachment().filter(|it| it.device.parse::<DeviceName>().is_ok());
                let holder = data.and_then(|attachment| attachment.instance.as_ref());
                let Some((instance, member)) = holder.and_then(|it| members.get_key_value(it))
                else {
                    continue;
                };
                let ours = pool_of.get(&member.group) == Some(&pool.name.as_str());
                if ours && at_work(&member.state) && !holders.contains(*instance) {
                    found.push(*instance);
                }
            }
        }
        found
    }

    /// The free slots whose volumes are not as a launch could use them.
    fn drifted(&self, now: Timestamp) -> Vec<SlotId> {
        let drifted = self.pools.iter().flat_map(|pool| {
            let volumes: BTreeMap<&VolumeId, &Volume> =
                pool.volumes.iter().map(|volume| (&volume.id, volume)).collect();
            pool.free.iter().filter(move |slot| {
                slot.volumes.iter().any(|wanted| match volumes.get(&wanted.volume) {
                    Some(volume) => drift::unusable(slot, volume, None, now).is_some(),
                    None => drift::idle_for_a_while(slot, now),
                })
            })
        });
        drifted.map(|slot| slot.id.clone()).collect()
    }

    /// While something can't be read, whatever Auto Scaling shows waiting is kept alive: a heartbeat needs no guard. The
    /// loops may not come as far then, or know of no action but an earlier one. The latter also when all of this could be
    /// read, and they can't: so whatever waits for other hooks than those that its record knows of, if it knows of any, is kept alive as well.
    fn kept_alive(&self) -> BTreeMap<GroupName, Vec<(InstanceId, Transition)>> {
        let mut waiting: BTreeMap<GroupName, Vec<(InstanceId, Transition)>> = BTreeMap::new();
        let all = !self.failures.is_empty() || self.open.is_none();
        let recorded: BTreeMap<&InstanceId, Option<Transition>> =
            self.open.iter().flatten().map(|mark| (&mark.instance, mark.transition)).collect();
        for (instance, member) in self.members() {
            let waits = waits(&member.state);
            let overtaken = recorded
                .get(instance)
                .is_some_and(|known| known.is_none_or(|known| !waits.contains(&known)));
            for transition in waits.iter().filter(|_| all || overtaken) {
                let group = waiting.entry(member.group.clone()).or_default();
                group.push((instance.clone(), *transition));
            }
        }
        waiting
    }
}

/// How long to wait before a turn of a run begins: its first calls, and those of another run at the same time, do not
/// all come at the same moment.
pub fn jitter(number: usize, salt: u64) -> Duration {
    const MOST: u64 = 250;
    Duration::from_millis(scatter(number, salt) % MOST)
}

/// The same from another place on each minute, a quarter further than the minute before: who comes last in one run, and so
/// is the first to be throttled, is among the first within the next three.
pub fn from_another_end<T>(mut all: Vec<T>, now: Timestamp) -> Vec<T> {
    let quarter = all.len() / 4 + 1;
    let minutes = usize::try_from(now.as_millis() / 60_000).unwrap_or_default() % 4;
    let start = minutes * quarter;
    if start < all.len() {
        all.rotate_left(start);
    }
    all
}

/// When the last turn of a run begins that began then and whose function is ended at `deadline`: what takes longer than
/// the rest is cut off in order, and goes on in the next run. A function with little time keeps a third of it.
pub fn last_turn(began: Timestamp, deadline: Timestamp) -> Timestamp {
    const KEPT: Duration = Duration::from_secs(20);
    let left = deadline.since(began);
    began.plus(left.saturating_sub(KEPT.min(left / 3)))
}

/// A number that differs between turns and between runs (FNV-1a).
fn scatter(number: usize, salt: u64) -> u64 {
    let bytes = number.to_le_bytes().into_iter().chain(salt.to_le_bytes());
    let hash = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    hash >> 33
}

/// Whether a holder keeps its slot.
enum Stay {
    Stays,
    Leaving(Found),
    /// It could not be looked at, or its hook brings it up anyway.
    Unknown,
}

/// Which transition's hooks an instance waits for; one of the two on its way into the warm pool, or back there.
const fn waits(state: &LifecycleState) -> &'static [Transition] {
    match state {
        LifecycleState::PendingWait => &[Transition::Launching],
        LifecycleState::WarmedPendingWait => &[Transition::Launching, Transition::Terminating],
        LifecycleState::TerminatingWait => &[Transition::Terminating],
        LifecycleState::Pending
        | LifecycleState::PendingProceed
        | LifecycleState::InService
        | LifecycleState::Terminating
        | LifecycleState::TerminatingProceed
        | LifecycleState::Other(_) => &[],
    }
}

fn in_group(state: &LifecycleState) -> Stay {
    match state {
        LifecycleState::PendingWait
        | LifecycleState::WarmedPendingWait
        | LifecycleState::TerminatingWait
        | LifecycleState::Pending => Stay::Unknown,
        LifecycleState::Terminating | LifecycleState::TerminatingProceed => {
            Stay::Leaving(Found::HolderLeaving)
        }
        LifecycleState::Other(state) if state.ends_with(":Retained") => Stay::Stays,
        LifecycleState::Other(state) if state.starts_with("Warmed:") || state == "Terminated" => {
            Stay::Leaving(Found::HolderLeaving)
        }
        LifecycleState::PendingProceed | LifecycleState::InService | LifecycleState::Other(_) => {
            Stay::Stays
        }
    }
}

/// Whether an instance does its work, or rests from it and will come back to it.
pub fn at_work(state: &LifecycleState) -> bool {
    match state {
        LifecycleState::InService => true,
        LifecycleState::Other(_) => state.is_standby(),
        LifecycleState::Pending
        | LifecycleState::PendingWait
        | LifecycleState::WarmedPendingWait
        | LifecycleState::PendingProceed
        | LifecycleState::Terminating
        | LifecycleState::TerminatingWait
        | LifecycleState::TerminatingProceed => false,
    }
}

/// Whether a volume of a leased slot hangs on its holder, stays when that goes, and carries its slot's name and its lease.
fn as_it_should(mark: &HeldMark, volume: Option<&&Volume>) -> bool {
    let Some(volume) = volume else {
        return false;
    };
    let named = volume.tags.get(tags::SLOT).map(String::as_str) == Some(&*mark.slot.to_string())
        && LeaseTag::of(volume).is_some_and(|lease| lease.holder == mark.holder);
    let attached = volume.attachment().is_some_and(|attachment| {
        let Attachment { instance, state, delete_on_termination, .. } = attachment;
        instance.as_ref() == Some(&mark.holder)
            && *state == AttachmentState::Attached
            && *delete_on_termination == DeleteOnTermination::Keep
    });
    named && attached && !volume.is_attached_twice()
}
