//! EC2, EBS and Auto Scaling as they really behave, as one model: states that take time, refusals, and groups
//! that act by themselves. It is pure and synchronous. It never reads a clock and never does I/O: time is what
//! [`World::advance`] is told, chance is drawn from the seed, and one seed with one sequence of calls always gives
//! one history.

mod actions;
mod activities;
mod attachments;
mod command_steps;
mod commands;
mod config;
mod documents;
mod due;
mod errors;
mod events;
mod filters;
mod group_changes;
mod groups;
mod hooks;
mod instance_views;
mod instances;
mod keys;
mod lagged;
mod launches;
mod lifecycle_states;
mod members;
mod membership;
mod modifications;
mod mounts;
mod pace;
mod places;
mod refreshes;
mod refreshing;
mod replacements;
mod root_replacements;
mod scaling;
mod snapshots;
mod spot;
mod status;
mod tags;
mod templates;
mod throttling;
mod volume_types;
mod volumes;
mod warm_pools;

use std::collections::BTreeMap;
use std::time::Duration;

use volume_pool::Timestamp;

pub use actions::{Action, ActionName};
pub use activities::{Activity, ActivityStatus};
pub use attachments::{Attachment, AttachmentState, Detachment};
pub use commands::{Agent, Command, CommandFilter, CommandInvocation, CommandStatus, SendCommand};
pub use config::{
    AbandonedLaunch, AbandonedReturn, Config, ForcedDeletion, Lag, PlacesInEvents, SecondResource,
    SeveralHooks, Span, StopWhileTerminating, Timings, Workload,
};
pub use documents::{Document, DocumentEffect, DocumentOutcome};
pub use errors::ApiError;
pub use events::{CloudEvent, Happening, Subject};
pub use filters::{Filter, Page, PageRequest};
pub use group_changes::{CreateGroup, GroupChange};
pub use groups::{Group, GroupStatus, GroupTag, GroupTags, Process, ScaleIn, TerminateHookAbandon};
pub use hooks::{Hook, HookSpecification, LifecycleResult, Transition};
pub use instance_views::InstanceView;
pub use instances::{Instance, InstanceState, StateChange, StatusChecks};
pub use keys::KeyView;
pub use launches::{BlockDevice, LaunchSpecification, Market, MetadataTags, RunInstances};
pub use lifecycle_states::{LifecycleState, Origin};
pub use members::{Health, Member, MemberView, TerminateHooks};
pub use modifications::{ModificationState, Shape, VolumeModification};
pub use mounts::Filesystem;
pub use pace::{Pace, Step};
pub use places::{DEFAULT_VPC, IMAGE, Place};
pub use refreshes::{Exempt, InstanceRefresh, RefreshPreferences, RefreshStatus, RefreshView};
pub use replacements::{MaintenanceChange, MaintenancePolicy, Successor};
pub use root_replacements::{ReplaceRoot, ReplacedRoot, RootReplacement, RootReplacementState};
pub use scaling::{DesiredCapacity, GracePeriod};
pub use snapshots::{CreateSnapshot, Snapshot, SnapshotState};
pub use status::{InstanceStatus, StatusScope};
pub use tags::{TagDeletion, TagDescription, Tags};
pub use templates::{LaunchTemplate, TemplateReference, TemplateVersion};
pub use throttling::{Breadth, Bucket, MutatingBuckets, Throttling};
pub use volume_types::VolumeSpecification;
pub use volumes::{CreateVolume, Volume, VolumeState};
pub use warm_pools::{PoolState, ScaledIn, WarmPool, WarmPoolChange, WarmPoolStatus, WarmPoolView};

use due::{Due, DueQueue};
use keys::Key;
use lagged::Lagged;
use throttling::Level;
use volumes::VolumeToken;

/// One account in one region, at one moment. A clone goes its own way from there.
#[derive(Debug, Clone)]
pub struct World {
    config: Config,
    now: Timestamp,
    rng: fastrand::Rng,
    queue: DueQueue,
    volumes: Lagged<Volume>,
    volume_tokens: BTreeMap<String, VolumeToken>,
    snapshots: BTreeMap<String, Snapshot>,
    keys: BTreeMap<String, Key>,
    modifications: BTreeMap<String, VolumeModification>,
    paces: BTreeMap<(String, Step), Pace>,
    instances: Lagged<Instance>,
    instance_tokens: BTreeMap<String, (RunInstances, Vec<String>)>,
    root_replacements: BTreeMap<String, RootReplacement>,
    templates: BTreeMap<String, LaunchTemplate>,
    template_tokens: BTreeMap<String, (String, u64)>,
    groups: BTreeMap<String, Group>,
    actions: BTreeMap<String, Action>,
    activities: Vec<Activity>,
    buckets: BTreeMap<String, Level>,
    documents: BTreeMap<String, Document>,
    commands: BTreeMap<String, Command>,
    agents: BTreeMap<String, Agent>,
    events: Vec<CloudEvent>,
    happenings: Vec<Happening>,
    hazards: Vec<String>,
    generations: u64,
}

impl World {
    /// An empty account at `now`.
    pub fn new(config: Config, now: Timestamp) -> Self {
        let lag = config.stale_describe.map(|lag| config.scaled(lag));
        Self {
            now,
            rng: fastrand::Rng::with_seed(config.seed),
            queue: DueQueue::default(),
            volumes: Lagged::new(lag, config.lag),
            volume_tokens: BTreeMap::new(),
            snapshots: BTreeMap::new(),
            keys: BTreeMap::new(),
            modifications: BTreeMap::new(),
            paces: BTreeMap::new(),
            instances: Lagged::new(lag, config.lag),
            instance_tokens: BTreeMap::new(),
            root_replacements: BTreeMap::new(),
            templates: BTreeMap::new(),
            template_tokens: BTreeMap::new(),
            groups: BTreeMap::new(),
            actions: BTreeMap::new(),
            activities: Vec::new(),
            buckets: BTreeMap::new(),
            documents: BTreeMap::new(),
            commands: BTreeMap::new(),
            agents: BTreeMap::new(),
            events: Vec::new(),
            happenings: Vec::new(),
            hazards: Vec::new(),
            generations: 0,
            config,
        }
    }

    /// What the world was made from.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The world's present.
    pub fn now(&self) -> Timestamp {
        self.now
    }

    /// When the next thing falls due, if anything does.
    pub fn next_due(&self) -> Option<Timestamp> {
        self.queue.first()
    }

    /// Goes on to `to`: everything that falls due until then happens, in order. Time never goes back.
    pub fn advance(&mut self, to: Timestamp) {
        while let Some((at, due)) = self.queue.take(to) {
            self.now = self.now.max(at);
            self.carry_out(due);
        }
        self.now = self.now.max(to);
    }

    /// From now on describes of volumes and instances show what was true `lag` ago.
    pub fn set_stale_describe(&mut self, lag: Option<Duration>) {
        self.config.stale_describe = lag;
        let lag = lag.map(|lag| self.config.scaled(lag));
        self.volumes.set_lag(lag);
        self.instances.set_lag(lag);
    }

    /// What must never be, and what nobody should have done: a volume attached twice or across zones, an
    /// attachment to a terminated instance, a detachment by force. Empty in a sound history.
    pub fn violations(&self) -> Vec<String> {
        let mut found = self.hazards.clone();
        for volume in self.volumes.values() {
            if !volume.multi_attach && volume.attachments.len() > 1 {
                found.push(format!(
                    "volume {} has {} attachments",
                    volume.id,
                    volume.attachments.len()
                ));
            }
            for attachment in &volume.attachments {
                match self.instances.get(&attachment.instance) {
                    Some(instance) if instance.state == InstanceState::Terminated => {
                        found.push(format!(
                            "volume {} is attached to terminated {}",
                            volume.id, instance.id
                        ));
                    }
                    Some(instance) if instance.zone != volume.zone => found.push(format!(
                        "volume {} is attached across zones to {}",
                        volume.id, instance.id
                    )),
                    Some(_) => {}
                    None => found.push(format!(
                        "volume {} is attached to unknown {}",
                        volume.id, attachment.instance
                    )),
                }
            }
        }
        found
    }

    fn carry_out(&mut self, due: Due) {
        match due {
            Due::VolumeCreated(volume) => self.volume_created(&volume),
            Due::VolumeDeleted(volume) => self.volume_deleted(&volume),
            Due::SnapshotCompleted(snapshot) => self.snapshot_completed(&snapshot),
            Due::RootReplacement(task) => self.root_replacement_due(&task),
            Due::Modification(volume) => self.modification_due(&volume),
            Due::Attachment { volume, instance, generation } => {
                self.attachment_due(&volume, &instance, generation);
            }
            Due::Mount { volume, instance } => self.mount_due(&volume, &instance),
            Due::Instance { instance, generation } => self.instance_due(&instance, generation),
            Due::Command { command, instance, step } => {
                self.command_due(&command, &instance, step);
            }
            Due::Forget(instance) => self.forget_instance(&instance),
            Due::ScalingPass(group) => self.scaling_pass(&group),
            Due::Refresh { group, refresh } => self.refresh_due(&group, &refresh),
            Due::HealthCheck(group) => self.health_check(&group),
            Due::Member { group, instance } => self.member_due(&group, &instance),
            Due::SpotInterruption(instance) => self.spot_interrupted(&instance),
            Due::ActionTimeout(token) => self.action_due(&token),
        }
    }

    /// Has something fall due after a time drawn from a span, at this world's speed.
    fn schedule(&mut self, span: Span, due: Due) {
        let at = self.after(span);
        self.queue.schedule(at, due);
    }

    /// The end of a time drawn from a span, at this world's speed.
    fn after(&mut self, span: Span) -> Timestamp {
        let millis = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let (from, to) = (millis(span.from), millis(span.to));
        let drawn = Duration::from_millis(self.rng.u64(from..=to.max(from)));
        self.now.plus(self.config.scaled(drawn))
    }

    /// An id as EC2 makes them: the resource's prefix and seventeen hexadecimal digits.
    fn new_id(&mut self, prefix: &str) -> String {
        format!("{prefix}-0{:016x}", self.rng.u64(..))
    }

    /// A random UUID (version 4), as lifecycle action tokens and event ids are.
    fn new_uuid(&mut self) -> String {
        let bits = self.rng.u128(..);
        let (version, variant) = (0x4 << 76, 0b10 << 62);
        let bits = (bits & !(0xf << 76) & !(0b11 << 62)) | version | variant;
        let hex = format!("{bits:032x}");
        [&hex[0..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..32]].join("-")
    }
}
