//! Random worlds, workloads and faults from a seed, the functions in them in virtual time, every safety rule asserted.

mod act;
mod feature;
mod liveness;
mod plan;
mod run;
mod setup;

pub use feature::Feature;
pub use plan::{Cuts, Plan};
pub use run::{Run, run};
