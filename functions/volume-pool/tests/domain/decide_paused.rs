//! What is decided while a pool is paused: nothing is handed out, and what is let go of is released.

use crate::situation;
use crate::situation::{
    Situation, available, free_slot, launch_action, place, policy, seconds_ago, slot_id, volume,
};
use volume_pool::decide::{Alarm, Reason};
use volume_pool::observation::InstanceState;
use volume_pool::policy::{LeaveMode, OnTimeout, Policy};
use volume_pool::record::{Pool, Record};
use volume_pool::transition::{self, Expect, Write};
use volume_pool::zone::Candidates;

fn pool(paused: bool) -> Pool {
    Pool { version: 3, paused, ..Pool::new(place().pool) }
}

fn paused() -> Reason {
    Reason::PoolPaused { pool: place().pool }
}

#[test]
fn a_free_slot_is_leased_to_nobody_until_the_pool_is_resumed() {
    let mut situation = Situation::waiting();
    situation.zone().free = vec![free_slot(0)];
    situation.zone().pool = Some(pool(true));
    situation.rests(Some(launch_action()), &paused());
    situation.zone().pool = Some(pool(false));
    situation.gives_transaction("lease", &Reason::SlotFree { slot: slot_id(0) });
}

#[test]
fn nothing_is_adopted() {
    let mut situation = Situation::waiting();
    situation.seen.candidates = Some(Candidates::new(vec![available(1)]));
    situation.seen.pool = Some(vec![available(1)]);
    situation.zone().pool = Some(pool(true));
    situation.rests(Some(launch_action()), &paused());
}

#[test]
fn nobody_is_given_up_for_waiting_too_long() {
    let mut situation = Situation::waiting_for_none();
    situation.claim().policy =
        Some(Policy { wait_seconds: 5, on_timeout: OnTimeout::Abandon, ..policy() });
    situation.zone().pool = Some(pool(true));
    situation.rests(Some(launch_action()), &paused());
    assert_eq!(situation.alarms(), Vec::<Alarm>::new());

    situation.claim().action_at = Some(seconds_ago(29_900));
    situation.seen.hooks = Some(situation::our_hooks());
    assert!(situation.decided().reason.to_string().contains("global timeout"));
}

#[test]
fn what_is_let_go_of_is_released() {
    let mut situation = Situation::leaving(LeaveMode::Stop);
    situation.runs_as(InstanceState::Stopped);
    situation.show(available(1));
    situation.seen.answers.not_attached.insert(volume(1));
    situation.gives_transaction("release", &Reason::Detached { slot: slot_id(0) });
}

#[test]
fn pausing_and_resuming_depend_on_the_pool_as_it_was_read() {
    let written = |pool: Pool| vec![Write::Put(Record::Pool(pool), Expect::Version(3))];
    let pause = transition::pause(&pool(false)).unwrap();
    assert_eq!(pause.writes, written(Pool { version: 4, ..pool(true) }));
    let resume = transition::resume(&pool(true)).unwrap();
    assert_eq!(resume.writes, written(Pool { version: 4, ..pool(false) }));
    assert_eq!(transition::pause(&pool(true)), None);
    assert_eq!(transition::resume(&pool(false)), None);
}
