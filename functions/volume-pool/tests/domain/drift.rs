//! A free slot is set apart only for what shows again and again while nobody touches it.

use std::time::Duration;

use crate::situation::reference_store::ReferenceStore;
use crate::situation::{NOW, available, free_slot, instance, on, seconds_ago, volume};
use volume_pool::drift::{Inspection, Verdict, judge};
use volume_pool::observation::{AttachmentState, Volume, tags};
use volume_pool::record::{FreeMark, Key, Record, Slot, SlotState};
use volume_pool::request::{Ending, Request, Response};

/// Slot 1 with volume 2, released an hour ago.
fn slot() -> Slot {
    free_slot(1)
}

fn store(slot: &Slot) -> ReferenceStore {
    let mark = Record::Free(FreeMark { slot: slot.clone() });
    ReferenceStore::holding([Record::Slot(slot.clone()), mark])
}

/// Inspects the slot; `look` gives what EC2 shows at each look, from 1, and may write to the store.
fn inspect(
    store: &mut ReferenceStore,
    mut look: impl FnMut(u32, &mut ReferenceStore) -> Vec<Volume>,
) -> (Ending, usize, Duration) {
    let mut inspection = Inspection::new(slot().id);
    let (mut now, mut looks) = (NOW, 0);
    let mut request = inspection.start();
    loop {
        let response = match &request {
            Request::Finish(outcome) => {
                return (outcome.ending.clone(), inspection.alarms().len(), now.since(NOW));
            }
            Request::Read { keys, .. } => Response::Records(store.read(keys), Vec::new()),
            Request::Volumes(_) => {
                looks += 1;
                Response::Volumes(look(looks, store))
            }
            Request::Pause(pause) => {
                now = now.plus(*pause);
                Response::Done
            }
            Request::Commit(transaction) => Response::Committed(store.commit(transaction)),
            other => panic!("{other:?}"),
        };
        request = inspection.resume(response, now);
    }
}

fn state(store: &ReferenceStore) -> SlotState {
    match store.read(&[Key::Slot(slot().id)]).into_values().next() {
        Some(Record::Slot(slot)) => slot.state,
        other => panic!("{other:?}"),
    }
}

fn its_volume() -> u32 {
    2
}

#[test]
fn what_a_stranger_has_is_set_apart_after_several_looks_over_some_time() {
    let mut store = store(&slot());
    let (ending, alarms, took) =
        inspect(&mut store, |_, _| vec![on(its_volume(), 8, AttachmentState::Attached)]);
    assert_eq!((ending, alarms), (Ending::Settled, 1));
    assert!(took >= Duration::from_secs(10), "{took:?}");
    assert_eq!(state(&store), SlotState::Quarantined);
    let mark = Key::Free(slot().place(), slot().released_at, 1);
    assert!(store.read(&[mark]).is_empty(), "the free mark is left over");
}

#[test]
fn one_look_that_shows_it_well_is_enough_to_leave_it_alone() {
    for well_at in 1..=4 {
        let mut store = store(&slot());
        let (_, alarms, _) = inspect(&mut store, |look, _| {
            if look == well_at {
                vec![available(its_volume())]
            } else {
                vec![on(its_volume(), 8, AttachmentState::Attached)]
            }
        });
        assert_eq!((alarms, state(&store)), (0, SlotState::Free), "look {well_at}");
    }
}

#[test]
fn a_slot_that_is_touched_meanwhile_is_left_alone() {
    for touched_at in 1..=4 {
        let mut store = store(&slot());
        let (_, alarms, _) = inspect(&mut store, |look, store| {
            if look == touched_at {
                let touched = Slot { version: slot().version + 1, ..slot() };
                store.records.insert(Key::Slot(slot().id), Record::Slot(touched));
            }
            vec![on(its_volume(), 8, AttachmentState::Attached)]
        });
        assert_eq!((alarms, state(&store)), (0, SlotState::Free), "look {touched_at}");
    }
}

#[test]
fn each_trouble_is_judged_by_itself() {
    let judged = |slot: &Slot, volumes: Vec<Volume>| {
        let volumes = volumes.into_iter().map(|volume| (volume.id.clone(), volume)).collect();
        judge(slot, &volumes, NOW)
    };
    assert_eq!(judged(&slot(), vec![available(its_volume())]), Verdict::Fine);
    let mut held = slot();
    held.recent_holders = vec![instance(8)];
    held.released_at = Some(seconds_ago(60));
    let with_it = vec![on(its_volume(), 8, AttachmentState::Attached)];
    assert_eq!(judged(&held, with_it.clone()), Verdict::Fine, "a recent holder is no stranger");
    held.released_at = Some(seconds_ago(600));
    let problem = "it is attached to i-00000008, which has given the slot back".to_owned();
    let unusable = Verdict::Unusable(volume(its_volume()), problem);
    assert_eq!(judged(&held, with_it), unusable, "long after, somebody gave it back to it by hand");
    assert!(matches!(judged(&slot(), Vec::new()), Verdict::Unusable(..)), "deleted");
    let mut fresh = slot();
    fresh.released_at = Some(seconds_ago(60));
    assert_eq!(judged(&fresh, Vec::new()), Verdict::Fine, "not shown, so soon");
    let mut untagged = available(its_volume());
    untagged.tags.remove(tags::POOL);
    assert_eq!(judged(&slot(), vec![untagged]), Verdict::Untagged(volume(its_volume())));
}
