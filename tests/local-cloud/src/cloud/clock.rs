//! The one clock of a running cloud: real time, read once and carried on by the monotonic clock, so that a
//! step of the system clock never makes the cloud's time run backwards.

use std::time::{Duration, Instant, SystemTime};

use volume_pool::Timestamp;

/// Real time, in the domain's own unit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct WallClock {
    started: Timestamp,
    at: Instant,
}

impl WallClock {
    /// A clock that starts with the system's.
    #[expect(
        clippy::disallowed_methods,
        reason = "a running cloud's time is real: it comes in here"
    )]
    pub(crate) fn start() -> Self {
        Self { started: Timestamp::from(SystemTime::now()), at: Instant::now() }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        self.started.plus(self.at.elapsed())
    }

    /// How long it is until `time`; zero when it has passed.
    pub(crate) fn until(&self, time: Timestamp) -> Duration {
        time.since(self.now())
    }
}
