//! Attachments: one at a time, in one zone, on one device; and what makes letting go slow.

use local_cloud::world::{
    ApiError, AttachmentState, Config, CreateVolume, Detachment, InstanceState,
    VolumeSpecification, VolumeState, World,
};

use crate::staging::{new_volume, pass, request, run, running, state, until, with, world};

fn attached(world: &mut World, zone: &str) -> (String, String) {
    let volume = new_volume(world, zone);
    let instance = running(world, zone);
    world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    pass(world, 5);
    assert_eq!(world.attachment(&volume, &instance).unwrap().state, AttachmentState::Attached);
    (volume, instance)
}

fn detach(world: &mut World, volume: &str, instance: &str) -> Result<AttachmentState, ApiError> {
    let answer = world.detach_volume(volume, Some(instance), None, Detachment::Clean);
    answer.map(|attachment| attachment.state)
}

#[test]
fn an_attachment_takes_its_time_and_the_volume_is_in_use_from_the_start() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let instance = running(&mut world, "a");
    let attachment = world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    assert_eq!(attachment.state, AttachmentState::Attaching);
    assert!(!attachment.delete_on_termination);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::InUse);
    let asked_at = world.now();
    until(&mut world, "attached", |world| {
        world.attachment(&volume, &instance).unwrap().state == AttachmentState::Attached
    });
    assert!((1..=4).contains(&world.now().since(asked_at).as_secs()));
}

#[test]
fn a_second_attachment_is_refused_wherever_it_goes() {
    let mut world = world();
    let (volume, instance) = attached(&mut world, "a");
    let other = running(&mut world, "a");
    for target in [&instance, &other] {
        let refused = world.attach_volume(&volume, target, "/dev/sdg").unwrap_err();
        assert_eq!(refused.code(), "VolumeInUse");
        assert_eq!(refused.message(), format!("{volume} is already attached to an instance"));
    }
    assert_eq!(world.violations(), Vec::<String>::new());
}

#[test]
fn what_cannot_be_attached_is_refused_with_ec2s_codes() {
    let mut world = world();
    let (_, instance) = attached(&mut world, "a");
    let here = new_volume(&mut world, "a");
    let there = new_volume(&mut world, "b");
    let code = |world: &mut World, volume: &str, instance: &str, device: &str| {
        world.attach_volume(volume, instance, device).unwrap_err().code()
    };
    assert_eq!(code(&mut world, &there, &instance, "/dev/sdg"), "InvalidVolume.ZoneMismatch");
    assert_eq!(code(&mut world, "vol-00", &instance, "/dev/sdg"), "InvalidVolume.NotFound");
    assert_eq!(code(&mut world, &here, "i-00", "/dev/sdg"), "InvalidInstanceID.NotFound");
    assert_eq!(code(&mut world, &here, "web-1", "/dev/sdg"), "InvalidInstanceID.Malformed");
    assert_eq!(code(&mut world, &here, &instance, "/dev/nvme1"), "InvalidParameterValue");
    let taken = world.attach_volume(&here, &instance, "/dev/sdf").unwrap_err();
    assert_eq!(taken.code(), "InvalidParameterValue");
    assert_eq!(
        taken.message(),
        "Invalid value '/dev/sdf' for unixDevice. Attachment point /dev/sdf is already in use"
    );
    let booting = world.run_instances(run("a")).unwrap().remove(0).id;
    let early = world.attach_volume(&here, &booting, "/dev/sdf").unwrap_err();
    assert_eq!(early.code(), "IncorrectState");
    assert_eq!(early.message(), format!("Instance '{booting}' is not 'running'."));
    let creating = world.create_volume(request("a")).unwrap().id;
    assert_eq!(code(&mut world, &creating, &instance, "/dev/sdg"), "IncorrectState");
    world.terminate_instances(std::slice::from_ref(&instance)).unwrap();
    assert_eq!(code(&mut world, &here, &instance, "/dev/sdg"), "IncorrectState");
}

#[test]
fn an_instance_takes_only_so_many_volumes() {
    let mut world = with(Config { attachment_limit: 2, ..Default::default() });
    let (_, instance) = attached(&mut world, "a");
    let second = new_volume(&mut world, "a");
    let refused = world.attach_volume(&second, &instance, "/dev/sdg").unwrap_err();
    assert_eq!(refused.code(), "AttachmentLimitExceeded");
}

#[test]
fn detaching_frees_the_volume_after_a_while_and_then_says_so() {
    let mut world = world();
    let (volume, instance) = attached(&mut world, "a");
    assert_eq!(detach(&mut world, &volume, &instance).unwrap(), AttachmentState::Detaching);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::InUse);
    assert_eq!(detach(&mut world, &volume, &instance).unwrap(), AttachmentState::Detaching);
    pass(&mut world, 5);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
    let refused = detach(&mut world, &volume, &instance).unwrap_err();
    assert_eq!(refused.code(), "IncorrectState");
    assert_eq!(refused.message(), format!("Volume '{volume}' is in the 'available' state."));
}

#[test]
fn a_detach_that_names_the_wrong_instance_or_device_changes_nothing() {
    let mut world = world();
    let (volume, instance) = attached(&mut world, "a");
    let other = running(&mut world, "a");
    assert_eq!(
        detach(&mut world, &volume, &other).unwrap_err().code(),
        "InvalidAttachment.NotFound"
    );
    let device = Some("/dev/sdz");
    let wrong = world.detach_volume(&volume, Some(&instance), device, Detachment::Clean);
    assert_eq!(wrong.unwrap_err().code(), "InvalidAttachment.NotFound");
    pass(&mut world, 10);
    assert_eq!(world.attachment(&volume, &instance).unwrap().state, AttachmentState::Attached);
}

#[test]
fn a_mounted_filesystem_keeps_its_detachment_busy_until_it_is_unmounted() {
    let mut world = world();
    let (volume, instance) = attached(&mut world, "a");
    world.mount(&volume);
    detach(&mut world, &volume, &instance).unwrap();
    pass(&mut world, 600);
    assert_eq!(world.attachment(&volume, &instance).unwrap().state, AttachmentState::Busy);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::InUse);
    world.unmount(&volume);
    pass(&mut world, 5);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
}

#[test]
fn stopping_the_instance_unmounts_and_the_detachment_goes_through() {
    let mut world = world();
    let (volume, instance) = attached(&mut world, "a");
    world.mount(&volume);
    detach(&mut world, &volume, &instance).unwrap();
    pass(&mut world, 10);
    world.stop_instances(std::slice::from_ref(&instance)).unwrap();
    let stopped = |world: &World| state(world, &instance) == InstanceState::Stopped;
    until(&mut world, "stopped", stopped);
    assert_eq!(world.attachment(&volume, &instance).unwrap().state, AttachmentState::Detaching);
    pass(&mut world, 2);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
}

#[test]
fn a_detach_during_termination_waits_for_its_end() {
    let mut world = world();
    let (volume, instance) = attached(&mut world, "a");
    world.terminate_instances(std::slice::from_ref(&instance)).unwrap();
    detach(&mut world, &volume, &instance).unwrap();
    pass(&mut world, 15);
    assert_eq!(state(&world, &instance), InstanceState::ShuttingDown);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::InUse);
    until(&mut world, "gone", |world| state(world, &instance) == InstanceState::Terminated);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
}

#[test]
fn a_root_volume_stays_while_its_instance_is_not_stopped() {
    let mut world = world();
    let instance = running(&mut world, "a");
    let root = world.attachments_of(&instance)[0].volume.clone();
    assert_eq!(detach(&mut world, &root, &instance).unwrap_err().code(), "OperationNotPermitted");
}

#[test]
fn force_goes_through_and_is_taken_down() {
    let mut world = world();
    let (volume, instance) = attached(&mut world, "a");
    world.mount(&volume);
    world.detach_volume(&volume, Some(&instance), None, Detachment::Forced).unwrap();
    pass(&mut world, 5);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
    assert_eq!(world.violations().len(), 1);
}

#[test]
fn a_multi_attach_volume_takes_several_instances() {
    let mut world = world();
    let specification = VolumeSpecification {
        size_gib: Some(10),
        volume_type: Some("io2".to_owned()),
        iops: Some(500),
        multi_attach: Some(true),
        ..VolumeSpecification::default()
    };
    let volume = world.create_volume(CreateVolume { specification, ..request("a") }).unwrap().id;
    let (first, second) = (running(&mut world, "a"), running(&mut world, "a"));
    world.attach_volume(&volume, &first, "/dev/sdf").unwrap();
    world.attach_volume(&volume, &second, "/dev/sdf").unwrap();
    assert_eq!(world.volume(&volume).unwrap().attachments.len(), 2);
    assert_eq!(world.violations(), Vec::<String>::new());
    let unnamed = world.detach_volume(&volume, None, None, Detachment::Clean).unwrap_err();
    assert_eq!(unnamed.code(), "MissingParameter");
}

#[test]
fn an_attachment_that_is_stuck_can_be_detached_and_made_anew() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let instance = running(&mut world, "a");
    world.stick(&volume, AttachmentState::Attaching);
    world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    pass(&mut world, 600);
    assert_eq!(world.attachment(&volume, &instance).unwrap().state, AttachmentState::Attaching);
    detach(&mut world, &volume, &instance).unwrap();
    pass(&mut world, 5);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
    world.attach_volume(&volume, &instance, "/dev/sdg").unwrap();
    pass(&mut world, 5);
    world.unstick(&volume);
    pass(&mut world, 5);
    assert_eq!(world.attachment(&volume, &instance).unwrap().state, AttachmentState::Attached);
}

#[test]
fn termination_frees_a_volume_whose_detachment_is_stuck() {
    let mut world = world();
    let (volume, instance) = attached(&mut world, "a");
    world.stick(&volume, AttachmentState::Detaching);
    detach(&mut world, &volume, &instance).unwrap();
    pass(&mut world, 600);
    assert_eq!(world.attachment(&volume, &instance).unwrap().state, AttachmentState::Detaching);
    world.terminate_instances(std::slice::from_ref(&instance)).unwrap();
    pass(&mut world, 60);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
}
