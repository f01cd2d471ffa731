//! `verify-aws` against local-cloud: nothing differs; where a switch of local-cloud is turned, just that does; and nothing is left.

use std::process::Stdio;
use std::time::Duration;

use futures_util::stream::{self, StreamExt as _};
use local_cloud::cloud::{Cloud, Options};
use local_cloud::world::{
    AbandonedLaunch, AbandonedReturn, Config, ForcedDeletion, PlacesInEvents, SecondResource,
    SeveralHooks, StopWhileTerminating, World,
};
use tokio::process::Command;
use verify_aws::{Account, Claim, Difference, Failure, PROBES, Probe, Run, carry_out, clean_up};

/// A minute of AWS takes three seconds here: the looks at it are real.
const SPEED: f64 = 20.0;
/// Longer than anything takes here.
const LIMIT: Duration = Duration::from_mins(3);
/// How many probes are carried out at once: they mostly wait.
const AT_ONCE: usize = 4;

async fn cloud(change: impl FnOnce(&mut Config)) -> Result<Cloud, Failure> {
    let mut world = Config { speed: SPEED, seed: 2, ..Config::default() };
    change(&mut world);
    Ok(Cloud::start(Options { world, schedule: None, ..Options::default() }).await?)
}

async fn run(cloud: &Cloud) -> Run {
    let account = Account::at(&cloud.endpoint()).await;
    Run { account, name: "test".to_owned(), speed: SPEED, role: None }
}

/// What differs in these probes; everything must be gone after them.
async fn differences(cloud: &Cloud, probes: &[&Probe]) -> Result<Vec<Difference>, Failure> {
    let run = run(cloud).await;
    let reports = stream::iter(probes).map(|probe| carry_out(&run, probe));
    let reports: Vec<_> = reports.buffered(AT_ONCE).collect().await;
    let mut found = Vec::new();
    for report in reports {
        let report = report?;
        assert_eq!(report.not_asked(), None);
        found.extend(report.differences());
    }
    let left = clean_up(&run).await?;
    assert!(left.is_nothing(), "left behind: {left}");
    assert_eq!(cloud.inspect(remains), Vec::<String>::new());
    Ok(found)
}

/// What a world has that costs money.
fn remains(world: &World) -> Vec<String> {
    let instances = world.instances().filter(|it| it.state.as_str() != "terminated");
    let instances = instances.map(|it| it.id.clone());
    // Root volumes go with their instances.
    let volumes = world.volumes().filter(|it| it.state.as_str() != "deleting");
    let volumes = volumes.map(|it| it.id.clone());
    let groups = world.groups().map(|it| it.name.clone());
    instances.chain(volumes).chain(groups).collect()
}

#[tokio::test]
async fn nothing_differs_from_local_cloud_where_that_is_asked() -> Result<(), Failure> {
    let cloud = cloud(|_| {}).await?;
    let all: Vec<&Probe> = PROBES.iter().collect();
    assert_eq!(differences(&cloud, &all).await?, []);
    cloud.shutdown().await;
    Ok(())
}

/// A switch of local-cloud: the probe that must notice it, and the questions that are answered otherwise then: what is claimed, and what
/// is seen.
type Switch =
    (&'static str, fn(&mut Config), &'static [(&'static str, &'static str, &'static str)]);

#[tokio::test]
async fn where_a_switch_is_turned_just_that_differs() -> Result<(), Failure> {
    const DRY_RUN: &str = "DryRunOperation";
    const REFUSED: &str = "UnauthorizedOperation";
    const UNSAID: &str = "it does not say";
    let switches: [Switch; 7] = [
        (
            "stop-while-terminating",
            |it| it.stop_while_terminating = StopWhileTerminating::Refused,
            &[
                ("StopInstances in Terminating:Wait", "accepted", "IncorrectInstanceState"),
                ("the instance gets to be stopped", "yes", "-"),
                ("its lifecycle state meanwhile", "Terminating:Wait", "-"),
            ],
        ),
        (
            "several-hooks",
            |it| it.several_hooks = SeveralHooks::OneByOne,
            &[(
                "the second of two hooks answered first",
                "accepted",
                "ValidationError: No active Lifecycle Action found",
            )],
        ),
        (
            "warm-pool-events",
            |it| it.places_in_events = PlacesInEvents::WithWarmPools,
            &[
                ("a launch without a warm pool goes", "from EC2 to AutoScalingGroup", UNSAID),
                ("a termination without a warm pool goes", "from AutoScalingGroup to EC2", UNSAID),
            ],
        ),
        (
            "condition-keys",
            |it| it.second_resource = SecondResource::Unchecked,
            &[
                ("detach a pool's volume from a stranger's instance", REFUSED, DRY_RUN),
                ("keep a stranger's volume on a group's instance", REFUSED, DRY_RUN),
            ],
        ),
        (
            "forced-deletion",
            |it| it.forced_deletion = ForcedDeletion::RunsTerminateHooks,
            &[("its terminate hook is waited for", "no", "yes")],
        ),
        (
            "abandoned-return",
            |it| it.abandoned_return = AbandonedReturn::Returns,
            &[("the instance ends", "terminated", "Warmed:Running")],
        ),
        (
            "abandoned-launch",
            |it| it.abandoned_launch = AbandonedLaunch::SkipsTerminateHooks,
            &[("its terminate hook is waited for", "yes", "no")],
        ),
    ];
    let told = stream::iter(switches).map(async |(name, switch, expected)| {
        let probe = PROBES.iter().find(|probe| probe.name == name).ok_or("no such probe")?;
        assert_eq!(probe.claim, Claim::Doubt, "{name}");
        let cloud = cloud(switch).await?;
        let found = differences(&cloud, &[probe]).await?;
        cloud.shutdown().await;
        let expected = expected.iter().map(|(question, claimed, seen)| Difference {
            probe: probe.name,
            question: (*question).to_owned(),
            claimed: (*claimed).to_owned(),
            seen: (*seen).to_owned(),
        });
        assert_eq!(found, expected.collect::<Vec<_>>(), "{name}");
        Ok::<_, Failure>(())
    });
    let told: Vec<_> = told.buffer_unordered(AT_ONCE).collect().await;
    told.into_iter().collect()
}

#[tokio::test]
async fn a_probe_s_name_is_its_own_and_it_says_what_it_rests_on() {
    let mut names: Vec<&str> = PROBES.iter().map(|probe| probe.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), PROBES.len());
    // The standing doubts come first.
    let doubts = PROBES.iter().take_while(|probe| probe.claim == Claim::Doubt).count();
    assert!(PROBES[doubts..].iter().all(|probe| probe.claim == Claim::Sourced));
    assert!(PROBES.iter().all(|it| !it.source.is_empty() && !it.matters.is_empty()));
}

fn program(cloud: &Cloud, arguments: &[&str]) -> Command {
    let mut program = Command::new(env!("CARGO_BIN_EXE_verify-aws"));
    program
        .args(["--endpoint", &cloud.endpoint(), "--speed", &SPEED.to_string()])
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    program
}

#[tokio::test]
async fn the_program_says_what_it_will_do_and_what_came_of_it() -> Result<(), Failure> {
    let cloud = cloud(|_| {}).await?;
    let asked = program(&cloud, &["--probe", "client-tokens", "--yes"]).output().await?;
    let told = String::from_utf8(asked.stdout)?;
    assert_eq!(asked.status.code(), Some(0), "{told}");
    let summary = format!("1 of {} probes answered, 0 differences", PROBES.len());
    for words in ["In account 123456789012", "USD", "as claimed  the same token", &summary] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    assert_eq!(cloud.inspect(remains), Vec::<String>::new());

    // Without a yes, and nobody there to ask, nothing is made.
    let before = cloud.calls().len();
    let refused = program(&cloud, &["--probe", "client-tokens"]).output().await?;
    assert_eq!(refused.status.code(), Some(2));
    assert!(String::from_utf8(refused.stderr)?.contains("--yes"));
    let made = cloud.calls().split_off(before);
    assert!(made.iter().all(|call| call.operation == "GetCallerIdentity"), "{made:?}");
    cloud.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn what_can_t_be_asked_is_counted_and_not_passed_over() -> Result<(), Failure> {
    let cloud = cloud(|_| {}).await?;
    // As who has signed in to a role: whose session may begin none of its own.
    let program = async |more: &[&str]| {
        Command::new(env!("CARGO_BIN_EXE_verify-aws"))
            .args(["--speed", &SPEED.to_string(), "--yes", "--probe", "condition-keys"])
            .args(more)
            .envs(cloud.env())
            .envs([("AWS_ACCESS_KEY_ID", "ASIAPERSON"), ("AWS_SESSION_TOKEN", "session")])
            .kill_on_drop(true)
            .output()
            .await
    };
    let asked = program(&[]).await?;
    let told = String::from_utf8(asked.stdout)?;
    assert_eq!(asked.status.code(), Some(2), "{told}");
    let all = PROBES.len();
    for words in [
        "  NOT ASKED   GetFederationToken was refused (Cannot call GetFederationToken with session",
        &format!("0 of {all} probes answered, 0 differences\ncondition-keys: not asked: "),
        "--role",
    ] {
        assert!(told.contains(words), "{words:?} is not in {told}");
    }
    let asked = program(&["--role", "arn:aws:iam::123456789012:role/tester"]).await?;
    let told = String::from_utf8(asked.stdout)?;
    assert_eq!(asked.status.code(), Some(0), "{told}");
    assert!(told.contains(&format!("1 of {all} probes answered, 0 differences")), "{told}");
    assert_eq!(cloud.inspect(remains), Vec::<String>::new());
    cloud.shutdown().await;
    Ok(())
}

#[tokio::test]
async fn what_was_made_is_removed_when_it_is_interrupted_and_by_name_when_it_was_killed()
-> Result<(), Failure> {
    let cloud = cloud(|_| {}).await?;
    let in_service = |world: &World| {
        let mut members = world.groups().flat_map(|group| group.members.values());
        members.any(|member| member.state.as_str() == "InService").then_some(())
    };
    for signal in ["INT", "KILL"] {
        let asking = program(&cloud, &["--probe", "several-hooks", "--yes"]).spawn()?;
        cloud.wait_for(LIMIT, || cloud.inspect(in_service)).await?;
        let id = asking.id().ok_or("it has ended")?.to_string();
        Command::new("kill").args([format!("-{signal}"), id]).status().await?;
        let ended = asking.wait_with_output().await?;
        let told = String::from_utf8(ended.stdout)?;
        if signal == "KILL" {
            assert_ne!(cloud.inspect(remains), Vec::<String>::new());
            let name =
                told.split("--clean-up ").nth(1).and_then(|rest| rest.split_whitespace().next());
            let name = name.ok_or("the run's name was not told")?;
            let cleaned = program(&cloud, &["--clean-up", name]).output().await?;
            assert_eq!(cleaned.status.code(), Some(0), "{cleaned:?}");
        } else {
            assert_eq!(ended.status.code(), Some(2), "{told}");
            assert!(told.contains("is left."), "{told}");
        }
        assert_eq!(cloud.inspect(remains), Vec::<String>::new(), "after {signal}");
    }
    cloud.shutdown().await;
    Ok(())
}
