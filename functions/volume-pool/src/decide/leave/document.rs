//! Leave mode `ssm`: a document of Systems Manager makes the running instance let go of its volumes; then they are
//! detached. Whatever keeps it from succeeding in time leaves the volumes to the termination.
//!
//! Safety: the success counts for the termination that the document was sent for, and for no other. An instance id can
//! live twice, and in its next life the volumes may be mounted again. So the success is on record with its action, and
//! before anything is detached on the strength of it Auto Scaling must have said, in answer to a heartbeat with the
//! action's token, that this very action still waits.

use std::time::Duration;

use super::{
    Alarm, Decision, Effect, Leaving, Look, Observation, Reason, Step, Subject, commit, decision,
    effect, rest,
};
use crate::action::Action;
use crate::command::{CommandShown, CommandState, CommandStatus, LeaveCommand, Run};
use crate::ids::DocumentName;
use crate::policy::{Leave, LeaveMode};
use crate::ports::PortError;
use crate::time::Timestamp;
use crate::transition;

/// How many looks a command gets to end before an event or reconcile comes back to it.
const LOOKS: u32 = 8;
/// How many looks a command gets to show up that may have been sent: some ten seconds. Describes of Systems Manager
/// lag behind `SendCommand` by a second or so (boto/boto3#2701).
const LOOKS_IN_DOUBT: u32 = super::LOOKS;
/// The least `TimeoutSeconds` that `SendCommand` takes.
const LEAST_TIMEOUT: Duration = Duration::from_secs(30);

impl Leaving<'_> {
    /// Announces the command, sends it, waits for its success, and detaches.
    pub(super) fn by_document(
        self,
        subject: &Subject,
        seen: &Observation,
        now: Timestamp,
        leave: &Leave,
    ) -> Decision {
        let (Some(action), Some(document)) = (&self.action, &leave.document) else {
            return self.let_terminate(seen, Reason::LeaveToTermination);
        };
        let document = document.clone();
        let Some(command) = self.command() else {
            let announced = transition::command::announce(self.claim, action, &document, now);
            return commit(announced, Reason::AnnounceCommand { document });
        };
        match (&command.state, &seen.answers.command_sent) {
            (CommandState::Succeeded { .. }, _) => return self.once_unmounted(subject, seen),
            (CommandState::Announced, Some(Ok(id))) => {
                let sent = transition::command::sent(self.claim, id);
                return commit(sent, Reason::NoteCommand { document });
            }
            (CommandState::Announced, Some(Err(refusal))) => {
                let problem = refusal.to_string();
                return self.without_document(seen, document, problem);
            }
            (CommandState::Announced, None)
                if seen.answers.announced.as_ref() == Some(&command.comment) =>
            {
                return self.run(command, leave, now);
            }
            (CommandState::Announced | CommandState::Sent { .. }, _) => {}
        }
        let Some(shown) = &seen.command else {
            let look = Step::Look(Look::Command(command.sought()));
            return decision(look, Reason::CommandUnknown { document });
        };
        match (&command.state, shown) {
            (_, CommandShown::Unanswered(PortError::Transient { problem, .. })) => {
                let problem = problem.clone();
                rest(true, self.action, Reason::CommandUnread { document, problem })
            }
            (_, CommandShown::Unanswered(problem)) => {
                let problem = problem.to_string();
                self.without_document(seen, document, problem)
            }
            (CommandState::Announced, CommandShown::Command(id, _)) => {
                let sent = transition::command::sent(self.claim, id);
                commit(sent, Reason::NoteCommand { document })
            }
            (CommandState::Announced, CommandShown::Nothing)
                if seen.answers.polls < LOOKS_IN_DOUBT =>
            {
                decision(Step::Poll, Reason::CommandUnknown { document })
            }
            (CommandState::Announced, CommandShown::Nothing) => self.run(command, leave, now),
            (_, CommandShown::Command(_, CommandStatus::Succeeded)) => {
                let succeeded = transition::command::succeeded(self.claim);
                commit(succeeded, Reason::DocumentSucceeded { document })
            }
            (_, CommandShown::Command(_, CommandStatus::Failed(problem))) => {
                self.without_document(seen, document, problem.clone())
            }
            // What reconcile has found it finds again; an event is spent, and a document is often done within seconds.
            (_, CommandShown::Command(_, CommandStatus::UnderWay) | CommandShown::Nothing)
                if subject.found.is_none() && seen.answers.polls < LOOKS =>
            {
                decision(Step::Poll, Reason::RunningDocument { document })
            }
            (_, CommandShown::Command(_, CommandStatus::UnderWay) | CommandShown::Nothing) => {
                rest(true, self.action, Reason::RunningDocument { document })
            }
        }
    }

    /// The command on record for the very termination that waits now.
    fn command(&self) -> Option<&LeaveCommand> {
        let command = self.claim.command.as_ref()?;
        (Some(&command.action) == self.action.as_ref()).then_some(command)
    }

    /// Sends the command. Past the time that is left it must not begin.
    fn run(&self, command: &LeaveCommand, leave: &Leave, now: Timestamp) -> Decision {
        let most = Duration::from_secs(u64::from(leave.seconds));
        let left = most.saturating_sub(now.since(self.since));
        let run = Run {
            document: command.document.clone(),
            comment: command.comment.clone(),
            begins_within: left.max(LEAST_TIMEOUT),
        };
        let reason = Reason::RunDocument { document: command.document.clone() };
        effect(Effect::RunDocument(run), reason)
    }

    /// Whether the instance is known to have unmounted its volumes in this very termination.
    pub(super) fn unmounted(&self, seen: &Observation) -> bool {
        let succeeded = self
            .command()
            .is_some_and(|command| matches!(command.state, CommandState::Succeeded { .. }));
        succeeded && self.still_waits(seen) == Some(true)
    }

    /// Whether Auto Scaling has said that this very action still waits. Without its token one can't be told from the next.
    fn still_waits(&self, seen: &Observation) -> Option<bool> {
        let Some(action @ Action { token: Some(_), .. }) = &self.action else {
            return Some(false);
        };
        let (asked, known) = seen.answers.still_waits.as_ref()?;
        (asked == action).then_some(*known)
    }

    /// The document has succeeded.
    fn once_unmounted(self, subject: &Subject, seen: &Observation) -> Decision {
        match (self.still_waits(seen), &self.action) {
            (Some(true), _) => self.detach(subject, seen),
            (None, Some(action)) => {
                effect(Effect::Heartbeat(action.clone()), Reason::ConfirmAction)
            }
            (Some(false), _) | (None, None) => self.let_terminate(seen, Reason::ActionUnconfirmed),
        }
    }

    /// The document did not do it: the termination frees the volumes, and a person is told.
    fn without_document(
        self,
        seen: &Observation,
        document: DocumentName,
        problem: String,
    ) -> Decision {
        let instance = self.claim.instance.clone();
        let alarm = Alarm::DocumentFailed {
            document: document.clone(),
            instance,
            problem: problem.clone(),
        };
        self.let_terminate(seen, Reason::DocumentFailed { document, problem })
            .with_alarm(Some(alarm))
    }

    /// What a person must know of where the time is up and the document has not done its work.
    pub(super) fn document_not_done(&self, leave: &Leave, problem: &str) -> Option<Alarm> {
        let document = leave.document.clone().filter(|_| leave.mode == LeaveMode::Ssm)?;
        let command = self.command()?;
        (!matches!(command.state, CommandState::Succeeded { .. })).then(|| Alarm::DocumentFailed {
            document,
            instance: self.claim.instance.clone(),
            problem: problem.to_owned(),
        })
    }
}
