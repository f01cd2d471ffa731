//! Events on their way to the functions: how long they take, and which are lost, come twice or come late.

use std::time::Duration;

use volume_pool::Timestamp;
use volume_pool::event::Event;
use volume_pool::observation::InstanceState;

use super::faults::{Mishap, happens};
use super::{HOOK_PREFIX, Stage};

/// How many milliseconds an event is under way, at least and at most.
const DELIVERY_MILLIS: (u64, u64) = (100, 400);

/// An event on its way.
#[derive(Debug, Clone)]
pub(super) struct Delivery {
    pub(super) event: Event,
    /// Which attempt of Lambda's it is, from 1.
    pub(super) attempt: u32,
}

impl Stage {
    /// Delivers an event to the functions now.
    pub fn deliver(&mut self, event: Event) {
        let at = self.cloud.world().now();
        self.deliver_at(at, Delivery { event, attempt: 1 });
    }

    /// Takes the world's events, to be delivered, and what happened in it.
    pub(super) fn take_events(&mut self) -> Result<(), String> {
        let (events, happenings) = {
            let mut world = self.cloud.world();
            (world.drain_events(), world.drain_happenings())
        };
        for happening in happenings {
            self.watch(&happening);
            self.trace.note(happening.at, happening.text);
        }
        for event in events {
            let parsed = Event::parse(&event.body, HOOK_PREFIX)
                .map_err(|error| format!("at {}: {error}: {}", event.at, event.body))?;
            self.lifecycles += u64::from(matches!(parsed, Event::Lifecycle(_)));
            if wired(&parsed) && !(self.loses)(&parsed) {
                self.send(event.at, &parsed);
            }
        }
        Ok(())
    }

    /// Puts an event on its way.
    fn send(&mut self, at: Timestamp, event: &Event) {
        if happens(&mut self.rng, self.chances.lost) {
            self.count(Mishap::EventLost);
            return;
        }
        let mut copies = self.copies;
        if happens(&mut self.rng, self.chances.twice) {
            self.count(Mishap::EventTwice);
            copies += 1;
        }
        for _ in 0..copies {
            let (least, most) = DELIVERY_MILLIS;
            let mut under_way = Duration::from_millis(self.rng.u64(least..=most));
            if happens(&mut self.rng, self.chances.late) {
                self.count(Mishap::EventLate);
                under_way += self.up_to(self.chances.latest);
            }
            self.deliver_at(at.plus(under_way), Delivery { event: event.clone(), attempt: 1 });
        }
    }

    pub(super) fn deliver_at(&mut self, at: Timestamp, delivery: Delivery) {
        self.sequence += 1;
        self.deliveries.insert((at, self.sequence), delivery);
    }
}

/// Whether the wiring sends such an event to a function.
fn wired(event: &Event) -> bool {
    match event {
        Event::Lifecycle(_) | Event::CommandEnded(_) => true,
        Event::InstanceState { state, .. } => {
            use InstanceState::{Running, Stopped, Terminated};
            matches!(state, Running | Stopped | Terminated)
        }
        Event::Schedule | Event::Ignored(_) => false,
    }
}
