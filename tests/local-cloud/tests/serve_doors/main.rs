//! The doors of a running cloud, tried from outside: HTTP, the Lambda runtime with real processes, event delivery,
//! faults, and the `serve` command.

#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails"
)]

mod account;
mod authorization;
mod bus;
mod client;
mod command;
mod faults;
mod function;
mod http;
mod images;
mod lambda;
mod metadata;

use std::time::Duration;

/// How long anything here may take before it counts as never: far longer than it takes on a loaded machine.
const LIMIT: Duration = Duration::from_mins(1);
