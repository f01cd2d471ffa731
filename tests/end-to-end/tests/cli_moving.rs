//! `stateful-asg move`, the real binary: a slot goes to another zone with its data, whoever is killed on the way.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use std::process::Stdio;

use end_to_end::binary;
use tokio::process::Command;

use shared::cli::{calm, says};
use shared::group::{POOL, ZONE, members};
use shared::trial::{LIMIT, Trial};
use shared::{Failure, checks, ensure, same};

const POLICY: &str = r#"{"pool":"cassandra","whenEmpty":"wait","leave":{"mode":"terminate"}}"#;
const OTHER: &str = "eu-central-1b";
const MOVE: [&str; 4] = ["move", "cassandra-0", "--zone", OTHER];

/// A node has come and gone, and its slot is free; its group launches in another zone too by now.
async fn a_free_slot(trial: &Trial) -> Result<(), Failure> {
    trial.volumes(&[ZONE]).await?;
    trial.group(1, &[ZONE], POLICY).await?;
    trial.in_service(1, None).await?;
    trial.want(0).await?;
    trial.wait("the group to be empty", |world| members(world).is_empty()).await?;
    trial.settle().await?;
    zones(trial, &[ZONE, OTHER]).await
}

async fn zones(trial: &Trial, zones: &[&str]) -> Result<(), Failure> {
    let client = &trial.account.auto_scaling;
    let update = client.update_auto_scaling_group().auto_scaling_group_name(POOL);
    let zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
    update.set_availability_zones(Some(zones)).send().await?;
    Ok(())
}

/// Runs the tool until the cloud has seen this call of it, and kills it there.
async fn killed_at(trial: &Trial, operation: &str, arguments: &[&str]) -> Result<(), Failure> {
    let calls = || {
        let calls = trial.cloud.calls().into_iter();
        calls.filter(|call| call.caller.is_none() && call.operation == operation).count()
    };
    let before = calls();
    let mut tool = Command::new(binary("stateful-asg")?)
        .args(arguments)
        .env_clear()
        .envs(trial.cloud.env())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let seen = trial.cloud.wait_for(LIMIT, || (calls() > before).then_some(())).await;
    tool.kill().await?;
    seen.map_err(|_| format!("{operation} was never called by {arguments:?}").into())
}

#[tokio::test]
async fn a_slot_moves_with_its_data_and_the_next_node_is_launched_where_it_is()
-> Result<(), Failure> {
    Trial::tell(calm()?, async |trial: &Trial| {
        a_free_slot(trial).await?;
        let old = checks::pairs(&trial.records().await?)["cassandra-0"].clone();
        let nowhere = ["move", "cassandra-0", "--zone", "eu-central-1c", "--yes"];
        trial
            .cli_fails(&nowhere, 3, "no group of pool cassandra launches in eu-central-1c")
            .await?;
        trial.cli_fails(&MOVE, 4, "give --yes").await?;
        trial.cli_fails(&["move", "cassandra-0"], 2, "name the zone").await?;
        let before = trial.changes_by_people();
        let dry = trial.cli_does(&[&MOVE[..], &["--dry-run"]].concat()).await?;
        says(&dry, &format!("{} (data): a snapshot of it, and a volume in {OTHER}", old[0]))?;
        same("changes", &trial.changes_by_people(), &before)?;

        let told = trial.cli_does(&[&MOVE[..], &["--yes"]].concat()).await?;
        says(&told, &format!("Slot cassandra-0 is free in {OTHER}."))?;
        zones(trial, &[OTHER]).await?;
        trial.want(1).await?;
        trial.in_service(1, None).await?;
        let (volumes, _) = trial.held().await?.remove("cassandra-0").ok_or("nothing is held")?;
        ensure(volumes != old, || "it holds the old volume".to_owned())?;
        trial.cloud.inspect(|world| {
            let snapshots: Vec<_> = world.snapshots().collect();
            same("snapshots", &snapshots.len(), &1)?;
            same("of", &snapshots[0].volume, &old[0])?;
            let copy = world.volume(&volumes[0])?;
            same("made from", &copy.snapshot_id, &Some(snapshots[0].id.clone()))?;
            same("zone", &copy.zone.as_str(), &OTHER)?;
            let left = &world.volume(&old[0])?.tags;
            let names: Vec<&str> = left.keys().map(String::as_str).collect();
            same("tags of the volume that is left", &names, &vec!["stateful-asg:move"])
        })?;
        says(&trial.cli_does(&MOVE).await?, "is in eu-central-1b already")
    })
    .await
}

#[tokio::test]
async fn whoever_moves_it_may_be_killed_at_any_call_and_the_next_one_goes_on() -> Result<(), Failure>
{
    Trial::tell(calm()?, async |trial: &Trial| {
        a_free_slot(trial).await?;
        let old = checks::pairs(&trial.records().await?)["cassandra-0"].clone();
        killed_at(trial, "CreateSnapshot", &[&MOVE[..], &["--yes"]].concat()).await?;
        // Nobody else may have it meanwhile, nor is it forgotten.
        let status = trial.cli_does(&["status"]).await?;
        says(&status, "it is being moved to eu-central-1b")?;
        for refused in ["reinstate", "retire"] {
            let arguments = [refused, "cassandra-0", "--yes"];
            trial.cli_fails(&arguments, 3, "is being moved to another zone").await?;
        }
        let on = ["move", "cassandra-0", "--yes"];
        for operation in ["CreateVolume", "CreateTags"] {
            killed_at(trial, operation, &on).await?;
        }
        // The last one may have been killed a moment too late: then there is nothing left to do.
        says(&trial.cli_does(&[&MOVE[..], &["--yes"]].concat()).await?, OTHER)?;
        let slots = checks::slots(&trial.records().await?);
        same("zone", &slots[0].zone.as_str(), &OTHER)?;
        same("move", &slots[0].moving, &None)?;
        ensure(checks::volumes(&slots[0]) != old, || "it has its old volume".to_owned())?;
        trial.cloud.inspect(|world| {
            same("snapshots", &world.snapshots().len(), &1)?;
            same("volumes", &world.volumes().len(), &2)
        })
    })
    .await
}

#[tokio::test]
async fn a_move_that_is_given_up_leaves_the_slot_where_it_was() -> Result<(), Failure> {
    Trial::tell(calm()?, async |trial: &Trial| {
        a_free_slot(trial).await?;
        let old = checks::pairs(&trial.records().await?);
        killed_at(trial, "CreateVolume", &[&MOVE[..], &["--yes"]].concat()).await?;
        let told = trial.cli_does(&["move", "cassandra-0", "--cancel", "--yes"]).await?;
        says(&told, &format!("Slot cassandra-0 is free in {ZONE}."))?;
        same("slots", &checks::pairs(&trial.records().await?), &old)?;
        zones(trial, &[ZONE]).await?;
        trial.want(1).await?;
        trial.in_service(1, None).await?;
        same("slots held", &trial.held().await?.len(), &1)
    })
    .await
}
