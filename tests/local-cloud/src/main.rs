//! `local-cloud`: EC2, EBS, Auto Scaling, DynamoDB and a Lambda runtime on loopback, for trying things out.

use std::error::Error;
use std::io::{IsTerminal, Write};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use local_cloud::cloud::{Cloud, Notice, Options, StartError};
use local_cloud::world::Config;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tracing_subscriber::EnvFilter;

/// EC2, EBS and Auto Scaling as they really behave, on loopback, with DynamoDB and a Lambda runtime.
#[derive(Debug, Parser)]
#[command(version, about)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve until interrupted.
    ///
    /// Prints the variables that point the AWS CLI and the AWS SDKs at it, to paste into a shell, and shows what
    /// happens on standard error: instances, volumes, hooks, and what the functions log.
    Serve(Serve),
}

#[derive(Debug, Args)]
struct Serve {
    /// The loopback address to listen on; port 0 picks a free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4566")]
    listen: SocketAddr,
    /// The binary that answers lifecycle actions, as in target/debug/lifecycle [default: none is deployed].
    #[arg(long, value_name = "PATH")]
    lifecycle: Option<PathBuf>,
    /// The binary that runs each minute and on instance state changes, as in target/debug/reconcile
    /// [default: none is deployed].
    #[arg(long, value_name = "PATH")]
    reconcile: Option<PathBuf>,
    /// How many times faster than AWS the cloud is: divides what takes time in it, hook timeouts, retries and
    /// the schedule included. Timestamps stay real.
    #[arg(long, value_name = "N", default_value_t = 1.0)]
    speed: f64,
    /// Where ids and durations are drawn from: the same seed draws the same.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Back each volume with a sparse image file in this directory, which must be empty [default: volumes have no contents].
    #[arg(long, value_name = "DIR")]
    images: Option<PathBuf>,
    /// Print each event, as EventBridge would deliver it, as a line of JSON on standard output: for a bus elsewhere.
    #[arg(long)]
    print_events: bool,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    // dynoxide warns of every condition that fails, which is what conditions are for.
    let filter = EnvFilter::new("warn,dynoxide=error");
    let colours = std::io::stderr().is_terminal();
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(colours)
        .with_writer(std::io::stderr)
        .init();
    let Command::Serve(serve) = Cli::parse().command;
    match run(serve).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("local-cloud: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn run(serve: Serve) -> Result<(), Box<dyn Error>> {
    // Before anything is started, so that no signal finds it half up.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let print_events = serve.print_events;
    let cloud = start(serve).await?;
    let notices = cloud.subscribe();
    announce(&cloud)?;
    let shown = tokio::select! {
        shown = show(notices, print_events) => shown,
        _ = interrupt.recv() => Ok(()),
        _ = terminate.recv() => Ok(()),
    };
    eprintln!("local-cloud: stopping");
    cloud.shutdown().await;
    Ok(shown?)
}

async fn start(serve: Serve) -> Result<Cloud, StartError> {
    let Serve { listen, lifecycle, reconcile, speed, seed, images, print_events: _ } = serve;
    let world = Config { speed, seed, ..Config::default() };
    let options = Options { listen, lifecycle, reconcile, world, images, ..Options::default() };
    Cloud::start(options).await
}

/// Prints what to paste into a shell.
fn announce(cloud: &Cloud) -> std::io::Result<()> {
    let mut stdout = std::io::stdout().lock();
    for (name, value) in cloud.env() {
        writeln!(stdout, "export {name}={value}")?;
    }
    stdout.flush()?;
    eprintln!("local-cloud: serving at {}; interrupt (Ctrl-C) stops it", cloud.endpoint());
    Ok(())
}

/// Shows what happens, until nothing can happen any more.
async fn show(mut notices: Receiver<Notice>, print_events: bool) -> std::io::Result<()> {
    let mut stdout = std::io::stdout();
    loop {
        match notices.recv().await {
            Ok(Notice::Event(event)) => {
                if print_events {
                    writeln!(stdout, "{}", event.body)?;
                    stdout.flush()?;
                }
            }
            Ok(notice) => eprintln!("{notice}"),
            Err(RecvError::Lagged(missed)) => eprintln!("local-cloud: {missed} lines left out"),
            Err(RecvError::Closed) => return Ok(()),
        }
    }
}

/// An error and everything that caused it, on one line.
fn with_causes(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}
