//! The world in real time: its lock, its clock, and the way out for what happens in it.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::sleep;
use volume_pool::Timestamp;

use super::images::Images;
use super::router::Router;
use crate::lambda::{Notice, Reporter};
use crate::world::World;

/// The shortest sleep between two looks at what is due: the clock's own resolution.
const SHORTEST_SLEEP: Duration = Duration::from_millis(1);

/// Runs a world in real time.
pub(crate) struct Engine {
    world: Mutex<World>,
    pub(crate) router: Router,
    pub(crate) reporter: Arc<Reporter>,
    /// Tells the driver that what is due may have changed.
    touched: Notify,
    images: Option<Images>,
}

impl Engine {
    pub(crate) fn new(
        world: World,
        router: Router,
        reporter: Arc<Reporter>,
        images: Option<Images>,
    ) -> Self {
        Self { world: Mutex::new(world), router, reporter, touched: Notify::new(), images }
    }

    /// The time now.
    pub(crate) fn now(&self) -> Timestamp {
        self.reporter.clock.now()
    }

    /// Does something in the world as it is now; what comes of it is passed on before this returns.
    pub(crate) fn with_world<R>(&self, work: impl FnOnce(&mut World) -> R) -> R {
        let result = self.step(work);
        self.touched.notify_one();
        result
    }

    /// Looks at the world as it was left.
    pub(crate) fn inspect<R>(&self, look: impl FnOnce(&World) -> R) -> R {
        look(&self.lock())
    }

    /// Moves the world on whenever something falls due, until `stop` says so, or its sender is gone.
    pub(crate) async fn drive(&self, mut stop: watch::Receiver<bool>) {
        loop {
            let due = self.step(|world| world.next_due());
            let next = async {
                match due {
                    Some(due) => sleep(self.reporter.clock.until(due).max(SHORTEST_SLEEP)).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = next => {}
                () = self.touched.notified() => {}
                _ = stop.wait_for(|stop| *stop) => return,
            }
        }
    }

    fn step<R>(&self, work: impl FnOnce(&mut World) -> R) -> R {
        let result = {
            let mut world = self.lock();
            world.advance(self.now());
            let result = work(&mut world);
            if let Some(images) = &self.images {
                images.follow(&world);
            }
            // Under the lock, so that events and happenings leave in the order in which they came about.
            for happening in world.drain_happenings() {
                self.reporter.tell(Notice::Happening(happening));
            }
            for event in world.drain_events() {
                self.router.route(&event);
                self.reporter.tell(Notice::Event(event));
            }
            result
        };
        self.reporter.announce_change();
        result
    }

    fn lock(&self) -> MutexGuard<'_, World> {
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Engine").field("router", &self.router).finish_non_exhaustive()
    }
}
