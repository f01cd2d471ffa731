//! Rebuilding the records of a pool whose table was lost, or restored from a backup: from the tags and attachments of its
//! volumes, and from what records there are.
//!
//! It fails closed at every point. First the pool's record says that it is being rebuilt, from which moment nothing is
//! done by its records any more; then, once every invocation that began before has ended, all is read, twice with the
//! same result; then slots, claims and marks are written; and last the pool is opened. Whoever cuts it off leaves the
//! pool closed, and running it again goes on. Two at once do no harm: each write is conditional on the pool's record.

mod judge;
mod plan;
mod view;
mod writes;

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use crate::decide::Alarm;
use crate::ids::PoolName;
use crate::ports::{Commit, PortError};
use crate::record::{Key, Pool, Record};
use crate::request::{Ending, Outcome, Request, Response};
use crate::time::Timestamp;
use crate::transition::Transaction;

pub use plan::{Plan, plan};
pub use view::View;

use view::{Next, Reading};

/// How long an invocation that began before the pool was closed may go on: a function's timeout is 60 s, the last call
/// under way then takes as long at most, and clocks differ.
pub const QUIET: Duration = Duration::from_secs(125);
/// How far apart the readings are that must agree: a describe may be some seconds old.
const BETWEEN: Duration = Duration::from_secs(10);
/// How often it begins anew before it leaves the pool closed for another run.
const MOST_TRIES: u32 = 90;

/// The rebuilding of one pool, as a machine without I/O.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rebuild {
    pool: PoolName,
    hook_prefix: String,
    state: State,
    /// What the last reading showed.
    seen: Option<View>,
    /// Whether the pool was seen closed by now.
    closed: bool,
    tries: u32,
    alarms: BTreeSet<Alarm>,
    problem: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum State {
    ReadingPool,
    Closing,
    Pausing(After),
    Reading(Box<Reading>),
    Writing(VecDeque<Transaction>),
    Finished,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum After {
    /// The pool's record is read again.
    Pool,
    /// All is read again.
    Reading,
}

impl Rebuild {
    /// The rebuilding of `pool`, whose groups' hooks of ours have names that begin with `hook_prefix`.
    pub const fn new(pool: PoolName, hook_prefix: String) -> Self {
        Self {
            pool,
            hook_prefix,
            state: State::Finished,
            seen: None,
            closed: false,
            tries: 0,
            alarms: BTreeSet::new(),
            problem: None,
        }
    }

    /// What a person must know of: slots that were set apart, volumes that belong to none.
    pub const fn alarms(&self) -> &BTreeSet<Alarm> {
        &self.alarms
    }

    /// What kept it from ending, where it ended with work left.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// The first request.
    pub fn start(&mut self) -> Request {
        self.seen = None;
        self.state = State::ReadingPool;
        Request::Read { keys: vec![Key::Pool(self.pool.clone())], lists: Vec::new() }
    }

    /// The next request, after the answer to the last one.
    pub fn resume(&mut self, response: Response, now: Timestamp) -> Request {
        match (std::mem::replace(&mut self.state, State::Finished), response) {
            (_, Response::Failed(error)) => self.failed(error),
            (State::ReadingPool, Response::Records(records, _)) => {
                let pool = records.into_values().find_map(|record| match record {
                    Record::Pool(pool) => Some(pool),
                    _ => None,
                });
                self.pool_read(pool.as_ref(), now)
            }
            (State::Closing, Response::Committed(_)) | (State::Pausing(After::Pool), _) => {
                self.start()
            }
            (State::Pausing(After::Reading), _) => self.read(),
            (State::Reading(mut reading), response) => match reading.take(response) {
                Next::Ask(request) => {
                    self.state = State::Reading(reading);
                    request
                }
                Next::Done(view) => self.has_read(view, now),
                Next::Changed => {
                    self.seen = None;
                    self.again("the pool's records change".to_owned(), After::Pool)
                }
            },
            (State::Writing(left), Response::Committed(Commit::Committed)) => self.write(left),
            (State::Writing(_), Response::Committed(Commit::Conflict)) => {
                self.again("the pool's records change".to_owned(), After::Pool)
            }
            (_, _) => self.again("an answer to another question".to_owned(), After::Pool),
        }
    }

    fn pool_read(&mut self, pool: Option<&Pool>, now: Timestamp) -> Request {
        match pool.and_then(|pool| pool.rebuilding) {
            None if self.closed => finish(Ending::Settled),
            None => {
                self.state = State::Closing;
                Request::Commit(writes::begin(&self.pool, pool, now))
            }
            Some(since) => {
                self.closed = true;
                match QUIET.checked_sub(now.since(since)) {
                    Some(left) if !left.is_zero() => {
                        self.state = State::Pausing(After::Reading);
                        Request::Pause(left)
                    }
                    Some(_) | None => self.read(),
                }
            }
        }
    }

    fn read(&mut self) -> Request {
        let mut reading = Reading::new(self.pool.clone());
        match reading.next() {
            Next::Ask(request) => {
                self.state = State::Reading(Box::new(reading));
                request
            }
            Next::Done(_) | Next::Changed => finish(Ending::WorkLeft),
        }
    }

    /// One reading is none: what two of them show that are some time apart is gone by.
    fn has_read(&mut self, view: View, now: Timestamp) -> Request {
        match self.seen.take() {
            None => {
                self.seen = Some(view);
                self.state = State::Pausing(After::Reading);
                return Request::Pause(BETWEEN);
            }
            Some(before) if !before.agrees_with(&view) => {
                self.seen = Some(view);
                return self.again("what is to be seen changes".to_owned(), After::Reading);
            }
            Some(_) => {}
        }
        let plan = match plan(&self.pool, &self.hook_prefix, &view, now) {
            Ok(plan) => plan,
            Err(unclear) => return self.again(unclear, After::Reading),
        };
        match writes::transactions(&view, &plan) {
            Some(transactions) => {
                // Told before it is done: an answer may be lost.
                self.alarms = plan.findings;
                self.write(transactions.into())
            }
            None => self.again("the pool was opened meanwhile".to_owned(), After::Pool),
        }
    }

    fn write(&mut self, mut left: VecDeque<Transaction>) -> Request {
        match left.pop_front() {
            Some(transaction) => {
                self.state = State::Writing(left);
                Request::Commit(transaction)
            }
            None => finish(Ending::Settled),
        }
    }

    fn failed(&mut self, error: PortError) -> Request {
        match error {
            PortError::Transient { .. } => self.again(error.to_string(), After::Pool),
            PortError::Denied { .. } | PortError::Unreadable { .. } => {
                finish(Ending::Failed(error))
            }
        }
    }

    fn again(&mut self, problem: String, after: After) -> Request {
        self.tries += 1;
        if self.tries >= MOST_TRIES {
            self.problem = Some(problem);
            return finish(Ending::WorkLeft);
        }
        self.state = State::Pausing(after);
        Request::Pause(BETWEEN)
    }
}

const fn finish(ending: Ending) -> Request {
    Request::Finish(Outcome { ending, changed: false, wakes: None })
}
