//! Other programs, run to their end with nothing to ask and in a language that is known.

use std::ffi::OsStr;
use std::process::{Command, Output, Stdio};

/// A program that did not do what it was run for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failed {
    #[error("{program} can't be run: {source}; is its package installed?")]
    NotRun { program: String, source: std::io::Error },
    #[error("{command} failed, {status}: {said}")]
    Failed { command: String, status: String, said: String },
}

/// Runs a program and gives what came of it, success or not.
pub(crate) fn output<A: AsRef<OsStr>>(program: &str, arguments: &[A]) -> Result<Output, Failed> {
    let mut command = Command::new(program);
    command.args(arguments).stdin(Stdio::null()).env("LC_ALL", "C");
    command.output().map_err(|source| Failed::NotRun { program: program.to_owned(), source })
}

/// Runs a program that must succeed, with one of these exit codes, and gives what it printed.
pub(crate) fn run<A: AsRef<OsStr>>(
    program: &str,
    arguments: &[A],
    success: &[i32],
) -> Result<String, Failed> {
    let output = output(program, arguments)?;
    if output.status.code().is_some_and(|code| success.contains(&code)) {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let words = arguments.iter().map(|argument| argument.as_ref().to_string_lossy());
    let command = std::iter::once(program.into()).chain(words).collect::<Vec<_>>().join(" ");
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    let said = said.lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>();
    Err(Failed::Failed { command, status: output.status.to_string(), said: said.join("; ") })
}
