//! What a replacement and an idle month cost, from counted units and list prices.

use std::time::Duration;

use scenarios::pool_size::{self, Others, Used};
use scenarios::resting::AtRest;
use scenarios::{in_service, replace_one, stage};

use crate::Failure;
use crate::figures::{Table, rounded};

/// List prices of us-east-1 in dollars, for arm64 and on-demand tables, without the free tier: as they were published
/// in May 2026 (Lambda), July 2025 (DynamoDB) and 2025 (`CloudWatch` Logs, standard class).
mod price {
    pub(super) const GB_SECOND: f64 = 0.000_013_333_4;
    pub(super) const REQUEST: f64 = 0.20e-6;
    pub(super) const READ_UNIT: f64 = 0.125e-6;
    pub(super) const WRITE_UNIT: f64 = 0.625e-6;
    pub(super) const LOG_BYTE: f64 = 0.50e-9;
}

/// The functions' memory: what they use is a fraction of it, but Lambda gives processor time by memory.
const MEMORY_GB: f64 = 0.25;
/// Log bytes of one invocation: its own line, and what Lambda adds (measured at the cold start: see there).
const LOG_BYTES: f64 = 3_000.0;
/// Sweeps in a month of 30 days, one each minute.
const SWEEPS: f64 = 43_200.0;
/// What a call takes in virtual time.
const CALL: Duration = Duration::from_millis(20);

/// Both, as lines of the table.
pub(crate) fn measure(table: &mut Table) -> Result<(), Failure> {
    let mut theatre = stage(1);
    theatre.call_millis = (20, 20);
    let mut theatre = in_service(theatre, 3, r#"{"pool":"cassandra"}"#)?;
    let (ran, ended) = (theatre.ran, theatre.reports.len());
    replace_one(&mut theatre, 3)?;
    let runs = number(theatre.reports.len() - ended)?;
    let seconds = theatre.ran.saturating_sub(ran).as_secs_f64();
    let (launch, termination) = pool_size::launch_and_termination(100, Others::Held)?;
    let units = Used {
        reads: launch.reads + termination.reads,
        bytes: launch.bytes + termination.bytes,
        writes: launch.writes + termination.writes,
    };
    let dollars = spent(runs, seconds, units, runs)?;
    let value = format!("{} GB-s in {runs} runs", rounded(seconds * MEMORY_GB));
    let units_shown = format!("{} read and {} write units", units.reads, units.writes);
    let beside = format!("${dollars:.6}");
    table.line("a replacement, launch and termination", [value, units_shown], &beside, "");

    let sweep = AtRest::new(100)?.sweep()?;
    let seconds = CALL.as_secs_f64() * number(sweep.all())? * SWEEPS;
    let reads = (number(sweep.mark_pages)? * SWEEPS).round();
    let dollars = seconds * MEMORY_GB * price::GB_SECOND
        + SWEEPS * (price::REQUEST + LOG_BYTES * price::LOG_BYTE)
        + reads * price::READ_UNIT;
    let value = format!("{} GB-s in {SWEEPS} runs", rounded(seconds * MEMORY_GB));
    let spread = format!(
        "{reads} read units, {} MB of logs, no EventBridge charge",
        rounded(SWEEPS * LOG_BYTES / 1e6)
    );
    table.line("an idle month, 100 slots", [value, spread], &format!("${dollars:.2}"), "");
    Ok(())
}

fn spent(runs: f64, seconds: f64, units: Used, lines: f64) -> Result<f64, Failure> {
    Ok(seconds * MEMORY_GB * price::GB_SECOND
        + runs * price::REQUEST
        + number(units.reads)? * price::READ_UNIT
        + number(units.writes)? * price::WRITE_UNIT
        + lines * LOG_BYTES * price::LOG_BYTE)
}

fn number(count: usize) -> Result<f64, Failure> {
    Ok(f64::from(u32::try_from(count)?))
}
