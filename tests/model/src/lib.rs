//! Model checking: the loop that runs in Lambda, driven through every interleaving of small configurations.
//!
//! A state holds the lease table, an abstract AWS and up to three invocations, each the product's own
//! [`Invocation`](volume_pool::invocation::Invocation) between two of its requests. A step carries out one request, or
//! lets AWS, the group, a person or the time do one thing. The table applies the product's own transactions, and reconcile
//! brings up what the product's own sweep finds, so nothing of the protocol is written down here a second time.

mod answer;
pub mod cloud;
pub mod configuration;
pub mod explore;
mod names;
mod protocol;
mod repair;
mod rules;
pub mod state;
pub mod step;
pub mod variant;

pub use protocol::Protocol;
