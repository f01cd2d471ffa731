//! Why a step is taken, and what a person must know of: closed sets, in the words that logs, records and tools show.

use displaydoc::Display;
use serde::Serialize;

use crate::action::GiveUp;
use crate::ids::{
    DeviceName, DocumentName, GroupName, InstanceId, PoolName, SlotId, VolumeId, VolumeName, Zone,
};
use crate::policy::PolicyError;

/// Why a step is taken.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Display, Serialize)]
#[serde(rename_all_fields = "snake_case")]
pub enum Reason {
    /// Auto Scaling shows {state}: nothing of this instance is waited for
    NothingWaitedFor {
        /// The lifecycle state.
        state: String,
    },
    /// the launch is over, Auto Scaling shows {state}: the waiter leaves the queue
    LaunchOver {
        /// The lifecycle state.
        state: String,
    },
    /// Auto Scaling shows {state} and may not show what waits yet: look again
    NotYetWaiting {
        /// The lifecycle state.
        state: String,
    },
    /// Auto Scaling shows the waiting instance in no group, EC2 does not show it gone
    NotInGroup,
    /// the action was found without its event: the group's hooks tell which it is
    ActionUnknown,
    /// the policy is not on record: the launch hook's metadata tells
    PolicyUnknown,
    /// the action has its answer
    Answered,
    /// the instance waits under a hook that is not ours
    NotOurHook,
    /// Auto Scaling knows no active action yet still shows the instance waiting
    NoActiveActionYet,
    /// mode observe: the launch goes on, nothing is changed
    Observing,
    /// bound for the warm pool: no slot is leased on the way in
    BoundForWarmPool,
    /// held: no policy that parses
    HeldForPolicy,
    /// before the instance joins the queue: whether the group has one launch hook of ours, and is tagged for its policy's pool
    EnrolmentUnknown,
    /// held: the group has two launch hooks of ours
    HeldForHooks,
    /// held: the group's tag stateful-asg:pool and its policy name different pools
    HeldForTag,
    /// the instance joins the queue of its zone
    Enqueue,
    /// slot {slot} is free and no earlier waiter is due to get it
    SlotFree {
        /// The slot.
        slot: SlotId,
    },
    /// slot {slot} is free and this instance held it before
    HeldBefore {
        /// The slot.
        slot: SlotId,
    },
    /// tagged volumes that no record knows become slots: {count} of them
    Adopt {
        /// How many.
        count: usize,
    },
    /// no free slot is on record: tagged volumes that no record knows may be there
    LookForVolumes,
    /// before names are given out: every tagged volume of the pool, in all zones and states
    LookAtPool,
    /// no slot is free: whether one will be, the holders of the others tell
    LookForHolders,
    /// {count} earlier waiters are due what is free: they are served first
    EarlierWaiters {
        /// How many.
        count: usize,
    },
    /// waiting for slot {slot}, which {holder} is letting go of
    WaitingForSlot {
        /// The slot.
        slot: SlotId,
        /// Who lets go of it.
        holder: InstanceId,
    },
    /// waiting for slot {slot}: its holder {holder} is leaving, stopped or gone
    WaitingForHolder {
        /// The slot.
        slot: SlotId,
        /// Who holds it.
        holder: InstanceId,
    },
    /// waiting for volume {volume}, which is no slot yet: its instance {holder} is leaving, stopped or gone
    WaitingForVolume {
        /// The volume.
        volume: VolumeId,
        /// The instance.
        holder: InstanceId,
    },
    /// waiting: the group has more instances than it wants, and may not show yet which of them is about to leave
    WaitingForGroup,
    /// waiting: {zone} has {most} slots, which is the most that are created, and none comes free
    WaitingAtMaximum {
        /// The zone.
        zone: Zone,
        /// The maximum.
        most: u32,
    },
    /// no slot is free in {zone} and none is coming: a new one is announced
    Grow {
        /// The zone.
        zone: Zone,
    },
    /// nothing came free since slot {slot} was announced: its volume is created
    Create {
        /// The slot.
        slot: SlotId,
    },
    /// nothing of slot {slot} was created, and it is not wanted any more: the intent is taken back
    CancelCreation {
        /// The slot.
        slot: SlotId,
    },
    /// volume {volume} was created
    NoteVolume {
        /// The volume.
        volume: VolumeId,
    },
    /// whether EC2 has created a volume for slot {slot}, its tag tells
    LookForCreated {
        /// The slot.
        slot: SlotId,
    },
    /// an attempt to create a volume of slot {slot} has failed, and its token with it: another one is made
    CreateAgain {
        /// The slot.
        slot: SlotId,
    },
    /// volume {volume} is being created
    CreatingVolume {
        /// The volume.
        volume: VolumeId,
    },
    /// no volume can be created: {problem}
    CreationRefused {
        /// What was seen.
        problem: String,
    },
    /// every volume of slot {slot} exists
    Created {
        /// The slot.
        slot: SlotId,
    },
    /// waiting: no slot of the pool is free in {zone} and none is being released
    WaitingNoneFree {
        /// The zone.
        zone: Zone,
    },
    /// waiting: the {count} free slots have been idle for longer than staleAfterHours
    WaitingOnlyStale {
        /// How many.
        count: usize,
    },
    /// waiting: slot {slot} is held by {holder}, which Auto Scaling retains until a person terminates it
    WaitingForRetained {
        /// The slot.
        slot: SlotId,
        /// Who holds it.
        holder: InstanceId,
    },
    /// Auto Scaling retains the instance: it keeps slot {slot} until a person terminates it
    Retained {
        /// The slot.
        slot: SlotId,
    },
    /// back before its last release ended: slot {slot} is released first
    FinishRelease {
        /// The slot.
        slot: SlotId,
    },
    /// waiting: pool {pool} is paused; resume it to go on
    PoolPaused {
        /// The pool.
        pool: PoolName,
    },
    /// the instance is still pending in EC2: volumes can be attached once it runs
    InstancePending,
    /// EC2 does not show the volume {volume} yet
    VolumeNotShown {
        /// The volume.
        volume: VolumeId,
    },
    /// volume {volume} is available: attach it
    Attach {
        /// The volume.
        volume: VolumeId,
    },
    /// volume {volume} is being attached
    Attaching {
        /// The volume.
        volume: VolumeId,
    },
    /// volume {volume} has been attaching for too long: it is detached and gets another device name
    StuckAttaching {
        /// The volume.
        volume: VolumeId,
    },
    /// device {device} is taken: volume {volume} gets another one, on record first
    DeviceTaken {
        /// The volume.
        volume: VolumeId,
        /// The device.
        device: DeviceName,
    },
    /// every device name is taken
    NoDeviceLeft,
    /// EC2 refuses to attach volume {volume}: {problem}
    AttachRefused {
        /// The volume.
        volume: VolumeId,
        /// EC2's words.
        problem: String,
    },
    /// EC2 accepts the attachment of volume {volume} and undoes it, again and again
    AttachUndone {
        /// The volume.
        volume: VolumeId,
    },
    /// volume {volume} is still on its earlier holder {instance}
    OnEarlierHolder {
        /// The volume.
        volume: VolumeId,
        /// The earlier holder.
        instance: InstanceId,
    },
    /// volume {volume} can't be used: {problem}: its slot is set apart
    Quarantine {
        /// The volume.
        volume: VolumeId,
        /// What was seen.
        problem: String,
    },
    /// volume {volume} is taken off the instance again: it hangs at another device than the one on record
    WrongDevice {
        /// The volume.
        volume: VolumeId,
    },
    /// volume {volume} is taken off the instance again: the launch does not go on with it
    Undo {
        /// The volume.
        volume: VolumeId,
    },
    /// EC2 refuses the instance's tags
    TagsRefused,
    /// volume {volume} would be deleted with the instance: it is set to stay
    KeepVolume {
        /// The volume.
        volume: VolumeId,
    },
    /// {resource} lacks the tags that name its slot
    TagsMissing {
        /// The instance or volume.
        resource: String,
    },
    /// slot {slot} was created blank and goes into its first launch: once it is released it may not be formatted any more
    FirstLaunch {
        /// The slot.
        slot: SlotId,
    },
    /// slot {slot} is attached whole, its volumes stay when the instance goes, and the lease is confirmed
    Verified {
        /// The slot.
        slot: SlotId,
    },
    /// volume {volume} of the slot that the instance holds is not where it should be: {problem}
    VolumeAstray {
        /// The volume.
        volume: VolumeId,
        /// What was seen.
        problem: String,
    },
    /// slot {slot} is attached whole again
    SlotMended {
        /// The slot.
        slot: SlotId,
    },
    /// the instance is in service with volumes of the pool that no record knows: they become the slot that it holds
    Enrol,
    /// mode observe: the volumes of the pool that the instance has would become the slot that it holds
    WouldEnrol,
    /// the instance is in service with volumes of the pool that no record knows, and they can't become its slot
    NotEnrolled,
    /// the instance is terminating
    Terminating,
    /// the instance goes back to the warm pool: it lets go of its slot first
    BackToWarmPool,
    /// the instance lies in the warm pool and holds a slot: that is released, as soon as nothing can have it mounted
    Parked,
    /// the instance is terminating, past its hooks
    TerminatingWithoutHook,
    /// EC2 shows the instance going or gone
    InstanceGone,
    /// EC2 does not show the instance now: look again
    InstanceNotShown,
    /// EC2 and Auto Scaling have not known the instance for a while
    InstanceForgotten,
    /// the instance holds nothing
    HoldsNothing,
    /// the leave mode is stop: the operating system stops its services and unmounts
    StopFirst,
    /// the instance is stopping
    Stopping,
    /// the instance drains itself
    Draining,
    /// another terminate hook of the group is still to be answered: the termination frees the volumes
    OthersDrain,
    /// EC2 refuses to stop the instance ({problem}): the termination frees the volumes
    StopRefused {
        /// EC2's words.
        problem: String,
    },
    /// the leave mode is terminate: the termination frees the volumes
    LeaveToTermination,
    /// the leave mode is ssm: before document {document} is sent to the instance, that goes on record
    AnnounceCommand {
        /// The document.
        document: DocumentName,
    },
    /// document {document} is to make the instance let go of its volumes
    RunDocument {
        /// The document.
        document: DocumentName,
    },
    /// whether document {document} was sent, or what has become of it, Systems Manager tells
    CommandUnknown {
        /// The document.
        document: DocumentName,
    },
    /// document {document} was sent
    NoteCommand {
        /// The document.
        document: DocumentName,
    },
    /// document {document} is on its way or runs
    RunningDocument {
        /// The document.
        document: DocumentName,
    },
    /// what has become of document {document} can't be read now: {problem}
    CommandUnread {
        /// The document.
        document: DocumentName,
        /// What was seen.
        problem: String,
    },
    /// document {document} has succeeded: the instance has let go of its volumes
    DocumentSucceeded {
        /// The document.
        document: DocumentName,
    },
    /// document {document} has not done its work ({problem}): the termination frees the volumes
    DocumentFailed {
        /// The document.
        document: DocumentName,
        /// What was seen.
        problem: String,
    },
    /// the document has succeeded: whether the termination that it was sent for still waits, Auto Scaling tells
    ConfirmAction,
    /// the document has succeeded, but nothing shows that the termination waiting now is the one that it was sent for: it frees the volumes
    ActionUnconfirmed,
    /// leaving took longer than leave.seconds: the termination frees the volumes
    LeaveTimeUp,
    /// volume {volume} may be detached: the instance is stopped, has let go of it, or the policy says so
    Detach {
        /// The volume.
        volume: VolumeId,
    },
    /// volume {volume} is being detached
    Detaching {
        /// The volume.
        volume: VolumeId,
    },
    /// volume {volume} looks detached: EC2's own answer to a detach confirms it
    ConfirmDetached {
        /// The volume.
        volume: VolumeId,
    },
    /// every volume of slot {slot} is shown to be detached
    Detached {
        /// The slot.
        slot: SlotId,
    },
    /// volume {volume} is tagged with the time of its release, from which a lost table could be rebuilt
    NoteRelease {
        /// The volume.
        volume: VolumeId,
    },
    /// the termination will free the volumes of slot {slot}
    WaitingForTermination {
        /// The slot.
        slot: SlotId,
    },
    /// the launch is given up: {why}
    GivenUp {
        /// Why.
        why: GiveUp,
    },
    /// a launch of {zone} succeeds: those given up in a row are counted from zero again
    CountAbandonsAnew {
        /// The zone.
        zone: Zone,
    },
    /// the launch may be near the limit of its hook: the group's hooks tell when that is
    HookLimitUnknown,
    /// the records contradict each other: nothing is touched
    RecordsDisagree,
    /// held: the records are lost or older than what the volumes' tags say
    HeldForRecords,
    /// held: the records of pool {pool} are being rebuilt
    HeldForRebuilding {
        /// The pool.
        pool: PoolName,
    },
}

/// What a person must know of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Display)]
pub enum Alarm {
    /// the launch hook's policy does not parse ({error}); {instead}; correct the hook's metadata
    PolicyFault {
        /// What is wrong with it.
        error: PolicyError,
        /// What is done instead.
        instead: String,
    },
    /// group {group} has more than one launch hook of ours, {hooks}; the launch is held: delete all but one
    TwoLaunchHooks {
        /// The group.
        group: GroupName,
        /// Their names.
        hooks: String,
    },
    /// group {group} carries the tag stateful-asg:pool={tag}, and its policy names pool {pool}; the launch is held: correct the one or the other
    PoolTagDiffers {
        /// The group.
        group: GroupName,
        /// The tag's value.
        tag: String,
        /// The policy's pool.
        pool: PoolName,
    },
    /// group {group} does not carry the tag stateful-asg:pool={pool}; its launches are served, but reconcile does not find what its events do not tell: set the tag
    GroupNotTagged {
        /// The group.
        group: GroupName,
        /// The policy's pool.
        pool: PoolName,
    },
    /// slot {slot} is quarantined: volume {volume}: {problem}; look at the volume, then reinstate the slot
    Quarantined {
        /// The slot.
        slot: SlotId,
        /// The volume.
        volume: VolumeId,
        /// What was seen.
        problem: String,
    },
    /// slot {slot} is quarantined: {reason}; look at its volumes, then reinstate the slot or retire it
    SetApart {
        /// The slot.
        slot: SlotId,
        /// Why it was.
        reason: String,
    },
    /// volume {volume} carries the pool's tag but is not adopted: {problem}
    NotAdopted {
        /// The volume.
        volume: VolumeId,
        /// What was seen and what to do.
        problem: String,
    },
    /// volume {volume} can't be attached: {problem}
    AttachRefused {
        /// The volume.
        volume: VolumeId,
        /// EC2's words.
        problem: String,
    },
    /// {count} free slots of the zone were idle for longer than staleAfterHours; decide whether their data may come back
    StaleSlots {
        /// How many.
        count: usize,
    },
    /// the launch ended without a slot, by its hook's timeout or by hand: the instance is in service without its volume
    InServiceWithoutSlot,
    /// EC2 has not shown volume {volume} for a while though its slot is being released; if it was deleted, retire the slot
    VolumeMissing {
        /// The volume.
        volume: VolumeId,
    },
    /// slot {slot} is held by {holder}, but volume {volume} is not where it should be: {problem}; nothing is attached to an instance that is in service: attach it again by hand, or have the instance replaced
    VolumeAstray {
        /// The slot.
        slot: SlotId,
        /// Who holds it.
        holder: InstanceId,
        /// The volume.
        volume: VolumeId,
        /// What was seen.
        problem: String,
    },
    /// volume {volume} of slot {slot} does not carry its pool's tag stateful-asg:pool any more; it is used all the same: set the tag again, or retire the slot
    PoolTagLost {
        /// The slot.
        slot: SlotId,
        /// The volume.
        volume: VolumeId,
    },
    /// EC2 refuses the tags by which the instance finds its volumes; the launch is held: check the role's ec2:CreateTags
    TagsRefused,
    /// pool {pool} has no record though its volume {volume} was leased: the table was lost; nothing is done for the pool until its records are rebuilt, or the tags stateful-asg:slot and stateful-asg:lease removed
    PoolUnknown {
        /// The pool.
        pool: PoolName,
        /// One of the volumes.
        volume: VolumeId,
    },
    /// volume {volume} of slot {slot} was leased since the records were written: the table was restored from a backup, or lost in part; what hangs on them is held until the pool is rebuilt
    RecordsOutdated {
        /// The slot.
        slot: SlotId,
        /// The volume.
        volume: VolumeId,
    },
    /// the records of pool {pool} are being rebuilt: what hangs on them is held until that has ended; run the rebuild again if it was cut off
    Rebuilding {
        /// The pool.
        pool: PoolName,
    },
    /// no slot is free in {zone}, none is coming, and none may be created: tag a volume for the pool, raise maxSlotsPerZone, or take an instance away
    NoSlot {
        /// The zone.
        zone: Zone,
    },
    /// group {group} launches before it terminates: the new instance waits for a slot of {holder}, which stays in service until the new one is; set its maintenance policy to terminate first, or terminate one of them
    LaunchesFirst {
        /// The group.
        group: GroupName,
        /// One of its instances that hold the zone's slots.
        holder: InstanceId,
    },
    /// no volume can be created: {problem}
    CreationFailed {
        /// What was seen.
        problem: String,
    },
    /// no volume named {volume} is in the pool to create another one like it: give the policy's volume a template
    NothingToCreateFrom {
        /// Its name in the slot.
        volume: VolumeName,
    },
    /// the launch has waited for a slot for longer than waitSeconds, {seconds} s; the reason says what it waits for
    WaitTimedOut {
        /// `waitSeconds`
        seconds: u32,
    },
    /// the launch has waited long for what {holder} holds, which is leaving but does not let go of it; look at that instance: what keeps it from stopping, detaching or terminating
    HolderSlow {
        /// Who holds it.
        holder: InstanceId,
    },
    /// the launch is answered ABANDON, so that its instance is replaced: {why}
    LaunchGivenUp {
        /// Why.
        why: GiveUp,
    },
    /// slot {slot} is held by {holder}, which Auto Scaling retains after its termination was abandoned; save what is on it, then terminate it by way of its group
    RetainedHolder {
        /// The slot.
        slot: SlotId,
        /// Who holds it.
        holder: InstanceId,
    },
    /// slot {slot} is still held by {holder}, which lies in the warm pool of its group and may have its volumes mounted; save what it has not written, then terminate it
    ParkedHolder {
        /// The slot.
        slot: SlotId,
        /// Who holds it.
        holder: InstanceId,
    },
    /// {count} launches of group {group} in {zone} were given up in a row: the next one is held instead; mend what the launch-given-up alarms name
    AbandonBreaker {
        /// The group.
        group: GroupName,
        /// The zone.
        zone: Zone,
        /// How many.
        count: u32,
    },
    /// document {document}, which is to make {instance} let go of its volumes, has not done that: {problem}; the instance is terminated as it is: mend the document, the instance's SSM agent or the function's role
    DocumentFailed {
        /// The document.
        document: DocumentName,
        /// The instance.
        instance: InstanceId,
        /// What was seen.
        problem: String,
    },
    /// claim and slot contradict each other; nothing is touched until a person has looked
    RecordsDisagree,
}

impl Alarm {
    /// The constant name that alarms and metrics go by.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::PolicyFault { .. } => "policy-fault",
            Self::TwoLaunchHooks { .. } => "two-launch-hooks",
            Self::PoolTagDiffers { .. } => "pool-tag-differs",
            Self::GroupNotTagged { .. } => "group-not-tagged",
            Self::Quarantined { .. } | Self::SetApart { .. } => "quarantined",
            Self::NotAdopted { .. } => "not-adopted",
            Self::AttachRefused { .. } => "attach-refused",
            Self::StaleSlots { .. } => "stale-slots",
            Self::InServiceWithoutSlot => "in-service-without-slot",
            Self::VolumeMissing { .. } => "volume-missing",
            Self::VolumeAstray { .. } => "volume-astray",
            Self::PoolTagLost { .. } => "pool-tag-lost",
            Self::TagsRefused => "tags-refused",
            Self::PoolUnknown { .. } => "pool-unknown",
            Self::RecordsOutdated { .. } => "records-outdated",
            Self::Rebuilding { .. } => "rebuilding",
            Self::NoSlot { .. } => "no-slot",
            Self::LaunchesFirst { .. } => "launches-first",
            Self::CreationFailed { .. } => "creation-failed",
            Self::NothingToCreateFrom { .. } => "nothing-to-create-from",
            Self::RetainedHolder { .. } => "retained-holder",
            Self::ParkedHolder { .. } => "parked-holder",
            Self::AbandonBreaker { .. } => "abandon-breaker",
            Self::WaitTimedOut { .. } => "wait-timed-out",
            Self::HolderSlow { .. } => "holder-slow",
            Self::LaunchGivenUp { .. } => "launch-given-up",
            Self::DocumentFailed { .. } => "document-failed",
            Self::RecordsDisagree => "records-disagree",
        }
    }

    /// Whether a launch that waits with this alarm waits for a person to do something, and not for what comes by itself.
    pub const fn holds_launch(&self) -> bool {
        match self {
            Self::PolicyFault { .. }
            | Self::TwoLaunchHooks { .. }
            | Self::PoolTagDiffers { .. }
            | Self::AttachRefused { .. }
            | Self::StaleSlots { .. }
            | Self::TagsRefused
            | Self::PoolUnknown { .. }
            | Self::RecordsOutdated { .. }
            | Self::Rebuilding { .. }
            | Self::NoSlot { .. }
            | Self::LaunchesFirst { .. }
            | Self::CreationFailed { .. }
            | Self::NothingToCreateFrom { .. }
            | Self::WaitTimedOut { .. }
            | Self::HolderSlow { .. }
            | Self::RetainedHolder { .. }
            | Self::ParkedHolder { .. }
            | Self::AbandonBreaker { .. }
            | Self::RecordsDisagree => true,
            Self::GroupNotTagged { .. }
            | Self::Quarantined { .. }
            | Self::SetApart { .. }
            | Self::NotAdopted { .. }
            | Self::InServiceWithoutSlot
            | Self::VolumeMissing { .. }
            | Self::VolumeAstray { .. }
            | Self::PoolTagLost { .. }
            | Self::LaunchGivenUp { .. }
            | Self::DocumentFailed { .. } => false,
        }
    }
}
