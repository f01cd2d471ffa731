//! The loop for one instance: guard, observe, decide, act, and again, until nothing more can be done now.
//!
//! It does no I/O. It gives a request and takes the answer, so that the model checker and the simulation drive the
//! very code that runs in Lambda. It is cloneable: a clone is the same invocation, taken down another path.
//!
//! What it must keep to (each was a flaw found by model checking):
//! - records, then EC2 and Auto Scaling, then the same records again; another version in between, and it starts over;
//! - every write is conditional on the version first read, so that it is a read of what it changes (see [`foresight`]);
//! - nothing is written and nothing in AWS changed for an instance without its guard;
//! - the guard is given up only if nobody asked for another look.

mod acting;
mod foresight;
mod observing;
mod resting;

use crate::action::Transition;
use crate::allowance::Allowance;
use crate::answers::Answers;
use crate::decide::{Effect, Look, Observation, Subject};
use crate::ids::{GroupName, InstanceId};
use crate::observation::Described;
use crate::ports::{Commit, Poke, PortError};
use crate::record::{Claim, Key, Phase, Place, Slot};
use crate::report::Journal;
use crate::request::{Ending, Request, Response};
use crate::time::Timestamp;
use crate::transition::{Rest, Transaction};
use observing::taken_group;

/// The loop for one instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ActionLoop {
    subject: Subject,
    allowance: Allowance,
    state: State,
    claim: Option<Claim>,
    slot: Option<Slot>,
    seen: Observation,
    /// What a look has shown that was made along with something else.
    ahead: Option<Described>,
    guarded: bool,
    restarts: u32,
    giving_up: bool,
    failure: Option<PortError>,
    changed: bool,
    wakes: Option<Place>,
    journal: Journal,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum State {
    ReadClaim,
    TakeGuard(Transaction),
    Poking,
    ReadSlot,
    Describing,
    Looking(Look),
    /// A launch is looked at, and how its group is enrolled.
    Joining(GroupName),
    Rereading,
    Committing(Transaction),
    Effecting(Effect),
    Pausing(After),
    Serving,
    Heartbeating(Rest),
    LastHeartbeat(Ending),
    Resting(Transaction, Ending),
    TakingPoke,
    Finished,
}

/// What follows a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum After {
    Observe,
    StartOver,
}

impl ActionLoop {
    /// A loop for `subject`. `serves` says whether it may serve other waiters; one started by a pass may not.
    pub fn new(subject: Subject, allowance: Allowance, serves: bool) -> Self {
        let answers = Answers { served: !serves, ..Answers::default() };
        Self {
            subject,
            allowance,
            state: State::Finished,
            claim: None,
            slot: None,
            seen: Observation { answers, ..Observation::default() },
            ahead: None,
            guarded: false,
            restarts: 0,
            giving_up: false,
            failure: None,
            changed: false,
            wakes: None,
            journal: Journal::default(),
        }
    }

    /// The instance that it is for.
    pub fn instance(&self) -> &InstanceId {
        &self.subject.instance
    }

    /// What it has done so far.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    pub(crate) fn forget_journal(&mut self) {
        self.journal.forget();
    }

    /// The first request.
    pub fn start(&mut self) -> Request {
        self.state = State::ReadClaim;
        self.ahead = None;
        let mut keys = vec![Key::Claim(self.subject.instance.clone())];
        // What a launch joins the queue by is read at once.
        let event = self.subject.event.as_ref().map(|event| &event.action);
        let launch = event.filter(|action| action.transition == Transition::Launching);
        keys.extend(launch.map(|action| Key::Group(action.group.clone())));
        Request::Read { keys, lists: Vec::new() }
    }

    /// The next request, after the answer to the last one.
    pub fn resume(&mut self, response: Response, now: Timestamp) -> Request {
        let state = std::mem::replace(&mut self.state, State::Finished);
        let response = match response {
            Response::Failed(error) => return self.failed(state, error, now),
            Response::Along(answer, described) => {
                self.ahead = described;
                *answer
            }
            response => response,
        };
        match (state, response) {
            (State::ReadClaim, Response::Records(mut records, _)) => {
                self.claim = self.taken_claim(&mut records);
                self.seen.group = taken_group(&records);
                if self.giving_up { self.give_up() } else { self.begin(now) }
            }
            (State::TakeGuard(transaction), Response::Committed(commit)) => match commit {
                Commit::Committed => {
                    self.guarded = true;
                    // Answers of an earlier guard say nothing of what others did since it ended.
                    let served = self.seen.answers.served;
                    self.seen.answers = Answers { served, ..Answers::default() };
                    self.remember(&transaction);
                    self.read_slot()
                }
                Commit::Conflict => self.start_over(now),
            },
            (State::Poking, Response::Poked(Poke::Left)) => self.poked(),
            (State::ReadSlot, Response::Records(records, _)) => {
                self.slot = self.taken_slot(&records);
                self.note_pool(&records);
                self.describe()
            }
            (State::Describing, Response::Described(described)) => self.described(described, now),
            (State::Looking(look), response) => {
                if self.looked(&look, response) {
                    self.reread_if_needed(now)
                } else {
                    self.start_over(now)
                }
            }
            (State::Joining(group), response) => {
                let looked = self.looked(&Look::Enrolment(group.clone()), response);
                match self.ahead.take() {
                    Some(described) if looked => self.joins(&group, described, now),
                    _ if looked => self.describe(),
                    _ => self.start_over(now),
                }
            }
            (State::Rereading, Response::Records(records, lists)) => {
                self.reread_done(records, lists, now)
            }
            (State::Committing(transaction), Response::Committed(commit)) => {
                self.committed(&transaction, commit, now)
            }
            (State::Effecting(Effect::Create(creation)), Response::Created(answer)) => {
                self.created(creation.name, answer)
            }
            (State::Effecting(Effect::RunDocument(_)), Response::Sent(answer)) => self.sent(answer),
            (State::Effecting(effect), Response::Answered(answer)) => {
                self.effected(effect, answer, now)
            }
            (State::Pausing(After::Observe), _) => self.describe(),
            (State::Pausing(After::StartOver), _) => self.start(),
            (State::Serving, _) => {
                self.seen.answers.served = true;
                self.read_slot()
            }
            (State::Heartbeating(rest), _) => self.rest(&rest),
            (State::LastHeartbeat(ending), _) => self.finish(ending),
            (State::Resting(_, ending), Response::Committed(Commit::Committed)) => {
                self.finish(ending)
            }
            // Poked, or written to by someone whose guard began when ours had ended: look again.
            (State::Resting(..), Response::Committed(Commit::Conflict)) => {
                if self.giving_up {
                    // The open mark brings someone back once the guard has ended.
                    return self.finish(Ending::WorkLeft);
                }
                self.state = State::TakingPoke;
                Request::TakePoke(self.subject.instance.clone(), self.allowance.invocation.clone())
            }
            // The guard that was poked is gone, or a poke was taken back: look again. Nor can anything be concluded from
            // an answer to another question.
            (_, _) => self.start_over(now),
        }
    }

    fn phase(&self) -> &Phase {
        self.claim.as_ref().map_or(&Phase::Closed, |claim| &claim.phase)
    }
}
