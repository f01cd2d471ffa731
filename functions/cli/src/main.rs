//! `stateful-asg`, the command line tool for people. It reads the lease table, EC2 and Auto Scaling with the caller's own
//! credentials, by the same code as the functions. `main` only wires.

mod account;
mod adopt;
mod allow_format;
mod arguments;
mod change;
mod consent;
mod difference;
mod doctor;
mod enroll;
mod explain;
mod failure;
mod history;
mod layout;
mod moving;
mod output;
mod pause;
mod plan;
mod quarantine;
mod rebuild;
mod records;
mod rehearsing;
mod reinstate;
mod release;
mod retire;
#[cfg(test)]
mod samples;
mod session;
mod status;
mod target;
mod unenroll;
mod words;

use std::io::{Write as _, stderr};
use std::process::ExitCode;

use clap::Parser as _;

use arguments::{Arguments, Command};
use failure::Failure;
use session::Session;

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.is_silent() {
                let _ = writeln!(stderr(), "stateful-asg: {failure}");
            }
            failure.exit_code()
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), Failure> {
    let session = Session::open(arguments.options).await?;
    match arguments.command {
        Command::Status(status) => status::run(&session, &status).await,
        Command::Explain(explain) => explain::run(&session, &explain).await,
        Command::Plan(plan) => plan::run(&session, &plan).await,
        Command::History(history) => history::run(&session, &history).await,
        Command::Pause(pause) => pause::pause(&session, &pause).await,
        Command::Resume(resume) => pause::resume(&session, &resume).await,
        Command::Quarantine(quarantine) => quarantine::run(&session, &quarantine).await,
        Command::Reinstate(reinstate) => reinstate::run(&session, &reinstate).await,
        Command::AllowFormat(allow) => allow_format::run(&session, &allow).await,
        Command::Release(release) => release::run(&session, &release).await,
        Command::Retire(retire) => retire::run(&session, &retire).await,
        Command::Move(moving) => moving::run(&session, &moving).await,
        Command::Adopt(adopt) => adopt::run(&session, &adopt).await,
        Command::Rebuild(rebuild) => rebuild::run(&session, &rebuild).await,
        Command::Doctor(doctor) => doctor::run(&session, &doctor).await,
        Command::Enroll(enroll) => enroll::run(&session, &enroll).await,
        Command::Leave(leave) => unenroll::run(&session, &leave).await,
    }
}
