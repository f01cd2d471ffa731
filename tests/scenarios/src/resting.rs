//! A sweep in which nothing is to be done: groups of instances in service, each with the volume of its slot.

use std::collections::BTreeMap;
use std::time::Duration;

use local_cloud::in_process::InProcess;
use local_cloud::leases::MemoryLeases;
use local_cloud::world::{
    ApiError, Config, CreateGroup, GroupChange, GroupTag, IMAGE, LaunchSpecification,
    TemplateReference, World,
};
use volume_pool::Timestamp;
use volume_pool::lease_tag::LeaseTag;
use volume_pool::ports::{Clock, LeaseStore, Ports};
use volume_pool::record::{HeldMark, KnownMark, Place, Record};
use volume_pool::shell;
use volume_pool::sweep::Plan;
use volume_pool::transition::{Expect, Transaction, Write};

use crate::{BEGIN, ZONE, at_once, parsed, volume_in};

/// The calls of one sweep at rest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SweepCalls {
    /// Pages of groups.
    pub group_pages: usize,
    /// Pages of volumes.
    pub volume_pages: usize,
    /// Pages of instances.
    pub instance_pages: usize,
    /// Pages of marks.
    pub mark_pages: usize,
    /// Records read by their keys.
    pub records: usize,
}

impl SweepCalls {
    /// All of them.
    pub fn all(&self) -> usize {
        let Self { group_pages, volume_pages, instance_pages, mark_pages, records } = self;
        group_pages + volume_pages + instance_pages + mark_pages + records
    }
}

/// A pool of so many slots, all of them held by instances in service.
#[derive(Debug)]
pub struct AtRest {
    slots: u32,
    ports: Ports<InProcess, InProcess, InProcess, MemoryLeases, InProcess>,
}

impl AtRest {
    /// The pool, its groups of at most 100 instances, and its records.
    pub fn new(slots: u32) -> Result<Self, String> {
        let cloud = InProcess::new(World::new(Config::default(), BEGIN));
        let leases = MemoryLeases::behind(cloud.gate().clone());
        let text = |error: ApiError| error.to_string();
        launch(&cloud, slots).map_err(text)?;
        let members: Vec<String> = {
            let world = cloud.world();
            let groups = world.groups();
            groups.flat_map(|group| group.members.keys().cloned()).collect()
        };
        let mut marks = Vec::new();
        for (index, holder) in (0..).zip(&members) {
            marks.push(held(&cloud, index, holder)?);
        }
        let later = |seconds| BEGIN.plus(Duration::from_mins(30) + Duration::from_secs(seconds));
        cloud.world().advance(later(10));
        for mark in &marks {
            for volume in &mark.volumes {
                let (volume, holder) = (volume.as_str(), mark.holder.as_str());
                cloud.world().attach_volume(volume, holder, "/dev/sdf").map_err(text)?;
            }
        }
        cloud.world().advance(later(30));
        let known = Record::Known(KnownMark { pool: parsed("cassandra")? });
        let records = std::iter::once(known).chain(marks.into_iter().map(Record::Held));
        let writes: Vec<Write> = records.map(|record| Write::Put(record, Expect::Mark)).collect();
        for some in writes.chunks(100) {
            let transaction = Transaction { name: "at rest", writes: some.to_vec(), wakes: None };
            at_once(leases.commit(&transaction))?.map_err(|error| error.to_string())?;
        }
        let ports = Ports {
            volumes: cloud.clone(),
            actions: cloud.clone(),
            commands: cloud.clone(),
            leases,
            clock: cloud,
        };
        Ok(Self { slots, ports })
    }

    /// One sweep. It is an error if it finds anything to do.
    pub fn sweep(&self) -> Result<SweepCalls, String> {
        let ports = &self.ports;
        let before = ports.volumes.gate().calls();
        let swept = at_once(shell::sweep(ports))?;
        let plan = swept.plan(ports.clock.now());
        let seen = swept.slots();
        if !swept.failures.is_empty() || seen != self.slots as usize || plan != Plan::default() {
            return Err(format!("{seen} slots seen, {:?}, {plan:?}", swept.failures));
        }
        let after = ports.volumes.gate().calls();
        let of = |call: &str| {
            let count = |calls: &BTreeMap<&str, usize>| calls.get(call).copied().unwrap_or(0);
            count(&after) - count(&before)
        };
        Ok(SweepCalls {
            group_pages: of("autoscaling:DescribeAutoScalingGroups"),
            volume_pages: of("ec2:DescribeVolumes"),
            instance_pages: of("ec2:DescribeInstances"),
            mark_pages: of("dynamodb:Query"),
            records: of("dynamodb:GetItem"),
        })
    }
}

/// The mark of a slot that an instance holds, with the volume of it.
fn held(cloud: &InProcess, index: u32, holder: &str) -> Result<HeldMark, String> {
    let tags = BTreeMap::from([
        ("stateful-asg:pool".to_owned(), "cassandra".to_owned()),
        ("stateful-asg:slot".to_owned(), format!("cassandra-{index}")),
    ]);
    let volume = volume_in(cloud, ZONE, tags).map_err(|error| error.to_string())?;
    let lease = LeaseTag {
        epoch: 1,
        holder: parsed(holder)?,
        volume: parsed(&volume)?,
        of: 1,
        since: Timestamp::from_millis(BEGIN.as_millis()),
    };
    let tag = BTreeMap::from([("stateful-asg:lease".to_owned(), lease.to_string())]);
    let tagged = cloud.world().create_tags(std::slice::from_ref(&volume), &tag);
    tagged.map_err(|error| error.to_string())?;
    Ok(HeldMark {
        place: Place { pool: parsed("cassandra")?, zone: parsed(ZONE)? },
        slot: parsed(&format!("cassandra-{index}"))?,
        holder: parsed(holder)?,
        volumes: vec![parsed(&volume)?],
        amiss: false,
    })
}

/// Groups of 100 at most, without hooks, so that everybody comes into service by himself.
fn launch(cloud: &InProcess, slots: u32) -> Result<(), ApiError> {
    let mut world = cloud.world();
    let specification = LaunchSpecification {
        image_id: Some(IMAGE.to_owned()),
        instance_type: Some("m7i.large".to_owned()),
        ..LaunchSpecification::default()
    };
    let template = world.create_launch_template("plain", None, specification, BTreeMap::new())?;
    for number in 0..slots.div_ceil(100) {
        let size = (slots - number * 100).min(100);
        let change = GroupChange {
            template: Some(TemplateReference {
                id: Some(template.id.clone()),
                ..TemplateReference::default()
            }),
            min_size: Some(0),
            max_size: Some(size),
            desired_capacity: Some(size),
            zones: Some(vec![ZONE.to_owned()]),
            ..GroupChange::default()
        };
        let tag = GroupTag { value: "cassandra".to_owned(), propagate_at_launch: false };
        let tags = BTreeMap::from([("stateful-asg:pool".to_owned(), tag)]);
        let name = format!("cassandra-{number}");
        world.create_group(CreateGroup { name, change, tags, hooks: Vec::new() })?;
    }
    world.advance(BEGIN.plus(Duration::from_mins(30)));
    Ok(())
}
