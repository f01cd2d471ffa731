//! `plan`: what would happen if an instance were terminated, or one were launched. Reads only: it is the functions' own loop,
//! rehearsed for what is not so.

use clap::{ArgGroup, Args};
use serde::Serialize;
use volume_pool::action::Transition;
use volume_pool::ids::{GroupName, InstanceId, PoolName, Zone};
use volume_pool::observation::{GroupInstance, LifecycleState};
use volume_pool::ports::LifecycleActions as _;
use volume_pool::rehearsal::Assumed;
use volume_pool::sweep::Found;

use crate::failure::Failure;
use crate::output;
use crate::rehearsing::{self, Next};
use crate::session::Session;

/// The id of an instance that does not exist.
const NOBODY: &str = "i-00000000000000000";

/// Tell what would happen if an instance were terminated now, or one were launched, without changing anything.
///
/// It is the functions' own loop, run for an instance that is assumed to wait in a terminate or launch hook: which slot it
/// would get, wait for, or have created, and why.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("assumption").required(true).args(["terminate", "launch"]))]
pub(crate) struct Arguments {
    /// This instance is terminated by its group; and its replacement is launched in the same zone.
    #[arg(long, value_name = "INSTANCE")]
    pub(crate) terminate: Option<InstanceId>,
    /// An instance is launched in this zone.
    #[arg(long, value_name = "ZONE", requires = "pool")]
    pub(crate) launch: Option<Zone>,
    /// The pool that the launch takes its slot from.
    #[arg(long, conflicts_with = "terminate")]
    pub(crate) pool: Option<PoolName>,
    /// The group that launches it [default: the only one that is tagged for the pool].
    #[arg(long, requires = "launch")]
    pub(crate) group: Option<GroupName>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What would happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Plan {
    parts: Vec<Part>,
}

/// What would happen to one instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Part {
    assumed: String,
    #[serde(flatten)]
    next: Next,
}

/// Tells what would happen.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let parts = match (&arguments.terminate, &arguments.launch, &arguments.pool) {
        (Some(instance), _, _) => terminate(session, instance).await?,
        (None, Some(zone), Some(pool)) => {
            launch(session, zone, pool, arguments.group.as_ref()).await?
        }
        (None, _, _) => Vec::new(),
    };
    if arguments.json {
        return output::json(&Plan { parts });
    }
    let told: Vec<String> = parts.iter().map(told).collect();
    output::say(&told.join("\n"))
}

async fn terminate(session: &Session, instance: &InstanceId) -> Result<Vec<Part>, Failure> {
    let member = session.ports.actions.group_instance(instance).await?.ok_or_else(|| {
        Failure::Unknown(format!(
            "{instance} is in no Auto Scaling group, so no hook would wait for it; stateful-asg explain {instance} tells what is so"
        ))
    })?;
    let leaving = rehearsing::subject(session, instance, Some(Found::InHook));
    let leaving = rehearsing::rehearsal(session, leaving)?
        .assuming(Assumed { member: member.clone(), transition: Transition::Terminating });
    let (leaving, next) = rehearsing::rehearsed(session, leaving).await?;
    let zone = member.zone.clone();
    let mut parts =
        vec![Part { assumed: format!("If {instance} were terminated by its group now"), next }];
    let replacement =
        newcomer(session)?.assuming(Assumed { member, transition: Transition::Launching });
    let (_, next) = rehearsing::rehearsed(session, replacement.after(&leaving)).await?;
    let assumed = format!("If its replacement were launched in {zone} before it is gone");
    parts.push(Part { assumed, next });
    Ok(parts)
}

async fn launch(
    session: &Session,
    zone: &Zone,
    pool: &PoolName,
    group: Option<&GroupName>,
) -> Result<Vec<Part>, Failure> {
    let group = group_of(session, pool, group).await?;
    let state = LifecycleState::PendingWait;
    let member = GroupInstance { group: group.clone(), zone: zone.clone(), state };
    let launched =
        newcomer(session)?.assuming(Assumed { member, transition: Transition::Launching });
    let (_, next) = rehearsing::rehearsed(session, launched).await?;
    let assumed = format!("If group {group} launched an instance in {zone} now");
    Ok(vec![Part { assumed, next }])
}

fn newcomer(session: &Session) -> Result<volume_pool::rehearsal::Rehearsal, Failure> {
    let nobody = NOBODY.parse().map_err(Failure::Id)?;
    rehearsing::rehearsal(session, rehearsing::subject(session, &nobody, Some(Found::InHook)))
}

/// The group that launches: the one named, else the only one that is tagged for the pool.
async fn group_of(
    session: &Session,
    pool: &PoolName,
    asked: Option<&GroupName>,
) -> Result<GroupName, Failure> {
    let enrolled = session.ports.actions.enrolled_groups().await?;
    let tagged = enrolled.iter().filter(|group| group.pool_tag.as_deref() == Some(pool.as_str()));
    let names: Vec<&GroupName> = tagged.map(|group| &group.name).collect();
    let known = names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match (asked, names.as_slice()) {
        (Some(asked), names) if names.contains(&asked) => Ok(asked.clone()),
        (Some(asked), _) => Err(Failure::Unknown(format!(
            "group {asked} is not tagged stateful-asg:pool={pool}; groups that are: {known}"
        ))),
        (None, [one]) => Ok((*one).clone()),
        (None, []) => Err(Failure::Unknown(format!("no group is tagged stateful-asg:pool={pool}"))),
        (None, _) => Err(Failure::Unknown(format!(
            "several groups are tagged stateful-asg:pool={pool}; name one with --group: {known}"
        ))),
    }
}

fn told(part: &Part) -> String {
    let verdict = verdict(&part.next).map(|it| format!("  {it}\n")).unwrap_or_default();
    format!("{}\n{verdict}{}", part.assumed, rehearsing::told(&part.next))
}

/// What becomes of it, in a sentence.
fn verdict(next: &Next) -> Option<String> {
    let slot = next.slot.as_deref().unwrap_or("a slot");
    let does = |step: &str| next.steps.iter().any(|taken| taken.step == step);
    let last = next.steps.last()?;
    if does("lease") {
        return Some(format!("It would get slot {slot}."));
    }
    if does("intend") {
        return Some(format!("A slot would be created for it: {slot}."));
    }
    if does("begin release") {
        return Some(format!("It would let go of slot {slot}."));
    }
    (does("enqueue") && last.step == "rest, work left").then(|| "It would wait.".to_owned())
}

#[cfg(test)]
mod tests {
    use volume_pool::report::StepTaken;

    use super::*;

    fn sentence(steps: &[&str]) -> Option<String> {
        let step = |step: &&str| StepTaken { step: (*step).to_owned(), reason: String::new() };
        let steps = steps.iter().map(step).collect();
        let slot = Some("cassandra-1".to_owned());
        verdict(&Next { steps, then: "", alarms: Vec::new(), slot })
    }

    #[test]
    fn what_would_become_of_it_is_said_in_a_sentence() {
        let said = |steps: &[&str]| sentence(steps).unwrap_or_default();
        assert_eq!(
            said(&["enqueue", "lease", "ec2:AttachVolume"]),
            "It would get slot cassandra-1."
        );
        assert_eq!(said(&["enqueue", "adopt", "lease"]), "It would get slot cassandra-1.");
        assert_eq!(
            said(&["enqueue", "intend", "ec2:CreateVolume"]),
            "A slot would be created for it: cassandra-1."
        );
        assert_eq!(
            said(&["begin release", "ec2:StopInstances"]),
            "It would let go of slot cassandra-1."
        );
        assert_eq!(said(&["enqueue", "rest, work left"]), "It would wait.");
        assert_eq!(sentence(&["rest, settled"]), None);
        assert_eq!(sentence(&[]), None);
    }
}
