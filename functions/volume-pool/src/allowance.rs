//! How long an invocation may go on, and how long its guards last.

use std::time::Duration;

use crate::ids::InvocationId;
use crate::time::Timestamp;

/// What an invocation may do and until when.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Allowance {
    /// The name of this attempt.
    pub invocation: InvocationId,
    /// When its guards end: beyond the function's hard timeout and the last call under way then.
    pub guard_until: Timestamp,
    /// From when on it starts nothing new.
    pub stop_at: Timestamp,
}

/// How long before the function's deadline nothing new is begun.
const LAST_CALLS: Duration = Duration::from_secs(8);
/// How far the clocks of two invocations may differ.
const CLOCK_SKEW: Duration = Duration::from_secs(2);

impl Allowance {
    /// What an invocation may do whose function is ended at `deadline` and whose last call may go on for
    /// `operation_timeout` after that. With less time than it takes to end in order, a third of it is kept for that.
    pub fn until(
        invocation: InvocationId,
        now: Timestamp,
        deadline: Timestamp,
        operation_timeout: Duration,
    ) -> Self {
        let left = deadline.since(now);
        let kept = LAST_CALLS.min(left / 3);
        Self {
            invocation,
            guard_until: deadline.plus(operation_timeout).plus(CLOCK_SKEW),
            stop_at: now.plus(left.saturating_sub(kept)),
        }
    }
}
