//! Decide, and carry one step out; what its answer means.

use super::{ActionLoop, After, State};
use crate::action::{ActionResult, Transition};
use crate::answers::Next;
use crate::decide::{Decision, Effect, Look, Step, decide};
use crate::ids::{CommandId, VolumeId, VolumeName};
use crate::ports::{Commit, Refusal};
use crate::record::{List, Phase, Record};
use crate::report::StepTaken;
use crate::request::Request;
use crate::time::Timestamp;
use crate::transition::{Transaction, Write};

impl ActionLoop {
    pub(super) fn act(&mut self, now: Timestamp) -> Request {
        let decision = decide(&self.subject, &self.seen, now);
        self.journal.held = decision.holds_launch();
        let Decision { step, reason, alarms } = decision;
        self.journal.alarms.extend(alarms);
        self.journal.reasons.push(reason.clone());
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
                    Look::Enrolment(group) => Request::Enrolment(group.clone()),
                    Look::Candidates(place) => Request::AvailableVolumes(place.clone()),
                    Look::Pool(pool) => Request::EveryPoolVolume(pool.clone()),
                    Look::SlotVolumes(slot) => Request::SlotVolumes(slot.clone()),
                    Look::Group(group) => Request::Group(group.clone()),
                    Look::Others(instances) => Request::Others(instances.clone()),
                    Look::Instances(instances) => Request::Instances(instances.clone()),
                    Look::Command(sought) => {
                        Request::Command(self.subject.instance.clone(), sought.clone())
                    }
                    Look::Held(place) => {
                        Request::Read { keys: Vec::new(), lists: vec![List::Held(place.clone())] }
                    }
                };
                self.state = State::Looking(look);
                request
            }
            Step::Commit(transaction) => {
                self.state = State::Committing(transaction.clone());
                // A lease depends on nothing that EC2 shows of the volumes, and the attachment that follows does.
                match transaction.leases().map(|slot| slot.every_volume().cloned().collect()) {
                    Some(volumes) => self.along(Request::Commit(transaction), volumes),
                    None => Request::Commit(transaction),
                }
            }
            Step::Effect(effect) => {
                self.seen.answers.sending(&effect);
                self.state = State::Effecting(effect.clone());
                // Asked for its own word only, EC2 shows the volume as well: a release takes both.
                let confirms = matches!(&effect, Effect::Detach(volume) if self.seen.described.shows_available(volume));
                let call = Request::Effect(self.subject.instance.clone(), effect);
                if confirms { self.along(call, self.volumes()) } else { call }
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

    pub(super) fn committed(
        &mut self,
        transaction: &Transaction,
        commit: Commit,
        now: Timestamp,
    ) -> Request {
        match commit {
            Commit::Conflict => {
                if transaction.name == "lease" {
                    self.seen.answers.lost_races += 1;
                    self.journal.lost_leases += 1;
                }
                self.journal.lost_races += 1;
                self.start_over(now)
            }
            Commit::Committed => {
                self.journal.changes += 1;
                self.remember(transaction);
                self.progressed();
                match transaction.name {
                    "lease" | "enrol" | "begin release" => self.seen.answers.forget_evidence(),
                    "try again" => self.seen.answers.forget_creations(),
                    "announce" => self.announced(),
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
                    // What EC2 and Auto Scaling have shown just now, between the guard and this, holds for the queue too.
                    None if transaction.name == "enqueue" => self.reread(),
                    None if transaction.name == "begin release" => self.release_begun(now),
                    None => match self.ahead.take() {
                        Some(described) => self.leased(described, now),
                        None => self.read_slot(),
                    },
                }
            }
        }
    }

    pub(super) fn effected(
        &mut self,
        effect: Effect,
        answer: Result<(), Refusal>,
        now: Timestamp,
    ) -> Request {
        match &answer {
            Ok(()) if !matches!(effect, Effect::Heartbeat(_)) => {
                self.journal.changes += 1;
                if let Effect::Detach(volume) = &effect {
                    self.seen.answers.note_taken_off(volume, &self.seen.described);
                }
            }
            Ok(()) => {}
            Err(refusal) => {
                self.journal.refusals.push(format!("{}: {refusal}", effect.call()));
            }
        }
        let completes = matches!(effect, Effect::Complete(..)) && answer.is_ok();
        let done = answer.is_ok().then(|| effect.clone());
        let next = self.seen.answers.note(effect, answer, now);
        if completes {
            // The lease was confirmed before the answer: nothing more to look at, unless a slot is still to be released.
            self.note_answered(now);
            let leaving = matches!(self.phase(), Phase::Leaving { .. } | Phase::Creating { .. });
            let why = self.journal.steps.last().map(|step| step.reason.clone()).unwrap_or_default();
            return self.prepare_rest(leaving, None, why);
        }
        let ahead = self.ahead.take();
        match (next, ahead, done) {
            (Next::ObserveLater, ..) => self.pause(After::Observe),
            (Next::Observe, Some(described), _) => self.described(described, now),
            (Next::Observe, None, Some(done)) if self.tags_next(&done, now) => self.act(now),
            // EC2 was looked at right before, and nothing rests on the tags that it shows.
            (Next::Observe, None, Some(Effect::Tag(..))) if *self.phase() == Phase::Closed => {
                self.reread()
            }
            (Next::Observe, None, _) => self.describe(),
        }
    }

    /// Auto Scaling has taken the answer: how long that took, for the metrics.
    fn note_answered(&mut self, now: Timestamp) {
        let Some((action, result)) = &self.seen.answers.completed else { return };
        self.journal.answered = Some(*result);
        let Some(claim) = &self.claim else { return };
        let began = claim.began(action);
        self.journal.answered_after = Some(now.since(began));
        if action.transition == Transition::Launching
            && *result == ActionResult::Continue
            && matches!(claim.phase, Phase::Leased { .. })
        {
            // A slot may have lain free for long before anybody wanted it.
            let released_at = self.slot.as_ref().and_then(|slot| slot.released_at);
            self.journal.reattached_after = released_at.map(|at| now.since(at.max(began)));
        }
    }

    /// A command is on record that nobody can have sent yet.
    fn announced(&mut self) {
        if let Some(command) = self.claim.as_ref().and_then(|claim| claim.command.as_ref()) {
            self.seen.answers.note_announced(command);
        }
    }

    /// A volume was created, or refused.
    pub(super) fn created(
        &mut self,
        name: VolumeName,
        answer: Result<VolumeId, Refusal>,
    ) -> Request {
        match &answer {
            Ok(_) => self.journal.changes += 1,
            Err(refusal) => self.journal.refusals.push(format!("ec2:CreateVolume: {refusal}")),
        }
        self.seen.answers.note_created(name, answer);
        self.describe()
    }

    /// A command was sent, or refused.
    pub(super) fn sent(&mut self, answer: Result<CommandId, Refusal>) -> Request {
        match &answer {
            Ok(_) => self.journal.changes += 1,
            Err(refusal) => self.journal.refusals.push(format!("ssm:SendCommand: {refusal}")),
        }
        self.seen.answers.note_sent(answer);
        self.describe()
    }

    pub(super) fn progressed(&mut self) {
        self.seen.answers.polls = 0;
        self.seen.candidates = None;
        self.seen.pool = None;
        self.seen.slot_volumes = None;
        self.seen.held = None;
        self.seen.members = None;
        self.seen.others = None;
        self.seen.holders = None;
    }

    /// What a transaction has written is known to stand there: a conditional write is a read.
    pub(super) fn remember(&mut self, transaction: &Transaction) {
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
