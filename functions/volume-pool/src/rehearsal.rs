//! A rehearsal: the loop for one instance, run to see what it would do. Reads go out to the world. Transactions are kept in
//! here and shown to the reads that follow, as if they had been made; and the first thing that would change something in
//! AWS ends it. So whoever asks what happens next is told by the very code that does it.
//!
//! It may be run for what is not so yet: an instance that is assumed to be launched or terminated.

use std::collections::BTreeMap;

use crate::action::Transition;
use crate::action_loop::ActionLoop;
use crate::allowance::Allowance;
use crate::decide::{Effect, Subject};
use crate::ids::InstanceId;
use crate::observation::{
    Described, GroupInstance, GroupView, Instance, InstanceState, LifecycleState,
};
use crate::ports::{Commit, PortError};
use crate::record::{Key, List, Record};
use crate::report::{Journal, StepTaken};
use crate::request::{Ending, Outcome, Request, Response};
use crate::time::Timestamp;
use crate::transition::{Transaction, Write};

/// A rehearsal, as a machine without I/O. It asks for reads only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rehearsal {
    rehearsed: ActionLoop,
    instance: InstanceId,
    assumed: BTreeMap<InstanceId, Assumed>,
    /// What the transactions would have left at these keys; nothing where they would have deleted.
    written: BTreeMap<Key, Option<Record>>,
    asked: Option<(Vec<Key>, Vec<List>)>,
    asked_command: bool,
    end: Option<End>,
}

/// What is taken for true of the instance, whatever AWS shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Assumed {
    /// Its group and zone.
    pub member: GroupInstance,
    /// Whether it waits in a launch hook, newly launched and running, or in a terminate hook.
    pub transition: Transition,
}

/// Where a rehearsal ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// This call would be made next.
    Call(Effect),
    /// It would look again in a moment: what it waits for is under way.
    Poll,
    /// Nothing more would be done now; somebody would come back to it.
    WorkLeft,
    /// Nothing would be left to do.
    Settled,
    /// Something could not be read.
    Failed(PortError),
}

impl Rehearsal {
    /// A rehearsal for `subject`, as AWS and the records show it.
    pub fn new(subject: Subject, allowance: Allowance) -> Self {
        let instance = subject.instance.clone();
        Self {
            rehearsed: ActionLoop::new(subject, allowance, true),
            instance,
            assumed: BTreeMap::new(),
            written: BTreeMap::new(),
            asked: None,
            asked_command: false,
            end: None,
        }
    }

    /// The same, with this assumed of its instance.
    #[must_use]
    pub fn assuming(mut self, assumed: Assumed) -> Self {
        self.assumed.insert(self.instance.clone(), assumed);
        self
    }

    /// The same, with all that the other one has written and assumes.
    #[must_use]
    pub fn after(mut self, earlier: &Self) -> Self {
        self.written.extend(earlier.written.clone());
        self.assumed.extend(earlier.assumed.clone());
        self
    }

    /// What the loop noted: what a person must know of, and the slot that it is about.
    pub fn journal(&self) -> &Journal {
        self.rehearsed.journal()
    }

    /// What it would do, in order, and why; without its looks. A step is decided on again once the guard is taken.
    pub fn steps(&self) -> Vec<&StepTaken> {
        let mut steps: Vec<&StepTaken> =
            self.journal().steps.iter().filter(|it| !it.is_look()).collect();
        steps.dedup();
        steps
    }

    /// Where it ended, once it has.
    pub const fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// The first request.
    pub fn start(&mut self, now: Timestamp) -> Request {
        let request = self.rehearsed.start();
        self.route(request, now)
    }

    /// The next request, after the answer to the last one.
    pub fn resume(&mut self, response: Response, now: Timestamp) -> Request {
        let response = match response {
            // What Systems Manager does not say is decided on; without anything else nothing can be told.
            Response::Failed(error) if !self.asked_command => {
                return self.ended(End::Failed(error));
            }
            response => self.as_rehearsed(response),
        };
        let request = self.rehearsed.resume(response, now);
        self.route(request, now)
    }

    /// Lets reads out, answers transactions itself, and ends at everything else.
    fn route(&mut self, mut request: Request, now: Timestamp) -> Request {
        loop {
            // What is written in here only, its look follows upon.
            if let Request::Along(asked, ..) = &request
                && !matches!(**asked, Request::Enrolment(_))
            {
                request = (**asked).clone();
            }
            let answer = match request {
                Request::Read { keys, lists } => {
                    self.asked_command = false;
                    self.asked = Some((keys.clone(), lists.clone()));
                    return Request::Read { keys, lists };
                }
                Request::Commit(transaction) if transaction.name == "rest" => {
                    return self.ended(rested(&transaction));
                }
                Request::Commit(transaction) => {
                    self.write(transaction);
                    Response::Committed(Commit::Committed)
                }
                Request::Effect(_, Effect::Heartbeat(_)) => return self.ended(End::WorkLeft),
                Request::Effect(_, effect) => return self.ended(End::Call(effect)),
                Request::Pause(_) => return self.ended(End::Poll),
                Request::Poke(..) | Request::TakePoke(..) | Request::Serve(_) => Response::Done,
                Request::Finish(outcome) => return self.ended(End::from(outcome)),
                read => {
                    self.asked_command = matches!(read, Request::Command(..));
                    return read;
                }
            };
            request = self.rehearsed.resume(answer, now);
        }
    }

    fn ended(&mut self, end: End) -> Request {
        let ending = match &end {
            End::Settled => Ending::Settled,
            End::Failed(error) => Ending::Failed(error.clone()),
            End::Call(_) | End::Poll | End::WorkLeft => Ending::WorkLeft,
        };
        self.end = Some(end);
        Request::Finish(Outcome { ending, changed: false, wakes: None })
    }

    fn write(&mut self, transaction: Transaction) {
        for write in transaction.writes {
            match write {
                Write::Put(record, _) => self.written.insert(record.key(), Some(record)),
                Write::Delete(key) => self.written.insert(key, None),
            };
        }
    }

    /// The answer as it would be after the transactions, and under the assumption.
    fn as_rehearsed(&mut self, response: Response) -> Response {
        match response {
            Response::Records(records, lists) => {
                let (keys, asked) = self.asked.take().unwrap_or_default();
                let lists = asked.iter().zip(lists).map(|(list, found)| self.listed(list, found));
                Response::Records(self.read(&keys, records), lists.collect())
            }
            Response::Described(described) => Response::Described(self.assumed_of(described)),
            Response::Enrolment(hooks, group) => {
                Response::Enrolment(hooks, self.with_member(group))
            }
            Response::Along(answer, described) => {
                let described = described.map(|described| self.assumed_of(described));
                Response::Along(Box::new(self.as_rehearsed(*answer)), described)
            }
            Response::Group(group) => Response::Group(self.with_member(group)),
            other => other,
        }
    }

    fn assumed_of(&self, mut described: Described) -> Described {
        if let Some(assumed) = self.assumed.get(&self.instance) {
            described.group_instance = Some(assumed.as_member());
            described.instance =
                described.instance.or_else(|| Some(assumed.newcomer(&self.instance)));
        }
        described
    }

    fn read(&self, keys: &[Key], mut records: BTreeMap<Key, Record>) -> BTreeMap<Key, Record> {
        for key in keys {
            match self.written.get(key) {
                Some(Some(written)) => records.insert(key.clone(), written.clone()),
                Some(None) => records.remove(key),
                None => None,
            };
        }
        // Nobody else is at work in a rehearsal.
        if let Some(Record::Claim(claim)) = records.get_mut(&Key::Claim(self.instance.clone()))
            && !self.written.contains_key(&Key::Claim(self.instance.clone()))
        {
            claim.guard = None;
        }
        records
    }

    /// In the order of the keys, as every list is.
    fn listed(&self, list: &List, found: Vec<Record>) -> Vec<Record> {
        let (partition, prefix) = (list.partition(), list.prefix());
        let mut members: BTreeMap<String, Record> =
            found.into_iter().map(|record| (record.key().sort(), record)).collect();
        for (key, written) in &self.written {
            let sort = key.sort();
            if key.partition() != partition || !sort.starts_with(&prefix) {
                continue;
            }
            match written {
                Some(record) => members.insert(sort, record.clone()),
                None => members.remove(&sort),
            };
        }
        members.into_values().collect()
    }

    /// The group with its instances as they are assumed. One that is launched is wanted.
    fn with_member(&self, mut group: GroupView) -> GroupView {
        for (instance, assumed) in &self.assumed {
            if assumed.member.group != group.name {
                continue;
            }
            let known = group.members.insert(instance.clone(), assumed.as_member());
            if known.is_none() {
                group.desired += 1;
            }
        }
        group
    }
}

impl Assumed {
    fn as_member(&self) -> GroupInstance {
        let state = match self.transition {
            Transition::Launching => LifecycleState::PendingWait,
            Transition::Terminating => LifecycleState::TerminatingWait,
        };
        GroupInstance { state, ..self.member.clone() }
    }

    /// An instance that does not exist, as EC2 would show it.
    fn newcomer(&self, instance: &InstanceId) -> Instance {
        Instance {
            id: instance.clone(),
            zone: self.member.zone.clone(),
            state: InstanceState::Running,
            devices: Vec::new(),
            tags: BTreeMap::new(),
        }
    }
}

impl From<Outcome> for End {
    fn from(outcome: Outcome) -> Self {
        match outcome.ending {
            Ending::Settled => Self::Settled,
            Ending::WorkLeft | Ending::Busy => Self::WorkLeft,
            Ending::Failed(error) => Self::Failed(error),
        }
    }
}

/// Whether a claim that is left at rest has work left: its open mark stays then.
fn rested(rest: &Transaction) -> End {
    if rest.writes.iter().any(|write| matches!(write, Write::Delete(Key::Open(_)))) {
        End::Settled
    } else {
        End::WorkLeft
    }
}
