//! Anything asked in any order: whatever callers and groups do, EC2's own rules hold at every step.

use std::time::Duration;

use local_cloud::world::{
    ActionName, AttachmentState, Config, Detachment, InstanceState, LifecycleResult, Transition,
    VolumeState, World,
};

use crate::staging::{group, hook, request, run, with};

fn any(rng: &mut fastrand::Rng, from: &[String]) -> Option<String> {
    (!from.is_empty()).then(|| from[rng.usize(..from.len())].clone())
}

/// One call, of whatever kind, to whatever there is. Refusals are part of it.
fn meddle(world: &mut World, rng: &mut fastrand::Rng) {
    let volumes: Vec<String> = world.volumes().map(|it| it.id.clone()).collect();
    let instances: Vec<String> = world.instances().map(|it| it.id.clone()).collect();
    let zone = ["a", "b"][rng.usize(..2)];
    let (Some(volume), Some(instance)) = (any(rng, &volumes), any(rng, &instances)) else {
        world.create_volume(request(zone)).unwrap();
        world.run_instances(run(zone)).unwrap();
        return;
    };
    let ids = std::slice::from_ref(&instance);
    let device = format!("/dev/sd{}", rng.char('f'..='h'));
    match rng.u8(..12) {
        0 if volumes.len() < 40 => drop(world.create_volume(request(zone))),
        1 if instances.len() < 20 => drop(world.run_instances(run(zone))),
        2 | 3 => drop(world.attach_volume(&volume, &instance, &device)),
        4 => drop(world.detach_volume(&volume, None, None, Detachment::Clean)),
        5 => drop(world.detach_volume(&volume, Some(&instance), None, Detachment::Clean)),
        6 => drop(world.stop_instances(ids)),
        7 => drop(world.start_instances(ids)),
        8 => drop(world.terminate_instances(ids)),
        9 => drop(world.delete_volume(&volume)),
        10 => world.unmount(&volume),
        _ => {
            let waiting = world.actions().next().map(|it| (it.hook.clone(), it.instance.clone()));
            if let Some((hook, instance)) = waiting {
                let name = ActionName { instance: Some(&instance), ..ActionName::default() };
                let result = [LifecycleResult::Continue, LifecycleResult::Abandon][rng.usize(..2)];
                world.complete_lifecycle_action("web", &hook, name, result).unwrap();
            }
        }
    }
}

fn check(world: &World) {
    assert_eq!(world.violations(), Vec::<String>::new());
    for volume in world.volumes() {
        assert_eq!(
            volume.state == VolumeState::InUse,
            !volume.attachments.is_empty(),
            "{volume:?}"
        );
        for attachment in &volume.attachments {
            let state = world.instance(&attachment.instance).unwrap().state;
            let busy = attachment.state == AttachmentState::Busy;
            assert!(!busy || state != InstanceState::Stopped, "{attachment:?} is busy on nobody");
        }
    }
    for instance in world.instances() {
        let attached = world.attachments_of(&instance.id);
        let devices: std::collections::BTreeSet<_> = attached.iter().map(|it| &it.device).collect();
        assert_eq!(devices.len(), attached.len(), "two volumes on one device of {}", instance.id);
    }
    for action in world.actions() {
        assert!(world.member(&action.instance).is_some(), "{action:?} waits for nobody");
    }
}

#[test]
fn no_order_of_calls_breaks_what_ec2_guarantees() {
    for seed in 0..60 {
        let mut world = with(Config { seed, ..Config::default() });
        let mut rng = fastrand::Rng::with_seed(seed);
        let hooks =
            vec![hook("join", Transition::Launching), hook("leave", Transition::Terminating)];
        group(&mut world, 4, &["a", "b"], hooks);
        for _ in 0..400 {
            meddle(&mut world, &mut rng);
            world.advance(world.now().plus(Duration::from_millis(rng.u64(..4_000))));
            check(&world);
        }
        let events = world.drain_events();
        assert!(
            events.iter().any(|it| it.detail_type == "EC2 Instance-terminate Lifecycle Action")
        );
        assert!(events.windows(2).all(|pair| pair[0].at <= pair[1].at));
    }
}
