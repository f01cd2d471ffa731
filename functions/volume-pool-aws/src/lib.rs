//! EC2, Auto Scaling, Systems Manager and DynamoDB behind the ports of `volume-pool`: one SDK call per port method, its answer
//! converted, its errors classified.
//!
//! No policy lives here: nothing in this crate decides what is done next, retries what the domain should look at
//! again, or guesses at an answer that it could not read.

pub mod auto_scaling;
pub mod calls;
pub mod classify;
pub mod clock;
pub mod connect;
mod convert;
pub mod dynamodb;
pub mod ec2;
pub mod enrolment;
pub mod function;
pub mod metrics;
pub mod moving;
pub mod ssm;
pub mod table;

pub use auto_scaling::AutoScaling;
pub use clock::SystemClock;
pub use connect::{
    AwsPorts, ConnectError, OPERATION_TIMEOUT, Settings, configuration, connect,
    connect_enrolments, connect_moves, new_invocation,
};
pub use dynamodb::LeaseTable;
pub use ec2::Ec2;
pub use enrolment::Enrolments;
pub use moving::Moves;
pub use ssm::Ssm;
