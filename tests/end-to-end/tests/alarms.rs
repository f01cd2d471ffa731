//! Every metric has a value and every alarm of `infra/watch.yaml` fires in some story, told by the real functions; and where
//! nothing is wrong every alarm is silent. The alarms are evaluated as CloudWatch does it (`infra::alarms`), over what the
//! functions wrote into their logs, in the cloud's own minutes.
//!
//! What SQS would count is put together as AWS documents it (Amazon SQS Developer Guide, "Available CloudWatch metrics for
//! Amazon SQS": `ApproximateNumberOfMessagesVisible`, each minute): events that Lambda gave up are those of local-cloud's
//! runtime; an event whose function is not there goes to its rule's queue at once (Amazon EventBridge User Guide, "Using
//! dead-letter queues to process undelivered events").

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::{FutureExt as _, LocalBoxFuture};
use futures_util::stream::{self, StreamExt as _};
use infra::alarms::{Alarm, Emitted, State, alarms};
use infra::template::load;
use local_cloud::cloud::{Fault, FaultAction, Options};
use local_cloud::embedded_metrics::{Datum, extract};
use local_cloud::world::{AttachmentState, World};
use volume_pool::Timestamp;
use volume_pool_aws::metrics::NAMES;

use shared::group::{POOL, ZONE, leaving_by, members};
use shared::trial::{LIMIT, Trial, options};
use shared::{Failure, ensure, problem, same};

/// A minute of this cloud is two seconds: long enough for a sweep also on a machine that has other things to do.
const SPEED: f64 = 30.0;
const MINUTE: Duration = Duration::from_mins(1);
/// How many stories are told at once.
const AT_ONCE: usize = 3;
/// How often a crowd is launched until one of it loses a race.
const CROWDS: usize = 12;
/// How long a wait or a release is too long here, by the parameters of the template: two minutes.
const SOON: [(&str, &str); 2] = [("LongestWaitSeconds", "120"), ("LongestReleaseSeconds", "120")];

/// A story, and the alarms that it makes fire.
struct Story {
    title: &'static str,
    fires: &'static [&'static str],
    /// Whether no other alarm may fire. Where something is wrong it may come to more in time, and where many functions share
    /// this machine's processors they may run out of theirs. In a crowd an event may meet another run at work on its instance
    /// at each of its tries, and fail: Lambda's waits between them are as short as the cloud is fast, and the runs are not.
    no_others: bool,
    parameters: &'static [(&'static str, &'static str)],
    options: fn() -> Result<Options, Failure>,
    tell: for<'a> fn(&'a Watch<'a>) -> LocalBoxFuture<'a, Result<(), Failure>>,
}

const STORIES: [Story; 9] = [
    Story {
        title: "an instance is replaced, and AWS throttles some calls",
        fires: &[],
        no_others: true,
        parameters: &[],
        options: watched,
        tell: |watch| an_ordinary_replacement(watch).boxed_local(),
    },
    Story {
        title: "the launch's event is lost, and a sweep finds it",
        fires: &[],
        no_others: true,
        parameters: &[],
        options: watched,
        tell: |watch| events_that_are_lost(watch).boxed_local(),
    },
    Story {
        title: "a crowd is launched at once",
        fires: &[],
        no_others: false,
        parameters: &[],
        options: crowded,
        tell: |watch| a_crowd(watch).boxed_local(),
    },
    Story {
        title: "the policy of a group does not parse",
        fires: &["LaunchHeld", "PolicyRejected", "PersonNeeded"],
        no_others: false,
        parameters: &[],
        options: watched,
        tell: |watch| a_policy_that_does_not_parse(watch).boxed_local(),
    },
    Story {
        title: "more instances are launched than there are slots",
        fires: &["WaitTooLong", "LaunchAbandoned"],
        no_others: false,
        parameters: &SOON,
        options: watched,
        tell: |watch| a_launch_without_a_slot(watch).boxed_local(),
    },
    Story {
        title: "a volume does not come off",
        fires: &["ReleaseStuck"],
        no_others: false,
        parameters: &SOON,
        options: watched,
        tell: |watch| a_volume_that_does_not_come_off(watch).boxed_local(),
    },
    Story {
        title: "the volume of a free slot fails",
        fires: &["SlotQuarantined"],
        no_others: false,
        parameters: &[],
        options: patient,
        tell: |watch| a_volume_that_fails(watch).boxed_local(),
    },
    Story {
        title: "the schedule's events do not come",
        fires: &["ReconcileNotRunning"],
        no_others: false,
        parameters: &[],
        options: watched,
        tell: |watch| a_schedule_that_stands_still(watch).boxed_local(),
    },
    Story {
        title: "one function has no credentials, the other is not there",
        fires: &["EventsFailed", "EventsUndelivered"],
        no_others: false,
        parameters: &[],
        options: crippled,
        tell: |watch| functions_that_fail(watch).boxed_local(),
    },
];

#[tokio::test]
async fn every_metric_has_a_value_and_every_alarm_fires_in_a_story_and_is_silent_in_another()
-> Result<(), Failure> {
    let told = stream::iter(&STORIES).map(told).buffer_unordered(AT_ONCE);
    let told: Vec<Result<Told, Failure>> = told.collect().await;
    let (mut fired, mut measured) = (BTreeSet::new(), BTreeSet::new());
    for told in told {
        let told = told?;
        fired.extend(told.fired);
        measured.extend(told.measured);
    }
    let all = alarms(&load("watch.yaml")?, &[])?;
    same("alarms that fire", &fired, &all.into_iter().map(|alarm| alarm.name).collect())?;
    let all = NAMES.iter().map(|metric| metric.name.to_owned());
    same("metrics with a value", &measured, &all.collect())
}

/// What a story has shown.
struct Told {
    /// The alarms that it is for, which have fired.
    fired: BTreeSet<String>,
    /// The metrics that had a value.
    measured: BTreeSet<String>,
}

/// Tells a story.
async fn told(story: &Story) -> Result<Told, Failure> {
    let options = (story.options)()?;
    let reconcile_is_there = options.reconcile.is_some();
    let about = |failure: Failure| problem(format!("{}: {failure}", story.title));
    let template = load("watch.yaml")?;
    let alarms = alarms(&template, story.parameters).map_err(about)?;
    let told = Trial::tell(options, async |trial: &Trial| {
        let began = Cell::new(trial.cloud.inspect(World::now));
        let looked = Cell::new(0);
        let expected = story.fires;
        let watch = Watch { trial, alarms, expected, reconcile_is_there, began, looked };
        (story.tell)(&watch).await?;
        let expected: BTreeSet<String> = story.fires.iter().map(|it| (*it).to_owned()).collect();
        // This minute ends as it is now.
        let mut fired = watch.fired(watch.minutes() + 1)?;
        if !story.no_others {
            fired.retain(|name| expected.contains(name));
        }
        same("alarms that fire", &fired, &expected)?;
        let measured = watch.data()?.into_iter();
        let measured = measured.filter(|datum| datum.values.iter().any(|value| *value > 0.0));
        Ok(Told { fired, measured: measured.map(|datum| datum.name).collect() })
    });
    told.await.map_err(about)
}

/// Alarms that look at a cloud.
struct Watch<'a> {
    trial: &'a Trial,
    alarms: Vec<Alarm>,
    /// The alarms that the story is for.
    expected: &'static [&'static str],
    reconcile_is_there: bool,
    /// From when on they look.
    began: Cell<Timestamp>,
    /// The minute up to which they have looked already.
    looked: Cell<u32>,
}

impl Watch<'_> {
    /// Waits for the first sweep, and begins to look: the alarms are deployed last.
    async fn begin(&self) -> Result<(), Failure> {
        let swept = || {
            let data = self.data().ok()?.into_iter();
            data.filter(|datum| datum.name == "Sweeps").map(|datum| datum.at).min()
        };
        self.began.set(self.trial.cloud.wait_for(LIMIT, swept).await?);
        Ok(())
    }

    /// Waits until every alarm that the story is for has fired.
    async fn until_fired(&self) -> Result<(), Failure> {
        let all_fired = || {
            let minutes = self.minutes();
            // Only a minute that is over brings anything new.
            let news = self.looked.replace(minutes) < minutes;
            let fired = if news { self.fired(minutes).ok()? } else { return None };
            self.expected.iter().all(|name| fired.contains(*name)).then_some(())
        };
        if self.trial.cloud.wait_for(LIMIT, all_fired).await.is_ok() {
            return Ok(());
        }
        let minutes = self.minutes();
        let fired = self.fired(minutes)?;
        Err(problem(format!(
            "{:?} should fire, and only {fired:?} did within {minutes} minutes: {:?}",
            self.expected,
            self.emitted()?
        )))
    }

    /// The alarms that fired in one of so many minutes, or more than one.
    fn fired(&self, minutes: u32) -> Result<BTreeSet<String>, Failure> {
        let emitted = self.emitted()?;
        let until = MINUTE * minutes;
        let fired =
            self.alarms.iter().filter(|it| it.states(&emitted, until).contains(&State::Alarm));
        Ok(fired.map(|alarm| alarm.name.clone()).collect())
    }

    /// How many of the cloud's minutes are over.
    fn minutes(&self) -> u32 {
        let now = self.since_begin(self.trial.cloud.inspect(World::now));
        u32::try_from(now.as_secs() / 60).unwrap_or(u32::MAX)
    }

    /// The cloud's time, which goes faster than that of the functions.
    fn since_begin(&self, at: Timestamp) -> Duration {
        at.since(self.began.get()).mul_f64(SPEED)
    }

    /// Every value so far. A line that `CloudWatch` would drop fails the story.
    fn data(&self) -> Result<Vec<Datum>, Failure> {
        let mut data = Vec::new();
        for line in self.trial.lines()? {
            let found = extract(&line.text);
            data.extend(found.map_err(|why| problem(format!("{why}: {}", line.text)))?);
        }
        Ok(data)
    }

    /// What CloudWatch has got since the begin.
    fn emitted(&self) -> Result<Vec<Emitted>, Failure> {
        let mut emitted = Vec::new();
        for datum in self.data()?.into_iter().filter(|datum| datum.at >= self.began.get()) {
            // The functions measure in their own time.
            let unit = if datum.unit == "Count" { 1.0 } else { SPEED };
            emitted.extend(datum.values.iter().map(|value| Emitted {
                namespace: datum.namespace.clone(),
                metric: datum.name.clone(),
                dimensions: datum.dimensions.clone(),
                at: self.since_begin(datum.at),
                value: value * unit,
            }));
        }
        let failed = self.trial.cloud.dead_letters().into_iter().map(|letter| letter.at);
        let failed: Vec<Timestamp> = failed.collect();
        emitted.extend(self.in_queue("stateful-asg-failed", &failed));
        let scheduled = self.trial.cloud.events().into_iter();
        let scheduled = scheduled.filter(|event| event.detail_type == "Scheduled Event");
        let undelivered = scheduled.filter(|_| !self.reconcile_is_there).map(|event| event.at);
        let undelivered: Vec<Timestamp> = undelivered.collect();
        emitted.extend(self.in_queue("stateful-asg-undelivered", &undelivered));
        Ok(emitted)
    }

    /// What SQS shows of a queue that got messages at these times, and that nobody reads.
    fn in_queue(&self, name: &str, messages: &[Timestamp]) -> Vec<Emitted> {
        let minutes = 0..=self.minutes();
        let shown = minutes.filter_map(|minute| {
            let until = MINUTE * (minute + 1);
            let there = messages.iter().filter(|at| self.since_begin(**at) < until).count();
            let there = u32::try_from(there).ok().filter(|there| *there > 0)?;
            Some(Emitted {
                namespace: "AWS/SQS".to_owned(),
                metric: "ApproximateNumberOfMessagesVisible".to_owned(),
                dimensions: BTreeMap::from([("QueueName".to_owned(), name.to_owned())]),
                at: MINUTE * minute,
                value: f64::from(there),
            })
        });
        shown.collect()
    }

    /// Waits until the newest values of a metric are such.
    async fn until_measured(&self, metric: &str) -> Result<(), Failure> {
        let there = || {
            let data = self.data().ok()?.into_iter();
            data.filter(|datum| datum.name == metric)
                .any(|datum| datum.values.iter().any(|value| *value > 0.0))
                .then_some(())
        };
        let waited = self.trial.cloud.wait_for(LIMIT, there).await;
        waited.map_err(|_| problem(format!("waited in vain for a value of {metric}")))
    }
}

fn watched() -> Result<Options, Failure> {
    let mut options = options()?;
    options.world.speed = SPEED;
    Ok(options)
}

/// A closer look at a free slot takes twenty seconds, whatever the cloud's speed.
fn patient() -> Result<Options, Failure> {
    Ok(Options { timeout: Duration::from_mins(1), ..watched()? })
}

/// With a DynamoDB that takes as long as over a network.
fn crowded() -> Result<Options, Failure> {
    Ok(Options { dynamodb_delay: Duration::from_millis(10), ..patient()? })
}

/// The lifecycle function without credentials, and no reconcile.
fn crippled() -> Result<Options, Failure> {
    let mut options = shared::trial::without("credentials")?;
    options.world.speed = SPEED;
    options.reconcile = None;
    Ok(options)
}

fn throttled(operation: &str, status: u16, code: &str) -> Fault {
    let action = FaultAction::Refuse { status, code: code.to_owned() };
    Fault { function: None, operation: Some(operation.to_owned()), nth: 1, action }
}

async fn an_ordinary_replacement(watch: &Watch<'_>) -> Result<(), Failure> {
    watch.begin().await?;
    watch.trial.cloud.arm(throttled("AttachVolume", 503, "RequestLimitExceeded"));
    watch.trial.cloud.arm(throttled("TransactWriteItems", 400, "ThrottlingException"));
    watch.trial.stateful(&[ZONE], &leaving_by("stop")).await?;
    watch.trial.replace_one().await?;
    watch.until_measured("ReattachDuration").await
}

async fn events_that_are_lost(watch: &Watch<'_>) -> Result<(), Failure> {
    watch.begin().await?;
    watch.trial.cloud.lose_events(|event| event.detail_type.ends_with("Lifecycle Action"));
    watch.trial.stateful(&[ZONE], &leaving_by("stop")).await?;
    watch.until_measured("Healed").await
}

async fn a_crowd(watch: &Watch<'_>) -> Result<(), Failure> {
    let lost = || {
        let data = watch.data().unwrap_or_default();
        data.iter().any(|datum| datum.name == "LeaseRacesLost")
    };
    watch.begin().await?;
    watch.trial.stateful(&[ZONE; 8], &leaving_by("terminate")).await?;
    for _ in 0..CROWDS {
        if lost() {
            return Ok(());
        }
        let serving = watch.trial.cloud.inspect(shared::checks::serving);
        for instance in &serving {
            watch.trial.cloud.with_world(|world| world.fail_instance(instance))?;
        }
        let what = "the crowd to be replaced";
        watch
            .trial
            .wait(what, |world| {
                let now = shared::checks::serving(world);
                now.len() == serving.len() && !now.iter().any(|it| serving.contains(it))
            })
            .await?;
        watch.trial.settle().await?;
    }
    ensure(lost(), || format!("{CROWDS} crowds, and nobody lost a race for a slot"))
}

async fn a_policy_that_does_not_parse(watch: &Watch<'_>) -> Result<(), Failure> {
    watch.begin().await?;
    watch.trial.volumes(&[ZONE]).await?;
    watch.trial.group(1, &[ZONE], "pool=cassandra").await?;
    watch.until_fired().await
}

async fn a_launch_without_a_slot(watch: &Watch<'_>) -> Result<(), Failure> {
    watch.begin().await?;
    watch.trial.volumes(&[ZONE]).await?;
    // In seconds of the functions: six of the cloud's minutes.
    let policy =
        format!(r#"{{"pool":"{POOL}","whenEmpty":"wait","waitSeconds":12,"onTimeout":"abandon"}}"#);
    watch.trial.group(2, &[ZONE], &policy).await?;
    watch.until_fired().await
}

async fn a_volume_that_does_not_come_off(watch: &Watch<'_>) -> Result<(), Failure> {
    watch.begin().await?;
    let volume = watch.trial.volumes(&[ZONE]).await?.remove(0);
    watch.trial.group(1, &[ZONE], &leaving_by("detach")).await?;
    watch.trial.in_service(1, None).await?;
    watch.trial.cloud.with_world(|world| world.stick(&volume, AttachmentState::Detaching));
    watch.trial.fail_one()?;
    watch.until_fired().await
}

async fn a_volume_that_fails(watch: &Watch<'_>) -> Result<(), Failure> {
    watch.begin().await?;
    let volume = watch.trial.volumes(&[ZONE]).await?.remove(0);
    watch.trial.group(1, &[ZONE], &leaving_by("stop")).await?;
    watch.trial.in_service(1, None).await?;
    watch.trial.want(0).await?;
    watch.trial.wait("the instance to be gone", |world| members(world).is_empty()).await?;
    watch.until_measured("SlotsFree").await?;
    watch.trial.cloud.with_world(|world| world.fail_volume(&volume))?;
    watch.until_fired().await
}

async fn a_schedule_that_stands_still(watch: &Watch<'_>) -> Result<(), Failure> {
    watch.begin().await?;
    watch.trial.cloud.lose_events(|event| event.detail_type == "Scheduled Event");
    // By their events instances are replaced all the same; meanwhile the minutes pass.
    watch.trial.stateful(&[ZONE], &leaving_by("terminate")).await?;
    while !watch.fired(watch.minutes())?.contains("ReconcileNotRunning") {
        ensure(watch.minutes() < 60, || "an hour without a sweep, and no alarm".to_owned())?;
        watch.trial.replace_one().await?;
    }
    Ok(())
}

async fn functions_that_fail(watch: &Watch<'_>) -> Result<(), Failure> {
    watch.trial.volumes(&[ZONE]).await?;
    watch.trial.group(1, &[ZONE], &leaving_by("stop")).await?;
    let given_up = || (!watch.trial.cloud.dead_letters().is_empty()).then_some(());
    watch.trial.cloud.wait_for(LIMIT, given_up).await?;
    watch.trial.cloud.run_schedule();
    Ok(())
}
