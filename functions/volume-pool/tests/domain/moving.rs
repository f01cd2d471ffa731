//! A slot moves to another zone: whoever dies at whichever call, the next one ends the same, and the data is never forked.

use crate::situation;
use std::collections::BTreeMap;

use crate::situation::reference_store::ReferenceStore;
use crate::situation::{NOW, available, free_slot, place, slot_id};
use volume_pool::ids::{SnapshotId, VolumeId, Zone};
use volume_pool::moving::{OWN_TAGS, Seen, Snapshot, SnapshotState, Step, name, next};
use volume_pool::observation::{
    Attachment, AttachmentState, DeleteOnTermination, Volume, VolumeState, tags,
};
use volume_pool::ports::Commit;
use volume_pool::record::{
    Format, FreeMark, Key, Origin, Pool, Record, Slot, SlotState, VolumeOwner,
};
use volume_pool::transition::moving::{begin, cancel, finish, note_copy, note_snapshot, swap};
use volume_pool::transition::person::{reinstate, retire};
use volume_pool::transition::{Transaction, drift, lease};

fn to() -> Zone {
    "eu-central-1b".parse().unwrap()
}

/// What dies in a call, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Death {
    Before,
    After,
}

/// EC2 as far as a move sees it, and the lease table. Whoever moves the slot may die at one call.
struct Stage {
    store: ReferenceStore,
    volumes: BTreeMap<VolumeId, Volume>,
    snapshots: Vec<(Snapshot, BTreeMap<String, String>)>,
    tokens: BTreeMap<String, VolumeId>,
    calls: usize,
    dies: Option<(usize, Death)>,
}

impl Stage {
    /// `cassandra-0`, free, with two volumes, data and log; in a pool of one slot.
    fn new() -> Self {
        let mut slot = free_slot(0);
        let mut log = free_slot(1).volumes.remove(0);
        log.name = "log".parse().unwrap();
        slot.volumes.push(log);
        let rows = slot.volumes.iter().map(|it| {
            Record::Volume(VolumeOwner { volume: it.volume.clone(), slot: slot.id.clone() })
        });
        let pool = Pool {
            version: 4,
            next_index: 1,
            slots_per_zone: [(place().zone, 1)].into(),
            ..Pool::new(place().pool)
        };
        let mark = Record::Free(FreeMark { slot: slot.clone() });
        let records = rows.chain([mark, Record::Pool(pool), Record::Slot(slot.clone())]);
        let shown = slot.volumes.iter().zip([1, 2]).map(|(known, number)| {
            let mut volume = Volume { id: known.volume.clone(), ..available(number) };
            volume.tags.extend([
                (tags::POOL.to_owned(), "cassandra".to_owned()),
                (tags::SLOT.to_owned(), slot.id.to_string()),
                (tags::VOLUME.to_owned(), known.name.to_string()),
            ]);
            (volume.id.clone(), volume)
        });
        Self {
            volumes: shown.collect(),
            store: ReferenceStore::holding(records.collect::<Vec<_>>()),
            snapshots: Vec::new(),
            tokens: BTreeMap::new(),
            calls: 0,
            dies: None,
        }
    }

    fn slot(&self) -> Slot {
        match &self.store.records[&Key::Slot(slot_id(0))] {
            Record::Slot(slot) => slot.clone(),
            other => panic!("{other:?}"),
        }
    }

    fn pool(&self) -> Pool {
        match &self.store.records[&Key::Pool(place().pool)] {
            Record::Pool(pool) => pool.clone(),
            other => panic!("{other:?}"),
        }
    }

    /// One call, which its caller may not survive.
    fn call(&mut self, does: impl FnOnce(&mut Self)) -> Result<(), Death> {
        self.calls += 1;
        let fate = self.dies.filter(|(at, _)| *at == self.calls).map(|(_, death)| death);
        if fate != Some(Death::Before) {
            does(self);
        }
        fate.map_or(Ok(()), Err)
    }

    fn commit(&mut self, transaction: Option<Transaction>) -> Result<(), Death> {
        let transaction = transaction.unwrap();
        self.call(|stage| assert_eq!(stage.store.commit(&transaction), Commit::Committed))
    }

    /// What EC2 shows; each look takes what is under way a step further.
    fn look(&mut self) -> Seen {
        let slot = self.slot();
        let known: Vec<VolumeId> = slot.every_volume().cloned().collect();
        let named = |volume: &Volume| volume.tags.get(tags::SLOT) == Some(&slot.id.to_string());
        let shown = self.volumes.values().filter(|it| known.contains(&it.id) || named(it));
        let volumes = shown.map(|it| (it.id.clone(), it.clone())).collect();
        let of = slot.moving.as_ref().map(|moving| name(&slot.id, moving));
        let snapshots =
            self.snapshots.iter().filter(|(_, tags)| tags.get(tags::MOVE) == of.as_ref());
        let seen = Seen { volumes, snapshots: snapshots.map(|(it, _)| it.clone()).collect() };
        for (snapshot, _) in &mut self.snapshots {
            snapshot.state = SnapshotState::Completed;
        }
        for volume in self.volumes.values_mut().filter(|it| it.state == VolumeState::Creating) {
            volume.state = VolumeState::Available;
        }
        seen
    }

    /// Moves the slot until that is done, or until its caller dies.
    fn run(&mut self) -> Result<(), Death> {
        for _ in 0..100 {
            let seen = self.look();
            self.check();
            let step = next(&self.slot(), &self.pool(), &seen).unwrap();
            match step {
                Step::Done => return Ok(()),
                Step::Wait(_) => {}
                Step::Commit(transaction) => self.commit(Some(transaction))?,
                Step::Snapshot(name, of, tags) => {
                    let id: SnapshotId =
                        format!("snap-{:08x}", self.snapshots.len() + 1).parse().unwrap();
                    let (state, progress) = (SnapshotState::Pending, "0%".to_owned());
                    let taken = Snapshot { id: id.clone(), of, state, progress };
                    self.call(|stage| stage.snapshots.push((taken, tags)))?;
                    self.commit(note_snapshot(&self.slot(), &name, &id))?;
                }
                Step::Copy(snapshot, creation) => {
                    let of = self.snapshots.iter().find(|(it, _)| it.id == snapshot).unwrap();
                    assert_eq!(of.0.state, SnapshotState::Completed);
                    let fresh: VolumeId =
                        format!("vol-{:08x}", 0x100 + self.tokens.len()).parse().unwrap();
                    let id = self.tokens.get(&creation.token).cloned().unwrap_or(fresh);
                    let name = creation.name.clone();
                    let made = Volume {
                        id: id.clone(),
                        zone: creation.zone,
                        state: VolumeState::Creating,
                        tags: creation.tags,
                        ..available(1)
                    };
                    self.call(|stage| {
                        stage.tokens.insert(creation.token, made.id.clone());
                        stage.volumes.entry(made.id.clone()).or_insert(made);
                    })?;
                    self.commit(note_copy(&self.slot(), &name, &id))?;
                }
                Step::Untag(volume, tags) => {
                    self.call(|stage| {
                        stage.volumes.get_mut(&volume).unwrap().tags.extend(tags);
                    })?;
                    self.call(|stage| {
                        let tags = &mut stage.volumes.get_mut(&volume).unwrap().tags;
                        tags.retain(|key, _| !OWN_TAGS.contains(&key.as_str()));
                    })?;
                }
            }
        }
        panic!("it does not end: {:?}", self.slot());
    }

    /// Never is the slot for a launch while a volume of it has a copy that goes by its name too.
    fn check(&self) {
        let slot = self.slot();
        if slot.state != SlotState::Free {
            assert!(!self.store.records.contains_key(&Key::Free(
                slot.place(),
                slot.released_at,
                0
            )));
            return;
        }
        let named = self.volumes.values().filter(|it| it.tags.contains_key(tags::SLOT));
        assert_eq!(named.count(), slot.volumes.len(), "{:?}", self.volumes);
    }

    fn begin(&mut self) {
        let begun = begin(&self.slot(), &self.pool(), &to(), NOW).unwrap();
        assert_eq!(self.store.commit(&begun), Commit::Committed);
    }

    /// All that is left in the end: slot, pool, marks, rows; and which volumes go by the slot's name.
    fn told(&self) -> (Slot, BTreeMap<Zone, u32>, Vec<String>, Vec<VolumeId>) {
        let keys =
            self.store.records.keys().map(|key| format!("{} {}", key.partition(), key.sort()));
        let named = self.volumes.values().filter(|it| it.tags.contains_key(tags::SLOT));
        let slot = Slot { version: 0, ..self.slot() };
        let named = named.map(|it| it.id.clone()).collect();
        (slot, self.pool().slots_per_zone, keys.collect(), named)
    }
}

#[test]
fn a_slot_that_has_moved_is_free_in_its_new_zone_with_copies_of_its_volumes() {
    let mut stage = Stage::new();
    let before = stage.slot();
    stage.begin();
    stage.run().unwrap();
    let slot = stage.slot();
    assert_eq!((&slot.state, &slot.zone, &slot.moving), (&SlotState::Free, &to(), &None));
    assert_eq!((slot.epoch, slot.released_at), (before.epoch, before.released_at));
    let ids: Vec<&str> = slot.volumes.iter().map(|it| it.volume.as_str()).collect();
    assert_eq!(ids, ["vol-00000100", "vol-00000101"]);
    for (moved, old) in slot.volumes.iter().zip(&before.volumes) {
        assert_eq!((&moved.name, &moved.device), (&old.name, &old.device));
        assert_eq!((moved.created_at, moved.origin), (old.created_at, Origin::Adopted));
        // The old ones are there, and nothing says any more that they are the slot's.
        let left = &stage.volumes[&old.volume];
        assert!(OWN_TAGS.iter().all(|tag| !left.tags.contains_key(*tag)), "{:?}", left.tags);
        assert!(left.tags.contains_key(tags::MOVE));
        assert!(!stage.store.records.contains_key(&Key::Volume(old.volume.clone())));
    }
    assert_eq!(slot.format, Format::Over);
    assert_eq!(stage.pool().slots_per_zone, [(place().zone, 0), (to(), 1)].into());
    let mark = Key::Free(slot.place(), slot.released_at, 0);
    assert_eq!(stage.store.records[&mark], Record::Free(FreeMark { slot }));
}

#[test]
fn wherever_whoever_moves_it_dies_the_next_one_ends_the_same() {
    let mut whole = Stage::new();
    whole.begin();
    whole.run().unwrap();
    let calls = whole.calls;
    // Two volumes: snapshot, note, copy, note each; swap; two tags each; finish.
    assert_eq!(calls, 2 * 4 + 1 + 2 * 2 + 1);
    for at in 1..=calls {
        for death in [Death::Before, Death::After] {
            let mut stage = Stage::new();
            stage.begin();
            stage.dies = Some((at, death));
            assert_eq!(stage.run(), Err(death));
            stage.dies = None;
            stage.run().unwrap();
            assert_eq!(stage.told(), whole.told(), "{death:?} call {at}");
            assert_eq!(stage.snapshots.len(), 2, "{death:?} call {at}");
            assert_eq!(stage.volumes.len(), 4, "{death:?} call {at}");
        }
    }
}

#[test]
fn a_move_that_is_given_up_at_any_point_before_its_swap_leaves_the_slot_as_it_was() {
    let before = Stage::new().slot();
    // The ninth call is the swap: what has happened can't be given up any more.
    let deaths = (1..=9).map(|at| (at, Death::Before)).chain((1..=8).map(|at| (at, Death::After)));
    for (at, death) in deaths {
        let mut stage = Stage::new();
        stage.begin();
        stage.dies = Some((at, death));
        assert_eq!(stage.run(), Err(death));
        stage.dies = None;
        let given_up = cancel(&stage.slot(), &stage.pool()).unwrap();
        assert_eq!(stage.store.commit(&given_up), Commit::Committed);
        assert_eq!(cancel(&stage.slot(), &stage.pool()), None, "only once");
        stage.run().unwrap();
        let slot = stage.slot();
        let (version, reason) = (before.version, before.reason.clone());
        assert_eq!(Slot { version, reason, ..slot.clone() }, before);
        assert_eq!(stage.pool().slots_per_zone, [(place().zone, 1), (to(), 0)].into());
        let rows = stage.store.records.keys().filter(|key| matches!(key, Key::Volume(_)));
        assert_eq!(rows.count(), 2, "call {at}");
        let named = stage.volumes.values().filter(|it| it.tags.contains_key(tags::SLOT));
        assert!(named.map(|it| &it.zone).all(|zone| *zone == before.zone), "call {at}");
    }
}

#[test]
fn nobody_leases_reinstates_or_retires_a_slot_that_is_being_moved() {
    let mut stage = Stage::new();
    let (free, claim) = (stage.slot(), situation::waiting_claim());
    stage.store.records.insert(Key::Claim(claim.instance.clone()), Record::Claim(claim.clone()));
    let leased = lease(&claim, &free, NOW, "").unwrap();
    stage.begin();
    assert_eq!(stage.store.commit(&leased), Commit::Conflict);
    let moving = stage.slot();
    assert_eq!(moving.state, SlotState::Quarantined, "what an older version sees of it");
    assert_eq!(lease(&claim, &moving, NOW, ""), None);
    assert_eq!(reinstate(&moving, ""), None);
    assert_eq!(retire(&moving, &stage.pool(), ""), None);
    assert_eq!(drift::set_apart(&moving, ""), None);
    assert_eq!(begin(&moving, &stage.pool(), &to(), NOW), None);
    assert!(stage.store.records.contains_key(&Key::Apart(place(), 0)), "an alarm tells of it");
}

#[test]
fn a_move_waits_for_whoever_has_attached_an_old_volume_meanwhile() {
    let mut stage = Stage::new();
    stage.begin();
    let first = stage.slot().volumes[0].volume.clone();
    let someone = Attachment {
        instance: Some("i-00000009".parse().unwrap()),
        device: "/dev/sdf".to_owned(),
        state: AttachmentState::Attached,
        delete_on_termination: DeleteOnTermination::Delete,
        attached_at: NOW,
    };
    let attached = Volume {
        id: first.clone(),
        state: VolumeState::InUse,
        attachments: vec![someone],
        ..available(1)
    };
    for at in 1..=9 {
        let mut stage = Stage::new();
        stage.begin();
        stage.dies = Some((at, Death::Before));
        assert_eq!(stage.run(), Err(Death::Before));
        stage.volumes.insert(first.clone(), attached.clone());
        let seen = stage.look();
        let refused = next(&stage.slot(), &stage.pool(), &seen).unwrap_err();
        assert!(refused.contains("somebody has attached it"), "call {at}: {refused}");
    }
}

#[test]
fn a_snapshot_or_a_copy_that_fails_says_how_to_begin_anew() {
    let mut stage = Stage::new();
    stage.begin();
    stage.dies = Some((3, Death::Before));
    assert_eq!(stage.run(), Err(Death::Before));
    stage.snapshots[0].0.state = SnapshotState::Other("error".to_owned());
    let (slot, pool) = (stage.slot(), stage.pool());
    let refused = next(&slot, &pool, &stage.look()).unwrap_err();
    assert!(
        refused.contains("is error: give the move up (stateful-asg move cassandra-0 --cancel)")
    );

    let mut stage = Stage::new();
    stage.begin();
    stage.dies = Some((5, Death::Before));
    assert_eq!(stage.run(), Err(Death::Before));
    let copy = stage.volumes.values_mut().find(|it| it.zone == to()).unwrap();
    copy.state = VolumeState::Other("error".to_owned());
    let (slot, pool) = (stage.slot(), stage.pool());
    let refused = next(&slot, &pool, &stage.look()).unwrap_err();
    assert!(refused.contains("the copy, is error: give the move up"), "{refused}");
}

#[test]
fn a_move_begins_only_with_a_free_slot_to_another_zone_and_swaps_only_whole() {
    let stage = Stage::new();
    let (slot, pool) = (stage.slot(), stage.pool());
    assert_eq!(begin(&slot, &pool, &place().zone, NOW), None);
    assert_eq!(begin(&Slot { volumes: Vec::new(), ..slot.clone() }, &pool, &to(), NOW), None);
    assert_eq!(begin(&situation::leased_slot(), &pool, &to(), NOW), None);
    let mut begun = Stage::new();
    begun.begin();
    assert_eq!(swap(&begun.slot(), &begun.pool()), None);
    assert_eq!(finish(&begun.slot()), None);
    assert_eq!(finish(&slot), None);
    let written = serde_json::to_value(begun.slot()).unwrap();
    assert_eq!(written["moving"]["to"], "eu-central-1b");
    let unknown: Result<SnapshotId, _> = "vol-00000001".parse();
    assert!(unknown.is_err());
}
