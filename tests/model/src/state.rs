//! One state of the model: the table, the cloud, the invocations under way, the events that have not arrived, and what
//! may still go wrong.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use local_cloud::records::Records;
use volume_pool::action::{Action, Transition};
use volume_pool::decide::{Effect, Subject};
use volume_pool::event::LifecycleEvent;
use volume_pool::ids::{InstanceId, InvocationId, VolumeId};
use volume_pool::invocation::Invocation;
use volume_pool::observation::{Instance, InstanceState, Volume};
use volume_pool::record::{Key, List, Phase, Record, SlotState};
use volume_pool::request::{Request, Response};
use volume_pool::sweep::{Found, Plan, PoolView, Swept};
use volume_pool::{Allowance, Timestamp};

use crate::cloud::{Cloud, Member};
use crate::configuration::{Configuration, Faults};
use crate::names;

/// The functions' timeout, and how long a call under way then may go on.
const TIMEOUT: Duration = Duration::from_mins(1);
const LAST_CALL: Duration = Duration::from_secs(10);

/// One state of the model.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct State {
    /// AWS.
    pub cloud: Arc<Cloud>,
    /// The lease table.
    pub records: Arc<Records>,
    /// The invocations that are alive, by the names of their attempts.
    pub running: BTreeMap<InvocationId, Arc<Running>>,
    /// Lifecycle events that have not arrived.
    pub undelivered: Arc<BTreeSet<Notice>>,
    /// What a sweep would bring up.
    pub finds: Arc<Vec<(InstanceId, Found)>>,
    /// What describes may show instead of what is.
    pub lag: Option<Lag>,
    /// What may still happen.
    pub left: Faults,
    /// How many invocations have begun since none was alive.
    pub begun: u8,
    /// The rule that is broken, if one is.
    pub broken: Option<String>,
}

/// An invocation between two of its requests.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Running {
    /// The machine.
    pub invocation: Invocation,
    /// What it asks for.
    pub request: Request,
    /// When it began.
    pub began: Timestamp,
    /// Whether anything has changed since it looked at AWS last.
    pub outdated: bool,
    /// Whether a slot was free or coming for its instance when it looked last.
    pub could_wait: bool,
    /// The records of its instance and slot as it knows them, where a broken variant answers from these.
    pub known: BTreeMap<Key, Record>,
}

/// A lifecycle event on its way.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Notice {
    /// The instance.
    pub instance: InstanceId,
    /// The token of its action.
    pub token: String,
    /// Whether it is a launch.
    pub launching: bool,
    /// Where the instance is bound for.
    pub destination: String,
}

/// A part of the cloud as it was once, which a describe may still show.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Lag {
    /// EC2's volumes.
    Volumes(Arc<BTreeMap<VolumeId, Volume>>),
    /// EC2's instances.
    Instances(Arc<BTreeMap<InstanceId, Instance>>),
    /// Auto Scaling's group.
    Members(Arc<BTreeMap<InstanceId, Member>>),
}

impl Notice {
    /// The event for this action.
    pub(crate) fn of(instance: &InstanceId, action: &Action) -> Self {
        Self {
            instance: instance.clone(),
            token: action.token.as_ref().map(ToString::to_string).unwrap_or_default(),
            launching: action.transition == Transition::Launching,
            destination: action.destination.clone().unwrap_or_default(),
        }
    }

    /// The event as it arrives.
    pub(crate) fn event(&self, policy: &str) -> LifecycleEvent {
        let transition =
            if self.launching { Transition::Launching } else { Transition::Terminating };
        let number = self.token.trim_start_matches('t').parse().unwrap_or_default();
        LifecycleEvent {
            instance: self.instance.clone(),
            action: names::action(transition, number, &self.destination),
            metadata: self.launching.then(|| policy.to_owned()),
        }
    }
}

/// A subject that is about nothing but this instance.
pub(crate) fn subject(instance: &InstanceId) -> Subject {
    Subject {
        instance: instance.clone(),
        event: None,
        hint: None,
        found: None,
        hook_prefix: names::HOOK_PREFIX.to_owned(),
    }
}

/// The subject of an event that a describe may lag behind.
pub(crate) fn hinted(instance: &InstanceId, state: InstanceState) -> Subject {
    Subject { hint: Some(state), ..subject(instance) }
}

/// The subject of a sweep's find.
pub(crate) fn swept(instance: &InstanceId, found: Found) -> Subject {
    Subject { found: Some(found), ..subject(instance) }
}

impl State {
    /// A table without records and a cloud without instances.
    pub(crate) fn new(configuration: &Configuration) -> Self {
        Self {
            cloud: Arc::new(Cloud::new(configuration.slots, configuration.volumes)),
            records: Arc::new(Records::default()),
            running: BTreeMap::new(),
            undelivered: Arc::default(),
            finds: Arc::default(),
            lag: None,
            left: configuration.faults,
            begun: 0,
            broken: None,
        }
    }

    /// What a sweep would bring up now.
    pub(crate) fn plan(&self, most: u32) -> Plan {
        let list = |list: List| self.records.list(&list, list.most());
        let open = list(List::Open).into_iter().filter_map(|record| match record {
            Record::Open(mark) => Some(mark),
            _ => None,
        });
        let held = list(List::EveryHeld(names::pool())).into_iter().filter_map(|it| match it {
            Record::Held(mark) => Some(mark),
            _ => None,
        });
        let free = list(List::EveryFree(names::pool())).into_iter().filter_map(|it| match it {
            Record::Free(mark) => Some(mark.slot),
            _ => None,
        });
        let pool = PoolView {
            name: names::pool(),
            held: held.collect(),
            free: free.collect(),
            // Nothing is done about them.
            apart: Vec::new(),
            volumes: self.cloud.volumes.values().cloned().collect(),
        };
        let mut swept = Swept {
            open: Some(open.collect()),
            groups: Some(vec![self.cloud.group(most)]),
            pools: vec![pool],
            holders: None,
            failures: Vec::new(),
        };
        let holders = swept.unseen_holders();
        let known = holders.iter().filter_map(|id| Some((id.clone(), self.cloud.instance(id)?)));
        swept.holders = Some(known.collect());
        swept.plan(self.cloud.now)
    }

    /// Takes note of what a sweep would bring up now.
    pub(crate) fn look_around(&mut self, most: u32) {
        let found = if self.left.sweeps > 0 { self.plan(most).instances } else { Vec::new() };
        self.finds = Arc::new(found);
    }

    /// Begins an invocation up to its first read, which nothing can come in between of that matters; answers its name.
    pub(crate) fn begin(&mut self, subject: Subject) -> InvocationId {
        let name = self.unused_name();
        let now = self.cloud.now;
        let allowance = Allowance::until(name.clone(), now, now.plus(TIMEOUT), LAST_CALL);
        let mut invocation = Invocation::new(subject, allowance);
        let request = invocation.start(now);
        let running = Running {
            invocation,
            request,
            began: now,
            outdated: false,
            could_wait: false,
            known: BTreeMap::new(),
        };
        self.running.insert(name.clone(), Arc::new(running));
        self.begun += 1;
        name
    }

    /// The first name that nobody goes by: an attempt has its name for itself.
    fn unused_name(&self) -> InvocationId {
        let guards = self.records.iter().filter_map(|record| match record {
            Record::Claim(claim) => Some(&claim.guard.as_ref()?.invocation),
            _ => None,
        });
        let taken: BTreeSet<&InvocationId> = guards.chain(self.running.keys()).collect();
        let mut number = 0;
        while taken.contains(&names::invocation(number)) {
            number += 1;
        }
        names::invocation(number)
    }

    /// With nobody alive, versions, epochs, names of dead guards and texts for people have nobody to compare them with:
    /// states that differ in nothing else are one.
    pub(crate) fn at_rest(&mut self) {
        if !self.running.is_empty() {
            return;
        }
        self.begun = 0;
        let now = self.cloud.now;
        self.records = Arc::new(self.records.rewritten(|record| plain(record, now)));
    }
}

fn plain(mut record: Record, now: Timestamp) -> Record {
    match &mut record {
        Record::Claim(claim) => {
            claim.version = 1;
            claim.reason.clear();
            claim.guard = claim.guard.take().filter(|guard| now < guard.until);
            if let Some(guard) = &mut claim.guard {
                guard.invocation = names::dead(&claim.instance);
            }
            match &mut claim.phase {
                Phase::Leased { epoch, .. } | Phase::Leaving { epoch, .. } => *epoch = 1,
                Phase::Closed | Phase::Waiting { .. } | Phase::Creating { .. } => {}
            }
        }
        Record::Slot(slot) => plain_slot(slot),
        Record::Free(mark) => plain_slot(&mut mark.slot),
        Record::Pool(pool) => pool.version = 1,
        Record::Group(group) => group.version = 1,
        Record::Open(mark) => mark.attended_at = Timestamp::default(),
        Record::Volume(_)
        | Record::Waiting(_)
        | Record::Coming(_)
        | Record::Held(_)
        | Record::Apart(_)
        | Record::Known(_) => {}
    }
    record
}

fn plain_slot(slot: &mut volume_pool::record::Slot) {
    slot.version = 1;
    slot.epoch = 1;
    // The reason of a slot that is amiss is compared with.
    if !matches!(slot.state, SlotState::Leased { .. }) {
        slot.reason.clear();
    }
}

impl Running {
    /// Gives the machine an answer.
    pub(crate) fn resume(&mut self, response: Response, now: Timestamp) {
        self.request = self.invocation.resume(response, now);
        self.invocation.forget_journal();
    }

    /// Whether its request is answered the same whenever it is, and shows nothing to others.
    /// The first read of its slot may as well come right after what it did before: what others write in between, they
    /// might have written before that.
    pub(crate) fn is_nobodys_business(&self) -> bool {
        match &self.request {
            Request::Hooks(_)
            | Request::Enrolment(_)
            | Request::Effect(_, Effect::Heartbeat(_) | Effect::Tag(..)) => true,
            Request::Read { keys, lists } => {
                lists.is_empty() && matches!(keys.as_slice(), [Key::Slot(_), Key::Pool(_)])
            }
            _ => false,
        }
    }

    /// Whether its request changes something that others see. Heartbeats and tags do not, here.
    pub(crate) fn changes(&self) -> bool {
        match self.request.alone() {
            Request::Effect(_, effect) => !matches!(effect, Effect::Heartbeat(_) | Effect::Tag(..)),
            Request::Commit(_) | Request::Poke(..) | Request::TakePoke(..) => true,
            _ => false,
        }
    }
}
