//! Systems Manager Run Command: documents sent to instances, and what becomes of each (Systems Manager User Guide,
//! "Understanding command statuses").

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::time::Duration;

use volume_pool::Timestamp;

use super::World;
use super::command_steps::CommandStep;
use super::documents::Document;
use super::due::Due;
use super::errors::ApiError;
use super::filters::{Page, PageRequest};
use super::instances::InstanceState;

/// What a command is doing on one instance (`CommandInvocationStatus`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandStatus {
    /// Not with the instance yet.
    Pending,
    /// Running there.
    InProgress,
    /// It worked.
    Success,
    /// It did not.
    Failed,
    /// It did not reach the instance in time.
    DeliveryTimedOut,
    /// It did not end in time.
    ExecutionTimedOut,
    /// Somebody took it back.
    Cancelled,
}

impl CommandStatus {
    /// The status as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DeliveryTimedOut | Self::ExecutionTimedOut => "TimedOut",
            other => other.details(),
        }
    }

    /// The same with more detail, as `StatusDetails`.
    pub fn details(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::InProgress => "InProgress",
            Self::Success => "Success",
            Self::Failed => "Failed",
            Self::DeliveryTimedOut => "DeliveryTimedOut",
            Self::ExecutionTimedOut => "ExecutionTimedOut",
            Self::Cancelled => "Cancelled",
        }
    }

    pub(super) fn is_over(self) -> bool {
        !matches!(self, Self::Pending | Self::InProgress)
    }
}

/// What the SSM agent of an instance is doing. Unless it is told otherwise it is there while the instance runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Agent {
    /// It takes commands.
    Online,
    /// It has gone silent, and Systems Manager has not noticed yet: commands are accepted and never get there.
    Silent,
    /// It never registered: Systems Manager does not know the instance.
    Unregistered,
}

/// The input of `SendCommand`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SendCommand {
    /// The document's name.
    pub document: String,
    /// The instances.
    pub instances: Vec<String>,
    /// What the document is told.
    pub parameters: BTreeMap<String, Vec<String>>,
    /// For people.
    pub comment: String,
    /// How many seconds the command has to reach its instances; 3,600 if absent.
    pub timeout_seconds: Option<u64>,
}

/// Which invocations `ListCommandInvocations` is to show: all of them, as far as it does not say.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CommandFilter<'a> {
    /// Those of this command.
    pub command: Option<&'a str>,
    /// Those on this instance.
    pub instance: Option<&'a str>,
    /// Those asked for at this time or later: the filter `InvokedAfter`.
    pub after: Option<Timestamp>,
}

/// A command on one instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CommandInvocation {
    /// The command.
    pub command: String,
    /// The instance.
    pub instance: String,
    /// The document's name.
    pub document: String,
    /// For people.
    pub comment: String,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// What it is doing.
    pub status: CommandStatus,
    /// When it began on the instance.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub ended_at: Option<Timestamp>,
    shown_at: Timestamp,
}

impl CommandInvocation {
    /// What the document's process ended with: -1 before that, and where nobody knows.
    pub fn response_code(&self) -> i32 {
        match self.status {
            CommandStatus::Success => 0,
            CommandStatus::Failed => 1,
            _ => -1,
        }
    }
}

/// A command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// Its id.
    pub id: String,
    /// What it was made from.
    pub request: SendCommand,
    /// How long it has to reach its instances.
    pub timeout: Duration,
    /// When it was asked for.
    pub requested_at: Timestamp,
    /// When it is given up where it has not arrived.
    pub expires_at: Timestamp,
    pub(super) what: Document,
    pub(super) invocations: Vec<CommandInvocation>,
}

/// `SendCommand`, API Reference: the most instances that one call names, and the bounds of `TimeoutSeconds`.
const INSTANCES: usize = 50;
const TIMEOUT_SECONDS: RangeInclusive<u64> = 30..=2_592_000;
/// The bounds of `executionTimeout` ("Command document plugin reference", `aws:runShellScript`).
const EXECUTION_SECONDS: RangeInclusive<u64> = 1..=172_800;
const USUAL_TIMEOUT_SECONDS: u64 = 3_600;

impl World {
    /// `SendCommand`. Describes may not know of the command for a moment.
    pub fn send_command(&mut self, request: SendCommand) -> Result<Command, ApiError> {
        let what = self
            .document(&request.document)
            .ok_or_else(|| ApiError::InvalidDocument(request.document.clone()))?;
        let what = with_parameters(what, &request)?;
        self.check_targets(&request.instances)?;
        let seconds = request.timeout_seconds.unwrap_or(USUAL_TIMEOUT_SECONDS);
        if !TIMEOUT_SECONDS.contains(&seconds) {
            return Err(ApiError::SsmValidation(format!(
                "Value '{seconds}' at 'timeoutSeconds' failed to satisfy constraint: Member must have \
                 value between {} and {}",
                TIMEOUT_SECONDS.start(),
                TIMEOUT_SECONDS.end()
            )));
        }
        let id = self.new_uuid();
        let timeout = Duration::from_secs(seconds);
        // A command has the sum of both timeouts to arrive ("Understanding command statuses", Pending).
        let expires_at = self.now.plus(self.config.scaled(timeout + what.execution_timeout));
        let shown_at = self.after(self.config.timings.command_shown);
        let mut invocations = Vec::new();
        for instance in &request.instances {
            invocations.push(CommandInvocation {
                command: id.clone(),
                instance: instance.clone(),
                document: request.document.clone(),
                comment: request.comment.clone(),
                requested_at: self.now,
                status: CommandStatus::Pending,
                started_at: None,
                ended_at: None,
                shown_at,
            });
            self.deliver_later(&id, instance, self.config.timings.command_delivery);
            let (command, instance) = (id.clone(), instance.clone());
            let due = Due::Command { command, instance, step: CommandStep::Expire };
            self.queue.schedule(expires_at, due);
        }
        let requested_at = self.now;
        let command = Command {
            id: id.clone(),
            request,
            timeout,
            requested_at,
            expires_at,
            what,
            invocations,
        };
        self.commands.insert(id, command.clone());
        Ok(command)
    }

    /// `GetCommandInvocation`.
    pub fn command_invocation(
        &self,
        command: &str,
        instance: &str,
    ) -> Result<CommandInvocation, ApiError> {
        let mut shown = self.invocations_shown();
        shown
            .find(|it| it.command == command && it.instance == instance)
            .cloned()
            .ok_or(ApiError::InvocationDoesNotExist)
    }

    /// `ListCommandInvocations`. A command that is not to be seen has none.
    pub fn list_command_invocations(
        &self,
        filter: &CommandFilter<'_>,
        page: &PageRequest,
    ) -> Result<Page<CommandInvocation>, ApiError> {
        let mut found: Vec<CommandInvocation> = self
            .invocations_shown()
            .filter(|it| filter.command.is_none_or(|command| it.command == command))
            .filter(|it| filter.instance.is_none_or(|instance| it.instance == instance))
            .filter(|it| filter.after.is_none_or(|after| it.requested_at >= after))
            .cloned()
            .collect();
        let key = |it: &CommandInvocation| format!("{} {}", it.command, it.instance);
        found.sort_by_key(key);
        page.cut(found, self.config.page_limit, key)
    }

    /// `CancelCommand`, on all instances where it is not over.
    pub fn cancel_command(&mut self, command: &str) -> Result<(), ApiError> {
        let found = self.commands.get(command).ok_or(ApiError::InvalidCommandId)?;
        let instances: Vec<String> =
            found.invocations.iter().map(|it| it.instance.clone()).collect();
        for instance in instances {
            self.end_invocation(command, &instance, CommandStatus::Cancelled);
        }
        Ok(())
    }

    /// From now on the SSM agent of this instance is like that.
    pub fn set_agent(&mut self, instance: &str, agent: Agent) {
        self.agents.insert(instance.to_owned(), agent);
    }

    fn invocations_shown(&self) -> impl Iterator<Item = &CommandInvocation> {
        let invocations = self.commands.values().flat_map(|it| &it.invocations);
        invocations.filter(|it| it.shown_at <= self.now)
    }

    /// Refuses instances that Systems Manager does not know, or that do not run.
    fn check_targets(&self, instances: &[String]) -> Result<(), ApiError> {
        if instances.is_empty() || instances.len() > INSTANCES {
            return Err(ApiError::SsmValidation(format!(
                "Value at 'instanceIds' failed to satisfy constraint: Member must have length between 1 \
                 and {INSTANCES}"
            )));
        }
        if instances.iter().collect::<BTreeSet<_>>().len() < instances.len() {
            return Err(ApiError::DuplicateInstanceId);
        }
        let unknown: Vec<String> = instances
            .iter()
            .filter(|it| !self.is_running(it) || self.agent(it) == Agent::Unregistered)
            .cloned()
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        let account = self.config.account.clone();
        Err(ApiError::InvalidInstanceId { instances: unknown, account })
    }

    pub(super) fn agent(&self, instance: &str) -> Agent {
        self.agents.get(instance).copied().unwrap_or(Agent::Online)
    }

    pub(super) fn is_running(&self, instance: &str) -> bool {
        self.instances.get(instance).is_some_and(|it| it.state == InstanceState::Running)
    }
}

/// The document as this request wants it carried out.
fn with_parameters(what: Document, request: &SendCommand) -> Result<Document, ApiError> {
    if let Some(name) = request.parameters.keys().find(|name| !what.parameters.contains(*name)) {
        return Err(ApiError::InvalidParameters(format!(
            "document {} does not support parameters {name}",
            request.document
        )));
    }
    let Some(values) = request.parameters.get("executionTimeout") else {
        return Ok(what);
    };
    let seconds = match values.as_slice() {
        [seconds] => seconds.parse().ok().filter(|it| EXECUTION_SECONDS.contains(it)),
        _ => None,
    };
    match seconds {
        Some(seconds) => Ok(Document { execution_timeout: Duration::from_secs(seconds), ..what }),
        None => Err(ApiError::InvalidParameters(format!(
            "executionTimeout {values:?} is not a number of seconds from {} to {}",
            EXECUTION_SECONDS.start(),
            EXECUTION_SECONDS.end()
        ))),
    }
}
