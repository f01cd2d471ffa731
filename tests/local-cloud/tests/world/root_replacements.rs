//! Root volumes that are replaced while their instance runs: what changes, and what stays as it was.

use local_cloud::world::{
    Attachment, AttachmentState, Detachment, InstanceState, PageRequest, ReplaceRoot, ReplacedRoot,
    RootReplacementState, VolumeState, World,
};

use crate::staging::{new_volume, pass, running, state, until, world};

const ROOT: &str = "/dev/xvda";

/// A running instance with a data volume, which is answered too.
fn with_data() -> (World, String, String) {
    let mut world = world();
    let instance = running(&mut world, "a");
    let data = new_volume(&mut world, "a");
    world.attach_volume(&data, &instance, "/dev/sdf").unwrap();
    pass(&mut world, 10);
    world.mount(&data);
    (world, instance, data)
}

fn root(world: &World, instance: &str) -> Option<Attachment> {
    world.attachments_of(instance).into_iter().find(|it| it.device == ROOT).cloned()
}

fn request(instance: &str) -> ReplaceRoot {
    ReplaceRoot { instance: instance.to_owned(), ..ReplaceRoot::default() }
}

fn task_state(world: &World) -> RootReplacementState {
    let found = world.describe_root_replacements(&[], &[], &PageRequest::default()).unwrap();
    found.items.last().unwrap().state
}

#[test]
fn the_instance_gets_another_root_volume_of_the_same_kind_and_keeps_its_data_volume_attached() {
    let (mut world, instance, data) = with_data();
    let old = root(&world, &instance).unwrap();
    let image_id = Some("ami-0fedcba9876543210".to_owned());
    world.drain_events();
    world.replace_root_volume(ReplaceRoot { image_id, ..request(&instance) }).unwrap();
    for _ in 0..600 {
        world.advance(world.now().plus(std::time::Duration::from_millis(100)));
        let attachment = world.attachment(&data, &instance).unwrap();
        assert_eq!(attachment.state, AttachmentState::Attached);
        assert_eq!(state(&world, &instance), InstanceState::Running);
    }
    assert_eq!(task_state(&world), RootReplacementState::Succeeded);
    let new = root(&world, &instance).unwrap();
    assert_ne!(new.volume, old.volume);
    assert!(new.delete_on_termination, "as the old one was");
    let kind = |volume: &str| {
        let volume = world.volume(volume).unwrap();
        (volume.size_gib, volume.volume_type.clone(), volume.zone.clone())
    };
    assert_eq!(kind(&new.volume), kind(&old.volume));
    assert_eq!(world.volume(&old.volume).unwrap().state, VolumeState::Available);
    assert_eq!(world.instance(&instance).unwrap().image_id, "ami-0fedcba9876543210");
    let told: Vec<String> = world.drain_events().into_iter().map(|it| it.detail_type).collect();
    assert_eq!(told, ["EBS Volume Notification"], "a reboot is no change of state");
}

#[test]
fn between_the_two_volumes_the_instance_has_no_root_volume() {
    let (mut world, instance, _) = with_data();
    world.replace_root_volume(request(&instance)).unwrap();
    assert!(root(&world, &instance).is_some());
    let refused = world.replace_root_volume(request(&instance)).unwrap_err();
    assert_eq!(refused.code(), "IncorrectState", "one at a time");
    until(&mut world, "on its way", |it| task_state(it) == RootReplacementState::InProgress);
    assert_eq!(root(&world, &instance), None);
}

#[test]
fn the_replaced_volume_is_deleted_if_that_is_asked_for() {
    let (mut world, instance, _) = with_data();
    let old = root(&world, &instance).unwrap().volume;
    let replaced = ReplacedRoot::Deleted;
    world.replace_root_volume(ReplaceRoot { replaced, ..request(&instance) }).unwrap();
    pass(&mut world, 60);
    assert_eq!(world.volume(&old).unwrap_err().code(), "InvalidVolume.NotFound");
}

#[test]
fn the_reboot_lets_go_of_what_the_instance_had_mounted() {
    let (mut world, instance, data) = with_data();
    world.detach_volume(&data, Some(&instance), None, Detachment::Clean).unwrap();
    pass(&mut world, 10);
    assert_eq!(world.attachment(&data, &instance).unwrap().state, AttachmentState::Busy);
    world.replace_root_volume(request(&instance)).unwrap();
    pass(&mut world, 60);
    assert_eq!(world.attachment(&data, &instance), None);
}

#[test]
fn an_instance_that_stops_running_meanwhile_makes_it_fail_and_nothing_is_left_over() {
    for (reached, ends) in [
        (RootReplacementState::Pending, RootReplacementState::Failed),
        (RootReplacementState::InProgress, RootReplacementState::FailedDetached),
    ] {
        let (mut world, instance, _) = with_data();
        let before = world.volumes().count();
        world.replace_root_volume(request(&instance)).unwrap();
        until(&mut world, "reached", |it| task_state(it) == reached);
        world.stop_instances(std::slice::from_ref(&instance)).unwrap();
        pass(&mut world, 120);
        assert_eq!(task_state(&world), ends);
        assert_eq!(root(&world, &instance).is_some(), ends == RootReplacementState::Failed);
        assert_eq!(world.volumes().count(), before);
        let refused = world.replace_root_volume(request(&instance)).unwrap_err();
        assert_eq!(refused.code(), "IncorrectState", "a stopped instance");
    }
}

#[test]
fn one_token_stands_for_one_replacement() {
    let (mut world, instance, _) = with_data();
    let client_token = Some("token".to_owned());
    let asked = ReplaceRoot { client_token, ..request(&instance) };
    let task = world.replace_root_volume(asked.clone()).unwrap();
    assert_eq!(world.replace_root_volume(asked.clone()).unwrap().id, task.id);
    let other = ReplaceRoot { replaced: ReplacedRoot::Deleted, ..asked };
    let refused = world.replace_root_volume(other).unwrap_err();
    assert_eq!(refused.code(), "IdempotentParameterMismatch");
}
