//! `simulation`: seed after seed, until one breaks something.

use std::io::Write;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use clap::Parser;
use simulation::{Cuts, Run, Tally, minimize, run, trace};

/// After how many seeds there is a line of progress.
const PROGRESS: u64 = 500;
/// From how many seeds on everything that can happen must have happened.
const MANY: u64 = 20_000;

// The functions copy what they see and decide on at every step: a third of the time went into the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Runs the functions through random worlds, workloads and faults, one history for each seed, and asserts every safety
/// rule after every step.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    /// The seeds, as in 0..1000.
    #[arg(long, value_name = "A..B", default_value = "0..1000", value_parser = range)]
    seeds: (u64, u64),
    /// How many threads [default: one for each core].
    #[arg(long, value_name = "N")]
    threads: Option<usize>,
    /// Tells how often everything has happened, as it is told of 20,000 seeds or more.
    #[arg(long)]
    tally: bool,
    /// Begins no further seed once one has failed.
    #[arg(long)]
    first: bool,
    /// Tells everything that happens in the history of this seed.
    #[arg(long, value_name = "SEED", conflicts_with = "seeds")]
    trace: Option<u64>,
    /// Leaves out of the first seed that fails, or of the traced one, whatever its failure does not take, and tells the
    /// rest.
    #[arg(long)]
    minimize: bool,
}

fn range(text: &str) -> Result<(u64, u64), String> {
    let parsed =
        text.split_once("..").and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
    parsed
        .filter(|(from, to)| from < to)
        .ok_or_else(|| "two numbers are expected, as in 0..1000".to_owned())
}

#[derive(Debug, Default)]
struct Sum {
    tally: Tally,
    failures: Vec<(u64, String)>,
}

fn main() -> ExitCode {
    let cli = Cli::parse();
    if let Some(seed) = cli.trace {
        let run = tell(seed, cli.minimize);
        return if run.failure.is_none() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    }
    let began = Instant::now();
    let next = AtomicU64::new(cli.seeds.0);
    let sum = Mutex::new(Sum::default());
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        for _ in 0..cli.threads.unwrap_or(cores) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= cli.seeds.1 {
                        break;
                    }
                    let done: Run = run(seed, &Cuts::default());
                    let mut sum = sum.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    sum.tally.add(&done);
                    if cli.first && done.failure.is_some() {
                        // All seeds before it have begun, and those that have end: so the first to fail is found.
                        next.store(cli.seeds.1, Ordering::Relaxed);
                    }
                    if let Some(failure) = done.failure {
                        // Told at once: whoever looks into it need not wait for the others.
                        let what = failure.lines().next().unwrap_or_default();
                        let _ = writeln!(std::io::stderr(), "seed {seed} FAILED: {what}");
                        sum.failures.push((seed, failure));
                    }
                    let Tally { seeds, lifecycles, .. } = sum.tally;
                    if seeds.is_multiple_of(PROGRESS) {
                        let rate =
                            u128::from(lifecycles) * 1_000 / began.elapsed().as_millis().max(1);
                        let _ = writeln!(
                            std::io::stderr(),
                            "{seeds} of {} seeds, {lifecycles} lifecycles, {rate} a second, {} failed",
                            cli.seeds.1 - cli.seeds.0,
                            sum.failures.len(),
                        );
                    }
                }
            });
        }
    });
    let mut sum = sum.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut out = std::io::stdout();
    let many = sum.tally.seeds >= MANY;
    if cli.tally || many {
        for line in sum.tally.lines() {
            let _ = writeln!(out, "{line}");
        }
    }
    sum.failures.sort();
    for (seed, failure) in &sum.failures {
        let _ = writeln!(out, "seed {seed}: {failure}\nreplay: simulation --trace {seed}\n");
    }
    if let Some((seed, _)) = sum.failures.first().filter(|_| cli.minimize) {
        tell(*seed, true);
    }
    let failed: Vec<u64> = sum.failures.iter().map(|(seed, _)| *seed).collect();
    let missing = if many { sum.tally.missing() } else { Vec::new() };
    let verdict = match (failed.as_slice(), missing.as_slice()) {
        ([], []) => "clean".to_owned(),
        ([], missing) => format!("INCOMPLETE, this never happened: {}", missing.join(", ")),
        (failed, _) => format!("FAILED: {failed:?}"),
    };
    let Tally { seeds, lifecycles, calls, .. } = sum.tally;
    let took = began.elapsed();
    let _ = writeln!(
        out,
        "{seeds} seeds, {lifecycles} lifecycles, {calls} calls in {took:.1?}: {verdict}"
    );
    let sound = failed.is_empty() && missing.is_empty();
    if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Tells the history of a seed, or what of it its failure takes.
fn tell(seed: u64, least: bool) -> Run {
    let mut err = std::io::stderr();
    let progress = |runs, left| {
        let _ = write!(err, "\rminimizing seed {seed}: {runs} runs, {left} parts left ");
    };
    let cuts = if least { minimize(seed, progress) } else { None };
    let (text, run) = trace(seed, &cuts.unwrap_or_default());
    let verdict = run.failure.as_deref().unwrap_or("clean");
    let _ = writeln!(std::io::stdout(), "{text}\nseed {seed}: {verdict}");
    run
}
