//! What a launch onto a free slot, and the termination of its instance, read and write in DynamoDB, by the number of slots
//! that their pool has. The same functions over the same records as everywhere else, the store metered.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use local_cloud::in_process::InProcess;
use local_cloud::leases::MemoryLeases;
use local_cloud::stage::HOOK_PREFIX;
use local_cloud::world::{Config, Market, Span, Timings, Workload, World};
use serde_json::Value;
use volume_pool::decide::Subject;
use volume_pool::event::Event;
use volume_pool::ids::{InstanceId, InvocationId};
use volume_pool::ports::{Clock, Commit, LeaseStore, Poke, PortError, Ports};
use volume_pool::record::{
    Format, FreeMark, HeldMark, Key, KnownMark, List, Origin, Place, Pool, Record, Slot, SlotState,
    SlotVolume, VolumeOwner,
};
use volume_pool::request::Ending;
use volume_pool::transition::{Expect, Transaction, Write};
use volume_pool::{Allowance, Timestamp, shell};

use crate::{BEGIN, ZONE, at_once, group_in, hooks, parsed, volume_in};

/// Whether the slots beside the one that the launch gets are held by others, or free as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Held: a node of a cluster is replaced.
    Held,
    /// Free: a cluster starts.
    Free,
}

/// What was read and written of the table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Used {
    /// Read request units: one for each 4 KB that a consistent read of an item, or a query, comes to.
    pub reads: usize,
    /// Bytes of the items read.
    pub bytes: usize,
    /// Write request units: two for each KB of each item of a transaction.
    pub writes: usize,
}

/// A launch, and the termination after it, in a pool of so many slots.
pub fn launch_and_termination(slots: u32, others: Others) -> Result<(Used, Used), String> {
    let mut rig = Rig::new(slots, others)?;
    let launch = rig.one_event()?;
    rig.set_size(0)?;
    let termination = rig.one_event()?;
    Ok((launch, termination))
}

type Here = Ports<InProcess, InProcess, InProcess, Metered, Moving>;

struct Rig {
    ports: Here,
    invocations: u32,
}

impl Rig {
    fn new(slots: u32, others: Others) -> Result<Self, String> {
        let zero = Span::exactly(Duration::ZERO);
        let timings = Timings {
            attach: zero,
            detach: zero,
            start: zero,
            lifecycle_step: zero,
            ..Timings::default()
        };
        let config = Config { timings, workload: Workload::Idle, ..Config::default() };
        let cloud = InProcess::new(World::new(config, BEGIN));
        let place = Place { pool: parsed("cassandra")?, zone: parsed(ZONE)? };
        let leases = Metered::default();
        let volume = free_volume(&cloud)?;
        let writes = records(&place, slots, others, &volume)?;
        for some in writes.chunks(100) {
            let transaction = Transaction { name: "fill", writes: some.to_vec(), wakes: None };
            let commit = at_once(leases.records.commit(&transaction))?;
            commit.map_err(|error| error.to_string())?;
        }
        let ports = Ports {
            volumes: cloud.clone(),
            actions: cloud.clone(),
            commands: cloud.clone(),
            leases,
            clock: Moving(cloud),
        };
        let policy = r#"{"pool":"cassandra","leave":{"mode":"detach"}}"#;
        group_in(&ports.volumes, ("cassandra", 1), &[ZONE], hooks(Some(policy)), Market::OnDemand)
            .map_err(|error| error.to_string())?;
        Ok(Self { ports, invocations: 0 })
    }

    fn set_size(&mut self, size: u32) -> Result<(), String> {
        let mut world = self.ports.volumes.world();
        world.set_desired_capacity("cassandra", size).map_err(|error| error.to_string())
    }

    /// Waits for the next lifecycle event and has the function answer it.
    fn one_event(&mut self) -> Result<Used, String> {
        let subject = self.subject()?;
        self.invocations += 1;
        let invocation: InvocationId = parsed(&format!("invocation-{}", self.invocations))?;
        let now = self.ports.clock.now();
        let deadline = now.plus(Duration::from_mins(1));
        let allowance = Allowance::until(invocation, now, deadline, Duration::from_secs(10));
        self.ports.leases.take();
        let report = at_once(shell::run(subject, allowance, &self.ports))?;
        let answered = report.loops.iter().any(|part| part.journal.answered.is_some());
        if report.ending != Ending::Settled || !answered {
            return Err(format!("not answered: {:?}", report.loops));
        }
        Ok(self.ports.leases.take())
    }

    fn subject(&self) -> Result<Subject, String> {
        for _ in 0..600 {
            let events = {
                let mut world = self.ports.volumes.world();
                let next = world.now().plus(Duration::from_secs(1));
                world.advance(next);
                world.drain_events()
            };
            for event in events {
                let parsed = Event::parse(&event.body, HOOK_PREFIX);
                if let Event::Lifecycle(event) = parsed.map_err(|error| error.to_string())? {
                    return Ok(Subject {
                        instance: event.instance.clone(),
                        event: Some(event),
                        hint: None,
                        found: None,
                        hook_prefix: HOOK_PREFIX.to_owned(),
                    });
                }
            }
        }
        Err("no lifecycle event came".to_owned())
    }
}

/// The volume of the slot that was released last.
fn free_volume(cloud: &InProcess) -> Result<String, String> {
    let tags = BTreeMap::from([("stateful-asg:pool".to_owned(), "cassandra".to_owned())]);
    let volume = volume_in(cloud, ZONE, tags).map_err(|error| error.to_string())?;
    let mut world = cloud.world();
    let later = world.now().plus(Duration::from_secs(10));
    world.advance(later);
    Ok(volume)
}

/// The records of a pool whose slot 0 is free, and was released last.
fn records(place: &Place, slots: u32, others: Others, free: &str) -> Result<Vec<Write>, String> {
    let mut writes = Vec::new();
    let mut mark = |record| writes.push(Write::Put(record, Expect::Mark));
    mark(Record::Known(KnownMark { pool: place.pool.clone() }));
    let mut pool = Pool::new(place.pool.clone());
    pool.next_index = slots;
    pool.slots_per_zone.insert(place.zone.clone(), slots);
    mark(Record::Pool(pool));
    for index in 0..slots {
        let volume = if index == 0 { free.to_owned() } else { format!("vol-{index:017x}") };
        let holder: InstanceId = parsed(&format!("i-{index:017x}"))?;
        let mut slot = Slot {
            id: parsed(&format!("cassandra-{index}"))?,
            zone: place.zone.clone(),
            version: 7,
            epoch: 3,
            state: SlotState::Free,
            format: Format::Over,
            recent_holders: vec![holder.clone()],
            volumes: vec![SlotVolume {
                name: parsed("data")?,
                volume: parsed(&volume)?,
                device: parsed("/dev/sdf")?,
                origin: Origin::Adopted,
                created_at: BEGIN,
            }],
            leased_at: Some(BEGIN),
            // Slot 0 was released last: its data needs the least catching up, so it goes first.
            released_at: Some(BEGIN.plus(Duration::from_secs((slots - index).into()))),
            moving: None,
            reason: "every volume of the slot is shown to be detached".to_owned(),
        };
        if index > 0 && others == Others::Held {
            slot.state = SlotState::Leased { holder: holder.clone() };
            mark(Record::Held(HeldMark {
                place: place.clone(),
                slot: slot.id.clone(),
                holder,
                volumes: vec![parsed(&volume)?],
                amiss: false,
            }));
        } else {
            mark(Record::Free(FreeMark { slot: slot.clone() }));
        }
        let owner = VolumeOwner { volume: parsed(&volume)?, slot: slot.id.clone() };
        mark(Record::Volume(owner));
        mark(Record::Slot(slot));
    }
    Ok(writes)
}

/// The world's clock; a pause lets the world's time pass.
#[derive(Debug, Clone)]
struct Moving(InProcess);

impl Clock for Moving {
    fn now(&self) -> Timestamp {
        self.0.world().now()
    }

    async fn pause(&self, pause: Duration) {
        let mut world = self.0.world();
        let after = world.now().plus(pause);
        world.advance(after);
    }
}

/// The records, and what was used of them so far.
#[derive(Debug, Clone, Default)]
struct Metered {
    records: MemoryLeases,
    used: Arc<Mutex<Used>>,
}

impl Metered {
    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take(&self) -> Used {
        std::mem::take(&mut *self.used())
    }

    /// One read, by key or by query, that came to so many bytes (DynamoDB Developer Guide, "Read consumption").
    fn has_read(&self, bytes: usize) {
        let mut used = self.used();
        used.reads += bytes.div_ceil(4_096).max(1);
        used.bytes += bytes;
    }
}

impl LeaseStore for Metered {
    async fn read(&self, keys: &[Key]) -> Result<BTreeMap<Key, Record>, PortError> {
        let found = self.records.read(keys).await?;
        for key in keys {
            self.has_read(found.get(key).map_or(0, item_size));
        }
        Ok(found)
    }

    async fn list(&self, list: &List, limit: usize) -> Result<Vec<Record>, PortError> {
        let found = self.records.list(list, limit).await?;
        self.has_read(found.iter().map(item_size).sum());
        Ok(found)
    }

    async fn commit(&self, transaction: &Transaction) -> Result<Commit, PortError> {
        for write in &transaction.writes {
            let bytes = match write {
                Write::Put(record, _) => item_size(record),
                // A delete counts for what it deletes: marks are below a KB.
                Write::Delete(_) => 0,
            };
            self.used().writes += 2 * bytes.div_ceil(1_024).max(1);
        }
        self.records.commit(transaction).await
    }

    async fn poke(&self, instance: &InstanceId, guard: &InvocationId) -> Result<Poke, PortError> {
        self.used().writes += 1;
        self.records.poke(instance, guard).await
    }

    async fn take_poke(
        &self,
        instance: &InstanceId,
        guard: &InvocationId,
    ) -> Result<(), PortError> {
        self.used().writes += 1;
        self.records.take_poke(instance, guard).await
    }
}

/// How many bytes the record has as an item, by the rules of "DynamoDB item sizes and formats" in the Developer Guide.
fn item_size(record: &Record) -> usize {
    let key = record.key();
    let keys = "pk".len() + key.partition().len() + "sk".len() + key.sort().len();
    let numbers = "schema".len() + "version".len() + 2 * NUMBER;
    let record = serde_json::to_value(record).unwrap_or_default();
    keys + numbers + "record".len() + value_size(&record)
}

/// What a number of up to six digits takes; longer ones a few bytes more.
const NUMBER: usize = 4;

fn value_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 1,
        Value::Number(number) => number.to_string().len().div_ceil(2) + 1,
        Value::String(text) => text.len(),
        Value::Array(values) => 3 + values.iter().map(|value| 1 + value_size(value)).sum::<usize>(),
        Value::Object(values) => {
            3 + values.iter().map(|(name, value)| 1 + name.len() + value_size(value)).sum::<usize>()
        }
    }
}
