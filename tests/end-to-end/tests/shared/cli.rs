//! The command line tool, run as a person does: the real binary, against a trial's cloud.

use std::process::Stdio;
use std::time::Duration;

use end_to_end::binary;
use local_cloud::cloud::Options;
use serde_json::Value;
use tokio::process::Command;

use super::trial::{self, Trial};
use super::{Failure, checks, ensure, problem, same};

/// The functions, with reconcile every five minutes of the cloud's time: the tool's own work is real and not sped up.
pub(crate) fn calm() -> Result<Options, Failure> {
    Ok(Options { schedule: Some(Duration::from_mins(5)), ..trial::options()? })
}

/// What a run of the tool came to.
pub(crate) struct Ran {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Trial {
    /// Runs the tool without a terminal.
    pub(crate) async fn cli(&self, arguments: &[&str]) -> Result<Ran, Failure> {
        let output = Command::new(binary("stateful-asg")?)
            .args(arguments)
            .env_clear()
            .envs(self.cloud.env())
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .output()
            .await?;
        let code = output.status.code().ok_or("the tool was killed")?;
        let text = |bytes| String::from_utf8(bytes);
        Ok(Ran { code, stdout: text(output.stdout)?, stderr: text(output.stderr)? })
    }

    /// Runs the tool, which must succeed; gives what it wrote.
    pub(crate) async fn cli_does(&self, arguments: &[&str]) -> Result<String, Failure> {
        let ran = self.cli(arguments).await?;
        ensure(ran.code == 0, || format!("{arguments:?} ended with {}: {}", ran.code, ran.stderr))?;
        Ok(ran.stdout)
    }

    /// Runs the tool, which must end with this code and say so; nothing may be changed by it.
    pub(crate) async fn cli_fails(
        &self,
        arguments: &[&str],
        code: i32,
        saying: &str,
    ) -> Result<(), Failure> {
        let before = self.changes_by_people();
        let ran = self.cli(arguments).await?;
        same(&format!("exit code of {arguments:?} ({})", ran.stderr), &ran.code, &code)?;
        ensure(ran.stderr.contains(saying), || {
            format!("{arguments:?} says {:?}, not {saying:?}", ran.stderr)
        })?;
        same("changes by people", &self.changes_by_people(), &before)
    }

    /// Runs the tool, which must succeed and change nothing; gives the JSON that it wrote.
    pub(crate) async fn cli_json(&self, arguments: &[&str]) -> Result<Value, Failure> {
        let before = self.changes_by_people();
        let told = self.cli_does(arguments).await?;
        same("changes by people", &self.changes_by_people(), &before)?;
        serde_json::from_str(&told).map_err(|error| problem(format!("{error}: {told}")))
    }

    /// How many calls changed something, or tried to, that no function made.
    pub(crate) fn changes_by_people(&self) -> usize {
        let calls = self.cloud.calls().into_iter();
        calls.filter(|call| call.caller.is_none() && checks::changes(&call.operation)).count()
    }

    /// Has the group want so many instances.
    pub(crate) async fn want(&self, size: i32) -> Result<(), Failure> {
        let client = &self.account.auto_scaling;
        let request = client.set_desired_capacity().auto_scaling_group_name(super::group::POOL);
        request.desired_capacity(size).send().await?;
        Ok(())
    }
}

/// Fails unless the text contains this.
pub(crate) fn says(text: &str, wanted: &str) -> Result<(), Failure> {
    ensure(text.contains(wanted), || format!("{wanted:?} is not in:\n{text}"))
}
