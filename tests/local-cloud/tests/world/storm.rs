//! Anything asked in any order: whatever callers and groups do, EC2's own rules hold at every step.

use std::time::Duration;

use local_cloud::world::{
    ActionName, AttachmentState, Config, Detachment, Document, DocumentEffect, InstanceState,
    LifecycleResult, Pace, SendCommand, Step, Transition, VolumeSpecification, VolumeState, World,
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
    match rng.u8(..16) {
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
        11 => {
            let wanted = larger(world, &volume);
            drop(world.modify_volume(&volume, &wanted));
        }
        12 => drop(world.fail_volume(&volume)),
        13 => {
            let steps = [Step::Attach, Step::Detach, Step::Release, Step::Stop, Step::Terminate];
            let (step, id) =
                (steps[rng.usize(..steps.len())], [&volume, &instance][rng.usize(..2)]);
            match rng.u8(..3) {
                0 => world.set_pace(id, step, Pace::NeverEnds),
                1 => world.set_pace(id, step, Pace::Takes(Duration::from_secs(rng.u64(..90)))),
                _ => world.reset_pace(id, step),
            }
        }
        14 => {
            let (document, instances) = ("leave".to_owned(), ids.to_vec());
            drop(world.send_command(SendCommand { document, instances, ..Default::default() }));
        }
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

/// One GiB more than the volume has.
fn larger(world: &World, volume: &str) -> VolumeSpecification {
    let size_gib = world.volume(volume).map(|it| it.size_gib + 1).ok();
    VolumeSpecification { size_gib, ..VolumeSpecification::default() }
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
        let effect = DocumentEffect::Unmounts;
        world.put_document("leave", Document { effect, ..Document::default() });
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
