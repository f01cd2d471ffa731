//! What a person does with the command line tool, on a real group on local-cloud; and what it refuses.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use local_cloud::world::{LifecycleState, World};

use shared::cli::{calm, says};
use shared::group::{POOL, ZONE, leaving_by, members};
use shared::trial::Trial;
use shared::{Failure, checks, ensure, same};

const CREATE_WHEN_EMPTY: &str = r#"{"pool":"cassandra","volumes":[{"name":"data","device":"/dev/sdf","template":{"type":"gp3","sizeGiB":10}}],"leave":{"mode":"terminate"}}"#;
const WAIT_WHEN_EMPTY: &str =
    r#"{"pool":"cassandra","whenEmpty":"wait","leave":{"mode":"terminate"}}"#;

fn in_state(world: &World, state: LifecycleState) -> usize {
    members(world).into_iter().filter(|(_, shown)| *shown == state).count()
}

/// Waits until an instance waits in its launch hook, and the tool's status says why.
async fn waits_because(trial: &Trial, reason: &str) -> Result<(), Failure> {
    trial
        .wait("an instance to wait", |world| in_state(world, LifecycleState::PendingWait) == 1)
        .await?;
    for _ in 0..200 {
        let status = trial.cli_does(&["status", POOL]).await?;
        if status.contains("1 waiting") && status.contains(reason) {
            return Ok(());
        }
    }
    says(&trial.cli_does(&["status", POOL]).await?, reason)
}

async fn nobody_left(trial: &Trial) -> Result<(), Failure> {
    trial.want(0).await?;
    trial.wait("the group to be empty", |world| members(world).is_empty()).await?;
    trial.settle().await
}

#[tokio::test]
async fn a_paused_pool_hands_nothing_out_until_it_is_resumed() -> Result<(), Failure> {
    Trial::tell(calm()?, async |trial: &Trial| {
        trial.volumes(&[ZONE, ZONE]).await?;
        trial.group(1, &[ZONE], WAIT_WHEN_EMPTY).await?;
        trial.in_service(1, None).await?;

        trial.cli_fails(&["pause", POOL], 4, "give --yes").await?;
        trial.cli_fails(&["pause", "kafka", "--yes"], 1, "pool kafka is not on record").await?;
        says(&trial.cli_does(&["pause", POOL, "--yes"]).await?, "Pool cassandra is paused.")?;
        says(&trial.cli_does(&["pause", POOL, "--yes"]).await?, "is paused already")?;
        trial.want(2).await?;
        waits_because(trial, "waiting: pool cassandra is paused; resume it to go on").await?;
        says(&trial.cli_does(&["status"]).await?, "PAUSED: ")?;

        trial.cli_does(&["resume", POOL, "--yes"]).await?;
        trial.in_service(2, None).await?;
        same("slots held", &trial.held().await?.len(), &2)
    })
    .await
}

#[tokio::test]
async fn a_slot_is_set_apart_reinstated_and_retired_and_another_volume_adopted()
-> Result<(), Failure> {
    Trial::tell(calm()?, async |trial: &Trial| {
        trial.stateful(&[ZONE], WAIT_WHEN_EMPTY).await?;
        let slot = "cassandra-0";
        let apart = ["quarantine", slot, "--reason", "its disk is slow", "--yes"];
        // While an instance holds it, nobody takes it from there.
        trial.cli_fails(&apart, 3, "only on evidence that its volumes are detached").await?;
        trial.cli_fails(&["retire", slot, "--yes"], 3, "only on evidence").await?;
        trial.cli_fails(&["release", slot, "--yes"], 3, "only on evidence").await?;

        nobody_left(trial).await?;
        trial.cli_fails(&["quarantine", slot, "--reason", "x"], 4, "give --yes").await?;
        trial.cli_does(&apart).await?;
        trial.want(1).await?;
        waits_because(trial, "no slot of the pool is free").await?;
        says(&trial.cli_does(&["explain", slot]).await?, "reason: its disk is slow")?;

        trial.cli_does(&["reinstate", slot, "--yes"]).await?;
        trial.in_service(1, None).await?;
        ensure(trial.held().await?.contains_key(slot), || "it was not handed out".to_owned())?;

        nobody_left(trial).await?;
        trial.cli_does(&["retire", slot, "--yes"]).await?;
        trial.cli_fails(&["reinstate", slot, "--yes"], 3, "does not come back").await?;
        trial.want(1).await?;
        waits_because(trial, "no slot of the pool is free").await?;
        says(&trial.cli_does(&["status"]).await?, "1 retired")?;

        let used = checks::slots(&trial.records().await?);
        let used = used.iter().flat_map(checks::volumes).next().ok_or("no volume")?;
        let adopt = |volume| ["adopt", volume, "--pool", POOL, "--yes"];
        trial.cli_fails(&adopt(&used), 3, "belongs to slot cassandra-0 already").await?;
        let fresh = trial.untagged_volume(ZONE).await?;
        trial.cli_does(&adopt(&fresh)).await?;
        trial.in_service(1, None).await?;
        let records = trial.records().await?;
        same("slots", &checks::pairs(&records)["cassandra-1"], &vec![fresh])
    })
    .await
}

#[tokio::test]
async fn a_slot_whose_holder_is_gone_is_released_here_and_now() -> Result<(), Failure> {
    let mut quiet = calm()?;
    quiet.schedule = None;
    Trial::tell(quiet, async |trial: &Trial| {
        trial.stateful(&[ZONE], &leaving_by("stop")).await?;
        let (_, holder) = trial.held().await?.remove("cassandra-0").ok_or("nothing is held")?;
        // Nobody hears of it.
        trial.cloud.lose_events(|_| true);
        trial.account.ec2.terminate_instances().instance_ids(&holder).send().await?;
        trial
            .wait("the instance to be gone", |world| {
                world.instance(&holder).is_ok_and(|it| it.state.as_str() == "terminated")
            })
            .await?;

        let release = ["release", "cassandra-0"];
        trial.cli_fails(&release, 4, "give --yes").await?;
        let told = trial.cli_does(&["release", "cassandra-0", "--yes"]).await?;
        says(&told, "Slot cassandra-0 is free now")?;
        says(&told, "every volume of slot cassandra-0 is shown to be detached")?;
        says(&trial.cli_does(&release).await?, "Nobody holds slot cassandra-0: it is free.")
    })
    .await
}

/// What the tags of the instance in service say of its volume.
fn told(trial: &Trial) -> Result<String, Failure> {
    trial.cloud.inspect(|world| {
        let serving = checks::serving(world).into_iter().next().ok_or("nothing is in service")?;
        let tags = &world.instance(&serving)?.tags;
        Ok(tags.get("stateful-asg:volume:data").cloned().ok_or("it is told of no volume")?)
    })
}

#[tokio::test]
async fn the_right_to_format_is_granted_again_for_a_free_slot_that_was_created_blank()
-> Result<(), Failure> {
    Trial::tell(calm()?, async |trial: &Trial| {
        let (slot, allow) = ("cassandra-0", ["allow-format", "cassandra-0", "--yes"]);
        trial.group(1, &[ZONE], CREATE_WHEN_EMPTY).await?;
        trial.in_service(1, None).await?;
        says(&told(trial)?, " blank")?;
        says(&trial.cli_does(&allow).await?, "may be formatted already")?;
        nobody_left(trial).await?;
        trial.cli_fails(&["allow-format", slot], 4, "give --yes").await?;
        trial.want(1).await?;
        trial.in_service(1, None).await?;
        ensure(!told(trial)?.contains("blank"), || "the right outlived the release".to_owned())?;
        // While its holder has it in service, nobody formats it.
        trial.cli_fails(&allow, 3, "whose launch is completed").await?;

        nobody_left(trial).await?;
        says(&trial.cli_does(&allow).await?, "by the next launch that gets it")?;
        says(&trial.cli_does(&["explain", slot]).await?, "may be formatted where it reads blank")?;
        trial.want(1).await?;
        trial.in_service(1, None).await?;
        says(&told(trial)?, " blank")?;
        nobody_left(trial).await?;
        trial.want(1).await?;
        trial.in_service(1, None).await?;
        ensure(!told(trial)?.contains("blank"), || "the right outlived the release".to_owned())
    })
    .await
}

#[tokio::test]
async fn the_right_to_format_is_never_granted_for_what_was_adopted() -> Result<(), Failure> {
    Trial::tell(calm()?, async |trial: &Trial| {
        trial.stateful(&[ZONE], WAIT_WHEN_EMPTY).await?;
        let allow = ["allow-format", "cassandra-0", "--yes"];
        trial.cli_fails(&allow, 3, "never formatted from here").await?;
        nobody_left(trial).await?;
        trial.cli_fails(&allow, 3, "never formatted from here").await?;
        trial.want(1).await?;
        trial.in_service(1, None).await?;
        ensure(!told(trial)?.contains("blank"), || "it may be formatted".to_owned())
    })
    .await
}
