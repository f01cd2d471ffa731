//! What is slow or stuck: attachments, instances that stop or shut down, and what still ends them.

use std::time::Duration;

use local_cloud::world::{
    AttachmentState, Detachment, InstanceState, Pace, Step, VolumeState, World,
};

use crate::staging::{new_volume, pass, run, running, state, world};

const TWENTY_MINUTES: Pace = Pace::Takes(Duration::from_mins(20));

fn attached(world: &mut World) -> (String, String) {
    let volume = new_volume(world, "a");
    let instance = running(world, "a");
    world.attach_volume(&volume, &instance, "/dev/sdf").unwrap();
    pass(world, 5);
    (volume, instance)
}

fn detach(world: &mut World, volume: &str, instance: &str) {
    world.detach_volume(volume, Some(instance), None, Detachment::Clean).unwrap();
}

fn attachment(world: &World, volume: &str, instance: &str) -> Option<AttachmentState> {
    world.attachment(volume, instance).map(|it| it.state)
}

#[test]
fn a_metal_instance_lets_go_after_twenty_minutes_of_detaching() {
    let mut world = world();
    let (volume, instance) = attached(&mut world);
    world.set_pace(&instance, Step::Detach, TWENTY_MINUTES);
    detach(&mut world, &volume, &instance);
    pass(&mut world, 20 * 60 - 1);
    assert_eq!(attachment(&world, &volume, &instance), Some(AttachmentState::Detaching));
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::InUse);
    pass(&mut world, 1);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
}

#[test]
fn a_detachment_can_be_busy_for_twenty_minutes_with_nothing_mounted() {
    let mut world = world();
    let (volume, instance) = attached(&mut world);
    world.set_pace(&volume, Step::Release, TWENTY_MINUTES);
    detach(&mut world, &volume, &instance);
    pass(&mut world, 5);
    assert_eq!(attachment(&world, &volume, &instance), Some(AttachmentState::Busy));
    pass(&mut world, 19 * 60 + 50);
    world.unmount(&volume);
    assert_eq!(attachment(&world, &volume, &instance), Some(AttachmentState::Busy));
    pass(&mut world, 10);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
}

#[test]
fn a_mounted_volume_is_busy_for_as_long_as_it_is_mounted_and_then_for_its_own_time() {
    let mut world = world();
    let (volume, instance) = attached(&mut world);
    world.set_pace(&volume, Step::Release, Pace::Takes(Duration::from_mins(1)));
    world.mount(&volume);
    detach(&mut world, &volume, &instance);
    pass(&mut world, 600);
    assert_eq!(attachment(&world, &volume, &instance), Some(AttachmentState::Busy));
    world.unmount(&volume);
    pass(&mut world, 50);
    assert_eq!(attachment(&world, &volume, &instance), Some(AttachmentState::Busy));
    pass(&mut world, 15);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
}

#[test]
fn a_detachment_that_stays_busy_ends_when_the_instance_stops() {
    let mut world = world();
    let (volume, instance) = attached(&mut world);
    world.set_pace(&volume, Step::Release, Pace::NeverEnds);
    detach(&mut world, &volume, &instance);
    pass(&mut world, 3_600);
    assert_eq!(attachment(&world, &volume, &instance), Some(AttachmentState::Busy));
    world.stop_instances(std::slice::from_ref(&instance)).unwrap();
    pass(&mut world, 65);
    assert_eq!(state(&world, &instance), InstanceState::Stopped);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
}

#[test]
fn an_attachment_is_slow_or_stuck_and_the_volumes_own_pace_goes_before() {
    let mut world = world();
    let instance = running(&mut world, "a");
    let (slow, usual) = (new_volume(&mut world, "a"), new_volume(&mut world, "a"));
    world.set_pace(&instance, Step::Attach, TWENTY_MINUTES);
    world.set_pace(&usual, Step::Attach, Pace::Takes(Duration::from_secs(2)));
    world.attach_volume(&slow, &instance, "/dev/sdf").unwrap();
    world.attach_volume(&usual, &instance, "/dev/sdg").unwrap();
    pass(&mut world, 5);
    assert_eq!(attachment(&world, &usual, &instance), Some(AttachmentState::Attached));
    assert_eq!(attachment(&world, &slow, &instance), Some(AttachmentState::Attaching));
    world.reset_pace(&instance, Step::Attach);
    pass(&mut world, 5);
    assert_eq!(attachment(&world, &slow, &instance), Some(AttachmentState::Attached));
}

#[test]
fn what_never_ends_holds_up_what_is_under_way_and_goes_on_when_it_may() {
    let mut world = world();
    let (volume, instance) = attached(&mut world);
    detach(&mut world, &volume, &instance);
    world.set_pace(&volume, Step::Detach, Pace::NeverEnds);
    pass(&mut world, 3_600);
    assert_eq!(attachment(&world, &volume, &instance), Some(AttachmentState::Detaching));
    world.reset_pace(&volume, Step::Detach);
    pass(&mut world, 5);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
}

#[test]
fn an_instance_shuts_down_for_twenty_minutes_and_its_volume_is_not_free_before() {
    let mut world = world();
    let (volume, instance) = attached(&mut world);
    world.set_pace(&instance, Step::Terminate, TWENTY_MINUTES);
    world.terminate_instances(std::slice::from_ref(&instance)).unwrap();
    detach(&mut world, &volume, &instance);
    pass(&mut world, 20 * 60 - 1);
    assert_eq!(state(&world, &instance), InstanceState::ShuttingDown);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::InUse);
    pass(&mut world, 1);
    assert_eq!(state(&world, &instance), InstanceState::Terminated);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
}

#[test]
fn an_instance_that_never_stops_can_be_terminated_or_stops_after_all() {
    let mut world = world();
    let (volume, stuck) = attached(&mut world);
    let slow = running(&mut world, "a");
    world.set_pace(&stuck, Step::Stop, Pace::NeverEnds);
    for instance in [&stuck, &slow] {
        world.stop_instances(std::slice::from_ref(instance)).unwrap();
    }
    world.set_pace(&slow, Step::Stop, Pace::NeverEnds);
    pass(&mut world, 3_600);
    assert_eq!(state(&world, &stuck), InstanceState::Stopping);
    assert_eq!(state(&world, &slow), InstanceState::Stopping);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::InUse);
    world.terminate_instances(std::slice::from_ref(&stuck)).unwrap();
    world.reset_pace(&slow, Step::Stop);
    pass(&mut world, 65);
    assert_eq!(state(&world, &stuck), InstanceState::Terminated);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
    assert_eq!(state(&world, &slow), InstanceState::Stopped);
}

#[test]
fn an_instance_takes_as_long_to_stop_and_to_start_as_it_is_told() {
    let mut world = world();
    let instance = running(&mut world, "a");
    world.set_pace(&instance, Step::Stop, Pace::Takes(Duration::from_mins(10)));
    world.set_pace(&instance, Step::Start, Pace::Takes(Duration::from_mins(5)));
    world.stop_instances(std::slice::from_ref(&instance)).unwrap();
    pass(&mut world, 599);
    assert_eq!(state(&world, &instance), InstanceState::Stopping);
    pass(&mut world, 1);
    assert_eq!(state(&world, &instance), InstanceState::Stopped);
    world.start_instances(std::slice::from_ref(&instance)).unwrap();
    pass(&mut world, 299);
    assert_eq!(state(&world, &instance), InstanceState::Pending);
    pass(&mut world, 1);
    assert_eq!(state(&world, &instance), InstanceState::Running);
    let other = world.run_instances(run("a")).unwrap().remove(0).id;
    pass(&mut world, 15);
    assert_eq!(state(&world, &other), InstanceState::Running);
}
