//! A trial: a local cloud with the real functions, an account on it, and everything that was heard of it.

use std::fmt::Write as _;
use std::future::Future;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use end_to_end::{Account, Failure, binary};
use infra::permissions::of_the_functions;
use local_cloud::cloud::{
    Cloud, Door, LIFECYCLE, LogLine, Notice, Options, Outcome, RECONCILE, TooLate,
};
use local_cloud::iam::{Policy, Verdict};
use local_cloud::world::{Config, World};
use serde_json::json;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::TryRecvError;
use volume_pool::record::Record;

use super::throttle::Pace;
use super::{checks, logs, problem};

/// The lease table of every trial.
pub(crate) const TABLE: &str = "stateful-asg";
/// Far longer than anything takes here, also while others use the processor.
pub(crate) const LIMIT: Duration = Duration::from_secs(90);
/// What takes EC2 a minute takes 1.2 s here. The functions' own work is real and is not sped up.
pub(crate) const SPEED: f64 = 50.0;
/// How many of the functions' last lines a failure shows.
const LAST_LINES: usize = 60;

/// The function binaries of this workspace on a fast cloud, with the policy that a deployment gives them.
pub(crate) fn options() -> Result<Options, Failure> {
    Ok(Options {
        lifecycle: Some(binary(LIFECYCLE)?),
        reconcile: Some(binary(RECONCILE)?),
        world: Config { speed: SPEED, seed: 1, ..Config::default() },
        timeout: Duration::from_secs(20),
        policy: Some(Policy::parse(&of_the_functions()?)?),
        ..Options::default()
    })
}

/// The functions without something, in a cloud that has everything else.
pub(crate) fn without(what: &str) -> Result<Options, Failure> {
    let mut options = options()?;
    let functions = options.lifecycle.as_deref().and_then(Path::parent);
    let functions = functions.ok_or("the functions are in no folder")?.display().to_string();
    options.env.insert("FUNCTIONS".to_owned(), functions);
    options.env.insert("WITHOUT".to_owned(), what.to_owned());
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/shared/crippled-function.sh");
    (options.lifecycle, options.reconcile) = (Some(script.clone()), Some(script));
    // Each event is tried three times, at once.
    options.retry_delays.fill(Duration::ZERO);
    Ok(options)
}

/// A local cloud, and what is needed to judge what happens on it.
pub(crate) struct Trial {
    pub(crate) cloud: Cloud,
    pub(crate) account: Account,
    heard: Mutex<Heard>,
}

struct Heard {
    receiver: Receiver<Notice>,
    notices: Vec<Notice>,
    missed: u64,
}

impl Trial {
    /// Tells a story on a cloud of its own, checks that it ended safely, and ends every process of it.
    pub(crate) async fn tell<T>(
        options: Options,
        story: impl AsyncFnOnce(&Self) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        let cloud = Cloud::start(options).await?;
        let account = Account::at(&cloud.env()).await;
        let heard = Heard { receiver: cloud.subscribe(), notices: Vec::new(), missed: 0 };
        let trial = Self { cloud, account, heard: Mutex::new(heard) };
        let mut told = story(&trial).await;
        if told.is_ok()
            && let Err(unsafe_end) = trial.check_safety().await
        {
            told = Err(unsafe_end);
        }
        let told = match told {
            Ok(told) => Ok(told),
            Err(failure) => Err(problem(format!("{failure}\n{}", trial.picture().await))),
        };
        trial.cloud.shutdown().await;
        told
    }

    /// Waits until the world is as `done` wants it.
    pub(crate) async fn wait(
        &self,
        what: &str,
        mut done: impl FnMut(&World) -> bool,
    ) -> Result<(), Failure> {
        self.within(
            what,
            self.cloud.wait_for(LIMIT, || self.cloud.inspect(&mut done).then_some(())),
        )
        .await
    }

    /// Waits until no claim has work left and no event is open.
    pub(crate) async fn settle(&self) -> Result<(), Failure> {
        let settled = async {
            loop {
                self.cloud.wait_for(LIMIT, || self.nothing_open().then_some(())).await?;
                self.cloud.wait_until_idle(LIMIT).await?;
                // What was under way may have opened a claim.
                if self.nothing_open() {
                    return Ok(());
                }
            }
        };
        self.within("every claim to come to rest", settled).await
    }

    async fn within(
        &self,
        what: &str,
        waiting: impl Future<Output = Result<(), TooLate>>,
    ) -> Result<(), Failure> {
        let late = |late: TooLate| problem(format!("waited {:?} in vain for {what}", late.0));
        waiting.await.map_err(late)
    }

    /// Whether no open mark is in the table.
    fn nothing_open(&self) -> bool {
        let query = json!({
            "TableName": TABLE,
            "KeyConditionExpression": "pk = :open",
            "ExpressionAttributeValues": { ":open": { "S": "OPEN" } },
            "ConsistentRead": true,
        });
        let marks = serde_json::from_value(query)
            .ok()
            .and_then(|query| self.cloud.database().query(query).ok());
        marks.is_some_and(|marks| marks.count == 0)
    }

    /// Everything in the lease table.
    pub(crate) async fn records(&self) -> Result<Vec<Record>, Failure> {
        self.account.records(TABLE).await
    }

    /// Everything that was heard so far.
    pub(crate) fn notices(&self) -> Result<Vec<Notice>, Failure> {
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            match heard.receiver.try_recv() {
                Ok(notice) => heard.notices.push(notice),
                Err(TryRecvError::Lagged(missed)) => heard.missed += missed,
                Err(TryRecvError::Empty | TryRecvError::Closed) => break,
            }
        }
        if heard.missed > 0 {
            return Err(problem(format!("{} notices were missed", heard.missed)));
        }
        Ok(heard.notices.clone())
    }

    /// Everything that the functions wrote so far.
    pub(crate) fn lines(&self) -> Result<Vec<LogLine>, Failure> {
        let lines = self.notices()?.into_iter().filter_map(|notice| match notice {
            Notice::Log(line) => Some(line),
            _ => None,
        });
        Ok(lines.collect())
    }

    /// How the lifecycle actions of this cloud ended, as in `stateful-asg-launch CONTINUE`, sorted; what nobody
    /// answered in time is said to have timed out.
    pub(crate) fn answers(&self) -> Result<Vec<String>, Failure> {
        let texts = self.notices()?.into_iter().filter_map(|notice| match notice {
            Notice::Happening(happening) => happening.text.strip_prefix("hook ").map(answer),
            _ => None,
        });
        let mut answers: Vec<String> = texts.collect();
        answers.sort();
        Ok(answers)
    }

    /// The calls that changed something in EC2 or Auto Scaling, or tried to, by the functions, in order.
    pub(crate) fn changes(&self) -> Vec<String> {
        let calls = self.cloud.calls().into_iter();
        calls
            .filter(|call| {
                call.caller.is_some()
                    && call.door != Door::DynamoDb
                    && checks::changes(&call.operation)
                    && !checks::late_heartbeat(call)
            })
            .map(|call| call.operation)
            .collect()
    }

    /// Whether a function ran out of time.
    pub(crate) fn pace(&self) -> Pace {
        let mut invocations = self.cloud.invocations().into_iter();
        if invocations.any(|it| matches!(it.outcome, Outcome::TimedOut(_))) {
            Pace::Starved
        } else {
            Pace::Fine
        }
    }

    /// Fails unless the cloud is safe as it is now.
    pub(crate) async fn check_safety(&self) -> Result<(), Failure> {
        let mut broken = self.cloud.inspect(World::violations);
        broken.extend(checks::early_answers(&self.cloud, &self.notices()?));
        broken.extend(self.forbidden());
        let pools = checks::pools(&self.cloud);
        let mut volumes = Vec::new();
        for pool in pools {
            volumes.extend(self.account.pool(&pool).await?);
        }
        let serving = self.cloud.inspect(checks::serving);
        // A trial that took the table away has no record to compare with.
        if let Ok(records) = self.records().await {
            broken.extend(checks::broken(&volumes, &records, &serving));
        }
        if broken.is_empty() {
            return Ok(());
        }
        Err(problem(format!("unsafe in the end: {}", broken.join("; "))))
    }

    /// The calls of the functions that their policy does not allow.
    fn forbidden(&self) -> Vec<String> {
        let calls = self.cloud.calls().into_iter();
        let asked = calls.flat_map(|call| {
            let of = call.operation;
            call.permissions.into_iter().map(move |permission| (of.clone(), permission))
        });
        asked
            .filter(|(_, permission)| !matches!(permission.verdict, Verdict::Allowed(_)))
            .map(|(operation, permission)| {
                format!("{operation} takes {}, and {:?}", permission.action, permission.verdict)
            })
            .collect()
    }

    /// The world, the records and the last lines of the functions.
    async fn picture(&self) -> String {
        let mut text = String::from("The world:\n");
        self.cloud.inspect(|world| {
            for group in world.groups() {
                for member in group.members.values() {
                    let state = member.state.as_str();
                    let _ = writeln!(text, "  {} {} {state}", group.name, member.instance);
                }
            }
            for volume in world.volumes() {
                let on = volume.attachments.iter();
                let on: Vec<String> =
                    on.map(|it| format!("{} {}", it.instance, it.state.as_str())).collect();
                let state = volume.state.as_str();
                let _ = writeln!(text, "  {} {state} [{}]", volume.id, on.join(", "));
            }
        });
        text.push_str("The records:\n");
        match self.records().await {
            Ok(records) => {
                records.iter().filter_map(checks::line).for_each(|line| text.push_str(&line));
            }
            Err(failure) => {
                let _ = writeln!(text, "  not to be read: {failure}");
            }
        }
        for forbidden in self.forbidden() {
            let _ = writeln!(text, "Not allowed: {forbidden}");
        }
        text.push_str("The last that was heard:\n");
        match self.notices() {
            Ok(notices) => {
                let first = notices.len().saturating_sub(LAST_LINES);
                for notice in notices.iter().skip(first) {
                    let _ = writeln!(text, "  {}", logs::short(notice));
                }
            }
            Err(failure) => {
                let _ = writeln!(text, "  {failure}");
            }
        }
        text
    }
}

/// From `<hook> is answered CONTINUE for <instance>` or `<hook> timed out for <instance>: ABANDON`.
fn answer(text: &str) -> String {
    let mut words = text.split(' ');
    let hook = words.next().unwrap_or_default();
    match text.split_once(" is answered ") {
        Some((_, rest)) => format!("{hook} {}", rest.split(' ').next().unwrap_or_default()),
        None => format!("{hook} timed out"),
    }
}
