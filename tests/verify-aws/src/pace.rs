//! Time as AWS has it, also where its imitation goes faster.

use std::time::{Duration, Instant};

use tokio::time::{MissedTickBehavior, interval};

use crate::Failure;

/// How often AWS is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// The shortest pause between two looks, however fast the cloud is.
const SHORTEST_LOOK: Duration = Duration::from_millis(20);

/// How many times faster than AWS a cloud goes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    pub(crate) speed: f64,
}

/// A clock in AWS's time.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    began: Instant,
    speed: f64,
}

impl Pace {
    /// Starts a clock.
    pub(crate) fn clock(self) -> Clock {
        Clock { began: Instant::now(), speed: self.speed }
    }

    /// Looks until something is found, for so long in AWS's time.
    pub(crate) async fn until<T>(
        self,
        limit: Duration,
        look: impl AsyncFn() -> Result<Option<T>, Failure>,
    ) -> Result<Option<T>, Failure> {
        let clock = self.clock();
        let mut looks = interval(LOOK.div_f64(self.speed).max(SHORTEST_LOOK));
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            looks.tick().await;
            // The last look is after the limit.
            let late = clock.shows() > limit;
            let found = look().await?;
            if found.is_some() || late {
                return Ok(found);
            }
        }
    }
}

impl Clock {
    /// How long it has run.
    pub(crate) fn shows(&self) -> Duration {
        self.began.elapsed().mul_f64(self.speed)
    }
}
