//! What holds of every decision, whatever was observed. The situations are made from choices among few ids and few
//! times, so that things meet; most of them never happen, and the decision must be safe in them all the same.

use crate::situation;
use std::collections::{BTreeMap, BTreeSet};
use std::mem::discriminant;
use std::time::Duration;

use crate::situation::reference_store::ReferenceStore;
use crate::situation::{
    NOW, POLICY, Situation, available, claim, coming, device, event, free_slot, group, hook,
    hours_ago, instance, launch_action, members, observing, on, our_hooks, place, policy_leaving,
    policy_of_two_volumes, seconds, seconds_ago, slot_id, slot_volume, tagged, template,
    terminate_action, volume,
};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use volume_pool::Timestamp;
use volume_pool::command::{CommandShown, CommandState, CommandStatus, LeaveCommand};
use volume_pool::decide::{Decision, Effect, Look, Reason, Step, decide};
use volume_pool::event::{Action, ActionResult, Transition};
use volume_pool::evidence::evidence;
use volume_pool::observation::{
    AttachmentState, DeleteOnTermination, GroupInstance, GroupView, InstanceState, LifecycleState,
    Others, Volume, VolumeState, tags,
};
use volume_pool::policy::{LeaveMode, Mode, Policy};
use volume_pool::ports::{Commit, Refusal};
use volume_pool::record::{
    Claim, FreeMark, HeldMark, Key, Phase, Planned, Pool, Record, Slot, SlotState, WaitingMark,
};
use volume_pool::sweep::Found;
use volume_pool::transition::creation::intended;
use volume_pool::transition::{Expect, Transaction, Write, holds};
use volume_pool::zone::{Candidates, ZoneView};

/// Choices taken from bytes, the first alternative once they have run out, which is what shrinking leads to.
struct Choices<'a>(std::slice::Iter<'a, u8>);

impl Choices<'_> {
    fn below(&mut self, count: usize) -> usize {
        usize::from(*self.0.next().unwrap_or(&0)) % count
    }

    fn one_of<T: Clone>(&mut self, alternatives: &[T]) -> T {
        alternatives[self.below(alternatives.len())].clone()
    }

    fn one_in(&mut self, count: usize) -> bool {
        self.below(count) == count - 1
    }

    fn many<T>(&mut self, most: usize, mut make: impl FnMut(&mut Self) -> T) -> Vec<T> {
        (0..self.below(most + 1)).map(|_| make(self)).collect()
    }

    fn number(&mut self) -> u32 {
        self.one_of(&[1, 2, 3])
    }

    fn time(&mut self) -> Timestamp {
        let times = [
            seconds_ago(1),
            seconds_ago(20),
            seconds_ago(100),
            seconds_ago(400),
            hours_ago(30),
            NOW.plus(seconds(9)),
        ];
        self.one_of(&times)
    }

    fn policy(&mut self) -> Policy {
        let modes = [
            LeaveMode::Stop,
            LeaveMode::Detach,
            LeaveMode::Guest,
            LeaveMode::Terminate,
            LeaveMode::Ssm,
        ];
        let mode = self.one_of(&modes);
        let mut policy = policy_leaving(mode);
        if self.one_in(3) {
            policy.volumes = policy_of_two_volumes().volumes;
        }
        policy.stale_after_hours = self.one_of(&[None, Some(24)]);
        policy.leave.seconds = self.one_of(&[300, 0]);
        if self.one_in(6) {
            policy.mode = Mode::Observe;
        }
        policy
    }

    fn action(&mut self) -> Action {
        let mut action = if self.one_in(2) { terminate_action() } else { launch_action() };
        match self.below(6) {
            0 => action.token = None,
            1 => action.token = Some("another".parse().unwrap()),
            _ => {}
        }
        if self.one_in(8) {
            action.destination = Some("WarmPool".to_owned());
        }
        action
    }

    fn phase(&mut self) -> Phase {
        let (slot, epoch) = (slot_id(self.one_of(&[0, 0, 0, 1])), self.one_of(&[3, 3, 3, 4]));
        match self.below(5) {
            0 => Phase::Leased { slot, epoch },
            1 => Phase::Leaving { slot, epoch, since: self.time() },
            2 => Phase::Waiting { place: place(), since: self.time() },
            3 => {
                Phase::Creating { place: place(), since: self.time(), slot, queued: self.one_in(2) }
            }
            _ => Phase::Closed,
        }
    }

    /// Being created for instance 1, mostly.
    fn creating(&mut self) -> SlotState {
        let mut planned = vec![Planned {
            name: "data".parse().unwrap(),
            device: device("/dev/sdf"),
            like: template(),
            attempt: self.one_of(&[1, 2, 3]),
            volume: self.one_of(&[None, None, Some(volume(1))]),
        }];
        if self.one_in(3) {
            planned.push(Planned {
                name: "log".parse().unwrap(),
                device: device("/dev/sdg"),
                volume: self.one_of(&[None, Some(volume(2))]),
                ..planned[0].clone()
            });
        }
        SlotState::Creating { claimant: instance(self.one_of(&[1, 1, 1, 2])), planned }
    }

    fn members(&mut self) -> GroupView {
        let mut group = members();
        if !self.one_in(3) {
            let state = self.lifecycle_state();
            let member = GroupInstance { group: group.name.clone(), zone: place().zone, state };
            group.members.insert(instance(2), member);
        }
        group
    }

    fn held(&mut self) -> HeldMark {
        HeldMark {
            place: place(),
            slot: slot_id(self.number()),
            holder: instance(self.one_of(&[2, 1, 3])),
            volumes: Vec::new(),
            amiss: false,
        }
    }

    fn claim(&mut self) -> Claim {
        Claim {
            phase: self.phase(),
            action: if self.one_in(4) { None } else { Some(self.action()) },
            answered: self.one_of(&[None, None, Some(ActionResult::Continue)]),
            policy: if self.one_in(5) { None } else { Some(self.policy()) },
            last_slot: self.one_of(&[None, Some(slot_id(0)), Some(slot_id(2))]),
            since: self.time(),
            ..claim()
        }
    }

    /// Mostly the one that the claim names.
    fn slot(&mut self, claim: &Claim) -> Slot {
        let holder = instance(self.one_of(&[1, 1, 1, 2]));
        let named = match &claim.phase {
            Phase::Leased { .. } => SlotState::Leased { holder },
            Phase::Leaving { .. } => SlotState::Releasing { holder },
            Phase::Creating { .. } => self.creating(),
            Phase::Closed | Phase::Waiting { .. } => SlotState::Free,
        };
        let states = [named.clone(), named.clone(), named, SlotState::Free, SlotState::Quarantined];
        let mut slot = Slot {
            epoch: self.one_of(&[3, 3, 3, 4]),
            state: self.one_of(&states),
            recent_holders: vec![instance(1), instance(2)],
            ..free_slot(0)
        };
        if self.one_in(3) {
            slot.volumes.push(slot_volume("log", 2, "/dev/sdg"));
        }
        if let SlotState::Creating { .. } = slot.state {
            slot = Slot { epoch: 0, recent_holders: Vec::new(), volumes: Vec::new(), ..slot };
        }
        slot
    }

    fn volume(&mut self, number: u32) -> Volume {
        use AttachmentState as S;
        let states = [
            S::Attached,
            S::Attached,
            S::Attaching,
            S::Detaching,
            S::Busy,
            S::Detached,
            S::Other("new".into()),
        ];
        let mut shown = match self.below(3) {
            0 => available(number),
            1 => {
                let holder = self.one_of(&[1, 1, 1, 2, 3]);
                let state = self.one_of(&states);
                let mut shown = on(number, holder, state);
                let attachment = &mut shown.attachments[0];
                attachment.attached_at = self.time();
                attachment.device = self.one_of(&["/dev/sdf", "/dev/sdg", "/dev/xvdf"]).to_owned();
                if self.one_in(4) {
                    attachment.delete_on_termination = DeleteOnTermination::Delete;
                }
                if self.one_in(12) {
                    attachment.instance = None;
                }
                shown
            }
            _ => tagged(number, &[(tags::SLOT, "cassandra-0"), (tags::VOLUME, "data")]),
        };
        if self.one_in(10) {
            let states = [
                VolumeState::Creating,
                VolumeState::InUse,
                VolumeState::Available,
                VolumeState::Other("error".into()),
            ];
            shown.state = self.one_of(&states);
        }
        shown.multi_attach = self.one_in(15);
        match self.below(8) {
            0 => shown.tags.clear(),
            1 => drop(shown.tags.insert(tags::SLOT.to_owned(), "cassandra-1".to_owned())),
            2 => drop(shown.tags.insert(tags::VOLUME.to_owned(), "log".to_owned())),
            _ => {}
        }
        shown
    }

    fn instance_state(&mut self) -> InstanceState {
        use InstanceState as E;
        let states = [
            E::Running,
            E::Running,
            E::Stopped,
            E::Stopping,
            E::Pending,
            E::ShuttingDown,
            E::Terminated,
            E::Other("new".into()),
        ];
        self.one_of(&states)
    }

    fn lifecycle_state(&mut self) -> LifecycleState {
        use LifecycleState as A;
        let states = [
            A::PendingWait,
            A::PendingWait,
            A::TerminatingWait,
            A::TerminatingWait,
            A::WarmedPendingWait,
            A::Pending,
            A::PendingProceed,
            A::InService,
            A::Terminating,
            A::TerminatingProceed,
            A::Other("Standby".into()),
            A::from("Warmed:Stopped"),
            A::from("Warmed:Running"),
        ];
        self.one_of(&states)
    }

    fn zone(&mut self) -> ZoneView {
        let earlier = self.many(2, |choices| WaitingMark {
            place: place(),
            since: choices.time(),
            instance: instance(choices.one_of(&[2, 3])),
            stale_after_hours: choices.one_of(&[None, Some(24)]),
        });
        let free = (2..2 + u32::try_from(self.below(4)).unwrap())
            .map(|index| Slot {
                released_at: self.one_of(&[Some(hours_ago(1)), Some(hours_ago(99)), None]),
                ..free_slot(index)
            })
            .collect();
        let coming = self.many(2, |choices| coming(choices.number(), 2));
        let pool = self.one_of(&[
            None,
            Some(Pool { version: 3, next_index: 6, ..Pool::new(place().pool) }),
            Some(Pool {
                version: 3,
                next_index: 6,
                slots_per_zone: BTreeMap::from([(place().zone, 9)]),
                ..Pool::new(place().pool)
            }),
        ]);
        ZoneView { earlier, free, coming, pool }
    }

    fn candidates(&mut self) -> Candidates {
        let volumes = (4..4 + u32::try_from(self.below(4)).unwrap())
            .map(|number| self.volume(number))
            .collect();
        Candidates {
            volumes,
            owned: self.many(1, |_| volume(4)).into_iter().collect(),
            slots: self.many(2, |choices| slot_id(choices.one_of(&[0, 1]))).into_iter().collect(),
            pool: self.one_in(2).then(|| Pool::new(place().pool)),
        }
    }

    fn situation(&mut self) -> Situation {
        let mut situation = Situation::launching();
        let metadata = self.one_of(&[Some(POLICY), Some("{"), None]);
        let observed = serde_json::to_string(&observing()).unwrap();
        let metadata = if self.one_in(8) { Some(observed.as_str()) } else { metadata };
        situation.subject.event =
            if self.one_in(3) { None } else { Some(event(self.action(), metadata)) };
        situation.subject.hint = self.one_of(&[
            None,
            Some(InstanceState::Running),
            Some(InstanceState::Stopped),
            Some(InstanceState::Terminated),
        ]);
        let (lifecycle, state) = (self.lifecycle_state(), self.instance_state());
        situation.shown_as(lifecycle);
        situation.runs_as(state);
        let shown = situation.seen.described.instance.as_mut().unwrap();
        shown.devices = self.many(2, |choices| {
            choices.one_of(&["/dev/sdf", "/dev/xvdg", "/dev/nvme1n1"]).to_owned()
        });
        if self.one_in(2) {
            shown.tags = Situation::attached().seen.described.instance.unwrap().tags;
        }
        if self.one_in(8) {
            situation.seen.described.instance = None;
        }
        if self.one_in(8) {
            situation.seen.described.group_instance = None;
        }
        if !self.one_in(8) {
            let claim = self.claim();
            if !self.one_in(10) {
                situation.seen.slot = Some(self.slot(&claim));
            }
            if !self.one_in(10) {
                situation.seen.zone = Some(self.zone());
            }
            situation.seen.claim = Some(claim);
        }
        for number in [1, 2] {
            if !self.one_in(8) {
                let volume = self.volume(number);
                situation.show(volume);
            }
        }
        let drain = hook("drain", Transition::Terminating, None);
        let hooks = [
            None,
            Some(our_hooks()),
            Some(vec![drain.clone()]),
            Some([our_hooks(), vec![drain]].concat()),
        ];
        situation.seen.hooks = self.one_of(&hooks);
        situation.subject.found =
            self.one_of(&[None, None, Some(Found::NotEnrolled), Some(Found::SlotMended)]);
        situation.seen.group = if self.one_in(2) { None } else { Some(group(self.policy())) };
        situation.seen.candidates = if self.one_in(2) { None } else { Some(self.candidates()) };
        situation.seen.slot_volumes =
            if self.one_in(2) { None } else { Some(self.many(2, |choices| choices.volume(7))) };
        situation.seen.held = match self.below(4) {
            0 | 1 => Some(vec![self.held()]),
            2 => Some(Vec::new()),
            _ => None,
        };
        situation.seen.members = if self.one_in(3) { None } else { Some(self.members()) };
        situation.seen.holders = if self.one_in(2) { Some(BTreeMap::new()) } else { None };
        situation.seen.others = if self.one_in(2) { None } else { Some(Others::default()) };
        situation.seen.pool = if self.one_in(3) {
            None
        } else {
            let more = self.many(2, |choices| choices.volume(8));
            let known = situation.seen.candidates.iter().flat_map(|found| found.volumes.clone());
            Some(known.chain(more).collect())
        };
        self.answers(&mut situation);
        if self.one_in(2) {
            situation.make_plausible(self);
        }
        if situation.subject.found.is_some() && self.one_in(2) {
            situation.make_found();
        }
        if self.one_in(5) {
            self.leave_by_document(&mut situation);
        }
        situation
    }

    /// Under leave mode `ssm`, with whatever command on record, and whatever is known of it.
    fn leave_by_document(&mut self, situation: &mut Situation) {
        let leaving = Situation::leaving(LeaveMode::Ssm);
        let actions = [terminate_action(), terminate_action(), self.action()];
        situation.subject.event = leaving.subject.event.filter(|_| self.one_in(2));
        situation.seen.described.group_instance = leaving.seen.described.group_instance;
        situation.seen.described.instance = leaving.seen.described.instance;
        situation.runs_as(self.instance_state());
        situation.seen.slot = leaving.seen.slot;
        let mut claim = leaving.seen.claim.unwrap();
        claim.action = Some(self.one_of(&actions));
        let id = "command-1".parse().unwrap();
        let states = [
            CommandState::Announced,
            CommandState::Sent { id: "command-1".parse().unwrap() },
            CommandState::Succeeded { id },
        ];
        claim.command = (!self.one_in(5)).then(|| LeaveCommand {
            action: self.one_of(&actions),
            document: "drain".parse().unwrap(),
            comment: "stateful-asg".to_owned(),
            announced_at: seconds_ago(5),
            state: self.one_of(&states),
        });
        situation.seen.claim = Some(claim);
        let command = |status| CommandShown::Command("command-1".parse().unwrap(), status);
        situation.seen.command = self.one_of(&[
            None,
            Some(CommandShown::Nothing),
            Some(command(CommandStatus::UnderWay)),
            Some(command(CommandStatus::Succeeded)),
            Some(command(CommandStatus::Failed("Failed".to_owned()))),
        ]);
        let answers = &mut situation.seen.answers;
        answers.still_waits = self
            .one_of(&[None, Some(true), Some(true), Some(false)])
            .map(|known| (self.one_of(&actions), known));
        answers.announced = self.one_of(&[None, Some("stateful-asg".to_owned())]);
        answers.command_sent = self.one_of(&[
            None,
            Some(Ok("command-1".parse().unwrap())),
            Some(Err(Refusal::Other("no".into()))),
        ]);
    }

    fn answers(&mut self, situation: &mut Situation) {
        let refusals =
            [Refusal::AlreadyAttached, Refusal::DeviceInUse, Refusal::Other("no".into())];
        let answers = &mut situation.seen.answers;
        answers.polls = self.one_of(&[0, 3, 20]);
        answers.served = self.one_in(2);
        answers.lost_races = self.one_of(&[0, 0, 1, 7]);
        answers.no_active_action = self.one_of(&[0, 0, 0, 1, 2, 3]);
        answers.asked = self.one_of(&[None, Some(launch_action()), Some(terminate_action())]);
        answers.detachments = self.one_of(&[0, 0, 2, 6]);
        answers.tags_refused = self.one_of(&[0, 0, 0, 3]);
        answers.holder_unknown = self.many(1, |_| volume(1)).into_iter().collect();
        answers.kept = self.many(1, |_| "/dev/sdf".to_owned()).into_iter().collect();
        answers.not_attached =
            self.many(2, |choices| volume(choices.one_of(&[1, 2]))).into_iter().collect();
        answers.detaching = self.many(1, |_| volume(1)).into_iter().collect();
        answers.stop = self.one_of(&[
            None,
            None,
            Some(Ok(())),
            Some(Err(Refusal::Unsupported("spot".into()))),
        ]);
        if self.one_in(6) {
            answers.attaching = BTreeMap::from([(volume(1), self.time())]);
        }
        if self.one_in(6) {
            let refused = (self.one_of(&[1, 2, 5]), self.one_of(&refusals));
            answers.attach_refused = BTreeMap::from([(volume(1), refused)]);
        }
        if self.one_in(6) {
            answers.devices_taken =
                volume_pool::ids::DeviceName::candidates().take(self.below(80)).collect();
        }
        if self.one_in(12) {
            answers.completed = Some((self.action(), ActionResult::Continue));
        }
        if self.one_in(12) {
            answers.released = BTreeMap::from([(volume(1), NOW)]);
        }
        answers.tagged = self
            .many(2, |choices| choices.one_of(&[instance(1).to_string(), volume(1).to_string()]))
            .into_iter()
            .collect();
    }
}

fn any_situation() -> impl Strategy<Value = Situation> {
    proptest::collection::vec(any::<u8>(), 0..220)
        .prop_map(|bytes| Choices(bytes.iter()).situation())
}

fn effect(decision: &Decision) -> Option<&Effect> {
    match &decision.step {
        Step::Effect(effect) => Some(effect),
        Step::Look(_) | Step::Commit(_) | Step::Poll | Step::Serve(_) | Step::Rest { .. } => None,
    }
}

fn transaction(decision: &Decision) -> Option<&Transaction> {
    match &decision.step {
        Step::Commit(transaction) => Some(transaction),
        Step::Look(_) | Step::Effect(_) | Step::Poll | Step::Serve(_) | Step::Rest { .. } => None,
    }
}

/// Whether Auto Scaling shows the instance in one of these states.
fn shown_in(situation: &Situation, states: &[LifecycleState]) -> bool {
    let shown = situation.seen.described.group_instance.as_ref();
    shown.is_some_and(|shown| states.contains(&shown.state))
}

fn instance_state(situation: &Situation) -> Option<&InstanceState> {
    situation.seen.described.instance.as_ref().map(|shown| &shown.state)
}

/// The slot that the claim holds under this very epoch.
fn held(situation: &Situation) -> Option<(&Claim, &Slot)> {
    let (claim, slot) = (situation.seen.claim.as_ref()?, situation.seen.slot.as_ref()?);
    holds(claim, slot).then_some((claim, slot))
}

/// Whether the slot is the one that is being created for the claim.
fn under_creation(situation: &Situation) -> bool {
    let (claim, slot) = (situation.seen.claim.as_ref(), situation.seen.slot.as_ref());
    claim.zip(slot).is_some_and(|(claim, slot)| intended(claim, slot).is_some())
}

const WAITING_TO_LAUNCH: [LifecycleState; 2] =
    [LifecycleState::PendingWait, LifecycleState::WarmedPendingWait];
const WAITING_TO_GO: [LifecycleState; 2] =
    [LifecycleState::TerminatingWait, LifecycleState::WarmedPendingWait];

/// Whether Auto Scaling shows it in the warm pool, past every hook.
fn parked(situation: &Situation) -> bool {
    let shown = situation.seen.described.group_instance.as_ref();
    shown.is_some_and(|shown| shown.state.is_parked())
}

/// Whether Auto Scaling shows it in the warm pool, or on its way.
fn warm(situation: &Situation) -> bool {
    parked(situation) || shown_in(situation, &[LifecycleState::WarmedPendingWait])
}

/// Whether the slot of this volume is to be set apart.
fn unusable(situation: &Situation, volume: &volume_pool::ids::VolumeId) -> bool {
    let Some(shown) = situation.seen.described.volumes.get(volume) else {
        let leased_at = situation.seen.claim.as_ref().map(|claim| claim.since);
        return leased_at.is_some_and(|at| NOW.since(at) >= Duration::from_mins(10));
    };
    // Of those who held it before, one has it only by hand once its release is long ago.
    let released_lately = situation.seen.slot.as_ref().is_some_and(|slot| {
        let created = slot.volumes.iter().map(|volume| volume.created_at);
        let touched = created.chain(slot.released_at).max();
        touched.is_some_and(|at| NOW.since(at) < Duration::from_mins(10))
    });
    let elsewhere = shown.attachment().is_some_and(|attachment| {
        attachment.instance.as_ref().is_none_or(|holder| {
            *holder == instance(3) || (*holder != instance(1) && !released_lately)
        })
    });
    shown.multi_attach || elsewhere || matches!(shown.state, VolumeState::Other(_))
}

/// What the store holds when all this was just read from it.
fn store(situation: &Situation) -> ReferenceStore {
    let seen = &situation.seen;
    let mut records: Vec<Record> = Vec::new();
    records.extend(seen.claim.clone().map(Record::Claim));
    records.extend(seen.slot.clone().map(Record::Slot));
    records.extend(seen.group.clone().map(Record::Group));
    if let Some(zone) = &seen.zone {
        records.extend(zone.earlier.iter().cloned().map(Record::Waiting));
        records.extend(zone.coming.iter().cloned().map(Record::Coming));
        records.extend(zone.pool.clone().map(Record::Pool));
        for slot in &zone.free {
            records.push(Record::Slot(slot.clone()));
            records.push(Record::Free(FreeMark { slot: slot.clone() }));
        }
    }
    ReferenceStore::holding(records)
}

/// More of them where `PROPTEST_CASES` asks for more.
fn config() -> ProptestConfig {
    let usual = ProptestConfig::default();
    ProptestConfig { cases: usual.cases.max(3000), failure_persistence: None, ..usual }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn deciding_twice_gives_the_same_and_never_panics(situation in any_situation()) {
        prop_assert_eq!(situation.decided(), situation.clone().decided());
    }

    #[test]
    fn no_time_makes_the_decision_panic(situation in any_situation(), millis in any::<u64>()) {
        for now in [Timestamp::from_millis(millis), Timestamp::from_millis(u64::MAX), Timestamp::default()] {
            let _ = decide(&situation.subject, &situation.seen, now);
        }
    }

    /// Safety rule 5.
    #[test]
    fn nothing_is_detached_from_a_living_instance_unless_the_policy_says_so_or_its_launch_undoes_it(
        situation in any_situation()
    ) {
        let decision = situation.decided();
        let Some(Effect::Detach(volume)) = effect(&decision) else { return Ok(()) };
        let (claim, slot) = held(&situation).expect("detached without holding a slot");
        prop_assert!(slot.volumes.iter().any(|known| known.volume == *volume));
        let state = instance_state(&situation);
        prop_assert!(!matches!(state, Some(InstanceState::ShuttingDown | InstanceState::Terminated)));
        if matches!(state, None | Some(InstanceState::Stopped)) {
            return Ok(());
        }
        // On its way out, or back from the warm pool before its last release has ended.
        let by_policy =
            claim.policy.as_ref().is_some_and(|policy| policy.leave.mode == LeaveMode::Detach)
                && (shown_in(&situation, &[LifecycleState::TerminatingWait, LifecycleState::PendingWait])
                    || warm(&situation))
                && matches!(claim.phase, Phase::Leaving { .. });
        // Attached in this very action, at a device given up since or in a slot that can't be used. Of such a slot every
        // volume is asked about, because a describe may not show yet what an earlier run attached.
        let recorded = slot.volumes.iter().find(|known| known.volume == *volume).unwrap();
        let attachment = situation.seen.described.volumes.get(volume).and_then(Volume::attachment);
        let amiss = slot.volumes.iter().any(|known| unusable(&situation, &known.volume));
        let undone = matches!(claim.phase, Phase::Leased { .. })
            && shown_in(&situation, &WAITING_TO_LAUNCH)
            && (amiss
                || attachment.is_some_and(|attachment| {
                    attachment.instance == Some(instance(1))
                        && attachment.device != recorded.device.as_str()
                }));
        // Unmounted by the document that was run in this very termination, which Auto Scaling says still waits.
        let unmounted = claim.command.as_ref().is_some_and(|command| {
            matches!(command.state, CommandState::Succeeded { .. })
                && command.action.token.is_some()
                && situation.seen.answers.still_waits == Some((command.action.clone(), true))
        }) && matches!(claim.phase, Phase::Leaving { .. })
            && shown_in(&situation, &[LifecycleState::TerminatingWait]);
        prop_assert!(by_policy || undone || unmounted, "{}", decision.reason);
    }

    #[test]
    fn a_document_is_run_only_in_mode_ssm_by_its_record_and_while_the_instance_waits_to_go(situation in any_situation()) {
        let decision = situation.decided();
        let Some(Effect::RunDocument(run)) = effect(&decision) else { return Ok(()) };
        let (claim, _) = held(&situation).expect("run without holding a slot");
        prop_assert_eq!(claim.policy.as_ref().map(|policy| policy.leave.mode), Some(LeaveMode::Ssm));
        let command = claim.command.as_ref().expect("run without a record of it");
        prop_assert_eq!((&command.comment, &command.state), (&run.comment, &CommandState::Announced));
        let leaving = matches!(claim.phase, Phase::Leaving { .. });
        prop_assert!(leaving && shown_in(&situation, &[LifecycleState::TerminatingWait]));
    }

    /// Safety rule 2.
    #[test]
    fn a_launch_continues_only_with_every_volume_attached_for_good(situation in any_situation()) {
        let decision = situation.decided();
        let Some(Effect::Complete(action, result)) = effect(&decision) else { return Ok(()) };
        if *result == ActionResult::Abandon {
            let claim = situation.seen.claim.as_ref().expect("given up without a record of it");
            let still_holds = matches!(claim.phase, Phase::Leaving { .. });
            let parks = action.transition == Transition::Terminating
                && shown_in(&situation, &[LifecycleState::WarmedPendingWait]);
            prop_assert!((parks && still_holds) || claim.given_up.is_some());
            return Ok(());
        }
        if action.transition == Transition::Terminating {
            let parks = shown_in(&situation, &[LifecycleState::WarmedPendingWait]);
            let holds = situation.seen.claim.as_ref().is_some_and(|claim| {
                matches!(claim.phase, Phase::Leased { .. } | Phase::Leaving { .. })
            });
            prop_assert!(shown_in(&situation, &[LifecycleState::TerminatingWait]) || parks && !holds);
            return Ok(());
        }
        prop_assert!(shown_in(&situation, &[LifecycleState::PendingWait, LifecycleState::WarmedPendingWait]));
        match &decision.reason {
            Reason::BoundForWarmPool => prop_assert!(
                shown_in(&situation, &[LifecycleState::WarmedPendingWait])
                    || action.destination.as_deref() == Some("WarmPool")
            ),
            Reason::Observing => {
                let claim = situation.seen.claim.as_ref();
                prop_assert!(claim.is_none_or(|claim| claim.phase == Phase::Closed));
            }
            _ => {
                let (claim, slot) = held(&situation).expect("continued without holding a slot");
                let leased = matches!(claim.phase, Phase::Leased { .. });
                prop_assert!(leased && !slot.volumes.is_empty());
                for known in &slot.volumes {
                    let shown = &situation.seen.described.volumes[&known.volume];
                    let attachment = shown.attachment().unwrap();
                    prop_assert!(!shown.multi_attach);
                    prop_assert_eq!(attachment.instance.as_ref(), Some(&instance(1)));
                    prop_assert_eq!(&attachment.state, &AttachmentState::Attached);
                    prop_assert_eq!(attachment.delete_on_termination, DeleteOnTermination::Keep);
                }
            }
        }
    }

    /// Safety rule 3.
    #[test]
    fn a_slot_is_released_only_on_evidence(situation in any_situation()) {
        let decision = situation.decided();
        let Some(transaction) = transaction(&decision) else { return Ok(()) };
        let frees = situation::written_slots(transaction).iter().any(|slot| slot.state == SlotState::Free);
        if !frees || transaction.name == "adopt" {
            return Ok(());
        }
        if transaction.name == "spare" {
            // Nobody has held it yet.
            let fresh = situation::written_slot(transaction);
            prop_assert_eq!((fresh.epoch, fresh.recent_holders.len()), (0, 0));
            return Ok(());
        }
        prop_assert_eq!(transaction.name, "release");
        let (claim, slot) = held(&situation).expect("released without holding a slot");
        let leaving = matches!(claim.phase, Phase::Leaving { .. });
        prop_assert!(leaving);
        let seen = &situation.seen;
        let mut not_attached = seen.answers.not_attached.clone();
        // On standby Auto Scaling shows whom EC2 has forgotten.
        let group_instance = seen.described.group_instance.as_ref();
        let shown_nowhere = seen.described.instance.is_none()
            && group_instance.is_none_or(|shown| shown.state.is_standby());
        if shown_nowhere && NOW.since(claim.since) >= seconds(600) {
            not_attached.extend(seen.answers.holder_unknown.iter().cloned());
        }
        let judged = evidence(&instance(1), slot, &seen.described, &not_attached);
        prop_assert_eq!(judged, Ok(()));
        for known in &slot.volumes {
            let shown = &seen.described.volumes[&known.volume];
            prop_assert_eq!(&shown.state, &VolumeState::Available);
            prop_assert!(
                instance_state(&situation) == Some(&InstanceState::Terminated)
                    || not_attached.contains(&known.volume)
            );
        }
    }

    #[test]
    fn a_lease_is_taken_only_from_a_free_slot_that_no_earlier_waiter_is_due(situation in any_situation()) {
        let decision = situation.decided();
        let Some(transaction) = transaction(&decision).filter(|transaction| transaction.name == "lease") else {
            return Ok(());
        };
        let zone = situation.seen.zone.as_ref().unwrap();
        let leased = situation::written_slot(transaction);
        let before = zone.free.iter().find(|slot| slot.id == leased.id).expect("leased a slot that is not free");
        prop_assert_eq!(&before.state, &SlotState::Free);
        prop_assert_eq!(leased.epoch, before.epoch + 1);
        let claim = situation.seen.claim.as_ref().unwrap();
        let waits = matches!(claim.phase, Phase::Waiting { .. });
        prop_assert!(waits);
        let limit = claim.policy.as_ref().unwrap().stale_after_hours;
        let fresh = |slot: &&Slot| match limit {
            Some(hours) => slot.released_at.is_some_and(|at| NOW.since(at) < seconds(u64::from(hours) * 3600)),
            None => true,
        };
        prop_assert!(fresh(&before));
        // An earlier waiter of another policy may take what is too old here, or find too old what is not.
        let free = zone.free.iter().filter(fresh).count();
        let alike = zone.earlier.iter().all(|waiter| waiter.stale_after_hours == limit);
        prop_assert!(!alike || zone.earlier.len() < free, "{} earlier waiters for {} free slots", zone.earlier.len(), free);
    }

    /// Design section 5: bound for the warm pool, no lease.
    #[test]
    fn nothing_is_leased_or_attached_on_the_way_into_the_warm_pool(mut situation in any_situation()) {
        situation.shown_as_if_member(LifecycleState::WarmedPendingWait);
        let decision = situation.decided();
        if let Some(transaction) = transaction(&decision) {
            prop_assert!(!matches!(transaction.name, "lease" | "enqueue"), "{}", transaction.name);
        }
        let attaches = matches!(effect(&decision), Some(Effect::Attach(..)));
        prop_assert!(!attaches, "{}", decision.reason);
    }

    #[test]
    fn a_volume_is_attached_only_under_a_lease_to_the_running_instance_while_it_launches(situation in any_situation()) {
        let decision = situation.decided();
        let Some(Effect::Attach(volume, device)) = effect(&decision) else { return Ok(()) };
        let (claim, slot) = held(&situation).expect("attached without holding a slot");
        let leased = matches!(claim.phase, Phase::Leased { .. });
        prop_assert!(leased);
        prop_assert_eq!(instance_state(&situation), Some(&InstanceState::Running));
        prop_assert!(shown_in(&situation, &[LifecycleState::PendingWait, LifecycleState::WarmedPendingWait]));
        prop_assert!(slot.volumes.iter().any(|known| known.volume == *volume && known.device == *device));
        let shown = &situation.seen.described.volumes[volume];
        prop_assert!(shown.is_available() && !shown.multi_attach);
        let points: Vec<_> = situation.seen.described.instance.iter().flat_map(|shown| &shown.devices).collect();
        for point in points.iter().filter_map(|name| name.parse::<volume_pool::ids::DeviceName>().ok()) {
            prop_assert_ne!(point.attachment_point(), device.attachment_point());
        }
    }

    #[test]
    fn an_instance_is_stopped_only_in_mode_stop_while_it_waits_to_go_and_nobody_else_drains_it(situation in any_situation()) {
        let decision = situation.decided();
        let Some(Effect::Stop) = effect(&decision) else { return Ok(()) };
        let (claim, _) = held(&situation).expect("stopped without holding a slot");
        let mode = claim.policy.as_ref().map_or(LeaveMode::Stop, |policy| policy.leave.mode);
        prop_assert_eq!(mode, LeaveMode::Stop);
        let leaving = matches!(claim.phase, Phase::Leaving { .. });
        if parked(&situation) {
            prop_assert!(leaving && instance_state(&situation) == Some(&InstanceState::Running));
            return Ok(());
        }
        prop_assert!(leaving && shown_in(&situation, &WAITING_TO_GO));
        let hooks = situation.seen.hooks.as_ref().expect("the hooks were not looked at");
        prop_assert!(!hooks.iter().any(|hook| hook.name.as_str() == "drain"));
        prop_assert!(situation.seen.answers.stop.is_none());
    }

    /// Safety rule 10.
    #[test]
    fn an_action_is_answered_or_kept_alive_only_while_auto_scaling_shows_it_waiting(situation in any_situation()) {
        let decision = situation.decided();
        let (Step::Effect(Effect::Complete(action, _) | Effect::Heartbeat(action))
        | Step::Rest { heartbeat: Some(action), .. }) = &decision.step
        else {
            return Ok(());
        };
        let states: &[LifecycleState] = match action.transition {
            Transition::Launching => &[LifecycleState::PendingWait, LifecycleState::WarmedPendingWait],
            Transition::Terminating => &WAITING_TO_GO,
        };
        // A heartbeat changes nothing; one more of an instance that Auto Scaling does not show is refused there.
        let heartbeat = !matches!(decision.step, Step::Effect(Effect::Complete(..)));
        let unknown = situation.seen.described.group_instance.is_none();
        prop_assert!(shown_in(&situation, states) || (heartbeat && unknown));
        prop_assert!(action.hook.as_str().starts_with("stateful-asg"));
    }

    #[test]
    fn a_launch_in_mode_observe_gets_continue_and_changes_nothing(mut situation in any_situation()) {
        let text = serde_json::to_string(&observing()).unwrap();
        situation.subject.event = Some(event(launch_action(), Some(&text)));
        situation.shown_as_if_member(LifecycleState::PendingWait);
        situation.seen.answers.released.clear();
        let idle = situation.seen.claim.as_ref().is_none_or(|claim| claim.phase == Phase::Closed);
        let alive = !matches!(instance_state(&situation), Some(InstanceState::ShuttingDown | InstanceState::Terminated));
        if !(idle && alive) {
            return Ok(());
        }
        match situation.decided().step {
            Step::Effect(Effect::Complete(action, ActionResult::Continue)) => prop_assert_eq!(action, launch_action()),
            Step::Effect(other) => prop_assert!(false, "{:?}", other),
            Step::Commit(transaction) => prop_assert!(false, "{}", transaction.name),
            Step::Poll | Step::Look(_) | Step::Serve(_) | Step::Rest { .. } => {}
        }
    }

    #[test]
    fn each_transaction_names_a_key_once_and_is_conditional_on_what_was_read(situation in any_situation()) {
        let decision = situation.decided();
        let Some(transaction) = transaction(&decision) else { return Ok(()) };
        let mut keys = BTreeSet::new();
        let mut conditions = BTreeMap::new();
        for write in &transaction.writes {
            let key = match write {
                Write::Put(record, expect) => {
                    conditions.insert(record.key(), *expect);
                    record.key()
                }
                Write::Delete(key) => key.clone(),
            };
            prop_assert!(keys.insert(key.clone()), "{:?} twice in {}", key, transaction.name);
        }
        let seen = &situation.seen;
        let claim = seen.claim.as_ref().map_or(Expect::Version(0), |claim| Expect::Version(claim.version));
        let read = conditions.get(&Key::Claim(instance(1)));
        match transaction.name {
            // What it makes is everyone's; the pool's version and the volumes' rows are what it rests on.
            "adopt" => {
                let pool = seen.zone.as_ref().unwrap().pool.as_ref();
                let expected = pool.map_or(Expect::Absent, |pool| Expect::Version(pool.version));
                prop_assert_eq!(conditions.get(&Key::Pool(place().pool)), Some(&expected));
                prop_assert_eq!(read, None);
            }
            // The slot's version stands for the lease under which it happens.
            "change device" | "note" => {
                let slot = seen.slot.as_ref().unwrap();
                prop_assert_eq!(conditions.get(&Key::Slot(slot.id.clone())), Some(&Expect::Version(slot.version)));
            }
            _ => prop_assert_eq!(read, Some(&claim), "{}", transaction.name),
        }
        for (key, expect) in conditions {
            let mark = matches!(
                key,
                Key::Waiting(..) | Key::Free(..) | Key::Coming(..) | Key::Held(..) | Key::Apart(..) | Key::Open(_) | Key::Known(_)
            );
            prop_assert_eq!(expect == Expect::Mark, mark, "{:?} in {}", key, transaction.name);
        }
    }

    #[test]
    fn a_transaction_that_happened_does_not_happen_again(situation in any_situation()) {
        let decision = situation.decided();
        let Some(transaction) = transaction(&decision) else { return Ok(()) };
        let mut store = store(&situation);
        if store.commit(transaction) == Commit::Committed {
            prop_assert_eq!(store.commit(transaction), Commit::Conflict, "{}", transaction.name);
        }
    }

    #[test]
    fn every_write_raises_its_records_version_by_one(situation in any_situation()) {
        let decision = situation.decided();
        let Some(transaction) = transaction(&decision) else { return Ok(()) };
        for write in &transaction.writes {
            match write {
                Write::Put(record, Expect::Version(version) | Expect::Unpoked(version)) => {
                    prop_assert_eq!(record.version(), version + 1);
                }
                Write::Put(record, Expect::Absent) => prop_assert!(record.version() <= 1),
                Write::Put(_, Expect::Mark) | Write::Delete(_) => {}
            }
        }
    }

    /// Whatever contradicts itself is left for a person, and someone comes back to it.
    #[test]
    fn records_that_contradict_each_other_are_never_written(situation in any_situation()) {
        let holder = situation.seen.claim.as_ref().is_some_and(|claim| claim.slot().is_some());
        if !holder || held(&situation).is_some() || under_creation(&situation) || !situation.seen.answers.released.is_empty() {
            return Ok(());
        }
        let decision = situation.decided();
        if decision.reason == Reason::BoundForWarmPool {
            return Ok(());
        }
        prop_assert!(transaction(&decision).is_none(), "{:?}", decision.step);
        let touches = matches!(effect(&decision), Some(Effect::Attach(..) | Effect::Detach(_) | Effect::Stop | Effect::Complete(..)));
        prop_assert!(!touches, "{:?}", decision.step);
    }
}

/// The properties above say something only of decisions that the choices lead to.
#[test]
fn the_situations_made_here_lead_to_every_kind_of_step() {
    let mut runner = TestRunner::deterministic();
    let mut seen = BTreeSet::new();
    let mut reasons = Vec::new();
    for _ in 0..15_000 {
        let situation = any_situation().new_tree(&mut runner).unwrap().current();
        let Decision { step, reason, .. } = situation.decided();
        seen.insert(match &step {
            Step::Look(Look::Hooks(_)) => "look at hooks",
            Step::Look(Look::Enrolment(_)) => "look at hooks and group",
            Step::Look(Look::Candidates(_)) => "look for volumes",
            Step::Look(Look::SlotVolumes(_)) => "look for created volumes",
            Step::Look(Look::Held(_)) => "look at leased slots",
            Step::Look(Look::Group(_)) => "look at the group",
            Step::Look(Look::Others(_)) => "look at other holders",
            Step::Look(Look::Instances(_)) => "look at holders",
            Step::Look(Look::Pool(_)) => "look at the pool",
            Step::Look(Look::Command(_)) => "look at the command",
            Step::Commit(transaction) => transaction.name,
            Step::Effect(effect) => effect.call(),
            Step::Poll => "poll",
            Step::Serve(_) => "serve",
            Step::Rest { .. } => "rest",
        });
        if !reasons.contains(&discriminant(&reason)) {
            reasons.push(discriminant(&reason));
        }
    }
    let expected = BTreeSet::from([
        "adopt",
        "announce",
        "autoscaling:CompleteLifecycleAction",
        "autoscaling:RecordLifecycleActionHeartbeat",
        "begin release",
        "cancel",
        "change device",
        "close",
        "created",
        "ec2:AttachVolume",
        "ec2:CreateTags",
        "ec2:CreateVolume",
        "ec2:DetachVolume",
        "ec2:ModifyInstanceAttribute",
        "ec2:StopInstances",
        "enqueue",
        "enrol",
        "give up",
        "intend",
        "lease",
        "look at hooks",
        "look at hooks and group",
        "look at holders",
        "look at the command",
        "look at leased slots",
        "look at other holders",
        "look at the group",
        "look at the pool",
        "look for created volumes",
        "look for volumes",
        "note",
        "note volume",
        "poll",
        "quarantine",
        "release",
        "rest",
        "sent",
        "serve",
        "set apart",
        "spare",
        "ssm:SendCommand",
        "succeeded",
        "try again",
    ]);
    assert_eq!(seen, expected);
    assert!(reasons.len() >= 48, "only {} kinds of reasons", reasons.len());
}

impl Situation {
    /// It is in service, its launch answered long ago: with a slot, or with a volume that no record knows.
    fn make_found(&mut self) {
        self.subject.event = None;
        self.subject.hint = None;
        self.shown_as_if_member(LifecycleState::InService);
        self.seen.described.instance = Situation::launching().seen.described.instance;
        self.seen.answers.released.clear();
        if let Some(claim) = &mut self.seen.claim {
            claim.action = Some(launch_action());
            claim.answered = Some(ActionResult::Continue);
        }
        self.seen.hooks = Some(our_hooks());
        self.seen.candidates = Some(Candidates {
            volumes: vec![on(9, 1, AttachmentState::Attached)],
            pool: Some(Pool::new(place().pool)),
            ..Candidates::default()
        });
        self.seen.pool = Some(vec![on(9, 1, AttachmentState::Attached)]);
    }

    /// Auto Scaling shows what the claim has come to, its action is open, and the records agree.
    fn make_plausible(&mut self, choices: &mut Choices<'_>) {
        let Some(claim) = &mut self.seen.claim else { return };
        let (action, state) = match claim.phase {
            Phase::Leaving { .. } => {
                let states = [
                    LifecycleState::TerminatingWait,
                    LifecycleState::TerminatingWait,
                    LifecycleState::WarmedPendingWait,
                    LifecycleState::from("Warmed:Stopped"),
                    LifecycleState::from("Warmed:Running"),
                ];
                (terminate_action(), choices.one_of(&states))
            }
            Phase::Closed
            | Phase::Waiting { .. }
            | Phase::Creating { .. }
            | Phase::Leased { .. } => (launch_action(), LifecycleState::PendingWait),
        };
        claim.action = Some(action.clone());
        claim.answered = None;
        if let Phase::Leased { slot, epoch } | Phase::Leaving { slot, epoch, .. } = &mut claim.phase
        {
            (*slot, *epoch) = (slot_id(0), 3);
        }
        if let Some(slot) = &mut self.seen.slot {
            let holder = instance(1);
            if !matches!(claim.phase, Phase::Creating { .. }) {
                slot.epoch = 3;
            }
            slot.state = match claim.phase {
                Phase::Leased { .. } => SlotState::Leased { holder },
                Phase::Leaving { .. } => SlotState::Releasing { holder },
                Phase::Creating { .. } => slot.state.clone(),
                Phase::Closed | Phase::Waiting { .. } => SlotState::Free,
            };
        }
        self.subject.event = Some(event(action, Some(POLICY)));
        self.seen.answers.completed = None;
        self.shown_as_if_member(state);
        self.seen.described.instance = Situation::launching().seen.described.instance;
        if choices.one_in(4) {
            let state = choices.instance_state();
            self.runs_as(state);
        }
        for known in self.seen.slot.iter().flat_map(|slot| &slot.volumes) {
            let shown = self.seen.described.volumes.get_mut(&known.volume);
            for attachment in shown.into_iter().flat_map(|shown| &mut shown.attachments) {
                attachment.device = known.device.to_string();
                if choices.one_in(2) {
                    attachment.instance = Some(instance(1));
                    attachment.state = AttachmentState::Attached;
                }
            }
        }
    }

    fn shown_as_if_member(&mut self, state: LifecycleState) {
        self.seen.described.group_instance = Situation::launching().seen.described.group_instance;
        self.shown_as(state);
    }
}
