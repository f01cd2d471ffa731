//! What happened to the volumes of a scenario, watched at every step, and what must not have: none lost, none left over, none
//! without an owner, and none created while another one was free or came free in time.
//!
//! The stage's safety rules say what must hold at each moment. These are about the whole story.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use local_cloud::stage::Stage;
use local_cloud::world::{self, AttachmentState, LifecycleState, VolumeState};
use volume_pool::Timestamp;
use volume_pool::ids::{InstanceId, SlotId, Zone};
use volume_pool::observation::tags;
use volume_pool::policy::Policy;
use volume_pool::record::{Claim, Phase, Record, Slot, SlotState};

/// A place in the queue: since when, and who.
type Rank = (Timestamp, InstanceId);

/// The story of a stage so far. It sees what happens while the stage runs through it.
#[derive(Debug, Default)]
pub struct History {
    seen: RefCell<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    /// Every volume with the tag of a pool.
    volumes: BTreeSet<String>,
    /// The last place in the queue that each instance had.
    ranks: BTreeMap<InstanceId, Rank>,
    /// For whom each slot is, or was, being created.
    claimants: BTreeMap<SlotId, Wanted>,
    created: Vec<Created>,
    freed: Vec<Freed>,
}

/// An instance that a slot is created for.
#[derive(Debug, Clone)]
struct Wanted {
    rank: Rank,
    /// For how long its policy has it wait.
    patience: Duration,
}

/// A volume that the functions created.
#[derive(Debug)]
struct Created {
    volume: String,
    slot: SlotId,
    zone: Zone,
    wanted: Wanted,
}

/// A slot while nobody held it.
#[derive(Debug)]
struct Freed {
    slot: SlotId,
    zone: Zone,
    since: Timestamp,
    until: Option<Timestamp>,
    /// The place in the queue of the instance that got it.
    taken_by: Option<Rank>,
}

impl History {
    /// [`Stage::run_until`], watched.
    pub fn run_until(
        &self,
        stage: &mut Stage,
        limit: Duration,
        done: impl Fn(&Stage) -> bool,
    ) -> Result<(), String> {
        stage.run_until(limit, |stage| {
            self.look(stage);
            done(stage)
        })
    }

    /// Lets at least so much time pass, watched: until whatever comes next after it.
    pub fn run_for(&self, stage: &mut Stage, duration: Duration) -> Result<(), String> {
        let end = stage.cloud.world().now().plus(duration);
        let passed = |stage: &Stage| stage.cloud.world().now() >= end;
        self.run_until(stage, duration.saturating_add(super::LONG), passed)
    }

    /// What must not have happened, whatever the policies say; empty if all is well.
    pub fn losses(&self, stage: &Stage) -> Vec<String> {
        self.look(stage);
        let seen = self.seen.borrow();
        let world = stage.cloud.world();
        let mut found = Vec::new();
        for id in &seen.volumes {
            match world.volume(id) {
                Ok(volume) if volume.state == VolumeState::Deleting => {
                    found.push(format!("{id} is being deleted"));
                }
                Ok(volume) if volume.attachments.len() > 1 => {
                    found.push(format!("{id} is held twice"));
                }
                Ok(_) => {}
                Err(_) => found.push(format!("{id} is lost")),
            }
        }
        stage.leases.view(|records| {
            let (slots, owned) = slots_and_owned(records);
            let leaked = seen.created.iter().filter(|it| !owned.contains(&it.volume));
            found.extend(leaked.map(|it| format!("{} belongs to no slot", it.volume)));
            for group in world.groups().filter(|group| is_ours(group)) {
                found.extend(unserved(&world, group, &slots));
            }
        });
        found
    }

    /// Volumes that were created though another slot of their zone was free, or came free within the policy's
    /// `waitSeconds`, and nobody who had waited longer got it. Only for stories in which no zone needs fewer in between.
    pub fn needless(&self, stage: &Stage) -> Vec<String> {
        self.look(stage);
        let seen = self.seen.borrow();
        let mut found = Vec::new();
        for created in &seen.created {
            let Wanted { rank, patience } = &created.wanted;
            let until = rank.0.plus(*patience);
            let in_time = |freed: &&Freed| {
                freed.zone == created.zone
                    && freed.slot != created.slot
                    && freed.since <= until
                    && freed.until.is_none_or(|end| end >= rank.0)
                    && freed.taken_by.as_ref().is_none_or(|taker| taker > rank)
            };
            found.extend(seen.freed.iter().filter(in_time).map(|freed| {
                let (slot, since, volume) = (&freed.slot, freed.since, &created.volume);
                format!("{volume} was created for {rank:?}, and {slot} was free from {since} on")
            }));
        }
        found
    }

    fn look(&self, stage: &Stage) {
        let mut seen = self.seen.borrow_mut();
        let world = stage.cloud.world();
        let now = world.now();
        stage.leases.view(|records| {
            let mut slots = Vec::new();
            for record in records {
                match record {
                    Record::Claim(claim) => seen.claim(claim),
                    Record::Slot(slot) => slots.push(slot),
                    _ => {}
                }
            }
            for slot in slots {
                seen.slot(slot, now);
            }
        });
        for volume in world.volumes().filter(|it| it.tags.contains_key(tags::POOL)) {
            if seen.volumes.insert(volume.id.clone()) {
                seen.volume(volume);
            }
        }
    }
}

impl Seen {
    fn claim(&mut self, claim: &Claim) {
        let (Phase::Waiting { since, .. } | Phase::Creating { since, .. }) = &claim.phase else {
            return;
        };
        let rank = (*since, claim.instance.clone());
        if let Phase::Creating { slot, .. } = &claim.phase {
            let seconds = claim.policy.as_ref().map_or(0, |policy: &Policy| policy.wait_seconds);
            let patience = Duration::from_secs(u64::from(seconds));
            self.claimants.insert(slot.clone(), Wanted { rank: rank.clone(), patience });
        }
        self.ranks.insert(claim.instance.clone(), rank);
    }

    fn slot(&mut self, slot: &Slot, now: Timestamp) {
        let open = self.freed.iter_mut().find(|it| it.slot == slot.id && it.until.is_none());
        match (open, &slot.state) {
            (None, SlotState::Free) => self.freed.push(Freed {
                slot: slot.id.clone(),
                zone: slot.zone.clone(),
                since: now,
                until: None,
                taken_by: None,
            }),
            (Some(open), state) if *state != SlotState::Free => {
                open.until = Some(now);
                open.taken_by = slot.holder().and_then(|it| self.ranks.get(it).cloned());
            }
            _ => {}
        }
    }

    /// A volume that was not there before: the functions made it if it carries the name of a slot.
    fn volume(&mut self, volume: &world::Volume) {
        let slot = volume.tags.get(tags::SLOT).and_then(|slot| slot.parse().ok());
        if let Some(slot) = slot
            && let Some(wanted) = self.claimants.get(&slot).cloned()
            && let Ok(zone) = volume.zone.parse()
        {
            self.created.push(Created { volume: volume.id.clone(), slot, zone, wanted });
        }
    }
}

/// The slots on record, and the volumes that belong to one.
fn slots_and_owned(records: &mut dyn Iterator<Item = &Record>) -> (Vec<Slot>, BTreeSet<String>) {
    let (mut slots, mut owned) = (Vec::new(), BTreeSet::new());
    for record in records {
        match record {
            Record::Slot(slot) => slots.push(slot.clone()),
            Record::Volume(row) => {
                owned.insert(row.volume.to_string());
            }
            _ => {}
        }
    }
    (slots, owned)
}

/// The instances in service of a group that lack a volume of their zone.
fn unserved(world: &world::World, group: &world::Group, slots: &[Slot]) -> Vec<String> {
    let serving = group.members.values().filter(|it| it.state == LifecycleState::InService);
    let served = |member: &&world::Member| {
        slots.iter().any(|slot| {
            slot.holder().is_some_and(|holder| holder.as_str() == member.instance)
                && slot.zone.as_str() == member.zone
                && !slot.volumes.is_empty()
                && slot.volumes.iter().all(|known| {
                    let attached = world.attachment(known.volume.as_str(), &member.instance);
                    attached.is_some_and(|it| it.state == AttachmentState::Attached)
                })
        })
    };
    let lacking = serving.filter(|member| !served(member));
    lacking
        .map(|it| format!("{} is in service in {} without a volume", it.instance, it.zone))
        .collect()
}

fn is_ours(group: &world::Group) -> bool {
    group.hooks.keys().any(|hook| hook.starts_with(local_cloud::stage::HOOK_PREFIX))
}
