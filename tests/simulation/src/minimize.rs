//! What a failure takes: everything that can be left out of a seed's plan without the failure going away is left out.

use crate::plan::{Cuts, Plan};
use crate::run::run;

/// The cuts under which the seed still fails in the same way, as many as are found; nothing where it does not fail.
/// `progress` is told how many runs there have been and how much is left in.
pub fn minimize(seed: u64, mut progress: impl FnMut(usize, usize)) -> Option<Cuts> {
    let mut cuts = Cuts::default();
    let wanted = kind(&run(seed, &cuts).failure?);
    let mut runs = 1;
    let mut fails = |cuts: &Cuts, left: usize| {
        runs += 1;
        progress(runs, left);
        run(seed, cuts).failure.is_some_and(|failure| kind(&failure) == wanted)
    };
    let plan = Plan::of(seed, &cuts);
    let mut left = plan.features.len() + plan.steps.len();
    // Large parts first: half of the steps, then quarters, down to single ones.
    let mut width = plan.steps.len().next_power_of_two() / 2;
    while width > 0 {
        for from in (0..plan.steps.len()).step_by(width) {
            let mut fewer = cuts.clone();
            fewer.skipped.extend(from..(from + width).min(plan.steps.len()));
            if fewer != cuts && fails(&fewer, left) {
                cuts = fewer;
                left = plan.features.len() - cuts.without.len() + plan.steps.len()
                    - cuts.skipped.len();
            }
        }
        width /= 2;
    }
    for feature in plan.features {
        let mut fewer = cuts.clone();
        fewer.without.insert(feature);
        if fails(&fewer, left) {
            cuts = fewer;
            left -= 1;
        }
    }
    Some(cuts)
}

/// What kind of failure it is: the rule that broke, or what came to no rest, without the names in it.
fn kind(failure: &str) -> String {
    let first = failure.lines().next().unwrap_or_default();
    let broken = first.split_once("Z: ").map_or(first, |(_, broken)| broken);
    let words =
        broken.split_whitespace().filter(|word| !word.contains(|c: char| c.is_ascii_digit()));
    words.collect::<Vec<&str>>().join(" ")
}
