//! What must hold at each call of ours when it is made, and of each event that happens: the rules that the state of
//! things afterwards does not tell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use volume_pool::Timestamp;
use volume_pool::command::{CommandState, Run};
use volume_pool::decide::Effect;
use volume_pool::effect::Creation;
use volume_pool::event::{Action, ActionResult, Transition};
use volume_pool::ids::{InstanceId, InvocationId, SlotId, VolumeId};
use volume_pool::observation::tags;
use volume_pool::policy::{LeaveMode, Mode, OnTimeout, Policy};
use volume_pool::record::{Claim, Phase, Slot, SlotState};
use volume_pool::request::Request;
use volume_pool::zone::stale;

use super::safety::{Book, lacking};
use super::writes::Queue;
use super::{HOOK_PREFIX, Stage, Timeouts};
use crate::world::{
    self, CommandStatus, Document, DocumentEffect, Filesystem, Happening, LifecycleState, World,
};

/// Who makes a call.
pub(super) struct Caller<'a> {
    pub(super) name: &'a InvocationId,
    /// When it read or wrote the records, if that was its last call.
    pub(super) records_at: Option<Timestamp>,
    /// How it saw the queue last.
    pub(super) queue: Option<Queue>,
    /// When it looked at EC2 and Auto Scaling last.
    pub(super) described_at: Option<Timestamp>,
}

impl Stage {
    /// Looks at a call that is about to be made.
    pub(super) fn before_call(&mut self, request: &Request, me: &Caller<'_>) {
        let Request::Effect(instance, effect) = request else {
            return;
        };
        let world = self.cloud.world();
        let live = self.live.of(&self.leases);
        let book = Book::new(&mut live.iter().map(AsRef::as_ref));
        let found: Vec<String> = {
            let (unenrolled, taken) = (&self.unenrolled, &self.taken);
            let opened_since = self
                .open_since
                .get(instance)
                .is_some_and(|since| me.records_at.is_some_and(|read| *since >= read));
            let call =
                Call { world: &world, book: &book, instance, unenrolled, opened_since, taken };
            let unread = me.records_at.is_none() && rests_on_records(effect);
            let unread = unread.then(|| {
                let (call, instance) = (effect.call(), instance);
                format!("rules 6 and 11: {call} for {instance} without a look at the records right before")
            });
            let ours = match effect {
                Effect::Attach(volume, _) => call.attaches(volume),
                Effect::Detach(volume) => call.detaches(volume),
                Effect::Complete(action, result) => call.answers(action, *result),
                Effect::Create(creation) => {
                    let was_there = |slot: &SlotId| {
                        let since = self.free_since.get(slot);
                        since.is_some_and(|since| me.records_at.is_some_and(|read| *since < read))
                    };
                    let coming = || me.queue.and_then(|queue| queue.awaits(call.claim()?));
                    let seen = me.queue.map_or(0, Queue::earlier);
                    call.creates(creation, was_there, seen).or_else(coming)
                }
                Effect::Stop => call.stops(),
                Effect::RunDocument(run) => call.runs(run),
                Effect::Tag(_, tags) => call.formats(tags, &self.served),
                Effect::KeepOnTermination(_) | Effect::Heartbeat(_) => None,
            };
            let unguarded = call.unguarded(effect, me.name);
            unguarded.into_iter().chain(unread).chain(ours).collect()
        };
        drop(world);
        self.broken.extend(found);
        if let Effect::Attach(volume, _) = effect {
            self.attached.insert((volume.to_string(), instance.to_string()));
        }
    }

    /// Rule 9: every action of ours is answered or kept alive by someone.
    pub(super) fn watch(&mut self, happening: &Happening) {
        let ours = happening
            .text
            .strip_prefix("hook ")
            .is_some_and(|text| text.starts_with(HOOK_PREFIX) && text.contains(" timed out for "));
        if !ours {
            return;
        }
        // Whoever is gone loses nothing by it; where its group may not terminate it, nothing else ends its launch.
        let gone = happening.subject.instance.as_ref().is_some_and(|instance| {
            let world = self.cloud.world();
            world.instance(instance).is_ok_and(|it| {
                use world::InstanceState as S;
                matches!(it.state, S::ShuttingDown | S::Terminated)
            })
        });
        if gone && self.timeouts == Timeouts::Explained {
            return;
        }
        if self.tolerated.iter().any(|hook| happening.text.starts_with(&format!("hook {hook} "))) {
            return;
        }
        let broken = match self.timeouts {
            Timeouts::Broken => true,
            Timeouts::Expected => false,
            Timeouts::Explained => self.unexplained(happening),
        };
        if broken {
            self.broken.push(format!("rule 9: {}", happening.text));
        }
    }
}

/// A call for an instance.
struct Call<'a> {
    world: &'a World,
    book: &'a Book<'a>,
    instance: &'a InstanceId,
    /// Instances whose group did not have our hooks all the time, or was only observed for a time.
    unenrolled: &'a BTreeSet<String>,
    /// Whether the instance's claim was opened only after the caller's last look at the records.
    opened_since: bool,
    /// Volumes that people have changed.
    taken: &'a BTreeSet<String>,
}

impl Call<'_> {
    fn claim(&self) -> Option<&Claim> {
        self.book.claim(self.instance)
    }

    /// Nothing is changed in AWS for an instance without its guard. Heartbeats are exempt, and so is the answer for an
    /// instance that nothing is written about (mode observe).
    fn unguarded(&self, effect: &Effect, me: &InvocationId) -> Option<String> {
        let exempt = match effect {
            Effect::Heartbeat(_) => true,
            Effect::Complete(..) => self.claim().is_none_or(|claim| {
                // Its call was under way while a deploy made its group one that is served (seed 36364).
                let was_observed =
                    self.opened_since && self.unenrolled.contains(self.instance.as_str());
                was_observed || (claim.phase == Phase::Closed && (!claim.open || self.opened_since))
            }),
            Effect::Attach(..)
            | Effect::Detach(_)
            | Effect::KeepOnTermination(_)
            | Effect::Stop
            | Effect::Create(_)
            | Effect::RunDocument(_)
            | Effect::Tag(..) => false,
        };
        let guard = self.claim().and_then(|claim| claim.guard.as_ref());
        let guarded =
            guard.is_some_and(|guard| guard.invocation == *me && self.world.now() < guard.until);
        (!exempt && !guarded).then(|| {
            format!("guard: {} for {} by {me} without the guard", effect.call(), self.instance)
        })
    }

    /// Rule 4: no instance may format what another one was in service with.
    fn formats(
        &self,
        tags: &BTreeMap<String, String>,
        served: &BTreeMap<VolumeId, BTreeSet<InstanceId>>,
    ) -> Option<String> {
        let blank = tags.values().filter_map(|value| value.strip_suffix(tags::MAY_FORMAT));
        let mut others = blank.filter(|volume| {
            let holders = volume.parse().ok().and_then(|volume: VolumeId| served.get(&volume));
            holders.is_some_and(|holders| holders.iter().any(|holder| holder != self.instance))
        });
        others.next().map(|volume| {
            format!("rule 4: {} may format {volume}, which another had in service", self.instance)
        })
    }

    /// Rule 6: attached is what the instance holds.
    fn attaches(&self, volume: &VolumeId) -> Option<String> {
        let held = match self.claim().map(|claim| &claim.phase) {
            Some(Phase::Leased { slot, .. }) => self.book.slot(slot),
            Some(
                Phase::Closed
                | Phase::Waiting { .. }
                | Phase::Creating { .. }
                | Phase::Leaving { .. },
            )
            | None => None,
        };
        let leased = held.is_some_and(|slot| {
            slot.holder() == Some(self.instance)
                && slot.volumes.iter().any(|known| known.volume == *volume)
        });
        (!leased)
            .then(|| format!("rule 6: {volume} is attached to {}, without a lease", self.instance))
    }

    /// Rule 5: nothing is pulled out from under a mounted filesystem, unless the policy says so, or the document that it
    /// names has said that it unmounted it.
    fn detaches(&self, volume: &VolumeId) -> Option<String> {
        let attachment = self.world.attachment(volume.as_str(), self.instance.as_str())?;
        let state = self.world.instance(self.instance.as_str()).ok()?.state;
        let alive = matches!(
            state,
            world::InstanceState::Pending
                | world::InstanceState::Running
                | world::InstanceState::Stopping
        );
        let leaving = matches!(self.claim().map(|claim| &claim.phase), Some(Phase::Leaving { .. }));
        let policy = self.claim().and_then(|claim| claim.policy.as_ref());
        let mode = policy.map(|policy| policy.leave.mode).filter(|_| leaving);
        let document = self.document_done();
        let (instance, state) = (self.instance, state.as_str());
        if alive && mode == Some(LeaveMode::Ssm) && self.terminates() && document.is_none() {
            return Some(format!(
                "rule 5: {volume} is detached from {instance}, {state}, before its document has succeeded"
            ));
        }
        let allowed = match mode {
            Some(LeaveMode::Detach) => true,
            // A document may lie: it succeeds and has unmounted nothing.
            Some(LeaveMode::Ssm) => {
                document.is_some_and(|document| document.effect == DocumentEffect::Nothing)
            }
            Some(LeaveMode::Stop | LeaveMode::Guest | LeaveMode::Terminate) | None => false,
        };
        let mounted = attachment.filesystem == Filesystem::Mounted;
        (alive && mounted && !allowed).then(|| {
            format!("rule 5: {volume} is detached from {instance}, {state}, which has it mounted")
        })
    }

    /// Rule 5: an instance that does its work is not stopped.
    fn stops(&self) -> Option<String> {
        let (_, member) = self.world.member(self.instance.as_str())?;
        let state = member.state;
        let at_work = matches!(state, LifecycleState::InService | LifecycleState::Standby);
        at_work
            .then(|| format!("rule 5: {} is stopped while it is {}", self.instance, state.as_str()))
    }

    /// Rule 10, and the intent before the call: a document is run only on an instance whose termination waits, by the
    /// command that is on record for it.
    fn runs(&self, run: &Run) -> Option<String> {
        let command = self.claim().and_then(|claim| claim.command.as_ref());
        let announced = command.is_some_and(|command| {
            command.state == CommandState::Announced
                && (&command.document, &command.comment) == (&run.document, &run.comment)
        });
        (!announced || !self.terminates()).then(|| {
            let (document, instance) = (&run.document, self.instance);
            format!("rule 10: {document} is run on {instance}: announced {announced}")
        })
    }

    fn gone(&self) -> bool {
        self.world.instance(self.instance.as_str()).is_ok_and(|it| {
            matches!(
                it.state,
                world::InstanceState::ShuttingDown | world::InstanceState::Terminated
            )
        })
    }

    fn terminates(&self) -> bool {
        let member = self.world.member(self.instance.as_str());
        member.is_some_and(|(_, member)| member.state == world::LifecycleState::TerminatingWait)
    }

    /// The document that has succeeded on the instance, on record and in the world.
    fn document_done(&self) -> Option<Document> {
        let command = self.claim()?.command.as_ref()?;
        let CommandState::Succeeded { id } = &command.state else {
            return None;
        };
        let invocation = self.world.command_invocation(id.as_str(), self.instance.as_str()).ok()?;
        (invocation.status == CommandStatus::Success)
            .then(|| self.world.document(&invocation.document))
            .flatten()
    }

    /// Rule 8: an empty volume is created only with its intent on record, and where no slot with data is free for the
    /// instance that it is for. What came free after the records were read right before could not be seen, nor who left the
    /// queue: `seen` is how many waited before it then; and whose policy prefers an empty volume after a while takes none
    /// whose data is too old for it then.
    fn creates(
        &self,
        creation: &Creation,
        was_there: impl Fn(&SlotId) -> bool,
        seen: usize,
    ) -> Option<String> {
        let Some(claim @ Claim { phase: Phase::Creating { place, since, slot, .. }, .. }) =
            self.claim()
        else {
            return Some(format!("rule 8: a volume is created for {}, unannounced", self.instance));
        };
        let planned = self.book.slot(slot).and_then(|slot| match &slot.state {
            SlotState::Creating { claimant, planned } if *claimant == claim.instance => {
                Some(planned)
            }
            _ => None,
        });
        let announced = planned.is_some();
        // What is begun for an instance that has gone since is made whole, for the next one.
        let made_whole = planned
            .is_some_and(|planned| planned.iter().any(|it| it.volume.is_some()))
            && (self.gone()
                || self
                    .world
                    .member(claim.instance.as_str())
                    .is_none_or(|(_, member)| member.state != LifecycleState::PendingWait));
        let earlier = self.book.claims().filter(|other| {
            other.queued().is_some_and(|(there, then)| {
                there == place && (then, &other.instance) < (*since, &claim.instance)
            })
        });
        let free = self
            .book
            .slots()
            .filter(|slot| slot.state == SlotState::Free && slot.place() == *place)
            .filter(|slot| was_there(&slot.id) && !self.too_old_by_now(claim, slot));
        let (earlier, free) = (earlier.count().max(seen), free.count());
        let named = creation.tags.get(tags::SLOT).map(String::as_str) == Some(&*slot.to_string());
        (!announced || !named || free > earlier && !made_whole).then(|| {
            format!("rule 8: a volume of {slot} is created for {}: announced {announced}, named {named}, {free} slots free, {earlier} waiters before it", self.instance)
        })
    }

    /// Whether the slot's data is too old for the instance, and its policy prefers an empty volume to waiting any longer.
    fn too_old_by_now(&self, claim: &Claim, slot: &Slot) -> bool {
        let now = self.world.now();
        claim.policy.as_ref().is_some_and(|policy| {
            let patience = Duration::from_secs(u64::from(policy.wait_seconds));
            policy.on_timeout == OnTimeout::Create
                && now.since(claim.taken_up()) >= patience
                && stale(policy.stale_after_hours, slot, now)
        })
    }

    /// Rule 2: a launch is continued only with every volume of its slot, unless the group is only observed or the
    /// instance is bound for the warm pool.
    fn answers(&self, action: &Action, result: ActionResult) -> Option<String> {
        // Anywhere else the answer finds nothing that waits for it.
        let waits = self
            .world
            .member(self.instance.as_str())
            .is_some_and(|(_, member)| member.state == LifecycleState::PendingWait);
        if (action.transition, result) != (Transition::Launching, ActionResult::Continue)
            || !waits
            || self.unenrolled.contains(self.instance.as_str())
        {
            return None;
        }
        let lacking = lacking(self.world, self.book, self.instance.as_str())?;
        // A person may be faster than the answer to a look.
        let by_a_person = self.taken.iter().any(|volume| lacking.contains(volume));
        (!by_a_person)
            .then(|| format!("rule 2: the launch of {} is continued {lacking}", self.instance))
    }
}

/// Whether a call may only follow upon the records: what is attached, detached, created and stopped is what they say.
fn rests_on_records(effect: &Effect) -> bool {
    match effect {
        Effect::Attach(..)
        | Effect::Detach(_)
        | Effect::Create(_)
        | Effect::Stop
        | Effect::RunDocument(_)
        | Effect::Complete(..) => true,
        Effect::KeepOnTermination(_) | Effect::Tag(..) | Effect::Heartbeat(_) => false,
    }
}

/// Which policies ask for observation only, each parsed once. They are few, and differ in length.
#[derive(Debug, Default)]
pub(super) struct Observed(Vec<(String, bool)>);

impl Observed {
    /// Whether a policy of the group's launch hooks of ours asks for observation only.
    pub(super) fn asks(&mut self, group: &world::Group) -> bool {
        let launch = group.hooks.values().filter(|hook| {
            hook.name.starts_with(HOOK_PREFIX) && hook.transition == world::Transition::Launching
        });
        launch.filter_map(|hook| hook.metadata.as_ref()).any(|text| {
            if let Some((_, known)) = self.0.iter().find(|(known, _)| known == text) {
                return *known;
            }
            let policy = Policy::parse(Some(text));
            let asks = policy.is_ok_and(|policy| policy.mode == Mode::Observe);
            self.0.push((text.clone(), asks));
            asks
        })
    }
}
