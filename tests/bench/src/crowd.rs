//! Many launches at once onto as many free slots of one zone: with the real functions over a real DynamoDB, whose
//! conditions decide who gets which; and in virtual time with the request limits that EC2 documents.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use local_cloud::cloud::{Cloud, LIFECYCLE, Notice, Options, RECONCILE};
use local_cloud::stage::Stage;
use local_cloud::world::{Config, LifecycleState, World};
use scenarios::{BEGIN, LONG, ZONE, group, hooks, new_group, new_volume, tagged_volume};
use serde_json::Value;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;

use crate::counted::documented_limits;
use crate::figures::{Figures, Table, rounded};
use crate::{Cli, Failure};

const POLICY: &str = r#"{"pool":"cassandra"}"#;
/// What DynamoDB takes over a request within a region, and rather more.
const DYNAMODB_DELAY: Duration = Duration::from_millis(10);
/// How many times faster than AWS the cloud is: EC2's time is not what is measured.
const SPEED: f64 = 10.0;
const LIMIT: Duration = Duration::from_mins(8);

/// Up to a hundred all in flight, more of them with so many in flight.
const IN_FLIGHT: usize = 64;

/// Each number of launches that was asked for.
pub(crate) fn measure(cli: &Cli, table: &mut Table) -> Result<(), Failure> {
    for &launches in &cli.launches {
        let in_flight = if launches > 100 { IN_FLIGHT } else { launches as usize };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (leases, took) = runtime.block_on(launch(cli, launches, in_flight))?;
        let figures = Figures::new(leases.values().map(|count| f64::from(*count)));
        let what =
            format!("{launches} launches at once, {in_flight} in flight, lease transactions each");
        let [_, spread] = figures.shown("");
        let value =
            format!("{} on average, p99 {}", rounded(figures.mean()), rounded(figures.at(99)));
        let beside =
            format!("no slot twice; all in service after {} s", rounded(took.as_secs_f64()));
        table.line(&what, [value, spread], &beside, "1.5, p99 5");
    }
    throttled(table)
}

/// How many lease transactions each instance's launch took, and how long all of them took together.
async fn launch(
    cli: &Cli,
    launches: u32,
    in_flight: usize,
) -> Result<(BTreeMap<String, u32>, Duration), Failure> {
    let options = Options {
        lifecycle: Some(cli.functions.join(LIFECYCLE)),
        reconcile: Some(cli.functions.join(RECONCILE)),
        concurrency: in_flight,
        world: Config { speed: SPEED, ..Config::default() },
        dynamodb_delay: DYNAMODB_DELAY,
        ..Options::default()
    };
    let cloud = Cloud::start(options).await?;
    let lines = tokio::spawn(read_lines(cloud.subscribe()));
    let done = all_in_service(&cloud, launches).await;
    // What is told ends with the cloud, and with that the reader.
    cloud.shutdown().await;
    let leases = lines.await??;
    Ok((leases, done?))
}

async fn all_in_service(cloud: &Cloud, launches: u32) -> Result<Duration, Failure> {
    let tags = || BTreeMap::from([("stateful-asg:pool".to_owned(), "cassandra".to_owned())]);
    for _ in 0..launches {
        cloud.with_world(|world| new_volume(world, ZONE, tags()))?;
    }
    let began = Instant::now();
    cloud.with_world(|world| new_group(world, "cassandra", launches, ZONE, POLICY))?;
    let done = || cloud.inspect(|world| in_service(world) == launches as usize).then_some(());
    cloud.wait_for(LIMIT, done).await?;
    let took = began.elapsed();
    let holders: Vec<String> = cloud.inspect(|world| {
        let ours = world.volumes().filter(|it| it.tags.contains_key("stateful-asg:pool"));
        ours.flat_map(|it| it.attachments.iter().map(|it| it.instance.clone())).collect()
    });
    let distinct: BTreeSet<&String> = holders.iter().collect();
    if distinct.len() != launches as usize || holders.len() != distinct.len() {
        return Err(format!("{} volumes on {} instances", holders.len(), distinct.len()).into());
    }
    Ok(took)
}

fn in_service(world: &World) -> usize {
    let members = world.groups().flat_map(|group| group.members.values());
    members.filter(|member| member.state == LifecycleState::InService).count()
}

/// Counts the lease transactions in the functions' log lines, by instance.
async fn read_lines(mut notices: Receiver<Notice>) -> Result<BTreeMap<String, u32>, Failure> {
    let mut leases: BTreeMap<String, u32> = BTreeMap::new();
    loop {
        match notices.recv().await {
            Ok(Notice::Log(line)) => {
                let line: Value = serde_json::from_str(&line.text).unwrap_or_default();
                let field = |name: &str| line["fields"][name].as_str().unwrap_or_default();
                let made: u32 = field("steps").split("; ").map(leases_in).sum();
                if made > 0 {
                    *leases.entry(field("instance_id").to_owned()).or_default() += made;
                }
            }
            Ok(_) => {}
            Err(RecvError::Closed) => return Ok(leases),
            Err(RecvError::Lagged(missed)) => return Err(format!("{missed} lines missed").into()),
        }
    }
}

/// How many lease transactions a step of the log line stands for: `lease (why)`, or `lease x3 (why)`.
fn leases_in(step: &str) -> u32 {
    let Some(rest) = step.strip_prefix("lease ") else { return 0 };
    rest.strip_prefix('x').and_then(|times| times.split(' ').next()?.parse().ok()).unwrap_or(1)
}

/// The same with EC2's documented limits, in virtual time, with as many functions as there are launches.
fn throttled(table: &mut Table) -> Result<(), Failure> {
    let launches = 100;
    let config = Config { throttling: Some(documented_limits()), ..Config::default() };
    let mut stage = Stage::new(config, BEGIN);
    stage.call_millis = (20, 20);
    for _ in 0..launches {
        tagged_volume(&stage, ZONE, &[])?;
    }
    stage.run_for(Duration::from_secs(10))?;
    let began = stage.cloud.world().now();
    group(&stage, "cassandra", launches, &[ZONE], hooks(Some(POLICY)))?;
    stage.run_until(LONG, |stage| stage.volumes_in_service().len() == launches as usize)?;
    let took = stage.cloud.world().now().since(began);
    let what = format!("{launches} launches at once within EC2's request limits, virtual time");
    let value = format!("{} s until all are in service", rounded(took.as_secs_f64()));
    // 50 AttachVolume at once, then 5 a second.
    let beside = format!("AttachVolume alone: {} s", rounded((f64::from(launches) - 50.0) / 5.0));
    table.line(&what, [value, "no action timed out".to_owned()], &beside, "no action lost");
    Ok(())
}
