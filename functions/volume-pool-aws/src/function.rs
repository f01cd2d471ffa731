//! What both functions have in common: settings from the environment, the loop for one instance, and its one wide log
//! line. No decision is made here.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value;
use tracing::{error, info};
use volume_pool::decide::Subject;
use volume_pool::drift::Inspection;
use volume_pool::event::{ActionResult, Event, LifecycleEvent};
use volume_pool::ids::{ActionToken, InstanceId, SlotId};
use volume_pool::invocation::LoopReport;
use volume_pool::observation::InstanceState;
use volume_pool::ports::{Clock, PortError};
use volume_pool::request::Ending;
use volume_pool::shell::{self, CallMade, Report};
use volume_pool::sweep::{self, Found};
use volume_pool::{Allowance, Timestamp};

use crate::calls::CallCount;
use crate::connect::{
    AwsPorts, ConnectError, OPERATION_TIMEOUT, Settings, connect, new_invocation,
};
use crate::metrics::{FunctionName, Measured, embedded};

/// The variable that names the lease table.
pub const TABLE: &str = "STATEFUL_ASG_TABLE";
/// The variable that says what the names of our hooks begin with.
pub const HOOK_PREFIX: &str = "STATEFUL_ASG_HOOK_PREFIX";
/// The variable that bounds one AWS call with all its attempts, in milliseconds. An instance's guard lasts beyond the
/// function's timeout by as much.
pub const OPERATION_TIMEOUT_MS: &str = "STATEFUL_ASG_OPERATION_TIMEOUT_MS";

/// What the names of our hooks begin with, unless [`HOOK_PREFIX`] says otherwise.
pub const DEFAULT_HOOK_PREFIX: &str = "stateful-asg";

/// Why a function can't start, or can't run.
#[derive(Debug, thiserror::Error)]
pub enum FunctionError {
    /// The lease table is not named.
    #[error(
        "{TABLE} is not set; set it to the name of the lease table in the function's environment"
    )]
    NoTable,
    /// A variable is not what it must be.
    #[error("{name} is {seen:?}; set it to {expected}")]
    Variable {
        /// The variable.
        name: &'static str,
        /// What it holds.
        seen: String,
        /// What it should hold.
        expected: &'static str,
    },
    /// AWS can't be reached from here.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// A call kept failing; Lambda tries the event again.
    #[error(transparent)]
    Port(#[from] PortError),
}

impl FunctionError {
    /// What Lambda records as the type of the error, beside its text.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NoTable | Self::Variable { .. } => "BadEnvironment",
            Self::Connect(_) => "NoConnection",
            Self::Port(_) => "CallFailed",
        }
    }
}

/// A function, as long as its execution environment lives.
#[derive(Debug)]
pub struct Function {
    name: FunctionName,
    ports: AwsPorts,
    calls: CallCount,
    hook_prefix: String,
    operation_timeout: Duration,
}

/// What brought an instance up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trigger {
    /// A lifecycle event.
    Lifecycle(LifecycleEvent),
    /// EC2 says that the instance is in this state.
    InstanceState(InstanceState),
    /// A command has ended on it.
    CommandEnded,
    /// Reconcile found that it needs a look.
    Found(Found),
}

/// What has a turn in a run of reconcile.
enum Turn {
    /// An instance, and what it was found for.
    Instance(InstanceId, Found),
    /// A free slot with which something is the matter.
    Slot(SlotId),
}

impl Function {
    /// Reads the environment and connects. `variable` gives a variable's value.
    pub async fn start(
        name: FunctionName,
        variable: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, FunctionError> {
        let given = |name: &str| variable(name).filter(|value| !value.trim().is_empty());
        let table = given(TABLE).ok_or(FunctionError::NoTable)?;
        let operation_timeout =
            given(OPERATION_TIMEOUT_MS).map_or(Ok(OPERATION_TIMEOUT), millis)?;
        let settings = Settings { operation_timeout, ..Settings::new(table) };
        let calls = settings.calls.clone();
        let ports = connect(settings).await?;
        let hook_prefix = given(HOOK_PREFIX).unwrap_or_else(|| DEFAULT_HOOK_PREFIX.to_owned());
        Ok(Self { name, ports, calls, hook_prefix, operation_timeout })
    }

    /// Reads an event. What is not for us, or is malformed, is logged and done with: to try it again would change
    /// nothing, and reconcile finds the instance by what is on record.
    pub fn read(&self, event: &Value) -> Option<Event> {
        match Event::parse(event, &self.hook_prefix) {
            Ok(Event::Ignored(reason)) => {
                info!(reason, "event ignored");
                None
            }
            Ok(event) => Some(event),
            Err(problem) => {
                error!(alarm = "malformed-event", problem = %problem, "event ignored");
                let mut measured = Measured::default();
                measured.malformed_event();
                self.tell(measured);
                None
            }
        }
    }

    /// One run of reconcile: reads everything once, then works on what needs it until the function's time is up. What
    /// fails or is left over must not keep the rest from its turn; the next minute finds it again. An error says that
    /// the sweep itself was blind.
    pub async fn reconcile(&self, deadline: Timestamp) -> Result<(), FunctionError> {
        let began = self.ports.clock.now();
        let swept = shell::sweep(&self.ports).await;
        let pools = swept.pools.iter().map(|pool| pool.name.clone());
        let queues = shell::queues(pools, &self.ports).await;
        for problem in swept.failures.iter().chain(&queues.failures) {
            error!(problem = %problem, "part of the sweep can't be read");
        }
        for alarm in swept.alarms() {
            error!(alarm = alarm.name(), problem = %alarm, "a person is needed");
        }
        let now = self.ports.clock.now();
        let mut measured = Measured::default();
        measured.sweep(&swept, &queues, now);
        let measured = Mutex::new(measured);
        let plan = swept.plan(now);
        let kept_alive = shell::keep_alive(plan.keep_alive, &self.hook_prefix, &self.ports).await;
        let mut kinds: BTreeMap<Found, usize> = BTreeMap::new();
        for (_, found) in &plan.instances {
            *kinds.entry(*found).or_default() += 1;
        }
        let drifted = plan.slots.len();
        let instances =
            plan.instances.into_iter().map(|(instance, found)| Turn::Instance(instance, found));
        let turns: Vec<Turn> = instances.chain(plan.slots.into_iter().map(Turn::Slot)).collect();
        let found = turns.len();
        let last = sweep::last_turn(began, deadline);
        let ended = shell::in_turns(turns, &self.ports.clock, last, |turn| {
            let measured = &measured;
            async move {
                match turn {
                    Turn::Instance(instance, found) => {
                        self.run_found(instance, found, deadline, measured).await
                    }
                    Turn::Slot(slot) => self.inspect(slot, measured).await,
                }
            }
        })
        .await;
        let of = |kind: Found| kinds.get(&kind).copied().unwrap_or_default();
        info!(
            groups = swept.groups.as_ref().map(Vec::len),
            pools = swept.pools.len(),
            slots = swept.slots(),
            waiting = swept.waiting(),
            open = swept.open.as_ref().map(Vec::len),
            in_hook = of(Found::InHook),
            work_left = of(Found::WorkLeft),
            holder_leaving = of(Found::HolderLeaving),
            holder_gone = of(Found::HolderGone),
            slot_amiss = of(Found::SlotAmiss),
            slot_mended = of(Found::SlotMended),
            not_enrolled = of(Found::NotEnrolled),
            slot_drifted = drifted,
            kept_alive,
            unread = swept.failures.len(),
            failed = ended.iter().filter(|well| !**well).count(),
            left_over = found - ended.len(),
            duration_ms = millis_of(self.ports.clock.now().since(began)),
            "reconciled"
        );
        self.tell(measured.into_inner().unwrap_or_else(PoisonError::into_inner));
        let blind = swept.open.is_none() || swept.groups.is_none();
        match swept.failures.into_iter().next().filter(|_| blind) {
            Some(problem) => Err(problem.into()),
            None => Ok(()),
        }
    }

    /// Takes a closer look at a free slot; answers whether it came to a conclusion.
    async fn inspect(&self, slot: SlotId, measured: &Mutex<Measured>) -> bool {
        let mut inspection = Inspection::new(slot);
        let ending = shell::inspect(&mut inspection, &self.ports).await;
        let slot = inspection.slot();
        with(measured, |measured| measured.alarms(inspection.alarms()));
        for alarm in inspection.alarms() {
            error!(alarm = alarm.name(), slot = %slot, problem = %alarm, "a person is needed");
        }
        match ending {
            Ending::Failed(problem) => {
                error!(slot = %slot, problem = %problem, "free slot not looked at");
                false
            }
            Ending::Settled | Ending::WorkLeft | Ending::Busy => true,
        }
    }

    /// Runs the loop for an instance that a sweep has found; answers whether it came to a conclusion.
    async fn run_found(
        &self,
        instance: InstanceId,
        found: Found,
        deadline: Timestamp,
        measured: &Mutex<Measured>,
    ) -> bool {
        let Ok(report) = self.run_loop(instance, Trigger::Found(found), deadline).await else {
            return false;
        };
        with(measured, |measured| {
            measured.loops(&report.loops);
            measured.healed(&report.loops);
        });
        !matches!(report.ending, Ending::Failed(_))
    }

    /// Runs the loop for one instance and writes its log line and its metrics. An error asks Lambda to try the event
    /// again.
    pub async fn run(
        &self,
        instance: InstanceId,
        trigger: Trigger,
        deadline: Timestamp,
    ) -> Result<(), FunctionError> {
        let report = self.run_loop(instance, trigger, deadline).await?;
        let mut measured = Measured::default();
        measured.loops(&report.loops);
        self.tell(measured);
        match report.ending {
            Ending::Settled | Ending::WorkLeft | Ending::Busy => Ok(()),
            Ending::Failed(error) => Err(error.into()),
        }
    }

    async fn run_loop(
        &self,
        instance: InstanceId,
        trigger: Trigger,
        deadline: Timestamp,
    ) -> Result<Report, FunctionError> {
        let began = self.ports.clock.now();
        let mut subject = Subject {
            instance,
            event: None,
            hint: None,
            found: None,
            hook_prefix: self.hook_prefix.clone(),
        };
        let name = match trigger {
            Trigger::Lifecycle(event) => {
                subject.event = Some(event);
                "lifecycle event"
            }
            Trigger::InstanceState(state) => {
                subject.hint = Some(state);
                "instance state event"
            }
            Trigger::CommandEnded => "command event",
            Trigger::Found(found) => {
                subject.found = Some(found);
                "reconcile"
            }
        };
        let allowance =
            Allowance::until(new_invocation()?, began, deadline, self.operation_timeout);
        // Boxed, because the futures above and beneath it together are nested deeper than the compiler follows.
        let report = Box::pin(shell::run(subject.clone(), allowance, &self.ports)).await;
        let took = self.ports.clock.now().since(began);
        log(name, &subject, &report, took);
        Ok(report)
    }

    /// Writes the metrics of an invocation, as lines of their own: what wraps log lines would hide them.
    fn tell(&self, mut measured: Measured) {
        measured.calls(self.calls.take());
        let lines = embedded::lines(self.name, measured, self.ports.clock.now());
        let mut log = std::io::stdout().lock();
        for line in lines {
            // Nobody could be told that the log can't be written.
            let _ = writeln!(log, "{line}");
        }
    }
}

fn with(measured: &Mutex<Measured>, note: impl FnOnce(&mut Measured)) {
    note(&mut measured.lock().unwrap_or_else(PoisonError::into_inner));
}

fn millis_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn millis(seen: String) -> Result<Duration, FunctionError> {
    let millis = seen.parse().ok().filter(|millis| (100..=60_000).contains(millis));
    let expected = "a number of milliseconds from 100 to 60000, or remove it";
    millis.map(Duration::from_millis).ok_or(FunctionError::Variable {
        name: OPERATION_TIMEOUT_MS,
        seen,
        expected,
    })
}

/// The wide line of the invocation, one line for each waiter that it served, and one for each alarm.
fn log(trigger: &str, subject: &Subject, report: &Report, took: Duration) {
    for part in &report.loops {
        for alarm in &part.journal.alarms {
            error!(alarm = alarm.name(), instance_id = %part.instance, problem = %alarm, "a person is needed");
        }
        if part.instance != subject.instance {
            let (result, slot, steps) = summary(part);
            info!(instance_id = %part.instance, served_by = %subject.instance, slot, result, steps, "waiter served");
        }
    }
    let main = report.loops.iter().rfind(|part| part.instance == subject.instance);
    let (result, slot, steps) = main.map(summary).unwrap_or_default();
    let action = subject.event.as_ref().map(|event| &event.action);
    info!(
        trigger,
        found = subject.found.map(Found::name),
        instance_id = %subject.instance,
        asg = action.map(|action| action.group.as_str()),
        hook = action.map(|action| action.hook.as_str()),
        transition = action.map(|action| tracing::field::debug(action.transition)),
        action_token = action.and_then(|action| action.token.as_ref()).map(ActionToken::as_str),
        slot,
        result,
        answered = main.and_then(|part| part.journal.answered).map(ActionResult::as_str),
        steps,
        refusals = main.map(|part| part.journal.refusals.join("; ")),
        failures = main.map(|part| part.journal.failures.join("; ")),
        lost_races = main.map(|part| part.journal.lost_races),
        calls = calls(&report.calls),
        call_count = report.calls.len(),
        duration_ms = millis_of(took),
        "invocation"
    );
}

/// How a loop ended, the slot it was about, and its steps with their reasons.
fn summary(part: &LoopReport) -> (&'static str, String, String) {
    let result = match &part.ending {
        Ending::Settled => "settled",
        Ending::WorkLeft => "work left",
        Ending::Busy => "busy: another invocation was asked to look again",
        Ending::Failed(_) => "failed",
    };
    let mut steps = String::new();
    let mut repeated = 0;
    for (index, step) in part.journal.steps.iter().enumerate() {
        // A series of looks that found the same is one step for people.
        if part.journal.steps.get(index + 1) == Some(step) {
            repeated += 1;
            continue;
        }
        let separator = if steps.is_empty() { "" } else { "; " };
        let _ = write!(steps, "{separator}{}", step.step);
        if repeated > 0 {
            let _ = write!(steps, " x{}", repeated + 1);
        }
        let _ = write!(steps, " ({})", step.reason);
        repeated = 0;
    }
    let slot = part.journal.slot.as_ref().map(ToString::to_string).unwrap_or_default();
    (result, slot, steps)
}

fn calls(made: &[CallMade]) -> String {
    let texts: Vec<String> =
        made.iter().map(|call| format!("{} {} ms", call.call, call.millis)).collect();
    texts.join(", ")
}
