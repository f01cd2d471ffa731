//! `leave`: a group goes its own way again. Its hooks and its tag are taken away, and nothing else.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use volume_pool::action::Transition;
use volume_pool::ids::{GroupName, InstanceId, PoolName};
use volume_pool::observation::LifecycleState;
use volume_pool::ports::{Clock as _, LeaseStore as _};
use volume_pool::record::{HeldMark, List, Record};
use volume_pool_aws::Enrolments;
use volume_pool_aws::enrolment::{GroupSettings, HookSettings};

use crate::consent::Consent;
use crate::enroll::done;
use crate::failure::Failure;
use crate::output;
use crate::session::Session;

/// How often the group is looked at while something is waited for.
const PAUSE: Duration = Duration::from_secs(5);

/// Take a group's hooks and tag away: its instances keep their volumes, new ones get none.
///
/// Nothing is detached or deleted. Slots stay held until their instances are terminated. Refuses while instances wait in our
/// hooks, because to delete a hook is to answer them: a launch is abandoned, a termination goes on.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The group.
    pub(crate) group: GroupName,
    /// Wait until no instance waits in our hooks.
    #[arg(long)]
    pub(crate) wait: bool,
    /// Don't wait: launches that wait are abandoned, terminations go on.
    #[arg(long, conflicts_with = "wait")]
    pub(crate) now: bool,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Says what follows, asks, and takes the hooks and the tag away.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let name = &arguments.group;
    let enrolments = session.enrolments().await?;
    let group = shown(&enrolments, name).await?;
    let hooks = ours(&session.hook_prefix, enrolments.hooks(name).await?);
    if hooks.is_empty() && group.view.pool_tag.is_none() {
        return output::say(&format!("group {name} is not enrolled: there is nothing to do\n"));
    }
    if !arguments.wait && !arguments.now {
        refuse_while_waiting(&group, &hooks)?;
    }
    let held = held(session, &group).await;
    arguments.consent.ask(&told(&group, &hooks, held.as_deref()))?;
    // New launches first: they would go on joining the queue. By the tag reconcile keeps the rest alive until the end.
    for transition in [Transition::Launching, Transition::Terminating] {
        for hook in hooks.iter().filter(|it| it.hook.transition == transition) {
            if arguments.wait {
                wait(session, &enrolments, name, hook).await?;
            }
            let deleted = enrolments.delete_hook(name, &hook.hook.name).await;
            done("autoscaling:DeleteLifecycleHook", deleted)?;
        }
    }
    if group.view.pool_tag.is_some() {
        done("autoscaling:DeleteTags", enrolments.untag(name).await)?;
    }
    output::say(&format!("group {name} has left\n"))
}

async fn shown(enrolments: &Enrolments, name: &GroupName) -> Result<GroupSettings, Failure> {
    enrolments.group(name).await?.ok_or_else(|| Failure::no_group(name))
}

fn ours(prefix: &str, hooks: Vec<HookSettings>) -> Vec<HookSettings> {
    hooks.into_iter().filter(|it| it.hook.name.as_str().starts_with(prefix)).collect()
}

/// The instances that may wait in one of these hooks, and where they stand. Which of a transition's hooks has its answer
/// Auto Scaling does not show.
fn waiting<'a>(
    group: &'a GroupSettings,
    hooks: &[HookSettings],
) -> Vec<(&'a InstanceId, &'a LifecycleState)> {
    let held_up = |wanted| hooks.iter().any(|it| it.hook.transition == wanted);
    let members = group.view.members.iter().map(|(instance, member)| (instance, &member.state));
    members
        .filter(|(_, state)| match state {
            LifecycleState::PendingWait => held_up(Transition::Launching),
            LifecycleState::TerminatingWait => held_up(Transition::Terminating),
            // On its way into the warm pool, or back there.
            LifecycleState::WarmedPendingWait => !hooks.is_empty(),
            LifecycleState::Pending
            | LifecycleState::PendingProceed
            | LifecycleState::InService
            | LifecycleState::Terminating
            | LifecycleState::TerminatingProceed
            | LifecycleState::Other(_) => false,
        })
        .collect()
}

fn listed(waiting: &[(&InstanceId, &LifecycleState)]) -> String {
    let texts: Vec<String> =
        waiting.iter().map(|(instance, state)| format!("{instance} ({state})")).collect();
    texts.join(", ")
}

fn refuse_while_waiting(group: &GroupSettings, hooks: &[HookSettings]) -> Result<(), Failure> {
    let waiting = waiting(group, hooks);
    if waiting.is_empty() {
        return Ok(());
    }
    Err(Failure::Refused(format!(
        "instances wait in the hooks of group {}: {}. To delete a hook is to answer them: a launch is abandoned, a termination \
         goes on. Give --wait to wait for them first, or --now if that is meant",
        group.view.name,
        listed(&waiting)
    )))
}

/// Waits until nobody waits in this hook.
async fn wait(
    session: &Session,
    enrolments: &Enrolments,
    name: &GroupName,
    hook: &HookSettings,
) -> Result<(), Failure> {
    let mut said = String::new();
    loop {
        let group = shown(enrolments, name).await?;
        let waiting = waiting(&group, std::slice::from_ref(hook));
        if waiting.is_empty() {
            return Ok(());
        }
        let now = listed(&waiting);
        if now != said {
            output::tell(&format!("waiting in {}: {now}\n", hook.hook.name))?;
            said = now;
        }
        session.ports.clock.pause(PAUSE).await;
    }
}

/// What the group's instances hold; nothing where the records can't be read. A group may leave all the same.
async fn held(session: &Session, group: &GroupSettings) -> Option<Vec<HeldMark>> {
    let pool: PoolName = group.view.pool_tag.as_deref()?.parse().ok()?;
    let list = List::EveryHeld(pool);
    let records = session.ports.leases.list(&list, list.most()).await.ok()?;
    let members: BTreeSet<&InstanceId> = group.view.members.keys().collect();
    let marks = records.into_iter().filter_map(|record| match record {
        Record::Held(mark) => Some(mark),
        _ => None,
    });
    Some(marks.filter(|mark| members.contains(&mark.holder)).collect())
}

/// What will be done, and what follows.
fn told(group: &GroupSettings, hooks: &[HookSettings], held: Option<&[HeldMark]>) -> String {
    let mut text = format!("Group {}:\n", group.view.name);
    for hook in hooks {
        let _ = writeln!(text, "  delete hook {}", hook.hook.name);
    }
    if let Some(pool) = &group.view.pool_tag {
        let _ = writeln!(text, "  remove tag stateful-asg:pool={pool}");
    }
    text.push_str("Its instances keep their volumes: nothing is detached, nothing is deleted.\n");
    match held {
        None => text.push_str("The records can't be read; what is on record stays as it is.\n"),
        Some([]) => text.push_str("Its instances hold no slot.\n"),
        Some(marks) => {
            text.push_str("These slots stay held until EC2 shows their instance terminated, and are free then:\n");
            for mark in marks {
                let _ = writeln!(text, "  {} held by {}", mark.slot, mark.holder);
            }
        }
    }
    text.push_str(
        "Instances that are launched from now on get no volume of the pool. Those that are terminated are not stopped first: \
         the termination takes their volumes off.",
    );
    text
}

#[cfg(test)]
mod tests;
