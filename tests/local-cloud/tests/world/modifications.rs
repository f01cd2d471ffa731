//! Volumes that are modified, that fail, and that somebody deletes.

use std::time::Duration;

use local_cloud::api::{Service, handle};
use local_cloud::query::Params;
use local_cloud::world::{
    AttachmentState, Filter, ModificationState, PageRequest, VolumeSpecification, VolumeState,
    World,
};

use crate::staging::{new_volume, pass, request, running, until, world};

fn larger(size_gib: u32) -> VolumeSpecification {
    VolumeSpecification { size_gib: Some(size_gib), ..VolumeSpecification::default() }
}

fn modification(world: &World, volume: &str) -> ModificationState {
    let ids = [volume.to_owned()];
    let page = world.describe_volumes_modifications(&ids, &[], &PageRequest::default());
    page.unwrap().items.remove(0).state
}

fn completed(world: &mut World, volume: &str) {
    until(world, "completed", |world| modification(world, volume) == ModificationState::Completed);
}

#[test]
fn a_modification_passes_through_its_states_and_then_shows_in_the_volume() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let wanted = VolumeSpecification { iops: Some(4_000), ..larger(20) };
    let begun = world.modify_volume(&volume, &wanted).unwrap();
    assert_eq!(begun.state, ModificationState::Modifying);
    assert_eq!((begun.original.size_gib, begun.target.size_gib), (10, 20));
    assert_eq!((begun.original.iops, begun.target.iops), (Some(3_000), Some(4_000)));
    assert_eq!(world.volume(&volume).unwrap().size_gib, 10);
    world.drain_events();
    until(&mut world, "optimizing", |world| {
        modification(world, &volume) == ModificationState::Optimizing
    });
    let found = world.volume(&volume).unwrap();
    assert_eq!((found.size_gib, found.iops, found.throughput), (20, Some(4_000), Some(125)));
    completed(&mut world, &volume);
    let filters = [Filter::new("modification-state", "completed")];
    let page = world.describe_volumes_modifications(&[], &filters, &PageRequest::default());
    assert_eq!(page.unwrap().items[0].ended_at, Some(world.now()));
    let told: Vec<_> =
        world.drain_events().into_iter().map(|it| it.body["detail"]["result"].clone()).collect();
    assert_eq!(told, ["optimizing", "completed"]);
}

#[test]
fn a_volume_is_not_attached_while_it_is_modifying_but_while_it_is_optimizing() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let instance = running(&mut world, "a");
    world.modify_volume(&volume, &larger(20)).unwrap();
    let refused = world.attach_volume(&volume, &instance, "/dev/sdf").unwrap_err();
    assert_eq!(refused.code(), "OperationNotPermitted");
    assert_eq!(
        refused.message(),
        format!("Cannot attach volume {volume} when it is in modification state: MODIFYING")
    );
    until(&mut world, "optimizing", |world| {
        modification(world, &volume) == ModificationState::Optimizing
    });
    world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    pass(&mut world, 5);
    assert_eq!(world.attachment(&volume, &instance).unwrap().state, AttachmentState::Attached);
}

#[test]
fn a_modification_ends_before_the_next_and_four_of_them_are_a_days_worth() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    for size in [11, 12, 13, 14] {
        world.modify_volume(&volume, &larger(size)).unwrap();
        let early = world.modify_volume(&volume, &larger(20)).unwrap_err();
        assert_eq!(early.code(), "IncorrectModificationState");
        completed(&mut world, &volume);
    }
    let fifth = world.modify_volume(&volume, &larger(20)).unwrap_err();
    assert_eq!(fifth.code(), "VolumeModificationRateExceeded");
    world.advance(world.now().plus(Duration::from_hours(24)));
    world.modify_volume(&volume, &larger(20)).unwrap();
}

#[test]
fn what_cannot_be_modified_is_refused() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let failed = new_volume(&mut world, "a");
    world.fail_volume(&failed).unwrap();
    let slow = VolumeSpecification { throughput: Some(5_000), ..VolumeSpecification::default() };
    let to_gp2 = VolumeSpecification { volume_type: Some("gp2".to_owned()), ..slow.clone() };
    for (volume, wanted, code) in [
        (volume.as_str(), larger(5), "InvalidParameterValue"),
        (&volume, slow, "InvalidParameterValue"),
        (&volume, to_gp2, "InvalidParameterCombination"),
        (&volume, VolumeSpecification::default(), "MissingParameter"),
        (&failed, larger(20), "IncorrectState"),
        ("vol-0123", larger(20), "InvalidVolume.NotFound"),
    ] {
        let refused = world.modify_volume(volume, &wanted).unwrap_err();
        assert_eq!(refused.code(), code, "{wanted:?}");
    }
    let never = world.describe_volumes_modifications(&[volume], &[], &PageRequest::default());
    assert_eq!(never.unwrap_err().code(), "InvalidVolumeModification.NotFound");
}

#[test]
fn a_new_type_has_its_own_defaults() {
    let mut world = world();
    let gp2 = VolumeSpecification { volume_type: None, ..request("a").specification };
    let volume = local_cloud::world::CreateVolume { specification: gp2, ..request("a") };
    let volume = world.create_volume(volume).unwrap();
    assert_eq!((volume.volume_type.as_str(), volume.iops), ("gp2", Some(100)));
    pass(&mut world, 5);
    let wanted = VolumeSpecification {
        volume_type: Some("gp3".to_owned()),
        ..VolumeSpecification::default()
    };
    let target = world.modify_volume(&volume.id, &wanted).unwrap().target;
    assert_eq!((target.iops, target.throughput), (Some(3_000), Some(125)));
}

#[test]
fn a_failed_volume_is_of_no_use_but_can_be_deleted() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let instance = running(&mut world, "a");
    world.fail_volume(&volume).unwrap();
    let filters = [Filter::new("status", "error")];
    let page = world.describe_volumes(&[], &filters, &PageRequest::default()).unwrap();
    assert_eq!(page.items[0].id, volume);
    let refused = world.attach_volume(&volume, &instance, "/dev/sdf").unwrap_err();
    assert_eq!(refused.code(), "IncorrectState");
    world.delete_volume(&volume).unwrap();
    pass(&mut world, 5);
    assert_eq!(world.volume(&volume).unwrap_err().code(), "InvalidVolume.NotFound");
}

#[test]
fn only_a_volume_that_nobody_has_can_fail_or_be_deleted() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let instance = running(&mut world, "a");
    world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    pass(&mut world, 5);
    assert_eq!(world.fail_volume(&volume).unwrap_err().code(), "IncorrectState");
    let refused = world.delete_volume(&volume).unwrap_err();
    assert_eq!(refused.code(), "VolumeInUse");
    assert_eq!(refused.message(), format!("Volume {volume} is currently attached to {instance}"));
    let creating = world.create_volume(request("a")).unwrap().id;
    assert_eq!(world.delete_volume(&creating).unwrap_err().code(), "IncorrectState");
    assert_eq!(world.delete_volume("vol-0123").unwrap_err().code(), "InvalidVolume.NotFound");
    let free = new_volume(&mut world, "a");
    world.delete_volume(&free).unwrap();
    assert_eq!(world.volume(&free).unwrap().state, VolumeState::Deleting);
    let refused = world.attach_volume(&free, &instance, "/dev/sdg").unwrap_err();
    assert_eq!(refused.code(), "IncorrectState");
}

#[test]
fn modifications_are_answered_in_ec2s_shape() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let ask = |world: &mut World, action: &str, body: &str| {
        let params = Params::parse(body).unwrap();
        handle(world, Service::Ec2, action, &params, "req-1")
    };
    let body = format!("VolumeId={volume}&Size=20");
    let begun = ask(&mut world, "ModifyVolume", &body);
    assert_eq!(begun.status, 200, "{}", begun.body);
    let shape = format!(
        "<volumeModification><volumeId>{volume}</volumeId><modificationState>modifying</modificationState>\
         <targetSize>20</targetSize>"
    );
    assert!(begun.body.contains(&shape), "{}", begun.body);
    let found = ask(&mut world, "DescribeVolumesModifications", "MaxResults=500");
    let shape = format!("<volumeModificationSet><item><volumeId>{volume}</volumeId>");
    assert!(found.body.contains(&shape), "{}", found.body);
    let page = ask(&mut world, "DescribeVolumesModifications", "MaxResults=501");
    assert!(page.body.contains("<Code>InvalidParameterValue</Code>"), "{}", page.body);
}
