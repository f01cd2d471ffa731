//! After the faults: within a bounded time every action is answered, everybody is served who can be, every slot is free,
//! leased or set apart with a reason, and nothing has leaked.

use std::time::Duration;

use local_cloud::stage::{Chances, Stage};
use local_cloud::world::LifecycleState;

use crate::plan::Plan;

/// How long everything may take to come to rest once nothing goes wrong any more.
const LONG: Duration = Duration::from_hours(4);

/// Stops the faults and waits for rest.
pub(crate) fn check(stage: &mut Stage, _plan: &Plan) -> Result<(), String> {
    stage.chances = Chances::default();
    stage.run_until(LONG, at_rest).map_err(|problem| format!("liveness: {problem}"))
}

fn at_rest(stage: &Stage) -> bool {
    let world = stage.cloud.world();
    let served = world.groups().all(|group| {
        group.members.len() == usize::try_from(group.desired_capacity).unwrap_or(usize::MAX)
            && group.members.values().all(|member| member.state == LifecycleState::InService)
    });
    drop(world);
    served && stage.claims().iter().all(|claim| !claim.open)
}
