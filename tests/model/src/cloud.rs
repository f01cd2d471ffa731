//! EC2 and Auto Scaling, as little of them as can go wrong: what is attached where, where each instance stands in its
//! life and in its group, and which lifecycle action waits. What AWS does in its own time is a step of its own here, so
//! that anything can happen before it.

use std::collections::{BTreeMap, BTreeSet};

use volume_pool::Timestamp;
use volume_pool::action::{Action, ActionResult, Transition};
use volume_pool::decide::Effect;
use volume_pool::effect::Creation;
use volume_pool::ids::{InstanceId, VolumeId};
use volume_pool::observation::{
    Attachment, AttachmentState, DeleteOnTermination, Described, GroupInstance, GroupView,
    Instance, InstanceState, LifecycleState, Volume, VolumeState, tags,
};
use volume_pool::policy::Template;
use volume_pool::ports::Refusal;

use crate::names;

/// How quickly EC2 does what it was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pace {
    /// At once.
    AtOnce,
    /// In its own time.
    Slow,
}

/// AWS, as it really is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cloud {
    /// The time.
    pub now: Timestamp,
    /// The group's instances.
    pub members: BTreeMap<InstanceId, Member>,
    /// The instances that EC2 knows.
    pub instances: BTreeMap<InstanceId, Instance>,
    /// The volumes.
    pub volumes: BTreeMap<VolumeId, Volume>,
    /// The instances whose database runs, with the volumes mounted.
    pub mounted: BTreeSet<InstanceId>,
    /// What each client token of `CreateVolume` gave.
    tokens: BTreeMap<String, VolumeId>,
    /// How many actions each instance has had.
    actions: BTreeMap<InstanceId, u8>,
}

/// An instance of the group.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Member {
    /// What Auto Scaling shows of it.
    pub shown: GroupInstance,
    /// The action that waits for an answer.
    pub waits: Option<Action>,
}

impl Cloud {
    /// A group without instances and a pool of these volumes, each under its name in its slot.
    pub(crate) fn new(slots: u32, names: &[&str]) -> Self {
        let volumes = (0..slots).flat_map(|slot| {
            names.iter().map(move |name| {
                let id = names::volume(slot, name);
                let tags = [
                    (tags::POOL, names::pool().to_string()),
                    (tags::SLOT, names::slot(slot).to_string()),
                    (tags::VOLUME, (*name).to_owned()),
                ];
                let tags = tags.map(|(key, value)| (key.to_owned(), value));
                (id.clone(), available(id, BTreeMap::from(tags)))
            })
        });
        Self {
            now: Timestamp::from_millis(1_000_000_000),
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            volumes: volumes.collect(),
            mounted: BTreeSet::new(),
            tokens: BTreeMap::new(),
            actions: BTreeMap::new(),
        }
    }

    /// Where the group shows the instance.
    pub fn stands(&self, instance: &InstanceId) -> Option<&LifecycleState> {
        self.members.get(instance).map(|member| &member.shown.state)
    }

    /// What EC2 shows of the instance's state.
    pub fn runs(&self, instance: &InstanceId) -> Option<&InstanceState> {
        self.instances.get(instance).map(|instance| &instance.state)
    }

    /// Whether the instance runs on, so that what hangs on it is in its hands.
    pub fn alive(&self, instance: &InstanceId) -> bool {
        matches!(
            self.runs(instance),
            Some(InstanceState::Pending | InstanceState::Running | InstanceState::Stopping)
        )
    }

    /// The volume's attachment, if it has one.
    pub fn attachment(&self, volume: &VolumeId) -> Option<&Attachment> {
        self.volumes.get(volume).and_then(Volume::attachment)
    }

    /// The answer to a describe of the instance and these volumes.
    pub(crate) fn described(&self, instance: &InstanceId, volumes: &[VolumeId]) -> Described {
        let known = |id: &VolumeId| Some((id.clone(), self.volumes.get(id)?.clone()));
        Described {
            group_instance: self.members.get(instance).map(|member| member.shown.clone()),
            instance: self.instance(instance),
            volumes: volumes.iter().filter_map(known).collect(),
        }
    }

    /// The instance as EC2 shows it, with the devices that its volumes take.
    pub(crate) fn instance(&self, id: &InstanceId) -> Option<Instance> {
        let mut shown = self.instances.get(id)?.clone();
        let here = self.volumes.values().filter_map(Volume::attachment);
        let here = here.filter(|attachment| attachment.instance.as_ref() == Some(id));
        shown.devices = here.map(|attachment| attachment.device.clone()).collect();
        Some(shown)
    }

    /// The group with its instances, of which it wants as many as it has.
    pub(crate) fn group(&self, most: u32) -> GroupView {
        let members = self.members.iter();
        GroupView {
            name: names::group(),
            pool_tag: Some(names::pool().to_string()),
            max_size: most,
            desired: most,
            members: members.map(|(id, member)| (id.clone(), member.shown.clone())).collect(),
        }
    }

    /// `CreateVolume`: the same token gives the same volume.
    pub(crate) fn create(&mut self, creation: &Creation) -> VolumeId {
        if let Some(known) = self.tokens.get(&creation.token) {
            return known.clone();
        }
        let id = names::created(self.tokens.len());
        self.tokens.insert(creation.token.clone(), id.clone());
        self.volumes.insert(id.clone(), available(id.clone(), creation.tags.clone()));
        id
    }

    /// Every other call that changes something; what it gives is what AWS answers.
    pub(crate) fn carry_out(
        &mut self,
        id: &InstanceId,
        effect: &Effect,
        pace: Pace,
    ) -> Result<(), Refusal> {
        match effect {
            Effect::Attach(volume, device) => {
                if self.volumes.get(volume).ok_or(Refusal::NotFound)?.attachment().is_some() {
                    return Err(Refusal::AlreadyAttached);
                }
                let state = self.runs(id).ok_or(Refusal::NotFound)?;
                if !matches!(state, InstanceState::Running | InstanceState::Stopped) {
                    return Err(Refusal::IncorrectState(format!("{id} is not 'running'")));
                }
                let attachment = Attachment {
                    instance: Some(id.clone()),
                    device: device.to_string(),
                    state: AttachmentState::Attaching,
                    delete_on_termination: DeleteOnTermination::Keep,
                    attached_at: self.now,
                };
                if let Some(volume) = self.volumes.get_mut(volume) {
                    volume.state = VolumeState::InUse;
                    volume.attachments = vec![attachment];
                }
                if pace == Pace::AtOnce {
                    self.attached(volume);
                }
            }
            Effect::Detach(volume) => {
                let found = self.volumes.get_mut(volume).ok_or(Refusal::NotFound)?;
                let here = found.attachments.iter_mut().find(|it| it.instance.as_ref() == Some(id));
                here.ok_or(Refusal::NotAttached)?.state = AttachmentState::Detaching;
                if pace == Pace::AtOnce {
                    self.detached(volume);
                }
            }
            Effect::Stop => {
                let instance = self.instances.get_mut(id).ok_or(Refusal::NotFound)?;
                match instance.state {
                    InstanceState::Running | InstanceState::Stopping => {
                        instance.state = InstanceState::Stopping;
                    }
                    InstanceState::Stopped => {}
                    _ => return Err(Refusal::IncorrectState(format!("{id} can't be stopped"))),
                }
                if pace == Pace::AtOnce {
                    self.stopped(id);
                }
            }
            Effect::Tag(resource, tags) => {
                if let Some(instance) = self.instances.get_mut(id)
                    && instance.id.as_str() == resource
                {
                    instance.tags.extend(tags.clone());
                }
            }
            Effect::Complete(action, result) => return self.complete(id, action, *result),
            // No configuration has a policy that runs documents.
            Effect::KeepOnTermination(_)
            | Effect::Heartbeat(_)
            | Effect::Create(_)
            | Effect::RunDocument(_) => {}
        }
        Ok(())
    }

    /// `CompleteLifecycleAction`, by token or by instance and hook.
    fn complete(
        &mut self,
        id: &InstanceId,
        action: &Action,
        result: ActionResult,
    ) -> Result<(), Refusal> {
        let member = self.members.get(id).ok_or(Refusal::NoActiveAction)?;
        let awaited = member.waits.as_ref().filter(|awaited| awaited.may_be(action));
        let awaited = awaited.ok_or(Refusal::NoActiveAction)?.clone();
        self.answered(id, &awaited, result);
        Ok(())
    }

    /// Where the instance goes when the action that it waits in has this answer.
    pub(crate) fn answered(&mut self, id: &InstanceId, action: &Action, result: ActionResult) {
        match (action.transition, result, action.to_warm_pool()) {
            (_, ActionResult::Continue, true) => {
                self.moves(id, LifecycleState::Other("Warmed:Running".to_owned()));
            }
            (Transition::Launching, ActionResult::Continue, false) => {
                self.moves(id, LifecycleState::InService);
                if self.runs(id) == Some(&InstanceState::Running) {
                    self.mounted.insert(id.clone());
                }
            }
            (Transition::Launching, ActionResult::Abandon, _) | (Transition::Terminating, _, _) => {
                self.moves(id, LifecycleState::TerminatingProceed);
                self.shuts_down(id);
            }
        }
    }

    fn moves(&mut self, id: &InstanceId, state: LifecycleState) {
        if let Some(member) = self.members.get_mut(id) {
            member.shown.state = state;
            member.waits = None;
        }
    }

    fn waits_in(
        &mut self,
        id: &InstanceId,
        state: LifecycleState,
        transition: Transition,
        destination: &str,
    ) -> Action {
        let number = self.actions.entry(id.clone()).or_default();
        *number += 1;
        let action = names::action(transition, *number, destination);
        let shown = GroupInstance { group: names::group(), zone: names::zone(), state };
        self.members.insert(id.clone(), Member { shown, waits: Some(action.clone()) });
        action
    }

    /// The group launches the instance, into service or into its warm pool.
    pub(crate) fn launch(&mut self, id: &InstanceId, into: Bound) -> Action {
        let fresh = Instance {
            id: id.clone(),
            zone: names::zone(),
            state: InstanceState::Running,
            devices: Vec::new(),
            tags: BTreeMap::new(),
        };
        self.instances.entry(id.clone()).or_insert(fresh);
        match into {
            Bound::Service => self.waits_in(
                id,
                LifecycleState::PendingWait,
                Transition::Launching,
                "AutoScalingGroup",
            ),
            Bound::WarmPool => self.waits_in(
                id,
                LifecycleState::WarmedPendingWait,
                Transition::Launching,
                "WarmPool",
            ),
        }
    }

    /// The group takes the instance out of its warm pool, and starts it if it was stopped.
    pub(crate) fn takes_from_pool(&mut self, id: &InstanceId) -> Action {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.state = InstanceState::Running;
        }
        self.launch(id, Bound::Service)
    }

    /// The group takes the instance out of service, to terminate it or to put it back into its warm pool: the terminate
    /// hooks run either way (EC2 Auto Scaling User Guide, "Use lifecycle hooks with a warm pool").
    pub(crate) fn takes_out(&mut self, id: &InstanceId, bound: Departure) -> Action {
        let (state, destination) = match bound {
            Departure::Terminated => (LifecycleState::TerminatingWait, "EC2"),
            Departure::Parked => (LifecycleState::WarmedPendingWait, "WarmPool"),
        };
        self.waits_in(id, state, Transition::Terminating, destination)
    }

    /// The hook times out. A launch and a termination end as by ABANDON; a return to the warm pool ends there, as by a
    /// hook whose `DefaultResult` is CONTINUE: the instance is parked with whatever it has.
    pub(crate) fn times_out(&mut self, id: &InstanceId) {
        let Some(action) = self.members.get(id).and_then(|member| member.waits.clone()) else {
            return;
        };
        let default =
            if action.to_warm_pool() { ActionResult::Continue } else { ActionResult::Abandon };
        self.answered(id, &action, default);
    }

    /// The instance is being terminated.
    pub(crate) fn shuts_down(&mut self, id: &InstanceId) {
        if let Some(instance) = self.instances.get_mut(id)
            && instance.state != InstanceState::Terminated
        {
            instance.state = InstanceState::ShuttingDown;
        }
    }

    /// The instance has stopped: nothing is mounted there any more.
    pub(crate) fn stopped(&mut self, id: &InstanceId) {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.state = InstanceState::Stopped;
        }
        self.mounted.remove(id);
    }

    /// The instance is terminated, and with that its volumes are free. Its group has noticed if it asked for it.
    pub(crate) fn terminated(&mut self, id: &InstanceId) {
        if let Some(instance) = self.instances.get_mut(id) {
            instance.state = InstanceState::Terminated;
        }
        self.mounted.remove(id);
        let here = self.volumes.values().filter(|volume| {
            volume.attachment().is_some_and(|it| it.instance.as_ref() == Some(id))
        });
        let here: Vec<VolumeId> = here.map(|volume| volume.id.clone()).collect();
        for volume in here {
            self.detached(&volume);
        }
        if self.stands(id) == Some(&LifecycleState::TerminatingProceed) {
            self.members.remove(id);
        }
    }

    /// The group notices that an instance is gone without its doing: whatever it waited in is over, and it leaves the
    /// group.
    pub(crate) fn noticed_gone(&mut self, id: &InstanceId) {
        self.moves(id, LifecycleState::TerminatingProceed);
        if self.runs(id) == Some(&InstanceState::Terminated) {
            self.members.remove(id);
        }
    }

    /// An attachment is through.
    pub(crate) fn attached(&mut self, id: &VolumeId) {
        for attachment in self.volumes.get_mut(id).into_iter().flat_map(|it| &mut it.attachments) {
            attachment.state = AttachmentState::Attached;
        }
    }

    /// A detachment is through.
    pub(crate) fn detached(&mut self, id: &VolumeId) {
        if let Some(volume) = self.volumes.get_mut(id) {
            volume.attachments.clear();
            volume.state = VolumeState::Available;
        }
    }
}

/// Where a launched instance is bound for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Bound {
    Service,
    WarmPool,
}

/// Where an instance that leaves service is bound for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Departure {
    Terminated,
    Parked,
}

fn available(id: VolumeId, tags: BTreeMap<String, String>) -> Volume {
    Volume {
        id,
        zone: names::zone(),
        state: VolumeState::Available,
        multi_attach: false,
        attachments: Vec::new(),
        tags,
        created_at: Timestamp::from_millis(0),
        like: Template {
            volume_type: "gp3".to_owned(),
            size_gib: 1,
            iops: None,
            throughput: None,
            encrypted: false,
            kms_key_id: None,
            tags: BTreeMap::new(),
        },
    }
}
