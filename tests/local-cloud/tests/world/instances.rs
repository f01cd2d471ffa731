//! Instances: their states, their volumes when they end, and what EC2 remembers.

use local_cloud::world::{
    Filter, InstanceState, LaunchSpecification, Market, PageRequest, RunInstances, StatusScope,
    VolumeState,
};

use crate::staging::{data_disk, pass, run, running, specification, state, until, world};

#[test]
fn instances_pass_through_ec2s_states_and_each_is_announced() {
    let mut world = world();
    let instance = world.run_instances(run("a")).unwrap().remove(0).id;
    let ids = std::slice::from_ref(&instance);
    assert_eq!(state(&world, &instance), InstanceState::Pending);
    assert_eq!(world.stop_instances(ids).unwrap_err().code(), "IncorrectInstanceState");
    pass(&mut world, 15);
    world.stop_instances(ids).unwrap();
    assert_eq!(world.start_instances(ids).unwrap_err().code(), "IncorrectInstanceState");
    until(&mut world, "stopped", |world| state(world, &instance) == InstanceState::Stopped);
    world.start_instances(ids).unwrap();
    pass(&mut world, 15);
    world.terminate_instances(ids).unwrap();
    pass(&mut world, 60);
    let states: Vec<_> = world
        .drain_events()
        .into_iter()
        .filter(|event| event.detail_type == "EC2 Instance State-change Notification")
        .map(|event| event.body["detail"]["state"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(
        states,
        [
            "pending",
            "running",
            "stopping",
            "stopped",
            "pending",
            "running",
            "shutting-down",
            "terminated"
        ]
    );
}

#[test]
fn termination_deletes_or_frees_volumes_as_each_says_and_not_before_it_is_over() {
    let mut world = world();
    let block_devices = vec![data_disk("/dev/sdf", false), data_disk("/dev/sdg", true)];
    let specification = LaunchSpecification { block_devices, ..specification() };
    let request = RunInstances { specification, ..run("a") };
    let instance = world.run_instances(request).unwrap().remove(0).id;
    pass(&mut world, 15);
    let volume = |device: &str| {
        let attached = world.attachments_of(&instance).into_iter().find(|it| it.device == device);
        attached.unwrap().volume.clone()
    };
    let (root, kept, gone) = (volume("/dev/xvda"), volume("/dev/sdf"), volume("/dev/sdg"));
    world.terminate_instances(std::slice::from_ref(&instance)).unwrap();
    pass(&mut world, 15);
    assert_eq!(world.volume(&kept).unwrap().state, VolumeState::InUse);
    pass(&mut world, 60);
    assert_eq!(world.volume(&kept).unwrap().state, VolumeState::Available);
    for volume in [root, gone] {
        assert_eq!(world.volume(&volume).unwrap_err().code(), "InvalidVolume.NotFound");
    }
}

#[test]
fn delete_on_termination_can_be_changed_by_device() {
    let mut world = world();
    let instance = running(&mut world, "a");
    let root = world.attachments_of(&instance)[0].volume.clone();
    let change = |device: &str, volume: Option<String>| [(device.to_owned(), volume, false)];
    let unmapped = world.set_delete_on_termination(&instance, &change("/dev/sdq", None));
    assert_eq!(unmapped.unwrap_err().code(), "InvalidParameterValue");
    world.set_delete_on_termination(&instance, &change("/dev/xvda", Some(root.clone()))).unwrap();
    world.terminate_instances(&[instance]).unwrap();
    pass(&mut world, 60);
    assert_eq!(world.volume(&root).unwrap().state, VolumeState::Available);
}

#[test]
fn a_terminated_instance_is_remembered_for_an_hour() {
    let mut world = world();
    let instance = running(&mut world, "a");
    world.terminate_instances(std::slice::from_ref(&instance)).unwrap();
    pass(&mut world, 3_500);
    assert_eq!(state(&world, &instance), InstanceState::Terminated);
    world.terminate_instances(std::slice::from_ref(&instance)).unwrap();
    pass(&mut world, 200);
    let refused = world.terminate_instances(&[instance]).unwrap_err();
    assert_eq!(refused.code(), "InvalidInstanceID.NotFound");
}

#[test]
fn a_one_time_spot_instance_refuses_to_stop() {
    let mut world = world();
    let specification = LaunchSpecification { market: Market::Spot, ..specification() };
    let request = RunInstances { specification, ..run("a") };
    let instance = world.run_instances(request).unwrap().remove(0).id;
    pass(&mut world, 15);
    let refused = world.stop_instances(&[instance]).unwrap_err();
    assert_eq!(refused.code(), "UnsupportedOperation");
}

#[test]
fn status_shows_running_instances_only_unless_all_are_asked_for() {
    let mut world = world();
    let instance = running(&mut world, "a");
    let pending = world.run_instances(run("b")).unwrap().remove(0).id;
    world.fail_instance(&instance).unwrap();
    let shown = |scope| {
        let page = PageRequest::default();
        let found = world.describe_instance_status(&[], &[], scope, &page).unwrap().items;
        found.into_iter().map(|it| (it.instance.id.clone(), it.summary())).collect::<Vec<_>>()
    };
    assert_eq!(shown(StatusScope::Running), [(instance, "impaired")]);
    assert!(shown(StatusScope::All).contains(&(pending, "initializing")));
}

#[test]
fn instances_are_found_by_the_volumes_they_have() {
    let mut world = world();
    let instance = running(&mut world, "a");
    running(&mut world, "a");
    let root = world.attachments_of(&instance)[0].volume.clone();
    let filter = [Filter::new("block-device-mapping.volume-id", &root)];
    let found = world.describe_instances(&[], &filter, &PageRequest::default()).unwrap().items;
    assert_eq!(found.iter().map(|it| &it.instance.id).collect::<Vec<_>>(), [&instance]);
}
