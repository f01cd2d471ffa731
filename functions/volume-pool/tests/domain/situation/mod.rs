//! Situations to decide in: an instance `i-00000001` of the group `cassandra-a` in `eu-central-1a`, which launches or
//! terminates, and what is on record and in AWS about it. Each starts plain; a test changes what it is about.

pub(crate) mod reference_store;
pub(crate) mod small_world;

use std::collections::BTreeMap;
use std::time::Duration;

use volume_pool::Timestamp;
use volume_pool::decide::{Alarm, Decision, Effect, Observation, Reason, Step, Subject, decide};
use volume_pool::event::{Action, LifecycleEvent, Transition};
use volume_pool::ids::{DeviceName, InstanceId, SlotId, VolumeId};
use volume_pool::lease_tag::LeaseTag;
use volume_pool::observation::{
    Attachment, AttachmentState, DeleteOnTermination, GroupInstance, GroupView, Hook, Instance,
    InstanceState, LifecycleState, Volume, VolumeState, tags,
};
use volume_pool::policy::{Leave, LeaveMode, Mode, Policy, Template, VolumeSpec, WhenEmpty};
use volume_pool::record::{
    Claim, ComingMark, Format, Group, Origin, Phase, Place, Slot, SlotState, SlotVolume,
    WaitingMark,
};
use volume_pool::transition::{Expect, Transaction, Write};
use volume_pool::zone::{Candidates, ZoneView};

/// 2026-11-23T21:30:00Z.
pub(crate) const NOW: Timestamp = Timestamp::from_millis(1_795_469_400_000);
pub(crate) const POLICY: &str = r#"{"pool":"cassandra"}"#;

pub(crate) fn seconds_ago(seconds: u64) -> Timestamp {
    Timestamp::from_millis(NOW.as_millis() - seconds * 1000)
}

pub(crate) fn hours_ago(hours: u64) -> Timestamp {
    seconds_ago(hours * 3600)
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The instance that a situation is about is number 1.
pub(crate) fn instance(number: u32) -> InstanceId {
    format!("i-{number:08x}").parse().unwrap()
}

pub(crate) fn volume(number: u32) -> VolumeId {
    format!("vol-{number:08x}").parse().unwrap()
}

pub(crate) fn slot_id(index: u32) -> SlotId {
    SlotId { pool: "cassandra".parse().unwrap(), index }
}

pub(crate) fn device(name: &str) -> DeviceName {
    name.parse().unwrap()
}

pub(crate) fn place() -> Place {
    Place { pool: "cassandra".parse().unwrap(), zone: "eu-central-1a".parse().unwrap() }
}

pub(crate) fn policy() -> Policy {
    Policy::for_pool(place().pool)
}

pub(crate) fn policy_leaving(mode: LeaveMode) -> Policy {
    let document = (mode == LeaveMode::Ssm).then(|| "drain".parse().unwrap());
    Policy { leave: Leave { mode, document, ..Leave::default() }, ..policy() }
}

/// A policy whose slots have a volume `data` at `/dev/sdf` and a volume `log` at `/dev/sdg`.
pub(crate) fn policy_of_two_volumes() -> Policy {
    let log =
        VolumeSpec { name: "log".parse().unwrap(), device: device("/dev/sdg"), template: None };
    Policy { volumes: vec![policy().volumes[0].clone(), log], ..policy() }
}

pub(crate) fn observing() -> Policy {
    Policy { mode: Mode::Observe, ..policy() }
}

pub(crate) fn launch_action() -> Action {
    Action {
        group: "cassandra-a".parse().unwrap(),
        hook: "stateful-asg-launch".parse().unwrap(),
        token: Some("launch-1".parse().unwrap()),
        transition: Transition::Launching,
        destination: Some("AutoScalingGroup".to_owned()),
        began_at: None,
    }
}

pub(crate) fn terminate_action() -> Action {
    Action {
        hook: "stateful-asg-terminate".parse().unwrap(),
        token: Some("terminate-1".parse().unwrap()),
        transition: Transition::Terminating,
        destination: Some("EC2".to_owned()),
        ..launch_action()
    }
}

pub(crate) fn event(action: Action, metadata: Option<&str>) -> LifecycleEvent {
    LifecycleEvent { instance: instance(1), action, metadata: metadata.map(ToOwned::to_owned) }
}

pub(crate) fn hook(name: &str, transition: Transition, metadata: Option<&str>) -> Hook {
    Hook {
        name: name.parse().unwrap(),
        transition,
        metadata: metadata.map(ToOwned::to_owned),
        heartbeat_timeout: seconds(300),
        global_timeout: seconds(30_000),
    }
}

pub(crate) fn our_hooks() -> Vec<Hook> {
    vec![
        hook("stateful-asg-launch", Transition::Launching, Some(POLICY)),
        hook("stateful-asg-terminate", Transition::Terminating, None),
    ]
}

pub(crate) fn group(policy: Policy) -> Group {
    Group { version: 4, ..Group::new(launch_action().group, policy) }
}

/// A closed claim of instance 1, version 7, with the launch as its open action.
pub(crate) fn claim() -> Claim {
    Claim {
        version: 7,
        action: Some(launch_action()),
        action_at: Some(seconds_ago(10)),
        policy: Some(policy()),
        open: true,
        since: seconds_ago(10),
        ..Claim::new(instance(1))
    }
}

pub(crate) fn waiting_claim() -> Claim {
    Claim { phase: Phase::Waiting { place: place(), since: seconds_ago(10) }, ..claim() }
}

/// Under epoch 3, that of [`leased_slot`].
pub(crate) fn leased_claim() -> Claim {
    Claim {
        phase: Phase::Leased { slot: slot_id(0), epoch: 3 },
        last_slot: Some(slot_id(0)),
        ..claim()
    }
}

/// Under epoch 3, that of [`releasing_slot`].
pub(crate) fn leaving_claim() -> Claim {
    Claim {
        phase: Phase::Leaving { slot: slot_id(0), epoch: 3, since: seconds_ago(10) },
        action: Some(terminate_action()),
        last_slot: Some(slot_id(0)),
        ..claim()
    }
}

/// A free slot at version 5 and epoch 2, with volume `index + 1` as `data` at `/dev/sdf`.
pub(crate) fn free_slot(index: u32) -> Slot {
    Slot {
        id: slot_id(index),
        zone: place().zone,
        version: 5,
        epoch: 2,
        state: SlotState::Free,
        recent_holders: vec![instance(90)],
        volumes: vec![slot_volume("data", index + 1, "/dev/sdf")],
        format: Format::Over,
        leased_at: None,
        released_at: Some(hours_ago(1)),
        moving: None,
        reason: String::new(),
    }
}

pub(crate) fn slot_volume(name: &str, number: u32, at: &str) -> SlotVolume {
    SlotVolume {
        name: name.parse().unwrap(),
        volume: volume(number),
        device: device(at),
        origin: Origin::Adopted,
        created_at: hours_ago(1000),
    }
}

/// Slot 0 with volume 1, leased to instance 1 under epoch 3; instance 90 held it before.
pub(crate) fn leased_slot() -> Slot {
    Slot {
        epoch: 3,
        state: SlotState::Leased { holder: instance(1) },
        recent_holders: vec![instance(1), instance(90)],
        leased_at: Some(seconds_ago(10)),
        ..free_slot(0)
    }
}

pub(crate) fn releasing_slot() -> Slot {
    Slot { state: SlotState::Releasing { holder: instance(1) }, ..leased_slot() }
}

pub(crate) fn earlier_waiter(number: u32) -> WaitingMark {
    WaitingMark {
        place: place(),
        since: seconds_ago(60),
        instance: instance(number),
        stale_after_hours: None,
    }
}

pub(crate) fn coming(index: u32, holder: u32) -> ComingMark {
    ComingMark { place: place(), slot: slot_id(index), holder: instance(holder) }
}

/// An available volume with the pool's tag.
pub(crate) fn available(number: u32) -> Volume {
    Volume {
        id: volume(number),
        zone: place().zone,
        state: VolumeState::Available,
        multi_attach: false,
        attachments: Vec::new(),
        tags: BTreeMap::from([(tags::POOL.to_owned(), "cassandra".to_owned())]),
        created_at: hours_ago(1000),
        like: template(),
    }
}

/// What the volumes here are like.
pub(crate) fn template() -> Template {
    Template {
        volume_type: "gp3".to_owned(),
        size_gib: 100,
        iops: Some(3000),
        throughput: Some(125),
        encrypted: true,
        kms_key_id: None,
        tags: BTreeMap::new(),
    }
}

/// The instance's group: at most three instances, two wanted, of which instance 1 launches.
pub(crate) fn members() -> GroupView {
    let member = GroupInstance {
        group: launch_action().group,
        zone: place().zone,
        state: LifecycleState::PendingWait,
    };
    GroupView {
        name: launch_action().group,
        pool_tag: Some("cassandra".to_owned()),
        max_size: 3,
        desired: 2,
        members: BTreeMap::from([(instance(1), member)]),
    }
}

pub(crate) fn tagged(number: u32, more: &[(&str, &str)]) -> Volume {
    let mut volume = available(number);
    volume.tags.extend(more.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())));
    volume
}

/// A volume on an instance at `/dev/sdf`, with the tags of slot 0, in this attachment state.
pub(crate) fn on(number: u32, holder: u32, state: AttachmentState) -> Volume {
    let mut volume = tagged(number, &[(tags::SLOT, "cassandra-0"), (tags::VOLUME, "data")]);
    volume.state = VolumeState::InUse;
    volume.attachments = vec![Attachment {
        instance: Some(instance(holder)),
        device: "/dev/sdf".to_owned(),
        state,
        delete_on_termination: DeleteOnTermination::Keep,
        attached_at: seconds_ago(5),
    }];
    volume
}

/// Volume 1 on instance 1, with every tag of [`leased_slot`].
pub(crate) fn leased_volume() -> Volume {
    let mut attached = on(1, 1, AttachmentState::Attached);
    attached.tags.insert(tags::LEASE.to_owned(), lease_tag());
    attached
}

/// The tag of volume 1 under the lease of [`leased_slot`].
pub(crate) fn lease_tag() -> String {
    LeaseTag::present(&leased_slot(), &volume(1)).unwrap().to_string()
}

/// A subject and what was observed of it.
#[derive(Debug, Clone)]
pub(crate) struct Situation {
    pub(crate) subject: Subject,
    pub(crate) seen: Observation,
}

impl Situation {
    /// Instance 1 runs, its launch hook waits, its event has come, and nothing is on record. Its group and
    /// the hooks are known.
    pub(crate) fn launching() -> Self {
        let subject = Subject {
            instance: instance(1),
            event: Some(event(launch_action(), Some(POLICY))),
            hint: None,
            found: None,
            hook_prefix: "stateful-asg".to_owned(),
        };
        let (hooks, members) = (Some(our_hooks()), Some(members()));
        let mut seen = Observation { hooks, members, ..Observation::default() };
        seen.described.group_instance = Some(GroupInstance {
            group: launch_action().group,
            zone: place().zone,
            state: LifecycleState::PendingWait,
        });
        seen.described.instance = Some(Instance {
            id: instance(1),
            zone: place().zone,
            state: InstanceState::Running,
            devices: vec!["/dev/xvda".to_owned()],
            tags: BTreeMap::new(),
        });
        Self { subject, seen }
    }

    /// As above, in the queue of its zone, whose lists are empty.
    pub(crate) fn waiting() -> Self {
        let mut situation = Self::launching();
        situation.seen.claim = Some(waiting_claim());
        situation.seen.zone = Some(ZoneView::default());
        situation.seen.members = None;
        situation
    }

    /// As above, after every look at what might be adopted or come free found nothing, under a policy that creates
    /// none.
    pub(crate) fn waiting_for_none() -> Self {
        let mut situation = Self::waiting();
        situation.policy_mut().when_empty = WhenEmpty::Wait;
        situation.seen.candidates = Some(Candidates::default());
        situation.seen.pool = Some(Vec::new());
        situation.seen.held = Some(Vec::new());
        situation.seen.members = Some(members());
        situation.seen.holders = Some(BTreeMap::new());
        situation
    }

    /// The tags of the volume and of the instance were set in this run.
    pub(crate) fn tags_are_set(&mut self) {
        let resources = [volume(1).to_string(), instance(1).to_string()];
        self.seen.answers.tagged.extend(resources);
    }

    /// The policy that the claim goes by.
    pub(crate) fn policy_mut(&mut self) -> &mut Policy {
        self.seen.claim.as_mut().unwrap().policy.as_mut().unwrap()
    }

    /// It launches and holds slot 0, whose volume 1 is available.
    pub(crate) fn leased() -> Self {
        let mut situation = Self::launching();
        situation.seen.claim = Some(leased_claim());
        situation.seen.slot = Some(leased_slot());
        situation.show(available(1));
        situation
    }

    /// It launches, holds slot 0, and its volume is attached for good; every tag is set.
    pub(crate) fn attached() -> Self {
        let mut situation = Self::leased();
        situation.show(leased_volume());
        let tags = &mut situation.seen.described.instance.as_mut().unwrap().tags;
        tags.insert(tags::SLOT.to_owned(), "cassandra-0".to_owned());
        tags.insert(tags::INDEX.to_owned(), "0".to_owned());
        tags.insert(format!("{}:data", tags::VOLUME), volume(1).to_string());
        situation
    }

    /// It runs, holds slot 0 with its volume attached, its terminate hook waits and its event has come.
    pub(crate) fn terminating() -> Self {
        let mut situation = Self::attached();
        situation.subject.event = Some(event(terminate_action(), None));
        situation.seen.hooks = None;
        situation.shown_as(LifecycleState::TerminatingWait);
        situation
    }

    /// As above, the slot already marked releasing, under a policy with this leave mode. The hooks are known.
    pub(crate) fn leaving(mode: LeaveMode) -> Self {
        let mut situation = Self::terminating();
        situation.seen.claim =
            Some(Claim { policy: Some(policy_leaving(mode)), ..leaving_claim() });
        situation.seen.slot = Some(releasing_slot());
        situation.seen.hooks = Some(our_hooks());
        situation
    }

    pub(crate) fn show(&mut self, volume: Volume) {
        self.seen.described.volumes.insert(volume.id.clone(), volume);
    }

    pub(crate) fn shown_as(&mut self, state: LifecycleState) {
        self.seen.described.group_instance.as_mut().unwrap().state = state;
    }

    pub(crate) fn runs_as(&mut self, state: InstanceState) {
        self.seen.described.instance.as_mut().unwrap().state = state;
    }

    pub(crate) fn claim(&mut self) -> &mut Claim {
        self.seen.claim.as_mut().unwrap()
    }

    pub(crate) fn slot(&mut self) -> &mut Slot {
        self.seen.slot.as_mut().unwrap()
    }

    pub(crate) fn zone(&mut self) -> &mut ZoneView {
        self.seen.zone.as_mut().unwrap()
    }

    pub(crate) fn attachment(&mut self, number: u32) -> &mut Attachment {
        &mut self.seen.described.volumes.get_mut(&volume(number)).unwrap().attachments[0]
    }

    pub(crate) fn decided(&self) -> Decision {
        decide(&self.subject, &self.seen, NOW)
    }

    /// Asserts the step and the reason.
    #[track_caller]
    pub(crate) fn gives(&self, step: &Step, reason: &Reason) {
        let decided = self.decided();
        assert_eq!((&decided.step, &decided.reason), (step, reason));
    }

    /// Asserts that the step is this effect, for this reason.
    #[track_caller]
    pub(crate) fn gives_effect(&self, effect: Effect, reason: &Reason) {
        self.gives(&Step::Effect(effect), reason);
    }

    /// Asserts that the step is the transaction of this name, for this reason, and gives it.
    #[track_caller]
    pub(crate) fn gives_transaction(&self, name: &str, reason: &Reason) -> Transaction {
        let decided = self.decided();
        assert_eq!(decided.reason, *reason);
        match decided.step {
            Step::Commit(transaction) if transaction.name == name => transaction,
            step => panic!("no {name}: {step:?}"),
        }
    }

    /// Asserts that it rests with work left, keeping this action alive.
    #[track_caller]
    pub(crate) fn rests(&self, heartbeat: Option<Action>, reason: &Reason) {
        self.gives(&Step::Rest { work_left: true, heartbeat }, reason);
    }

    /// Asserts that nothing is left to do.
    #[track_caller]
    pub(crate) fn settles(&self, reason: &Reason) {
        self.gives(&Step::Rest { work_left: false, heartbeat: None }, reason);
    }

    #[track_caller]
    pub(crate) fn alarms(&self) -> Vec<Alarm> {
        self.decided().alarms
    }
}

pub(crate) fn written_slots(transaction: &Transaction) -> Vec<&Slot> {
    let records = transaction.writes.iter().filter_map(|write| match write {
        Write::Put(volume_pool::record::Record::Slot(slot), _) => Some(slot),
        Write::Put(..) | Write::Delete(_) => None,
    });
    records.collect()
}

#[track_caller]
pub(crate) fn written_slot(transaction: &Transaction) -> &Slot {
    written_slots(transaction)[0]
}

#[track_caller]
pub(crate) fn written_claim(transaction: &Transaction) -> (&Claim, Expect) {
    let mut records = transaction.writes.iter().filter_map(|write| match write {
        Write::Put(volume_pool::record::Record::Claim(claim), expect) => Some((claim, *expect)),
        Write::Put(..) | Write::Delete(_) => None,
    });
    records.next().unwrap()
}
