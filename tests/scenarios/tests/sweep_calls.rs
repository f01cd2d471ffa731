//! What a sweep costs in which nothing is to be done: pages, whatever the number of slots; and no loop at all.

#![cfg(test)]

use std::collections::BTreeMap;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use local_cloud::in_process::InProcess;
use local_cloud::leases::MemoryLeases;
use local_cloud::world::{
    Config, CreateGroup, CreateVolume, GroupChange, GroupTag, IMAGE, LaunchSpecification,
    TemplateReference, VolumeSpecification, World,
};
use scenarios::{BEGIN, ZONE};
use volume_pool::lease_tag::LeaseTag;
use volume_pool::ports::{Clock, LeaseStore, Ports};
use volume_pool::record::{HeldMark, KnownMark, Place, Record};
use volume_pool::shell;
use volume_pool::sweep::Plan;
use volume_pool::transition::{Expect, Transaction, Write};

/// Every future of the door in process is ready at once.
fn at_once<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("not ready"),
    }
}

/// A group of so many instances in service, each with the volume of its slot.
fn at_rest(slots: u32) -> Ports<InProcess, InProcess, InProcess, MemoryLeases, InProcess> {
    let cloud = InProcess::new(World::new(Config::default(), BEGIN));
    let leases = MemoryLeases::default();
    let place = Place { pool: "cassandra".parse().unwrap(), zone: ZONE.parse().unwrap() };
    launch(&cloud, slots);
    let mut world = cloud.world();
    let mut writes =
        vec![Write::Put(Record::Known(KnownMark { pool: place.pool.clone() }), Expect::Mark)];
    let mut members: Vec<String> = Vec::new();
    for group in world.groups() {
        members.extend(group.members.keys().cloned());
    }
    assert_eq!(members.len(), slots as usize);
    for (index, holder) in (0..).zip(&members) {
        let tags = BTreeMap::from([
            ("stateful-asg:pool".to_owned(), "cassandra".to_owned()),
            ("stateful-asg:slot".to_owned(), format!("cassandra-{index}")),
        ]);
        let specification = VolumeSpecification {
            size_gib: Some(10),
            volume_type: Some("gp3".to_owned()),
            ..VolumeSpecification::default()
        };
        let request =
            CreateVolume { zone: ZONE.to_owned(), specification, tags, client_token: None };
        let volume = world.create_volume(request).unwrap().id;
        let lease = LeaseTag {
            epoch: 1,
            holder: holder.parse().unwrap(),
            volume: volume.parse().unwrap(),
            of: 1,
            since: BEGIN,
        };
        let tag = BTreeMap::from([("stateful-asg:lease".to_owned(), lease.to_string())]);
        world.create_tags(std::slice::from_ref(&volume), &tag).unwrap();
        let mark = HeldMark {
            place: place.clone(),
            slot: format!("cassandra-{index}").parse().unwrap(),
            holder: holder.parse().unwrap(),
            volumes: vec![volume.parse().unwrap()],
            amiss: false,
        };
        writes.push(Write::Put(Record::Held(mark), Expect::Mark));
    }
    let later = |seconds| BEGIN.plus(Duration::from_mins(30) + Duration::from_secs(seconds));
    world.advance(later(10));
    for write in &writes {
        if let Write::Put(Record::Held(mark), _) = write {
            let (volume, holder) = (mark.volumes[0].as_str(), mark.holder.as_str());
            world.attach_volume(volume, holder, "/dev/sdf").unwrap();
        }
    }
    world.advance(later(30));
    drop(world);
    for some in writes.chunks(100) {
        let transaction = Transaction { name: "at rest", writes: some.to_vec(), wakes: None };
        at_once(leases.commit(&transaction)).unwrap();
    }
    Ports {
        volumes: cloud.clone(),
        actions: cloud.clone(),
        commands: cloud.clone(),
        leases,
        clock: cloud,
    }
}

/// Groups of 100 at most, without hooks, so that everybody comes into service by himself.
fn launch(cloud: &InProcess, slots: u32) {
    let mut world = cloud.world();
    let specification = LaunchSpecification {
        image_id: Some(IMAGE.to_owned()),
        instance_type: Some("m7i.large".to_owned()),
        ..LaunchSpecification::default()
    };
    let template =
        world.create_launch_template("plain", None, specification, BTreeMap::new()).unwrap();
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
        world.create_group(CreateGroup { name, change, tags, hooks: Vec::new() }).unwrap();
    }
    world.advance(BEGIN.plus(Duration::from_mins(30)));
}

/// Pages of groups, of volumes, of instances and of marks, and reads by key, of one sweep at rest.
fn cost(slots: u32) -> [usize; 5] {
    let ports = at_rest(slots);
    let swept = at_once(shell::sweep(&ports));
    assert_eq!(swept.failures, Vec::new());
    assert_eq!(swept.slots(), slots as usize);
    assert_eq!(swept.plan(ports.clock.now()), Plan::default(), "nothing is to be done");
    let pages = ports.volumes.pages();
    let of = |call: &str| pages.get(call).copied().unwrap_or_default();
    let (reads, lists) = ports.leases.reads();
    [
        of("autoscaling:DescribeAutoScalingGroups"),
        of("ec2:DescribeVolumes"),
        of("ec2:DescribeInstances"),
        lists,
        reads,
    ]
}

#[test]
fn a_sweep_at_rest_costs_pages_and_not_slots() {
    assert_eq!(cost(10), [1, 1, 0, 5, 0]);
    assert_eq!(cost(1_000), [1, 2, 0, 5, 0]);
    // 20 pages of 500 volumes, 1 page of 100 groups, 3 pages of 10,000 marks and 4 queries that find little.
    assert_eq!(cost(10_000), [1, 20, 0, 7, 0]);
}
