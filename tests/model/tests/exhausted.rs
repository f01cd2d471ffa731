//! The smallest configurations, explored to their last state at every run of the tests.

#![cfg(test)]

use model::Protocol;
use model::configuration::named;
use model::explore::{Verdict, explore};

/// The states of a configuration in which every rule holds.
fn exhausted(name: &str) -> usize {
    let configuration = named(name).unwrap();
    let Verdict { found, states, .. } = explore(&Protocol::new(configuration, &[]));
    let told = found.map(|counterexample| counterexample.to_string());
    assert_eq!(told, None, "{name}:\n{}", told.as_deref().unwrap_or_default());
    states
}

#[test]
fn an_instance_comes_and_goes_whoever_dies() {
    assert!(exhausted("one-instance") > 1_000);
}

#[test]
fn an_instance_is_stopped_before_its_volume_is_detached_whoever_dies() {
    assert!(exhausted("one-instance-stopped") > 1_000);
}
