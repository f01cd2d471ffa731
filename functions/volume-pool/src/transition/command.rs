//! The transitions of the command by which a leaving instance lets go of its volumes, leave mode `ssm`. It is on record
//! before it is sent, then its id, then its success: whoever comes next goes on from there.

use super::{Transaction, put_claim};
use crate::action::Action;
use crate::command::{CommandState, LeaveCommand};
use crate::ids::{CommandId, DocumentName};
use crate::record::{Claim, Phase};
use crate::time::Timestamp;

/// Announces the command that is sent next, for this termination. Its comment is its own: no claim ever has the same
/// version twice.
pub fn announce(
    claim: &Claim,
    action: &Action,
    document: &DocumentName,
    now: Timestamp,
) -> Option<Transaction> {
    let command = LeaveCommand {
        action: action.clone(),
        document: document.clone(),
        comment: format!("stateful-asg {} {}", claim.instance, claim.version + 1),
        announced_at: now,
        state: CommandState::Announced,
    };
    changed("announce", claim, command)
}

/// Puts on record that the announced command was sent, and what it is called.
pub fn sent(claim: &Claim, id: &CommandId) -> Option<Transaction> {
    let command = claim.command.clone()?;
    let state = match &command.state {
        CommandState::Announced => CommandState::Sent { id: id.clone() },
        CommandState::Sent { .. } | CommandState::Succeeded { .. } => return None,
    };
    changed("sent", claim, LeaveCommand { state, ..command })
}

/// Puts on record that the command has succeeded.
pub fn succeeded(claim: &Claim) -> Option<Transaction> {
    let command = claim.command.clone()?;
    let state = match &command.state {
        CommandState::Sent { id } => CommandState::Succeeded { id: id.clone() },
        CommandState::Announced | CommandState::Succeeded { .. } => return None,
    };
    changed("succeeded", claim, LeaveCommand { state, ..command })
}

fn changed(name: &'static str, claim: &Claim, command: LeaveCommand) -> Option<Transaction> {
    if !matches!(&claim.phase, Phase::Leaving { .. }) {
        return None;
    }
    let next = Claim { command: Some(command), ..claim.clone() };
    Some(Transaction::new(name, vec![put_claim(next)]))
}
