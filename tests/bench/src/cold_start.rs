//! The release binary from the start of its process to the first poll of the Runtime API, and on to the end of a first
//! launch; beside it a Python handler with boto3 that does the same in the way of the field's tools.
//!
//! EC2 takes no time here, so what is measured is the process itself. The volume is tagged and in no slot yet: the first
//! launch of a pool, which takes more steps than any other.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use local_cloud::cloud::{Cloud, Options};
use local_cloud::world::{Config, Span, Timings, Workload, World};
use scenarios::{ZONE, new_group, new_volume};
use serde_json::Value;

use crate::figures::{Figures, Table, rounded};
use crate::runtime_api::{Start, start};
use crate::{Cli, Failure};

/// A part of what was measured of a start.
type Part = fn(&Start) -> f64;

const MIB: f64 = 1_048_576.0;

/// Measures both, by turns.
pub(crate) fn measure(cli: &Cli, table: &mut Table) -> Result<(), Failure> {
    let lifecycle = cli.functions.join("lifecycle");
    let handler = concat!(env!("CARGO_MANIFEST_DIR"), "/python/handler.py");
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let options = Options { schedule: None, world: config(), ..Options::default() };
        let cloud = Cloud::start(options).await?;
        let mut measured = Ok(());
        for run in 0..cli.runs {
            measured = one_run(&cloud, run, &Command::new(&lifecycle), &mut ours).await;
            if let (Ok(()), Some(python)) = (&measured, &cli.python) {
                let mut command = Command::new(python);
                command.arg(handler);
                measured = one_run(&cloud, cli.runs + run, &command, &mut theirs).await;
            }
            if measured.is_err() {
                break;
            }
        }
        cloud.shutdown().await;
        measured
    })?;
    let parts: [(&str, Part, &str, &str); 3] = [
        (
            "cold start to the first poll",
            |it| millis(it.first_poll),
            "ms",
            "10 ms, 30 times faster",
        ),
        ("and on to the end of a first launch", |it| millis(it.first_event), "ms", ""),
        ("peak memory after it", |it| bytes(it.peak) / MIB, "MiB", "20 MB"),
    ];
    for (what, part, unit, aim) in parts {
        let figures = Figures::new(ours.iter().map(part));
        let beside = if theirs.is_empty() {
            String::new()
        } else {
            let python = Figures::new(theirs.iter().map(part));
            let [median, spread] = python.shown(unit);
            format!(
                "Python with boto3 {median} ({spread}): {} times",
                rounded(figures.ratio(&python))
            )
        };
        table.line(what, figures.shown(unit), &beside, aim);
    }
    let logged =
        Figures::new(ours.iter().filter_map(|it| Some(f64::from(u32::try_from(it.logged).ok()?))));
    table.line("log of that launch", logged.shown("bytes"), "", "");
    sizes(cli, &lifecycle, table)
}

/// How large the binary is, and the zip for Lambda where it was built.
fn sizes(cli: &Cli, lifecycle: &Path, table: &mut Table) -> Result<(), Failure> {
    let zip = cli.zips.join("lifecycle/bootstrap.zip");
    for (what, path, aim) in
        [("binary", lifecycle, ""), ("zip for Lambda, arm64", zip.as_path(), "3.5 MB")]
    {
        let value = match path.metadata() {
            Ok(metadata) => format!("{} MB", rounded(bytes(metadata.len()) / 1e6)),
            Err(_) if !aim.is_empty() => "not built".to_owned(),
            Err(error) => return Err(format!("{}: {error}", path.display()).into()),
        };
        table.line(what, [value, String::new()], "", aim);
    }
    Ok(())
}

/// Has a new instance wait for a new volume, and the process answer its event.
async fn one_run(
    cloud: &Cloud,
    run: usize,
    command: &Command,
    starts: &mut Vec<Start>,
) -> Result<(), Failure> {
    let group = format!("cold-{run}");
    let tags = BTreeMap::from([("stateful-asg:pool".to_owned(), group.clone())]);
    cloud.with_world(|world| new_volume(world, ZONE, tags))?;
    let policy = format!(r#"{{"pool":"{group}"}}"#);
    cloud.with_world(|world| new_group(world, &group, 1, ZONE, &policy))?;
    let event = cloud.wait_for(Duration::from_secs(30), || launch_of(cloud, &group)).await?;
    let mut command = with_environment(command, cloud);
    starts.push(tokio::task::spawn_blocking(move || start(&mut command, &event)).await??);
    let served = |world: &World| {
        world.group(&group).is_ok_and(|group| {
            group.members.values().all(|member| !member.state.as_str().contains("Wait"))
        })
    };
    if cloud.inspect(served) { Ok(()) } else { Err(format!("{group} was not answered").into()) }
}

/// The event of the group's launch.
fn launch_of(cloud: &Cloud, group: &str) -> Option<Value> {
    cloud.events().into_iter().map(|event| event.body).find(|body| {
        body["detail"]["AutoScalingGroupName"] == group
            && body["detail"]["LifecycleHookName"].is_string()
    })
}

fn with_environment(command: &Command, cloud: &Cloud) -> Command {
    let mut fresh = Command::new(command.get_program());
    fresh.args(command.get_args()).env_clear().envs(cloud.env()).envs([
        ("AWS_LAMBDA_FUNCTION_NAME", "bench"),
        ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
        ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "256"),
        ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
        ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
        ("PATH", "/usr/local/bin:/usr/bin:/bin"),
    ]);
    fresh
}

/// A world in which nothing takes time.
fn config() -> Config {
    let zero = Span::exactly(Duration::ZERO);
    let timings = Timings {
        create_volume: zero,
        attach: zero,
        start: zero,
        scaling: zero,
        lifecycle_step: zero,
        ..Timings::default()
    };
    Config { timings, workload: Workload::Idle, ..Config::default() }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn bytes(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
