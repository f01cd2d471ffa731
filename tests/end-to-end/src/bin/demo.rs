//! The demo: a group of three loses a node and gets it back with the same volume, through the real function binaries,
//! real AWS SDK calls and real lifecycle events, on the embedded local cloud. Then the harder case: all three in one
//! zone, a node that takes a minute to stop, and a policy that would create an empty volume if nothing were coming.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::ExitCode;
use std::time::Duration;

use end_to_end::timeline::{Timeline, print};
use end_to_end::{Account, Failure, Held, Member, binary, holders};
use local_cloud::cloud::{Cloud, LIFECYCLE, Options, RECONCILE, TooLate};
use local_cloud::world::{Config, Span, Timings, World};

const GROUP: &str = "cassandra";
const POLICY: &str = r#"{"pool":"cassandra"}"#;
/// Ten times as fast as EC2: an instance that takes 40 s to stop takes 4 s here.
const SPEED: f64 = 10.0;
/// How long the failed instance takes to stop in the second act.
const SLOW_STOP: Duration = Duration::from_mins(1);
const LIMIT: Duration = Duration::from_mins(2);

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "demo: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run() -> Result<bool, Failure> {
    let first = Act {
        title: format!(
            "Act one: an Auto Scaling group of three, one instance a zone, and a pool of three volumes\n\
             (the local cloud runs {SPEED} times as fast as EC2; lines with > are the functions' decisions and their reasons,\n\
             as the log line of each invocation gives them at its end)"
        ),
        zones: &["eu-central-1a", "eu-central-1b", "eu-central-1c"],
        world: Config { speed: SPEED, seed: 3, ..Config::default() },
    };
    let stop = Span::exactly(SLOW_STOP);
    let second = Act {
        title: format!(
            "Act two: the same in one zone, and the instance that fails takes {} s to stop: its replacement is there long\n\
             before it lets go. The policy may create volumes, and must not: the old one is coming back",
            SLOW_STOP.as_secs()
        ),
        zones: &["eu-central-1a"],
        world: Config {
            speed: SPEED,
            seed: 4,
            timings: Timings { stop, ..Timings::default() },
            ..Config::default()
        },
    };
    Ok(play(first).await? && play(second).await?)
}

/// A group of three that loses an instance.
struct Act {
    title: String,
    zones: &'static [&'static str],
    world: Config,
}

async fn play(act: Act) -> Result<bool, Failure> {
    let options = Options {
        lifecycle: Some(binary(LIFECYCLE)?),
        reconcile: Some(binary(RECONCILE)?),
        world: act.world.clone(),
        ..Options::default()
    };
    let cloud = Cloud::start(options).await?;
    let account = Account::at(&cloud.env()).await;
    let mut timeline = Timeline::new(cloud.subscribe(), cloud.inspect(World::now));
    let verdict = story(&act, &cloud, &account, &mut timeline).await;
    cloud.shutdown().await;
    verdict
}

async fn story(
    act: &Act,
    cloud: &Cloud,
    account: &Account,
    timeline: &mut Timeline,
) -> Result<bool, Failure> {
    timeline.heading(&act.title);
    for zone in act.zones.iter().cycle().take(3) {
        account.tagged_volume("cassandra", zone).await?;
    }
    account.stateful_group(GROUP, 3, act.zones, POLICY).await?;
    wait(cloud, timeline, |world| in_service(world).len() == 3).await?;
    let before = picture(account).await?;

    let Some(failed) = before.0.first().map(|member| member.instance.clone()) else {
        return Ok(false);
    };
    timeline.heading(&format!("The instance {failed} fails"));
    cloud.with_world(|world| world.fail_instance(&failed))?;
    wait(cloud, timeline, |world| {
        let serving = in_service(world);
        serving.len() == 3 && !serving.contains(&failed)
    })
    .await?;
    let after = picture(account).await?;

    timeline.heading("Before and after");
    print(&table(&before, &after));
    let moved = before.1.iter().find(|held| held.instance.as_deref() == Some(&*failed));
    if let Some(moved) = moved.and_then(|held| timeline.hand_over(&held.volume)) {
        print(&moved);
    }
    let kept = before.1.iter().all(|held| {
        after
            .1
            .iter()
            .any(|now| now.volume == held.volume && now.slot == held.slot && now.instance.is_some())
    });
    let same_volumes = before.1.len() == after.1.len();
    let elsewhere = holders(&after.1).values().all(|instance| *instance != failed);
    let verdict = kept && same_volumes && elsewhere;
    print(if verdict {
        "\nEvery volume is back where it was, and none was created: the replacement holds the volume of the instance that failed.\n"
    } else {
        "\nNOT every volume is back where it was: see the table.\n"
    });
    Ok(verdict)
}

/// The group's instances and the pool's volumes.
async fn picture(account: &Account) -> Result<(Vec<Member>, Vec<Held>), Failure> {
    Ok((account.members(GROUP).await?, account.pool("cassandra").await?))
}

fn in_service(world: &World) -> Vec<String> {
    let members = world.group(GROUP).map(|group| group.members.clone()).unwrap_or_default();
    members
        .into_values()
        .filter(|member| member.state.as_str() == "InService")
        .map(|member| member.instance)
        .collect()
}

/// Shows what happens until `done`.
async fn wait(
    cloud: &Cloud,
    timeline: &mut Timeline,
    done: impl Fn(&World) -> bool,
) -> Result<(), Failure> {
    let waited = cloud
        .wait_for(LIMIT, || {
            cloud.inspect(|world| timeline.show(world));
            cloud.inspect(&done).then_some(())
        })
        .await;
    waited.map_err(|TooLate(limit)| {
        format!("the group did not come into service within {limit:?}").into()
    })
}

fn table(before: &(Vec<Member>, Vec<Held>), after: &(Vec<Member>, Vec<Held>)) -> String {
    let mut text = format!(
        "  {:<15}{:<13}{:<23}{:<21}{:<21}\n",
        "zone", "slot", "volume", "held by, before", "held by, after"
    );
    for held in &before.1 {
        let now = after.1.iter().find(|now| now.volume == held.volume);
        let _ = writeln!(
            text,
            "  {:<15}{:<13}{:<23}{:<21}{:<21}",
            held.zone,
            held.slot.as_deref().unwrap_or("-"),
            held.volume,
            held.instance.as_deref().unwrap_or("-"),
            now.and_then(|now| now.instance.as_deref()).unwrap_or("nobody"),
        );
    }
    text
}
