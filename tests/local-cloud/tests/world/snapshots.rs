//! Snapshots: taken at once, good for new volumes in any zone once they are completed.

use local_cloud::world::{
    CreateSnapshot, CreateVolume, Filter, PageRequest, SnapshotState, Tags, VolumeSpecification,
};

use crate::staging::{pass, request, world};

fn tagged(move_of: &str) -> Tags {
    Tags::from([("stateful-asg:move".to_owned(), move_of.to_owned())])
}

#[test]
fn a_volume_is_made_in_another_zone_from_a_snapshot_that_is_completed() {
    let mut world = world();
    let mut asked = request("a");
    asked.specification.encrypted = Some(true);
    let volume = world.create_volume(asked).unwrap().id;
    let take = |volume: &str| CreateSnapshot {
        volume: volume.to_owned(),
        tags: tagged("cassandra-0/1"),
        ..CreateSnapshot::default()
    };
    let early = world.create_snapshot(take(&volume)).unwrap_err();
    assert_eq!(early.code(), "IncorrectState", "the volume is being created");
    pass(&mut world, 5);
    let taken = world.create_snapshot(take(&volume)).unwrap();
    assert_eq!((taken.state, &taken.volume), (SnapshotState::Pending, &volume));
    let copy = |size_gib| CreateVolume {
        specification: VolumeSpecification {
            snapshot_id: Some(taken.id.clone()),
            size_gib,
            ..VolumeSpecification::default()
        },
        ..request("b")
    };
    assert_eq!(world.create_volume(copy(None)).unwrap_err().code(), "IncorrectState");
    pass(&mut world, 120);
    let made = world.create_volume(copy(None)).unwrap();
    let original = world.volume(&volume).unwrap();
    assert_eq!(made.zone, "eu-central-1b");
    assert_eq!((made.size_gib, made.encrypted), (original.size_gib, true));
    assert_eq!(made.kms_key_id, original.kms_key_id);
    assert_eq!(made.snapshot_id.as_ref(), Some(&taken.id));
    assert_eq!(world.create_volume(copy(Some(1))).unwrap_err().code(), "InvalidParameterValue");
}

#[test]
fn snapshots_are_found_by_tag_and_asked_twice_there_are_two() {
    let mut world = world();
    let volume = world.create_volume(request("a")).unwrap().id;
    pass(&mut world, 5);
    for move_of in ["cassandra-0/1", "cassandra-0/1", "cassandra-0/2"] {
        let tags = tagged(move_of);
        let asked = CreateSnapshot { volume: volume.clone(), tags, ..CreateSnapshot::default() };
        world.create_snapshot(asked).unwrap();
    }
    let found = |filter: Filter| {
        let page = PageRequest::default();
        world.describe_snapshots(&[], &[filter], &page).unwrap().items.len()
    };
    assert_eq!(found(Filter::new("tag:stateful-asg:move", "cassandra-0/1")), 2);
    assert_eq!(found(Filter::new("volume-id", &volume)), 3);
    assert_eq!(found(Filter::new("status", "completed")), 0);
    let missing = ["snap-0123456789abcdef0".to_owned()];
    let page = PageRequest::default();
    let refused = world.describe_snapshots(&missing, &[], &page).unwrap_err();
    assert_eq!(refused.code(), "InvalidSnapshot.NotFound");
}
