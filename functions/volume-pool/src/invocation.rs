//! One invocation: the loop for the instance that it was started for, and for each waiter that it serves on the way.
//!
//! Serving is a pass: the waiters of a zone are walked, oldest first; when one is served or leaves the queue, the walk
//! starts again; it ends when a whole walk changes nothing, or no slot is free any more. To serve only "the oldest",
//! once, is not enough: it may have been served already, or be dead.

use crate::action_loop::ActionLoop;
use crate::allowance::Allowance;
use crate::decide::Subject;
use crate::ids::InstanceId;
use crate::record::{List, Place, Record};
use crate::report::Journal;
use crate::request::{Ending, Outcome, Request, Response};
use crate::time::Timestamp;

/// An invocation, as a machine without I/O: see [`ActionLoop`].
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Invocation {
    allowance: Allowance,
    hook_prefix: String,
    stack: Vec<Frame>,
    reports: Vec<LoopReport>,
    /// How the main loop ended, once it has.
    main: Option<Outcome>,
}

/// What one of an invocation's loops did.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LoopReport {
    /// The instance that it was for.
    pub instance: InstanceId,
    /// How it ended.
    pub ending: Ending,
    /// What it did.
    pub journal: Journal,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Frame {
    Loop(Box<ActionLoop>),
    Pass(Pass),
}

/// A pass over the waiters of a zone.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Pass {
    place: Place,
    /// Who is still to be looked at in this walk, oldest last.
    waiters: Vec<InstanceId>,
}

impl Invocation {
    /// An invocation for `subject`.
    pub fn new(subject: Subject, allowance: Allowance) -> Self {
        let hook_prefix = subject.hook_prefix.clone();
        let main = ActionLoop::new(subject, allowance.clone(), true);
        Self {
            allowance,
            hook_prefix,
            stack: vec![Frame::Loop(Box::new(main))],
            reports: Vec::new(),
            main: None,
        }
    }

    /// What its loops did, in the order of their ends.
    pub fn into_reports(self) -> Vec<LoopReport> {
        self.reports
    }

    /// Forgets what is only for the log. What it does next does not depend on it, so to whoever explores every way that
    /// invocations can go, two that differ in nothing else are one.
    pub fn forget_journal(&mut self) {
        self.reports.clear();
        for frame in &mut self.stack {
            if let Frame::Loop(current) = frame {
                current.forget_journal();
            }
        }
    }

    /// The first request.
    pub fn start(&mut self, now: Timestamp) -> Request {
        let request = match self.stack.last_mut() {
            Some(Frame::Loop(main)) => main.start(),
            Some(Frame::Pass(_)) | None => return self.end(now),
        };
        self.route(request, now)
    }

    /// The next request, after the answer to the last one. [`Request::Serve`] never comes out of here.
    pub fn resume(&mut self, response: Response, now: Timestamp) -> Request {
        let request = match self.stack.last_mut() {
            Some(Frame::Loop(current)) => current.resume(response, now),
            Some(Frame::Pass(pass)) => {
                pass.waiters = waiters(response);
                return self.next_waiter(now);
            }
            None => return self.end(now),
        };
        self.route(request, now)
    }

    /// Keeps for itself what is not for the world outside: passes, and the ends of loops within the invocation.
    fn route(&mut self, request: Request, now: Timestamp) -> Request {
        match request {
            Request::Serve(place) => self.begin_pass(place),
            Request::Finish(outcome) => self.loop_ended(outcome, now),
            request => request,
        }
    }

    fn begin_pass(&mut self, place: Place) -> Request {
        let lists = vec![List::Waiting(place.clone()), List::Free(place.clone())];
        self.stack.push(Frame::Pass(Pass { place, waiters: Vec::new() }));
        Request::Read { keys: Vec::new(), lists }
    }

    fn loop_ended(&mut self, outcome: Outcome, now: Timestamp) -> Request {
        if let Some(Frame::Loop(ended)) = self.stack.pop() {
            self.reports.push(LoopReport {
                instance: ended.instance().clone(),
                ending: outcome.ending.clone(),
                journal: ended.journal().clone(),
            });
        }
        match self.stack.pop() {
            Some(Frame::Pass(pass)) if outcome.changed => self.begin_pass(pass.place),
            Some(frame) => {
                self.stack.push(frame);
                self.next_waiter(now)
            }
            None => {
                let wakes = outcome.wakes.clone();
                self.main = Some(outcome);
                match wakes {
                    // Slots that the main loop found on its way: those who wait beside it get theirs.
                    Some(place) if now < self.allowance.stop_at => self.begin_pass(place),
                    Some(_) | None => self.end(now),
                }
            }
        }
    }

    fn next_waiter(&mut self, now: Timestamp) -> Request {
        let busy: Vec<InstanceId> =
            self.stack.iter().filter_map(Frame::instance).cloned().collect();
        let Some(Frame::Pass(pass)) = self.stack.last_mut() else {
            return self.end(now);
        };
        while let Some(instance) = pass.waiters.pop() {
            if busy.contains(&instance) || now >= self.allowance.stop_at {
                continue;
            }
            let subject = Subject {
                instance,
                event: None,
                hint: None,
                found: None,
                hook_prefix: self.hook_prefix.clone(),
            };
            let mut waiter = ActionLoop::new(subject, self.allowance.clone(), false);
            let request = waiter.start();
            self.stack.push(Frame::Loop(Box::new(waiter)));
            return self.route(request, now);
        }
        self.end(now)
    }

    /// The pass is over: its loop goes on, or the invocation ends.
    fn end(&mut self, now: Timestamp) -> Request {
        self.stack.pop();
        match self.stack.last_mut() {
            Some(Frame::Loop(waiting)) => {
                let request = waiting.resume(Response::Done, now);
                self.route(request, now)
            }
            Some(Frame::Pass(_)) => self.next_waiter(now),
            None => Request::Finish(self.main.clone().unwrap_or(Outcome {
                ending: Ending::Settled,
                changed: false,
                wakes: None,
            })),
        }
    }
}

impl Frame {
    fn instance(&self) -> Option<&InstanceId> {
        match self {
            Self::Loop(current) => Some(current.instance()),
            Self::Pass(_) => None,
        }
    }
}

/// The waiters of the lists read, oldest last; none where no slot is free or the read failed.
fn waiters(response: Response) -> Vec<InstanceId> {
    let Response::Records(_, lists) = response else {
        return Vec::new();
    };
    let records: Vec<Record> = lists.into_iter().flatten().collect();
    if !records.iter().any(|record| matches!(record, Record::Free(_))) {
        return Vec::new();
    }
    let waiting = records.into_iter().rev().filter_map(|record| match record {
        Record::Waiting(mark) => Some(mark.instance),
        _ => None,
    });
    waiting.collect()
}
