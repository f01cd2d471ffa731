//! The transitions that a person makes.

use crate::situation;
use crate::situation::reference_store::ReferenceStore;
use crate::situation::{
    NOW, free_slot, leased_claim, leased_slot, leaving_claim, place, releasing_slot, seconds_ago,
    slot_id, terminate_action,
};
use volume_pool::action::{ActionResult, GiveUp};
use volume_pool::ports::Commit;
use volume_pool::record::{
    ApartMark, Claim, Format, FreeMark, Guard, Key, Origin, Pool, Record, Slot, SlotState,
    SlotVolume,
};
use volume_pool::transition::person::{allow_format, allow_format_to, reinstate, retire};
use volume_pool::transition::{Expect, Write, drift, lease};

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

/// The slot, of a volume that was created blank, after the right to format it has ended.
fn created_blank(slot: Slot) -> Slot {
    let volumes = slot.volumes.into_iter();
    let volumes = volumes.map(|volume| SlotVolume { origin: Origin::Created, ..volume });
    Slot { volumes: volumes.collect(), format: Format::Over, ..slot }
}

#[test]
fn a_free_slot_may_be_formatted_again_by_whoever_is_leased_it_from_its_mark() {
    let slot = created_blank(free_slot(0));
    let mut store = with_mark(&slot);
    assert_eq!(store.commit(&allow_format(&slot, "asked for").unwrap()), Commit::Committed);
    let allowed = stored(&store);
    assert!(allowed.may_format(&allowed.volumes[0]));
    assert_eq!((&allowed.state, allowed.reason.as_str()), (&SlotState::Free, "asked for"));
    assert_eq!(allowed.epoch, slot.epoch);
    let mark = Key::Free(place(), slot.released_at, 0);
    assert_eq!(store.records[&mark], Record::Free(FreeMark { slot: allowed.clone() }));
    let claim = situation::waiting_claim();
    store.records.insert(Key::Claim(claim.instance.clone()), Record::Claim(claim.clone()));
    assert_eq!(store.commit(&lease(&claim, &allowed, NOW, "").unwrap()), Commit::Committed);
    assert_eq!(stored(&store).format, Format::Allowed);
}

#[test]
fn a_slot_that_somebody_has_leased_meanwhile_may_not_be_formatted_again() {
    let slot = created_blank(free_slot(0));
    let mut store = with_mark(&slot);
    let claim = situation::waiting_claim();
    store.records.insert(Key::Claim(claim.instance.clone()), Record::Claim(claim.clone()));
    let allow = allow_format(&slot, "").unwrap();
    store.commit(&lease(&claim, &slot, NOW, "").unwrap());
    assert_eq!(store.commit(&allow), Commit::Conflict);
    assert_eq!(stored(&store).format, Format::Over);
}

#[test]
fn only_a_free_slot_of_volumes_that_were_created_blank_may_be_formatted_again() {
    let adopted = free_slot(0);
    assert!(adopted.volumes.iter().all(|volume| volume.origin == Origin::Adopted));
    let creating = SlotState::Creating { claimant: situation::instance(1), planned: Vec::new() };
    let states = [
        leased_slot().state,
        releasing_slot().state,
        creating,
        SlotState::Quarantined,
        SlotState::Retired,
    ];
    let states = states.map(|state| created_blank(Slot { state, ..free_slot(0) }));
    let allowed = Slot { format: Format::Allowed, ..created_blank(free_slot(0)) };
    for slot in states.into_iter().chain([adopted, allowed]) {
        assert_eq!(allow_format(&slot, ""), None, "{:?}", slot.state);
    }
    let mixed = Slot {
        volumes: [free_slot(0).volumes, created_blank(free_slot(1)).volumes].concat(),
        ..free_slot(0)
    };
    let allowed = situation::written_slot(&allow_format(&mixed, "").unwrap()).clone();
    let may: Vec<bool> = allowed.volumes.iter().map(|volume| allowed.may_format(volume)).collect();
    assert_eq!(may, [false, true], "what was adopted stays as it is");
}

#[test]
fn the_right_is_granted_to_a_holder_only_while_it_launches_and_nobody_acts_for_it() {
    let slot = created_blank(leased_slot());
    let guard = |until| {
        let invocation = "invocation-1".parse().unwrap();
        Claim { guard: Some(Guard { invocation, until }), ..leased_claim() }
    };
    for claim in [leased_claim(), guard(seconds_ago(1))] {
        let allow = allow_format_to(&claim, &slot, NOW).unwrap();
        assert_eq!(situation::written_slot(&allow).format, Format::Allowed);
        let conditions: Vec<Expect> = allow
            .writes
            .iter()
            .filter_map(|write| match write {
                Write::Put(Record::Claim(_) | Record::Slot(_), expect) => Some(*expect),
                Write::Put(..) | Write::Delete(_) => None,
            })
            .collect();
        assert_eq!(conditions, [Expect::Version(slot.version), Expect::Version(claim.version)]);
    }
    let answered = Claim { answered: Some(ActionResult::Continue), ..leased_claim() };
    let given_up = Claim { given_up: Some(GiveUp::HookLimit), ..leased_claim() };
    let leaves = Claim { action: Some(terminate_action()), ..leased_claim() };
    let unknown = Claim { action: None, ..leased_claim() };
    let acting = guard(NOW.plus(std::time::Duration::from_secs(1)));
    for claim in [answered, given_up, leaves, unknown, acting] {
        assert_eq!(allow_format_to(&claim, &slot, NOW), None, "{claim:?}");
    }
    let releasing = created_blank(releasing_slot());
    assert_eq!(allow_format_to(&leaving_claim(), &releasing, NOW), None);
    assert_eq!(allow_format_to(&leased_claim(), &leased_slot(), NOW), None, "it was adopted");
}

#[test]
fn a_run_that_takes_the_guard_before_the_right_is_granted_completes_the_launch_without_it() {
    let slot = created_blank(leased_slot());
    let claim = leased_claim();
    let mut store =
        ReferenceStore::holding([Record::Slot(slot.clone()), Record::Claim(claim.clone())]);
    let allow = allow_format_to(&claim, &slot, NOW).unwrap();
    let guard = Guard { invocation: "invocation-1".parse().unwrap(), until: NOW };
    let taken = volume_pool::transition::guard(
        Some(&claim),
        claim.clone(),
        guard,
        claim.action.as_ref(),
        NOW,
    );
    assert_eq!(store.commit(&taken), Commit::Committed);
    assert_eq!(store.commit(&allow), Commit::Conflict);
    assert_eq!(stored(&store).format, Format::Over);
}
