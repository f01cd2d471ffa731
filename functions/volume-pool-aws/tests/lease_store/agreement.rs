//! The store in memory, which the scenarios and the simulation run on, answers as the lease table does, whatever it is
//! asked: programs of random calls over few keys, so that they meet, run on both.

use std::collections::BTreeSet;
use std::time::Duration;

use local_cloud::leases::MemoryLeases;
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use volume_pool::ids::SlotId;
use volume_pool::ports::LeaseStore;
use volume_pool::record::{Claim, FreeMark, Guard, Key, List, Phase, Record, Slot, SlotState};
use volume_pool::transition::{Expect, Transaction, Write};

use crate::fixture::{
    NOW, Table, free_slot, instance, invocation, open, place, transaction, waiting,
};

/// One call.
#[derive(Debug, Clone)]
enum Call {
    Commit(Vec<Change>),
    /// The last transaction once more.
    Again,
    Read(Vec<Key>),
    List(List, usize),
    Poke(u32, u32),
    TakePoke(u32, u32),
}

/// One write; what it expects depends on what stands there.
#[derive(Debug, Clone)]
enum Change {
    Claim { who: u32, guard: Option<u32>, queued: bool, expect: Belief },
    Slot { index: u32, holder: Option<u32>, expect: Belief },
    PutMark(Box<Record>),
    Delete(Key),
}

/// What the writer takes for true.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Belief {
    Right,
    RightAndUnpoked,
    Outdated,
    Absent,
}

fn change() -> impl Strategy<Value = Change> {
    let belief = prop_oneof![
        6 => Just(Belief::Right),
        2 => Just(Belief::RightAndUnpoked),
        1 => Just(Belief::Outdated),
        1 => Just(Belief::Absent),
    ];
    let holder = proptest::option::of(0..3_u32);
    prop_oneof![
        4 => (0..3_u32, proptest::option::of(0..2_u32), any::<bool>(), belief.clone())
            .prop_map(|(who, guard, queued, expect)| Change::Claim { who, guard, queued, expect }),
        4 => (0..3_u32, holder, belief)
            .prop_map(|(index, holder, expect)| Change::Slot { index, holder, expect }),
        1 => (0..3_u32).prop_map(|who| Change::PutMark(open(who).into())),
        1 => (0..3_u32).prop_map(|who| Change::Delete(open(who).key())),
        1 => (0..3_u32).prop_map(|index| Change::PutMark(mark(index).into())),
        1 => (0..3_u32).prop_map(|index| Change::Delete(mark(index).key())),
    ]
}

fn call() -> impl Strategy<Value = Call> {
    let list = prop_oneof![
        Just(List::Open),
        Just(List::Free(place())),
        Just(List::Waiting(place())),
        Just(List::EveryFree(place().pool)),
    ];
    prop_oneof![
        6 => proptest::collection::vec(change(), 1..5).prop_map(Call::Commit),
        1 => Just(Call::Again),
        1 => proptest::sample::subsequence(keys(), 0..=6).prop_map(Call::Read),
        1 => (list, 0..4_usize).prop_map(|(list, limit)| Call::List(list, limit)),
        2 => (0..3_u32, 0..2_u32).prop_map(|(who, guard)| Call::Poke(who, guard)),
        1 => (0..3_u32, 0..2_u32).prop_map(|(who, guard)| Call::TakePoke(who, guard)),
    ]
}

fn mark(index: u32) -> Record {
    Record::Free(FreeMark { slot: free_slot(index) })
}

/// Where anything can stand.
fn keys() -> Vec<Key> {
    let claims = (0..3).map(|who| Key::Claim(instance(who)));
    let slots = (0..3).map(|index| Key::Slot(free_slot(index).id));
    let marks = (0..3).flat_map(|number| [open(number).key(), mark(number).key()]);
    claims.chain(slots).chain(marks).collect()
}

#[test]
fn the_store_in_memory_answers_every_call_as_the_table_does() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut runner = TestRunner::new(Config { cases: 16, ..Config::default() });
    let programs = proptest::collection::vec(call(), 1..60);
    runner.run(&programs, |program| runtime.block_on(agree(&program))).unwrap();
}

/// Runs the program on both, and compares every answer and what is there in the end.
async fn agree(program: &[Call]) -> Result<(), TestCaseError> {
    let real = Table::start().await.leases();
    let memory = MemoryLeases::default();
    let mut latest = None;
    for (step, call) in program.iter().enumerate() {
        match call {
            Call::Commit(changes) => {
                latest = Some(transaction(writes(&memory, changes, step).await));
                commit(&real, &memory, latest.as_ref(), step).await?;
            }
            Call::Again => commit(&real, &memory, latest.as_ref(), step).await?,
            Call::Read(keys) => {
                prop_assert_eq!(real.read(keys).await, memory.read(keys).await);
            }
            Call::List(list, limit) => {
                prop_assert_eq!(real.list(list, *limit).await, memory.list(list, *limit).await);
            }
            Call::Poke(who, guard) => {
                let (who, guard) = (instance(*who), invocation(*guard));
                prop_assert_eq!(real.poke(&who, &guard).await, memory.poke(&who, &guard).await);
            }
            Call::TakePoke(who, guard) => {
                let (who, guard) = (instance(*who), invocation(*guard));
                real.take_poke(&who, &guard).await.unwrap();
                memory.take_poke(&who, &guard).await.unwrap();
            }
        }
    }
    prop_assert_eq!(real.read(&keys()).await, memory.read(&keys()).await);
    Ok(())
}

async fn commit(
    real: &impl LeaseStore,
    memory: &impl LeaseStore,
    transaction: Option<&Transaction>,
    step: usize,
) -> Result<(), TestCaseError> {
    if let Some(transaction) = transaction {
        let answers = (real.commit(transaction).await, memory.commit(transaction).await);
        prop_assert_eq!(answers.0, answers.1, "step {}: {:?}", step, transaction);
    }
    Ok(())
}

/// The writes of these changes, each key once.
async fn writes(memory: &MemoryLeases, changes: &[Change], step: usize) -> Vec<Write> {
    let there = memory.read(&keys()).await.unwrap();
    let mut written = BTreeSet::new();
    let mut writes = Vec::new();
    for change in changes {
        let write = match change {
            Change::Claim { who, guard, queued, expect } => {
                let key = Key::Claim(instance(*who));
                let version = there.get(&key).map_or(0, Record::version);
                let until = NOW.plus(Duration::from_mins(1));
                let guard = guard.map(|by| Guard { invocation: invocation(by), until });
                let phase = if *queued { waiting(*who).phase } else { Phase::Closed };
                let reason = format!("step {step}");
                let claim = Claim { version: version + 1, guard, phase, reason, ..waiting(*who) };
                Write::Put(Record::Claim(claim), expected(*expect, version))
            }
            Change::Slot { index, holder, expect } => {
                let id = SlotId { pool: place().pool, index: *index };
                let version = there.get(&Key::Slot(id)).map_or(0, Record::version);
                let state = match holder {
                    Some(holder) => SlotState::Leased { holder: instance(*holder) },
                    None => SlotState::Free,
                };
                let slot = Slot { version: version + 1, state, ..free_slot(*index) };
                let expect = match expect {
                    // Only a claim is ever poked.
                    Belief::RightAndUnpoked => Belief::Right,
                    other => *other,
                };
                Write::Put(Record::Slot(slot), expected(expect, version))
            }
            Change::PutMark(record) => Write::Put((**record).clone(), Expect::Mark),
            Change::Delete(key) => Write::Delete(key.clone()),
        };
        let key = match &write {
            Write::Put(record, _) => record.key(),
            Write::Delete(key) => key.clone(),
        };
        if written.insert(key) {
            writes.push(write);
        }
    }
    writes
}

const fn expected(belief: Belief, version: u64) -> Expect {
    match belief {
        Belief::Absent => Expect::Absent,
        // What was never written is expected to be absent by who is right.
        Belief::Right | Belief::RightAndUnpoked if version == 0 => Expect::Absent,
        Belief::Right => Expect::Version(version),
        Belief::RightAndUnpoked => Expect::Unpoked(version),
        Belief::Outdated => Expect::Version(version.saturating_sub(1)),
    }
}
