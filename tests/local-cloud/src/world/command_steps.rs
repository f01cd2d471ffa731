//! How a command gets on with its instances: it is delivered, runs, and ends, each when it is due.

use std::time::Duration;

use serde_json::json;

use super::World;
use super::commands::{Agent, CommandInvocation, CommandStatus};
use super::config::Span;
use super::documents::{Document, DocumentEffect, DocumentOutcome};
use super::due::Due;
use super::events::{Announcement, Subject};

/// What falls due for a command on an instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CommandStep {
    Deliver,
    Finish,
    Expire,
    RunOutOfTime,
}

/// How long Systems Manager waits before it tries an agent again that did not answer. AWS names no number.
const DELIVERY_RETRY: Span = Span::exactly(Duration::from_secs(15));

impl World {
    /// Something is due for a command on an instance, unless it is over or beyond that.
    pub(super) fn command_due(&mut self, command: &str, instance: &str, step: CommandStep) {
        let Some((status, what)) = self.commands.get(command).and_then(|it| {
            let invocation = it.invocations.iter().find(|it| it.instance == instance)?;
            Some((invocation.status, it.what.clone()))
        }) else {
            return;
        };
        let answers = self.is_running(instance) && self.agent(instance) == Agent::Online;
        match (status, step) {
            (CommandStatus::Pending, CommandStep::Deliver) if answers => {
                self.begin_invocation(command, instance, &what);
            }
            (CommandStatus::Pending, CommandStep::Deliver) => {
                self.deliver_later(command, instance, DELIVERY_RETRY);
            }
            (CommandStatus::Pending, CommandStep::Expire) => {
                self.end_invocation(command, instance, CommandStatus::DeliveryTimedOut);
            }
            // An instance that is gone reports nothing: the command runs out of its time.
            (CommandStatus::InProgress, CommandStep::Finish) if answers => match what.outcome {
                DocumentOutcome::Succeeds => {
                    if what.effect == DocumentEffect::Unmounts {
                        self.unmount_all(instance);
                    }
                    self.end_invocation(command, instance, CommandStatus::Success);
                }
                DocumentOutcome::Fails => {
                    self.end_invocation(command, instance, CommandStatus::Failed);
                }
                DocumentOutcome::NeverEnds => {}
            },
            (CommandStatus::InProgress, CommandStep::RunOutOfTime) => {
                self.end_invocation(command, instance, CommandStatus::ExecutionTimedOut);
            }
            _ => {}
        }
    }

    fn begin_invocation(&mut self, command: &str, instance: &str, what: &Document) {
        let now = self.now;
        self.change_invocation(command, instance, |it| {
            it.status = CommandStatus::InProgress;
            it.started_at = Some(now);
        });
        let due = |step| Due::Command {
            command: command.to_owned(),
            instance: instance.to_owned(),
            step,
        };
        self.schedule(what.takes, due(CommandStep::Finish));
        let out_of_time = now.plus(self.config.scaled(what.execution_timeout));
        self.queue.schedule(out_of_time, due(CommandStep::RunOutOfTime));
    }

    pub(super) fn end_invocation(&mut self, command: &str, instance: &str, status: CommandStatus) {
        let now = self.now;
        self.change_invocation(command, instance, |it| {
            it.status = status;
            it.ended_at = Some(now);
        });
    }

    /// Changes what is not over, and tells of it.
    fn change_invocation(
        &mut self,
        command: &str,
        instance: &str,
        change: impl FnOnce(&mut CommandInvocation),
    ) {
        let Some(invocation) = self
            .commands
            .get_mut(command)
            .and_then(|it| it.invocations.iter_mut().find(|it| it.instance == instance))
            .filter(|it| !it.status.is_over())
        else {
            return;
        };
        change(invocation);
        let (document, status) = (invocation.document.clone(), invocation.status);
        let requested_at = invocation.requested_at.to_string();
        let text = format!("{document} on {instance} is {}", status.details());
        self.happened(Subject::instance(instance), text);
        let place = format!("{}:{}", self.config.region, self.config.account);
        // Systems Manager User Guide, "Monitoring Systems Manager status changes using EventBridge".
        self.announce(Announcement {
            source: "aws.ssm",
            detail_type: "EC2 Command Invocation Status-change Notification",
            resources: vec![format!("arn:aws:ec2:{place}:instance/{instance}")],
            detail: json!({
                "command-id": command,
                "document-name": document,
                "instance-id": instance,
                "requested-date-time": requested_at,
                "status": status.as_str(),
            }),
        });
    }

    pub(super) fn deliver_later(&mut self, command: &str, instance: &str, span: Span) {
        let (command, instance) = (command.to_owned(), instance.to_owned());
        let due = Due::Command { command, instance, step: CommandStep::Deliver };
        self.schedule(span, due);
    }
}
