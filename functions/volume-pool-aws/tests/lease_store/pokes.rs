//! Whoever is refused a guard leaves a poke, and no poke is lost.

use std::time::Duration;

use volume_pool::ports::{Commit, LeaseStore, Poke};
use volume_pool::record::{Claim, Guard, Record};
use volume_pool::transition::{self, Expect, Rest, Transaction, Write};

use crate::fixture::{
    NOW, Table, claim, commit_all, instance, invocation, open, read_one, transaction,
};

#[tokio::test]
async fn a_poke_keeps_the_guard_from_resting_until_it_is_taken_back() {
    let table = Table::start().await;
    let leases = table.leases();
    let guarded = guarded(0);
    commit_all(&leases, [Record::Claim(guarded.clone()), open(0)]).await;

    let poke = leases.poke(&guarded.instance, &invocation(1)).await.unwrap();
    assert_eq!(poke, Poke::Left);
    let rest = rest(&guarded);
    assert_eq!(leases.commit(&rest).await.unwrap(), Commit::Conflict);
    let there = Record::Claim(guarded.clone());
    assert_eq!(read_one(&leases, &there).await, there, "a poke leaves the record as it is");

    leases.take_poke(&guarded.instance, &invocation(2)).await.unwrap();
    assert_eq!(leases.commit(&rest).await.unwrap(), Commit::Conflict, "it was not theirs to take");
    leases.take_poke(&guarded.instance, &invocation(1)).await.unwrap();
    assert_eq!(leases.commit(&rest).await.unwrap(), Commit::Committed);
}

#[tokio::test]
async fn a_poke_outlives_writes_of_the_claim() {
    let table = Table::start().await;
    let leases = table.leases();
    let guarded = guarded(0);
    commit_all(&leases, [Record::Claim(guarded.clone())]).await;
    leases.poke(&guarded.instance, &invocation(1)).await.unwrap();

    let mut next = guarded.clone();
    next.version += 1;
    let write = Write::Put(Record::Claim(next.clone()), Expect::Version(guarded.version));
    assert_eq!(leases.commit(&transaction(vec![write])).await.unwrap(), Commit::Committed);

    assert_eq!(leases.commit(&rest(&next)).await.unwrap(), Commit::Conflict);
}

#[tokio::test]
async fn a_poke_is_left_with_the_guard_that_it_names_and_no_other() {
    let table = Table::start().await;
    let leases = table.leases();
    commit_all(&leases, [Record::Claim(guarded(0)), Record::Claim(claim(1))]).await;
    for (whom, guard) in [(0, invocation(2)), (1, invocation(1)), (2, invocation(1))] {
        let poke = leases.poke(&instance(whom), &guard).await.unwrap();
        assert_eq!(poke, Poke::NoSuchGuard, "instance {whom}");
    }
    assert_eq!(leases.commit(&rest(&guarded(0))).await.unwrap(), Commit::Committed);
}

#[tokio::test]
async fn neither_a_poke_nor_taking_it_back_brings_a_claim_into_being() {
    let table = Table::start().await;
    let leases = table.leases();
    leases.poke(&instance(0), &invocation(1)).await.unwrap();
    leases.take_poke(&instance(0), &invocation(1)).await.unwrap();
    let put = transaction(vec![Write::Put(Record::Claim(claim(0)), Expect::Absent)]);
    assert_eq!(leases.commit(&put).await.unwrap(), Commit::Committed);
}

fn guarded(number: u32) -> Claim {
    let until = NOW.plus(Duration::from_mins(1));
    Claim { guard: Some(Guard { invocation: invocation(1), until }), ..claim(number) }
}

fn rest(claim: &Claim) -> Transaction {
    let rest = Rest { reason: "nothing to do".to_owned(), answered: None, work_left: false };
    transition::rest(claim, &rest)
}
