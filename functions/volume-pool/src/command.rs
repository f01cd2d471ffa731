//! Run Command of Systems Manager, as leave mode `ssm` uses it: a document that makes a leaving instance let go of its
//! volumes. What is on record of it, what it is sent with, and what becomes of it.
//!
//! `SendCommand` takes no client token: a lost answer, or a death right after the call, would run the document twice. So
//! it goes on record before it is sent, under a comment of its own, and is looked for by that before it is sent again.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::action::Action;
use crate::ids::{CommandId, DocumentName};
use crate::ports::PortError;
use crate::time::Timestamp;

/// How far the clock that names a command's time may be behind the one that put it on record.
const CLOCK_SKEW: Duration = Duration::from_mins(5);

/// The command that a leaving instance is sent, as it is on record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct LeaveCommand {
    /// The termination that it is for, and for no other: an instance id can live twice, and what was unmounted in one
    /// life may be mounted in the next.
    pub action: Action,
    /// The document.
    pub document: DocumentName,
    /// The comment that it is sent with, and no other command is.
    pub comment: String,
    /// When it went on record.
    pub announced_at: Timestamp,
    /// How far it has come.
    pub state: CommandState,
}

/// How far a command has come, as far as is on record.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "snake_case")]
pub enum CommandState {
    /// It will be sent, or was: whether it was is not known.
    Announced,
    /// It was sent.
    Sent {
        /// Its id.
        id: CommandId,
    },
    /// It has succeeded: the instance has let go of its volumes.
    Succeeded {
        /// Its id.
        id: CommandId,
    },
}

impl LeaveCommand {
    /// What to look for it by.
    pub fn sought(&self) -> Sought {
        match &self.state {
            CommandState::Announced => Sought::Comment {
                comment: self.comment.clone(),
                since: self.announced_at.minus(CLOCK_SKEW),
            },
            CommandState::Sent { id } | CommandState::Succeeded { id } => Sought::Id(id.clone()),
        }
    }
}

/// What a command is looked for by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Sought {
    /// Its id.
    Id(CommandId),
    /// Its comment, among those that were sent since then.
    Comment {
        /// The comment.
        comment: String,
        /// Since when.
        since: Timestamp,
    },
}

/// What Systems Manager shows of a command on its instance (`ListCommandInvocations`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CommandShown {
    /// No such command: it was not sent, or does not show yet. That takes a moment after `SendCommand`.
    Nothing,
    /// This one.
    Command(CommandId, CommandStatus),
    /// The call gave no answer to go by.
    Unanswered(PortError),
}

/// What has become of a command.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum CommandStatus {
    /// It is on its way, runs, or is in a state that AWS adds later.
    UnderWay,
    /// It has succeeded.
    Succeeded,
    /// It has ended otherwise: how, in AWS's words.
    Failed(String),
}

impl CommandStatus {
    /// From `Status` and `StatusDetails` of an invocation ("Understanding command statuses", Systems Manager User
    /// Guide). What says most is the detail, such as `Undeliverable` or `DeliveryTimedOut`.
    pub fn read(status: &str, details: Option<&str>) -> Self {
        match status {
            "Success" => Self::Succeeded,
            "Cancelled" | "TimedOut" | "Failed" => {
                Self::Failed(details.unwrap_or(status).to_owned())
            }
            _ => Self::UnderWay,
        }
    }

    /// Whether nothing more will come of it.
    pub const fn has_ended(&self) -> bool {
        match self {
            Self::UnderWay => false,
            Self::Succeeded | Self::Failed(_) => true,
        }
    }
}

/// A command to be sent: everything that `SendCommand` is told beside the instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Run {
    /// The document.
    pub document: DocumentName,
    /// The comment that it is found by.
    pub comment: String,
    /// For how long it may begin, `TimeoutSeconds`: what comes too late for this termination must not come at all. (The
    /// document's own execution timeout may count on top of it: "Understanding command timeout values".)
    pub begins_within: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_success_is_success_and_what_is_not_known_is_under_way() {
        let failed = |details: &str| CommandStatus::Failed(details.to_owned());
        for (status, details, expected) in [
            ("Success", Some("Success"), CommandStatus::Succeeded),
            ("Pending", Some("Pending"), CommandStatus::UnderWay),
            ("InProgress", Some("InProgress"), CommandStatus::UnderWay),
            ("Delayed", Some("Delayed"), CommandStatus::UnderWay),
            ("Cancelling", Some("Cancelling"), CommandStatus::UnderWay),
            ("of another year", None, CommandStatus::UnderWay),
            ("Failed", Some("Undeliverable"), failed("Undeliverable")),
            ("Failed", Some("Failed"), failed("Failed")),
            ("TimedOut", Some("DeliveryTimedOut"), failed("DeliveryTimedOut")),
            ("Cancelled", None, failed("Cancelled")),
        ] {
            assert_eq!(CommandStatus::read(status, details), expected, "{status} {details:?}");
        }
    }
}
