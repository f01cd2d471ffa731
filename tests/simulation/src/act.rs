//! What people and AWS do to the world.

use local_cloud::stage::Stage;

use crate::feature::Feature;
use crate::plan::Step;
use crate::run::in_service;

impl Feature {
    /// Whether it is something that is done, step by step.
    pub fn is_a_deed(self) -> bool {
        matches!(self, Self::Failures | Self::Kills | Self::Stops | Self::Scaling)
    }
}

/// Takes a step. What the world refuses is no news.
pub(crate) fn act(stage: &Stage, step: &Step) {
    let mut rng = fastrand::Rng::with_seed(step.seed);
    let served = in_service(stage, "cassandra");
    let one = rng.choice(&served);
    let mut world = stage.cloud.world();
    let _refused = match (step.what, one) {
        (Feature::Failures, Some(one)) => world.fail_instance(one),
        (Feature::Kills, Some(one)) => world.terminate_by_hand(one),
        (Feature::Stops, Some(one)) => world.stop_instances(std::slice::from_ref(one)).map(drop),
        (Feature::Scaling, _) => {
            let most = world.group("cassandra").map_or(0, |group| group.max_size);
            world.set_desired_capacity("cassandra", rng.u32(0..=most))
        }
        _ => Ok(()),
    };
}
