//! The functions: what an event starts, and the calls of each invocation, one at a time, with what goes wrong.

use std::time::Duration;

use futures_util::FutureExt;
use volume_pool::decide::{Effect, Subject};
use volume_pool::drift::Inspection;
use volume_pool::event::Event;
use volume_pool::ids::{InstanceId, InvocationId, SlotId};
use volume_pool::invocation::Invocation;
use volume_pool::ports::{PortError, Ports};
use volume_pool::request::{Ending, Request, Response};
use volume_pool::{Allowance, Timestamp, shell};

use crate::in_process::InProcess;
use crate::leases::MemoryLeases;

use super::{Delivery, Fault, HOOK_PREFIX, MINUTE, Stage};

/// The timeout of the functions, and how long the last call of one may go on for.
const FUNCTION_TIMEOUT: Duration = Duration::from_mins(1);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
/// How often Lambda tries an asynchronous event (`MaximumRetryAttempts` is 2).
const ATTEMPTS: u32 = 3;

/// An invocation under way.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) due: Timestamp,
    pub(super) number: u64,
    pub(super) name: InvocationId,
    machine: Machine,
    request: Request,
    /// When Lambda ends it.
    deadline: Timestamp,
    /// Whether its call hangs: it is made when it is due, and nobody is there for the answer.
    hanging: bool,
    /// What Lambda tries again when the invocation dies or fails.
    delivery: Delivery,
}

/// What runs: the loop for an instance, or reconcile's look at a free slot.
#[derive(Debug)]
enum Machine {
    Loop(Box<Invocation>),
    Inspection(Box<Inspection>),
}

impl Machine {
    fn start(&mut self, now: Timestamp) -> Request {
        match self {
            Self::Loop(invocation) => invocation.start(now),
            Self::Inspection(inspection) => inspection.start(),
        }
    }

    fn resume(&mut self, response: Response, now: Timestamp) -> Request {
        match self {
            Self::Loop(invocation) => invocation.resume(response, now),
            Self::Inspection(inspection) => inspection.resume(response, now),
        }
    }
}

impl Stage {
    /// Starts what an event asks for, as the functions do.
    pub(super) fn begin(&mut self, delivery: &Delivery) -> Result<(), String> {
        let subject = |instance: &InstanceId| Subject {
            instance: instance.clone(),
            event: None,
            hint: None,
            found: None,
            hook_prefix: HOOK_PREFIX.to_owned(),
        };
        match &delivery.event {
            Event::Lifecycle(lifecycle) => {
                let subject =
                    Subject { event: Some(lifecycle.clone()), ..subject(&lifecycle.instance) };
                self.start(subject, delivery)
            }
            Event::InstanceState { instance, state } => {
                let subject = Subject { hint: Some(state.clone()), ..subject(instance) };
                self.start(subject, delivery)
            }
            Event::CommandEnded(instance) => self.start(subject(instance), delivery),
            Event::Schedule => {
                let now = self.cloud.world().now();
                let swept = shell::sweep(&self.ports()).now_or_never();
                let swept = swept.ok_or("the sweep does not read at once")?;
                for failure in &swept.failures {
                    self.trace.note(now, format!("the sweep can't read a part: {failure}"));
                }
                let plan = swept.plan(now);
                for (instance, found) in plan.instances {
                    let subject = Subject { found: Some(found), ..subject(&instance) };
                    self.start(subject, delivery)?;
                }
                for slot in plan.slots {
                    self.inspect(slot, delivery)?;
                }
                Ok(())
            }
            Event::Ignored(_) => Ok(()),
        }
    }

    fn start(&mut self, subject: Subject, delivery: &Delivery) -> Result<(), String> {
        let what = match (&delivery.event, subject.found) {
            (Event::Lifecycle(event), _) => format!("{} event", event.action.hook),
            (Event::InstanceState { state, .. }, _) => format!("{state:?} event"),
            (Event::CommandEnded(_), _) => "command event".to_owned(),
            (Event::Schedule | Event::Ignored(_), Some(found)) => format!("reconcile: {found}"),
            (Event::Schedule | Event::Ignored(_), None) => "reconcile".to_owned(),
        };
        let what = format!("{what}, for {}", subject.instance);
        self.run(&what, delivery, |allowance| {
            Machine::Loop(Box::new(Invocation::new(subject, allowance)))
        })
    }

    fn inspect(&mut self, slot: SlotId, delivery: &Delivery) -> Result<(), String> {
        let what = format!("reconcile looks at {slot}");
        self.run(&what, delivery, |_| Machine::Inspection(Box::new(Inspection::new(slot))))
    }

    fn run(
        &mut self,
        what: &str,
        delivery: &Delivery,
        machine: impl FnOnce(Allowance) -> Machine,
    ) -> Result<(), String> {
        let now = self.cloud.world().now();
        self.sequence += 1;
        let number = self.sequence;
        let name: InvocationId = format!("invocation-{number}")
            .parse()
            .map_err(|error| format!("the stage's own name is none: {error}"))?;
        self.trace.note(now, format!("{number}: {what}"));
        let deadline = now.plus(FUNCTION_TIMEOUT);
        let allowance = Allowance::until(name.clone(), now, deadline, OPERATION_TIMEOUT);
        let mut machine = machine(allowance);
        let request = machine.start(now);
        let due = now.plus(self.one_call());
        self.running.push(Running {
            due,
            number,
            name,
            machine,
            request,
            deadline,
            hanging: false,
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
                self.trace.note(now, format!("{number}: {:?}", outcome.ending));
                if failed {
                    self.try_again(&running);
                }
                match running.machine {
                    Machine::Loop(invocation) => self.reports.extend(invocation.into_reports()),
                    Machine::Inspection(inspection) => {
                        self.alarms.extend(inspection.alarms().iter().cloned());
                    }
                }
                return Ok(());
            }
            _ if now >= running.deadline => {
                self.broken.push(format!("invocation {number} did not end before its timeout"));
                self.try_again(&running);
                return Ok(());
            }
            Request::Pause(_) => Response::Done,
            _ => {
                self.calls += 1;
                self.asked.push(what(&running.request));
                self.trace.call(now, number, what(&running.request));
                let fault = self.fault.filter(|(call, _)| *call == self.calls);
                match fault.map(|(_, fault)| fault) {
                    None => self.carry_out(&running)?,
                    Some(fault) => {
                        self.trace.note(now, format!("{number}: {fault:?}"));
                        match self.fail(running, fault)? {
                            Some((failed, response)) => {
                                running = failed;
                                response
                            }
                            None => return Ok(()),
                        }
                    }
                }
            }
        };
        running.request = running.machine.resume(response, now);
        running.due = match &running.request {
            Request::Pause(pause) => now.plus(*pause),
            Request::Finish(_) => now,
            _ => now.plus(self.one_call()),
        };
        self.running.push(running);
        Ok(())
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
            Fault::DiesBefore => self.try_again(&running),
            Fault::DiesAfter => {
                self.carry_out(&running)?;
                self.try_again(&running);
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
                let (call, problem) = (running.request.call(), "by the stage".to_owned());
                let response = Response::Failed(PortError::Denied { call, problem });
                return Ok(Some((running, response)));
            }
            Fault::Hangs => {
                running.hanging = true;
                running.due = running.deadline.plus(OPERATION_TIMEOUT);
                self.running.push(running);
            }
        }
        Ok(None)
    }

    /// Makes a call, under the eyes of the rules.
    fn carry_out(&mut self, running: &Running) -> Result<Response, String> {
        let ports = self.ports();
        self.before_call(&running.request, &running.name);
        let volumes = self.cloud.world().volumes().count();
        let carried = shell::carry_out(running.request.clone(), &ports).now_or_never();
        let answered = carried.ok_or_else(|| {
            format!("{} of invocation {} never ends", running.request.call(), running.number)
        })?;
        let creates = matches!(running.request, Request::Effect(_, Effect::Create(_)));
        if !creates && self.cloud.world().volumes().count() != volumes {
            let call = running.request.call();
            self.broken.push(format!("rules 4 and 8: {call} changed how many volumes there are"));
        }
        Ok(answered.unwrap_or_else(Response::Failed))
    }

    /// Lambda tries an event again a minute after the function has failed or was ended, then after two; the schedule
    /// comes anyway.
    fn try_again(&mut self, running: &Running) {
        let Delivery { event, attempt } = &running.delivery;
        if self.retries && *event != Event::Schedule && *attempt < ATTEMPTS {
            let ended = self.cloud.world().now().min(running.deadline);
            let at = ended.plus(MINUTE * *attempt);
            self.deliver_at(at, Delivery { event: event.clone(), attempt: attempt + 1 });
        }
    }

    fn ports(&self) -> Ports<InProcess, InProcess, InProcess, MemoryLeases, InProcess> {
        Ports {
            volumes: self.cloud.clone(),
            actions: self.cloud.clone(),
            commands: self.cloud.clone(),
            leases: self.leases.clone(),
            clock: self.cloud.clone(),
        }
    }

    fn one_call(&mut self) -> Duration {
        let (least, most) = self.call_millis;
        Duration::from_millis(self.rng.u64(least..=most))
    }
}

/// A request in the words of the trace.
fn what(request: &Request) -> &'static str {
    match request {
        Request::Commit(transaction) => transaction.name,
        request => request.call(),
    }
}
