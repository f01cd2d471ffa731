//! What doctor can find: a closed set of codes, each finding with its reason and the command that mends it.

use clap::ValueEnum;
use serde::{Serialize, Serializer};

/// How bad it is. The worst comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Severity {
    /// Launches or terminations go wrong, or data is at risk.
    Error,
    /// It works, until something happens that will.
    Warning,
    /// Worth knowing.
    Note,
}

impl Severity {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        }
    }
}

/// What was found. The names are constant: scripts go by them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum Code {
    /// The group has neither hooks of ours nor the tag
    NotEnrolled,
    /// The group has hooks of ours, and not the tag by which it is found
    NoTag,
    /// The group's tag is no pool name
    PoolName,
    /// The group has no launch hook of ours
    NoLaunchHook,
    /// The group has no terminate hook of ours
    NoTerminateHook,
    /// Several hooks of ours hold up one transition
    SeveralHooks,
    /// A hook carries a policy, and its name is not one that the event rule matches
    HookMisnamed,
    /// A hook times out sooner than a minute's run of reconcile can keep it alive for sure
    HeartbeatShort,
    /// A hook's global timeout is over before the policy's own time
    HookLimitShort,
    /// A launch that nobody answers goes into service without its volume
    LaunchGoesOn,
    /// A termination that nobody answers skips other hooks, or keeps its instance
    TerminateAbandons,
    /// The group has a terminate hook of somebody else, so leave mode stop does not stop
    OtherTerminateHook,
    /// The policy does not parse
    PolicyFault,
    /// The group's tag and its policy name different pools
    PoolMismatch,
    /// Groups that share a pool have different policies
    PoliciesDiffer,
    /// The policy only observes
    Observes,
    /// The group launches the replacement before it terminates
    LaunchesFirst,
    /// The group replaces Spot instances ahead of their interruption
    CapacityRebalance,
    /// The group evens out its zones
    ZoneRebalance,
    /// The group has several zones
    SeveralZones,
    /// The group has a warm pool
    WarmPool,
    /// The group's instances are kept hibernated, or brought back into a running warm pool
    WarmPoolMounted,
    /// The group's pool tag is given to its instances
    TagPropagates,
    /// The launch template's device is one of the policy's
    DeviceCollides,
    /// The launch template makes further volumes with each instance
    TemplateVolume,
    /// The launch template gives its volumes the pool's tag
    TemplatePoolTag,
    /// Instances can't read their tags from the metadata service
    MetadataTagsOff,
    /// A tag key that the metadata service can't carry
    MetadataTagKey,
    /// The pool is paused
    PoolPaused,
    /// The pool is being rebuilt
    PoolRebuilding,
    /// The slot is set apart
    SlotQuarantined,
    /// The slot was idle for longer than the policy allows
    SlotStale,
    /// A zone has fewer slots than its instances need
    SlotsShort,
    /// There is nothing to create volumes like
    NothingToCreateFrom,
    /// Launches were given up in a row
    LaunchesGivenUp,
    /// EC2 shows no volume with the pool's tag where one is on record
    VolumeNotShown,
    /// The volume carries the tag of a slot that it does not belong to
    VolumeCopiedTag,
    /// The volume has Multi-Attach enabled
    VolumeMultiAttach,
    /// The volume is deleted with the instance that it is attached to
    VolumeDeleted,
    /// The instance is in service without a volume of the pool
    NoVolume,
    /// A dead-letter queue of the deployment holds messages
    DeadLetters,
    /// A dead-letter queue of the deployment is not there
    NoDeadLetterQueue,
    /// The KMS key of volumes can't be used
    KeyUnusable,
    /// The KMS key of volumes lets neither the account nor the functions' roles make grants
    KeyClosed,
    /// The pools may grow by more than the account may have of a volume type
    StorageQuota,
}

impl Code {
    pub(crate) fn name(self) -> String {
        self.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.name())
    }
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    pub(crate) severity: Severity,
    pub(crate) code: Code,
    /// What it is about, as in `group cassandra-a`.
    pub(crate) subject: String,
    /// What was seen, and what follows from it.
    pub(crate) reason: String,
    /// The command that mends it.
    pub(crate) mend: String,
}

/// The worst first; then each subject's findings together.
pub(crate) fn sort(findings: &mut Vec<Finding>) {
    findings.sort_by(|a, b| {
        (a.severity, &a.subject, a.code, &a.reason)
            .cmp(&(b.severity, &b.subject, b.code, &b.reason))
    });
    findings.dedup();
}
