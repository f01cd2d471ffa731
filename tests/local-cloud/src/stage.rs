//! The functions on the world in virtual time, on one thread: events are delivered to them, each call takes a while,
//! and any number of invocations interleave at every call. The machine that runs is the one that runs in Lambda.
//!
//! The safety rules are asserted after every step of the world, so a scenario that ends well has been safe all along.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::FutureExt;
use volume_pool::decide::Subject;
use volume_pool::event::Event;
use volume_pool::ids::{InstanceId, InvocationId};
use volume_pool::invocation::{Invocation, LoopReport};
use volume_pool::observation::InstanceState;
use volume_pool::ports::Ports;
use volume_pool::record::{Claim, Phase, Record, Slot, SlotState};
use volume_pool::request::{Ending, Request, Response};
use volume_pool::{Allowance, Timestamp, shell};

use crate::in_process::InProcess;
use crate::leases::MemoryLeases;
use crate::world::{self, AttachmentState, Config, LifecycleState, World};

/// What hook names of ours begin with.
pub const HOOK_PREFIX: &str = "stateful-asg";
/// How long one call takes.
const CALL: Duration = Duration::from_millis(20);
/// How long an event is under way.
const DELIVERY: Duration = Duration::from_millis(200);
/// The timeout of the functions, and how long the last call of one may go on for.
const FUNCTION_TIMEOUT: Duration = Duration::from_secs(60);
const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);
/// How often reconcile runs, and how long Lambda waits before it tries a failed event again.
const MINUTE: Duration = Duration::from_secs(60);

/// When an invocation dies: at its call of this number, counted over all invocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Crash {
    /// Before the call is made.
    Before(usize),
    /// After the call took effect, before its answer is seen.
    After(usize),
}

/// The functions, the world and the records.
#[derive(Debug)]
pub struct Stage {
    /// The world.
    pub cloud: InProcess,
    /// The records.
    pub leases: MemoryLeases,
    /// How often each event is delivered.
    pub copies: usize,
    /// Where an invocation dies.
    pub crash: Option<Crash>,
    /// Whether an event whose invocation died is tried again; reconcile runs in any case.
    pub retries: bool,
    /// Whether reconcile runs each minute.
    pub reconciles: bool,
    /// Which events are lost.
    pub loses: fn(&Event) -> bool,
    /// The calls made so far.
    pub calls: usize,
    /// What the loops did, in the order of their ends.
    pub reports: Vec<LoopReport>,
    running: Vec<Running>,
    deliveries: BTreeMap<(Timestamp, u64), Event>,
    next_reconcile: Timestamp,
    sequence: u64,
}

#[derive(Debug)]
struct Running {
    invocation: Invocation,
    request: Request,
    due: Timestamp,
    number: u64,
    /// What Lambda tries again when the invocation dies, and when.
    retry: (Timestamp, Event),
}

impl Stage {
    /// A stage on a new world.
    pub fn new(config: Config, now: Timestamp) -> Self {
        Self {
            cloud: InProcess::new(World::new(config, now)),
            leases: MemoryLeases::default(),
            copies: 1,
            crash: None,
            retries: true,
            reconciles: true,
            loses: |_| false,
            calls: 0,
            reports: Vec::new(),
            running: Vec::new(),
            deliveries: BTreeMap::new(),
            next_reconcile: now.plus(MINUTE),
            sequence: 0,
        }
    }

    /// Delivers an event to the functions now.
    pub fn deliver(&mut self, event: Event) {
        let at = self.cloud.world().now();
        self.deliver_at(at, event);
    }

    /// Lets time pass until `done`, for at most `limit`. The error says what broke, or what was still missing.
    pub fn run_until(
        &mut self,
        limit: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        let end = self.cloud.world().now().plus(limit);
        while !done(self) {
            if self.step(end)? > end {
                return Err(format!("not done after {limit:?}: {}", self.summary()));
            }
        }
        Ok(())
    }

    /// Lets time pass.
    pub fn run_for(&mut self, duration: Duration) -> Result<(), String> {
        let end = self.cloud.world().now().plus(duration);
        while self.step(end)? <= end {}
        self.cloud.world().advance(end);
        self.take_events();
        Ok(())
    }

    /// The claims on record.
    pub fn claims(&self) -> Vec<Claim> {
        let records = self.leases.records().into_iter();
        records
            .filter_map(|record| if let Record::Claim(claim) = record { Some(claim) } else { None })
            .collect()
    }

    /// The slots on record.
    pub fn slots(&self) -> Vec<Slot> {
        let records = self.leases.records().into_iter();
        records
            .filter_map(|record| if let Record::Slot(slot) = record { Some(slot) } else { None })
            .collect()
    }

    /// Which volume each instance in service of a group has, by its slot's name.
    pub fn volumes_in_service(&self) -> BTreeMap<String, (String, Vec<String>)> {
        let world = self.cloud.world();
        let mut found = BTreeMap::new();
        for slot in self.slots() {
            if let SlotState::Leased { holder } = &slot.state
                && let Some((_, member)) = world.member(holder.as_str())
                && member.state == LifecycleState::InService
            {
                let volumes = slot.volumes.iter().map(|volume| volume.volume.to_string()).collect();
                found.insert(slot.id.to_string(), (holder.to_string(), volumes));
            }
        }
        found
    }

    /// One step of whatever is due first; answers when that was, or would be if it lies beyond `end`.
    fn step(&mut self, end: Timestamp) -> Result<Timestamp, String> {
        self.take_events();
        let world_due = self.cloud.world().next_due();
        let delivery_due = self.deliveries.first_key_value().map(|((at, _), _)| *at);
        let running_due = self.running.iter().map(|running| (running.due, running.number)).min();
        let reconcile_due = self.reconciles.then_some(self.next_reconcile);
        let dues = [world_due, delivery_due, running_due.map(|(due, _)| due), reconcile_due];
        let Some(at) = dues.into_iter().flatten().min() else {
            return Ok(end.plus(CALL));
        };
        if at > end {
            return Ok(at);
        }
        self.cloud.world().advance(at);
        if world_due == Some(at) {
            self.take_events();
        } else if delivery_due == Some(at) {
            if let Some((_, event)) = self.deliveries.pop_first() {
                self.begin(event);
            }
        } else if reconcile_due == Some(at) {
            self.next_reconcile = at.plus(MINUTE);
            self.begin(Event::Schedule);
        } else if let Some((_, number)) = running_due {
            self.carry_on(number);
        }
        let broken = self.violations();
        if broken.is_empty() {
            Ok(at)
        } else {
            Err(format!("at {at}: {}\n{}", broken.join("; "), self.summary()))
        }
    }

    fn take_events(&mut self) {
        let events = self.cloud.world().drain_events();
        for event in events {
            let Ok(parsed) = Event::parse(&event.body, HOOK_PREFIX) else {
                continue;
            };
            let relevant = match &parsed {
                Event::Lifecycle(_) => true,
                Event::InstanceState { state, .. } => {
                    matches!(
                        state,
                        InstanceState::Running | InstanceState::Stopped | InstanceState::Terminated
                    )
                }
                Event::Schedule | Event::Ignored(_) => false,
            };
            if relevant && !(self.loses)(&parsed) {
                for _ in 0..self.copies {
                    self.deliver_at(event.at.plus(DELIVERY), parsed.clone());
                }
            }
        }
    }

    fn deliver_at(&mut self, at: Timestamp, event: Event) {
        self.sequence += 1;
        self.deliveries.insert((at, self.sequence), event);
    }

    /// Starts what an event asks for, as the functions do.
    fn begin(&mut self, event: Event) {
        let subject = |instance: &InstanceId| Subject {
            instance: instance.clone(),
            event: None,
            hint: None,
            hook_prefix: HOOK_PREFIX.to_owned(),
        };
        match &event {
            Event::Lifecycle(lifecycle) => {
                let subject =
                    Subject { event: Some(lifecycle.clone()), ..subject(&lifecycle.instance) };
                self.start(subject, event);
            }
            Event::InstanceState { instance, state } => {
                let subject = Subject { hint: Some(state.clone()), ..subject(instance) };
                self.start(subject, event);
            }
            Event::Schedule => {
                let open = shell::open_work(&self.leases).now_or_never();
                for instance in open.into_iter().flatten().flatten() {
                    self.start(subject(&instance), Event::Schedule);
                }
            }
            Event::Ignored(_) => {}
        }
    }

    fn start(&mut self, subject: Subject, event: Event) {
        let now = self.cloud.world().now();
        self.sequence += 1;
        let number = self.sequence;
        // The name's form is that of `InvocationId`: any text of this kind is one.
        let Ok(name) = format!("invocation-{number}").parse::<InvocationId>() else {
            return;
        };
        let deadline = now.plus(FUNCTION_TIMEOUT);
        let allowance = Allowance::until(name, now, deadline, OPERATION_TIMEOUT);
        let mut invocation = Invocation::new(subject, allowance);
        let request = invocation.start(now);
        let retry = (deadline.plus(MINUTE), event);
        self.running.push(Running { invocation, request, due: now.plus(CALL), number, retry });
    }

    /// Carries one request of an invocation out, and takes the next.
    fn carry_on(&mut self, number: u64) {
        let Some(index) = self.running.iter().position(|running| running.number == number) else {
            return;
        };
        let mut running = self.running.swap_remove(index);
        if let Request::Finish(outcome) = &running.request {
            let failed = matches!(outcome.ending, Ending::Failed(_));
            self.reports.extend(running.invocation.into_reports());
            if failed && self.retries {
                self.deliver_at(running.retry.0, running.retry.1);
            }
            return;
        }
        let now = self.cloud.world().now();
        let paused = matches!(running.request, Request::Pause(_));
        if !paused {
            self.calls += 1;
        }
        let dies = self.crash.filter(|crash| match crash {
            Crash::Before(call) | Crash::After(call) => !paused && *call == self.calls,
        });
        if let Some(Crash::Before(_)) = dies {
            self.die(running);
            return;
        }
        let ports = Ports {
            volumes: self.cloud.clone(),
            actions: self.cloud.clone(),
            leases: self.leases.clone(),
            clock: self.cloud.clone(),
        };
        let carried = shell::carry_out(running.request.clone(), &ports).now_or_never();
        if dies.is_some() {
            self.die(running);
            return;
        }
        let response = match carried {
            Some(answered) => answered.unwrap_or_else(Response::Failed),
            None => return,
        };
        running.request = running.invocation.resume(response, now);
        running.due = match &running.request {
            Request::Pause(pause) => now.plus(*pause),
            Request::Finish(_) => now,
            _ => now.plus(CALL),
        };
        self.running.push(running);
    }

    fn die(&mut self, running: Running) {
        if self.retries {
            self.deliver_at(running.retry.0, running.retry.1);
        }
    }

    /// Which safety rules do not hold now.
    pub fn violations(&self) -> Vec<String> {
        let world = self.cloud.world();
        let mut broken = world.violations();
        let claims = self.claims();
        let slots = self.slots();
        let mut holders = BTreeSet::new();
        for slot in &slots {
            if let Some(holder) = slot.holder() {
                if !holders.insert(holder.clone()) {
                    broken
                        .push(format!("rule 1: {holder} holds two slots, {} among them", slot.id));
                }
                let names_it = claims
                    .iter()
                    .any(|claim| claim.instance == *holder && claim.slot() == Some(&slot.id));
                if !names_it {
                    broken.push(format!(
                        "rule 1: {} is held by {holder}, whose claim says otherwise",
                        slot.id
                    ));
                }
            }
            if slot.state == SlotState::Free {
                for volume in &slot.volumes {
                    let attached = world
                        .volume(volume.volume.as_str())
                        .is_ok_and(|volume| !volume.attachments.is_empty());
                    let last = slot.recent_holders.first().map(InstanceId::as_str);
                    let ours = world.volume(volume.volume.as_str()).is_ok_and(|volume| {
                        volume
                            .attachments
                            .iter()
                            .any(|attachment| Some(attachment.instance.as_str()) == last)
                    });
                    if attached && ours {
                        broken.push(format!(
                            "rule 3: {} is free and {} is attached to its last holder",
                            slot.id, volume.volume
                        ));
                    }
                }
            }
        }
        for group in world.groups() {
            let ours = group.hooks.values().any(|hook| hook.name.starts_with(HOOK_PREFIX));
            for member in group
                .members
                .values()
                .filter(|member| ours && member.state == LifecycleState::InService)
            {
                let instance = world.instance(&member.instance);
                if instance.is_ok_and(|instance| instance.state == world::InstanceState::Running)
                    && let Some(missing) = missing(&world, &claims, &slots, &member.instance)
                {
                    broken.push(format!("rule 2: {} is in service {missing}", member.instance));
                }
            }
        }
        broken
    }

    fn summary(&self) -> String {
        let world = self.cloud.world();
        let mut lines = vec![format!("at {}", world.now())];
        for group in world.groups() {
            for member in group.members.values() {
                lines.push(format!(
                    "  {} {} {}: {}",
                    group.name,
                    member.zone,
                    member.instance,
                    member.state.as_str()
                ));
            }
        }
        for claim in self.claims() {
            lines.push(format!("  claim {} {:?}: {}", claim.instance, claim.phase, claim.reason));
        }
        for slot in self.slots() {
            lines.push(format!("  slot {} {:?}: {}", slot.id, slot.state, slot.reason));
        }
        lines.join("\n")
    }
}

/// What an instance in service lacks.
fn missing(world: &World, claims: &[Claim], slots: &[Slot], instance: &str) -> Option<String> {
    let claim = claims.iter().find(|claim| claim.instance.as_str() == instance);
    let Some(Phase::Leased { slot: id, .. }) = claim.map(|claim| &claim.phase) else {
        return Some("without a lease".to_owned());
    };
    let slot = slots.iter().find(|slot| slot.id == *id)?;
    slot.volumes.iter().find_map(|wanted| {
        let attachment = world.attachment(wanted.volume.as_str(), instance);
        match attachment {
            Some(attachment) if attachment.state != AttachmentState::Attached => {
                Some(format!("with {} {}", wanted.volume, attachment.state.as_str()))
            }
            Some(attachment) if attachment.delete_on_termination => {
                Some(format!("with {} to be deleted with it", wanted.volume))
            }
            Some(_) => None,
            None => Some(format!("without {}", wanted.volume)),
        }
    })
}
