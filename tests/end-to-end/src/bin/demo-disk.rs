//! The demo of the whole path, over real disks: local-cloud's volumes are image files, the function binaries move them, and the
//! instance's side mounts them on instances that are process trees of this machine. An instance's power fails, and its replacement's
//! workload reads what was written before; an instance goes in good order, and the next one goes on where it stopped; and a disk that is
//! not what it was is refused, and not changed.
//!
//! With `--boot` an instance is a system that boots, in which systemd runs the very units: power fails, and the replacement reads what was
//! written; then its end is announced, and its volume is taken away from it while it runs.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use end_to_end::host::{Host, Line, MadeOf, shell};
use end_to_end::timeline::{Timeline, print};
use end_to_end::{Account, Failure, GroupPlan, Held, binary};
use local_cloud::cloud::{Cloud, LIFECYCLE, Notice, Options, RECONCILE};
use local_cloud::world::{Config, Span, Timings, Workload, World};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{broadcast, mpsc};
use tokio::time::{sleep, timeout};

const GROUP: &str = "cassandra";
/// An instance powers itself off once it has let go; one that can't is ended after ten seconds.
const POWERS_OFF: &str = r#"{"pool":"cassandra","leave":{"mode":"guest","seconds":10},"volumes":[{"name":"data","device":"/dev/sdf","template":{"type":"gp3","sizeGiB":1}}]}"#;
/// An instance has its volume taken away while it runs, once its units have let go of it.
const RUNS_ON: &str = r#"{"pool":"cassandra","leave":{"mode":"detach","seconds":30},"volumes":[{"name":"data","device":"/dev/sdf","template":{"type":"gp3","sizeGiB":1}}]}"#;
const ZONES: [&str; 2] = ["eu-central-1a", "eu-central-1b"];
/// Ten times as fast as EC2; what happens on the instances takes its own time.
const SPEED: f64 = 10.0;
const LIMIT: Duration = Duration::from_mins(3);
/// How often the instances are looked at, which change without the cloud's doing.
const LOOK: Duration = Duration::from_millis(100);

/// Over real disks: data is written, power fails, and the replacement reads it.
#[derive(Debug, Parser)]
struct Arguments {
    /// Boot each instance from the system in this directory (`make demo-boot` makes it), instead of playing it by processes.
    #[arg(long, value_name = "DIR")]
    boot: Option<PathBuf>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(Arguments::parse()).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(problem) => {
            let _ = writeln!(std::io::stderr(), "demo-disk: {problem}");
            ExitCode::FAILURE
        }
    }
}

async fn run(Arguments { boot }: Arguments) -> Result<(), Failure> {
    // A system that boots sees its own directory only.
    let place = boot.clone().unwrap_or_else(std::env::temp_dir);
    let directory = place.join(format!("stateful-asg-demo-{}", std::process::id()));
    let made_of = boot.map_or(MadeOf::Processes, MadeOf::System);
    // Whoever interrupts it leaves no disk behind.
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let played = tokio::select! {
        played = play(&directory, made_of) => played,
        _ = interrupt.recv() => Err("interrupted".into()),
        _ = terminate.recv() => Err("terminated".into()),
    };
    if directory.exists() {
        std::fs::remove_dir_all(&directory)?;
    }
    played
}

async fn play(directory: &Path, made_of: MadeOf) -> Result<(), Failure> {
    let (host, lines) = Host::start(directory, made_of.clone()).await?;
    let options = Options {
        lifecycle: Some(binary(LIFECYCLE)?),
        reconcile: Some(binary(RECONCILE)?),
        images: Some(host.images()),
        world: Config {
            speed: SPEED,
            seed: 6,
            // What is mounted, and how long a stop takes, is up to the instances here.
            workload: Workload::Idle,
            timings: Timings { stop: Span::millis(500, 1_000), ..Timings::default() },
            ..Config::default()
        },
        ..Options::default()
    };
    let cloud = Cloud::start(options).await?;
    let account = Account::at(&cloud.env()).await;
    let timeline = Timeline::new(cloud.subscribe(), cloud.inspect(World::now));
    let changes = cloud.subscribe();
    let mut story = Story { cloud, account, host, timeline, changes, lines, said: Vec::new() };
    let told = match made_of {
        MadeOf::Processes => story.of_processes().await,
        MadeOf::System(_) => story.of_systems().await,
    };
    if told.is_err() {
        story.print_last_lines();
    }
    story.host.shutdown().await?;
    story.cloud.shutdown().await;
    told
}

struct Story {
    cloud: Cloud,
    account: Account,
    host: Host,
    timeline: Timeline,
    changes: broadcast::Receiver<Notice>,
    lines: mpsc::UnboundedReceiver<Line>,
    said: Vec<Line>,
}

impl Story {
    async fn of_processes(&mut self) -> Result<(), Failure> {
        self.timeline.heading(&format!(
            "A group of two in two zones, and no volume yet. (The local cloud runs {SPEED} times as fast as EC2; lines with > are the functions'\n\
             decisions, lines with | what an instance says: a process tree with mounts of its own, whose disks are image files)"
        ));
        self.begin(&ZONES, POWERS_OFF).await?;
        self.power_cut().await?;
        self.scaled_in_and_out().await?;
        self.garbage().await?;
        print(
            "\nNo line was lost, and nothing was changed on the disk that was not what it was.\n",
        );
        Ok(())
    }

    async fn of_systems(&mut self) -> Result<(), Failure> {
        self.timeline.heading(&format!(
            "A group of one, and no volume yet. (The local cloud runs {SPEED} times as fast as EC2; lines with > are the functions' decisions, lines\n\
             with | what an instance says: a Debian system that boots, which takes its time, with the units of infra/instance in it)"
        ));
        self.begin(&ZONES[..1], RUNS_ON).await?;
        self.power_cut().await?;
        self.announced().await?;
        print("\nNo line was lost.\n");
        Ok(())
    }

    /// A group of one in each of these zones comes up, on volumes that did not exist before.
    async fn begin(&mut self, zones: &[&str], policy: &str) -> Result<(), Failure> {
        let plan = GroupPlan {
            name: GROUP,
            size: i32::try_from(zones.len())?,
            zones,
            metadata: Some(policy),
            heartbeat_seconds: 300,
        };
        self.account.create_group(&plan).await?;
        let all = zones.len();
        self.until("workloads that have written", |it| it.workloads().len() == all).await?;
        for instance in self.in_service() {
            self.found(&instance, "nothing")?;
            let formatted = self.says(&instance, "may be formatted: mkfs.ext4");
            ensure(formatted, || format!("{instance} did not say that it formats"))?;
        }
        Ok(())
    }

    /// An instance ends without a chance to let go of anything.
    async fn power_cut(&mut self) -> Result<(), Failure> {
        let victim = self.in_service().into_iter().next().ok_or("nobody is in service")?;
        self.timeline
            .heading(&format!("Act one: the power of {victim} fails, in the middle of its work"));
        let volume = self.held_by(&victim).await?.volume;
        self.host.cut(&self.cloud, &victim).await?;
        self.cloud.with_world(|world| world.fail_instance(&victim))?;
        let replacement = self.successor(std::slice::from_ref(&victim)).await?;
        self.until("the replacement's workload", |it| it.workloads().contains(&replacement))
            .await?;
        self.found(&replacement, &format!("written on {victim}"))?;
        let formatted = self.says(&replacement, "mkfs");
        ensure(!formatted, || format!("{replacement} has formatted {volume}"))?;
        self.holds(&replacement, &volume).await?;
        print(&format!("\n{replacement} has read what was written on {victim}, from {volume}.\n"));
        Ok(())
    }

    /// The end of an instance that runs is announced: its units let go of its volume, and it is taken away from it.
    async fn announced(&mut self) -> Result<(), Failure> {
        self.timeline.heading("Act two: the group shrinks to none, in good order");
        let (leaver, volume) = self.shrink(0).await?;
        let image = self.host.image(&volume);
        self.ensure_unmounted(&leaver, &volume).await?;
        let log =
            shell(&format!("debugfs -R 'cat db/log' {} 2>/dev/null", image.display())).await?;
        let log = log.replace('\n', ", ");
        let mut expected = self.lines_of(&leaver)?;
        expected.extend([format!("written on {leaver}"), format!("stopped on {leaver}")]);
        let expected = expected.join(", ");
        ensure(log == expected, || format!("{volume} holds {log:?}, and not {expected:?}"))?;
        print(&format!("\n{volume} holds: {log}\n"));
        Ok(())
    }

    /// The group shrinks and grows again.
    async fn scaled_in_and_out(&mut self) -> Result<(), Failure> {
        self.timeline.heading("Act two: the group shrinks to one, in good order, and grows again");
        let (leaver, volume) = self.shrink(1).await?;
        self.ensure_unmounted(&leaver, &volume).await?;
        let before = self.lines_of(&leaver)?;
        let newcomer = self.grow().await?;
        self.until("the newcomer's workload", |it| it.workloads().contains(&newcomer)).await?;
        let mut expected = before;
        expected.extend([format!("written on {leaver}"), format!("stopped on {leaver}")]);
        self.found(&newcomer, &expected.join(", "))?;
        self.holds(&newcomer, &volume).await?;
        print(&format!(
            "\n{newcomer} goes on where {leaver} stopped: its workload was stopped, and {volume} unmounted, before it was detached.\n"
        ));
        Ok(())
    }

    /// What lies on a volume is not what was there.
    async fn garbage(&mut self) -> Result<(), Failure> {
        self.timeline.heading(
            "Act three: while its volume is free, somebody writes over the beginning of it; the next instance has to leave it as it is",
        );
        let (_, volume) = self.shrink(1).await?;
        let image = self.host.image(&volume);
        let image = image.display();
        shell(&format!(
            "tr '\\0' 'x' </dev/zero | dd of={image} bs=64k count=1 iflag=fullblock conv=notrunc status=none"
        ))
        .await?;
        let before = shell(&format!("sha256sum <{image} | cut -d ' ' -f 1")).await?;
        let newcomer = self.grow().await?;
        self.until("its refusal", |story| story.says(&newcomer, "the workload does not start"))
            .await?;
        self.holds(&newcomer, &volume).await?;
        let refused = self.says(&newcomer, "is not mounted, and nothing was changed on it");
        ensure(refused, || format!("{newcomer} did not refuse {volume}"))?;
        let started = self.workloads().contains(&newcomer);
        ensure(!started, || format!("the workload of {newcomer} has started"))?;
        let after = shell(&format!("sha256sum <{image} | cut -d ' ' -f 1")).await?;
        ensure(before == after, || format!("{volume} was changed: {before}, {after}"))?;
        print(&format!("\nEvery bit of {volume} is as it was: sha256 {after}\n"));
        Ok(())
    }

    /// Takes one instance off the group, which leaves so many, and gives it with its volume, once that is free.
    async fn shrink(&mut self, left: usize) -> Result<(String, String), Failure> {
        let before: BTreeSet<String> = self.in_service().into_iter().collect();
        let pool = self.account.pool(GROUP).await?;
        self.resize(i32::try_from(left)?).await?;
        self.until("an instance less", |story| {
            story.cloud.inspect(|world| world.group(GROUP).is_ok_and(|it| it.members.len() == left))
        })
        .await?;
        let after: BTreeSet<String> = self.in_service().into_iter().collect();
        let leaver = before.difference(&after).next().ok_or("nobody has left")?.clone();
        let held = pool.into_iter().find(|held| held.instance.as_ref() == Some(&leaver));
        let volume = held.ok_or_else(|| format!("{leaver} held no volume"))?.volume;
        Ok((leaver, volume))
    }

    /// An instance has let go of its volume by itself.
    async fn ensure_unmounted(&self, leaver: &str, volume: &str) -> Result<(), Failure> {
        let drained =
            self.says(leaver, "letting go of the volumes: Auto Scaling wants it Terminated");
        ensure(drained, || format!("{leaver} did not drain"))?;
        let image = self.host.image(volume);
        let header = shell(&format!("dumpe2fs -h {} 2>/dev/null", image.display())).await?;
        let recovery = header.contains("needs_recovery");
        ensure(!recovery, || format!("the filesystem on {volume} was not unmounted:\n{header}"))
    }

    /// Gives the group one instance more, and waits until it is in service.
    async fn grow(&mut self) -> Result<String, Failure> {
        let before = self.in_service();
        self.resize(2).await?;
        self.successor(&before).await
    }

    async fn resize(&self, size: i32) -> Result<(), Failure> {
        let call = self.account.auto_scaling.update_auto_scaling_group();
        call.auto_scaling_group_name(GROUP).desired_capacity(size).send().await?;
        Ok(())
    }

    /// Waits for two in service, and gives the one that is not among these and was not before.
    async fn successor(&mut self, known: &[String]) -> Result<String, Failure> {
        let old: BTreeSet<String> = self.in_service().into_iter().chain(known.to_vec()).collect();
        let new = |story: &Self| story.in_service().into_iter().find(|it| !old.contains(it));
        self.until("a new instance in service", |story| new(story).is_some()).await?;
        Ok(new(self).ok_or("it has gone again")?)
    }

    /// Does the host's part, and shows what happens, until this holds.
    async fn until(&mut self, what: &str, holds: impl Fn(&Self) -> bool) -> Result<(), Failure> {
        let waited = timeout(LIMIT, async {
            while !holds(self) {
                tokio::select! {
                    // Whatever it is, it is looked at below.
                    _ = self.changes.recv() => {}
                    () = sleep(LOOK) => {}
                }
                while self.changes.try_recv().is_ok() {}
                self.host.follow(&self.cloud).await?;
                self.show();
            }
            Ok(())
        });
        waited
            .await
            .map_err(|_| format!("waited for {what}, which did not come within {LIMIT:?}"))?
    }

    fn show(&mut self) {
        self.cloud.inspect(|world| self.timeline.show(world));
        while let Ok(line) = self.lines.try_recv() {
            if line.told {
                let now = self.cloud.with_world(|world| world.now());
                self.timeline.console(now, &line.instance, &line.text);
            }
            self.said.push(line);
        }
    }

    /// What the consoles said last, of which the story may have left the cause of its failure out.
    fn print_last_lines(&self) {
        const LAST: usize = 40;
        print("\nThe last lines of the consoles\n");
        for line in &self.said[self.said.len().saturating_sub(LAST)..] {
            print(&format!("  {} {}\n", line.instance, line.text));
        }
    }

    fn in_service(&self) -> Vec<String> {
        self.cloud.inspect(|world| {
            let members = world.group(GROUP).map(|it| it.members.clone()).unwrap_or_default();
            let serving = members.into_values().filter(|it| it.state.as_str() == "InService");
            serving.map(|it| it.instance).collect()
        })
    }

    /// The instances in service whose workload has started.
    fn workloads(&self) -> Vec<String> {
        let started = |it: &String| self.says(it, "and has written its own line");
        self.in_service().into_iter().filter(started).collect()
    }

    fn says(&self, instance: &str, words: &str) -> bool {
        self.said.iter().any(|line| line.instance == instance && line.text.contains(words))
    }

    /// What the workload of an instance found, a line each.
    fn lines_of(&self, instance: &str) -> Result<Vec<String>, Failure> {
        let mut said = self.said.iter().filter(|line| line.instance == instance);
        let found = said.find_map(|line| {
            let (_, found) = line.text.split_once(" has found: ")?;
            found.strip_suffix(", and has written its own line")
        });
        let found = found.ok_or_else(|| format!("the workload of {instance} found nothing"))?;
        let lines = found.split(", ").filter(|line| *line != "nothing");
        Ok(lines.map(str::to_owned).collect())
    }

    fn found(&self, instance: &str, expected: &str) -> Result<(), Failure> {
        let found = self.lines_of(instance)?.join(", ");
        let same = found == expected || (found.is_empty() && expected == "nothing");
        ensure(same, || format!("{instance} found {found:?}, and not {expected:?}"))
    }

    async fn held_by(&self, instance: &str) -> Result<Held, Failure> {
        let pool = self.account.pool(GROUP).await?;
        let held = pool.into_iter().find(|held| held.instance.as_deref() == Some(instance));
        held.ok_or_else(|| format!("{instance} has no volume").into())
    }

    async fn holds(&self, instance: &str, volume: &str) -> Result<(), Failure> {
        let held = self.held_by(instance).await?.volume;
        ensure(held == volume, || format!("{instance} has {held}, and not {volume}"))
    }
}

fn ensure(holds: bool, otherwise: impl FnOnce() -> String) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(otherwise().into()) }
}
