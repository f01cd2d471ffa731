//! `stateful-asg enroll` and `leave`, the real binary: a running group is taken over, observed first, enforced then, and let
//! go again, with its volumes where they were.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use aws_sdk_autoscaling::types::LaunchTemplateSpecification;
use local_cloud::world::{LifecycleState, World};

use shared::group::{POOL, ZONE, members};
use shared::tool::stateful_asg;
use shared::trial::{Trial, options};
use shared::{Failure, ensure, same};

/// A group that nobody has enrolled, with so many instances.
async fn plain_group(trial: &Trial, size: i32) -> Result<(), Failure> {
    let data = aws_sdk_ec2::types::RequestLaunchTemplateData::builder()
        .image_id("ami-0123456789abcdef0")
        .build();
    trial
        .account
        .ec2
        .create_launch_template()
        .launch_template_name(POOL)
        .launch_template_data(data)
        .send()
        .await?;
    let template = LaunchTemplateSpecification::builder().launch_template_name(POOL).build();
    trial
        .account
        .auto_scaling
        .create_auto_scaling_group()
        .auto_scaling_group_name(POOL)
        .launch_template(template)
        .min_size(0)
        .desired_capacity(size)
        .max_size(3)
        .health_check_grace_period(0)
        .availability_zones(ZONE)
        .send()
        .await?;
    Ok(())
}

async fn wants(trial: &Trial, size: i32) -> Result<(), Failure> {
    trial
        .account
        .auto_scaling
        .set_desired_capacity()
        .auto_scaling_group_name(POOL)
        .desired_capacity(size)
        .send()
        .await?;
    Ok(())
}

/// Waits until so many instances are in service, whoever enrolled the group.
async fn serve(trial: &Trial, size: usize) -> Result<Vec<String>, Failure> {
    let serving = |world: &World| -> Vec<String> {
        let serving = members(world).into_iter();
        serving
            .filter(|(_, state)| *state == LifecycleState::InService)
            .map(|(instance, _)| instance)
            .collect()
    };
    let whole = |world: &World| serving(world).len() == size && members(world).len() == size;
    trial.wait("instances in service", whole).await?;
    Ok(trial.cloud.inspect(serving))
}

fn hooks(trial: &Trial) -> Vec<String> {
    trial.cloud.inspect(|world| {
        let hooks = world.group(POOL).map(|group| group.hooks.clone()).unwrap_or_default();
        hooks.into_values().map(|hook| format!("{} {:?}", hook.name, hook.metadata)).collect()
    })
}

#[tokio::test]
async fn a_fresh_group_is_enrolled_and_its_first_launch_gets_its_slot() -> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        plain_group(trial, 0).await?;
        let enroll = ["enroll", POOL, "--pool", POOL, "--create", "10", "--enforce"];
        let unsure = stateful_asg(&trial.cloud, &enroll).await?.ended(4)?;
        ensure(unsure.out.contains("new hook stateful-asg-launch: launching"), || {
            unsure.out.clone()
        })?;
        same("hooks without a yes", &hooks(trial), &Vec::new())?;
        let sure = [enroll.as_slice(), &["--yes"]].concat();
        let sure = stateful_asg(&trial.cloud, &sure).await?.ended(0)?;
        ensure(sure.out.contains("is enrolled in pool cassandra"), || sure.out.clone())?;
        wants(trial, 1).await?;
        trial.in_service(1, None).await?;
        same("slots that are held", &trial.held().await?.len(), &1)?;
        let again = stateful_asg(&trial.cloud, &["enroll", POOL]).await?.ended(0)?;
        ensure(again.out.contains("nothing to change"), || again.out)
    })
    .await
}

#[tokio::test]
async fn a_running_group_is_observed_then_enforced_and_leaves_with_its_volumes()
-> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        plain_group(trial, 1).await?;
        let node = serve(trial, 1).await?.remove(0);
        let volume = trial.volumes(&[ZONE]).await?.remove(0);
        trial
            .account
            .ec2
            .attach_volume()
            .volume_id(&volume)
            .instance_id(&node)
            .device("/dev/sdf")
            .send()
            .await?;
        let enroll = ["enroll", POOL, "--pool", POOL, "--heartbeat", "7200", "--yes"];
        stateful_asg(&trial.cloud, &enroll).await?.ended(0)?;
        ensure(hooks(trial).iter().any(|hook| hook.contains(r#"\"mode\":\"observe\""#)), || {
            format!("{:?}", hooks(trial))
        })?;
        // A whole run of reconcile sees the instance with its volume, and nothing is on record.
        let runs = trial.lines()?.len();
        trial
            .cloud
            .wait_for(shared::trial::LIMIT, || {
                let lines = trial.lines().ok()?;
                lines.iter().skip(runs).any(|line| line.text.contains("reconciled")).then_some(())
            })
            .await
            .map_err(|_| "reconcile did not run")?;
        same("slots while observing", &shared::checks::slots(&trial.records().await?).len(), &0)?;
        let enforced = stateful_asg(&trial.cloud, &["enroll", POOL, "--enforce", "--yes"]).await?;
        let enforced = enforced.ended(0)?;
        ensure(enforced.out.contains("mode: observe -> enforce"), || enforced.out.clone())?;
        trial
            .wait("the volume to be known as a slot's", |world| {
                let tags = world.volume(&volume).map(|volume| volume.tags.clone());
                tags.is_ok_and(|tags| tags.contains_key("stateful-asg:slot"))
            })
            .await?;
        trial.settle().await?;
        let held = trial.held().await?;
        same("who holds it", &held.values().next(), &Some(&(vec![volume.clone()], node.clone())))?;

        let left = stateful_asg(&trial.cloud, &["leave", POOL, "--yes"]).await?.ended(0)?;
        ensure(left.out.contains(&format!("cassandra-0 held by {node}")), || left.out.clone())?;
        same("hooks after leaving", &hooks(trial), &Vec::new())?;
        same("who holds it after leaving", &trial.held().await?, &held)?;
        let again = stateful_asg(&trial.cloud, &["leave", POOL]).await?.ended(0)?;
        ensure(again.out.contains("is not enrolled"), || again.out)
    })
    .await
}

#[tokio::test]
async fn while_a_launch_waits_a_group_leaves_only_if_that_is_meant() -> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        let waits = r#"{"pool":"cassandra","whenEmpty":"wait"}"#;
        trial.group(1, &[ZONE], waits).await?;
        let waiting = |world: &World| {
            members(world).iter().any(|(_, state)| *state == LifecycleState::PendingWait)
        };
        trial.wait("a launch that waits", waiting).await?;
        let refused = stateful_asg(&trial.cloud, &["leave", POOL, "--yes"]).await?.ended(3)?;
        ensure(refused.err.contains("Pending:Wait"), || refused.err.clone())?;
        same("hooks after the refusal", &hooks(trial).len(), &2)?;
        stateful_asg(&trial.cloud, &["leave", POOL, "--now", "--yes"]).await?.ended(0)?;
        same("hooks after leaving", &hooks(trial), &Vec::new())?;
        // The launch was abandoned; the one after it meets no hook.
        serve(trial, 1).await.map(drop)
    })
    .await
}

#[tokio::test]
async fn printed_as_code_nothing_is_changed() -> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        plain_group(trial, 0).await?;
        for (format, word) in [
            ("cloudformation", "LifecycleHookSpecificationList:"),
            ("terraform", "aws_autoscaling_lifecycle_hook"),
        ] {
            let arguments = ["enroll", POOL, "--pool", POOL, "--print", format];
            let said = stateful_asg(&trial.cloud, &arguments).await?.ended(0)?;
            ensure(said.out.contains(word), || said.out.clone())?;
        }
        same("hooks", &hooks(trial), &Vec::new())
    })
    .await
}
