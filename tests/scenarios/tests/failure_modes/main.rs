//! Failure modes of AWS and of people, as stories on the stage. `tests/failure-modes.md` says which is which.

#![cfg(test)]

mod calls;
mod events;
mod membership;
mod volumes;

use local_cloud::stage::Stage;
use local_cloud::world::{self, LifecycleState};
use scenarios::{group, hooks, instances};
use volume_pool::event::{Action, Event, LifecycleEvent, Transition};
use volume_pool::observation::InstanceState;

/// As default policies go, an empty volume would be created where none is coming.
const POLICY: &str = r#"{"pool":"cassandra"}"#;
/// Only tagged volumes are used.
const WAITING: &str = r#"{"pool":"cassandra","whenEmpty":"wait"}"#;

/// The names of the alarms raised so far.
fn alarms(stage: &Stage) -> Vec<&'static str> {
    let loops = stage.reports.iter().flat_map(|report| &report.journal.alarms);
    loops.chain(&stage.alarms).map(volume_pool::decide::Alarm::name).collect()
}

/// Every claim with its reason, for messages.
fn reasons(stage: &Stage) -> Vec<String> {
    let claims = stage.claims().into_iter();
    claims.map(|claim| format!("{} {:?}: {}", claim.instance, claim.phase, claim.reason)).collect()
}

/// The group of these scenarios, of `size` instances over `zones`.
fn launch(stage: &Stage, size: u32, zones: &[&str], policy: &str) {
    group(stage, "cassandra", size, zones, hooks(Some(policy))).unwrap();
}

/// The only instance of the group in this state.
fn only(stage: &Stage, wanted: LifecycleState) -> String {
    let found = instances(stage, "cassandra", wanted);
    assert_eq!(found.len(), 1, "in {wanted:?}: {:?}", reasons(stage));
    found.into_iter().next().unwrap()
}

fn in_service(stage: &Stage, count: usize) -> bool {
    stage.volumes_in_service().len() == count
}

/// The event of the action that waits now, as its hook sent it.
fn waiting_event(stage: &Stage, transition: world::Transition, metadata: Option<&str>) -> Event {
    let world = stage.cloud.world();
    let action = world.actions().find(|action| action.transition == transition).unwrap();
    Event::Lifecycle(LifecycleEvent {
        instance: action.instance.parse().unwrap(),
        action: Action {
            group: action.group.parse().unwrap(),
            hook: action.hook.parse().unwrap(),
            token: Some(action.token.parse().unwrap()),
            transition: match transition {
                world::Transition::Launching => Transition::Launching,
                world::Transition::Terminating => Transition::Terminating,
            },
            destination: None,
            began_at: None,
        },
        metadata: metadata.map(str::to_owned),
    })
}

/// EC2's event of an instance's state.
fn state_event(instance: &str, state: InstanceState) -> Event {
    Event::InstanceState { instance: instance.parse().unwrap(), state }
}
