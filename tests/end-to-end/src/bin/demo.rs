//! The demo: a group of three loses a node and gets it back with the same volume, through the real function binaries,
//! real AWS SDK calls and real lifecycle events, on the embedded local cloud. Then the harder case: all three in one
//! zone, a node that takes a minute to stop, and a policy that would create an empty volume if nothing were coming.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use end_to_end::{Account, Failure, Held, Member, binary, holders};
use local_cloud::cloud::{Cloud, LIFECYCLE, LogLine, Notice, Options, RECONCILE, TooLate};
use local_cloud::world::{Config, Happening, Span, Timings, World};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;
use volume_pool::Timestamp;

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

/// What happens, a line each: time, instance, slot, volume, what and why.
struct Timeline {
    notices: broadcast::Receiver<Notice>,
    began: Timestamp,
    slots: BTreeMap<String, String>,
    shown: Vec<Happening>,
    colours: bool,
}

impl Timeline {
    fn new(notices: broadcast::Receiver<Notice>, began: Timestamp) -> Self {
        let colours = std::io::stdout().is_terminal();
        Self { notices, began, slots: BTreeMap::new(), shown: Vec::new(), colours }
    }

    fn heading(&self, text: &str) {
        let (bold, plain) = if self.colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        print(&format!("\n{bold}{text}{plain}\n"));
    }

    /// Shows what has happened since the last look.
    fn show(&mut self, world: &World) {
        loop {
            match self.notices.try_recv() {
                Ok(Notice::Happening(happening)) => {
                    self.happening(&happening, world);
                    self.shown.push(happening);
                }
                Ok(Notice::Log(line)) => self.function(&line),
                Ok(Notice::Invocation(_) | Notice::DeadLetter(_) | Notice::Event(_))
                | Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// What AWS does.
    fn happening(&mut self, happening: &Happening, world: &World) {
        const QUIET: [&str; 6] = [
            "is being created",
            "is pending",
            "is launched",
            "has mounted",
            "is answered",
            "wants",
        ];
        if QUIET.iter().any(|quiet| happening.text.contains(quiet)) {
            return;
        }
        let volume = happening.subject.volume.as_deref();
        // Root volumes come and go with their instances.
        let tags = volume.and_then(|volume| world.volume(volume).ok()).map(|volume| &volume.tags);
        if volume.is_some() && !tags.is_some_and(|tags| tags.contains_key("stateful-asg:pool")) {
            return;
        }
        let tagged = tags.and_then(|tags| tags.get("stateful-asg:slot")).cloned();
        let instance = happening.subject.instance.as_deref();
        let slot =
            tagged.or_else(|| instance.and_then(|instance| self.slots.get(instance)).cloned());
        let text = shorten(&happening.text);
        self.line(happening.at, "aws", instance, slot.as_deref(), volume, &text);
    }

    /// What it took from this volume's last detachment until its next instance was in service, if all that was shown.
    fn hand_over(&self, volume: &str) -> Option<String> {
        let of_volume = |happening: &Happening| happening.subject.volume.as_deref() == Some(volume);
        let free_at = self.shown.iter().rposition(|happening| {
            of_volume(happening) && happening.text.contains("is no longer attached")
        })?;
        let since = self.shown.get(free_at..)?;
        let attaching = since.iter().find(|happening| {
            of_volume(happening) && happening.text.contains("is being attached")
        })?;
        let attached = since
            .iter()
            .find(|happening| of_volume(happening) && happening.text.contains("is attached"))?;
        let serving = since.iter().find(|happening| {
            happening.subject.instance == attached.subject.instance
                && happening.text.contains("is InService")
        })?;
        let seconds = |from: &Happening, to: &Happening| to.at.since(from.at).as_secs_f64();
        Some(format!(
            "\n{} came free; {:.2} s later AttachVolume was called, EC2 took {:.2} s to attach it, and {:.2} s after that the\n\
             replacement was in service. (The functions' own time is this machine's; only EC2's is sped up.)\n",
            short(volume),
            seconds(since.first()?, attaching),
            seconds(attaching, attached),
            seconds(attached, serving),
        ))
    }

    /// What a function decided and did, from its own log line.
    fn function(&mut self, line: &LogLine) {
        let Ok(entry) = serde_json::from_str::<serde_json::Value>(&line.text) else {
            return;
        };
        let field = |name: &str| entry["fields"][name].as_str().filter(|text| !text.is_empty());
        if let Some(alarm) = field("alarm") {
            let text = format!("ALARM {alarm}: {}", field("problem").unwrap_or_default());
            self.line(line.at, "us", field("instance_id"), None, None, &text);
        }
        let (Some(instance), Some(steps)) = (field("instance_id"), field("steps")) else {
            return;
        };
        let slot = field("slot");
        if let Some(slot) = slot {
            self.slots.insert(instance.to_owned(), slot.to_owned());
        }
        for step in steps.split("); ") {
            let Some((step, reason)) = step.split_once(" (") else {
                continue;
            };
            let quiet = ["look", "poll", "read", "rest, settled", "ec2:CreateTags"];
            if quiet.iter().any(|quiet| step.starts_with(quiet)) {
                continue;
            }
            let step = step.split_once(':').map_or(step, |(_, call)| call);
            let reason = reason.trim_end_matches(')');
            self.line(
                line.at,
                "us",
                Some(instance),
                slot,
                None,
                &shorten(&format!("> {step}: {reason}")),
            );
        }
    }

    fn line(
        &self,
        at: Timestamp,
        who: &str,
        instance: Option<&str>,
        slot: Option<&str>,
        volume: Option<&str>,
        text: &str,
    ) {
        let seconds = at.since(self.began).as_secs_f64();
        let (colour, plain) = match (self.colours, who) {
            (true, "us") => ("\x1b[36m", "\x1b[0m"),
            _ => ("", ""),
        };
        print(&format!(
            "{colour}{seconds:6.1} s  {:<9}{:<13}{:<11}{text}{plain}\n",
            instance.map(short).unwrap_or_default(),
            slot.unwrap_or_default(),
            volume.map(short).unwrap_or_default(),
        ));
    }
}

/// Ids by their last four digits: enough to tell them apart, and a line stays a line.
fn short(id: &str) -> String {
    let kind = id.split('-').next().unwrap_or_default();
    let digits = id.char_indices().nth_back(3).map_or(id, |(at, _)| &id[at..]);
    format!("{kind}-..{digits}")
}

fn shorten(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let id = word.trim_end_matches([',', ':', '.', ';']);
        let rest = &word[id.len()..];
        let is_id = (id.starts_with("i-") || id.starts_with("vol-")) && id.len() > 12;
        if is_id { format!("{}{rest}", short(id)) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

fn print(text: &str) {
    // Whoever closed the other end of a pipe does not want to read on.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
