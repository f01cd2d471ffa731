//! Random worlds, workloads and faults from a seed, the functions in them in virtual time, every safety rule asserted.

mod deeds;
mod feature;
mod liveness;
mod minimize;
mod plan;
mod policies;
mod run;
mod setup;
mod tally;

pub use feature::{Deed, Feature, Nature};
pub use minimize::minimize;
pub use plan::{Cuts, GroupPlan, Plan, Step};
pub use policies::PolicyPlan;
pub use run::{Run, run, trace};
pub use tally::{Counts, Tally};
