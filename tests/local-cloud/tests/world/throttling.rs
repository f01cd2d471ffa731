//! Request limits: which calls take from which bucket, how it fills, and what a refusal looks like at both doors.

use std::time::Duration;

use local_cloud::api::{Response, Service, handle};
use local_cloud::in_process::InProcess;
use local_cloud::query::Params;
use local_cloud::world::{Bucket, Config, MutatingBuckets, Throttling, World};
use volume_pool::ids::{DeviceName, InstanceId, VolumeId};
use volume_pool::ports::{LifecycleActions, PortError, Volumes};

use crate::staging::{new_volume, running, with, world};

fn throttled(throttling: Throttling) -> World {
    with(Config { throttling: Some(throttling), ..Config::default() })
}

fn ec2(world: &mut World, action: &str, body: &str) -> Response {
    handle(world, Service::Ec2, action, &Params::parse(body).unwrap(), "req-1")
}

/// How many calls in a row get through.
fn burst(world: &mut World, action: &str, body: &str) -> usize {
    (0..1_000)
        .take_while(|_| !ec2(world, action, body).body.contains("RequestLimitExceeded"))
        .count()
}

#[test]
fn nothing_is_throttled_unless_it_is_asked_for() {
    let mut world = world();
    assert_eq!(burst(&mut world, "DescribeVolumes", ""), 1_000);
    world.set_throttling(Some(Throttling::default()));
    assert_eq!(burst(&mut world, "DescribeVolumes", ""), 50);
    world.set_throttling(None);
    assert_eq!(burst(&mut world, "DescribeVolumes", ""), 1_000);
}

#[test]
fn each_api_has_the_bucket_that_is_documented_for_it() {
    let attach = "VolumeId=vol-0&InstanceId=i-0&Device=/dev/sdf";
    for (action, body, expected) in [
        ("DescribeSubnets", "", 100),
        ("DescribeVolumes", "", 50),
        ("DescribeVolumes", "VolumeId.1=vol-0", 50),
        ("DescribeVolumes", "MaxResults=500", 100),
        ("DescribeVolumes", "Filter.1.Name=status&Filter.1.Value.1=available", 100),
        ("DescribeInstances", "InstanceId.1=i-0", 50),
        ("DescribeInstances", "NextToken=page-after-i-0", 100),
        ("CreateVolume", "AvailabilityZone=eu-central-1a&Size=1", 100),
        ("DeleteVolume", "VolumeId=vol-0", 100),
        ("CreateTags", "ResourceId.1=vol-0&Tag.1.Key=a", 100),
        ("AttachVolume", attach, 50),
    ] {
        let mut world = throttled(Throttling::default());
        assert_eq!(burst(&mut world, action, body), expected, "{action} {body}");
    }
}

#[test]
fn a_bucket_fills_with_the_worlds_clock_and_no_further_than_its_size() {
    let mut world = throttled(Throttling::default());
    assert_eq!(burst(&mut world, "CreateTags", ""), 100);
    world.advance(world.now().plus(Duration::from_millis(99)));
    assert_eq!(burst(&mut world, "CreateTags", ""), 0);
    world.advance(world.now().plus(Duration::from_millis(1)));
    assert_eq!(burst(&mut world, "CreateTags", ""), 1);
    world.advance(world.now().plus(Duration::from_secs(3)));
    assert_eq!(burst(&mut world, "CreateTags", ""), 30);
    world.advance(world.now().plus(Duration::from_hours(1)));
    assert_eq!(burst(&mut world, "CreateTags", ""), 100);
}

#[test]
fn mutating_apis_share_a_bucket_or_have_one_each() {
    let attach = "VolumeId=vol-0&InstanceId=i-0&Device=/dev/sdf";
    let mut shared = throttled(Throttling::default());
    assert_eq!(burst(&mut shared, "AttachVolume", attach), 50);
    assert_eq!(burst(&mut shared, "DetachVolume", "VolumeId=vol-0"), 0);
    assert_eq!(burst(&mut shared, "DescribeVolumes", "MaxResults=5"), 100);
    let mutating_buckets = MutatingBuckets::PerApi;
    let mut own = throttled(Throttling { mutating_buckets, ..Throttling::default() });
    assert_eq!(burst(&mut own, "AttachVolume", attach), 50);
    assert_eq!(burst(&mut own, "DetachVolume", "VolumeId=vol-0"), 50);
}

#[test]
fn each_service_refuses_in_its_own_words_and_nothing_happens() {
    let none = Bucket::new(0, 1);
    let mut world = throttled(Throttling {
        volumes: none,
        auto_scaling_describes: none,
        ..Throttling::default()
    });
    let refused = ec2(&mut world, "CreateVolume", "AvailabilityZone=eu-central-1a&Size=1");
    assert_eq!(refused.status, 503);
    assert!(refused.body.contains("<Code>RequestLimitExceeded</Code>"), "{}", refused.body);
    assert_eq!(world.volumes().count(), 0);
    let params = Params::parse("").unwrap();
    let action = "DescribeAutoScalingInstances";
    let refused = handle(&mut world, Service::AutoScaling, action, &params, "req-1");
    assert_eq!(refused.status, 400);
    assert!(refused.body.contains("<Code>Throttling</Code>"), "{}", refused.body);
    let unknown = ec2(&mut world, "CopySnapshot", "");
    assert!(unknown.body.contains("<Code>InvalidAction</Code>"), "{}", unknown.body);
}

#[tokio::test]
async fn in_process_a_throttled_call_is_one_to_try_again() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let instance = running(&mut world, "a");
    let none = Bucket::new(0, 1);
    world.set_throttling(Some(Throttling {
        unfiltered: none,
        mutating: none,
        auto_scaling_describes: none,
        ..Throttling::default()
    }));
    let door = InProcess::new(world);
    let volume: VolumeId = volume.parse().unwrap();
    let instance: InstanceId = instance.parse().unwrap();
    let device: DeviceName = "/dev/sdf".parse().unwrap();
    let transient = |call: &str, error: PortError| match error {
        PortError::Transient { call: named, .. } => assert_eq!(named, call),
        other => panic!("{call}: {other}"),
    };
    transient("ec2:AttachVolume", door.attach(&volume, &instance, &device).await.unwrap_err());
    let error = door.group_instance(&instance).await.unwrap_err();
    transient("autoscaling:DescribeAutoScalingInstances", error);
    assert!(door.world().volume(volume.as_str()).unwrap().attachments.is_empty());
    let found = door.volumes(std::slice::from_ref(&volume)).await.unwrap();
    assert!(found.contains_key(&volume), "a describe with a filter has a bucket of its own");
    assert!(door.instance(&instance).await.unwrap().is_some(), "and so has that of instances");
}
