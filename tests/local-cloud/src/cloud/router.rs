//! The event bus: from what happens in the world, by way of the rules, to the functions and to the queues of callers. Tests
//! make it lose or repeat events here, as `EventBridge` may.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::bus::Bus;
use super::recent::Recent;
use crate::lambda::{Lambda, rules};
use crate::world::CloudEvent;

type Predicate = Box<dyn Fn(&CloudEvent) -> bool + Send>;

/// Sends events on to the functions that their rules name.
pub(crate) struct Router {
    lambda: Arc<Lambda>,
    hook_prefix: String,
    events: Recent<CloudEvent>,
    /// The rules of callers.
    pub(crate) bus: Bus,
    unreliability: Mutex<Unreliability>,
}

/// What happens to events on their way.
#[derive(Default)]
struct Unreliability {
    extra_copies: usize,
    lost: Option<Predicate>,
}

impl Router {
    pub(crate) fn new(lambda: Arc<Lambda>, hook_prefix: String) -> Self {
        let unreliability = Mutex::default();
        Self { lambda, hook_prefix, events: Recent::new(), bus: Bus::default(), unreliability }
    }

    /// Records an event and delivers it, as reliably as tests allow.
    pub(crate) fn route(&self, event: &CloudEvent) {
        self.events.push(event.clone());
        let copies = {
            let unreliability = self.lock();
            let lost = unreliability.lost.as_ref().is_some_and(|lost| lost(event));
            if lost { 0 } else { 1 + unreliability.extra_copies }
        };
        for _ in 0..copies {
            self.deliver(event);
            self.bus.route(&event.body);
        }
    }

    /// Delivers an event once, and returns the request id of the invocation. `None`: no rule matches, or its
    /// function is not deployed.
    pub(crate) fn deliver(&self, event: &CloudEvent) -> Option<String> {
        let function = rules::target(event, &self.hook_prefix)?;
        self.lambda.invoke(function, event.body.clone())
    }

    /// Delivers every event this many times more than once.
    pub(crate) fn duplicate(&self, extra_copies: usize) {
        self.lock().extra_copies = extra_copies;
    }

    /// Loses the events that `lost` picks, or none.
    pub(crate) fn lose(&self, lost: Option<Predicate>) {
        self.lock().lost = lost;
    }

    /// Every event so far, oldest first, those that were lost included.
    pub(crate) fn events(&self) -> Vec<CloudEvent> {
        self.events.all()
    }

    fn lock(&self) -> MutexGuard<'_, Unreliability> {
        self.unreliability.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Router {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Router").field("hook_prefix", &self.hook_prefix).finish_non_exhaustive()
    }
}
