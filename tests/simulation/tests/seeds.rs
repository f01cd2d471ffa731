//! Seeds that are run each time. More of them, and fresh ones, by the binary:
//! `cargo run --release -p simulation -- --seeds 0..1000`.
//!
//! A seed's history changes whenever anything is drawn differently, so what a seed has found is kept as a unit test in
//! `functions/volume-pool/tests/domain` and not by its number.

#![cfg(test)]

use simulation::{Cuts, run};

#[test]
fn the_first_seeds_are_clean() {
    for seed in 0..20 {
        let run = run(seed, &Cuts::default());
        assert_eq!(run.failure, None, "seed {seed}; `simulation --trace {seed}` tells its story");
    }
}
