//! What has happened over all seeds: what went wrong, what was done, which steps the functions took and why; and what
//! of all that never did. A rule that was never put to the test has not been shown to hold.

use std::collections::BTreeMap;

use local_cloud::stage::Mishap;
use volume_pool::decide::Reason;
use volume_pool::invocation::LoopReport;

use crate::feature::{Deed, Nature};
use crate::run::Run;

/// How often what has happened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Counts {
    /// The steps of the functions.
    pub steps: BTreeMap<String, u64>,
    /// Their reasons.
    pub reasons: BTreeMap<&'static str, u64>,
}

impl Counts {
    /// Counts what a loop did.
    pub(crate) fn note(&mut self, report: &LoopReport) {
        for taken in &report.journal.steps {
            match self.steps.get_mut(&taken.step) {
                Some(count) => *count += 1,
                None => drop(self.steps.insert(taken.step.clone(), 1)),
            }
        }
        for reason in &report.journal.reasons {
            *self.reasons.entry(name(reason)).or_default() += 1;
        }
    }

    fn add(&mut self, other: &Self) {
        for (step, count) in &other.steps {
            *self.steps.entry(step.clone()).or_default() += count;
        }
        for (reason, count) in &other.reasons {
            *self.reasons.entry(reason).or_default() += count;
        }
    }
}

/// What came of many seeds.
#[derive(Debug, Clone, Default)]
pub struct Tally {
    /// How many seeds.
    pub seeds: u64,
    /// How many lifecycle actions of ours.
    pub lifecycles: u64,
    /// How many calls.
    pub calls: u64,
    mishaps: BTreeMap<Mishap, u64>,
    natures: BTreeMap<Nature, u64>,
    deeds: BTreeMap<Deed, u64>,
    counts: Counts,
}

impl Tally {
    /// Adds what came of a seed.
    pub fn add(&mut self, run: &Run) {
        self.seeds += 1;
        self.lifecycles += run.lifecycles;
        self.calls += run.calls;
        for (mishap, count) in &run.mishaps {
            *self.mishaps.entry(*mishap).or_default() += count;
        }
        for nature in &run.natures {
            *self.natures.entry(*nature).or_default() += 1;
        }
        for (deed, count) in &run.deeds {
            *self.deeds.entry(*deed).or_default() += count;
        }
        self.counts.add(&run.counts);
    }

    /// A line for everything that there is, with how often it has happened.
    pub fn lines(&self) -> Vec<String> {
        let line = |kind: &str, (name, count): (String, u64)| {
            let count = if count == 0 { "never".to_owned() } else { count.to_string() };
            format!("{count:>12} {kind}: {name}")
        };
        let mut lines = Vec::new();
        for (kind, all) in self.all() {
            lines.extend(all.into_iter().map(|counted| line(kind, counted)));
        }
        lines.extend(ELSEWHERE.iter().map(|(name, why)| format!("{:>12} {name}: {why}", "-")));
        lines
    }

    /// What has never happened although it can.
    pub fn missing(&self) -> Vec<String> {
        let all = self.all().into_iter().flat_map(|(_, all)| all);
        all.filter(|(_, count)| *count == 0).map(|(name, _)| name).collect()
    }

    fn all(&self) -> [(&'static str, Vec<(String, u64)>); 5] {
        let count = |known: Option<&u64>| known.copied().unwrap_or_default();
        let mishaps = Mishap::all().map(|it| (it.to_string(), count(self.mishaps.get(&it))));
        let natures = Nature::ALL.iter().map(|it| (format!("{it:?}"), count(self.natures.get(it))));
        let deeds = Deed::ALL.iter().map(|it| (format!("{it:?}"), count(self.deeds.get(it))));
        [
            ("fault", mishaps.collect()),
            ("seeds with", natures.collect()),
            ("deed", deeds.collect()),
            (
                "step",
                here(STEPS, self.counts.steps.iter().map(|(step, count)| (step.as_str(), *count))),
            ),
            (
                "reason",
                here(REASONS, self.counts.reasons.iter().map(|(reason, count)| (*reason, *count))),
            ),
        ]
    }
}

/// What can happen here, and what has, with how often.
fn here<'a>(
    names: &'a [&'a str],
    counts: impl Iterator<Item = (&'a str, u64)>,
) -> Vec<(String, u64)> {
    let possible = names.iter().filter(|name| ELSEWHERE.iter().all(|(other, _)| other != *name));
    let mut all: BTreeMap<&str, u64> = possible.map(|name| (*name, 0)).collect();
    all.extend(counts);
    all.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// Every step that a loop may take: looks, transactions, calls that change AWS, and what is none of these.
const STEPS: &[&str] = &[
    "look at hooks",
    "look at hooks and group",
    "look for volumes",
    "look at the whole pool",
    "look for created volumes",
    "look at leased slots",
    "look at the group",
    "look at other holders",
    "look at holders",
    "look at the command",
    "enqueue",
    "lease",
    "change device",
    "begin release",
    "release",
    "quarantine",
    "close",
    "give up",
    "count anew",
    "adopt",
    "announce",
    "sent",
    "succeeded",
    "intend",
    "note volume",
    "try again",
    "created",
    "spare",
    "cancel",
    "set apart",
    "note",
    "enrol",
    "first launch",
    "ec2:AttachVolume",
    "ec2:DetachVolume",
    "ec2:ModifyInstanceAttribute",
    "ec2:StopInstances",
    "ec2:CreateVolume",
    "ssm:SendCommand",
    "ec2:CreateTags",
    "autoscaling:CompleteLifecycleAction",
    "autoscaling:RecordLifecycleActionHeartbeat",
    "serve waiters",
    "poll",
    "rest, work left",
    "rest, settled",
    "out of time",
];

/// What can't happen in these worlds, and why that is as it should be.
const ELSEWHERE: &[(&str, &str)] = &[
    // Policies of the simulation have the leave modes that need no document: documents, what they do and how they
    // fail are the scenarios' (`leaving_by_document`) and those of `decide_ssm` and `loop_ssm`.
    ("look at the command", DOCUMENTS),
    ("announce", DOCUMENTS),
    ("sent", DOCUMENTS),
    ("succeeded", DOCUMENTS),
    ("ssm:SendCommand", DOCUMENTS),
    ("autoscaling:RecordLifecycleActionHeartbeat", DOCUMENTS),
    ("AnnounceCommand", DOCUMENTS),
    ("RunDocument", DOCUMENTS),
    ("CommandUnknown", DOCUMENTS),
    ("NoteCommand", DOCUMENTS),
    ("RunningDocument", DOCUMENTS),
    ("CommandUnread", DOCUMENTS),
    ("DocumentSucceeded", DOCUMENTS),
    ("DocumentFailed", DOCUMENTS),
    ("ConfirmAction", DOCUMENTS),
    ("ActionUnconfirmed", DOCUMENTS),
    // The table is lost or restored in `rebuilding` of the scenarios only.
    ("HeldForRebuilding", "no pool is rebuilt here"),
    // It says that the records contradict each other, which is what every run asserts never to be.
    ("RecordsDisagree", "it would be a failure"),
];

const DOCUMENTS: &str = "no policy here leaves by document";

/// Names the kinds of reasons, each of them: one more does not compile until it is named here.
macro_rules! reasons {
    ($($kind:ident)*) => {
        const REASONS: &[&str] = &[$(stringify!($kind)),*];

        fn name(reason: &Reason) -> &'static str {
            match reason {
                $(Reason::$kind { .. } => stringify!($kind),)*
            }
        }
    };
}

reasons! {
    NothingWaitedFor LaunchOver NotYetWaiting NotInGroup ActionUnknown PolicyUnknown Answered NotOurHook
    NoActiveActionYet Observing BoundForWarmPool HeldForPolicy EnrolmentUnknown HeldForHooks HeldForTag Enqueue
    SlotFree HeldBefore Adopt LookForVolumes LookAtPool LookForHolders EarlierWaiters WaitingForSlot
    WaitingForHolder WaitingForVolume WaitingForGroup WaitingAtMaximum Grow Create CancelCreation NoteVolume
    LookForCreated CreateAgain CreatingVolume CreationRefused Created WaitingNoneFree WaitingOnlyStale
    WaitingForRetained Retained FinishRelease PoolPaused InstancePending VolumeNotShown Attach Attaching
    StuckAttaching DeviceTaken NoDeviceLeft AttachRefused AttachUndone OnEarlierHolder Quarantine WrongDevice Undo
    TagsRefused KeepVolume TagsMissing Verified VolumeAstray SlotMended Enrol WouldEnrol NotEnrolled Terminating
    BackToWarmPool Parked TerminatingWithoutHook InstanceGone InstanceNotShown InstanceForgotten HoldsNothing
    StopFirst Stopping Draining OthersDrain StopRefused LeaveToTermination AnnounceCommand RunDocument
    CommandUnknown NoteCommand RunningDocument CommandUnread DocumentSucceeded DocumentFailed ConfirmAction
    ActionUnconfirmed LeaveTimeUp Detach Detaching ConfirmDetached Detached NoteRelease WaitingForTermination
    FirstLaunch GivenUp CountAbandonsAnew HookLimitUnknown RecordsDisagree HeldForRecords HeldForRebuilding
}
