//! The system's clock. The only place of this crate that may ask what time it is.

use std::time::{Duration, SystemTime};

use volume_pool::Timestamp;
use volume_pool::ports::Clock;

/// The system's clock and tokio's timer.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the Clock port's adapter")]
    fn now(&self) -> Timestamp {
        SystemTime::now().into()
    }

    async fn pause(&self, duration: Duration) {
        tokio::time::sleep(duration).await;
    }
}
