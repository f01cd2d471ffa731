//! Many clients at once, with replies that get lost: every record's versions form one line, each step of it made by
//! one client; what a read gives stood there while it was under way; and a slot has one holder at a time. That is
//! what linearizable ownership comes down to where every write is conditional on the version before it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use futures_util::future::join_all;
use volume_pool::ids::SlotId;
use volume_pool::policy::Policy;
use volume_pool::ports::{Commit, LeaseStore};
use volume_pool::record::{Claim, FreeMark, Key, Phase, Record, Slot, SlotState};
use volume_pool::transition::{self, Transaction, Write};
use volume_pool_aws::LeaseTable;

use crate::fixture::{NOW, Table, commit_all, free_slot, instance, place, waiting};
use crate::replies::{FAILED, IN_PROGRESS, Replies, Reply, THROTTLED};

const CLIENTS: u64 = 12;
/// How often a client tries at most, and how many leases are enough.
const TRIES: u64 = 500;
const LEASES: u64 = 15;
const CLAIMS: u32 = 3;
const SLOTS: u32 = 3;

/// What the clients did, in the order of a clock that ticks at each call's beginning and end.
#[derive(Default)]
struct History {
    ticks: AtomicU64,
    leases: AtomicU64,
    writes: Mutex<Vec<Written>>,
    reads: Mutex<Vec<Seen>>,
}

/// A write of a client that may have happened.
struct Written {
    from: u64,
    /// When its client knew; nothing if it never did.
    to: Option<u64>,
    record: Record,
}

/// What a read gave.
struct Seen {
    from: u64,
    to: u64,
    record: Record,
}

impl History {
    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }
}

#[tokio::test]
async fn ownership_is_linearizable_with_twelve_clients_and_lost_replies() {
    let table = Table::start().await;
    let claims: Vec<Record> = (0..CLAIMS).map(|who| Record::Claim(waiting(who))).collect();
    let slots: Vec<Record> = (0..SLOTS).map(|index| Record::Slot(free_slot(index))).collect();
    let marks = (0..SLOTS).map(|index| Record::Free(FreeMark { slot: free_slot(index) }));
    let first: Vec<Record> = claims.into_iter().chain(slots).collect();
    commit_all(&table.leases(), first.iter().cloned().chain(marks)).await;

    let history = History::default();
    let clients = (0..CLIENTS).map(|number| {
        let mut rng = fastrand::Rng::with_seed(number);
        // A third of the replies of the even clients come out otherwise.
        let replaced: Vec<Option<Reply>> = (0..TRIES * 8)
            .map(|_| {
                (number % 2 == 0 && rng.u8(..3) == 0).then(|| rng.choice(BAD).unwrap_or(FAILED))
            })
            .collect();
        client(table.leases_with(&Replies::some(replaced)), number, rng, &history)
    });
    join_all(clients).await;

    let writes = history.writes.into_inner().unwrap_or_else(PoisonError::into_inner);
    let reads = history.reads.into_inner().unwrap_or_else(PoisonError::into_inner);
    let last = table.leases().read(&first.iter().map(Record::key).collect::<Vec<_>>()).await;
    let lines = lines(first, &writes, &last.unwrap());
    held_by_one(&lines);
    seen_while_there(&lines, &reads);
    let leased = history.leases.into_inner();
    assert!(
        leased >= LEASES,
        "only {leased} leases: the clients were too much in each other's way"
    );
}

/// Each leaves open whether the call took effect. (That a transaction was cancelled does not: it is no such reply.)
const BAD: [Reply; 3] = [FAILED, THROTTLED, IN_PROGRESS];

/// A client that takes slots for claims, and lets go of them.
async fn client(leases: LeaseTable, number: u64, mut rng: fastrand::Rng, history: &History) {
    for step in 0..TRIES {
        if history.leases.load(Ordering::SeqCst) >= LEASES {
            break;
        }
        let claim_key = Key::Claim(instance(rng.u32(..CLAIMS)));
        let slot_key = Key::Slot(SlotId { pool: place().pool, index: rng.u32(..SLOTS) });
        let from = history.tick();
        let Ok(found) = leases.read(&[claim_key.clone(), slot_key.clone()]).await else {
            continue;
        };
        let to = history.tick();
        let seen = found.values().map(|record| Seen { from, to, record: record.clone() });
        history.reads.lock().unwrap().extend(seen);
        let (Some(Record::Claim(claim)), Some(Record::Slot(slot))) =
            (found.get(&claim_key), found.get(&slot_key))
        else {
            panic!("{claim_key:?} or {slot_key:?} is gone");
        };
        let Some(transaction) = next(claim, slot, &format!("client {number}, step {step}")) else {
            continue;
        };
        let from = history.tick();
        let outcome = leases.commit(&transaction).await;
        let to = history.tick();
        let to = match outcome {
            Ok(Commit::Committed) => {
                let lease = u64::from(transaction.name == "lease");
                history.leases.fetch_add(lease, Ordering::SeqCst);
                Some(to)
            }
            Ok(Commit::Conflict) => continue,
            // It may have happened.
            Err(_) => None,
        };
        let written = transaction.writes.into_iter().filter_map(|write| match write {
            Write::Put(record @ (Record::Claim(_) | Record::Slot(_)), _) => {
                Some(Written { from, to, record })
            }
            Write::Put(..) | Write::Delete(_) => None,
        });
        history.writes.lock().unwrap().extend(written);
    }
}

/// What can be done with the two, if anything.
fn next(claim: &Claim, slot: &Slot, why: &str) -> Option<Transaction> {
    match claim.phase {
        Phase::Waiting { .. } => transition::lease(claim, slot, NOW, why),
        Phase::Leased { .. } => transition::begin_release(claim, slot, None, NOW, why),
        Phase::Leaving { .. } => transition::release(claim, slot, NOW, why),
        Phase::Closed => {
            let policy = Policy::parse(Some(r#"{"pool":"cassandra"}"#)).unwrap();
            // In its place stands the guard in the product: no two clients write the same claim.
            let mine = Claim { reason: why.to_owned(), ..claim.clone() };
            transition::enqueue(&mine, place(), None, &policy, None, NOW)
        }
        Phase::Creating { .. } => None,
    }
}

/// Each record's line of versions, with the time at which each is known to have begun, and the one after it.
type Lines = BTreeMap<Key, Vec<Step>>;

struct Step {
    record: Record,
    /// Nothing for a write of which its client never knew whether it happened.
    known: Option<u64>,
    from: u64,
}

/// One line for each record, without a gap or a fork: a version that nobody made, or two clients, shows here.
fn lines(first: Vec<Record>, writes: &[Written], last: &BTreeMap<Key, Record>) -> Lines {
    let mut lines = Lines::new();
    for record in first {
        let key = record.key();
        let end = &last[&key];
        let mut line = vec![Step { record, known: Some(0), from: 0 }];
        for version in 2..=end.version() {
            let made =
                |write: &&Written| write.record.key() == key && write.record.version() == version;
            let known: Vec<&Written> =
                writes.iter().filter(made).filter(|write| write.to.is_some()).collect();
            let maybe: Vec<&Written> = writes.iter().filter(made).collect();
            // Where none of several knows, which it was does not matter to what is checked.
            let maker = match (&known[..], &maybe[..]) {
                ([one], _) | ([], [one, ..]) => one,
                ([], []) => panic!("{key:?}: nobody made version {version}"),
                (several, _) => panic!("{key:?}: {} made version {version}", several.len()),
            };
            line.push(Step { record: maker.record.clone(), known: maker.to, from: maker.from });
        }
        let beyond = writes.iter().find(|write| {
            write.record.key() == key
                && write.to.is_some()
                && write.record.version() > end.version()
        });
        assert!(beyond.is_none(), "{key:?}: a version beyond {} was committed", end.version());
        lines.insert(key, line);
    }
    lines
}

/// A slot goes from hand to hand only by being free in between, and each lease has an epoch of its own.
fn held_by_one(lines: &Lines) {
    for (key, line) in lines {
        for pair in line.windows(2) {
            let [Step { record: Record::Slot(before), known: Some(_), .. }, after] = pair else {
                continue;
            };
            let Step { record: Record::Slot(after), known: Some(_), .. } = after else { continue };
            let legal = match (&before.state, &after.state) {
                (SlotState::Free, SlotState::Leased { .. }) => after.epoch == before.epoch + 1,
                (SlotState::Leased { holder }, SlotState::Releasing { holder: same }) => {
                    holder == same && after.epoch == before.epoch
                }
                (SlotState::Releasing { .. }, SlotState::Free) => after.epoch == before.epoch,
                _ => false,
            };
            assert!(legal, "{key:?}: {before:?} became {after:?}");
        }
    }
}

/// No read gives what was known to be overwritten before it began, or what was not yet asked for when it ended.
fn seen_while_there(lines: &Lines, reads: &[Seen]) {
    for Seen { from, to, record } in reads {
        let line = &lines[&record.key()];
        let index = usize::try_from(record.version() - 1).unwrap();
        let step = line.get(index).unwrap_or_else(|| panic!("nobody wrote {record:?}"));
        assert!(step.from <= *to, "{record:?} was read before it was written");
        if step.known.is_some() {
            assert_eq!(step.record, *record, "what was read is not what was written");
        }
        let overwritten = line.get(index + 1).and_then(|next| next.known);
        assert!(overwritten.is_none_or(|at| at > *from), "{record:?} was read after its end");
    }
}
