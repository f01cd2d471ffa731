//! Where the calls of the door in process and of the lease store come by: they can be made to wait for their turn, one
//! after the other, so that what a function asks for in parallel is answered at different times; and a whole service can
//! be down, or give no answer now and then.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Poll;

use volume_pool::ports::PortError;

/// An AWS service that the functions call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Service {
    /// Volumes and instances.
    Ec2,
    /// Groups and lifecycle actions.
    AutoScaling,
    /// The records.
    DynamoDb,
}

/// The gate; clones are the same one. Open, unless it is set otherwise.
#[derive(Debug, Clone, Default)]
pub struct Gate(Arc<Mutex<Setting>>);

#[derive(Debug, Default)]
struct Setting {
    down: BTreeSet<Service>,
    turns: Option<(u32, fastrand::Rng)>,
    /// How many of ten thousand calls get no answer.
    failing: u32,
    failed: u64,
    calls: BTreeMap<&'static str, usize>,
}

impl Gate {
    /// From now on the service answers nothing, or answers again.
    pub fn set_down(&self, service: Service, down: bool) {
        let mut setting = self.setting();
        if down {
            setting.down.insert(service);
        } else {
            setting.down.remove(&service);
        }
    }

    /// Which services answer nothing.
    pub fn down(&self) -> BTreeSet<Service> {
        self.setting().down.clone()
    }

    /// From now on each read waits for up to `most` turns before it is answered, and so many in ten thousand calls get
    /// no answer.
    pub fn narrow(&self, most: u32, failing: u32, rng: fastrand::Rng) {
        let mut setting = self.setting();
        setting.turns = Some((most, rng));
        setting.failing = failing;
    }

    /// From now on no call waits or fails, except those to services that are down. Answers how many have failed since
    /// the gate was narrowed.
    pub fn widen(&self) -> u64 {
        let mut setting = self.setting();
        setting.turns = None;
        setting.failing = 0;
        std::mem::take(&mut setting.failed)
    }

    /// How many calls have come by so far, a describe or a query of several pages as one for each page.
    pub fn calls(&self) -> BTreeMap<&'static str, usize> {
        self.setting().calls.clone()
    }

    /// Waits for its turn.
    pub(crate) async fn turn(&self) {
        let mut left = match &mut self.setting().turns {
            Some((most, rng)) => rng.u32(0..=*most),
            None => 0,
        };
        poll_fn(|context| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            context.waker().wake_by_ref();
            Poll::Pending
        })
        .await;
    }

    /// Lets a call to the service by, unless it is to get no answer.
    pub(crate) fn admit(&self, service: Service, call: &'static str) -> Result<(), PortError> {
        self.admit_all(service, call, 1)
    }

    /// Lets so many calls by that are made at once, or none of them.
    pub(crate) fn admit_all(
        &self,
        service: Service,
        call: &'static str,
        calls: usize,
    ) -> Result<(), PortError> {
        let mut setting = self.setting();
        *setting.calls.entry(call).or_default() += calls;
        let transient = |problem: &str| PortError::Transient { call, problem: problem.to_owned() };
        if setting.down.contains(&service) {
            return Err(transient("the service is down"));
        }
        let failing = setting.failing;
        if let Some((_, rng)) = &mut setting.turns
            && failing > 0
            && rng.u32(0..10_000) < failing
        {
            setting.failed += 1;
            return Err(transient("no answer, by the gate"));
        }
        Ok(())
    }

    fn setting(&self) -> MutexGuard<'_, Setting> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
