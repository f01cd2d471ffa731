//! What the tests have in common: a world at a fixed time, and what is put into it.

use std::time::Duration;

use local_cloud::world::{
    ActionName, ApiError, BlockDevice, CloudEvent, Config, CreateGroup, CreateVolume, GroupChange,
    HookSpecification, InstanceState, LaunchSpecification, LifecycleResult, LifecycleState,
    RunInstances, Tags, TemplateReference, Transition, VolumeSpecification, VolumeState, World,
};
use volume_pool::Timestamp;

/// A world of one seed at a fixed time.
pub(crate) fn world() -> World {
    with(Config { seed: 7, ..Config::default() })
}

pub(crate) fn with(config: Config) -> World {
    World::new(config, Timestamp::from_millis(1_795_469_400_000))
}

pub(crate) fn pass(world: &mut World, seconds: u64) {
    world.advance(world.now().plus(Duration::from_secs(seconds)));
}

/// Goes on from one thing that falls due to the next, until the condition holds. Fails after an hour.
pub(crate) fn until(world: &mut World, what: &str, condition: impl Fn(&World) -> bool) {
    let limit = world.now().plus(Duration::from_mins(50));
    while !condition(world) {
        match world.next_due() {
            Some(at) if at <= limit => world.advance(at),
            _ => panic!("never came true: {what}"),
        }
    }
}

pub(crate) fn new_volume(world: &mut World, zone: &str) -> String {
    let volume = world.create_volume(request(zone)).unwrap().id;
    pass(world, 5);
    assert_eq!(world.volume(&volume).unwrap().state, VolumeState::Available);
    volume
}

pub(crate) fn request(zone: &str) -> CreateVolume {
    CreateVolume {
        zone: format!("eu-central-1{zone}"),
        specification: VolumeSpecification {
            size_gib: Some(10),
            volume_type: Some("gp3".to_owned()),
            ..VolumeSpecification::default()
        },
        ..CreateVolume::default()
    }
}

pub(crate) fn specification() -> LaunchSpecification {
    LaunchSpecification {
        image_id: Some("ami-0123456789abcdef0".to_owned()),
        instance_type: Some("m7i.large".to_owned()),
        ..LaunchSpecification::default()
    }
}

pub(crate) fn run(zone: &str) -> RunInstances {
    RunInstances {
        specification: specification(),
        min_count: 1,
        max_count: 1,
        zone: Some(format!("eu-central-1{zone}")),
        ..RunInstances::default()
    }
}

pub(crate) fn running(world: &mut World, zone: &str) -> String {
    let instance = world.run_instances(run(zone)).unwrap().remove(0).id;
    pass(world, 15);
    assert_eq!(state(world, &instance), InstanceState::Running);
    instance
}

pub(crate) fn data_disk(device: &str, delete_on_termination: bool) -> BlockDevice {
    BlockDevice {
        device: device.to_owned(),
        specification: request("a").specification,
        delete_on_termination,
    }
}

pub(crate) fn state(world: &World, instance: &str) -> InstanceState {
    world.instance(instance).unwrap().state
}

pub(crate) fn hook(name: &str, transition: Transition) -> HookSpecification {
    HookSpecification {
        name: name.to_owned(),
        transition: Some(transition),
        metadata: Some(format!("{{\"pool\":\"{name}\"}}")),
        heartbeat_timeout: Some(300),
        default_result: Some(LifecycleResult::Abandon),
    }
}

/// A group `web` of so many instances over the zones, with hooks.
pub(crate) fn group(world: &mut World, size: u32, zones: &[&str], hooks: Vec<HookSpecification>) {
    let template =
        world.create_launch_template("node", None, specification(), Tags::new()).unwrap();
    world
        .create_group(CreateGroup {
            name: "web".to_owned(),
            change: GroupChange {
                template: Some(TemplateReference { id: Some(template.id), ..Default::default() }),
                min_size: Some(0),
                max_size: Some(30),
                desired_capacity: Some(size),
                zones: Some(zones.iter().map(|zone| format!("eu-central-1{zone}")).collect()),
                ..GroupChange::default()
            },
            hooks,
            ..CreateGroup::default()
        })
        .unwrap();
}

pub(crate) fn in_service(world: &World) -> Vec<String> {
    let members = world.group("web").unwrap().members.values();
    members
        .filter(|member| member.state == LifecycleState::InService)
        .map(|member| member.instance.clone())
        .collect()
}

pub(crate) fn lifecycle(world: &World, instance: &str) -> Option<LifecycleState> {
    world.member(instance).map(|(_, member)| member.state)
}

/// The members of the group in a state.
pub(crate) fn waiting(world: &World, state: LifecycleState) -> Vec<String> {
    let members = world.group("web").unwrap().members.values();
    members.filter(|it| it.state == state).map(|it| it.instance.clone()).collect()
}

pub(crate) fn answer(
    world: &mut World,
    hook: &str,
    instance: &str,
    result: LifecycleResult,
) -> Result<(), ApiError> {
    let name = ActionName { instance: Some(instance), ..ActionName::default() };
    world.complete_lifecycle_action("web", hook, name, result)
}

pub(crate) fn lifecycle_events(world: &mut World, detail_type: &str) -> Vec<CloudEvent> {
    world.drain_events().into_iter().filter(|event| event.detail_type == detail_type).collect()
}
