//! What a world is like: its region, how long things take in it, and which of EC2's less pleasant habits are on.

use std::time::Duration;

use super::members::TerminateHooks;
use super::throttling::Throttling;

/// How long something takes: drawn evenly between the two ends, from the world's seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The shortest it takes.
    pub from: Duration,
    /// The longest it takes.
    pub to: Duration,
}

impl Span {
    /// A span between two numbers of milliseconds.
    pub const fn millis(from: u64, to: u64) -> Self {
        Self { from: Duration::from_millis(from), to: Duration::from_millis(to) }
    }

    /// A span that always takes the same time.
    pub const fn exactly(duration: Duration) -> Self {
        Self { from: duration, to: duration }
    }
}

/// How long the cloud takes over what it does, before [`Config::speed`] divides it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timings {
    /// A volume from `creating` to `available` (EBS: median 1.5 s, p99 about 4 s).
    pub create_volume: Span,
    /// How long a client token of `CreateVolume` stands for its volume (measured: about 12 hours).
    pub volume_token: Span,
    /// A volume from `deleting` to gone.
    pub delete_volume: Span,
    /// A snapshot from `pending` to `completed` (minutes to hours by how much it holds; here the shorter end).
    pub snapshot: Span,
    /// A modification from `modifying` to `optimizing` (usually a few seconds).
    pub modify: Span,
    /// A modification from `optimizing` to `completed` (minutes to hours; here the shorter end).
    pub optimize: Span,
    /// An attachment from `attaching` to `attached` (EBS: mostly 1 to 4 s).
    pub attach: Span,
    /// An attachment from `detaching` to gone, or to `busy` while the filesystem is mounted.
    pub detach: Span,
    /// The same on a stopped instance, where nobody has to be asked.
    pub detach_stopped: Span,
    /// From an attached volume on an instance in service to a mounted filesystem.
    pub mount: Span,
    /// An instance from `pending` to `running`.
    pub start: Span,
    /// An instance from `stopping` to `stopped`: services end, filesystems are unmounted.
    pub stop: Span,
    /// An instance from `shutting-down` to `terminated`.
    pub terminate: Span,
    /// From `SendCommand` to the command being found by other calls.
    pub command_shown: Span,
    /// From `SendCommand` to the command running on its instance.
    pub command_delivery: Span,
    /// How long a terminated instance stays in describes (EC2: about an hour).
    pub terminated_visible: Span,
    /// From a change of what a group wants, or of what it has, to the group acting on it.
    pub scaling: Span,
    /// From one lifecycle state to the next where nothing is waited for.
    pub lifecycle_step: Span,
    /// How long a group takes to notice an instance that EC2 shows unhealthy or not running.
    pub health_check: Span,
    /// What a group waits before it launches again after launches failed in a row, times their number less one.
    pub launch_backoff: Duration,
    /// The most that backoff comes to.
    pub launch_backoff_limit: Duration,
}

impl Default for Timings {
    fn default() -> Self {
        Self {
            create_volume: Span::millis(1_000, 2_500),
            volume_token: Span { from: Duration::from_hours(12), to: Duration::from_hours(24) },
            delete_volume: Span::millis(1_000, 3_000),
            snapshot: Span::millis(20_000, 90_000),
            modify: Span::millis(2_000, 8_000),
            optimize: Span::millis(300_000, 900_000),
            attach: Span::millis(1_000, 4_000),
            detach: Span::millis(1_000, 4_000),
            detach_stopped: Span::millis(500, 1_500),
            mount: Span::millis(500, 1_500),
            start: Span::millis(6_000, 10_000),
            stop: Span::millis(20_000, 60_000),
            terminate: Span::millis(20_000, 40_000),
            command_shown: Span::millis(0, 1_000),
            command_delivery: Span::millis(300, 1_500),
            terminated_visible: Span::exactly(Duration::from_hours(1)),
            scaling: Span::millis(1_000, 3_000),
            lifecycle_step: Span::millis(500, 1_500),
            health_check: Span::millis(10_000, 30_000),
            launch_backoff: Duration::from_secs(15),
            launch_backoff_limit: Duration::from_mins(5),
        }
    }
}

/// Whether a launch that was abandoned runs the terminate hooks of its group. AWS documents neither.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbandonedLaunch {
    /// The terminate hooks run.
    RunsTerminateHooks,
    /// The instance is terminated at once.
    SkipsTerminateHooks,
}

/// Whether deleting a group or its warm pool by force runs terminate hooks. The user guide says no ("Amazon EC2 Auto
/// Scaling lifecycle hooks"); radkawar/stackd measured that instances enter `Terminating:Wait`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ForcedDeletion {
    /// The terminate hooks run.
    RunsTerminateHooks,
    /// The instances are terminated at once.
    SkipsTerminateHooks,
}

/// What an abandoned terminate hook means for an instance that goes back to the warm pool. AWS documents neither;
/// radkawar/stackd measured that it returns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AbandonedReturn {
    /// The instance is terminated instead.
    Terminates,
    /// It goes into the warm pool all the same.
    Returns,
}

/// Whether `StopInstances` takes an instance that waits for its terminate hooks (`Terminating:Wait`). No source was found for
/// or against.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StopWhileTerminating {
    /// It does, as for any running instance.
    Accepted,
    /// It refuses.
    Refused,
}

/// How several hooks of one transition wait. The user guide says no more than that a group may have several.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SeveralHooks {
    /// Their actions begin at the same time.
    Together,
    /// Each begins when the one before it, by name, was answered.
    OneByOne,
}

/// Which lifecycle events say where an instance comes from and where it goes. The guide's examples of 2023 have `Origin` and
/// `Destination` with warm pools only, those of 2026 generally.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PlacesInEvents {
    /// All.
    Always,
    /// Those of groups with a warm pool.
    WithWarmPools,
}

/// Whether `DetachVolume` and `ModifyInstanceAttribute` are authorised on both instance and volume, as `AttachVolume` is. The
/// Service Authorization Reference lists both resources, and not which of them are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecondResource {
    /// On both.
    Checked,
    /// `DetachVolume` on the volume and `ModifyInstanceAttribute` on the instance only.
    Unchecked,
}

/// Whether a workload mounts what is attached to its instance.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workload {
    /// A data volume that is attached to an instance in service is mounted soon after.
    Mounts,
    /// Nobody mounts anything unless [`World::mount`](super::World::mount) is called.
    Idle,
}

/// Which describes show what was, while they lag.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lag {
    /// All of them, until the lag is over.
    Steady,
    /// Some of them: EC2 answers from several places, of which some are behind, so that the next describe may show less
    /// than the one before.
    Wavering,
}

/// What a [`World`](super::World) is made from. Two worlds of one configuration that are asked the same go the same way.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Where ids, tokens and durations are drawn from.
    pub seed: u64,
    /// Divides every duration of the cloud: [`Timings`], the heartbeat and global timeouts of hooks, grace
    /// periods and the lag of describes. Timestamps stay real.
    pub speed: f64,
    /// The region's name.
    pub region: String,
    /// The names of the region's availability zones, in order.
    pub zones: Vec<String>,
    /// The account's number.
    pub account: String,
    /// How long the cloud takes over things.
    pub timings: Timings,
    /// Whether workloads mount what they are given.
    pub workload: Workload,
    /// How long describes of volumes and instances go on showing the state before a change. None: not at all.
    pub stale_describe: Option<Duration>,
    /// Which of them do.
    pub lag: Lag,
    /// How long after an instance shows `…:Wait` its lifecycle actions are not to be found yet: seen on AWS in
    /// 2026 with `CompleteLifecycleAction` (PrairieLearn/PrairieLearn#15586). None: they are there at once.
    pub late_actions: Option<Duration>,
    /// Whether an abandoned launch runs terminate hooks.
    pub abandoned_launch: AbandonedLaunch,
    /// What becomes of an instance whose return to the warm pool is abandoned.
    pub abandoned_return: AbandonedReturn,
    /// Whether a deletion by force runs terminate hooks.
    pub forced_deletion: ForcedDeletion,
    /// Whether an instance can be stopped while it waits for its terminate hooks.
    pub stop_while_terminating: StopWhileTerminating,
    /// How several hooks of one transition wait.
    pub several_hooks: SeveralHooks,
    /// Which lifecycle events have `Origin` and `Destination`.
    pub places_in_events: PlacesInEvents,
    /// On what detaching and changing attributes is authorised.
    pub second_resource: SecondResource,
    /// How many volumes an instance can have attached, its root volume included.
    pub attachment_limit: usize,
    /// How many requests the account may make. None: any number.
    pub throttling: Option<Throttling>,
    /// How much storage of one volume type the account may have, in GiB. None: any amount.
    pub storage_limit_gib: Option<u64>,
    /// The longest page that a describe answers when the caller names no `MaxResults`.
    pub page_limit: usize,
}

impl ForcedDeletion {
    /// The same as an instruction for those that go.
    pub(super) fn hooks(self) -> TerminateHooks {
        match self {
            Self::RunsTerminateHooks => TerminateHooks::Run,
            Self::SkipsTerminateHooks => TerminateHooks::Skip,
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        let region = "eu-central-1";
        Self {
            seed: 0,
            speed: 1.0,
            region: region.to_owned(),
            zones: ["a", "b", "c"].map(|zone| format!("{region}{zone}")).to_vec(),
            account: "123456789012".to_owned(),
            timings: Timings::default(),
            workload: Workload::Mounts,
            stale_describe: None,
            lag: Lag::Steady,
            late_actions: None,
            abandoned_launch: AbandonedLaunch::RunsTerminateHooks,
            abandoned_return: AbandonedReturn::Terminates,
            forced_deletion: ForcedDeletion::SkipsTerminateHooks,
            stop_while_terminating: StopWhileTerminating::Accepted,
            several_hooks: SeveralHooks::Together,
            places_in_events: PlacesInEvents::Always,
            second_resource: SecondResource::Checked,
            attachment_limit: 28,
            throttling: None,
            storage_limit_gib: None,
            page_limit: 1_000,
        }
    }
}

impl Config {
    /// A duration of the cloud as long as it takes at this world's speed.
    pub fn scaled(&self, duration: Duration) -> Duration {
        let speed = if self.speed.is_finite() && self.speed > 0.0 { self.speed } else { 1.0 };
        Duration::try_from_secs_f64(duration.as_secs_f64() / speed).unwrap_or(duration)
    }
}
