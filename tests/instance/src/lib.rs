//! What the tests of the instance's side stand on: a metadata service, disks that are loop devices, and a machine that has
//! them, as the program under test sees it through its options `--sys`, `--dev`, `--run` and `--metadata`; and a system that boots,
//! which the demo of the whole path stands on as well.

#![expect(
    clippy::missing_panics_doc,
    clippy::unwrap_used,
    reason = "a test that can't be set up has failed"
)]

mod disk;
mod machine;
mod metadata;
mod shell;
mod system;

pub use disk::{Disk, MIB};
pub use machine::{Machine, Outcome};
pub use metadata::Metadata;
pub use shell::{output, run};
pub use system::{Recipe, System};

/// The program under test, where its installation puts it.
pub const PROGRAM: &str = "/usr/local/sbin/stateful-asg-instance";
