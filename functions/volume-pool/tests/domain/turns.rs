//! Whose turn it is in a run of reconcile: a few at once, and nobody's past the time for it.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use volume_pool::Timestamp;
use volume_pool::ports::Clock;
use volume_pool::shell::in_turns;

/// A clock that moves on by exactly what is waited for, whoever waits.
#[derive(Debug, Default)]
struct Waited(AtomicU64);

impl Clock for Waited {
    fn now(&self) -> Timestamp {
        Timestamp::from_millis(self.0.load(Ordering::Relaxed))
    }

    async fn pause(&self, duration: Duration) {
        let millis = u64::try_from(duration.as_millis()).unwrap();
        self.0.fetch_add(millis, Ordering::Relaxed);
    }
}

/// Gives all others a chance to go on.
async fn yield_once() {
    let mut yielded = false;
    poll_fn(|context| {
        if std::mem::replace(&mut yielded, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Polls until it is done: nothing here waits for more than its next look.
fn run<T>(future: impl Future<Output = T>) -> T {
    let mut future = pin!(future);
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..10_000 {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return done;
        }
    }
    panic!("it never ends");
}

#[test]
fn everybody_gets_one_turn_and_at_most_eight_have_it_at_once() {
    let (now, most, had) = (Cell::new(0_usize), Cell::new(0_usize), RefCell::new(Vec::new()));
    let clock = Waited::default();
    let tasks: Vec<u32> = (0..50).collect();
    let never = Timestamp::from_millis(u64::MAX);
    let mut ended = run(in_turns(tasks.clone(), &clock, never, |task| {
        let (now, most, had) = (&now, &most, &had);
        async move {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            yield_once().await;
            now.set(now.get() - 1);
            had.borrow_mut().push(task);
            task
        }
    }));
    ended.sort_unstable();
    had.borrow_mut().sort_unstable();
    assert_eq!((ended, had.into_inner()), (tasks.clone(), tasks));
    assert_eq!(most.get(), 8);
}

#[test]
fn whoever_comes_to_their_turn_past_the_time_for_it_is_left_for_the_next_run() {
    let clock = Waited::default();
    let minute = Duration::from_mins(1);
    let ended =
        run(in_turns((0..50).collect(), &clock, Timestamp::from_millis(600_000), |task: u32| {
            let clock = &clock;
            async move {
                clock.pause(minute).await;
                yield_once().await;
                task
            }
        }));
    // Eight begin one after the other in the first eight minutes; of those that follow, two before the tenth is over.
    assert_eq!(ended.len(), 10, "{ended:?}");
    assert!(ended.iter().all(|task| *task < 10), "first come, first served: {ended:?}");
}
