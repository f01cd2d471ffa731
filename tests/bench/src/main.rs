//! `bench`: measures what the functions take, and prints one table. Nothing here asserts a time; what can be counted is
//! asserted in the tests (`tests/scenarios/tests/{round_trips,pool_size,sweep_calls}.rs`).

mod cold_start;
mod cost;
mod counted;
mod crowd;
mod figures;
mod machine;
mod runtime_api;

use std::error::Error;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use figures::Table;

/// Any error: it is only reported.
type Failure = Box<dyn Error + Send + Sync>;

/// Measures what the functions take, and prints one table.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    /// Where the functions' release binaries are.
    #[arg(long, value_name = "FOLDER", default_value = "target/release")]
    functions: PathBuf,
    /// A Python with boto3, to measure beside them [default: none].
    #[arg(long, value_name = "PATH")]
    python: Option<PathBuf>,
    /// How often each cold start is measured.
    #[arg(long, value_name = "N", default_value_t = 20)]
    runs: usize,
    /// The zip files for Lambda are in this folder, each in a folder of its function's name.
    #[arg(long, value_name = "FOLDER", default_value = "target/lambda")]
    zips: PathBuf,
    /// How many launches come at once: each number is measured, up to a hundred with all of them in flight, beyond that
    /// with 64.
    #[arg(long, value_name = "N", default_values_t = [100, 1_000])]
    launches: Vec<u32>,
    /// Measure only these.
    #[arg(long, value_enum)]
    only: Vec<Part>,
}

/// What is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// From the start of a process to its first poll, and to the end of a first launch.
    ColdStart,
    /// Round trips and calls.
    Calls,
    /// What is added to EC2's own time.
    BeyondEc2,
    /// A thousand launches at once.
    Crowd,
    /// What pools of different sizes cost.
    PoolSize,
    /// Lifecycles of the simulation.
    Simulation,
    /// What a replacement and an idle month cost.
    Cost,
}

fn main() -> ExitCode {
    match run(&Cli::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let _ = writeln!(std::io::stderr(), "bench: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let mut table = Table::default();
    let wanted = |part| cli.only.is_empty() || cli.only.contains(&part);
    let told = |part: Part| writeln!(std::io::stderr(), "measuring: {part:?}");
    for part in Part::value_variants().iter().copied().filter(|part| wanted(*part)) {
        told(part)?;
        match part {
            Part::ColdStart => cold_start::measure(cli, &mut table)?,
            Part::Calls => counted::calls(&mut table)?,
            Part::BeyondEc2 => counted::beyond_ec2(&mut table)?,
            Part::Crowd => crowd::measure(cli, &mut table)?,
            Part::PoolSize => counted::pool_size(&mut table)?,
            Part::Simulation => counted::simulation(&mut table)?,
            Part::Cost => cost::measure(&mut table)?,
        }
    }
    let mut out = std::io::stdout();
    writeln!(out, "{}\n\n{table}", machine::described())?;
    Ok(())
}
