//! A slot has one owner, and a transaction happens whole or not at all.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::{join_all, try_join_all};
use volume_pool::ids::SlotId;
use volume_pool::ports::{Commit, LeaseStore};
use volume_pool::record::{Claim, FreeMark, List, Phase, Record, SlotState};
use volume_pool::transition::{self, Expect, Write};
use volume_pool_aws::LeaseTable;

use crate::fixture::{
    NOW, Table, claim, commit_all, free_slot, open, place, read_one, transaction, waiting,
};

#[tokio::test]
async fn one_of_sixteen_that_lease_the_same_slot_gets_it_and_nobody_else_is_changed() {
    let table = Table::start().await;
    let leases = table.leases();
    let slot = free_slot(0);
    let claims: Vec<Claim> = (0..16).map(waiting).collect();
    commit_all(&leases, claims.iter().cloned().map(Record::Claim)).await;
    commit_all(&leases, [Record::Slot(slot.clone())]).await;

    let attempts = claims.iter().map(|claim| {
        let lease = transition::lease(claim, &slot, NOW, "in a race").unwrap();
        let leases = leases.clone();
        async move { leases.commit(&lease).await.unwrap() }
    });
    let outcomes = join_all(attempts).await;

    let winners: Vec<&Claim> = claims
        .iter()
        .zip(&outcomes)
        .filter_map(|(claim, outcome)| (*outcome == Commit::Committed).then_some(claim))
        .collect();
    let [winner] = winners[..] else { panic!("{outcomes:?}") };
    let Record::Slot(after) = read_one(&leases, &Record::Slot(slot)).await else { panic!() };
    assert_eq!(after.state, SlotState::Leased { holder: winner.instance.clone() });
    assert_eq!((after.epoch, after.version), (1, 2));
    for claim in &claims {
        let Record::Claim(after) = read_one(&leases, &Record::Claim(claim.clone())).await else {
            panic!()
        };
        let won = matches!(after.phase, Phase::Leased { .. });
        assert_eq!(won, after.instance == winner.instance);
        assert_eq!(after.version, claim.version + u64::from(won));
    }
}

#[tokio::test]
async fn sixteen_that_look_again_when_they_lose_get_sixteen_slots() {
    let table = Table::start().await;
    let leases = table.leases();
    let claims: Vec<Claim> = (0..16).map(waiting).collect();
    commit_all(&leases, claims.iter().cloned().map(Record::Claim)).await;
    for slot in (0..16).map(free_slot) {
        let mark = Record::Free(FreeMark { slot: slot.clone() });
        commit_all(&leases, [Record::Slot(slot), mark]).await;
    }

    let holders = try_join_all(claims.iter().map(|claim| lease_the_first_free(&leases, claim)));
    let held: BTreeSet<SlotId> = holders.await.unwrap().into_iter().collect();

    assert_eq!(held.len(), 16);
    assert_eq!(leases.list(&List::Free(place()), 100).await.unwrap(), []);
}

/// Tries the first free slot until a try succeeds, as often as there are others to lose to.
async fn lease_the_first_free(leases: &LeaseTable, claim: &Claim) -> Result<SlotId, String> {
    for _ in 0..16 {
        let marks = leases.list(&List::Free(place()), 1).await.unwrap();
        let [Record::Free(FreeMark { slot })] = &marks[..] else {
            return Err(format!("no slot left but {marks:?}"));
        };
        let lease = transition::lease(claim, slot, NOW, "the first").unwrap();
        if leases.commit(&lease).await.unwrap() == Commit::Committed {
            return Ok(slot.id.clone());
        }
    }
    Err(format!("{} lost to more than there are", claim.instance))
}

#[tokio::test]
async fn a_transaction_with_one_condition_that_fails_writes_and_deletes_nothing() {
    let table = Table::start().await;
    let leases = table.leases();
    let before = [Record::Claim(waiting(0)), open(0)];
    commit_all(&leases, before.clone()).await;

    let mut next = waiting(0);
    next.version += 1;
    let losing = transaction(vec![
        Write::Put(Record::Claim(next), Expect::Version(1)),
        Write::Put(open(1), Expect::Mark),
        Write::Delete(open(0).key()),
        Write::Put(Record::Slot(free_slot(0)), Expect::Version(7)),
    ]);
    assert_eq!(leases.commit(&losing).await.unwrap(), Commit::Conflict);

    let keys = [before[0].key(), before[1].key(), open(1).key(), Record::Slot(free_slot(0)).key()];
    let after = leases.read(&keys).await.unwrap();
    assert_eq!(after, BTreeMap::from(before.map(|record| (record.key(), record))));
}

#[tokio::test]
async fn a_record_that_must_be_absent_is_not_overwritten() {
    let table = Table::start().await;
    let leases = table.leases();
    commit_all(&leases, [Record::Claim(waiting(0))]).await;
    let other = Record::Claim(claim(0));
    let put = transaction(vec![Write::Put(other, Expect::Absent)]);
    assert_eq!(leases.commit(&put).await.unwrap(), Commit::Conflict);
    let there = Record::Claim(waiting(0));
    assert_eq!(read_one(&leases, &there).await, there);
}

#[tokio::test]
async fn deleting_what_is_not_there_is_no_conflict() {
    let table = Table::start().await;
    let delete = transaction(vec![Write::Delete(open(0).key())]);
    assert_eq!(table.leases().commit(&delete).await.unwrap(), Commit::Committed);
}
