//! What is counted, or takes place in virtual time: the machine has no part in it, but for the simulation's own speed.

use std::time::Duration;

use local_cloud::world::{Bucket, Throttling};
use scenarios::beyond_ec2::{Added, replacements};
use scenarios::pool_size::{self, Others};
use scenarios::resting::AtRest;
use scenarios::round_trips::{RoundTrips, launch_and_termination};
use simulation::Cuts;

use crate::Failure;
use crate::figures::{Figures, Table, rounded};
use crate::machine::cpu_time;

/// A part of what was added.
type Part = fn(&Added) -> Duration;

/// The sizes that pools are compared at.
const SIZES: [u32; 4] = [10, 100, 1_000, 10_000];
/// How many runs what is drawn from a seed is of.
const SEEDS: u64 = 40;
/// The EC2 and Auto Scaling calls in sequence of the closest other tool, by its source: `DescribeInstances`,
/// `DescribeAutoScalingGroups`, `DescribeVolumes`, three waiters of one describe at least, `AttachVolume`,
/// `CompleteLifecycleAction`.
const PEER: usize = 8;

/// Round trips of a launch and of a termination.
pub(crate) fn calls(table: &mut Table) -> Result<(), Failure> {
    for mode in ["stop", "detach", "terminate"] {
        let policy = format!(r#"{{"pool":"cassandra","leave":{{"mode":"{mode}"}}}}"#);
        let (launch, termination) = launch_and_termination(&policy)?;
        if mode == "stop" {
            let beside = format!("{PEER} EC2 and Auto Scaling calls, without a lease");
            line(table, "launch onto a free slot, round trips in sequence", &launch, &beside);
        }
        let what = format!("termination, leave mode {mode}, round trips in sequence");
        line(table, &what, &termination, "");
    }
    Ok(())
}

fn line(table: &mut Table, what: &str, trips: &RoundTrips, beside: &str) {
    let (ec2, dynamodb) = (trips.to_ec2_and_auto_scaling(), trips.to_dynamodb());
    let value = format!("{ec2} to EC2 and Auto Scaling, {dynamodb} to DynamoDB");
    let calls = format!("{} calls", trips.calls.values().sum::<usize>());
    table.line(what, [value, calls], beside, if beside.is_empty() { "" } else { "4 and 5" });
}

/// The request limits that EC2 documents. Auto Scaling publishes none, so none of its are in force.
pub(crate) fn documented_limits() -> Throttling {
    let unlimited = Bucket::new(1_000_000, 1_000_000);
    Throttling {
        auto_scaling_describes: unlimited,
        auto_scaling_changes: unlimited,
        ..Throttling::default()
    }
}

/// From EC2 showing it to us doing it.
pub(crate) fn beyond_ec2(table: &mut Table) -> Result<(), Failure> {
    for at_once in [1, 10, 100] {
        let seeds = if at_once > 10 { 3 } else { SEEDS * 10 / u64::from(at_once) };
        let mut added: Vec<Added> = Vec::new();
        for seed in 0..seeds {
            added.extend(replacements(at_once, seed, Some(documented_limits()))?);
        }
        let parts: [(&str, Part); 2] = [
            ("volume available to AttachVolume", |added| added.until_attach),
            ("attached to CONTINUE", |added| added.until_continue),
        ];
        for (what, part) in parts {
            let figures = Figures::millis(added.iter().map(part));
            let what = format!("{what}, {at_once} at once, 20 ms a call");
            let p99 = format!("p99 {} ms", rounded(figures.at(99)));
            let aim = if at_once > 10 { "" } else { "150 ms, p99 400 ms" };
            table.line(&what, figures.shown("ms"), &p99, aim);
        }
    }
    Ok(())
}

/// What a launch reads, and a sweep, by the number of slots.
pub(crate) fn pool_size(table: &mut Table) -> Result<(), Failure> {
    for (others, what) in [(Others::Held, "the others held"), (Others::Free, "the others free")] {
        let mut units = Vec::new();
        let mut bytes = Vec::new();
        for size in SIZES {
            let (launch, _) = pool_size::launch_and_termination(size, others)?;
            units.push(launch.reads.to_string());
            bytes.push(launch.bytes.to_string());
        }
        let what = format!("launch in a pool of 10, 100, 1,000, 10,000 slots, {what}");
        let value = format!("{} read units", units.join(", "));
        table.line(&what, [value, format!("{} bytes", bytes.join(", "))], "", "flat within 10 %");
    }
    for size in SIZES {
        let at_rest = AtRest::new(size)?;
        let mut calls = 0;
        let mut times = Vec::new();
        for _ in 0..5 {
            let began = cpu_time();
            calls = at_rest.sweep()?.all();
            times.push(cpu_time().saturating_sub(began));
        }
        let figures = Figures::millis(times);
        let [median, spread] = figures.shown("ms of processor");
        let seconds = rounded(f64::from(u32::try_from(calls)?) * 0.02);
        let beside = format!("at most {seconds} s at 20 ms a call");
        let what = format!("reconcile at rest, {size} slots");
        let value = [format!("{calls} calls, {median}"), spread];
        table.line(&what, value, &beside, "pages, not slots; a minute");
    }
    Ok(())
}

/// How many lifecycles the simulation gets through.
pub(crate) fn simulation(table: &mut Table) -> Result<(), Failure> {
    let mut rates = Vec::new();
    for batch in 0..5 {
        let began = cpu_time();
        let mut lifecycles = 0;
        for seed in batch * SEEDS..(batch + 1) * SEEDS {
            lifecycles += simulation::run(seed, &Cuts::default()).lifecycles;
        }
        let took = cpu_time().saturating_sub(began).as_secs_f64();
        rates.push(f64::from(u32::try_from(lifecycles)?) / took);
    }
    let figures = Figures::new(rates);
    table.line("simulation", figures.shown("lifecycles a second and core"), "", "2,000");
    Ok(())
}
