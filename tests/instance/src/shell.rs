//! Other programs, which must succeed.

use std::process::{Command, Stdio};

/// Runs a line of shell, and gives what it printed.
#[track_caller]
pub fn run(line: &str) -> String {
    let (success, said) = output(line);
    assert!(success, "{line}: {said}");
    said
}

/// Runs a line of shell, and gives whether it succeeded and what it said.
pub fn output(line: &str) -> (bool, String) {
    let mut command = Command::new("sh");
    command.args(["-ec", line]).stdin(Stdio::null());
    let output = command.output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&said).trim().to_owned())
}
