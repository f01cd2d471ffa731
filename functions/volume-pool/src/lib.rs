//! The domain of stateful-asg: slots, leases and claims, and what to do next.
//!
//! ```text
//! event → ┌─ guard → observe (records, EC2 and Auto Scaling, records) → decide → act ─┐ → answer
//!         └──────────────────────────────────────────────────────────────────────────┘
//! ```
//!
//! [`event`] reads what EventBridge sends, [`record`] is what is on record, [`observation`] what AWS shows,
//! [`decide`](mod@decide) chooses one step and says why, [`transition`] builds the transactions, [`evidence`] says when a slot may be
//! released, [`action_loop`] and [`invocation`] run all that without I/O, asking by [`request`], and [`shell`] carries it out over the
//! [`ports`]. No AWS SDK, no async runtime and no clock in here.

pub mod action;
pub mod action_loop;
pub mod allowance;
pub mod answers;
pub mod command;
pub mod decide;
pub mod drift;
pub mod effect;
pub mod event;
pub mod evidence;
pub mod ids;
pub mod invocation;
pub mod lease_tag;
pub mod moving;
pub mod observation;
pub mod policy;
pub mod ports;
pub mod queues;
pub mod rebuild;
pub mod record;
pub mod rehearsal;
pub mod report;
pub mod request;
pub mod shell;
pub mod sweep;
pub mod time;
pub mod transition;
pub mod zone;

pub use allowance::Allowance;
pub use time::Timestamp;
