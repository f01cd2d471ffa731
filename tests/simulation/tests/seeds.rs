//! Seeds that are run each time: some that broke something once, and the first few. More of them, and fresh ones, by the
//! binary: `cargo run --release -p simulation -- --seeds 0..1000`.

#![cfg(test)]

use simulation::{Cuts, run};

fn is_clean(seed: u64) {
    let run = run(seed, &Cuts::default());
    assert_eq!(run.failure, None, "seed {seed}; `simulation --trace {seed}` tells its story");
}

#[test]
fn the_first_seeds_are_clean() {
    for seed in 0..10 {
        is_clean(seed);
    }
}

/// A released slot's volume had failed: it kept coming for ever.
#[test]
fn seed_46_a_failed_volume_is_set_apart_once_its_holder_is_gone() {
    is_clean(46);
}

/// A released slot's volume was deleted by a person.
#[test]
fn seed_55_a_deleted_volume_is_set_apart_once_its_holder_is_gone() {
    is_clean(55);
}

/// Retained, then terminated again: its first action was answered over and over.
#[test]
fn seed_304_a_second_termination_is_answered() {
    is_clean(304);
}

/// A waiter counted on a volume that an instance of the warm pool had brought along.
#[test]
fn seed_140_what_a_parked_instance_brought_along_is_not_waited_for() {
    is_clean(140);
}

/// A set was set apart without the volume whose creation had not been answered.
#[test]
fn seed_426_every_volume_of_a_set_is_on_record() {
    is_clean(426);
}

/// A set was set apart while one of its volumes, on a stale look, was still attached.
#[test]
fn seeds_409_and_3683_nothing_of_a_slot_that_is_set_apart_is_attached() {
    is_clean(409);
    is_clean(3_683);
}
