//! What is read is what was written, in order and whole, or an error that names the record.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use volume_pool::Timestamp;
use volume_pool::ports::{Commit, LeaseStore, PortError};
use volume_pool::record::{FreeMark, Key, List, Record, Slot};
use volume_pool::transition::{Expect, Write};

use crate::fixture::{
    Table, claim, commit_all, free_slot, instance, open, place, read_one, transaction, waiting,
};

#[tokio::test]
async fn reading_gives_the_records_that_exist() {
    let table = Table::start().await;
    let leases = table.leases();
    let records = [Record::Claim(waiting(0)), Record::Slot(free_slot(3)), open(0)];
    commit_all(&leases, records.clone()).await;
    let mut keys: Vec<Key> = records.iter().map(Record::key).collect();
    keys.push(Key::Claim(instance(9)));
    let expected = BTreeMap::from(records.map(|record| (record.key(), record)));
    assert_eq!(leases.read(&keys).await.unwrap(), expected);
    assert_eq!(leases.read(&[]).await.unwrap(), BTreeMap::new());
}

#[tokio::test]
async fn a_list_comes_in_the_order_of_its_keys_and_without_its_neighbours() {
    let table = Table::start().await;
    let leases = table.leases();
    let released = |index, millis: Option<u64>| Slot {
        released_at: millis.map(Timestamp::from_millis),
        ..free_slot(index)
    };
    let best_first = [
        released(7, Some(u64::MAX)),
        released(4, Some(2_000)),
        released(9, Some(1_000)),
        released(2, None),
        released(10, None),
    ];
    let marks = best_first.map(|slot| Record::Free(FreeMark { slot }));
    commit_all(&leases, marks.iter().rev().cloned()).await;
    let mut elsewhere = free_slot(1);
    elsewhere.zone = "eu-central-1b".parse().unwrap();
    commit_all(&leases, [Record::Free(FreeMark { slot: elsewhere }), open(0)]).await;
    commit_all(&leases, [Record::Slot(free_slot(0))]).await;

    assert_eq!(leases.list(&List::Free(place()), 100).await.unwrap(), marks);
    assert_eq!(leases.list(&List::Free(place()), 2).await.unwrap(), marks[..2]);
    assert_eq!(leases.list(&List::Free(place()), 0).await.unwrap(), []);
    assert_eq!(leases.list(&List::Waiting(place()), 100).await.unwrap(), []);
}

#[tokio::test]
async fn the_list_of_open_claims_has_no_prefix() {
    let table = Table::start().await;
    let leases = table.leases();
    commit_all(&leases, [open(2), open(0), open(1)]).await;
    let all = leases.list(&List::Open, usize::MAX).await.unwrap();
    assert_eq!(all, [open(0), open(1), open(2)]);
}

#[tokio::test]
async fn a_list_longer_than_a_page_of_one_megabyte_is_read_to_its_end() {
    let table = Table::start().await;
    let leases = table.leases();
    let marks: Vec<Record> = (0..60)
        .map(|index| {
            let slot = Slot { reason: "x".repeat(20_000), ..free_slot(index) };
            Record::Free(FreeMark { slot })
        })
        .collect();
    for some in marks.chunks(20) {
        commit_all(&leases, some.iter().cloned()).await;
    }
    assert_eq!(leases.list(&List::Free(place()), usize::MAX).await.unwrap(), marks);
    assert_eq!(leases.list(&List::Free(place()), 58).await.unwrap(), marks[..58]);
}

#[tokio::test]
async fn a_record_of_a_distant_schema_is_unreadable_and_left_alone() {
    let table = Table::start().await;
    let leases = table.leases();
    let record = Record::Claim(waiting(0));
    commit_all(&leases, [record.clone(), open(0)]).await;
    for key in [record.key(), open(0).key()] {
        table.set(&key, "schema", AttributeValue::N("3".to_owned())).await;
    }

    let error = leases.read(&[record.key()]).await.unwrap_err();
    let PortError::Unreadable { key, problem } = &error else { panic!("{error}") };
    assert_eq!(key, "INSTANCE#i-00000000 CLAIM");
    assert_eq!(problem, "has schema 3, this version writes 1");
    let listed = leases.list(&List::Open, 100).await;
    assert!(matches!(listed, Err(PortError::Unreadable { .. })), "{listed:?}");

    let before = table.item(&record.key()).await;
    let put = transaction(vec![Write::Put(Record::Claim(claim(0)), Expect::Absent)]);
    assert_eq!(leases.commit(&put).await.unwrap(), Commit::Conflict);
    assert_eq!(table.item(&record.key()).await, before);
}

#[tokio::test]
async fn a_record_of_the_next_schema_is_read() {
    let table = Table::start().await;
    let leases = table.leases();
    let record = Record::Claim(waiting(0));
    commit_all(&leases, [record.clone()]).await;
    table.set(&record.key(), "schema", AttributeValue::N("2".to_owned())).await;
    assert_eq!(read_one(&leases, &record).await, record);
}

#[tokio::test]
async fn a_record_that_makes_no_sense_is_unreadable() {
    let table = Table::start().await;
    let leases = table.leases();
    for (attribute, value, expected) in [
        ("record", AttributeValue::S("leased, I think".to_owned()), "leased, I think"),
        ("record", AttributeValue::M([].into()), "kind"),
        ("version", AttributeValue::N("8".to_owned()), "attribute says version 8, its record 1"),
        ("schema", AttributeValue::S("one".to_owned()), "schema is not a number"),
    ] {
        let record = Record::Claim(waiting(0));
        leases.commit(&transaction(vec![Write::Put(record.clone(), Expect::Mark)])).await.unwrap();
        table.set(&record.key(), attribute, value).await;
        let error = leases.read(&[record.key()]).await.unwrap_err();
        assert!(matches!(error, PortError::Unreadable { .. }), "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
}

#[tokio::test]
async fn a_record_that_stands_at_another_ones_key_is_unreadable() {
    let table = Table::start().await;
    let leases = table.leases();
    commit_all(&leases, [Record::Claim(waiting(0)), Record::Claim(waiting(1))]).await;
    let other = table.item(&Key::Claim(instance(1))).await["record"].clone();
    table.set(&Key::Claim(instance(0)), "record", other).await;
    let error = leases.read(&[Key::Claim(instance(0))]).await.unwrap_err().to_string();
    assert!(error.contains("holds the record of INSTANCE#i-00000001 CLAIM"), "{error}");
}
