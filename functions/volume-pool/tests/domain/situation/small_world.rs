//! A world just large enough to drive the loop by hand: records, instances and volumes that do at once what they are
//! asked to do. What really takes time, lags or fails is scripted by the test between two requests.

use std::collections::{BTreeMap, BTreeSet};

use volume_pool::action_loop::ActionLoop;
use volume_pool::command::{CommandShown, CommandStatus, Sought};
use volume_pool::decide::{Effect, Subject};
use volume_pool::effect::Creation;
use volume_pool::event::{Action, ActionResult, LifecycleEvent, Transition};
use volume_pool::ids::{CommandId, GroupName, InstanceId, VolumeId};
use volume_pool::invocation::Invocation;
use volume_pool::observation::{
    Attachment, AttachmentState, DeleteOnTermination, Described, GroupInstance, GroupView, Hook,
    Instance, InstanceState, LifecycleState, Others, Volume, VolumeState, tags,
};
use volume_pool::ports::{PortError, Refusal};
use volume_pool::record::{Claim, Key, List, OpenMark, Phase, Record, Slot, WaitingMark};
use volume_pool::request::{Outcome, Request, Response};
use volume_pool::{Allowance, Timestamp};

use super::reference_store::ReferenceStore;
use super::{NOW, available, instance, launch_action, our_hooks, place, seconds, slot_id, volume};

#[derive(Debug, Clone)]
pub(crate) struct World {
    pub(crate) store: ReferenceStore,
    pub(crate) members: BTreeMap<InstanceId, GroupInstance>,
    pub(crate) instances: BTreeMap<InstanceId, Instance>,
    pub(crate) volumes: BTreeMap<VolumeId, Volume>,
    pub(crate) hooks: Vec<Hook>,
    pub(crate) answered: Vec<(InstanceId, Action, ActionResult)>,
    pub(crate) tokens: BTreeMap<String, VolumeId>,
    /// The commands that were sent, by their comments, and what has become of each. The first is called `command-1`.
    pub(crate) commands: Vec<(String, CommandStatus)>,
    pub(crate) now: Timestamp,
}

impl World {
    pub(crate) fn new() -> Self {
        Self {
            store: ReferenceStore::default(),
            members: BTreeMap::new(),
            instances: BTreeMap::new(),
            volumes: BTreeMap::new(),
            hooks: our_hooks(),
            answered: Vec::new(),
            tokens: BTreeMap::new(),
            commands: Vec::new(),
            now: NOW,
        }
    }

    /// With this instance running in its group.
    pub(crate) fn with_instance(mut self, number: u32, state: LifecycleState) -> Self {
        let id = instance(number);
        let member = GroupInstance { group: launch_action().group, zone: place().zone, state };
        self.members.insert(id.clone(), member);
        let shown = Instance {
            id: id.clone(),
            zone: place().zone,
            state: InstanceState::Running,
            devices: Vec::new(),
            tags: BTreeMap::new(),
        };
        self.instances.insert(id, shown);
        self
    }

    pub(crate) fn with_volume(mut self, volume: Volume) -> Self {
        self.volumes.insert(volume.id.clone(), volume);
        self
    }

    pub(crate) fn with(mut self, record: Record) -> Self {
        self.store.records.insert(record.key(), record);
        self
    }

    /// With this claim and the marks that stand for it.
    pub(crate) fn with_claim(mut self, claim: Claim) -> Self {
        if claim.open {
            self = self.with(Record::Open(OpenMark::new(&claim, Timestamp::default())));
        }
        if let Phase::Waiting { place, since } = claim.phase.clone() {
            self = self.with(Record::Waiting(WaitingMark::new(&claim, place, since)));
        }
        self.with(Record::Claim(claim))
    }

    pub(crate) fn claim(&self, number: u32) -> &Claim {
        match &self.store.records[&Key::Claim(instance(number))] {
            Record::Claim(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn claim_mut(&mut self, number: u32) -> &mut Claim {
        match self.store.records.get_mut(&Key::Claim(instance(number))).unwrap() {
            Record::Claim(claim) => claim,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn slot(&self, index: u32) -> &Slot {
        match &self.store.records[&Key::Slot(slot_id(index))] {
            Record::Slot(slot) => slot,
            other => panic!("{other:?}"),
        }
    }

    pub(crate) fn runs_as(&mut self, number: u32, state: InstanceState) {
        self.instances.get_mut(&instance(number)).unwrap().state = state;
    }

    fn group(&self, name: &GroupName) -> GroupView {
        GroupView {
            name: name.clone(),
            pool_tag: Some(place().pool.to_string()),
            max_size: 8,
            desired: 8,
            members: self.members.clone().into_iter().collect(),
        }
    }

    /// What it answers.
    pub(crate) fn answer(&mut self, request: &Request) -> Response {
        match request {
            Request::Read { keys, lists } => {
                let lists = lists.iter().map(|list| self.store.list(list)).collect();
                Response::Records(self.store.read(keys), lists)
            }
            Request::Describe(id, volumes) => Response::Described(Described {
                group_instance: self.members.get(id).cloned(),
                instance: self.instances.get(id).cloned(),
                volumes: volumes
                    .iter()
                    .filter_map(|id| Some((id.clone(), self.volumes.get(id)?.clone())))
                    .collect(),
            }),
            Request::Hooks(_) => Response::Hooks(self.hooks.clone()),
            Request::Enrolment(name) => Response::Enrolment(self.hooks.clone(), self.group(name)),
            Request::AvailableVolumes(_) => Response::Volumes(
                self.volumes
                    .values()
                    .filter(|volume| volume.state == VolumeState::Available)
                    .cloned()
                    .collect(),
            ),
            Request::EveryPoolVolume(_) => {
                Response::Volumes(self.volumes.values().cloned().collect())
            }
            Request::SlotVolumes(slot) => {
                let tagged = self.volumes.values().filter(|volume| {
                    volume.tags.get(tags::SLOT).map(String::as_str) == Some(&*slot.to_string())
                });
                Response::Volumes(tagged.cloned().collect())
            }
            Request::Volumes(ids) => Response::Volumes(
                ids.iter().filter_map(|id| self.volumes.get(id)).cloned().collect(),
            ),
            Request::Group(name) => Response::Group(self.group(name)),
            Request::EnrolledGroups => Response::Groups(Vec::new()),
            Request::Others(ids) => Response::Others(Others {
                in_groups: BTreeMap::new(),
                instances: ids
                    .iter()
                    .filter_map(|id| Some((id.clone(), self.instances.get(id)?.clone())))
                    .collect(),
            }),
            Request::Instances(ids) => Response::Instances(
                ids.iter()
                    .filter_map(|id| Some((id.clone(), self.instances.get(id)?.clone())))
                    .collect(),
            ),
            Request::Command(_, sought) => Response::Command(self.command(sought)),
            Request::Effect(_, Effect::RunDocument(run)) => {
                self.commands.push((run.comment.clone(), CommandStatus::UnderWay));
                Response::Sent(Ok(command_id(self.commands.len())))
            }
            Request::Effect(_, Effect::Create(creation)) => {
                Response::Created(Ok(self.created(creation)))
            }
            Request::Commit(transaction) => Response::Committed(self.store.commit(transaction)),
            Request::Poke(id, guard) => Response::Poked(self.store.poke(id, guard)),
            Request::TakePoke(id, _) => {
                self.store.poked.remove(id);
                Response::Done
            }
            Request::Effect(id, effect) => Response::Answered(self.carry_out(id, effect)),
            Request::Pause(pause) => {
                self.now = self.now.plus(*pause);
                Response::Done
            }
            Request::Serve(_) => Response::Done,
            Request::Along(asked, id, volumes) => {
                let answer = self.answer(asked);
                match self.answer(&Request::Describe(id.clone(), volumes.clone())) {
                    Response::Described(described) => {
                        Response::Along(Box::new(answer), Some(described))
                    }
                    other => panic!("{other:?}"),
                }
            }
            Request::Finish(_) => panic!("asked to go on after the end"),
        }
    }

    fn command(&self, sought: &Sought) -> CommandShown {
        let sent = self.commands.iter().enumerate().rev();
        let mut found = sent.filter(|(index, (comment, _))| match sought {
            Sought::Id(id) => *id == command_id(index + 1),
            Sought::Comment { comment: wanted, .. } => comment == wanted,
        });
        found.next().map_or(CommandShown::Nothing, |(index, (_, status))| {
            CommandShown::Command(command_id(index + 1), status.clone())
        })
    }

    /// The same token gives the same volume.
    fn created(&mut self, creation: &Creation) -> VolumeId {
        if let Some(known) = self.tokens.get(&creation.token) {
            return known.clone();
        }
        let id = volume(100 + u32::try_from(self.tokens.len()).unwrap());
        self.tokens.insert(creation.token.clone(), id.clone());
        let fresh = Volume {
            id: id.clone(),
            tags: creation.tags.clone(),
            created_at: self.now,
            like: creation.like.clone(),
            ..available(1)
        };
        self.volumes.insert(id.clone(), fresh);
        id
    }

    fn carry_out(&mut self, id: &InstanceId, effect: &Effect) -> Result<(), Refusal> {
        match effect {
            Effect::Create(_) | Effect::RunDocument(_) => panic!("answered with a name"),
            Effect::Attach(volume, device) => {
                let volume = self.volumes.get_mut(volume).ok_or(Refusal::NotFound)?;
                if !volume.attachments.is_empty() {
                    return Err(Refusal::AlreadyAttached);
                }
                volume.state = VolumeState::InUse;
                volume.attachments.push(Attachment {
                    instance: Some(id.clone()),
                    device: device.to_string(),
                    state: AttachmentState::Attached,
                    delete_on_termination: DeleteOnTermination::Keep,
                    attached_at: self.now,
                });
            }
            Effect::Detach(volume) => {
                let volume = self.volumes.get_mut(volume).ok_or(Refusal::NotFound)?;
                if volume.attachments.first().and_then(|known| known.instance.as_ref()) != Some(id)
                {
                    return Err(Refusal::NotAttached);
                }
                volume.attachments.clear();
                volume.state = VolumeState::Available;
            }
            Effect::KeepOnTermination(device) => {
                let attachments =
                    self.volumes.values_mut().flat_map(|volume| &mut volume.attachments);
                for attachment in attachments.filter(|attachment| attachment.device == *device) {
                    attachment.delete_on_termination = DeleteOnTermination::Keep;
                }
            }
            Effect::Stop => {
                self.instances.get_mut(id).ok_or(Refusal::NotFound)?.state =
                    InstanceState::Stopping;
            }
            Effect::Tag(resource, tags) => {
                let instances = self
                    .instances
                    .values_mut()
                    .map(|known| (known.id.to_string(), &mut known.tags));
                let volumes =
                    self.volumes.values_mut().map(|known| (known.id.to_string(), &mut known.tags));
                for (name, known) in instances.chain(volumes) {
                    if name == *resource {
                        known.extend(tags.clone());
                    }
                }
            }
            Effect::Complete(action, result) => {
                let member = self.waiting_member(id, action)?;
                member.state = match action.transition {
                    Transition::Launching => LifecycleState::InService,
                    Transition::Terminating => LifecycleState::TerminatingProceed,
                };
                self.answered.push((id.clone(), action.clone(), *result));
            }
            Effect::Heartbeat(action) => {
                self.waiting_member(id, action)?;
            }
        }
        Ok(())
    }

    fn waiting_member(
        &mut self,
        id: &InstanceId,
        action: &Action,
    ) -> Result<&mut GroupInstance, Refusal> {
        let awaited: &[LifecycleState] = match action.transition {
            Transition::Launching => {
                &[LifecycleState::PendingWait, LifecycleState::WarmedPendingWait]
            }
            Transition::Terminating => {
                &[LifecycleState::TerminatingWait, LifecycleState::WarmedPendingWait]
            }
        };
        let member = self.members.get_mut(id).ok_or(Refusal::NoActiveAction)?;
        if awaited.contains(&member.state) { Ok(member) } else { Err(Refusal::NoActiveAction) }
    }
}

pub(crate) fn command_id(number: usize) -> CommandId {
    format!("command-{number}").parse().unwrap()
}

type Machine = Box<dyn FnMut(Option<Response>, Timestamp) -> Request>;

/// A machine in a world, between two requests.
pub(crate) struct Run {
    machine: Machine,
    pub(crate) world: World,
    pub(crate) request: Request,
    /// The requests that were answered, in short.
    pub(crate) trace: Vec<String>,
}

pub(crate) fn subject(event: Option<LifecycleEvent>) -> Subject {
    Subject {
        instance: instance(1),
        event,
        hint: None,
        found: None,
        hook_prefix: "stateful-asg".to_owned(),
    }
}

pub(crate) fn allowance(name: &str, now: Timestamp) -> Allowance {
    Allowance {
        invocation: name.parse().unwrap(),
        guard_until: now.plus(seconds(75)),
        stop_at: now.plus(seconds(52)),
    }
}

impl Run {
    /// The bare loop, which asks for `Serve` instead of serving.
    pub(crate) fn of_loop(subject: Subject, world: World) -> Self {
        let mut machine = ActionLoop::new(subject, allowance("me", world.now), true);
        Self::of(
            world,
            Box::new(move |response, now| match response {
                None => machine.start(),
                Some(response) => machine.resume(response, now),
            }),
        )
    }

    pub(crate) fn of_invocation(name: &str, subject: Subject, world: World) -> Self {
        let mut machine = Invocation::new(subject, allowance(name, world.now));
        Self::of(
            world,
            Box::new(move |response, now| match response {
                None => machine.start(now),
                Some(response) => machine.resume(response, now),
            }),
        )
    }

    fn of(world: World, mut machine: Machine) -> Self {
        let request = machine(None, world.now);
        Self { machine, world, request, trace: Vec::new() }
    }

    /// Answers the request as the world does.
    pub(crate) fn step(&mut self) {
        let response = self.world.answer(&self.request);
        self.answer(response);
    }

    /// Answers the request like this instead.
    pub(crate) fn answer(&mut self, response: Response) {
        assert!(self.trace.len() < 2000, "no end: {:?}", &self.trace[1980..]);
        self.trace.push(in_short(&self.request));
        self.world.now = self.world.now.plus(std::time::Duration::from_millis(10));
        self.request = (self.machine)(Some(response), self.world.now);
    }

    /// Lets the request take effect, and its answer get lost.
    pub(crate) fn step_unseen(&mut self) {
        self.world.answer(&self.request);
        self.fail();
    }

    pub(crate) fn fail(&mut self) {
        self.answer(Response::Failed(transient()));
    }

    pub(crate) fn now_asks(&self) -> String {
        in_short(&self.request)
    }

    /// Steps until it asks for something that begins like this.
    #[track_caller]
    pub(crate) fn until(&mut self, beginning: &str) -> &mut Self {
        while !self.now_asks().starts_with(beginning) {
            assert!(
                !matches!(self.request, Request::Finish(_)),
                "never asked to {beginning}: {:?}",
                self.trace
            );
            self.step();
        }
        self
    }

    pub(crate) fn ended(&mut self) -> Outcome {
        loop {
            if let Request::Finish(outcome) = &self.request {
                return outcome.clone();
            }
            self.step();
        }
    }

    /// What it asked for from a request that begins like this on, the current one included.
    pub(crate) fn since(&self, answered: usize) -> &[String] {
        &self.trace[answered..]
    }

    /// Those that begin like one of these, in order.
    pub(crate) fn only(&self, beginnings: &[&str]) -> Vec<&str> {
        let wanted = |word: &&str| beginnings.iter().any(|beginning| word.starts_with(beginning));
        self.trace.iter().map(String::as_str).filter(wanted).collect()
    }
}

pub(crate) fn transient() -> PortError {
    PortError::Transient { call: "test", problem: "throttled".to_owned() }
}

/// A request in a few words.
pub(crate) fn in_short(request: &Request) -> String {
    match request {
        Request::Read { keys, lists } => {
            let keys: BTreeSet<&str> = keys.iter().map(kind).collect();
            let lists: Vec<&str> = lists.iter().map(list).collect();
            let both: Vec<&str> = keys.into_iter().chain(lists).collect();
            format!("read {}", both.join("+"))
        }
        Request::Describe(..) => "describe".to_owned(),
        Request::Hooks(_) => "look at hooks".to_owned(),
        Request::Enrolment(_) => "look at hooks and group".to_owned(),
        Request::AvailableVolumes(_) => "look for available volumes".to_owned(),
        Request::EveryPoolVolume(_) => "look at the pool".to_owned(),
        Request::SlotVolumes(_) => "look for created volumes".to_owned(),
        Request::Volumes(_) => "look at volumes".to_owned(),
        Request::Group(_) => "look at the group".to_owned(),
        Request::EnrolledGroups => "look at all groups".to_owned(),
        Request::Others(_) => "look at others".to_owned(),
        Request::Instances(_) => "look at holders".to_owned(),
        Request::Command(..) => "look at the command".to_owned(),
        Request::Commit(transaction) => format!("commit {}", transaction.name),
        Request::Poke(..) => "poke".to_owned(),
        Request::TakePoke(..) => "take poke".to_owned(),
        Request::Effect(id, effect) => {
            let number = id.as_str().trim_start_matches("i-").trim_start_matches('0');
            let call = effect.call().split_once(':').map_or("", |(_, call)| call);
            format!("{call} {number}")
        }
        Request::Pause(_) => "pause".to_owned(),
        Request::Serve(_) => "serve".to_owned(),
        Request::Along(asked, ..) => match in_short(asked) {
            look if look.starts_with("look") => "describe with hooks and group".to_owned(),
            asked => asked,
        },
        Request::Finish(outcome) => format!("finish {:?}", outcome.ending),
    }
}

fn kind(key: &Key) -> &'static str {
    match key {
        Key::Claim(_) => "claim",
        Key::Slot(_) => "slot",
        Key::Pool(_) => "pool",
        Key::Group(_) => "group",
        Key::Volume(_) => "volume",
        Key::Waiting(..) => "waiting mark",
        Key::Free(..) => "free mark",
        Key::Coming(..) => "coming mark",
        Key::Held(..) => "held mark",
        Key::Apart(..) => "apart mark",
        Key::Open(_) => "open mark",
        Key::Known(_) => "known mark",
    }
}

fn list(list: &List) -> &'static str {
    match list {
        List::Waiting(_) => "waiting",
        List::Free(_) => "free",
        List::Coming(_) => "coming",
        List::Held(_) => "held",
        List::EveryHeld(_) => "every held",
        List::EveryFree(_) => "every free",
        List::EveryApart(_) => "every apart",
        List::EveryWaiting(_) => "every waiting",
        List::EveryComing(_) => "every coming",
        List::Whole(_) => "whole pool",
        List::Open => "open",
        List::Pools => "pools",
    }
}
