//! The rebuilding of a pool as a machine: in which order it asks and writes, and what it makes of records that a backup
//! has cut in two.

use crate::situation;
use std::collections::BTreeSet;

use crate::situation::small_world::{World, in_short};
use crate::situation::{
    NOW, available, free_slot, instance, leased_slot, leased_volume, place, seconds, slot_id,
    volume, waiting_claim,
};
use volume_pool::observation::{GroupView, LifecycleState, Others};
use volume_pool::rebuild::{QUIET, Rebuild};
use volume_pool::record::{
    Claim, FreeMark, HeldMark, Key, Phase, Pool, Record, Slot, SlotState, VolumeOwner,
};
use volume_pool::request::{Ending, Outcome, Request, Response};
use volume_pool::transition::{Expect, Write};

/// A rebuild, and the world that it asks.
struct Run {
    rebuild: Rebuild,
    world: World,
    asked: Vec<Request>,
}

impl Run {
    fn new(world: World) -> Self {
        let rebuild = Rebuild::new(place().pool, "stateful-asg".to_owned());
        Self { rebuild, world, asked: Vec::new() }
    }

    /// What the world answers. Time passes only in pauses.
    fn answer(&mut self, request: &Request) -> Response {
        let members = || self.world.members.clone();
        match request {
            Request::EnrolledGroups => {
                let group = situation::members();
                Response::Groups(vec![GroupView { members: members(), ..group }])
            }
            Request::Others(_) => {
                let instances = self.world.instances.clone();
                Response::Others(Others { in_groups: members(), instances })
            }
            Request::Pause(pause) => {
                self.world.now = self.world.now.plus(*pause);
                Response::Done
            }
            request => self.world.answer(request),
        }
    }

    /// Runs until it ends, or `stops` says so of what is about to be asked.
    fn until(&mut self, stops: impl Fn(&Request) -> bool) -> Option<Outcome> {
        let mut request = self.rebuild.start();
        for _ in 0..2_000 {
            if let Request::Finish(outcome) = request {
                return Some(outcome);
            }
            if stops(&request) {
                return None;
            }
            let response = self.answer(&request);
            self.asked.push(request);
            request = self.rebuild.resume(response, self.world.now);
        }
        panic!("it never ends: {:?}", self.asked.last());
    }

    #[track_caller]
    fn ends(&mut self) {
        let outcome = self.until(|_| false).unwrap();
        assert_eq!(outcome.ending, Ending::Settled, "{:?}", self.rebuild.problem());
    }

    fn in_short(&self) -> Vec<String> {
        self.asked.iter().map(in_short).collect()
    }

    fn pool(&self) -> &Pool {
        match &self.world.store.records[&Key::Pool(place().pool)] {
            Record::Pool(pool) => pool,
            other => panic!("{other:?}"),
        }
    }
}

/// Instance 1 in service with volume 1 of slot 0, and no record of it.
fn lost() -> World {
    World::new().with_instance(1, LifecycleState::InService).with_volume(leased_volume())
}

#[test]
fn the_pool_is_closed_then_waited_for_then_read_twice_then_written_then_opened() {
    let mut run = Run::new(lost());
    run.ends();
    let reading = [
        "read whole pool",
        "look at the pool",
        "look at all groups",
        "look at others",
        "look at hooks",
        "read claim+group",
        "read whole pool",
    ];
    let mut expected = vec!["read pool", "commit begin rebuild", "read pool", "pause"];
    expected.extend(reading);
    expected.push("pause");
    expected.extend(reading);
    expected.extend(["commit rebuild", "commit rebuild", "commit open pool"]);
    assert_eq!(run.in_short(), expected);
    assert_eq!(run.world.now, NOW.plus(QUIET).plus(seconds(10)));
    assert_eq!(run.pool().rebuilding, None);
    assert_eq!(run.world.slot(0).state, SlotState::Leased { holder: instance(1) });
}

#[test]
fn every_write_is_conditional_on_the_pools_record_and_on_what_was_read() {
    let known = Record::Slot(Slot { version: 40, ..leased_slot() });
    let mut run = Run::new(lost().with(known));
    run.ends();
    let mut versions = BTreeSet::new();
    for request in &run.asked {
        let Request::Commit(transaction) = request else { continue };
        for write in &transaction.writes {
            match write {
                Write::Put(Record::Pool(pool), Expect::Version(read)) => {
                    assert_eq!(pool.version, read + 1);
                    assert!(versions.insert(pool.version), "{}", transaction.name);
                    assert_eq!(pool.rebuilding.is_none(), transaction.name == "open pool");
                }
                Write::Put(Record::Pool(_) | Record::Claim(_) | Record::Group(_), expect) => {
                    assert_eq!(*expect, Expect::Absent);
                }
                Write::Put(Record::Slot(_), expect) => assert_eq!(*expect, Expect::Version(40)),
                Write::Put(_, expect) => assert_eq!(*expect, Expect::Mark),
                Write::Delete(_) => {}
            }
        }
    }
    assert_eq!(versions.len(), 3);
}

#[test]
fn run_again_it_waits_for_what_is_left_of_the_quiet_and_another_that_has_ended_ends_it() {
    let mut run = Run::new(lost());
    assert_eq!(run.until(|request| matches!(request, Request::Pause(_))), None);
    let began = run.pool().clone();
    run.world.now = run.world.now.plus(seconds(100));
    let mut again = Run::new(run.world.clone());
    again.ends();
    assert_eq!(again.world.now, NOW.plus(QUIET).plus(seconds(10)));
    assert!(again.pool().version > began.version);
    // The first one wakes up: the pool is open, and that was not its doing.
    run.world = again.world.clone();
    let before = run.world.store.records.clone();
    let mut request = run.rebuild.resume(Response::Done, run.world.now);
    while !matches!(request, Request::Finish(_)) {
        let response = run.answer(&request);
        request = run.rebuild.resume(response, run.world.now);
        if matches!(&request, Request::Commit(transaction) if transaction.name == "begin rebuild") {
            panic!("it closes the pool again");
        }
    }
    assert_eq!(run.world.store.records, before);
}

#[test]
fn what_differs_between_two_readings_is_read_again() {
    let mut run = Run::new(lost());
    let mut readings = 0;
    let mut request = run.rebuild.start();
    while !matches!(request, Request::Finish(_)) {
        if matches!(request, Request::EveryPoolVolume(_)) {
            readings += 1;
            // A person tags one more volume between the first two readings.
            if readings == 2 {
                run.world = run.world.with_volume(available(9));
            }
        }
        let response = run.answer(&request);
        request = run.rebuild.resume(response, run.world.now);
    }
    assert_eq!(readings, 3);
}

/// Half of each transaction is missing: the slot is leased while the claim still waits; a free mark stands for nobody, and
/// so does a volume's row.
#[test]
fn records_that_a_backup_cut_in_two_are_made_whole() {
    let stale = FreeMark { slot: free_slot(0) };
    let row = VolumeOwner { volume: volume(9), slot: slot_id(5) };
    let claim = Claim { open: true, ..waiting_claim() };
    let mut run = Run::new(
        lost()
            .with(Record::Slot(leased_slot()))
            .with(Record::Free(stale))
            .with(Record::Volume(row))
            .with_volume(available(9))
            .with_claim(claim),
    );
    run.ends();
    let claim = run.world.claim(1);
    let epoch = run.world.slot(0).epoch;
    assert_eq!(claim.phase, Phase::Leased { slot: slot_id(0), epoch });
    let mut keys: Vec<Key> = run.world.store.records.keys().cloned().collect();
    keys.retain(|key| !matches!(key, Key::Group(_)));
    let place = place();
    let mut expected = vec![
        Key::Claim(instance(1)),
        Key::Slot(slot_id(0)),
        Key::Pool(place.pool.clone()),
        Key::Volume(volume(1)),
        Key::Held(place.clone(), 0),
        Key::Open(instance(1)),
        Key::Known(place.pool.clone()),
    ];
    expected.sort();
    keys.sort();
    assert_eq!(keys, expected, "what is left: no waiting mark, no free mark, no row of a stray");
}

/// Slots that one instance goes over from and to change in one transaction: at no time does it hold both, or neither.
#[test]
fn slots_that_share_a_claim_are_written_together() {
    let elsewhere = Slot {
        id: slot_id(7),
        volumes: vec![situation::slot_volume("data", 8, "/dev/sdf")],
        ..leased_slot()
    };
    let held = HeldMark {
        place: place(),
        slot: slot_id(7),
        holder: instance(1),
        volumes: vec![volume(8)],
        amiss: false,
    };
    let phase = Phase::Leased { slot: slot_id(7), epoch: 3 };
    let mut run = Run::new(
        lost()
            .with_volume(available(8))
            .with(Record::Slot(elsewhere))
            .with(Record::Held(held))
            .with_claim(Claim { phase, open: false, ..waiting_claim() }),
    );
    run.ends();
    let both = run.asked.iter().any(|request| match request {
        Request::Commit(transaction) => {
            let slots = transaction
                .writes
                .iter()
                .filter(|write| matches!(write, Write::Put(Record::Slot(_), _)));
            slots.count() == 2
        }
        _ => false,
    });
    assert!(both, "{:?}", run.in_short());
    assert_eq!(run.world.claim(1).slot(), Some(&slot_id(0)));
    assert!(run.world.slot(7).holder().is_none());
}
