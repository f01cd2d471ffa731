//! The functions: what an event starts, and reconcile's sweep, whose reads are answered one after the other.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use volume_pool::decide::{Alarm, Subject};
use volume_pool::drift::Inspection;
use volume_pool::event::Event;
use volume_pool::ids::{InstanceId, SlotId};
use volume_pool::invocation::Invocation;
use volume_pool::ports::Ports;
use volume_pool::sweep::Plan;
use volume_pool::{Timestamp, shell};

use crate::gate::Service;
use crate::in_process::InProcess;
use crate::leases::MemoryLeases;

use super::delivery::Delivery;
use super::faults::{Mishap, happens};
use super::invocations::{Function, Machine};
use super::{HOOK_PREFIX, Stage};

/// The timeout of the functions, and how long the last call of one may go on for.
pub(super) const FUNCTION_TIMEOUT: Duration = Duration::from_mins(1);
pub(super) const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
/// How many turns a read of a sweep waits for at most.
const SWEEP_TURNS: u32 = 3;

/// A sweep that is being read.
pub(super) struct Sweeping {
    pub(super) due: Timestamp,
    pub(super) function: Function,
    reads: Pin<Box<dyn Future<Output = Swept> + Send>>,
    delivery: Delivery,
}

/// What a sweep found.
struct Swept {
    plan: Plan,
    alarms: Vec<Alarm>,
    failures: Vec<String>,
}

impl fmt::Debug for Sweeping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sweeping").field("due", &self.due).finish_non_exhaustive()
    }
}

impl Stage {
    /// Starts what an event asks for, as the functions do.
    pub(super) fn begin(&mut self, delivery: &Delivery) -> Result<(), String> {
        let function = self.function();
        match &delivery.event {
            Event::Lifecycle(lifecycle) => {
                let event = Some(lifecycle.clone());
                let subject = Subject { event, ..subject(&lifecycle.instance) };
                self.start(subject, delivery, function)
            }
            Event::InstanceState { instance, state } => {
                let subject = Subject { hint: Some(state.clone()), ..subject(instance) };
                self.start(subject, delivery, function)
            }
            Event::CommandEnded(instance) => self.start(subject(instance), delivery, function),
            Event::Schedule => {
                self.sweep(delivery, function);
                self.sweep_on(function.number)
            }
            Event::Ignored(_) => Ok(()),
        }
    }

    /// A function's run that begins now.
    fn function(&mut self) -> Function {
        let now = self.cloud.world().now();
        self.sequence += 1;
        let skew = i64::try_from(self.chances.skew.as_millis()).unwrap_or(0);
        Function {
            number: self.sequence,
            deadline: now.plus(FUNCTION_TIMEOUT),
            skew: if skew == 0 { 0 } else { self.rng.i64(-skew..=skew) },
        }
    }

    fn sweep(&mut self, delivery: &Delivery, function: Function) {
        if self.cloud.gate().down().contains(&Service::AutoScaling) {
            self.disturbed(None);
        }
        let (ports, now) = (self.ports(), function.reads(self.cloud.world().now()));
        let reads = async move {
            let swept = shell::sweep(&ports).await;
            let plan = swept.plan(now);
            shell::keep_alive(plan.keep_alive.clone(), HOOK_PREFIX, &ports).await;
            let alarms = swept.alarms();
            Swept {
                plan,
                alarms,
                failures: swept.failures.iter().map(ToString::to_string).collect(),
            }
        };
        self.sweeps.push(Sweeping {
            due: self.cloud.world().now(),
            function,
            reads: Box::pin(reads),
            delivery: delivery.clone(),
        });
    }

    /// Has a sweep read on. Once it has read everything, what it found gets its turns.
    pub(super) fn sweep_on(&mut self, number: u64) -> Result<(), String> {
        let index = self.sweeps.iter().position(|sweep| sweep.function.number == number);
        let index = index.ok_or_else(|| format!("sweep {number} has vanished"))?;
        let mut sweep = self.sweeps.swap_remove(index);
        let now = self.cloud.world().now();
        if now >= sweep.function.deadline {
            return Ok(());
        }
        if happens(&mut self.rng, self.chances.sweep_dies) {
            self.count(Mishap::SweepDies);
            self.disturbed(None);
            self.trace.note(now, format!("{number}: the sweep dies"));
            return Ok(());
        }
        let turns = if self.chances.apart > 0 { SWEEP_TURNS } else { 0 };
        let answered = self.poll(&mut sweep.reads, turns, self.chances.sweep_reads);
        let Some(swept) = answered else {
            sweep.due = now.plus(self.one_call());
            self.sweeps.push(sweep);
            return Ok(());
        };
        for failure in &swept.failures {
            self.trace.note(now, format!("{number}: the sweep can't read a part: {failure}"));
        }
        self.alarms.extend(swept.alarms);
        for (instance, found) in swept.plan.instances {
            let subject = Subject { found: Some(found), ..subject(&instance) };
            self.start(subject, &sweep.delivery, sweep.function)?;
        }
        for slot in swept.plan.slots {
            self.inspect(slot, &sweep.delivery, sweep.function)?;
        }
        Ok(())
    }

    /// Polls what reads, with the gate as narrow as this.
    pub(super) fn poll<T>(
        &mut self,
        reads: &mut Pin<Box<dyn Future<Output = T> + Send>>,
        turns: u32,
        failing: u32,
    ) -> Option<T> {
        if turns > 0 || failing > 0 {
            let rng = self.rng.fork();
            self.cloud.gate().narrow(turns, failing, rng);
        }
        let polled = reads.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        for _ in 0..self.cloud.gate().widen() {
            self.count(Mishap::SweepReadFails);
            self.disturbed(None);
        }
        match polled {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        }
    }

    fn start(
        &mut self,
        subject: Subject,
        delivery: &Delivery,
        function: Function,
    ) -> Result<(), String> {
        let what = match (&delivery.event, subject.found) {
            (Event::Lifecycle(event), _) => format!("{} event", event.action.hook),
            (Event::InstanceState { state, .. }, _) => format!("{state:?} event"),
            (Event::CommandEnded(_), _) => "command event".to_owned(),
            (Event::Schedule | Event::Ignored(_), Some(found)) => format!("reconcile: {found}"),
            (Event::Schedule | Event::Ignored(_), None) => "reconcile".to_owned(),
        };
        let what = format!("{what}, for {}", subject.instance);
        let about = Some(subject.instance.clone());
        self.run((&what, about), delivery, function, |allowance| {
            Machine::Loop(Box::new(Invocation::new(subject, allowance)))
        })
    }

    fn inspect(
        &mut self,
        slot: SlotId,
        delivery: &Delivery,
        function: Function,
    ) -> Result<(), String> {
        let what = format!("reconcile looks at {slot}");
        self.run((&what, None), delivery, function, |_| {
            Machine::Inspection(Box::new(Inspection::new(slot)))
        })
    }

    pub(super) fn ports(&self) -> Ports<InProcess, InProcess, InProcess, MemoryLeases, InProcess> {
        Ports {
            volumes: self.cloud.clone(),
            actions: self.cloud.clone(),
            commands: self.cloud.clone(),
            leases: self.leases.clone(),
            clock: self.cloud.clone(),
        }
    }

    pub(super) fn one_call(&mut self) -> Duration {
        let (least, most) = self.call_millis;
        Duration::from_millis(self.rng.u64(least..=most))
    }
}

fn subject(instance: &InstanceId) -> Subject {
    Subject {
        instance: instance.clone(),
        event: None,
        hint: None,
        found: None,
        hook_prefix: HOOK_PREFIX.to_owned(),
    }
}
