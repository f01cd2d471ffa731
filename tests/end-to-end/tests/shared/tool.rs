//! The command line tool as a person runs it: the real binary against a cloud.

use std::process::Stdio;

use end_to_end::{Failure, binary};
use local_cloud::cloud::Cloud;
use tokio::process::Command;

use super::{problem, same};

/// What it said, and how it ended.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Said {
    /// Fails unless it ended with this exit code.
    pub(crate) fn ended(self, code: i32) -> Result<Self, Failure> {
        match same("the exit code", &self.code, &code) {
            Ok(()) => Ok(self),
            Err(failure) => Err(problem(format!("{failure}\n{}\n{}", self.out, self.err))),
        }
    }
}

/// Runs `stateful-asg` with these arguments, and nobody to answer it.
pub(crate) async fn stateful_asg(cloud: &Cloud, arguments: &[&str]) -> Result<Said, Failure> {
    stateful_asg_as(cloud, &[], arguments).await
}

/// The same with other credentials: the variables that the AWS SDKs read.
pub(crate) async fn stateful_asg_as(
    cloud: &Cloud,
    credentials: &[(&str, &str)],
    arguments: &[&str],
) -> Result<Said, Failure> {
    let output = Command::new(binary("stateful-asg")?)
        .args(arguments)
        .env_clear()
        .envs(cloud.env())
        .envs(credentials.iter().copied())
        .stdin(Stdio::null())
        .kill_on_drop(true)
        .output()
        .await?;
    Ok(Said {
        code: output.status.code().ok_or("stateful-asg was killed")?,
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}
