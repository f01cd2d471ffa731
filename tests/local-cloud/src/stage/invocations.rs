//! Invocations: the calls of each, one at a time, with what goes wrong.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;

use futures_util::FutureExt;
use volume_pool::decide::Effect;
use volume_pool::drift::Inspection;
use volume_pool::event::Event;
use volume_pool::ids::{InstanceId, InvocationId};
use volume_pool::invocation::Invocation;
use volume_pool::ports::{Commit, PortError};
use volume_pool::rebuild::Rebuild;
use volume_pool::record::Record;
use volume_pool::request::{Ending, Request, Response};
use volume_pool::{Allowance, Timestamp, shell};

use super::conduct::Caller;
use super::delivery::Delivery;
use super::faults::{Fault, Mishap, happens};
use super::functions::{FUNCTION_TIMEOUT, OPERATION_TIMEOUT};
use super::writes::Queue;
use super::{MINUTE, Stage};
use crate::world::AttachmentState;

/// How often Lambda tries an asynchronous event (`MaximumRetryAttempts` is 2).
const ATTEMPTS: u32 = 3;
/// How many turns a part of a read waits for at most, where its parts are answered apart.
const PART_TURNS: u32 = 2;

/// One run of a function. Those that reconcile works on at the same time are of one run.
#[derive(Debug, Clone, Copy)]
pub(super) struct Function {
    pub(super) number: u64,
    /// When Lambda ends it.
    pub(super) deadline: Timestamp,
    /// How far its clock is off, in milliseconds.
    pub(super) skew: i64,
}

impl Function {
    /// What its clock reads.
    pub(super) fn reads(self, now: Timestamp) -> Timestamp {
        Timestamp::from_millis(now.as_millis().saturating_add_signed(self.skew))
    }
}

/// An invocation under way.
#[derive(Debug)]
pub(super) struct Running {
    began: Timestamp,
    pub(super) due: Timestamp,
    pub(super) number: u64,
    name: InvocationId,
    /// The instance that it was started for; none for a look at a free slot.
    about: Option<InstanceId>,
    function: Function,
    pub(super) machine: Machine,
    request: Request,
    /// A read whose parts are answered one after the other.
    reading: Option<Reading>,
    /// When its call was made.
    called_at: Timestamp,
    /// Whether its call hangs: it is made when it is due, and nobody is there for the answer.
    pub(super) hanging: bool,
    /// Whether it stood still before this call, and whether it ever did.
    frozen: bool,
    was_frozen: bool,
    /// Since when the records were read or written last, if that was its latest call.
    records_at: Option<Timestamp>,
    /// How it saw the queue that it stands in, last.
    queue: Option<Queue>,
    /// When it looked at EC2 and Auto Scaling last.
    described_at: Option<Timestamp>,
    /// What Lambda tries again when the invocation dies or fails.
    delivery: Delivery,
}

/// What runs: the loop for an instance, reconcile's look at a free slot, or the rebuilding of a pool.
#[derive(Debug)]
pub(super) enum Machine {
    Loop(Box<Invocation>),
    Inspection(Box<Inspection>),
    Rebuild(Box<Rebuild>),
}

struct Reading(Pin<Box<dyn Future<Output = Result<Response, PortError>> + Send>>);

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Reading")
    }
}

impl Machine {
    fn start(&mut self, now: Timestamp) -> Request {
        match self {
            Self::Loop(invocation) => invocation.start(now),
            Self::Inspection(inspection) => inspection.start(),
            Self::Rebuild(rebuild) => rebuild.start(),
        }
    }

    fn resume(&mut self, response: Response, now: Timestamp) -> Request {
        match self {
            Self::Loop(invocation) => invocation.resume(response, now),
            Self::Inspection(inspection) => inspection.resume(response, now),
            Self::Rebuild(rebuild) => rebuild.resume(response, now),
        }
    }
}

impl Stage {
    pub(super) fn run(
        &mut self,
        (what, about): (&str, Option<InstanceId>),
        delivery: &Delivery,
        function: Function,
        machine: impl FnOnce(Allowance) -> Machine,
    ) -> Result<(), String> {
        let now = self.cloud.world().now();
        self.sequence += 1;
        let number = self.sequence;
        let name: InvocationId = format!("invocation-{number}")
            .parse()
            .map_err(|error| format!("the stage's own name is none: {error}"))?;
        self.trace.note(now, format!("{number}: {what}"));
        let reads = function.reads(now);
        let allowance = Allowance::until(name.clone(), reads, function.deadline, OPERATION_TIMEOUT);
        let mut machine = machine(allowance);
        let request = machine.start(reads);
        let due = now.plus(self.one_call());
        self.running.push(Running {
            began: now,
            due,
            number,
            name,
            about,
            function,
            machine,
            request,
            reading: None,
            called_at: now,
            hanging: false,
            frozen: false,
            was_frozen: false,
            records_at: None,
            queue: None,
            described_at: None,
            delivery: delivery.clone(),
        });
        Ok(())
    }

    /// Carries one request of an invocation out, and takes the next.
    pub(super) fn carry_on(&mut self, number: u64) -> Result<(), String> {
        let index = self.running.iter().position(|running| running.number == number);
        let mut running = self
            .running
            .swap_remove(index.ok_or_else(|| format!("invocation {number} has vanished"))?);
        let now = self.cloud.world().now();
        if running.hanging {
            self.carry_out(&running)?;
            self.try_again(&running);
            return Ok(());
        }
        let response = match &running.request {
            Request::Finish(outcome) => {
                let failed = matches!(outcome.ending, Ending::Failed(_));
                self.trace.ending(now, number, &outcome.ending);
                self.ran += now.since(running.began);
                if failed {
                    self.try_again(&running);
                }
                match running.machine {
                    Machine::Loop(invocation) => self.reports.extend(invocation.into_reports()),
                    Machine::Inspection(inspection) => {
                        self.alarms.extend(inspection.alarms().iter().cloned());
                    }
                    Machine::Rebuild(rebuild) => {
                        self.has_rebuilt(&rebuild, outcome.ending.clone());
                    }
                }
                return Ok(());
            }
            _ if now >= running.function.deadline => {
                if !running.was_frozen {
                    self.broken.push(format!("invocation {number} did not end before its timeout"));
                }
                self.trace.note(now, format!("{number}: ended by Lambda"));
                self.try_again(&running);
                return Ok(());
            }
            Request::Pause(_) => Response::Done,
            _ => match self.call(running)? {
                Some((called, response)) => {
                    running = called;
                    response
                }
                None => return Ok(()),
            },
        };
        let records = matches!(response.alone(), Response::Records(..) | Response::Committed(_));
        // What is written while the parts of a read are answered, a part of it may have missed.
        running.records_at = records.then_some(running.called_at);
        if matches!(response, Response::Described(_) | Response::Along(_, Some(_))) {
            running.described_at = Some(now);
        }
        running.queue = Queue::seen(&running.request, &response).or(running.queue);
        running.request = running.machine.resume(response, running.function.reads(now));
        running.due = match &running.request {
            Request::Pause(pause) => now.plus(*pause),
            Request::Finish(_) => now,
            _ => now.plus(self.one_call()),
        };
        self.running.push(running);
        Ok(())
    }

    /// Makes the call that is due, unless something is the matter with it. What the invocation is answered, if it lives
    /// on and has its answer.
    fn call(&mut self, mut running: Running) -> Result<Option<(Running, Response)>, String> {
        let (now, number) = (self.cloud.world().now(), running.number);
        if let Some(reading) = running.reading.take() {
            return Ok(self.read_on(running, reading));
        }
        running.called_at = now;
        if !running.frozen {
            self.calls += 1;
            self.asked.push(what(&running.request));
        }
        self.trace.call(now, number, what(&running.request));
        if let Some(fault) = self.goes_wrong(&mut running) {
            self.trace.note(now, format!("{number}: {fault:?}"));
            return self.fail(running, fault);
        }
        let reads = matches!(
            running.request,
            Request::Read { .. } | Request::Describe(..) | Request::Others(_)
        ) || matches!(running.request.alone(), Request::Enrolment(_));
        if reads && happens(&mut self.rng, self.chances.apart) {
            self.count(Mishap::ReadApart);
            let (request, ports) = (running.request.clone(), self.ports());
            let reading = async move { shell::carry_out(request, &ports).await };
            return Ok(self.read_on(running, Reading(Box::pin(reading))));
        }
        let response = self.carry_out(&running)?;
        Ok(Some((running, response)))
    }

    fn read_on(
        &mut self,
        mut running: Running,
        mut reading: Reading,
    ) -> Option<(Running, Response)> {
        if let Some(answered) = self.poll(&mut reading.0, PART_TURNS, 0) {
            return Some((running, answered.unwrap_or_else(Response::Failed)));
        }
        running.reading = Some(reading);
        running.due = running.due.plus(self.one_call());
        self.running.push(running);
        None
    }

    /// What goes wrong with the call that is due. What stood still before it has had its share.
    fn goes_wrong(&mut self, running: &mut Running) -> Option<Fault> {
        if std::mem::take(&mut running.frozen) {
            return None;
        }
        let set = self.fault.filter(|(call, _)| *call == self.calls).map(|(_, fault)| fault);
        let fault = set.or_else(|| self.chances.with_call(&running.request, &mut self.rng))?;
        self.count(Mishap::Call(fault));
        for instance in self.concerned(running) {
            self.disturbed(Some(instance));
        }
        Some(fault)
    }

    /// Whose affairs stand still when something goes wrong with an invocation: the instance that it was started for, and those
    /// whose guard it holds, which may be waiters that it serves.
    fn concerned(&self, running: &Running) -> BTreeSet<InstanceId> {
        let guarded = |record: &Record| match record {
            Record::Claim(claim) => {
                let guard = claim.guard.as_ref().filter(|it| it.invocation == running.name);
                guard.map(|_| claim.instance.clone())
            }
            _ => None,
        };
        let guarded: BTreeSet<InstanceId> =
            self.leases.view(|records| records.filter_map(guarded).collect());
        guarded.into_iter().chain(running.about.clone()).collect()
    }

    /// A call goes wrong. What the invocation is answered, if it lives on.
    fn fail(
        &mut self,
        mut running: Running,
        fault: Fault,
    ) -> Result<Option<(Running, Response)>, String> {
        let lost = |running: &Running| {
            let (call, problem) = (running.request.call(), "timed out, by the stage".to_owned());
            Response::Failed(PortError::Transient { call, problem })
        };
        match fault {
            Fault::DiesBefore => self.dies(&running),
            Fault::DiesAfter => {
                self.carry_out(&running)?;
                self.dies(&running);
            }
            Fault::LostReply => {
                self.carry_out(&running)?;
                let response = lost(&running);
                return Ok(Some((running, response)));
            }
            Fault::Refused => {
                let response = lost(&running);
                return Ok(Some((running, response)));
            }
            Fault::Denied => {
                let (call, problem) = (running.request.call(), "denied, by the stage".to_owned());
                return Ok(Some((running, Response::Failed(PortError::Denied { call, problem }))));
            }
            Fault::Conflict => {
                return Ok(Some((running, Response::Committed(Commit::Conflict))));
            }
            Fault::Hangs => {
                running.hanging = true;
                running.due = running.function.deadline.plus(OPERATION_TIMEOUT);
                self.running.push(running);
            }
            Fault::Freezes => {
                running.frozen = true;
                running.was_frozen = true;
                // Longer, and it is ended before it is at work again.
                running.due = running.due.plus(self.up_to(FUNCTION_TIMEOUT));
                self.running.push(running);
            }
        }
        Ok(None)
    }

    /// The function dies, with all that it was at work on.
    fn dies(&mut self, running: &Running) {
        self.try_again(running);
        if self.chances.dies_whole {
            let number = running.function.number;
            let others: Vec<Running> = self
                .running
                .extract_if(.., |other| other.function.number == number && !other.hanging)
                .collect();
            for other in others {
                for instance in self.concerned(&other) {
                    self.disturbed(Some(instance));
                }
            }
        }
    }

    /// Makes a call, under the eyes of the rules.
    fn carry_out(&mut self, running: &Running) -> Result<Response, String> {
        let ports = self.ports();
        let asked = running.request.alone();
        self.changed |= matches!(asked, Request::Commit(_) | Request::Effect(..));
        let Running { name, records_at, queue, described_at, .. } = running;
        let caller =
            Caller { name, records_at: *records_at, queue: *queue, described_at: *described_at };
        self.before_call(asked, &caller);
        let breaks = self.would_break(asked, &caller);
        let before = self.elsewhere(asked);
        let volumes = self.cloud.world().volumes().len();
        let carried = shell::carry_out(running.request.clone(), &ports).now_or_never();
        let answered = carried.ok_or_else(|| {
            format!("{} of invocation {} never ends", running.request.call(), running.number)
        })?;
        let creates = matches!(asked, Request::Effect(_, Effect::Create(_)));
        if !creates && self.cloud.world().volumes().len() != volumes {
            let call = running.request.call();
            self.broken.push(format!("rules 4 and 8: {call} changed how many volumes there are"));
        }
        let answer = answered.as_ref().map(Response::alone);
        if matches!(answer, Ok(Response::Committed(Commit::Committed))) {
            self.broken.extend(breaks);
        }
        if self.elsewhere(asked) != before {
            let call = running.request.call();
            self.broken.push(format!("rule 4: {call} took a volume off another instance"));
        }
        // An account whose limits let none of its heartbeats by keeps nothing alive, and so does a service that is down.
        if let (Request::Effect(instance, Effect::Heartbeat(_)), Err(_)) = (asked, &answered) {
            self.disturbed(Some(instance.clone()));
        }
        Ok(answered.unwrap_or_else(Response::Failed))
    }

    /// The attachments of a volume that is to be detached, to other instances than the one that it is detached from.
    fn elsewhere(&self, request: &Request) -> Vec<(String, AttachmentState)> {
        let Request::Effect(instance, Effect::Detach(volume)) = request else {
            return Vec::new();
        };
        let world = self.cloud.world();
        let attachments = world.volume(volume.as_str()).map(|it| it.attachments.clone());
        let others = attachments.into_iter().flatten();
        let others = others.filter(|it| it.instance != instance.as_str());
        others.map(|it| (it.instance, it.state)).collect()
    }

    /// Lambda tries an event again a minute after the function has failed or was ended, then after two; the schedule
    /// comes anyway.
    fn try_again(&mut self, running: &Running) {
        let Delivery { event, attempt } = &running.delivery;
        if self.retries && *event != Event::Schedule && *attempt < ATTEMPTS {
            let ended = self.cloud.world().now().min(running.function.deadline);
            let at = ended.plus(MINUTE * *attempt);
            self.deliver_at(at, Delivery { event: event.clone(), attempt: attempt + 1 });
        }
    }
}

/// A request in the words of the trace.
fn what(request: &Request) -> &'static str {
    match request.alone() {
        Request::Commit(transaction) => transaction.name,
        request => request.call(),
    }
}
