//! The functions on the world in virtual time, on one thread: events are delivered to them, each call takes a while,
//! and any number of invocations interleave at every call. The machine that runs is the one that runs in Lambda.
//!
//! How long calls and deliveries take, and who comes first where several are due at once, is drawn from the world's
//! seed: another seed is another interleaving, the same seed the same history.
//!
//! The safety rules are asserted after every step of the world and at every call, so a scenario that ends well has
//! been safe all along. What the stage itself can't make sense of is an error too, never passed over.

mod conduct;
mod delivery;
mod disturbances;
mod faults;
mod functions;
mod invocations;
mod rebuilding;
mod safety;
mod trace;
mod writes;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use volume_pool::Timestamp;
use volume_pool::decide::Alarm;
use volume_pool::event::Event;
use volume_pool::ids::{InstanceId, SlotId, VolumeId};
use volume_pool::invocation::LoopReport;
use volume_pool::record::{Claim, Record, Slot, SlotState};
use volume_pool::request::Ending;

use crate::in_process::InProcess;
use crate::leases::MemoryLeases;
use crate::world::{ApiError, Config, LifecycleState, World};

use conduct::Observed;
use delivery::Delivery;
use disturbances::Disturbances;
use functions::Sweeping;
use invocations::Running;
use rebuilding::Table;
use safety::Live;
use trace::Trace;

pub use faults::{Chances, Fault, Mishap, Rate};
pub use safety::contradictions;

/// What hook names of ours begin with.
pub const HOOK_PREFIX: &str = "stateful-asg";
/// How often reconcile runs, and how long Lambda waits before it tries a failed event again.
const MINUTE: Duration = Duration::from_mins(1);
/// Keeps what the stage draws apart from what the world draws from the same seed.
const STAGE_SEED: u64 = 0x5354_4147_4500;

/// Whether a lifecycle action of ours may end by its timeout.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Timeouts {
    /// Rule 9: somebody answers it, or keeps it alive.
    Broken,
    /// The scenario has reason to expect it.
    Expected,
    /// Only where so much went wrong that nobody could come to it in time.
    Explained,
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
    /// What goes wrong by chance.
    pub chances: Chances,
    /// How many lifecycle actions of ours there were.
    pub lifecycles: u64,
    /// How often it did.
    pub mishaps: BTreeMap<Mishap, u64>,
    /// Whether an event whose invocation died is tried again; reconcile runs in any case.
    pub retries: bool,
    /// Whether reconcile runs each minute.
    pub reconciles: bool,
    /// Whether actions of ours may time out.
    pub timeouts: Timeouts,
    /// Hooks that may time out whatever happens: a second one of ours on a group is a person's mistake, and where its event
    /// is lost nothing tells that it waits.
    pub tolerated: BTreeSet<String>,
    /// Which events are lost.
    pub loses: fn(&Event) -> bool,
    /// The calls made so far.
    pub calls: usize,
    /// How long the invocations that have ended ran for, all together.
    pub ran: Duration,
    /// Which calls those were, a transaction by its own name.
    pub asked: Vec<&'static str>,
    /// What the loops did, in the order of their ends.
    pub reports: Vec<LoopReport>,
    /// What reconcile told a person, of slots and by its looks at free ones, beside the loops' alarms.
    pub alarms: Vec<Alarm>,
    /// How each rebuilding of a pool ended, with what it told a person.
    pub rebuilt: Vec<(Ending, Vec<Alarm>)>,
    /// Volumes that people have taken from instances in service: what these lack is not for the functions to give.
    pub taken: BTreeSet<String>,
    table: Table,
    running: Vec<Running>,
    sweeps: Vec<Sweeping>,
    deliveries: BTreeMap<(Timestamp, u64), Delivery>,
    next_reconcile: Timestamp,
    sequence: u64,
    rng: fastrand::Rng,
    /// The attachments that the functions made, as volume and instance; those of people are none of theirs.
    attached: BTreeSet<(String, String)>,
    /// The attachments that people made.
    by_people: BTreeSet<(String, String)>,
    /// The instances that were in service with each volume.
    served: BTreeMap<VolumeId, BTreeSet<InstanceId>>,
    /// Instances whose group had no launch hook of ours, or was only observed, at any time of theirs.
    unenrolled: BTreeSet<String>,
    observed: Observed,
    /// What was broken by a call or an event, and not by the state of things.
    broken: Vec<String>,
    disturbances: Disturbances,
    /// Since when each slot that is free has been.
    free_since: BTreeMap<SlotId, Timestamp>,
    /// Since when each slot that is being released has been.
    releasing_since: BTreeMap<SlotId, Timestamp>,
    live: Live,
    /// Which revision of the records the rules on them alone were looked at for, and what of it breaks one.
    looked_at: Option<u64>,
    contradictory: Vec<String>,
    /// Since when each claim that has work left has had some.
    open_since: BTreeMap<InstanceId, Timestamp>,
    /// Whether anything has changed since the rules were last looked at.
    changed: bool,
    trace: Trace,
}

/// What is due next.
#[derive(Debug, Clone, Copy)]
enum Next {
    Delivery,
    Reconcile,
    Sweep(u64),
    Invocation(u64),
}

impl Stage {
    /// A stage on a new world.
    pub fn new(config: Config, now: Timestamp) -> Self {
        let rng = fastrand::Rng::with_seed(config.seed ^ STAGE_SEED);
        let cloud = InProcess::new(World::new(config, now));
        Self {
            leases: MemoryLeases::behind(cloud.gate().clone()),
            cloud,
            call_millis: (5, 60),
            copies: 1,
            fault: None,
            chances: Chances::default(),
            lifecycles: 0,
            mishaps: BTreeMap::new(),
            retries: true,
            reconciles: true,
            timeouts: Timeouts::Broken,
            tolerated: BTreeSet::new(),
            loses: |_| false,
            calls: 0,
            ran: Duration::ZERO,
            asked: Vec::new(),
            reports: Vec::new(),
            alarms: Vec::new(),
            rebuilt: Vec::new(),
            table: Table::Whole,
            taken: BTreeSet::new(),
            unenrolled: BTreeSet::new(),
            observed: Observed::default(),
            running: Vec::new(),
            sweeps: Vec::new(),
            deliveries: BTreeMap::new(),
            next_reconcile: now.plus(MINUTE),
            sequence: 0,
            rng,
            attached: BTreeSet::new(),
            by_people: BTreeSet::new(),
            served: BTreeMap::new(),
            broken: Vec::new(),
            disturbances: Disturbances::default(),
            free_since: BTreeMap::new(),
            releasing_since: BTreeMap::new(),
            live: Live::default(),
            looked_at: None,
            contradictory: Vec::new(),
            open_since: BTreeMap::new(),
            changed: false,
            trace: Trace::default(),
        }
    }

    /// Lets time pass until `done`, for at most `limit`. The error says what broke, or what was still missing.
    pub fn run_until(
        &mut self,
        limit: Duration,
        done: impl Fn(&Self) -> bool,
    ) -> Result<(), String> {
        let end = self.cloud.world().now().plus(limit);
        // Whoever called may have changed anything.
        self.changed = true;
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
        self.changed = true;
        while self.step(end)? <= end {}
        self.cloud.world().advance(end);
        self.take_events()
    }

    /// A person attaches a volume: it is where it is by nobody else's doing.
    pub fn attach_by_hand(
        &mut self,
        volume: &str,
        instance: &str,
        device: &str,
    ) -> Result<(), ApiError> {
        self.cloud.world().attach_volume(volume, instance, device)?;
        self.by_people.insert((volume.to_owned(), instance.to_owned()));
        Ok(())
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
            self.changed = true;
        } else {
            self.take_turn(at)?;
        }
        if !std::mem::take(&mut self.changed) && self.broken.is_empty() {
            return Ok(at);
        }
        let broken = self.violations();
        if broken.is_empty() {
            return Ok(at);
        }
        let trace: &dyn std::fmt::Display = if self.whole_trace() { &"" } else { &self.trace };
        Err(format!("at {at}: {}\n{trace}\n{}", broken.join("; "), self.summary()))
    }

    /// What of the functions is due when.
    fn due(&self) -> impl Iterator<Item = (Timestamp, Next)> {
        let delivery = self.deliveries.first_key_value().map(|((at, _), _)| (*at, Next::Delivery));
        let reconcile = self.reconciles.then_some((self.next_reconcile, Next::Reconcile));
        let running =
            self.running.iter().map(|running| (running.due, Next::Invocation(running.number)));
        let sweeps =
            self.sweeps.iter().map(|sweep| (sweep.due, Next::Sweep(sweep.function.number)));
        delivery.into_iter().chain(reconcile).chain(sweeps).chain(running)
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
            Next::Sweep(number) => self.sweep_on(number),
            Next::Invocation(number) => self.carry_on(number),
        }
    }

    fn count(&mut self, mishap: Mishap) {
        *self.mishaps.entry(mishap).or_default() += 1;
    }

    /// Some time, at most so long: short ones as often as long ones, whatever the scale.
    fn up_to(&mut self, most: Duration) -> Duration {
        let most = u64::try_from(most.as_millis()).unwrap_or(u64::MAX);
        let scale = self.rng.u32(0..=most.max(1).ilog2());
        Duration::from_millis(self.rng.u64(0..=most >> scale))
    }
}
