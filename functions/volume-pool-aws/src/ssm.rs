//! Systems Manager behind [`Commands`].

use aws_sdk_ssm::Client;
use aws_sdk_ssm::config::Config;
use aws_sdk_ssm::config::retry::RetryConfig;
use aws_sdk_ssm::types::{Command, CommandFilter, CommandFilterKey, CommandInvocation};
use volume_pool::Timestamp;
use volume_pool::command::{CommandShown, CommandStatus, Run, Sought};
use volume_pool::ids::{CommandId, InstanceId};
use volume_pool::ports::{Commands, PortError, Refusal};

use crate::classify;
use crate::convert::{Unintelligible, present, unintelligible};

/// The largest page of `ListCommandInvocations`.
const PAGE_SIZE: i32 = 50;

/// Systems Manager.
#[derive(Debug, Clone)]
pub struct Ssm {
    client: Client,
}

impl Ssm {
    /// Systems Manager through this client.
    pub const fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Commands for Ssm {
    /// Tried once: the call has no client token, so another attempt of the SDK's own could run the document twice. The
    /// domain looks for the command before it sends it again.
    async fn run_document(
        &self,
        instance: &InstanceId,
        run: &Run,
    ) -> Result<Result<CommandId, Refusal>, PortError> {
        const CALL: &str = "ssm:SendCommand";
        let once = Config::builder().retry_config(RetryConfig::disabled());
        let answer = self
            .client
            .send_command()
            .document_name(run.document.as_str())
            .instance_ids(instance.as_str())
            .comment(&run.comment)
            .set_timeout_seconds(i32::try_from(run.begins_within.as_secs()).ok())
            .customize()
            .config_override(once)
            .send()
            .await;
        let reply = match classify::reply(CALL, answer)? {
            Ok(reply) => reply,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let named = reply.command().and_then(Command::command_id);
        present("CommandId", named)
            .and_then(|name| Ok(name.parse()?))
            .map(Ok)
            .map_err(|problem| unintelligible(CALL, instance, problem))
    }

    /// Not by the instance: "a managed node ID can't be specified when a command status is Pending" (`CommandFilter`), and
    /// a command that an instance has not taken up yet is just what must not be overlooked.
    async fn command(
        &self,
        instance: &InstanceId,
        sought: &Sought,
    ) -> Result<CommandShown, PortError> {
        const CALL: &str = "ssm:ListCommandInvocations";
        let request = self.client.list_command_invocations();
        let (request, comment) = match sought {
            Sought::Id(id) => (request.command_id(id.as_str()), None),
            Sought::Comment { comment, since } => {
                let after = CommandFilter::builder()
                    .key(CommandFilterKey::InvokedAfter)
                    .value(whole_seconds(*since))
                    .build()
                    .map_err(|error| PortError::Denied {
                        call: CALL,
                        problem: error.to_string(),
                    })?;
                (request.filters(after), Some(comment.as_str()))
            }
        };
        let invocations = request
            .into_paginator()
            .page_size(PAGE_SIZE)
            .items()
            .send()
            .collect::<Result<Vec<_>, _>>()
            .await
            .map_err(|error| classify::unanswered(CALL, &error))?;
        let found = invocations.iter().find(|invocation| {
            invocation.instance_id() == Some(instance.as_str())
                && (comment.is_none() || invocation.comment() == comment)
        });
        found.map_or(Ok(CommandShown::Nothing), |invocation| {
            shown(invocation).map_err(|problem| unintelligible(CALL, instance, problem))
        })
    }
}

fn shown(invocation: &CommandInvocation) -> Result<CommandShown, Unintelligible> {
    let id = present("CommandId", invocation.command_id())?.parse()?;
    let status = present("Status", invocation.status())?;
    let status = CommandStatus::read(status.as_str(), invocation.status_details());
    Ok(CommandShown::Command(id, status))
}

/// As the filter takes it, as in `2026-11-23T21:30:00Z`.
fn whole_seconds(at: Timestamp) -> String {
    let text = at.to_string();
    let whole = text.split_once('.').map_or(text.as_str(), |(whole, _)| whole);
    format!("{}Z", whole.trim_end_matches('Z'))
}

#[cfg(test)]
mod tests {
    use aws_sdk_ssm::types::CommandInvocationStatus;

    use super::*;

    #[test]
    fn the_filter_gets_a_time_in_whole_seconds_rounded_down() {
        let at = Timestamp::from_millis(1_795_469_400_999);
        assert_eq!(whole_seconds(at), "2026-11-23T21:30:00Z");
    }

    #[test]
    fn an_invocation_is_read_with_its_id_and_its_details() {
        let invocation = CommandInvocation::builder()
            .command_id("0e7ffcc5")
            .status(CommandInvocationStatus::TimedOut)
            .status_details("DeliveryTimedOut");
        let id = "0e7ffcc5".parse().unwrap();
        let status = CommandStatus::Failed("DeliveryTimedOut".to_owned());
        assert_eq!(shown(&invocation.build()).unwrap(), CommandShown::Command(id, status));
        let problem = shown(&CommandInvocation::builder().build()).unwrap_err();
        assert_eq!(problem.to_string(), "CommandId is missing");
    }
}
