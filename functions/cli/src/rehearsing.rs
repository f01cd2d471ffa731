//! What the functions would do next, by their own loop: see [`volume_pool::rehearsal`].

use std::fmt::Write as _;
use std::time::Duration;

use serde::Serialize;
use volume_pool::Allowance;
use volume_pool::decide::Subject;
use volume_pool::ids::InstanceId;
use volume_pool::rehearsal::{End, Rehearsal};
use volume_pool::report::StepTaken;
use volume_pool::shell;
use volume_pool::sweep::Found;
use volume_pool_aws::{OPERATION_TIMEOUT, new_invocation};

use crate::failure::Failure;
use crate::session::Session;

/// As long as a function has, which is what the loop is made for.
const TIME: Duration = Duration::from_mins(1);

/// What comes next for an instance, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Next {
    /// The steps up to the first call that changes something in AWS, that one included.
    pub(crate) steps: Vec<StepTaken>,
    /// What comes after them.
    pub(crate) then: &'static str,
    /// What a person must know of, each with its name.
    pub(crate) alarms: Vec<(&'static str, String)>,
    /// The slot that it is about.
    pub(crate) slot: Option<String>,
}

/// What the next run of reconcile would look at the instance for, if it would. From what could not be read nothing follows.
pub(crate) async fn found(
    session: &Session,
    instance: &InstanceId,
) -> Result<Option<Found>, Failure> {
    let swept = shell::sweep(&session.ports).await;
    let mut plan = swept.plan(session.now()).instances.into_iter();
    match (plan.find(|(id, _)| id == instance), swept.failures.into_iter().next()) {
        (Some((_, found)), _) => Ok(Some(found)),
        (None, Some(error)) => Err(error.into()),
        (None, None) => Ok(None),
    }
}

/// The instance, as reconcile brings it up.
pub(crate) fn subject(session: &Session, instance: &InstanceId, found: Option<Found>) -> Subject {
    Subject {
        instance: instance.clone(),
        event: None,
        hint: None,
        found,
        hook_prefix: session.hook_prefix.clone(),
    }
}

/// What a loop may do that is run from here.
pub(crate) fn allowance(session: &Session) -> Result<Allowance, Failure> {
    let now = session.now();
    Ok(Allowance::until(new_invocation()?, now, now.plus(TIME), OPERATION_TIMEOUT))
}

/// A rehearsal for the subject.
pub(crate) fn rehearsal(session: &Session, subject: Subject) -> Result<Rehearsal, Failure> {
    Ok(Rehearsal::new(subject, allowance(session)?))
}

/// Runs a rehearsal.
pub(crate) async fn rehearsed(
    session: &Session,
    mut rehearsal: Rehearsal,
) -> Result<(Rehearsal, Next), Failure> {
    shell::rehearse(&mut rehearsal, &session.ports).await;
    let then = match rehearsal.end() {
        Some(End::Failed(error)) => return Err(error.clone().into()),
        Some(End::Call(_)) => "What follows is decided anew, from what is to be seen then.",
        Some(End::Poll) => "That is under way in AWS; it is looked at again within seconds.",
        Some(End::WorkLeft) => {
            "Nothing more can be done then. It is looked at again when its state in EC2 changes, when something comes free in its \
             zone, and each minute by reconcile; a lifecycle action that waits is kept alive."
        }
        Some(End::Settled) | None => "Nothing is left to do.",
    };
    let journal = rehearsal.journal();
    let next = Next {
        steps: rehearsal.steps().into_iter().cloned().collect(),
        then,
        alarms: journal.alarms.iter().map(|alarm| (alarm.name(), alarm.to_string())).collect(),
        slot: journal.slot.as_ref().map(ToString::to_string),
    };
    Ok((rehearsal, next))
}

/// What comes next, for people.
pub(crate) fn told(next: &Next) -> String {
    let mut text = steps(next);
    let _ = writeln!(text, "              {}", next.then);
    for (name, problem) in &next.alarms {
        let _ = writeln!(text, "  ALARM       {name}: {problem}");
    }
    text
}

/// The steps, a line each.
pub(crate) fn steps(next: &Next) -> String {
    let mut text = String::new();
    for (index, StepTaken { step, reason }) in next.steps.iter().enumerate() {
        let when = if index == 0 { "first" } else { "then" };
        // That nothing is done is no step.
        let _ = match step.strip_prefix("rest, ") {
            Some(_) => writeln!(text, "  {when:<11} {reason}"),
            None => writeln!(text, "  {when:<11} {step}: {reason}"),
        };
    }
    text
}
