//! Each transition: what it writes, under which conditions, and from which records it can't be built.

use crate::situation;
use std::collections::BTreeMap;

use crate::situation::reference_store::ReferenceStore;
use crate::situation::{
    NOW, claim, device, free_slot, group, hours_ago, instance, launch_action, leased_claim,
    leased_slot, leaving_claim, place, policy, releasing_slot, seconds, seconds_ago, slot_id,
    terminate_action, volume, waiting_claim, written_claim, written_slot, written_slots,
};
use volume_pool::Timestamp;
use volume_pool::event::{Action, ActionResult};
use volume_pool::ids::InstanceId;
use volume_pool::ports::{Commit, Poke};
use volume_pool::record::{
    ApartMark, Claim, ComingMark, FreeMark, Guard, HIGHEST_INDEX, HeldMark, Key, OpenMark, Phase,
    Pool, Record, Slot, SlotState, VolumeOwner, WaitingMark,
};
use volume_pool::transition::{
    self, Adoption, Expect, MOST_WRITES, Rest, Transaction, Write, adopt, begin_release,
    change_device, close, enqueue, guarded_by, holds, lease, quarantine, release, rest,
};

fn every_claim() -> [Claim; 4] {
    [claim(), waiting_claim(), leased_claim(), leaving_claim()]
}

fn every_slot() -> [Slot; 4] {
    let quarantined = Slot { state: SlotState::Quarantined, ..leased_slot() };
    [Slot { epoch: 3, ..free_slot(0) }, leased_slot(), releasing_slot(), quarantined]
}

/// The pairs of which `transition` could be built, as `(claim, slot)` positions in the lists above.
fn possible(transition: impl Fn(&Claim, &Slot) -> Option<Transaction>) -> Vec<(usize, usize)> {
    let mut pairs = Vec::new();
    for (i, claim) in every_claim().iter().enumerate() {
        for (j, slot) in every_slot().iter().enumerate() {
            if transition(claim, slot).is_some() {
                pairs.push((i, j));
            }
        }
    }
    pairs
}

fn puts(transaction: &Transaction, record: Record, expect: Expect) -> bool {
    transaction.writes.contains(&Write::Put(record, expect))
}

fn deletes(transaction: &Transaction, key: Key) -> bool {
    transaction.writes.contains(&Write::Delete(key))
}

fn waiting_key(claim: &Claim) -> Key {
    let Phase::Waiting { place, since } = &claim.phase else { panic!("not waiting") };
    Key::Waiting(place.clone(), *since, claim.instance.clone())
}

fn my_guard() -> Guard {
    Guard { invocation: "me".parse().unwrap(), until: NOW.plus(seconds(75)) }
}

fn held(slot: &Slot, holder: &InstanceId) -> Record {
    Record::Held(HeldMark {
        place: slot.place(),
        slot: slot.id.clone(),
        holder: holder.clone(),
        volumes: slot.volumes.iter().map(|volume| volume.volume.clone()).collect(),
        amiss: false,
    })
}

/// What a store holds when these are on record, marks included.
fn store(claim: &Claim, slot: &Slot) -> ReferenceStore {
    let mut records = vec![Record::Claim(claim.clone()), Record::Slot(slot.clone())];
    if let Phase::Waiting { place, since } = &claim.phase {
        let mark = WaitingMark::new(claim, place.clone(), *since);
        records.push(Record::Waiting(mark));
    }
    match &slot.state {
        SlotState::Free => records.push(Record::Free(FreeMark { slot: slot.clone() })),
        SlotState::Releasing { holder } => records.push(Record::Coming(ComingMark {
            place: slot.place(),
            slot: slot.id.clone(),
            holder: holder.clone(),
        })),
        SlotState::Leased { holder } => records.push(held(slot, holder)),
        SlotState::Creating { .. } | SlotState::Quarantined | SlotState::Retired => {}
    }
    ReferenceStore::holding(records)
}

// Wrong states.

#[test]
fn each_transition_refuses_every_wrong_pair_of_states() {
    assert_eq!(possible(|claim, slot| lease(claim, slot, NOW, "")), [(1, 0)]);
    assert_eq!(possible(|claim, slot| begin_release(claim, slot, None, NOW, "")), [(2, 1)]);
    assert_eq!(possible(|claim, slot| release(claim, slot, NOW, "")), [(3, 2)]);
    assert_eq!(possible(|claim, slot| quarantine(claim, slot, NOW, "")), [(2, 1), (3, 2)]);
    let change =
        |claim: &Claim, slot: &Slot| change_device(claim, slot, &volume(1), device("/dev/sdg"));
    assert_eq!(possible(change), [(2, 1)]);
    let waits: Vec<bool> = every_claim().iter().map(|claim| close(claim, NOW).is_some()).collect();
    assert_eq!(waits, [false, true, false, false]);
    let joins = |claim: &Claim| enqueue(claim, place(), None, &policy(), None, NOW).is_some();
    assert_eq!(every_claim().iter().map(joins).collect::<Vec<_>>(), [true, false, false, false]);
}

#[test]
fn a_claim_and_a_slot_that_do_not_name_each_other_under_one_epoch_change_nothing() {
    let other: InstanceId = instance(2);
    let strange = |slot: Slot, state: fn(InstanceId) -> SlotState| {
        [
            Slot { id: slot_id(9), ..slot.clone() },
            Slot { epoch: 2, ..slot.clone() },
            Slot { epoch: 4, ..slot.clone() },
            Slot { state: state(other.clone()), ..slot },
        ]
    };
    assert!(holds(&leased_claim(), &leased_slot()) && holds(&leaving_claim(), &releasing_slot()));
    for slot in strange(leased_slot(), |holder| SlotState::Leased { holder }) {
        assert!(!holds(&leased_claim(), &slot));
        assert_eq!(begin_release(&leased_claim(), &slot, None, NOW, ""), None);
        assert_eq!(quarantine(&leased_claim(), &slot, NOW, ""), None);
        assert_eq!(change_device(&leased_claim(), &slot, &volume(1), device("/dev/sdg")), None);
    }
    for slot in strange(releasing_slot(), |holder| SlotState::Releasing { holder }) {
        assert!(!holds(&leaving_claim(), &slot));
        assert_eq!(release(&leaving_claim(), &slot, NOW, ""), None);
        assert_eq!(quarantine(&leaving_claim(), &slot, NOW, ""), None);
    }
}

// The queue.

#[test]
fn enqueue_writes_the_claim_its_mark_and_the_groups_policy() {
    let claim = Claim { answered: Some(ActionResult::Continue), policy: None, ..claim() };
    let news = volume_pool::record::Group { version: 5, ..group(policy()) };
    let transaction = enqueue(
        &claim,
        place(),
        Some(&launch_action()),
        &policy(),
        Some((news.clone(), Expect::Version(4))),
        NOW,
    )
    .unwrap();
    let (next, expect) = written_claim(&transaction);
    assert_eq!((next.version, expect), (8, Expect::Version(7)));
    assert_eq!(next.phase, Phase::Waiting { place: place(), since: NOW });
    assert_eq!((next.answered, &next.policy, next.since), (None, &Some(policy()), NOW));
    let mark = WaitingMark::new(&claim, place(), NOW);
    assert!(puts(&transaction, Record::Waiting(mark), Expect::Mark));
    assert!(puts(&transaction, Record::Group(news), Expect::Version(4)));
    assert_eq!(transaction.wakes, None);
}

#[test]
fn close_takes_the_waiter_and_its_mark_out_and_wakes_the_zone() {
    let transaction = close(&waiting_claim(), NOW).unwrap();
    let (next, expect) = written_claim(&transaction);
    assert_eq!((&next.phase, expect), (&Phase::Closed, Expect::Version(7)));
    assert!(deletes(&transaction, waiting_key(&waiting_claim())));
    assert_eq!(transaction.wakes, Some(place()));
}

// Leasing and releasing.

#[test]
fn a_lease_raises_the_epoch_by_one_and_mirrors_it_in_the_claim() {
    let slot = Slot { recent_holders: vec![instance(90), instance(1)], ..free_slot(0) };
    let transaction = lease(&waiting_claim(), &slot, NOW, "why").unwrap();
    let leased = written_slot(&transaction);
    assert_eq!((leased.epoch, leased.version), (slot.epoch + 1, slot.version + 1));
    assert_eq!(leased.state, SlotState::Leased { holder: instance(1) });
    assert_eq!(leased.recent_holders, [instance(1), instance(90)]);
    assert_eq!((leased.leased_at, leased.released_at), (Some(NOW), slot.released_at));
    assert_eq!((leased.reason.as_str(), &leased.volumes), ("why", &slot.volumes));
    let (next, expect) = written_claim(&transaction);
    assert_eq!((next.version, expect), (8, Expect::Version(7)));
    assert_eq!(next.phase, Phase::Leased { slot: slot_id(0), epoch: leased.epoch });
    assert_eq!(next.last_slot, Some(slot_id(0)));
    assert!(holds(next, leased));
}

#[test]
fn a_lease_is_conditional_on_slot_and_claim_and_deletes_both_marks() {
    let slot = free_slot(0);
    let transaction = lease(&waiting_claim(), &slot, NOW, "").unwrap();
    let leased = written_slot(&transaction).clone();
    assert!(puts(&transaction, Record::Slot(leased), Expect::Version(slot.version)));
    assert!(deletes(&transaction, waiting_key(&waiting_claim())));
    assert!(deletes(&transaction, Key::Free(place(), slot.released_at, 0)));
    assert_eq!(transaction.wakes, None);
}

#[test]
fn only_a_lease_changes_the_epoch() {
    let transactions = [
        begin_release(&leased_claim(), &leased_slot(), None, NOW, ""),
        release(&leaving_claim(), &releasing_slot(), NOW, ""),
        quarantine(&leased_claim(), &leased_slot(), NOW, ""),
        quarantine(&leaving_claim(), &releasing_slot(), NOW, ""),
        change_device(&leased_claim(), &leased_slot(), &volume(1), device("/dev/sdg")),
    ];
    for transaction in transactions.into_iter().flatten() {
        assert_eq!(written_slot(&transaction).epoch, 3, "{}", transaction.name);
        assert_eq!(written_slot(&transaction).version, 6, "{}", transaction.name);
    }
}

#[test]
fn begin_release_marks_the_slot_as_coming_and_takes_the_action_over() {
    let leased = Claim { answered: Some(ActionResult::Continue), ..leased_claim() };
    let transaction =
        begin_release(&leased, &leased_slot(), Some(&terminate_action()), NOW, "why").unwrap();
    let slot = written_slot(&transaction);
    assert_eq!(slot.state, SlotState::Releasing { holder: instance(1) });
    assert_eq!((slot.released_at, slot.reason.as_str()), (leased_slot().released_at, "why"));
    let (next, expect) = written_claim(&transaction);
    assert_eq!((next.version, expect), (8, Expect::Version(7)));
    assert_eq!(next.phase, Phase::Leaving { slot: slot_id(0), epoch: 3, since: NOW });
    assert_eq!((&next.action, next.answered), (&Some(terminate_action()), None));
    assert!(holds(next, slot));
    let mark = ComingMark { place: place(), slot: slot_id(0), holder: instance(1) };
    assert!(puts(&transaction, Record::Coming(mark), Expect::Mark));
    assert!(puts(&transaction, Record::Slot(slot.clone()), Expect::Version(5)));
    assert_eq!(transaction.wakes, None);
}

#[test]
fn begin_release_keeps_the_answer_of_the_very_action_and_the_action_where_none_is_known() {
    let answered = Claim {
        action: Some(terminate_action()),
        answered: Some(ActionResult::Continue),
        ..leased_claim()
    };
    for action in [Some(&terminate_action()), None] {
        let transaction = begin_release(&answered, &leased_slot(), action, NOW, "").unwrap();
        let (next, _) = written_claim(&transaction);
        assert_eq!(next.answered, Some(ActionResult::Continue));
        assert_eq!(next.action, Some(terminate_action()));
    }
}

#[test]
fn release_frees_the_slot_keeps_its_holders_and_closes_the_claim() {
    let transaction = release(&leaving_claim(), &releasing_slot(), NOW, "why").unwrap();
    let slot = written_slot(&transaction);
    assert_eq!((&slot.state, slot.released_at), (&SlotState::Free, Some(NOW)));
    assert_eq!(slot.recent_holders, [instance(1), instance(90)]);
    let (next, expect) = written_claim(&transaction);
    assert_eq!((&next.phase, expect), (&Phase::Closed, Expect::Version(7)));
    assert_eq!((next.version, &next.last_slot), (8, &Some(slot_id(0))));
    assert!(deletes(&transaction, Key::Coming(place(), 0)));
    assert!(puts(&transaction, Record::Slot(slot.clone()), Expect::Version(5)));
    assert_eq!(transaction.wakes, Some(place()));
}

#[test]
fn the_mark_of_a_released_slot_holds_the_slot_as_it_was_written() {
    let transaction = release(&leaving_claim(), &releasing_slot(), NOW, "").unwrap();
    let mark = FreeMark { slot: written_slot(&transaction).clone() };
    assert!(puts(&transaction, Record::Free(mark), Expect::Mark));
    let released = BTreeMap::from([(volume(1), NOW)]);
    assert_eq!(transaction.released(), released);
}

#[test]
fn only_a_release_says_that_volumes_were_released() {
    let transactions = [
        lease(&waiting_claim(), &free_slot(0), NOW, ""),
        begin_release(&leased_claim(), &leased_slot(), None, NOW, ""),
        quarantine(&leaving_claim(), &releasing_slot(), NOW, ""),
        adopt(None, &place(), 0, &[adoption(None, 1)]),
    ];
    for transaction in transactions.into_iter().flatten() {
        assert_eq!(transaction.released(), BTreeMap::new(), "{}", transaction.name);
    }
}

#[test]
fn another_device_is_recorded_for_the_one_volume_only() {
    let mut slot = leased_slot();
    slot.volumes.push(situation::slot_volume("log", 2, "/dev/sdg"));
    let transaction =
        change_device(&leased_claim(), &slot, &volume(2), device("/dev/sdh")).unwrap();
    let devices: Vec<&str> =
        written_slot(&transaction).volumes.iter().map(|known| known.device.as_str()).collect();
    assert_eq!(devices, ["/dev/sdf", "/dev/sdh"]);
    let changed = written_slot(&transaction).clone();
    assert!(puts(&transaction, Record::Slot(changed), Expect::Version(5)));
    assert_eq!(change_device(&leased_claim(), &slot, &volume(3), device("/dev/sdh")), None);
}

// Quarantine.

#[test]
fn a_quarantined_slots_launching_holder_goes_to_the_end_of_the_queue() {
    let transaction = quarantine(&leased_claim(), &leased_slot(), NOW, "why").unwrap();
    let slot = written_slot(&transaction);
    assert_eq!((&slot.state, slot.holder()), (&SlotState::Quarantined, None));
    assert_eq!(slot.recent_holders, leased_slot().recent_holders);
    assert_eq!(slot.reason, "why");
    let (next, expect) = written_claim(&transaction);
    assert_eq!(next.phase, Phase::Waiting { place: place(), since: NOW });
    assert_eq!(expect, Expect::Version(7));
    let mark = WaitingMark::new(&claim(), place(), NOW);
    assert!(puts(&transaction, Record::Waiting(mark), Expect::Mark));
}

#[test]
fn a_quarantined_slots_leaving_holder_is_closed_and_nothing_is_coming_any_more() {
    let transaction = quarantine(&leaving_claim(), &releasing_slot(), NOW, "").unwrap();
    assert_eq!(written_claim(&transaction).0.phase, Phase::Closed);
    assert!(deletes(&transaction, Key::Coming(place(), 0)));
    assert_eq!(written_slot(&transaction).state, SlotState::Quarantined);
}

// Adoption.

fn adoption(tagged: Option<u32>, number: u32) -> Adoption {
    let name = "data".parse().unwrap();
    Adoption {
        tagged: tagged.map(slot_id),
        released_at: tagged.map(|_| hours_ago(2)),
        volumes: vec![(name, volume(number), device("/dev/sdf"), hours_ago(1000))],
    }
}

fn pool(version: u64, next_index: u32) -> Pool {
    let slots_per_zone = BTreeMap::from([(place().zone, next_index)]);
    Pool { version, next_index, slots_per_zone, ..Pool::new(place().pool) }
}

fn written_pool(transaction: &Transaction) -> (&Pool, Expect) {
    let mut pools = transaction.writes.iter().filter_map(|write| match write {
        Write::Put(Record::Pool(pool), expect) => Some((pool, *expect)),
        Write::Put(..) | Write::Delete(_) => None,
    });
    pools.next().unwrap()
}

fn indexes(transaction: &Transaction) -> Vec<u32> {
    written_slots(transaction).iter().map(|slot| slot.id.index).collect()
}

#[test]
fn adoption_writes_the_slot_its_mark_and_one_owner_for_each_volume_where_none_stood() {
    let transaction = adopt(None, &place(), 0, &[adoption(Some(4), 1)]).unwrap();
    let slot = written_slot(&transaction).clone();
    assert_eq!((slot.version, slot.epoch, &slot.state), (1, 0, &SlotState::Free));
    assert_eq!((slot.released_at, slot.leased_at), (Some(hours_ago(2)), None));
    assert!(slot.recent_holders.is_empty());
    let owner = VolumeOwner { volume: volume(1), slot: slot_id(4) };
    assert!(puts(&transaction, Record::Volume(owner), Expect::Absent));
    assert!(puts(&transaction, Record::Free(FreeMark { slot: slot.clone() }), Expect::Mark));
    assert!(puts(&transaction, Record::Slot(slot), Expect::Absent));
    assert_eq!(transaction.wakes, Some(place()));
}

#[test]
fn an_adopted_index_is_never_used_again() {
    let transaction = adopt(
        Some(&pool(3, 2)),
        &place(),
        0,
        &[adoption(None, 1), adoption(Some(7), 2), adoption(None, 3), adoption(Some(5), 4)],
    )
    .unwrap();
    assert_eq!(indexes(&transaction), [2, 7, 8, 5]);
    let (next, expect) = written_pool(&transaction);
    assert_eq!((next.next_index, next.version, expect), (9, 4, Expect::Version(3)));
}

#[test]
fn adopters_count_the_slots_of_their_zone_and_no_other() {
    let other: volume_pool::ids::Zone = "eu-central-1b".parse().unwrap();
    let mut before = pool(3, 2);
    before.slots_per_zone.insert(other.clone(), 5);
    let transaction =
        adopt(Some(&before), &place(), 0, &[adoption(None, 1), adoption(None, 2)]).unwrap();
    let (next, _) = written_pool(&transaction);
    assert_eq!(next.slots_per_zone, BTreeMap::from([(place().zone, 4), (other, 5)]));
}

#[test]
fn two_first_adopters_of_a_pool_can_not_both_succeed() {
    let mut store = ReferenceStore::default();
    let one = adopt(None, &place(), 0, &[adoption(None, 1)]).unwrap();
    let other = adopt(None, &place(), 0, &[adoption(None, 2)]).unwrap();
    assert_eq!(written_pool(&one).1, Expect::Absent);
    assert_eq!(store.commit(&one), Commit::Committed);
    assert_eq!(store.commit(&other), Commit::Conflict);
}

#[test]
fn one_volume_never_gets_into_two_slots() {
    let mut store = ReferenceStore::default();
    let first = adopt(None, &place(), 0, &[adoption(None, 1)]).unwrap();
    assert_eq!(store.commit(&first), Commit::Committed);
    let (known, _) = written_pool(&first);
    let again = adopt(Some(known), &place(), 0, &[adoption(None, 1)]).unwrap();
    assert_eq!(store.commit(&again), Commit::Conflict);
}

#[test]
fn a_tag_never_takes_a_slot_that_exists() {
    let mut store = ReferenceStore::default();
    let first = adopt(None, &place(), 0, &[adoption(None, 1)]).unwrap();
    assert_eq!(store.commit(&first), Commit::Committed);
    let (known, _) = written_pool(&first);
    let again = adopt(Some(known), &place(), 0, &[adoption(Some(0), 2)]).unwrap();
    assert_eq!(store.commit(&again), Commit::Conflict);
}

/// `TransactWriteItems` takes 100 items; a policy may name eight volumes.
#[test]
fn as_many_slots_are_adopted_at_once_as_fit_one_transaction() {
    for (volumes_each, expected) in [(1, 33), (2, 24), (8, 9)] {
        let set = |set: u32| {
            let volumes = (0..volumes_each).map(|number| {
                let name = format!("v{number}").parse().unwrap();
                (name, volume(set * 8 + number), device("/dev/sdf"), hours_ago(1000))
            });
            Adoption { tagged: None, released_at: None, volumes: volumes.collect() }
        };
        let many: Vec<Adoption> = (0..40).map(set).collect();
        let transaction = adopt(Some(&pool(3, 0)), &place(), 0, &many).unwrap();
        assert!(transaction.writes.len() <= 100, "{} writes", transaction.writes.len());
        assert_eq!(MOST_WRITES, 100);
        assert_eq!(indexes(&transaction), (0..expected).collect::<Vec<_>>());
        assert_eq!(written_pool(&transaction).0.next_index, expected);
        assert_eq!(transaction.adopted(), expected as usize);
    }
}

#[test]
fn new_names_begin_above_those_that_tags_give_and_above_the_pools_own() {
    let transaction = adopt(Some(&pool(3, 2)), &place(), 8, &[adoption(None, 1)]).unwrap();
    assert_eq!(indexes(&transaction), [8]);
    let transaction = adopt(Some(&pool(3, 9)), &place(), 8, &[adoption(None, 1)]).unwrap();
    assert_eq!(indexes(&transaction), [9]);
}

#[test]
fn there_is_nothing_to_do_without_volumes_or_without_indexes() {
    assert_eq!(adopt(Some(&pool(3, 2)), &place(), 0, &[]), None);
    let last = HIGHEST_INDEX + 1;
    assert_eq!(adopt(Some(&pool(3, last)), &place(), 0, &[adoption(None, 1)]), None);
    assert!(adopt(Some(&pool(3, HIGHEST_INDEX)), &place(), 0, &[adoption(None, 1)]).is_some());
}

// The guard.

#[test]
fn the_first_guard_makes_the_claim_where_none_stood() {
    let fresh = Claim::new(instance(1));
    let transaction = transition::guard(None, fresh, my_guard(), Some(&launch_action()), NOW);
    let (next, expect) = written_claim(&transaction);
    assert_eq!((next.version, expect), (1, Expect::Absent));
    assert_eq!((&next.action, next.open, next.since), (&Some(launch_action()), true, NOW));
    assert!(guarded_by(next, &my_guard().invocation));
    assert!(!guarded_by(next, &"other".parse().unwrap()));
    let transition = Some(volume_pool::action::Transition::Launching);
    let mark = Record::Open(OpenMark { instance: instance(1), attended_at: NOW, transition });
    assert!(puts(&transaction, mark, Expect::Mark));
}

#[test]
fn a_guard_raises_the_version_and_changes_no_ownership() {
    for before in every_claim() {
        let fresh = Claim::new(instance(1));
        let transaction = transition::guard(Some(&before), fresh, my_guard(), None, NOW);
        let (next, expect) = written_claim(&transaction);
        assert_eq!(expect, Expect::Version(7));
        let expected = Claim { version: 8, guard: Some(my_guard()), ..before };
        assert_eq!(*next, expected);
    }
}

fn guarded_with(before: &Claim, action: &Action) -> Claim {
    let fresh = Claim::new(instance(1));
    let transaction = transition::guard(Some(before), fresh, my_guard(), Some(action), NOW);
    written_claim(&transaction).0.clone()
}

#[test]
fn a_guard_takes_the_events_action_over_only_where_no_other_is_open() {
    let none = Claim { action: None, ..claim() };
    assert_eq!(guarded_with(&none, &launch_action()).action, Some(launch_action()));
    let open = claim();
    assert_eq!(guarded_with(&open, &terminate_action()).action, Some(launch_action()));
    let answered = Claim { answered: Some(ActionResult::Continue), ..claim() };
    let next = guarded_with(&answered, &terminate_action());
    assert_eq!((next.action, next.answered), (Some(terminate_action()), None));
}

/// EventBridge keeps no order, and hours may lie between two deliveries of one event.
#[test]
fn of_two_actions_whose_events_have_a_time_the_later_one_is_gone_by() {
    let at = |millis, action: Action| {
        let began_at = Some(Timestamp::from_millis(millis));
        Action { began_at, ..action }
    };
    let (earlier, later) = (at(1_000, launch_action()), at(2_000, terminate_action()));
    let open = Claim { action: Some(earlier.clone()), ..claim() };
    let next = guarded_with(&open, &later);
    assert_eq!((next.action, next.action_at), (Some(later.clone()), Some(NOW)));
    let answered = Some(ActionResult::Continue);
    for before in [
        Claim { action: Some(later.clone()), opened_at: hours_ago(1), open: true, ..claim() },
        Claim {
            action: Some(later.clone()),
            opened_at: hours_ago(1),
            open: true,
            answered,
            ..claim()
        },
    ] {
        let next = guarded_with(&before, &earlier);
        assert_eq!((&next.action, next.answered), (&before.action, before.answered));
        assert_eq!(next.opened_at, before.opened_at, "nothing was taken up");
    }
    // Within one second nothing is told apart, and several hooks of one transition wait at once.
    let open = Claim { action: Some(earlier.clone()), ..claim() };
    for other in [
        at(1_000, terminate_action()),
        Action { hook: "stateful-asg-second".parse().unwrap(), ..at(2_000, launch_action()) },
    ] {
        assert_eq!(guarded_with(&open, &other).action, Some(earlier.clone()));
    }
}

#[test]
fn a_duplicate_event_does_not_open_an_answered_action_again() {
    let answered = Claim { answered: Some(ActionResult::Continue), ..claim() };
    let next = guarded_with(&answered, &launch_action());
    assert_eq!((next.action, next.answered), (Some(launch_action()), Some(ActionResult::Continue)));
}

#[test]
fn two_that_take_the_guard_of_one_claim_can_not_both_get_it() {
    let mut store = store(&claim(), &free_slot(0));
    let take = |name: &str| {
        let guard = Guard { invocation: name.parse().unwrap(), ..my_guard() };
        transition::guard(Some(&claim()), Claim::new(instance(1)), guard, None, NOW)
    };
    assert_eq!(store.commit(&take("me")), Commit::Committed);
    assert_eq!(store.commit(&take("other")), Commit::Conflict);
}

#[test]
fn a_guard_keeps_others_out_until_it_has_ended() {
    let guarded = Claim { guard: Some(my_guard()), ..claim() };
    let other = "other".parse().unwrap();
    let end = my_guard().until;
    assert_eq!(guarded.guarded_by_other(&other, NOW), Some(&my_guard()));
    assert_eq!(guarded.guarded_by_other(&other, end), None);
    assert_eq!(guarded.guarded_by_other(&my_guard().invocation, NOW), None);
}

// Rest.

fn at_rest(work_left: bool, answered: Option<(Action, ActionResult)>) -> Rest {
    Rest { reason: "why".to_owned(), answered, work_left }
}

fn guarded() -> Claim {
    Claim { guard: Some(my_guard()), ..leased_claim() }
}

#[test]
fn rest_gives_the_guard_up_unless_someone_poked() {
    let transaction = rest(&guarded(), &at_rest(true, None));
    let (next, expect) = written_claim(&transaction);
    assert_eq!(expect, Expect::Unpoked(7));
    let expected =
        Claim { version: 8, guard: None, reason: "why".to_owned(), open: true, ..leased_claim() };
    assert_eq!(*next, expected);
    assert_eq!(transaction.writes.len(), 1);
}

#[test]
fn a_poke_makes_rest_conflict_without_raising_the_version() {
    let mut store = store(&guarded(), &leased_slot());
    assert_eq!(store.poke(&instance(1), &"other".parse().unwrap()), Poke::NoSuchGuard);
    assert_eq!(store.poke(&instance(1), &my_guard().invocation), Poke::Left);
    let transaction = rest(&guarded(), &at_rest(true, None));
    assert_eq!(store.commit(&transaction), Commit::Conflict);
    assert_eq!(store.records[&Key::Claim(instance(1))].version(), 7);
    store.poked.clear();
    assert_eq!(store.commit(&transaction), Commit::Committed);
}

#[test]
fn a_settled_claim_loses_its_open_mark_and_nothing_else() {
    let transaction = rest(&guarded(), &at_rest(false, None));
    let (next, _) = written_claim(&transaction);
    assert!(!next.open);
    assert_eq!(next.phase, leased_claim().phase);
    assert!(deletes(&transaction, Key::Open(instance(1))));
}

#[test]
fn rest_records_the_answer_with_the_action_that_it_answers() {
    let answer = Some((terminate_action(), ActionResult::Continue));
    let transaction = rest(&guarded(), &at_rest(false, answer));
    let (next, _) = written_claim(&transaction);
    assert_eq!(next.action, Some(terminate_action()));
    assert_eq!(next.answered, Some(ActionResult::Continue));
}

/// A termination whose event was lost, answered by its hook; the instance was retained and is terminated again, and that
/// event is lost too (seed 149 of the simulation's third plan: each guard hid how long ago the first answer was).
#[test]
fn the_guard_does_not_make_an_answer_younger_that_was_given_without_an_event() {
    let long_ago = seconds_ago(960);
    let found = Claim { action: None, action_at: None, opened_at: long_ago, ..claim() };
    let answer = Some((terminate_action(), ActionResult::Continue));
    let rested = rest(&found, &at_rest(false, answer));
    let (rested, _) = written_claim(&rested);
    assert_eq!(rested.taken_up(), long_ago);
    let guarded = transition::guard(Some(rested), claim(), my_guard(), None, NOW);
    let (guarded, _) = written_claim(&guarded);
    assert_eq!((guarded.opened_at, guarded.taken_up()), (NOW, long_ago));

    // What its event brought up has been on since then.
    let known = Claim { action: Some(terminate_action()), action_at: Some(long_ago), ..claim() };
    let answer = Some((terminate_action(), ActionResult::Continue));
    let rested = rest(&known, &at_rest(false, answer));
    assert_eq!(written_claim(&rested).0.taken_up(), long_ago);
}

#[test]
fn rest_keeps_the_answer_that_was_recorded_before() {
    let answered = Claim { answered: Some(ActionResult::Abandon), ..guarded() };
    let transaction = rest(&answered, &at_rest(true, None));
    assert_eq!(written_claim(&transaction).0.answered, Some(ActionResult::Abandon));
}

// Marks.

/// The marks that the records of a store call for, and those that stand there.
fn assert_marks_mirror_the_records(store: &ReferenceStore, after: &str) {
    let mut wanted = Vec::new();
    let mut standing = Vec::new();
    for record in store.records.values() {
        match record {
            Record::Claim(claim) => {
                if let Some((place, since)) = claim.queued() {
                    wanted.push(Record::Waiting(WaitingMark::new(claim, place.clone(), since)));
                }
            }
            Record::Slot(slot) => match &slot.state {
                SlotState::Free => wanted.push(Record::Free(FreeMark { slot: slot.clone() })),
                SlotState::Releasing { holder } => {
                    let (place, slot, holder) = (slot.place(), slot.id.clone(), holder.clone());
                    wanted.push(Record::Coming(ComingMark { place, slot, holder }));
                }
                SlotState::Leased { holder } => wanted.push(held(slot, holder)),
                SlotState::Quarantined => {
                    let (place, id, reason) = (slot.place(), slot.id.clone(), slot.reason.clone());
                    wanted.push(Record::Apart(ApartMark { place, slot: id, reason }));
                }
                SlotState::Creating { .. } | SlotState::Retired => {}
            },
            Record::Waiting(_)
            | Record::Free(_)
            | Record::Coming(_)
            | Record::Held(_)
            | Record::Apart(_) => {
                standing.push(record.clone());
            }
            Record::Pool(_)
            | Record::Known(_)
            | Record::Group(_)
            | Record::Volume(_)
            | Record::Open(_) => {}
        }
    }
    let sorted = |mut records: Vec<Record>| {
        records.sort_by_key(Record::key);
        records
    };
    assert_eq!(sorted(standing), sorted(wanted), "after {after}");
}

fn stored_claim(store: &ReferenceStore) -> Claim {
    match &store.records[&Key::Claim(instance(1))] {
        Record::Claim(claim) => claim.clone(),
        other => panic!("{other:?}"),
    }
}

fn stored_slot(store: &ReferenceStore) -> Slot {
    match &store.records[&Key::Slot(slot_id(0))] {
        Record::Slot(slot) => slot.clone(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn marks_mirror_the_records_through_a_whole_life_and_every_transaction_happens_once() {
    let mut store = ReferenceStore::holding([Record::Claim(claim())]);
    let mut step = |make: &dyn Fn(&ReferenceStore) -> Option<Transaction>| {
        let transaction = make(&store).unwrap();
        assert_eq!(store.commit(&transaction), Commit::Committed, "{}", transaction.name);
        assert_marks_mirror_the_records(&store, transaction.name);
        assert_eq!(store.commit(&transaction), Commit::Conflict, "{} again", transaction.name);
    };
    step(&|_| adopt(None, &place(), 0, &[adoption(None, 1)]));
    for life in 1..4 {
        let now = NOW.plus(seconds(life * 1000));
        step(&|store| enqueue(&stored_claim(store), place(), None, &policy(), None, now));
        step(&|store| lease(&stored_claim(store), &stored_slot(store), now, ""));
        step(&|store| {
            change_device(&stored_claim(store), &stored_slot(store), &volume(1), device("/dev/sdg"))
        });
        step(&|store| begin_release(&stored_claim(store), &stored_slot(store), None, now, ""));
        step(&|store| release(&stored_claim(store), &stored_slot(store), now, ""));
    }
    step(&|store| enqueue(&stored_claim(store), place(), None, &policy(), None, NOW));
    step(&|store| close(&stored_claim(store), NOW));
    step(&|store| enqueue(&stored_claim(store), place(), None, &policy(), None, NOW));
    step(&|store| lease(&stored_claim(store), &stored_slot(store), NOW, ""));
    step(&|store| quarantine(&stored_claim(store), &stored_slot(store), NOW, ""));
    step(&|store| close(&stored_claim(store), NOW));
    let slot = stored_slot(&store);
    assert_eq!((slot.epoch, slot.state), (4, SlotState::Quarantined));
}

#[test]
fn an_instance_never_gets_a_second_slot_from_what_it_read_before_the_first() {
    let mut store = store(&waiting_claim(), &free_slot(0));
    let other = free_slot(1);
    store.records.insert(Key::Slot(slot_id(1)), Record::Slot(other.clone()));
    let first = lease(&waiting_claim(), &free_slot(0), NOW, "").unwrap();
    let second = lease(&waiting_claim(), &other, NOW, "").unwrap();
    assert_eq!(store.commit(&first), Commit::Committed);
    assert_eq!(store.commit(&second), Commit::Conflict);
}

#[test]
fn a_slot_never_gets_a_second_holder_from_what_was_read_before_the_first() {
    let mut store = store(&waiting_claim(), &free_slot(0));
    let rival = Claim { instance: instance(2), since: seconds_ago(3), ..waiting_claim() };
    store.records.insert(Key::Claim(instance(2)), Record::Claim(rival.clone()));
    let first = lease(&waiting_claim(), &free_slot(0), NOW, "").unwrap();
    let second = lease(&rival, &free_slot(0), NOW, "").unwrap();
    assert_eq!(store.commit(&first), Commit::Committed);
    assert_eq!(store.commit(&second), Commit::Conflict);
}
