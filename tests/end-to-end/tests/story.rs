//! The main story, as a user sees it: an instance that fails is replaced, and its replacement holds the same volume.
//!
//! It is told on a local cloud, or, where `AWS_ENDPOINT_URL` or one of its per-service forms is set, wherever that
//! points (with the functions deployed there, and `STATEFUL_ASG_TABLE` if their table has another name): then by
//! nothing but AWS calls, on groups and pools of its own, which are removed in the end.

#![expect(
    clippy::print_stdout,
    reason = "a test says what is skipped on another endpoint, and why"
)]

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use end_to_end::{Account, GroupPlan, Held, Member, holders};
use local_cloud::cloud::Options;
use local_cloud::world::{Workload, World};
use tokio::time::{MissedTickBehavior, interval, timeout};
use volume_pool::record::Record;

use shared::group::{HEARTBEAT_SECONDS, ZONE};
use shared::trial::{TABLE, Trial, options};
use shared::{Failure, checks, ensure, problem, same};

const ZONES: [&str; 3] = ["eu-central-1a", "eu-central-1b", "eu-central-1c"];
/// How often an account elsewhere is looked at: nothing there tells when something changes.
const LOOK: Duration = Duration::from_secs(2);
/// How long things may take elsewhere, where a stop alone takes a minute.
const LIMIT_ELSEWHERE: Duration = Duration::from_mins(20);

/// Where a story is told, and the name of its group and pool there.
struct Stage<'a> {
    account: &'a Account,
    table: String,
    name: String,
    trial: Option<&'a Trial>,
}

/// Tells a story here or elsewhere.
async fn tell(
    name: &str,
    options: Options,
    story: impl AsyncFnOnce(&Stage<'_>) -> Result<(), Failure>,
) -> Result<(), Failure> {
    let elsewhere =
        std::env::vars_os().any(|(name, _)| name.to_string_lossy().starts_with("AWS_ENDPOINT_URL"));
    if !elsewhere {
        return Trial::tell(options, async |trial: &Trial| {
            let stage = Stage {
                account: &trial.account,
                table: TABLE.to_owned(),
                name: name.to_owned(),
                trial: Some(trial),
            };
            story(&stage).await
        })
        .await;
    }
    #[expect(clippy::disallowed_methods, reason = "a test's main: the environment is read here")]
    let table = std::env::var("STATEFUL_ASG_TABLE").unwrap_or_else(|_| TABLE.to_owned());
    let account = Account::from_environment().await;
    let stage = Stage {
        account: &account,
        table,
        // Of its own, also when several of these run, or an earlier one left something behind.
        name: format!("{name}-{}", std::process::id()),
        trial: None,
    };
    let told = match story(&stage).await {
        Ok(()) => stage.check_safety().await,
        failed => failed,
    };
    let removed = stage.remove().await;
    told.and(removed)
}

impl Stage<'_> {
    fn policy(&self, mode: &str) -> String {
        format!(r#"{{"pool":"{}","leave":{{"mode":"{mode}"}}}}"#, self.name)
    }

    /// A tagged volume for each zone named.
    async fn volumes(&self, zones: &[&str]) -> Result<(), Failure> {
        for zone in zones {
            self.account.tagged_volume(&self.name, zone).await?;
        }
        Ok(())
    }

    async fn group(&self, size: usize, zones: &[&str], policy: &str) -> Result<(), Failure> {
        let plan = GroupPlan {
            name: &self.name,
            size: i32::try_from(size)?,
            zones,
            metadata: Some(policy),
            heartbeat_seconds: HEARTBEAT_SECONDS,
        };
        self.account.create_group(&plan).await
    }

    /// Waits until the members of the group are as `done` wants them, and no claim has work left.
    async fn until(&self, what: &str, done: impl Fn(&[Member]) -> bool) -> Result<(), Failure> {
        if let Some(trial) = self.trial {
            let members = |world: &World| members(world, &self.name);
            trial.wait(what, |world| done(&members(world))).await?;
            return trial.settle().await;
        }
        let looks = async {
            let mut ticks = interval(LOOK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                if done(&self.account.members(&self.name).await?) && self.at_rest().await? {
                    return Ok(());
                }
            }
        };
        let late = |_| problem(format!("waited {LIMIT_ELSEWHERE:?} in vain for {what}"));
        timeout(LIMIT_ELSEWHERE, looks).await.map_err(late)?
    }

    /// Whether no instance that holds or waits for one of our slots has work left.
    async fn at_rest(&self) -> Result<bool, Failure> {
        let records = self.account.records(&self.table).await?;
        Ok(!records.iter().any(|record| matches!(record, Record::Open(_))))
    }

    async fn in_service(&self, size: usize, gone: Option<&str>) -> Result<(), Failure> {
        self.until(&format!("{size} instances in service"), |members| {
            members.len() == size
                && members.iter().all(|member| member.state == "InService")
                && !members.iter().any(|member| Some(member.instance.as_str()) == gone)
        })
        .await
    }

    /// The volumes and who holds them. Each volume on an instance of its own, of its own zone.
    async fn held(&self) -> Result<Vec<Held>, Failure> {
        let pool = self.account.pool(&self.name).await?;
        let members = self.account.members(&self.name).await?;
        let holders = holders(&pool);
        same("volumes held", &holders.len(), &pool.len())?;
        let instances: BTreeSet<&String> = holders.values().collect();
        same("instances that hold one", &instances.len(), &members.len())?;
        for held in &pool {
            let member =
                members.iter().find(|member| Some(&member.instance) == held.instance.as_ref());
            ensure(member.is_some_and(|member| member.zone == held.zone), || {
                format!("{held:?} is held from another zone or group: {members:?}")
            })?;
            ensure(held.slot.is_some(), || format!("{held:?} names no slot"))?;
        }
        Ok(pool)
    }

    /// An instance in service fails: EC2's status checks say so here, elsewhere a person does.
    async fn fail(&self, instance: &str) -> Result<(), Failure> {
        if let Some(trial) = self.trial {
            return Ok(trial.cloud.with_world(|world| world.fail_instance(instance))?);
        }
        println!(
            "{}: status checks can't be made to fail elsewhere: {instance} is reported unhealthy",
            self.name
        );
        let report = self.account.auto_scaling.set_instance_health();
        let report = report.instance_id(instance).health_status("Unhealthy");
        report.should_respect_grace_period(false).send().await?;
        Ok(())
    }

    /// How the actions so far ended. Only a local cloud tells.
    fn answered(&self, expected: &[(&str, usize)]) -> Result<(), Failure> {
        let Some(trial) = self.trial else {
            println!(
                "{}: how Auto Scaling was answered is not checked elsewhere: no API tells",
                self.name
            );
            return Ok(());
        };
        let mut counts: BTreeMap<String, usize> = BTreeMap::new();
        for answer in trial.answers()? {
            *counts.entry(answer).or_default() += 1;
        }
        let expected = expected.iter().map(|(answer, count)| ((*answer).to_owned(), *count));
        same("answers", &counts, &expected.collect())
    }

    async fn check_safety(&self) -> Result<(), Failure> {
        let pool = self.account.pool(&self.name).await?;
        let mut records = self.account.records(&self.table).await?;
        records.retain(|record| match record {
            Record::Slot(slot) => slot.id.pool.as_str() == self.name,
            _ => true,
        });
        let members = self.account.members(&self.name).await?.into_iter();
        let serving = members.filter(|member| member.state == "InService");
        let serving: Vec<String> = serving.map(|member| member.instance).collect();
        let broken = checks::broken(&pool, &records, &serving);
        ensure(broken.is_empty(), || format!("unsafe in the end: {}", broken.join("; ")))
    }

    /// Removes what the story made elsewhere.
    async fn remove(&self) -> Result<(), Failure> {
        let name = &self.name;
        let groups = &self.account.auto_scaling;
        let resize = groups.update_auto_scaling_group().auto_scaling_group_name(name);
        resize.min_size(0).desired_capacity(0).send().await?;
        self.until("the group to be empty", <[Member]>::is_empty).await?;
        let group = groups.delete_auto_scaling_group().auto_scaling_group_name(name);
        group.force_delete(true).send().await?;
        let template = self.account.ec2.delete_launch_template();
        template.launch_template_name(name).send().await?;
        for held in self.account.pool(name).await? {
            self.account.ec2.delete_volume().volume_id(held.volume).send().await?;
        }
        Ok(())
    }
}

fn members(world: &World, group: &str) -> Vec<Member> {
    let members = world.group(group).map(|group| group.members.clone());
    let members = members.unwrap_or_default().into_values().map(|member| Member {
        instance: member.instance,
        zone: member.zone,
        state: member.state.as_str().to_owned(),
    });
    members.collect()
}

/// Three instances in three zones; one fails.
async fn replaced(mode: &str, options: Options) -> Result<(), Failure> {
    tell(&format!("replaced-{mode}"), options, async |stage: &Stage<'_>| {
        stage.volumes(&ZONES).await?;
        stage.group(ZONES.len(), &ZONES, &stage.policy(mode)).await?;
        stage.in_service(ZONES.len(), None).await?;
        let before = stage.held().await?;

        let failed = before.first().and_then(|held| held.instance.clone());
        let failed = failed.ok_or("nobody holds a volume")?;
        stage.fail(&failed).await?;
        stage.in_service(ZONES.len(), Some(&failed)).await?;

        let after = stage.held().await?;
        same("volumes", &after.len(), &before.len())?;
        for (was, is) in before.iter().zip(&after) {
            same("the volume", &is.volume, &was.volume)?;
            same(&format!("the slot of {}", is.volume), &is.slot, &was.slot)?;
            let moved = is.instance != was.instance;
            let should_move = was.instance.as_ref() == Some(&failed);
            same(&format!("a new holder for {}", is.volume), &moved, &should_move)?;
        }
        let launches = ("stateful-asg-launch CONTINUE", ZONES.len() + 1);
        stage.answered(&[launches, ("stateful-asg-terminate CONTINUE", 1)])
    })
    .await
}

#[tokio::test]
async fn a_replacement_holds_the_volume_of_the_instance_that_failed_in_leave_mode_stop()
-> Result<(), Failure> {
    replaced("stop", options()?).await
}

#[tokio::test]
async fn a_replacement_holds_the_volume_of_the_instance_that_failed_in_leave_mode_detach()
-> Result<(), Failure> {
    // The mode is for workloads that mount nothing: what is mounted can't be detached.
    let mut options = options()?;
    options.world.workload = Workload::Idle;
    replaced("detach", options).await
}

#[tokio::test]
async fn a_replacement_holds_the_volume_of_the_instance_that_failed_in_leave_mode_terminate()
-> Result<(), Failure> {
    replaced("terminate", options()?).await
}

#[tokio::test]
async fn twenty_launches_at_once_get_twenty_distinct_volumes() -> Result<(), Failure> {
    const MANY: usize = 20;
    tell("many", options()?, async |stage: &Stage<'_>| {
        stage.volumes(&[ZONE; MANY]).await?;
        stage.group(MANY, &[ZONE], &stage.policy("stop")).await?;
        stage.in_service(MANY, None).await?;
        let held = stage.held().await?;
        same("volumes", &held.len(), &MANY)?;
        let slots: BTreeSet<_> = held.iter().map(|held| &held.slot).collect();
        same("slots", &slots.len(), &MANY)?;
        stage.answered(&[("stateful-asg-launch CONTINUE", MANY)])
    })
    .await
}

#[tokio::test]
async fn scaling_in_to_nothing_leaves_every_volume_available_and_every_action_answered()
-> Result<(), Failure> {
    tell("emptied", options()?, async |stage: &Stage<'_>| {
        stage.volumes(&ZONES).await?;
        stage.group(ZONES.len(), &ZONES, &stage.policy("stop")).await?;
        stage.in_service(ZONES.len(), None).await?;
        let before = stage.held().await?;

        let resize = stage.account.auto_scaling.set_desired_capacity();
        resize.auto_scaling_group_name(&stage.name).desired_capacity(0).send().await?;
        stage.until("the group to be empty", <[Member]>::is_empty).await?;

        let after = stage.account.pool(&stage.name).await?;
        let unattached = before.into_iter().map(|held| Held { instance: None, ..held });
        same("volumes", &after, &unattached.collect())?;
        let ids = after.iter().map(|held| held.volume.clone()).collect();
        let shown = stage.account.ec2.describe_volumes().set_volume_ids(Some(ids)).send().await?;
        for volume in shown.volumes() {
            let state = volume.state().map(aws_sdk_ec2::types::VolumeState::as_str);
            same("the state of a volume", &state, &Some("available"))?;
        }
        let each = ZONES.len();
        let launches = ("stateful-asg-launch CONTINUE", each);
        stage.answered(&[launches, ("stateful-asg-terminate CONTINUE", each)])
    })
    .await
}
