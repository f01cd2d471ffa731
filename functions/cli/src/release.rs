//! `release`: has a slot let go of, by the functions' own loop, here and now.

use clap::Args;
use volume_pool::ids::{InstanceId, SlotId};
use volume_pool::record::SlotState;
use volume_pool::request::Ending;
use volume_pool::shell;
use volume_pool::sweep::Found;

use crate::consent::Consent;
use crate::failure::Failure;
use crate::rehearsing::{self, Next};
use crate::session::Session;
use crate::{change, output, words};

/// Have a slot released whose holder is gone or leaving, here and now, instead of by the next run of reconcile.
///
/// It runs the functions' own loop for the instance that holds the slot, with your credentials: what that would not do, this
/// does not either. A slot is released only on evidence that its volumes are detached, and no volume is taken from an instance
/// that is at work.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The slot, as in cassandra-0.
    pub(crate) slot: SlotId,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Runs the loop for the slot's holder.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let id = &arguments.slot;
    let (slot, _) = change::slot(session, id).await?;
    let (SlotState::Leased { holder } | SlotState::Releasing { holder }) = &slot.state else {
        let state = words::slot_state(&slot.state);
        return output::say(&format!("Nobody holds slot {id}: it is {state}.\n"));
    };
    let found = rehearsing::found(session, holder).await?.unwrap_or(Found::HolderGone);
    let rehearsal =
        rehearsing::rehearsal(session, rehearsing::subject(session, holder, Some(found)))?;
    let (_, next) = rehearsing::rehearsed(session, rehearsal).await?;
    if !lets_go(&next) {
        let reason = next.steps.last().map(|step| step.reason.clone()).unwrap_or_default();
        return Err(Failure::Refused(format!(
            "slot {id} is held by {holder}, and nothing can be done towards its release now ({reason}); a slot is released only on \
             evidence that its volumes are detached. stateful-asg explain {id} tells more"
        )));
    }
    let steps = rehearsing::steps(&next);
    arguments.consent.ask(&format!(
        "This runs the functions' loop for {holder}, which holds slot {id}:\n{steps}"
    ))?;
    carry_out(session, holder, found).await?;
    let (slot, _) = change::slot(session, id).await?;
    let state = words::slot_state(&slot.state);
    output::say(&format!("Slot {id} is {state} now: {}\n", slot.reason))
}

/// Whether it would do more than look or wait: what it writes for a holder is towards the release or for its own record.
fn lets_go(next: &Next) -> bool {
    const TOWARDS: [&str; 5] =
        ["begin release", "release", "ec2:DetachVolume", "ec2:StopInstances", "announce"];
    next.steps.iter().any(|step| TOWARDS.contains(&step.step.as_str()))
}

async fn carry_out(session: &Session, holder: &InstanceId, found: Found) -> Result<(), Failure> {
    let subject = rehearsing::subject(session, holder, Some(found));
    let allowance = rehearsing::allowance(session)?;
    let report = shell::run(subject, allowance, &session.ports).await;
    for part in &report.loops {
        for step in part.journal.steps.iter().filter(|step| !step.is_look()) {
            output::say(&format!("  {}  {}: {}\n", part.instance, step.step, step.reason))?;
        }
    }
    match report.ending {
        Ending::Settled | Ending::WorkLeft => Ok(()),
        Ending::Busy => output::say(
            "A function is at work on that instance already, and was asked to look again.\n",
        ),
        Ending::Failed(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use volume_pool::report::StepTaken;

    use super::*;

    fn next(steps: &[&str]) -> Next {
        let step = |step: &&str| StepTaken { step: (*step).to_owned(), reason: String::new() };
        Next { steps: steps.iter().map(step).collect(), then: "", alarms: Vec::new(), slot: None }
    }

    #[test]
    fn only_what_is_towards_the_release_is_run() {
        assert!(lets_go(&next(&["begin release", "ec2:StopInstances"])));
        assert!(lets_go(&next(&["ec2:DetachVolume"])));
        assert!(!lets_go(&next(&["rest, settled"])));
        assert!(!lets_go(&next(&["note"])));
        assert!(!lets_go(&next(&["ec2:AttachVolume"])));
    }
}
