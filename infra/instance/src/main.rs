//! The instance's side: brings the volumes of this instance's slot to their directories, and lets go of them.
//!
//! `mount` formats nothing but a disk that reads blank all over *and* that the control plane has said to be blank, and changes
//! nothing where it is not certain. It holds no credentials: whose volumes these are is in the instance's tags.

mod arguments;
mod command;
mod config;
mod disks;
mod drain;
mod environment;
mod filesystem;
mod identity;
mod judge;
mod metadata;
mod mount;
mod probe;

use std::process::ExitCode;

use arguments::{Arguments, Task};
use config::Config;
use metadata::Metadata;

fn main() -> ExitCode {
    // The runtime of the instance is the journal: one line each, on standard error.
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            eprintln!("stateful-asg: {problem}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn std::error::Error>> {
    let arguments = Arguments::parse(std::env::args().skip(1))?;
    let config = Config::read(&arguments.config)?;
    let metadata = Metadata::at(&arguments.metadata);
    match arguments.task {
        Task::Mount => mount::run(&config, &metadata, &arguments.machine)?,
        Task::Unmount => drain::unmount(&config)?,
        Task::Drain => drain::run(&config, &metadata)?,
    }
    Ok(())
}
