//! `stateful-asg`, the command line tool for people. It reads the lease table, EC2 and Auto Scaling with the caller's own
//! credentials, by the same code as the functions. `main` only wires.

mod arguments;
mod failure;
mod layout;
mod output;
mod session;
mod status;
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
    }
}
