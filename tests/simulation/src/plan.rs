//! What a seed means: the groups and their policies, what is turned on, and what is done to the world step by step. Drawn
//! as a whole before anything happens, so that a part of it can be left out and the rest stay as it was.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::feature::Feature;

/// What is left out of a seed's plan, to find out what a failure takes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Cuts {
    /// These are turned off.
    pub without: BTreeSet<Feature>,
    /// These steps are not taken.
    pub skipped: BTreeSet<usize>,
}

/// What a seed means.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The seed.
    pub seed: u64,
    /// What is on.
    pub features: BTreeSet<Feature>,
    /// How many in ten thousand calls go wrong in each way that is on.
    pub fault_rate: u32,
    /// The policy.
    pub policy: String,
    /// How many instances.
    pub size: u32,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// Something that is done to the world.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// How long after the step before.
    pub after: Duration,
    /// What.
    pub what: Feature,
    /// What it draws its details from.
    pub seed: u64,
}

const STEPS: usize = 40;

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64, cuts: &Cuts) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5349_4d55);
        let drawn: BTreeSet<Feature> = Feature::all().into_iter().filter(|_| rng.bool()).collect();
        let deeds: Vec<Feature> =
            drawn.iter().copied().filter(|feature| feature.is_a_deed()).collect();
        let mode = ["stop", "detach", "terminate"][rng.usize(0..3)];
        let policy = format!(r#"{{"pool":"cassandra","leave":{{"mode":"{mode}"}}}}"#);
        let size = rng.u32(1..=5);
        let fault_rate = [5, 20, 50, 100][rng.usize(0..4)];
        let steps = (0..STEPS).filter_map(|_| {
            let after = Duration::from_millis({
                let scale = rng.u32(0..8);
                rng.u64(0..240_000 >> scale)
            });
            let (what, seed) = (rng.choice(&deeds), rng.u64(..));
            Some(Step { after, what: *what?, seed })
        });
        let steps = steps.collect();
        let features = drawn.difference(&cuts.without).copied().collect();
        Self { seed, features, fault_rate, policy, size, steps }
    }

    /// Whether something is on.
    pub fn has(&self, feature: Feature) -> bool {
        self.features.contains(&feature)
    }
}
