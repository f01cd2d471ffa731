//! How many clouds run at once. Mostly they wait; but functions that get too little of the processor run out of time,
//! are killed and tried again, which takes more of it. So there are fewer clouds as soon as one of them starves.

use std::future::Future;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Semaphore;

use super::Failure;

/// After so many runs that had enough there may be one cloud more again.
const GOOD_RUNS: usize = 4;

/// Whether the functions of a run got enough of the processor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pace {
    /// None ran out of time.
    Fine,
    /// One did.
    Starved,
}

/// A bound on the clouds of all tests of a file.
pub(crate) struct Throttle {
    most: usize,
    fewest: usize,
    running: Semaphore,
    state: Mutex<State>,
}

struct State {
    taken_away: usize,
    good_runs: usize,
}

impl Throttle {
    /// At most `most` at once, and never kept to less than `fewest`.
    pub(crate) const fn new(most: usize, fewest: usize) -> Self {
        let state = State { taken_away: 0, good_runs: 0 };
        Self { most, fewest, running: Semaphore::const_new(most), state: Mutex::new(state) }
    }

    /// At most this many at once.
    pub(crate) const fn most(&self) -> usize {
        self.most
    }

    /// Waits for its turn, and runs.
    pub(crate) async fn run<T>(
        &self,
        work: impl Future<Output = Result<(T, Pace), Failure>>,
    ) -> Result<T, Failure> {
        let permit = self.running.acquire().await?;
        let (done, pace) = work.await?;
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match pace {
            Pace::Starved if state.taken_away < self.most - self.fewest => {
                state.taken_away += 1;
                permit.forget();
            }
            Pace::Starved => {}
            Pace::Fine => {
                state.good_runs += 1;
                if state.taken_away > 0 && state.good_runs.is_multiple_of(GOOD_RUNS) {
                    state.taken_away -= 1;
                    self.running.add_permits(1);
                }
            }
        }
        Ok(done)
    }
}
