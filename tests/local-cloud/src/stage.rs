//! The functions on the world in virtual time, on one thread: events are delivered to them, each call takes a while,
//! and any number of invocations interleave at every call. The machine that runs is the one that runs in Lambda.
//!
//! How long calls and deliveries take, and who comes first where several are due at once, is drawn from the world's
//! seed: another seed is another interleaving, the same seed the same history.
//!
//! The safety rules are asserted after every step of the world and at every call, so a scenario that ends well has
//! been safe all along. What the stage itself can't make sense of is an error too, never passed over.

mod conduct;
mod functions;
mod safety;
mod trace;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use volume_pool::Timestamp;
use volume_pool::decide::Alarm;
use volume_pool::event::Event;
use volume_pool::invocation::LoopReport;
use volume_pool::observation::InstanceState;
use volume_pool::record::{Claim, Record, Slot, SlotState};

use crate::in_process::InProcess;
use crate::leases::MemoryLeases;
use crate::world::{Config, LifecycleState, World};

use functions::Running;
use trace::Trace;

/// What hook names of ours begin with.
pub const HOOK_PREFIX: &str = "stateful-asg";
/// How many milliseconds an event is under way, at least and at most.
const DELIVERY_MILLIS: (u64, u64) = (100, 400);
/// How often reconcile runs, and how long Lambda waits before it tries a failed event again.
const MINUTE: Duration = Duration::from_mins(1);
/// Keeps what the stage draws apart from what the world draws from the same seed.
const STAGE_SEED: u64 = 0x5354_4147_4500;

/// What goes wrong with one call of an invocation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The function dies before the call is made.
    DiesBefore,
    /// The function dies after the call took effect, before its answer is seen.
    DiesAfter,
    /// The call takes effect, and its answer is lost.
    LostReply,
    /// The call takes no effect and is not answered: it was throttled, say.
    Refused,
    /// The call takes no effect: the role may not make it.
    Denied,
    /// The call hangs until the function is ended at its timeout, and takes effect as late as a call under way then
    /// can.
    Hangs,
}

/// Whether a lifecycle action of ours may end by its timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeouts {
    /// Rule 9: somebody answers it, or keeps it alive.
    Broken,
    /// The scenario has reason to expect it.
    Expected,
}

/// The functions, the world and the records.
#[derive(Debug)]
pub struct Stage {
    /// The world.
    pub cloud: InProcess,
    /// The records.
    pub leases: MemoryLeases,
    /// How many milliseconds one call takes, at least and at most.
    pub call_millis: (u64, u64),
    /// How often each event is delivered.
    pub copies: usize,
    /// What goes wrong, at the call of this number, counted over all invocations from 1.
    pub fault: Option<(usize, Fault)>,
    /// Whether an event whose invocation died is tried again; reconcile runs in any case.
    pub retries: bool,
    /// Whether reconcile runs each minute.
    pub reconciles: bool,
    /// Whether actions of ours may time out.
    pub timeouts: Timeouts,
    /// Which events are lost.
    pub loses: fn(&Event) -> bool,
    /// The calls made so far.
    pub calls: usize,
    /// Which calls those were, a transaction by its own name.
    pub asked: Vec<&'static str>,
    /// What the loops did, in the order of their ends.
    pub reports: Vec<LoopReport>,
    /// What reconcile's looks at free slots told a person, beside the loops' alarms.
    pub alarms: Vec<Alarm>,
    /// Volumes that people have taken from instances in service: what these lack is not for the functions to give.
    pub taken: BTreeSet<String>,
    running: Vec<Running>,
    deliveries: BTreeMap<(Timestamp, u64), Delivery>,
    next_reconcile: Timestamp,
    sequence: u64,
    rng: fastrand::Rng,
    /// The attachments that the functions made, as volume and instance; those of people are none of theirs.
    attached: BTreeSet<(String, String)>,
    /// Instances that were in service before their group had a hook of ours.
    unenrolled: BTreeSet<String>,
    /// What was broken by a call or an event, and not by the state of things.
    broken: Vec<String>,
    trace: Trace,
}

/// An event on its way.
#[derive(Debug, Clone)]
struct Delivery {
    event: Event,
    /// Which attempt of Lambda's it is, from 1.
    attempt: u32,
}

/// What is due next.
#[derive(Debug, Clone, Copy)]
enum Next {
    Delivery,
    Reconcile,
    Invocation(u64),
}

impl Stage {
    /// A stage on a new world.
    pub fn new(config: Config, now: Timestamp) -> Self {
        let rng = fastrand::Rng::with_seed(config.seed ^ STAGE_SEED);
        Self {
            cloud: InProcess::new(World::new(config, now)),
            leases: MemoryLeases::default(),
            call_millis: (5, 60),
            copies: 1,
            fault: None,
            retries: true,
            reconciles: true,
            timeouts: Timeouts::Broken,
            loses: |_| false,
            calls: 0,
            asked: Vec::new(),
            reports: Vec::new(),
            alarms: Vec::new(),
            taken: BTreeSet::new(),
            unenrolled: BTreeSet::new(),
            running: Vec::new(),
            deliveries: BTreeMap::new(),
            next_reconcile: now.plus(MINUTE),
            sequence: 0,
            rng,
            attached: BTreeSet::new(),
            broken: Vec::new(),
            trace: Trace::default(),
        }
    }

    /// Delivers an event to the functions now.
    pub fn deliver(&mut self, event: Event) {
        let at = self.cloud.world().now();
        self.deliver_at(at, Delivery { event, attempt: 1 });
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
        self.take_events()
    }

    /// The claims on record.
    pub fn claims(&self) -> Vec<Claim> {
        let claim = |record: &Record| match record {
            Record::Claim(claim) => Some(claim.clone()),
            _ => None,
        };
        self.leases.view(|records| records.filter_map(claim).collect())
    }

    /// The slots on record.
    pub fn slots(&self) -> Vec<Slot> {
        let slot = |record: &Record| match record {
            Record::Slot(slot) => Some(slot.clone()),
            _ => None,
        };
        self.leases.view(|records| records.filter_map(slot).collect())
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
        self.take_events()?;
        let world_due = self.cloud.world().next_due();
        let ours_due = self.due().map(|(at, _)| at).min();
        let Some(at) = world_due.into_iter().chain(ours_due).min() else {
            return Ok(end.plus(Duration::from_millis(1)));
        };
        if at > end {
            return Ok(at);
        }
        self.cloud.world().advance(at);
        if world_due == Some(at) {
            self.take_events()?;
        } else {
            self.take_turn(at)?;
        }
        let broken = self.violations();
        if broken.is_empty() {
            return Ok(at);
        }
        Err(format!("at {at}: {}\n{}\n{}", broken.join("; "), self.trace, self.summary()))
    }

    /// What of the functions is due when.
    fn due(&self) -> impl Iterator<Item = (Timestamp, Next)> {
        let delivery = self.deliveries.first_key_value().map(|((at, _), _)| (*at, Next::Delivery));
        let reconcile = self.reconciles.then_some((self.next_reconcile, Next::Reconcile));
        let running =
            self.running.iter().map(|running| (running.due, Next::Invocation(running.number)));
        delivery.into_iter().chain(reconcile).chain(running)
    }

    /// One of those that are due at `at` has its turn.
    fn take_turn(&mut self, at: Timestamp) -> Result<(), String> {
        let due: Vec<Next> =
            self.due().filter(|(due, _)| *due == at).map(|(_, next)| next).collect();
        let next = self.rng.choice(due).ok_or("nothing is due after all")?;
        match next {
            Next::Delivery => {
                let (_, event) = self.deliveries.pop_first().ok_or("no event is due after all")?;
                self.begin(&event)
            }
            Next::Reconcile => {
                self.next_reconcile = at.plus(MINUTE);
                self.begin(&Delivery { event: Event::Schedule, attempt: 1 })
            }
            Next::Invocation(number) => self.carry_on(number),
        }
    }

    /// Takes the world's events, to be delivered, and what happened in it.
    fn take_events(&mut self) -> Result<(), String> {
        let (events, happenings) = {
            let mut world = self.cloud.world();
            (world.drain_events(), world.drain_happenings())
        };
        for happening in happenings {
            self.watch(&happening);
            self.trace.note(happening.at, happening.text);
        }
        for event in events {
            let parsed = Event::parse(&event.body, HOOK_PREFIX)
                .map_err(|error| format!("at {}: {error}: {}", event.at, event.body))?;
            if wired(&parsed) && !(self.loses)(&parsed) {
                for _ in 0..self.copies {
                    let (least, most) = DELIVERY_MILLIS;
                    let under_way = Duration::from_millis(self.rng.u64(least..=most));
                    let delivery = Delivery { event: parsed.clone(), attempt: 1 };
                    self.deliver_at(event.at.plus(under_way), delivery);
                }
            }
        }
        Ok(())
    }

    fn deliver_at(&mut self, at: Timestamp, delivery: Delivery) {
        self.sequence += 1;
        self.deliveries.insert((at, self.sequence), delivery);
    }
}

/// Whether the wiring sends such an event to a function.
fn wired(event: &Event) -> bool {
    match event {
        Event::Lifecycle(_) | Event::CommandEnded(_) => true,
        Event::InstanceState { state, .. } => {
            use InstanceState::{Running, Stopped, Terminated};
            matches!(state, Running | Stopped | Terminated)
        }
        Event::Schedule | Event::Ignored(_) => false,
    }
}
