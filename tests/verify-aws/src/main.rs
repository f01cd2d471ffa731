//! `verify-aws`: asks an AWS account what local-cloud claims of AWS, prints the differences, and removes what it made.

use std::error::Error;
use std::fmt;
use std::io::{IsTerminal as _, Write as _, stderr, stdin, stdout};
use std::process::ExitCode;

use clap::Parser;
use tokio::signal::unix::{Signal, SignalKind, signal};
use verify_aws::{Account, Failure, Left, PROBES, Probe, Report, Run, carry_out, clean_up};

/// What a run costs at most, at list prices of us-east-1 as of 2026: some twenty-five t4g.nano for less than half an hour each ($0.0042
/// an hour, and $0.005 for a public address), a dozen volumes of 1 GiB and as many root volumes of 2 GiB for an hour ($0.08 a GiB
/// and month).
const COST: &str = "less than 0.25 USD";
const TIME: &str = "about an hour";
/// Exit code: something is different.
const DIFFERENT: u8 = 1;
/// Exit code: something could not be asked or carried out, or something is left behind.
const FAILED: u8 = 2;

/// Asks an AWS account what local-cloud claims of AWS, prints where they differ, and removes what it made.
///
/// Takes credentials and region as any AWS program does. Exit codes: 0 all of it was asked, and there is no difference; 1 a
/// difference; 2 something could not be asked or carried out, or something is left behind.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    /// Ask this local cloud instead of an account.
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// How many times faster than AWS that cloud goes.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    speed: f64,
    /// Only these probes [default: all].
    #[arg(long = "probe", value_name = "NAME")]
    probes: Vec<String>,
    /// A role that you may assume, for the probe of condition keys, where your credentials are those of a session themselves; an
    /// IAM user needs none. It must be allowed to attach and detach volumes and to modify instance attributes; nothing is
    /// done with it but dry runs.
    #[arg(long, value_name = "ARN")]
    role: Option<String>,
    /// Begin without asking.
    #[arg(long)]
    yes: bool,
    /// List the probes, what each asks, and what local-cloud goes by.
    #[arg(long)]
    list: bool,
    /// Only remove what the run of this name has left.
    #[arg(long, value_name = "RUN")]
    clean_up: Option<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Cli::parse()).await {
        Ok(code) => code,
        Err(failure) => {
            complain(&with_causes(failure.as_ref()));
            ExitCode::from(FAILED)
        }
    }
}

async fn run(cli: Cli) -> Result<ExitCode, Failure> {
    if cli.list {
        PROBES.iter().for_each(list);
        return Ok(ExitCode::SUCCESS);
    }
    let probes = chosen(&cli.probes)?;
    let mut interrupted = Interrupted::new()?;
    let account = match &cli.endpoint {
        Some(endpoint) => Account::at(endpoint).await,
        None => Account::from_environment().await,
    };
    let identity = account.identity().await?;
    let name = match &cli.clean_up {
        Some(name) => name.clone(),
        None => std::iter::repeat_with(fastrand::alphanumeric)
            .take(6)
            .collect::<String>()
            .to_lowercase(),
    };
    let run = Run { account, name, speed: cli.speed, role: cli.role };
    if cli.clean_up.is_some() {
        return removed(&run).await;
    }
    say(format_args!(
        "In account {} (as {}), region {}: {} probes, each with instances (t4g.nano), volumes (1 GiB) or an Auto Scaling group of its\n\
         own in the default VPC. It takes {TIME} and costs {COST}. Everything carries the tag stateful-asg-verify={}, and is removed in\n\
         the end, also when this is interrupted; if it is killed: verify-aws --clean-up {}",
        identity.account,
        identity.caller,
        identity.region,
        probes.len(),
        run.name,
        run.name
    ));
    if !cli.yes && !agreed()? {
        say("Nothing was done.");
        return Ok(ExitCode::from(FAILED));
    }
    let asked = tokio::select! {
        asked = ask(&run, &probes) => asked,
        () = interrupted.wait() => Err("interrupted".into()),
    };
    say("\nRemoving what was made …");
    let removed = removed(&run).await?;
    let asked = asked?;
    let verdict = asked.told();
    Ok(if removed == ExitCode::SUCCESS { verdict } else { removed })
}

/// What came of all probes.
struct Asked {
    reports: Vec<Report>,
    /// How many failed on the way.
    failed: usize,
}

/// Carries out the probes one after the other; a probe that fails leaves the others to be asked.
async fn ask(run: &Run, probes: &[&Probe]) -> Result<Asked, Failure> {
    let mut asked = Asked { reports: Vec::new(), failed: 0 };
    for probe in probes {
        match carry_out(run, probe).await {
            Ok(report) => {
                say(format_args!("\n{report}"));
                asked.reports.push(report);
            }
            Err(failure) => {
                asked.failed += 1;
                complain(&with_causes(failure.as_ref()));
            }
        }
    }
    Ok(asked)
}

impl Asked {
    /// Sums it up, and gives the exit code.
    fn told(&self) -> ExitCode {
        let not_asked: Vec<_> = self.reports.iter().filter_map(Report::not_asked).collect();
        let answered = self.reports.len() - not_asked.len();
        let differences: Vec<_> = self.reports.iter().flat_map(Report::differences).collect();
        let (count, all) = (differences.len(), PROBES.len());
        say(format_args!("\n{answered} of {all} probes answered, {count} differences"));
        differences.iter().for_each(say);
        for (name, why) in &not_asked {
            say(format_args!("{name}: not asked: {why}"));
        }
        if self.failed > 0 {
            say(format_args!("{} probes could not be carried out", self.failed));
        }
        if count > 0 {
            return ExitCode::from(DIFFERENT);
        }
        if self.failed > 0 || !not_asked.is_empty() {
            return ExitCode::from(FAILED);
        }
        ExitCode::SUCCESS
    }
}

/// Removes what the run has made, and says what does not go.
async fn removed(run: &Run) -> Result<ExitCode, Failure> {
    let left: Left = clean_up(run).await?;
    if left.is_nothing() {
        say(format_args!("Nothing of run {} is left.", run.name));
        return Ok(ExitCode::SUCCESS);
    }
    complain(&format!("left behind: {left}; try again with --clean-up {}", run.name));
    Ok(ExitCode::from(FAILED))
}

fn chosen(names: &[String]) -> Result<Vec<&'static Probe>, Failure> {
    if names.is_empty() {
        return Ok(PROBES.iter().collect());
    }
    let chosen = names.iter().map(|name| {
        let found = PROBES.iter().find(|probe| probe.name == name);
        found.ok_or_else(|| format!("there is no probe {name}; --list lists them").into())
    });
    chosen.collect()
}

fn list(probe: &Probe) {
    let Probe { name, asks, matters, source, .. } = probe;
    say(format_args!(
        "{name}\n  asks: {asks}\n  on it rests: {matters}\n  local-cloud goes by: {source}"
    ));
}

fn agreed() -> Result<bool, Failure> {
    if !stdin().is_terminal() {
        return Err("there is no terminal to ask on; give --yes to begin".into());
    }
    let mut terminal = stderr().lock();
    terminal.write_all(b"Begin? [y/N] ")?;
    terminal.flush()?;
    let mut answer = String::new();
    stdin().read_line(&mut answer)?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

/// The signals that end a run early.
struct Interrupted {
    interrupt: Signal,
    terminate: Signal,
}

impl Interrupted {
    fn new() -> Result<Self, Failure> {
        let (interrupt, terminate) = (SignalKind::interrupt(), SignalKind::terminate());
        Ok(Self { interrupt: signal(interrupt)?, terminate: signal(terminate)? })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}

fn say(text: impl fmt::Display) {
    // Whoever closed the other end of a pipe does not want to read on; what was made is removed all the same.
    let _ = writeln!(stdout(), "{text}");
}

fn complain(text: &str) {
    let _ = writeln!(stderr(), "verify-aws: {text}");
}

/// An error and everything that caused it, on one line.
fn with_causes(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
