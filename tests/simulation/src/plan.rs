//! What a seed means: the groups and their policies, what is turned on, and what is done to the world step by step. Drawn
//! as a whole before anything happens, so that a part of it can be left out and the rest stay as it was.

use std::collections::BTreeSet;
use std::time::Duration;

use local_cloud::stage::Fault;

use crate::feature::{Deed, Feature, Nature};
use crate::policies::PolicyPlan;

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
    /// The groups.
    pub groups: Vec<GroupPlan>,
    /// What is done, in order.
    pub steps: Vec<Step>,
}

/// A group.
#[derive(Debug, Clone)]
pub struct GroupPlan {
    /// Its name.
    pub name: String,
    /// Its zones.
    pub zones: Vec<String>,
    /// How many instances it begins with.
    pub size: u32,
    /// How many volumes of its pool there are in each zone to begin with, in slots.
    pub volumes: u32,
    /// Its policy.
    pub policy: PolicyPlan,
    /// The heartbeat timeout of its hooks, in seconds.
    pub heartbeat: u32,
    /// Whether the hooks are put on it while it runs already.
    pub enrolled_later: bool,
    /// Whether other people, where they have hooks on it, have one for its launches too.
    pub others_launch: bool,
}

/// Something that is done to the world.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// How long after the step before.
    pub after: Duration,
    /// What.
    pub deed: Deed,
    /// What it draws its details from.
    pub seed: u64,
}

/// How many steps a history has.
const STEPS: usize = 215;
/// The longest pause between two.
const LONGEST_PAUSE: u64 = 180_000;
/// The zones of the region.
pub(crate) const ZONES: [&str; 3] = ["eu-central-1a", "eu-central-1b", "eu-central-1c"];

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64, cuts: &Cuts) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5349_4d55);
        let drawn = features(&mut rng);
        // Everything that is not a feature is drawn from a generator of its own, so that it stays when one is cut.
        let fault_rate = [3, 10, 30, 100][rng.usize(0..4)];
        let deeds = weighted(&drawn);
        let steps: Vec<Step> = (0..STEPS)
            .filter_map(|_| {
                let longest = LONGEST_PAUSE >> rng.u32(0..8);
                let after = Duration::from_millis(rng.u64(0..longest));
                let seed = rng.u64(..);
                Some(Step { after, deed: rng.choice(deeds.iter().copied())?, seed })
            })
            .collect();
        let features: BTreeSet<Feature> = drawn.difference(&cuts.without).copied().collect();
        let has = |nature| features.contains(&Feature::Nature(nature));
        let mut layout = rng.fork();
        let groups = groups(&mut layout, &has);
        Self { seed, features, fault_rate, groups, steps }
    }

    /// Whether it is so.
    pub fn is(&self, nature: Nature) -> bool {
        self.features.contains(&Feature::Nature(nature))
    }

    /// Whether it is done.
    pub fn does(&self, deed: Deed) -> bool {
        self.features.contains(&Feature::Deed(deed))
    }

    /// Whether calls go wrong in this way.
    pub fn befalls(&self, fault: Fault) -> bool {
        self.features.contains(&Feature::Calls(fault))
    }
}

/// Half of what can go wrong with calls, a third of the rest; a quarter of the seeds have no faults of calls at all.
fn features(rng: &mut fastrand::Rng) -> BTreeSet<Feature> {
    let faultless = rng.u32(0..4) == 0;
    let drawn = Feature::all().into_iter().filter(|feature| match feature {
        Feature::Calls(_) => rng.bool() && !faultless,
        Feature::Nature(_) | Feature::Deed(_) => rng.u32(0..3) == 0,
    });
    drawn.collect()
}

/// The deeds to draw from: instances come and go in every history, and more often than anything else happens.
fn weighted(drawn: &BTreeSet<Feature>) -> Vec<Deed> {
    let chosen: Vec<Deed> = drawn
        .iter()
        .filter_map(|feature| match feature {
            Feature::Deed(deed) => Some(*deed),
            Feature::Calls(_) | Feature::Nature(_) => None,
        })
        .collect();
    let turnover = [Deed::Fail, Deed::Kill, Deed::Scale, Deed::TerminateInGroup, Deed::Refresh];
    let lively: Vec<Deed> = turnover.into_iter().filter(|deed| chosen.contains(deed)).collect();
    let share = if lively.is_empty() { 0 } else { chosen.len() / lively.len() + 1 };
    let again = std::iter::repeat_n(lively, share).flatten();
    chosen.iter().copied().chain(again).collect()
}

fn groups(rng: &mut fastrand::Rng, is: &impl Fn(Nature) -> bool) -> Vec<GroupPlan> {
    let many = rng.usize(1..=3);
    let count = if is(Nature::ManyGroups) { many } else { 1 };
    let one_pool = rng.bool();
    let a_zone_each = rng.bool();
    let drawn = (0..3).map(|number| {
        let mut rng = rng.fork();
        let name = ["cassandra", "kafka", "etcd"][number];
        let pool = if one_pool { "shared" } else { name };
        let wide = rng.usize(1..=3);
        let zones = if a_zone_each {
            vec![ZONES[number].to_owned()]
        } else if is(Nature::ManyGroups) {
            ZONES[..wide].iter().map(|zone| (*zone).to_owned()).collect()
        } else {
            vec![ZONES[0].to_owned()]
        };
        let size = rng.u32(1..=5);
        GroupPlan {
            name: name.to_owned(),
            zones,
            size,
            volumes: rng.u32(0..=size),
            policy: PolicyPlan::drawn(&mut rng, pool, is(Nature::Sets)),
            heartbeat: [300, 300, 600, 3_600][rng.usize(0..4)],
            enrolled_later: rng.u32(0..6) == 0,
            others_launch: rng.bool(),
        }
    });
    drawn.take(count).collect()
}
