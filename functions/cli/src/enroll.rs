//! `enroll`: both hooks and the tag that make a group ours, with a policy that the functions will read as it is meant.

mod plan;
mod print;
mod wanted;

use clap::{Args, ValueEnum};
use volume_pool::action::Transition;
use volume_pool::ids::{GroupName, PoolName};
use volume_pool::policy::{Mode, Policy};
use volume_pool::ports::{Answer, PortError};
use volume_pool_aws::Enrolments;

use crate::consent::Consent;
use crate::failure::Failure;
use crate::output;
use crate::session::Session;
use plan::{Change, Plan};
use wanted::Fields;

/// Put a group's hooks and tag, so that its instances take their volumes from a pool.
///
/// Starts in mode observe: what would be done is logged, and nothing is. On a group that is enrolled already it shows what
/// differs, and changes only what was asked for; so `enroll GROUP --enforce` is the second step. The policy is checked by the
/// functions' own parser. Says what it will do, and asks.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The group.
    pub(crate) group: GroupName,
    /// The pool that its instances take their slots from [default: the policy's, or the group's tag].
    #[arg(long)]
    pub(crate) pool: Option<PoolName>,
    #[command(flatten)]
    pub(crate) fields: Fields,
    /// Act: launches wait for their volumes, terminations let go of them.
    #[arg(long)]
    pub(crate) enforce: bool,
    /// Only say what would be done.
    #[arg(long, conflicts_with = "enforce")]
    pub(crate) observe: bool,
    /// How long an action waits after its last heartbeat [default: as it is, 300 where it is new].
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u32).range(30..=7200))]
    pub(crate) heartbeat: Option<u32>,
    /// Print the same as code, and change nothing.
    #[arg(long, value_name = "FORMAT")]
    pub(crate) print: Option<Format>,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// As what code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// Properties of an `AWS::AutoScaling::AutoScalingGroup`
    #[value(name = "cloudformation")]
    CloudFormation,
    /// Resources beside an `aws_autoscaling_group`
    Terraform,
}

/// Shows what differs from what is wanted, asks, and puts it.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let prefix = &session.hook_prefix;
    if let Some(format) = arguments.print {
        let wanted = wanted::wanted(None, None, arguments)?;
        let hooks = plan::new_hooks(prefix, &wanted.text, arguments.heartbeat)?;
        return output::say(&print::code(format, &arguments.group, &wanted.policy.pool, &hooks));
    }
    let enrolments = session.enrolments().await?;
    let settings = enrolments.group(&arguments.group).await?;
    let settings = settings.ok_or_else(|| Failure::no_group(&arguments.group))?;
    let hooks = enrolments.hooks(&arguments.group).await?;
    let ours = plan::our_hooks(prefix, &hooks)?;
    let current = ours.launch.and_then(|launch| launch.hook.metadata.as_deref());
    let tag = settings.view.pool_tag.as_deref();
    let wanted = wanted::wanted(current, tag, arguments)?;
    let plan = plan::plan(prefix, tag, &ours, &wanted, arguments.heartbeat)?;
    if plan.changes.is_empty() {
        let (group, pool) = (&arguments.group, &wanted.policy.pool);
        return output::say(&format!(
            "group {group} is enrolled in pool {pool} as asked: there is nothing to change\n"
        ));
    }
    arguments.consent.ask(&told(&arguments.group, &plan, &wanted.policy))?;
    for change in &plan.changes {
        carry_out(&enrolments, &arguments.group, change).await?;
    }
    output::say(&format!(
        "group {0} is enrolled in pool {1}; now: stateful-asg doctor {2}\n",
        arguments.group,
        wanted.policy.pool,
        crate::doctor::word(arguments.group.as_str())
    ))
}

/// What will be done, and what follows from it.
fn told(group: &GroupName, plan: &Plan, policy: &Policy) -> String {
    let pool = &policy.pool;
    let follows = match policy.mode {
        Mode::Observe => {
            "Mode observe: what would be done is logged, actions are answered CONTINUE at once, nothing else changes."
                .to_owned()
        }
        Mode::Enforce => format!(
            "Mode enforce: a launch comes into service with a slot of pool {pool} attached, or waits for one. Instances in \
             service keep the volumes tagged stateful-asg:pool={pool} that they hold, as their slots, within a minute."
        ),
    };
    format!("Group {group}:\n  {}\n{follows}", plan.lines.join("\n  "))
}

async fn carry_out(
    enrolments: &Enrolments,
    group: &GroupName,
    change: &Change,
) -> Result<(), Failure> {
    match change {
        Change::Tag(pool) => {
            done("autoscaling:CreateOrUpdateTags", enrolments.tag(group, pool).await)
        }
        Change::Hook(hook) => {
            done("autoscaling:PutLifecycleHook", enrolments.put_hook(group, hook).await)
        }
    }
}

/// What AWS refuses here no later look would change.
pub(crate) fn done(call: &'static str, answer: Result<Answer, PortError>) -> Result<(), Failure> {
    answer?.map_err(|refusal| Failure::Denied { call, problem: refusal.to_string() })
}

/// The transition in the words of people.
pub(crate) const fn holds_up(transition: Transition) -> &'static str {
    match transition {
        Transition::Launching => "launching",
        Transition::Terminating => "terminating",
    }
}

#[cfg(test)]
mod tests;
