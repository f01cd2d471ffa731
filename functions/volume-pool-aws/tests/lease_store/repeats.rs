//! A transaction that is sent again, by the network, the SDK or the store, happens once.

use volume_pool::ports::{Commit, LeaseStore, PortError};
use volume_pool::record::{FreeMark, Record};
use volume_pool::transition::{self, Expect, Write};

use crate::fixture::{NOW, Table, commit_all, free_slot, open, read_one, transaction, waiting};
use crate::replies::{CONTENDED, FAILED, Replies};

#[tokio::test]
async fn a_transaction_made_twice_is_committed_both_times_and_happens_once() {
    let table = Table::start().await;
    let leases = table.leases();
    let (claim, slot) = (waiting(0), free_slot(0));
    let mark = Record::Free(FreeMark { slot: slot.clone() });
    commit_all(&leases, [Record::Claim(claim.clone()), Record::Slot(slot.clone()), mark]).await;
    let lease = transition::lease(&claim, &slot, NOW, "free").unwrap();

    assert_eq!(leases.commit(&lease).await.unwrap(), Commit::Committed);
    let once = read_one(&leases, &Record::Slot(slot.clone())).await;
    assert_eq!(leases.commit(&lease).await.unwrap(), Commit::Committed);

    assert_eq!(read_one(&leases, &Record::Slot(slot)).await, once);
    assert_eq!(once.version(), 2);
}

#[tokio::test]
async fn a_transaction_that_someone_else_has_built_on_is_a_conflict_when_made_again() {
    let table = Table::start().await;
    let leases = table.leases();
    let (claim, slot) = (waiting(0), free_slot(0));
    commit_all(&leases, [Record::Claim(claim.clone()), Record::Slot(slot.clone())]).await;
    let lease = transition::lease(&claim, &slot, NOW, "free").unwrap();
    assert_eq!(leases.commit(&lease).await.unwrap(), Commit::Committed);
    let Record::Slot(mut next) = read_one(&leases, &Record::Slot(slot)).await else { panic!() };
    next.version += 1;
    let built_on = Write::Put(Record::Slot(next), Expect::Version(2));
    assert_eq!(leases.commit(&transaction(vec![built_on])).await.unwrap(), Commit::Committed);

    assert_eq!(leases.commit(&lease).await.unwrap(), Commit::Conflict);
}

#[tokio::test]
async fn a_transaction_whose_reply_is_lost_happens_once() {
    let table = Table::start().await;
    let (claim, slot) = (waiting(0), free_slot(0));
    commit_all(&table.leases(), [Record::Claim(claim.clone()), Record::Slot(slot.clone())]).await;
    let replies = Replies::replacing([FAILED]);
    let leases = table.leases_with(&replies);
    let lease = transition::lease(&claim, &slot, NOW, "free").unwrap();

    assert_eq!(leases.commit(&lease).await.unwrap(), Commit::Committed);

    assert_eq!(replies.received(), 2);
    assert_eq!(read_one(&leases, &Record::Slot(slot)).await.version(), 2);
}

#[tokio::test]
async fn a_contended_transaction_is_sent_anew() {
    let table = Table::start().await;
    let (claim, slot) = (waiting(0), free_slot(0));
    commit_all(&table.leases(), [Record::Claim(claim.clone()), Record::Slot(slot.clone())]).await;
    let replies = Replies::replacing([CONTENDED, CONTENDED]);
    let leases = table.leases_with(&replies);
    let lease = transition::lease(&claim, &slot, NOW, "free").unwrap();

    assert_eq!(leases.commit(&lease).await.unwrap(), Commit::Committed);

    assert_eq!(replies.received(), 3);
    assert_eq!(read_one(&leases, &Record::Slot(slot)).await.version(), 2);
}

#[tokio::test]
async fn contention_without_end_is_transient_and_not_a_conflict() {
    let table = Table::start().await;
    let replies = Replies::replacing([CONTENDED; 10]);
    let put = transaction(vec![Write::Put(open(0), Expect::Mark)]);
    let error = table.leases_with(&replies).commit(&put).await.unwrap_err();
    assert!(matches!(error, PortError::Transient { .. }), "{error}");
    assert!(error.to_string().contains("TransactionConflict"), "{error}");
    assert_eq!(replies.received(), 4);
}
