//! The transitions that a person makes.

#![cfg(test)]

mod situation;

use situation::reference_store::ReferenceStore;
use situation::{NOW, free_slot, leased_slot, place, releasing_slot, seconds_ago, slot_id};
use volume_pool::ports::Commit;
use volume_pool::record::{ApartMark, FreeMark, Key, Pool, Record, Slot, SlotState};
use volume_pool::transition::person::{reinstate, retire};
use volume_pool::transition::{drift, lease};

fn pool(slots: u32) -> Pool {
    let slots_per_zone = [(place().zone, slots)].into();
    Pool { version: 4, next_index: 7, slots_per_zone, ..Pool::new(place().pool) }
}

fn quarantined() -> Slot {
    Slot { state: SlotState::Quarantined, reason: "it is in error".to_owned(), ..leased_slot() }
}

fn with_mark(slot: &Slot) -> ReferenceStore {
    let mark = match &slot.state {
        SlotState::Free => Record::Free(FreeMark { slot: slot.clone() }),
        _ => Record::Apart(ApartMark {
            place: slot.place(),
            slot: slot.id.clone(),
            reason: slot.reason.clone(),
        }),
    };
    ReferenceStore::holding([Record::Slot(slot.clone()), mark, Record::Pool(pool(2))])
}

fn stored(store: &ReferenceStore) -> Slot {
    match &store.records[&Key::Slot(slot_id(0))] {
        Record::Slot(slot) => slot.clone(),
        other => panic!("{other:?}"),
    }
}

fn stored_pool(store: &ReferenceStore) -> Pool {
    match &store.records[&Key::Pool(place().pool)] {
        Record::Pool(pool) => pool.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_slot_that_is_reinstated_is_free_like_any_other() {
    let mut store = with_mark(&quarantined());
    let transaction = reinstate(&quarantined(), "looked at").unwrap();
    assert_eq!(store.commit(&transaction), Commit::Committed);
    let slot = stored(&store);
    assert_eq!((&slot.state, slot.reason.as_str()), (&SlotState::Free, "looked at"));
    assert_eq!(slot.epoch, quarantined().epoch, "nobody has got it yet");
    let key = Key::Free(place(), slot.released_at, 0);
    assert_eq!(store.records[&key], Record::Free(FreeMark { slot }));
    assert!(!store.records.contains_key(&Key::Apart(place(), 0)));
    assert_eq!(transaction.wakes, Some(place()));
}

#[test]
fn its_data_is_taken_to_be_as_old_as_its_last_use_on_record() {
    let (early, late) = (Some(seconds_ago(900)), Some(seconds_ago(300)));
    let after = |leased_at, released_at| {
        let slot = Slot { leased_at, released_at, ..quarantined() };
        let mut store = with_mark(&slot);
        store.commit(&reinstate(&slot, "").unwrap());
        stored(&store).released_at
    };
    assert_eq!(after(late, early), late);
    assert_eq!(after(early, late), late);
    assert_eq!(after(None, None), None);
}

#[test]
fn only_what_was_set_apart_and_has_a_volume_is_reinstated() {
    let retired = Slot { state: SlotState::Retired, ..quarantined() };
    for slot in [free_slot(0), leased_slot(), releasing_slot(), retired] {
        assert_eq!(reinstate(&slot, ""), None, "{:?}", slot.state);
    }
    assert_eq!(reinstate(&Slot { volumes: Vec::new(), ..quarantined() }, ""), None);
}

#[test]
fn a_slot_that_is_retired_leaves_no_mark_and_makes_room_in_its_zone() {
    for slot in [free_slot(0), quarantined()] {
        let mut store = with_mark(&slot);
        let transaction = retire(&slot, &pool(2), "decommissioned").unwrap();
        assert_eq!(store.commit(&transaction), Commit::Committed);
        let retired = stored(&store);
        assert_eq!(retired.state, SlotState::Retired);
        assert_eq!((retired.reason.as_str(), &retired.volumes), ("decommissioned", &slot.volumes));
        assert_eq!(store.records.len(), 2, "a mark is left: {:?}", store.records);
        let pool = stored_pool(&store);
        assert_eq!(pool.slots_per_zone[&place().zone], 1);
        assert_eq!(pool.next_index, 7, "its index is not used again");
    }
}

#[test]
fn what_somebody_holds_or_what_is_retired_can_not_be_retired() {
    let retired = Slot { state: SlotState::Retired, ..free_slot(0) };
    let creating =
        SlotState::Creating { claimant: "i-00000001".parse().unwrap(), planned: Vec::new() };
    let creating = Slot { state: creating, ..free_slot(0) };
    for slot in [leased_slot(), releasing_slot(), creating, retired] {
        assert_eq!(retire(&slot, &pool(2), ""), None, "{:?}", slot.state);
    }
}

#[test]
fn who_got_the_slot_meanwhile_keeps_it() {
    let claim = situation::waiting_claim();
    let mut store = with_mark(&free_slot(0));
    store.records.insert(Key::Claim(claim.instance.clone()), Record::Claim(claim.clone()));
    let retired = retire(&free_slot(0), &pool(2), "").unwrap();
    let apart = drift::set_apart(&free_slot(0), "").unwrap();
    store.commit(&lease(&claim, &free_slot(0), NOW, "").unwrap());
    assert_eq!(store.commit(&retired), Commit::Conflict);
    assert_eq!(store.commit(&apart), Commit::Conflict);
    assert!(matches!(stored(&store).state, SlotState::Leased { .. }));
}
