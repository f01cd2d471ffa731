//! What the command line tool tells, of a real group on local-cloud; and that telling changes nothing.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use serde_json::Value;

use shared::cli::{calm, says};
use shared::group::{POOL, ZONE, leaving_by};
use shared::trial::Trial;
use shared::{Failure, ensure, problem, same};

const ZONES: [&str; 3] = ["eu-central-1a", "eu-central-1b", "eu-central-1c"];

/// The slots of a status, as `slot state holder`.
fn slots(status: &Value) -> Vec<String> {
    let zones = status["pools"][0]["zones"].as_array().into_iter().flatten();
    let slots = zones.flat_map(|zone| zone["slots"].as_array().into_iter().flatten());
    let text = |value: &Value| value.as_str().unwrap_or("nobody").to_owned();
    let mut slots: Vec<String> = slots
        .map(|slot| {
            let holder = text(&slot["instance"]["instance"]);
            format!("{} {} {holder}", text(&slot["slot"]), text(&slot["state"]))
        })
        .collect();
    slots.sort();
    slots
}

#[tokio::test]
async fn status_shows_who_holds_what() -> Result<(), Failure> {
    Trial::tell(calm()?, async |trial: &Trial| {
        trial.stateful(&ZONES, &leaving_by("stop")).await?;
        let held = trial.held().await?;
        let expected: Vec<String> =
            held.iter().map(|(slot, (_, holder))| format!("{slot} held {holder}")).collect();
        same("slots", &slots(&trial.cli_json(&["status", "--json"]).await?), &expected)?;

        let told = trial.cli_does(&["status", POOL]).await?;
        says(&told, "Pool cassandra: 3 held; group cassandra: 3 of 3 in service")?;
        for (volumes, holder) in held.values() {
            let lines = told.lines().filter(|line| line.contains(holder.as_str()));
            ensure(
                lines.clone().count() == 1
                    && lines
                        .clone()
                        .all(|line| line.contains(&volumes[0]) && line.contains("attached")),
                || format!("{holder} with {volumes:?} is not in:\n{told}"),
            )?;
        }
        trial.cli_fails(&["status", "kafka"], 1, "no pool kafka is on record").await?;
        trial.cli_fails(&["--table", "nope", "status"], 1, "there is no table \"nope\"").await?;
        trial.cli_fails(&["status", "--watch", "0"], 2, "0 is not in 1..=3600").await
    })
    .await
}

#[tokio::test]
async fn plan_tells_beforehand_what_then_happens() -> Result<(), Failure> {
    Trial::tell(calm()?, async |trial: &Trial| {
        // Two volumes for one instance: the other one is no slot yet.
        trial.volumes(&[ZONE, ZONE]).await?;
        trial.group(1, &[ZONE], &leaving_by("stop")).await?;
        trial.in_service(1, None).await?;
        let (slot, (_, holder)) =
            trial.held_so_far().await?.into_iter().next().ok_or("nothing is held")?;

        let plan = trial.cli_json(&["plan", "--terminate", &holder, "--json"]).await?;
        let step = |part: usize, step: usize| plan["parts"][part]["steps"][step]["step"].as_str();
        same("first", &step(0, 0), &Some("begin release"))?;
        same("then", &step(0, 1), &Some("ec2:StopInstances"))?;
        let told = trial.cli_does(&["plan", "--terminate", &holder]).await?;
        says(&told, &format!("It would let go of slot {slot}."))?;

        let plan = ["plan", "--launch", ZONE, "--pool", POOL];
        let told = trial.cli_does(&plan).await?;
        let promised = told
            .lines()
            .find_map(|line| line.trim().strip_prefix("It would get slot ")?.strip_suffix('.'))
            .ok_or_else(|| problem(told.clone()))?;
        trial.want(2).await?;
        trial.in_service(2, None).await?;
        ensure(trial.held().await?.contains_key(promised) && promised != slot, || {
            format!("slot {promised} was promised")
        })?;

        // Now every slot is held: the next launch would have a volume created, or wait for who leaves.
        says(&trial.cli_does(&plan).await?, "A slot would be created for it: cassandra-2.")?;
        trial
            .cli_fails(&["plan", "--launch", ZONE, "--pool", "kafka"], 1, "no group is tagged")
            .await?;
        trial.cli_fails(&["plan"], 2, "--terminate").await
    })
    .await
}

#[tokio::test]
async fn explain_and_history_tell_of_an_instance_its_slot_and_its_volume() -> Result<(), Failure> {
    Trial::tell(calm()?, async |trial: &Trial| {
        trial.stateful(&[ZONE], &leaving_by("stop")).await?;
        let gone = trial.replace_one().await?;
        let (slot, (volumes, holder)) =
            trial.held().await?.into_iter().next().ok_or("nothing is held")?;
        let before = trial.changes_by_people();
        for target in [slot.as_str(), holder.as_str(), volumes[0].as_str()] {
            let told = trial.cli_does(&["explain", target]).await?;
            says(&told, &format!("InService in group {POOL}; running in EC2"))?;
            says(&told, &format!("it holds slot {slot} (epoch 2)"))?;
            says(&told, &format!("held by {holder}"))?;
            says(&told, &format!("{} (data, at /dev/sdf): attached", volumes[0]))?;
            says(&told, "finds nothing to do with it")?;
            says(&told, "Nothing is left to do.")?;
            let told = trial.cli_does(&["history", target]).await?;
            says(&told, &format!("last holders, latest first: {holder}, {gone}"))?;
            says(&told, "it has had 2 owners so far")?;
        }
        let told = trial.cli_does(&["explain", &gone]).await?;
        says(&told, &format!("it holds nothing and wants nothing; it held slot {slot} last"))?;
        let told = trial.cli_json(&["explain", &slot, "--json"]).await?;
        same("epoch", &told["slot"]["record"]["epoch"], &Value::from(2))?;
        same("changes by people", &trial.changes_by_people(), &before)?;

        trial.cli_fails(&["explain", "vol-12345678"], 1, "EC2 does not know it").await?;
        trial.cli_fails(&["explain", "i-12345678"], 1, "is not on record").await?;
        trial.cli_fails(&["explain", "cassandra-7"], 1, "there is no slot cassandra-7").await?;
        trial.cli_fails(&["explain", "cassandra"], 2, "is not a slot").await
    })
    .await
}

#[tokio::test]
async fn a_profile_that_signs_in_elsewhere_is_told_how_to_hand_its_credentials_over()
-> Result<(), Failure> {
    let folder = std::env::temp_dir().join(format!("stateful-asg-profile-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let config = folder.join("config");
    let profile = "[profile corp]\nregion = eu-central-1\nsso_session = corp\nsso_account_id = 123456789012\n\
                   sso_role_name = Admin\n[sso-session corp]\nsso_region = eu-central-1\n\
                   sso_start_url = https://corp.awsapps.com/start\n";
    std::fs::write(&config, profile)?;
    let output = tokio::process::Command::new(end_to_end::binary("stateful-asg")?)
        .args(["status", "--profile", "corp"])
        .env_clear()
        .env("AWS_CONFIG_FILE", &config)
        // Nobody listens there, and nobody is asked: the credentials come first.
        .env("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
        .output()
        .await?;
    std::fs::remove_dir_all(&folder)?;
    let told = String::from_utf8(output.stderr)?;
    says(&told, "aws configure export-credentials --profile NAME --format env")?;
    ensure(!told.contains("cargo feature"), || told.clone())?;
    same("exit code", &output.status.code(), &Some(1))
}
