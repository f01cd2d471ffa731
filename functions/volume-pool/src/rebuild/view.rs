//! All that is to be seen of a pool, and how it is read: records, then EC2 and Auto Scaling, then the same records again.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::{GroupName, InstanceId, PoolName, SlotId, VolumeId};
use crate::lease_tag::LeaseTag;
use crate::observation::{GroupView, Hook, Others, Volume, tags};
use crate::record::{Claim, Group, Key, List, Pool, Record, Slot, SlotState};
use crate::request::{Request, Response};

/// How many records are read at once.
const KEYS_AT_ONCE: usize = 100;

/// Everything that is to be seen of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct View {
    /// What stands in the pool's partition: its record, its slots and their marks.
    pub records: BTreeMap<Key, Record>,
    /// The claims of all instances that have to do with it.
    pub claims: BTreeMap<InstanceId, Claim>,
    /// The records of their groups.
    pub groups: BTreeMap<GroupName, Group>,
    /// Every volume with the pool's tag, and those that a slot's record or an instance's tag names.
    pub volumes: BTreeMap<VolumeId, Volume>,
    /// The groups with our tag, all of them.
    pub enrolled: Vec<GroupView>,
    /// Those instances, in Auto Scaling and EC2.
    pub others: Others,
    /// The hooks of their groups.
    pub hooks: BTreeMap<GroupName, Vec<Hook>>,
}

impl View {
    /// The pool's record.
    pub fn pool(&self) -> Option<&Pool> {
        self.records.values().find_map(|record| match record {
            Record::Pool(pool) => Some(pool),
            _ => None,
        })
    }

    /// The slots on record.
    pub fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.records.values().filter_map(|record| match record {
            Record::Slot(slot) => Some(slot),
            _ => None,
        })
    }

    /// The groups whose tag names the pool.
    pub fn enrolled_in<'a>(&'a self, pool: &'a PoolName) -> impl Iterator<Item = &'a GroupView> {
        self.enrolled.iter().filter(|group| group.pool_tag.as_deref() == Some(pool.as_str()))
    }

    /// Whether `other` shows the same world and the same slots. Claims may go on changing: each is written on condition
    /// of its version.
    pub fn agrees_with(&self, other: &Self) -> bool {
        let Self { records, claims: _, groups: _, volumes, enrolled, others, hooks } = self;
        *records == other.records
            && *volumes == other.volumes
            && *enrolled == other.enrolled
            && *others == other.others
            && *hooks == other.hooks
    }

    /// The highest version or epoch that a record or a tag has.
    pub(super) fn highest_number(&self) -> u64 {
        let slots = self.slots().flat_map(|slot| [slot.version, slot.epoch]);
        let versions = self
            .claims
            .values()
            .map(|claim| claim.version)
            .chain(self.groups.values().map(|group| group.version))
            .chain(self.pool().map(|pool| pool.version));
        let tags = self.volumes.values().filter_map(|it| Some(LeaseTag::of(it)?.epoch));
        slots.chain(versions).chain(tags).max().unwrap_or_default()
    }

    /// Every instance that a record, a tag or an attachment names, and the members of the pool's groups.
    fn instances(&self, pool: &PoolName) -> BTreeSet<InstanceId> {
        let mut found = BTreeSet::new();
        for volume in self.volumes.values() {
            found.extend(volume.attachments.iter().filter_map(|it| it.instance.clone()));
            found.extend(LeaseTag::of(volume).map(|lease| lease.holder));
        }
        for slot in self.slots() {
            found.extend(slot.holder().cloned());
            if let SlotState::Creating { claimant, .. } = &slot.state {
                found.insert(claimant.clone());
            }
        }
        for record in self.records.values() {
            if let Record::Waiting(mark) = record {
                found.insert(mark.instance.clone());
            }
        }
        found.extend(self.enrolled_in(pool).flat_map(|group| group.members.keys().cloned()));
        found
    }
}

/// One reading, as a machine without I/O.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    pool: PoolName,
    view: View,
    /// What is still to be asked in this round, the next one last.
    pending: Vec<Request>,
    asked: Option<Request>,
    round: Round,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Round {
    Pool,
    Holders,
    Claims,
    Again,
}

/// What follows an answer.
pub(super) enum Next {
    /// This is to be asked.
    Ask(Request),
    /// All has been read.
    Done(View),
    /// The records changed meanwhile.
    Changed,
}

impl Reading {
    pub(super) fn new(pool: PoolName) -> Self {
        let pending =
            vec![Request::EnrolledGroups, Request::EveryPoolVolume(pool.clone()), whole(&pool)];
        Self { pool, view: View::default(), pending, asked: None, round: Round::Pool }
    }

    pub(super) fn next(&mut self) -> Next {
        loop {
            if let Some(request) = self.pending.pop() {
                self.asked = Some(request.clone());
                return Next::Ask(request);
            }
            self.round = match self.round {
                Round::Pool => {
                    self.pending = self.about_holders();
                    Round::Holders
                }
                Round::Holders => {
                    self.pending = self.about_claims();
                    Round::Claims
                }
                Round::Claims => {
                    self.pending = vec![whole(&self.pool)];
                    Round::Again
                }
                Round::Again => return Next::Done(std::mem::take(&mut self.view)),
            };
        }
    }

    pub(super) fn take(&mut self, response: Response) -> Next {
        let view = &mut self.view;
        match (self.asked.take(), response) {
            (_, Response::Records(_, lists)) if self.round == Round::Again => {
                if by_key(lists) != view.records {
                    return Next::Changed;
                }
            }
            (_, Response::Records(records, lists)) => {
                view.records.extend(by_key(lists));
                for record in records.into_values() {
                    match record {
                        Record::Claim(claim) => {
                            view.claims.insert(claim.instance.clone(), claim);
                        }
                        Record::Group(group) => {
                            view.groups.insert(group.name.clone(), group);
                        }
                        _ => {}
                    }
                }
            }
            (_, Response::Volumes(volumes)) => {
                view.volumes.extend(volumes.into_iter().map(|it| (it.id.clone(), it)));
            }
            (_, Response::Groups(groups)) => view.enrolled = groups,
            (_, Response::Others(others)) => view.others = others,
            (Some(Request::Hooks(group)), Response::Hooks(hooks)) => {
                view.hooks.insert(group, hooks);
            }
            // An answer to another question: nothing can be concluded from it.
            (_, _) => return Next::Changed,
        }
        self.next()
    }

    /// People take the pool's tag away from volumes; whose those are the slots' records say.
    fn about_holders(&self) -> Vec<Request> {
        let recorded = self.view.slots().flat_map(Slot::every_volume);
        let untagged: Vec<VolumeId> =
            recorded.filter(|id| !self.view.volumes.contains_key(id)).cloned().collect();
        let instances: Vec<InstanceId> = self.view.instances(&self.pool).into_iter().collect();
        let mut requests = vec![Request::Others(instances)];
        if !untagged.is_empty() {
            requests.push(Request::Volumes(untagged));
        }
        requests
    }

    fn about_claims(&self) -> Vec<Request> {
        let shown = self.view.others.in_groups.values().map(|shown| shown.group.clone());
        let tagged = self.view.enrolled_in(&self.pool).map(|group| group.name.clone());
        let groups: BTreeSet<GroupName> = shown.chain(tagged).collect();
        let untagged = self.told_by_instances();
        let keys: Vec<Key> = self
            .view
            .instances(&self.pool)
            .into_iter()
            .map(Key::Claim)
            .chain(groups.iter().cloned().map(Key::Group))
            .collect();
        let reads = keys
            .chunks(KEYS_AT_ONCE)
            .map(|some| Request::Read { keys: some.to_vec(), lists: Vec::new() });
        // The claims come after EC2 and Auto Scaling, like the second look at the slots.
        let requests = reads.chain(groups.iter().cloned().map(Request::Hooks));
        requests.chain((!untagged.is_empty()).then_some(Request::Volumes(untagged))).collect()
    }

    /// Volumes without the pool's tag that instances were told are theirs, as volumes of a slot of the pool.
    fn told_by_instances(&self) -> Vec<VolumeId> {
        let of_pool = |tags: &BTreeMap<String, String>| {
            let slot = tags.get(tags::SLOT).and_then(|text| text.parse::<SlotId>().ok());
            slot.is_some_and(|slot| slot.pool == self.pool)
        };
        let instances = self.view.others.instances.values().filter(|it| of_pool(&it.tags));
        let named = instances.flat_map(|it| &it.tags).filter_map(|(key, value)| {
            let id: VolumeId = value.parse().ok()?;
            let ours = key.strip_prefix(tags::VOLUME)?.starts_with(':');
            (ours && !self.view.volumes.contains_key(&id)).then_some(id)
        });
        named.collect::<BTreeSet<VolumeId>>().into_iter().collect()
    }
}

fn whole(pool: &PoolName) -> Request {
    Request::Read { keys: Vec::new(), lists: vec![List::Whole(pool.clone())] }
}

fn by_key(lists: Vec<Vec<Record>>) -> BTreeMap<Key, Record> {
    lists.into_iter().flatten().map(|record| (record.key(), record)).collect()
}
