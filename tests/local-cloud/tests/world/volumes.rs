//! Volumes: creation, client tokens, filters, pages, deletion, lag.

use std::time::Duration;

use local_cloud::world::{
    Config, CreateVolume, Filter, Lag, PageRequest, Tags, VolumeSpecification, VolumeState, World,
};

use crate::staging::{new_volume, pass, request, running, with, world};

#[test]
fn a_volume_is_creating_before_it_is_available() {
    let mut world = world();
    let volume = world.create_volume(request("a")).unwrap();
    assert_eq!(volume.state, VolumeState::Creating);
    pass(&mut world, 5);
    assert_eq!(world.volume(&volume.id).unwrap().state, VolumeState::Available);
}

#[test]
fn one_client_token_is_one_volume_and_one_request() {
    let mut world = world();
    let asked = CreateVolume { client_token: Some("t".to_owned()), ..request("a") };
    let first = world.create_volume(asked.clone()).unwrap().id;
    pass(&mut world, 60);
    assert_eq!(world.create_volume(asked.clone()).unwrap().id, first);
    let other = CreateVolume { zone: "eu-central-1b".to_owned(), ..asked };
    let refused = world.create_volume(other).unwrap_err();
    assert_eq!(refused.code(), "IdempotentParameterMismatch");
    assert_eq!(world.volumes().count(), 1);
}

#[test]
fn what_ebs_does_not_offer_is_refused() {
    let mut world = world();
    let with = |change: fn(&mut VolumeSpecification)| {
        let mut asked = request("a");
        change(&mut asked.specification);
        asked
    };
    for (asked, code) in [
        (with(|it| it.iops = Some(99_999)), "InvalidParameterValue"),
        (with(|it| it.throughput = Some(5_000)), "InvalidParameterValue"),
        (with(|it| it.throughput = Some(1_000)), "InvalidParameterValue"),
        (with(|it| it.volume_type = Some("gp9".to_owned())), "InvalidParameterValue"),
        (with(|it| it.size_gib = None), "MissingParameter"),
        (with(|it| it.multi_attach = Some(true)), "InvalidParameterCombination"),
        (with(|it| it.snapshot_id = Some("snap-1".to_owned())), "InvalidSnapshot.NotFound"),
        (request("q"), "InvalidZone.NotFound"),
    ] {
        assert_eq!(world.create_volume(asked.clone()).unwrap_err().code(), code, "{asked:?}");
    }
    assert_eq!(world.volumes().count(), 0);
}

#[test]
fn filters_select_and_unknown_ones_are_refused() {
    let mut world = world();
    let pool = |name: &str| Tags::from([("pool".to_owned(), name.to_owned())]);
    let red = world.create_volume(CreateVolume { tags: pool("red-1"), ..request("a") }).unwrap().id;
    world.create_volume(CreateVolume { tags: pool("blue"), ..request("b") }).unwrap();
    world.create_volume(request("c")).unwrap();
    let found = |filters: &[Filter]| -> Vec<String> {
        let page = world.describe_volumes(&[], filters, &PageRequest::default()).unwrap();
        page.items.into_iter().map(|volume| volume.id).collect()
    };
    assert_eq!(found(&[Filter::new("tag:pool", "red-*")]), std::slice::from_ref(&red));
    assert_eq!(found(&[Filter::new("tag-key", "pool")]).len(), 2);
    assert_eq!(
        found(&[Filter::new("tag-key", "pool"), Filter::new("status", "available")]).len(),
        0
    );
    assert_eq!(found(&[Filter::new("availability-zone", "eu-central-1?")]).len(), 3);
    let unknown = [Filter::new("colour", "red")];
    let refused = world.describe_volumes(&[], &unknown, &PageRequest::default()).unwrap_err();
    assert_eq!(refused.code(), "InvalidParameterValue");
}

#[test]
fn one_unknown_id_fails_the_whole_describe() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let ids = [volume, "vol-0123".to_owned()];
    let refused = world.describe_volumes(&ids, &[], &PageRequest::default()).unwrap_err();
    assert_eq!(refused.code(), "InvalidVolume.NotFound");
    assert_eq!(refused.message(), "The volume 'vol-0123' does not exist.");
}

#[test]
fn an_attached_volume_cannot_be_deleted_and_a_free_one_goes() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let instance = running(&mut world, "a");
    world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    assert_eq!(world.delete_volume(&volume).unwrap_err().code(), "VolumeInUse");
    let free = new_volume(&mut world, "a");
    world.delete_volume(&free).unwrap();
    pass(&mut world, 5);
    assert_eq!(world.volume(&free).unwrap_err().code(), "InvalidVolume.NotFound");
}

#[test]
fn a_lagging_describe_shows_what_was_before() {
    let lag = Some(Duration::from_secs(3));
    let mut world = with(Config { stale_describe: lag, ..Config::default() });
    let volume = world.create_volume(request("a")).unwrap().id;
    let seen = |world: &World| {
        world.describe_volumes(&[], &[], &PageRequest::default()).unwrap().items.pop()
    };
    assert_eq!(seen(&world), None, "a new volume is not in describes yet");
    pass(&mut world, 10);
    assert_eq!(seen(&world).unwrap().state, VolumeState::Available);
    let instance = running(&mut world, "a");
    pass(&mut world, 10);
    world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    let shown = |world: &World| {
        let ids = [volume.clone()];
        world.describe_volumes(&ids, &[], &PageRequest::default()).unwrap().items.remove(0).state
    };
    assert_eq!(shown(&world), VolumeState::Available);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::InUse);
    pass(&mut world, 4);
    assert_eq!(shown(&world), VolumeState::InUse);
}

#[test]
fn a_wavering_describe_shows_now_what_is_and_now_what_was_until_the_lag_is_over() {
    let stale_describe = Some(Duration::from_secs(9));
    let mut world = with(Config { stale_describe, lag: Lag::Wavering, ..Config::default() });
    let volume = world.create_volume(request("a")).unwrap().id;
    let instance = running(&mut world, "a");
    pass(&mut world, 10);
    world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    let shown = |world: &World| {
        let page = PageRequest::default();
        let ids = [volume.clone()];
        let free =
            world.describe_volumes(&ids, &[], &page).unwrap().items[0].attachments.is_empty();
        let instances = world.describe_instances(&[], &[], &page).unwrap().items;
        let here = &instances[0].attachments;
        assert_eq!(free, here.iter().all(|it| it.volume != volume), "one describe, two moments");
        free
    };
    let mut seen = Vec::new();
    for _ in 0..80 {
        seen.push(shown(&world));
        world.advance(world.now().plus(Duration::from_millis(100)));
    }
    assert!(seen.windows(2).any(|two| two == [false, true]), "it never went back: {seen:?}");
    assert!(seen.windows(2).any(|two| two == [true, false]), "{seen:?}");
    for _ in 0..80 {
        world.advance(world.now().plus(Duration::from_millis(100)));
        seen.push(shown(&world));
    }
    assert!(seen[100..].iter().all(|free| !free), "the lag was over: {seen:?}");
}

#[test]
fn a_resource_has_fifty_tags_and_not_one_more() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let tags = |numbers: std::ops::Range<u32>| -> Tags {
        numbers.map(|number| (format!("tag-{number}"), String::new())).collect()
    };
    world.create_tags(std::slice::from_ref(&volume), &tags(0..49)).unwrap();
    let refused = world.create_tags(std::slice::from_ref(&volume), &tags(49..51)).unwrap_err();
    assert_eq!(refused.code(), "TagLimitExceeded");
    assert_eq!(world.volume(&volume).unwrap().tags.len(), 49, "all or none");
    world.create_tags(std::slice::from_ref(&volume), &tags(48..50)).unwrap();
    assert_eq!(world.volume(&volume).unwrap().tags.len(), 50);
}
