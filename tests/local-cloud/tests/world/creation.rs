//! `CreateVolume` at its edges: client tokens, the account's limit, and keys that cannot be used.

use std::time::Duration;

use local_cloud::world::{
    AttachmentState, Config, CreateVolume, Filter, PageRequest, VolumeSpecification, VolumeState,
    World,
};
use serde_json::Value;

use crate::staging::{new_volume, pass, request, running, with, world};

const KEY: &str = "0c9d5b1e-7f0a-4c55-8a43-0b6f1d2e3c4a";

fn encrypted(token: Option<&str>) -> CreateVolume {
    CreateVolume {
        specification: VolumeSpecification {
            encrypted: Some(true),
            kms_key_id: Some(KEY.to_owned()),
            ..request("a").specification
        },
        client_token: token.map(str::to_owned),
        ..request("a")
    }
}

fn tokened(token: &str) -> CreateVolume {
    CreateVolume { client_token: Some(token.to_owned()), ..request("a") }
}

fn code(world: &mut World, request: CreateVolume) -> &'static str {
    world.create_volume(request).unwrap_err().code()
}

/// The details of EBS's events so far.
fn ebs_events(world: &mut World) -> Vec<Value> {
    let events = world.drain_events().into_iter();
    let ebs = events.filter(|event| event.detail_type == "EBS Volume Notification");
    ebs.map(|event| event.body).collect()
}

#[test]
fn a_client_token_is_forgotten_within_a_day() {
    let mut world = world();
    let first = world.create_volume(tokened("t")).unwrap().id;
    world.advance(world.now().plus(Duration::from_hours(11)));
    assert_eq!(world.create_volume(tokened("t")).unwrap().id, first);
    world.advance(world.now().plus(Duration::from_hours(14)));
    assert_ne!(world.create_volume(tokened("t")).unwrap().id, first);
}

#[test]
fn a_client_token_has_at_most_64_ascii_characters() {
    let mut world = world();
    assert_eq!(code(&mut world, tokened(&"x".repeat(65))), "InvalidParameterValue");
    assert_eq!(code(&mut world, tokened("ü")), "InvalidParameterValue");
    world.create_volume(tokened(&"x".repeat(64))).unwrap();
}

#[test]
fn a_token_whose_volume_was_deleted_gives_no_other() {
    let mut world = world();
    let volume = world.create_volume(tokened("t")).unwrap().id;
    pass(&mut world, 5);
    world.delete_volume(&volume).unwrap();
    pass(&mut world, 5);
    assert_eq!(code(&mut world, tokened("t")), "IdempotentParameterMismatch");
}

#[test]
fn a_key_that_cannot_be_used_lets_the_volume_begin_and_then_vanish() {
    for disabled in [true, false] {
        let mut world = world();
        if disabled {
            world.disable_key(KEY);
        }
        let volume = world.create_volume(encrypted(Some("t"))).unwrap();
        assert_eq!(volume.state, VolumeState::Creating);
        pass(&mut world, 5);
        assert_eq!(world.volume(&volume.id).unwrap_err().code(), "InvalidVolume.NotFound");
        let events = ebs_events(&mut world);
        assert_eq!(events.len(), 1);
        let (event, arn) = (&events[0], volume.kms_key_id.unwrap());
        assert_eq!(arn, format!("arn:aws:kms:eu-central-1:123456789012:key/{KEY}"));
        assert_eq!(event["detail"]["event"], "createVolume");
        assert_eq!(event["detail"]["result"], "failed");
        let why = if disabled { "is disabled." } else { "does not exist." };
        assert_eq!(event["detail"]["cause"], format!("{arn} {why}"));
        let volume = format!("arn:aws:ec2:eu-central-1:123456789012:volume/{}", volume.id);
        assert_eq!(event["resources"], serde_json::json!([volume, arn]));
        assert_eq!(code(&mut world, encrypted(Some("t"))), "IdempotentParameterMismatch");
        world.enable_key(KEY);
        assert_eq!(code(&mut world, encrypted(Some("t"))), "IdempotentParameterMismatch");
        let again = world.create_volume(encrypted(Some("t-2"))).unwrap().id;
        pass(&mut world, 5);
        assert_eq!(world.volume(&again).unwrap().state, VolumeState::Available);
    }
}

#[test]
fn encryption_takes_the_named_key_or_the_accounts_own() {
    let mut world = world();
    world.enable_key(KEY);
    let specification = VolumeSpecification { kms_key_id: None, ..encrypted(None).specification };
    let own = world.create_volume(CreateVolume { specification, ..request("a") }).unwrap();
    let specification = VolumeSpecification {
        kms_key_id: Some("alias/aws/ebs".to_owned()),
        ..encrypted(None).specification
    };
    let same = world.create_volume(CreateVolume { specification, ..request("a") }).unwrap();
    assert!(own.encrypted && own.kms_key_id.is_some());
    assert_eq!(own.kms_key_id, same.kms_key_id);
    let named = world.create_volume(encrypted(None)).unwrap();
    assert_ne!(own.kms_key_id, named.kms_key_id);
    pass(&mut world, 5);
    assert_eq!(world.volumes().filter(|it| it.state == VolumeState::Available).count(), 3);
    let specification = VolumeSpecification { encrypted: None, ..encrypted(None).specification };
    let without = CreateVolume { specification, ..request("a") };
    assert_eq!(code(&mut world, without), "InvalidParameterDependency");
}

#[test]
fn a_key_disabled_later_ends_an_attachment_before_it_begins() {
    let mut world = world();
    world.enable_key(KEY);
    let volume = world.create_volume(encrypted(None)).unwrap().id;
    let instance = running(&mut world, "a");
    world.disable_key(KEY);
    ebs_events(&mut world);
    let answer = world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    assert_eq!(answer.state, AttachmentState::Attaching);
    pass(&mut world, 5);
    assert_eq!(world.attachment(&volume, &instance), None);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
    let details: Vec<Value> =
        ebs_events(&mut world).into_iter().map(|it| it["detail"].clone()).collect();
    assert_eq!(details.len(), 1);
    assert_eq!(details[0]["event"], "attachVolume");
    assert_eq!(details[0]["result"], "failed");
    world.enable_key(KEY);
    world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    pass(&mut world, 5);
    assert_eq!(world.attachment(&volume, &instance).unwrap().state, AttachmentState::Attached);
    assert!(ebs_events(&mut world).is_empty(), "an attachment that succeeds has no event");
}

#[test]
fn the_accounts_limit_is_looked_at_before_the_token() {
    let mut world = with(Config { storage_limit_gib: Some(20), ..Config::default() });
    world.create_volume(tokened("one")).unwrap();
    let second = world.create_volume(tokened("two")).unwrap().id;
    assert_eq!(code(&mut world, tokened("two")), "VolumeLimitExceeded");
    assert_eq!(code(&mut world, tokened("three")), "VolumeLimitExceeded");
    let specification = VolumeSpecification { volume_type: None, ..request("a").specification };
    let other_type = world.create_volume(CreateVolume { specification, ..request("a") }).unwrap();
    assert_eq!(other_type.volume_type, "gp2");
    world.set_storage_limit(Some(30));
    assert_eq!(world.create_volume(tokened("two")).unwrap().id, second);
    assert_eq!(world.volumes().count(), 3);
}

#[test]
fn creation_and_deletion_are_announced() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    world.delete_volume(&volume).unwrap();
    pass(&mut world, 5);
    let told: Vec<_> = ebs_events(&mut world)
        .into_iter()
        .map(|it| (it["detail"]["event"].clone(), it["detail"]["result"].clone()))
        .collect();
    assert_eq!(
        told,
        [("createVolume".into(), "available".into()), ("deleteVolume".into(), "deleted".into())]
    );
}

#[test]
fn a_new_volume_is_in_the_answer_before_it_is_in_describes() {
    let stale_describe = Some(Duration::from_secs(3));
    let mut world = with(Config { stale_describe, ..Config::default() });
    let volume = world.create_volume(tokened("t")).unwrap().id;
    let filter = Filter::new("availability-zone", "eu-central-1a");
    let by_filter = |world: &World| {
        let filters = std::slice::from_ref(&filter);
        world.describe_volumes(&[], filters, &PageRequest::default()).unwrap().items.len()
    };
    let ids = [volume.clone()];
    let by_id = |world: &World| world.describe_volumes(&ids, &[], &PageRequest::default());
    assert_eq!(by_filter(&world), 0);
    assert_eq!(by_id(&world).unwrap_err().code(), "InvalidVolume.NotFound");
    assert_eq!(world.create_volume(tokened("t")).unwrap().id, volume);
    pass(&mut world, 4);
    assert_eq!(by_filter(&world), 1);
    assert_eq!(by_id(&world).unwrap().items[0].id, volume);
}
