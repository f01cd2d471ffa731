//! The guard, and the reads: records, then EC2 and Auto Scaling, then the same records again.

use std::collections::BTreeMap;

use super::{ActionLoop, State};
use crate::action::Transition;
use crate::decide::{Look, only_observes};
use crate::event::LifecycleEvent;
use crate::ids::{GroupName, VolumeId};
use crate::observation::{Described, Volume};
use crate::policy::{Mode, Policy};
use crate::record::{Claim, Group, Guard, HeldMark, Key, List, Phase, Pool, Record, Slot};
use crate::request::{Ending, Request, Response};
use crate::time::Timestamp;
use crate::transition;
use crate::zone::{Candidates, ZoneView};

impl ActionLoop {
    /// The claim is known: take the guard, or look first where nothing waits for this instance.
    pub(super) fn begin(&mut self, now: Timestamp) -> Request {
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
    pub(super) fn observes(&self) -> bool {
        let by_hooks =
            self.seen.hooks.as_ref().is_some_and(|hooks| only_observes(&self.subject, hooks));
        let observes = match &self.subject.event {
            // Its policy comes with the launch hook's events only.
            Some(_) if self.terminating().is_some() => by_hooks,
            Some(event) => Policy::parse(event.metadata.as_deref())
                .is_ok_and(|policy| policy.mode == Mode::Observe),
            None => by_hooks,
        };
        observes && self.idle()
    }

    /// The group whose hooks must tell whether it is only observed: a terminate event carries no policy, and an instance
    /// that holds nothing has none on record.
    pub(super) fn mode_unknown(&self) -> Option<&GroupName> {
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

    pub(super) fn take_guard(&mut self, now: Timestamp) -> Request {
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

    pub(super) fn read_slot(&mut self) -> Request {
        match self.claim.as_ref().and_then(Claim::slot) {
            Some(slot) if self.slot.as_ref().map(|known| &known.id) != Some(slot) => {
                // Whether the pool is being rebuilt is to be known before anything is decided.
                let keys = vec![Key::Slot(slot.clone()), Key::Pool(slot.pool.clone())];
                self.state = State::ReadSlot;
                Request::Read { keys, lists: Vec::new() }
            }
            Some(_) => self.describe(),
            None => {
                self.slot = None;
                self.describe()
            }
        }
    }

    /// Takes down what a look has shown; false if that is no answer to it.
    pub(super) fn looked(&mut self, look: &Look, response: Response) -> bool {
        let seen = &mut self.seen;
        match (look, response) {
            (Look::Hooks(_), Response::Hooks(hooks)) => seen.hooks = Some(hooks),
            (Look::Enrolment(_), Response::Enrolment(hooks, group)) => {
                seen.hooks = Some(hooks);
                seen.members = Some(group);
            }
            (Look::Candidates(_), Response::Volumes(volumes)) => {
                seen.candidates = Some(Candidates::new(volumes));
            }
            (Look::Pool(_), Response::Volumes(volumes)) => {
                self.look_for_own(&volumes);
                self.seen.pool = Some(volumes);
            }
            (Look::SlotVolumes(_), Response::Volumes(volumes)) => seen.slot_volumes = Some(volumes),
            (Look::Group(_), Response::Group(group)) => seen.members = Some(group),
            (Look::Others(_), Response::Others(others)) => seen.others = Some(others),
            (Look::Instances(_), Response::Instances(instances)) => seen.holders = Some(instances),
            (Look::Command(_), Response::Command(shown)) => seen.command = Some(shown),
            (Look::Held(_), Response::Records(_, lists)) => seen.held = Some(held(lists)),
            _ => return false,
        }
        true
    }

    /// Looks at EC2 and Auto Scaling; and along with that, where a launch begins, at how its group is enrolled.
    pub(super) fn describe(&mut self) -> Request {
        // What was read of a command before says nothing of it now.
        self.seen.command = None;
        if let Some(group) = self.joining() {
            self.state = State::Joining(group.clone());
            return self.along(Request::Enrolment(group), self.volumes());
        }
        self.state = State::Describing;
        Request::Describe(self.subject.instance.clone(), self.volumes())
    }

    /// This, and a look at EC2 and Auto Scaling along with it.
    pub(super) fn along(&self, asked: Request, volumes: Vec<VolumeId>) -> Request {
        Request::Along(Box::new(asked), self.subject.instance.clone(), volumes)
    }

    pub(super) fn volumes(&self) -> Vec<VolumeId> {
        self.slot.iter().flat_map(Slot::every_volume).cloned().collect()
    }

    /// The group whose queue a launch is about to join, by its event.
    fn joining(&self) -> Option<GroupName> {
        let action = self.subject.event.as_ref().map(|event| &event.action)?;
        let launches = action.transition == Transition::Launching && !action.to_warm_pool();
        let unknown = self.guarded && *self.phase() == Phase::Closed && self.seen.members.is_none();
        (launches && unknown).then(|| action.group.clone())
    }

    /// The launch and the enrolment of its event's group were looked at. If it is another group's, that says nothing of it.
    pub(super) fn joins(
        &mut self,
        group: &GroupName,
        described: Described,
        now: Timestamp,
    ) -> Request {
        if described.group_instance.as_ref().map(|shown| &shown.group) != Some(group) {
            self.seen.hooks = None;
            self.seen.members = None;
        }
        self.described(described, now)
    }

    /// EC2 and Auto Scaling were looked at.
    pub(super) fn described(&mut self, described: Described, now: Timestamp) -> Request {
        self.seen.answers.contradicted_by(&described);
        self.seen.described = described;
        self.reread_if_needed(now)
    }

    /// Takes down whether the pool is being rebuilt; gives its record, if it was read.
    pub(super) fn note_pool(&mut self, records: &BTreeMap<Key, Record>) -> Option<Pool> {
        let pool = records.values().find_map(|record| match record {
            Record::Pool(pool) => Some(pool.clone()),
            _ => None,
        });
        let rebuilding = pool.as_ref().filter(|pool| pool.rebuilding.is_some());
        self.seen.rebuilding = rebuilding.map(|pool| pool.name.clone());
        pool
    }

    /// An instance that holds nothing may have volumes of the pool all the same: what the records know of those is read next.
    pub(super) fn look_for_own(&mut self, pool: &[Volume]) {
        if matches!(self.phase(), Phase::Closed) {
            let here = pool.iter().filter(|volume| {
                let attachment = volume.attachment();
                attachment.and_then(|it| it.instance.as_ref()) == Some(&self.subject.instance)
            });
            self.seen.candidates = Some(Candidates::new(here.cloned().collect()));
        }
    }

    /// After EC2 and Auto Scaling were looked at, the records again, and what else the decision needs of them.
    pub(super) fn reread(&mut self) -> Request {
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
                keys.extend([Key::Slot(slot.clone()), Key::Pool(slot.pool.clone())]);
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

    pub(super) fn reread_done(
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
        let queued = self.claim.as_ref().and_then(Claim::waits);
        if let Some(slot) = &self.slot {
            self.journal.slot = Some(slot.id.clone());
            self.journal.place = Some(slot.place());
        } else if let Some((place, _)) = queued {
            self.journal.place = Some(place.clone());
        }
        let queued = queued.map(|(_, since)| since);
        let pool = self.note_pool(&records);
        self.seen.zone =
            queued.map(|since| ZoneView::new(pool, lists, since, &self.subject.instance));
        self.seen.group = taken_group(&records);
        if let Some(candidates) = &mut self.seen.candidates {
            candidates.note(records);
        }
        self.act(now)
    }

    pub(super) fn taken_claim(&self, records: &mut BTreeMap<Key, Record>) -> Option<Claim> {
        match records.remove(&Key::Claim(self.subject.instance.clone())) {
            Some(Record::Claim(claim)) => Some(claim),
            Some(_) | None => None,
        }
    }

    pub(super) fn taken_slot(&self, records: &BTreeMap<Key, Record>) -> Option<Slot> {
        let id = self.claim.as_ref().and_then(Claim::slot)?;
        match records.get(&Key::Slot(id.clone())) {
            Some(Record::Slot(slot)) => Some(slot.clone()),
            Some(_) | None => None,
        }
    }
}

pub(super) fn taken_group(records: &BTreeMap<Key, Record>) -> Option<Group> {
    records.values().find_map(|record| match record {
        Record::Group(group) => Some(group.clone()),
        _ => None,
    })
}

fn held(lists: Vec<Vec<Record>>) -> Vec<HeldMark> {
    let marks = lists.into_iter().flatten().filter_map(|record| match record {
        Record::Held(mark) => Some(mark),
        _ => None,
    });
    marks.collect()
}
