//! The loop for one instance: guard, observe, decide, act, and again, until nothing more can be done now.
//!
//! It does no I/O. It gives a request and takes the answer, so that the model checker and the simulation drive the
//! very code that runs in Lambda. It is cloneable: a clone is the same invocation, taken down another path.
//!
//! What it must keep to (each was a flaw found by model checking):
//! - records, then EC2 and Auto Scaling, then the same records again; another version in between, and it starts over;
//! - every write is conditional on the version first read;
//! - nothing is written and nothing in AWS changed for an instance without its guard;
//! - the guard is given up only if nobody asked for another look.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::action::{Action, Transition};
use crate::allowance::Allowance;
use crate::answers::{Answers, Next};
use crate::decide::{
    Decision, Effect, Look, Observation, Step, Subject, decide, only_observes, waiting_action,
};
use crate::event::LifecycleEvent;
use crate::ids::{GroupName, InstanceId, VolumeId};
use crate::observation::{Described, Volume, VolumeState};
use crate::policy::{Mode, Policy};
use crate::ports::{Commit, Poke, PortError, Refusal};
use crate::record::{Claim, Guard, HeldMark, Key, List, Phase, Place, Record, Slot};
use crate::report::{Journal, StepTaken};
use crate::request::{Ending, Outcome, Request, Response};
use crate::time::Timestamp;
use crate::transition::{self, Rest, Transaction, Write};
use crate::zone::{Candidates, ZoneView};

/// How often the loop starts over, after lost races or failed calls, before it leaves the rest to a later run.
const MOST_RESTARTS: u32 = 24;
/// The first pause of a series, and the longest; each is half as long again as the one before.
const SHORTEST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How many looks follow each other at the shortest pause: attachments take 1 to 4 s, and a node that is down waits.
const QUICK_LOOKS: u32 = 16;

/// The loop for one instance.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ActionLoop {
    subject: Subject,
    allowance: Allowance,
    state: State,
    claim: Option<Claim>,
    slot: Option<Slot>,
    seen: Observation,
    guarded: bool,
    restarts: u32,
    giving_up: bool,
    failure: Option<PortError>,
    changed: bool,
    wakes: Option<Place>,
    journal: Journal,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum State {
    ReadClaim,
    TakeGuard(Transaction),
    Poking,
    ReadSlot,
    Describing,
    Looking(Look),
    Rereading,
    Committing(Transaction),
    Effecting(Effect),
    Pausing(After),
    Serving,
    Heartbeating(Rest),
    LastHeartbeat(Ending),
    Resting(Transaction, Ending),
    TakingPoke,
    Finished,
}

/// What follows a pause.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum After {
    Observe,
    StartOver,
}

impl ActionLoop {
    /// A loop for `subject`. `serves` says whether it may serve other waiters; one started by a pass may not.
    pub fn new(subject: Subject, allowance: Allowance, serves: bool) -> Self {
        let answers = Answers { served: !serves, ..Answers::default() };
        Self {
            subject,
            allowance,
            state: State::Finished,
            claim: None,
            slot: None,
            seen: Observation { answers, ..Observation::default() },
            guarded: false,
            restarts: 0,
            giving_up: false,
            failure: None,
            changed: false,
            wakes: None,
            journal: Journal::default(),
        }
    }

    /// The instance that it is for.
    pub fn instance(&self) -> &InstanceId {
        &self.subject.instance
    }

    /// What it has done so far.
    pub fn journal(&self) -> &Journal {
        &self.journal
    }

    /// The first request.
    pub fn start(&mut self) -> Request {
        self.state = State::ReadClaim;
        Request::Read { keys: vec![Key::Claim(self.subject.instance.clone())], lists: Vec::new() }
    }

    /// The next request, after the answer to the last one.
    pub fn resume(&mut self, response: Response, now: Timestamp) -> Request {
        let state = std::mem::replace(&mut self.state, State::Finished);
        if let Response::Failed(error) = response {
            return self.failed(state, error, now);
        }
        match (state, response) {
            (State::ReadClaim, Response::Records(mut records, _)) => {
                self.claim = self.taken_claim(&mut records);
                if self.giving_up { self.give_up() } else { self.begin(now) }
            }
            (State::TakeGuard(transaction), Response::Committed(commit)) => match commit {
                Commit::Committed => {
                    self.guarded = true;
                    // Answers of an earlier guard say nothing of what others did since it ended.
                    let served = self.seen.answers.served;
                    self.seen.answers = Answers { served, ..Answers::default() };
                    self.remember(&transaction);
                    self.read_slot()
                }
                Commit::Conflict => self.start_over(now),
            },
            (State::Poking, Response::Poked(Poke::Left)) => self.poked(),
            (State::ReadSlot, Response::Records(records, _)) => {
                self.slot = self.taken_slot(&records);
                self.describe()
            }
            (State::Describing, Response::Described(described)) => {
                self.seen.answers.contradicted_by(&described);
                self.seen.described = described;
                self.reread()
            }
            (State::Looking(Look::Hooks(_)), Response::Hooks(hooks)) => {
                self.seen.hooks = Some(hooks);
                self.reread()
            }
            (State::Looking(Look::Candidates(_)), Response::Volumes(volumes)) => {
                self.seen.candidates = Some(Candidates::new(volumes));
                self.reread()
            }
            (State::Looking(Look::Pool(_)), Response::Volumes(volumes)) => {
                self.look_for_own(&volumes);
                self.seen.pool = Some(volumes);
                self.reread()
            }
            (State::Looking(Look::SlotVolumes(_)), Response::Volumes(volumes)) => {
                self.seen.slot_volumes = Some(volumes);
                self.reread()
            }
            (State::Looking(Look::Group(_)), Response::Group(group)) => {
                self.seen.members = Some(group);
                self.reread()
            }
            (State::Looking(Look::Others(_)), Response::Others(others)) => {
                self.seen.others = Some(others);
                self.reread()
            }
            (State::Looking(Look::Instances(_)), Response::Instances(instances)) => {
                self.seen.holders = Some(instances);
                self.reread()
            }
            (State::Looking(Look::Held(_)), Response::Records(_, lists)) => {
                self.seen.held = Some(held(lists));
                self.reread()
            }
            (State::Rereading, Response::Records(records, lists)) => {
                self.reread_done(records, lists, now)
            }
            (State::Committing(transaction), Response::Committed(commit)) => {
                self.committed(&transaction, commit, now)
            }
            (State::Effecting(Effect::Create(creation)), Response::Created(answer)) => {
                if let Err(refusal) = &answer {
                    self.journal.refusals.push(format!("ec2:CreateVolume: {refusal}"));
                }
                self.seen.answers.note_created(creation.name, answer);
                self.describe()
            }
            (State::Effecting(effect), Response::Answered(answer)) => {
                self.effected(effect, answer, now)
            }
            (State::Pausing(After::Observe), _) => self.describe(),
            (State::Pausing(After::StartOver), _) => self.start(),
            (State::Serving, _) => {
                self.seen.answers.served = true;
                self.read_slot()
            }
            (State::Heartbeating(rest), _) => self.rest(&rest),
            (State::LastHeartbeat(ending), _) => self.finish(ending),
            (State::Resting(_, ending), Response::Committed(Commit::Committed)) => {
                self.finish(ending)
            }
            // Poked, or written to by someone whose guard began when ours had ended: look again.
            (State::Resting(..), Response::Committed(Commit::Conflict)) => {
                if self.giving_up {
                    // The open mark brings someone back once the guard has ended.
                    return self.finish(Ending::WorkLeft);
                }
                self.state = State::TakingPoke;
                Request::TakePoke(self.subject.instance.clone(), self.allowance.invocation.clone())
            }
            // The guard that was poked is gone, or a poke was taken back: look again. Nor can anything be concluded from
            // an answer to another question.
            (_, _) => self.start_over(now),
        }
    }

    /// An instance that holds nothing may have volumes of the pool all the same: what the records know of those is read next.
    fn look_for_own(&mut self, pool: &[Volume]) {
        if matches!(self.phase(), Phase::Closed) {
            let here = pool.iter().filter(|volume| {
                let attachment = volume.attachment();
                attachment.and_then(|it| it.instance.as_ref()) == Some(&self.subject.instance)
            });
            self.seen.candidates = Some(Candidates::new(here.cloned().collect()));
        }
    }

    /// The claim is known: take the guard, or look first where nothing waits for this instance.
    fn begin(&mut self, now: Timestamp) -> Request {
        let me = &self.allowance.invocation;
        let claim = self.claim.as_ref();
        if let Some(guard) = claim.and_then(|claim| claim.guarded_by_other(me, now)) {
            let guard = guard.invocation.clone();
            self.state = State::Poking;
            return Request::Poke(self.subject.instance.clone(), guard);
        }
        self.guarded = claim.is_some_and(|claim| transition::guarded_by(claim, me));
        let open = claim.is_some_and(|claim| claim.open);
        match (self.subject.event.is_some(), claim) {
            // An instance that no record knows is none of ours: one read, and that was it. Unless it was found in one of
            // our groups.
            (false, None) if self.subject.found.is_none() => self.finish(Ending::Settled),
            _ if self.guarded
                || !(open || self.subject.event.is_some())
                || self.observes()
                || self.mode_unknown().is_some() =>
            {
                self.read_slot()
            }
            _ => self.take_guard(now),
        }
    }

    /// Whether the policy that came with the event, or the hook's, asks for observation only. Then not even a guard is
    /// written, unless something of an earlier time is still open.
    fn observes(&self) -> bool {
        let by_hooks =
            self.seen.hooks.as_ref().is_some_and(|hooks| only_observes(&self.subject, hooks));
        let observes = match &self.subject.event {
            // Its policy comes with the launch hook's events only.
            Some(_) if self.terminating().is_some() => by_hooks,
            Some(event) => Policy::parse(event.metadata.as_deref())
                .is_ok_and(|policy| policy.mode == Mode::Observe),
            // A policy on record comes first.
            None => by_hooks && self.claim.as_ref().is_none_or(|claim| claim.policy.is_none()),
        };
        observes && self.idle()
    }

    /// The group whose hooks must tell whether it is only observed: a terminate event carries no policy, and an instance
    /// that holds nothing has none on record.
    fn mode_unknown(&self) -> Option<&GroupName> {
        let shown = self.seen.described.group_instance.as_ref().map(|shown| &shown.group);
        let event = self.terminating().filter(|_| self.idle() && self.seen.hooks.is_none())?;
        Some(shown.unwrap_or(&event.action.group))
    }

    /// Whether nothing is on record for the instance, or nothing that still matters.
    fn idle(&self) -> bool {
        self.claim.as_ref().is_none_or(|claim| claim.phase == Phase::Closed && !claim.open)
    }

    fn terminating(&self) -> Option<&LifecycleEvent> {
        let event = self.subject.event.as_ref();
        event.filter(|event| event.action.transition == Transition::Terminating)
    }

    fn take_guard(&mut self, now: Timestamp) -> Request {
        let guard = Guard {
            invocation: self.allowance.invocation.clone(),
            until: self.allowance.guard_until,
        };
        let action = self.subject.event.as_ref().map(|event| &event.action);
        let fresh = Claim::new(self.subject.instance.clone());
        let transaction = transition::guard(self.claim.as_ref(), fresh, guard, action, now);
        self.state = State::TakeGuard(transaction.clone());
        Request::Commit(transaction)
    }

    fn read_slot(&mut self) -> Request {
        match self.claim.as_ref().and_then(Claim::slot) {
            Some(slot) if self.slot.as_ref().map(|known| &known.id) != Some(slot) => {
                let key = Key::Slot(slot.clone());
                self.state = State::ReadSlot;
                Request::Read { keys: vec![key], lists: Vec::new() }
            }
            Some(_) => self.describe(),
            None => {
                self.slot = None;
                self.describe()
            }
        }
    }

    fn describe(&mut self) -> Request {
        let volumes = self.slot.iter().flat_map(Slot::every_volume).cloned().collect();
        self.state = State::Describing;
        Request::Describe(self.subject.instance.clone(), volumes)
    }

    /// After EC2 and Auto Scaling were looked at, the records again, and what else the decision needs of them.
    fn reread(&mut self) -> Request {
        let mut keys = vec![Key::Claim(self.subject.instance.clone())];
        let group = self.seen.described.group_instance.as_ref();
        keys.extend(group.map(|instance| Key::Group(instance.group.clone())));
        let mut lists = Vec::new();
        match self.phase() {
            Phase::Closed => {
                keys.extend(self.seen.candidates.iter().flat_map(Candidates::keys));
                let pool = self.seen.candidates.as_ref().and_then(Candidates::pool_name);
                keys.extend(pool.map(Key::Pool));
            }
            Phase::Waiting { .. } | Phase::Creating { .. } => {}
            Phase::Leased { slot, .. } | Phase::Leaving { slot, .. } => {
                keys.push(Key::Slot(slot.clone()));
            }
        }
        if let Some((place, _)) = self.claim.as_ref().and_then(Claim::waits) {
            lists =
                [List::Waiting, List::Free, List::Coming].map(|list| list(place.clone())).into();
            keys.push(Key::Pool(place.pool.clone()));
            keys.extend(self.claim.as_ref().and_then(Claim::slot).cloned().map(Key::Slot));
            keys.extend(self.seen.candidates.iter().flat_map(Candidates::keys));
        }
        self.state = State::Rereading;
        Request::Read { keys, lists }
    }

    fn reread_done(
        &mut self,
        mut records: BTreeMap<Key, Record>,
        lists: Vec<Vec<Record>>,
        now: Timestamp,
    ) -> Request {
        let claim = self.taken_claim(&mut records);
        let slot = self.taken_slot(&records);
        if claim != self.claim || slot != self.slot {
            // Somebody wrote in between: what EC2 showed may be older than what the records say now.
            return self.start_over(now);
        }
        self.seen.claim.clone_from(&self.claim);
        self.seen.slot.clone_from(&self.slot);
        if let Some(slot) = &self.slot {
            self.journal.slot = Some(slot.id.clone());
        }
        let pool = records.values().find_map(|record| match record {
            Record::Pool(pool) => Some(pool.clone()),
            _ => None,
        });
        let queued = self.claim.as_ref().and_then(Claim::waits);
        self.seen.zone =
            queued.map(|(_, since)| ZoneView::new(pool, lists, since, &self.subject.instance));
        self.seen.group = records.values().find_map(|record| match record {
            Record::Group(group) => Some(group.clone()),
            _ => None,
        });
        if let Some(candidates) = &mut self.seen.candidates {
            candidates.note(records);
        }
        self.act(now)
    }

    fn act(&mut self, now: Timestamp) -> Request {
        let Decision { step, reason, alarms } = decide(&self.subject, &self.seen, now);
        self.journal.alarms.extend(alarms);
        if now >= self.allowance.stop_at && !matches!(step, Step::Rest { .. }) {
            self.journal.steps.push(StepTaken::out_of_time(&reason));
            return self.prepare_rest(true, None, "out of time: the next run goes on".to_owned());
        }
        self.journal.steps.push(StepTaken::new(&step, &reason));
        if !self.guarded && needs_guard(&step) {
            if let Some(group) = self.mode_unknown().cloned() {
                self.state = State::Looking(Look::Hooks(group.clone()));
                return Request::Hooks(group);
            }
            if !self.observes() {
                return self.take_guard(now);
            }
        }
        match step {
            Step::Look(look) => {
                let request = match &look {
                    Look::Hooks(group) => Request::Hooks(group.clone()),
                    Look::Candidates(place) => {
                        Request::PoolVolumes(place.clone(), VolumeState::Available)
                    }
                    Look::Pool(pool) => Request::EveryPoolVolume(pool.clone()),
                    Look::SlotVolumes(slot) => Request::SlotVolumes(slot.clone()),
                    Look::Group(group) => Request::Group(group.clone()),
                    Look::Others(instances) => Request::Others(instances.clone()),
                    Look::Instances(instances) => Request::Instances(instances.clone()),
                    Look::Held(place) => {
                        Request::Read { keys: Vec::new(), lists: vec![List::Held(place.clone())] }
                    }
                };
                self.state = State::Looking(look);
                request
            }
            Step::Commit(transaction) => {
                self.state = State::Committing(transaction.clone());
                Request::Commit(transaction)
            }
            Step::Effect(effect) => {
                self.seen.answers.sending(&effect);
                self.state = State::Effecting(effect.clone());
                Request::Effect(self.subject.instance.clone(), effect)
            }
            Step::Poll => self.pause(After::Observe),
            Step::Serve(place) => {
                self.state = State::Serving;
                Request::Serve(place)
            }
            Step::Rest { work_left, heartbeat } => {
                self.prepare_rest(work_left, heartbeat, reason.to_string())
            }
        }
    }

    fn committed(&mut self, transaction: &Transaction, commit: Commit, now: Timestamp) -> Request {
        match commit {
            Commit::Conflict => {
                if transaction.name == "lease" {
                    self.seen.answers.lost_races += 1;
                }
                self.journal.lost_races += 1;
                self.start_over(now)
            }
            Commit::Committed => {
                self.remember(transaction);
                self.progressed();
                match transaction.name {
                    "lease" | "enrol" | "begin release" => self.seen.answers.forget_evidence(),
                    "try again" => self.seen.answers.forget_creations(),
                    _ => {}
                }
                self.seen.answers.released.extend(transaction.released());
                self.changed |= transaction.wakes.is_some()
                    || matches!(transaction.name, "lease" | "created" | "quarantine");
                let waiting = self.claim.as_ref().is_some_and(|claim| claim.waits().is_some());
                match transaction.wakes.clone() {
                    // Served before the action is answered: the waiters have waited long enough.
                    Some(place) if !waiting && !self.seen.answers.served => {
                        self.state = State::Serving;
                        Request::Serve(place)
                    }
                    // It waits itself, or was started to serve: the others' turn comes after it.
                    Some(place) => {
                        self.wakes = Some(place);
                        self.read_slot()
                    }
                    None => self.read_slot(),
                }
            }
        }
    }

    fn effected(&mut self, effect: Effect, answer: Result<(), Refusal>, now: Timestamp) -> Request {
        if let Err(refusal) = &answer {
            self.journal.refusals.push(format!("{}: {refusal}", effect.call()));
        }
        let completes = matches!(effect, Effect::Complete(..)) && answer.is_ok();
        let next = self.seen.answers.note(effect, answer, now);
        if completes {
            // The lease was confirmed before the answer: nothing more to look at, unless a slot is still to be released.
            self.journal.answered = self.seen.answers.completed.as_ref().map(|(_, result)| *result);
            let leaving = matches!(self.phase(), Phase::Leaving { .. } | Phase::Creating { .. });
            let why = self.journal.steps.last().map(|step| step.reason.clone()).unwrap_or_default();
            return self.prepare_rest(leaving, None, why);
        }
        match next {
            Next::ObserveLater => self.pause(After::Observe),
            Next::Observe => self.describe(),
        }
    }

    /// Ends this run: keeps the action alive if it must wait, then gives the guard up.
    fn prepare_rest(
        &mut self,
        work_left: bool,
        heartbeat: Option<Action>,
        reason: String,
    ) -> Request {
        let answered = self.seen.answers.completed.clone();
        let rest = Rest { reason, answered, work_left };
        if work_left && !self.guarded && self.subject.found.is_none() && self.observes() {
            // Nothing is written in mode observe, so nobody would come back: Lambda tries the event again. What
            // reconcile has found, it finds again.
            let problem = format!("nothing to go by yet: {}", rest.reason);
            return self.finish(Ending::Failed(PortError::Transient { call: "observe", problem }));
        }
        // Whoever rests with an action waiting keeps it alive; a heartbeat needs no guard.
        let heartbeat = heartbeat
            .or_else(|| self.waiting_action())
            .filter(|_| work_left && self.seen.answers.completed.is_none());
        match heartbeat {
            Some(action) => {
                self.state = State::Heartbeating(rest);
                Request::Effect(self.subject.instance.clone(), Effect::Heartbeat(action))
            }
            None => self.rest(&rest),
        }
    }

    /// The action to keep alive. Where nothing could be observed, what the event or the record says of it.
    fn waiting_action(&self) -> Option<Action> {
        if self.seen.described != Described::default() {
            return waiting_action(&self.subject, &self.seen);
        }
        match &self.claim {
            Some(claim) => claim.action.clone().filter(|_| claim.answered.is_none()),
            None => self.subject.event.as_ref().map(|event| event.action.clone()),
        }
    }

    fn rest(&mut self, rest: &Rest) -> Request {
        let ending = if rest.work_left { Ending::WorkLeft } else { Ending::Settled };
        let ending = self.failure.take().map_or(ending, Ending::Failed);
        match &self.claim {
            Some(claim) if self.guarded => {
                let transaction = transition::rest(claim, rest);
                self.state = State::Resting(transaction.clone(), ending);
                Request::Commit(transaction)
            }
            _ => self.finish(ending),
        }
    }

    /// A call gave no answer to go by. It may have taken effect, so the next thing is to look again; after a while the
    /// rest is left to the next attempt.
    fn failed(&mut self, state: State, error: PortError, now: Timestamp) -> Request {
        self.journal.failures.push(error.to_string());
        self.restarts += 1;
        match state {
            State::Resting(_, ending) | State::LastHeartbeat(ending) => return self.finish(ending),
            State::Heartbeating(rest) => return self.rest(&rest),
            State::Serving => return self.describe(),
            // A volume's tags must not hold up what waits: they serve to rebuild a lost table, no more.
            State::Effecting(Effect::Tag(resource, _)) if resource.parse::<VolumeId>().is_ok() => {
                self.seen.answers.tagged(resource);
                return self.describe();
            }
            _ => {}
        }
        let hopeless = !matches!(error, PortError::Transient { .. });
        if hopeless || self.restarts >= MOST_RESTARTS || now >= self.allowance.stop_at {
            self.failure = Some(error);
            return self.start_giving_up();
        }
        self.seen.answers.polls += 1;
        self.pause(After::StartOver)
    }

    fn start_over(&mut self, now: Timestamp) -> Request {
        self.restarts += 1;
        // Auto Scaling and EC2 are asked again; so are the lists. What this invocation was answered stays true.
        self.progressed();
        self.slot = None;
        if self.restarts >= MOST_RESTARTS || now >= self.allowance.stop_at {
            return self.start_giving_up();
        }
        self.start()
    }

    /// Reads the claim as it is now, so that the guard can be given up on it.
    fn start_giving_up(&mut self) -> Request {
        if self.giving_up {
            // Not even that works: the guard ends by itself. The action can still be kept alive.
            self.claim = None;
            return self.give_up();
        }
        self.giving_up = true;
        self.start()
    }

    fn give_up(&mut self) -> Request {
        let me = &self.allowance.invocation;
        self.guarded = self.claim.as_ref().is_some_and(|claim| transition::guarded_by(claim, me));
        let why = self.failure.as_ref().map(ToString::to_string);
        self.prepare_rest(
            true,
            None,
            why.unwrap_or_else(|| "out of time or tries: the next run goes on".to_owned()),
        )
    }

    /// Another invocation guards the instance and will look again. Its open action is on record; another one of ours
    /// may be news to it, so Lambda is to bring that again.
    fn poked(&mut self) -> Request {
        let known = self.claim.as_ref().and_then(|claim| claim.action.as_ref());
        let news = self.subject.event.as_ref().is_some_and(|event| known != Some(&event.action));
        let ending = if news {
            let problem = "another invocation is at work on the instance, with another action";
            Ending::Failed(PortError::Transient { call: "guard", problem: problem.to_owned() })
        } else {
            Ending::Busy
        };
        // That invocation may be dead. A heartbeat needs no guard, and keeps the action alive until the guard has ended.
        match self.waiting_action() {
            Some(action) => {
                self.state = State::LastHeartbeat(ending);
                Request::Effect(self.subject.instance.clone(), Effect::Heartbeat(action))
            }
            None => self.finish(ending),
        }
    }

    fn pause(&mut self, after: After) -> Request {
        let polls = self.seen.answers.polls;
        // A call that failed is not made more often than that helps.
        let step = match after {
            After::Observe => polls.saturating_sub(QUICK_LOOKS),
            After::StartOver => polls,
        };
        let step = step.min(8);
        self.seen.answers.polls += 1;
        self.state = State::Pausing(after);
        let pause = (0..step).fold(SHORTEST_PAUSE, |pause, _| pause * 3 / 2);
        Request::Pause(pause.min(LONGEST_PAUSE))
    }

    fn progressed(&mut self) {
        self.seen.answers.polls = 0;
        self.seen.candidates = None;
        self.seen.pool = None;
        self.seen.slot_volumes = None;
        self.seen.held = None;
        self.seen.members = None;
        self.seen.others = None;
        self.seen.holders = None;
    }

    fn finish(&mut self, ending: Ending) -> Request {
        self.state = State::Finished;
        Request::Finish(Outcome { ending, changed: self.changed, wakes: self.wakes.take() })
    }

    fn phase(&self) -> &Phase {
        self.claim.as_ref().map_or(&Phase::Closed, |claim| &claim.phase)
    }

    /// What a transaction has written is known to stand there: a conditional write is a read.
    fn remember(&mut self, transaction: &Transaction) {
        if transaction.name == "adopt" {
            return;
        }
        for write in &transaction.writes {
            match write {
                Write::Put(Record::Claim(claim), _) => self.claim = Some(claim.clone()),
                Write::Put(Record::Slot(slot), _) => {
                    self.slot = Some(slot.clone());
                    self.journal.slot = Some(slot.id.clone());
                }
                Write::Put(..) | Write::Delete(_) => {}
            }
        }
    }

    fn taken_claim(&self, records: &mut BTreeMap<Key, Record>) -> Option<Claim> {
        match records.remove(&Key::Claim(self.subject.instance.clone())) {
            Some(Record::Claim(claim)) => Some(claim),
            Some(_) | None => None,
        }
    }

    fn taken_slot(&self, records: &BTreeMap<Key, Record>) -> Option<Slot> {
        let id = self.claim.as_ref().and_then(Claim::slot)?;
        match records.get(&Key::Slot(id.clone())) {
            Some(Record::Slot(slot)) => Some(slot.clone()),
            Some(_) | None => None,
        }
    }
}

fn held(lists: Vec<Vec<Record>>) -> Vec<HeldMark> {
    let marks = lists.into_iter().flatten().filter_map(|record| match record {
        Record::Held(mark) => Some(mark),
        _ => None,
    });
    marks.collect()
}

/// Looking and waiting need no guard; everything else does. In mode observe the answer alone is sent without one.
fn needs_guard(step: &Step) -> bool {
    match step {
        Step::Look(_) | Step::Poll | Step::Serve(_) => false,
        Step::Commit(_) | Step::Effect(_) => true,
        // Whoever must come back to it finds it by the open mark, which the guard brings.
        Step::Rest { work_left, .. } => *work_left,
    }
}
