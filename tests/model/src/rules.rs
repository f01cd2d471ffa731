//! The safety rules (design.md, section 6), restated for the model: what must hold in every state, and at every call.

use volume_pool::decide::Effect;
use volume_pool::ids::{InstanceId, InvocationId, VolumeId};
use volume_pool::observation::{AttachmentState, InstanceState, LifecycleState};
use volume_pool::policy::LeaveMode;
use volume_pool::record::{Claim, Key, Phase, Record, Slot, SlotState};
use volume_pool::request::Request;

use crate::state::{Running, State};

impl State {
    pub(crate) fn claim(&self, instance: &InstanceId) -> Option<&Claim> {
        match self.records.get(&Key::Claim(instance.clone()))? {
            Record::Claim(claim) => Some(claim),
            _ => None,
        }
    }

    pub(crate) fn slots(&self) -> impl Iterator<Item = &Slot> {
        self.records.iter().filter_map(|record| match record {
            Record::Slot(slot) => Some(slot),
            _ => None,
        })
    }

    /// The rule that this state breaks, if it breaks one.
    pub(crate) fn breaks(&self) -> Option<String> {
        let contradictions = local_cloud::stage::contradictions(&mut self.records.iter());
        contradictions
            .into_iter()
            .next()
            .or_else(|| self.slots().find_map(|slot| self.misplaced(slot)))
            .or_else(|| self.stray())
            .or_else(|| self.unserved())
    }

    /// Rules 3 and 6: the volumes of a slot hang on its holder or on nobody.
    fn misplaced(&self, slot: &Slot) -> Option<String> {
        slot.volumes.iter().find_map(|wanted| {
            let volume = &wanted.volume;
            let on = self.cloud.attachment(volume)?.instance.as_ref()?;
            let id = &slot.id;
            match slot.holder() {
                Some(holder) if holder == on => None,
                Some(holder) => {
                    Some(format!("rule 6: {volume} is on {on}, and {id} is held by {holder}"))
                }
                None => Some(format!("rule 3: {volume} is on {on}, and nobody holds {id}")),
            }
        })
    }

    /// A volume of no slot hangs on nobody.
    fn stray(&self) -> Option<String> {
        self.cloud.volumes.values().find_map(|volume| {
            let on = volume.attachment()?.instance.as_ref()?;
            let known = self.slots().any(|slot| slot.every_volume().any(|id| *id == volume.id));
            (!known).then(|| format!("rule 6: {} is on {on}, and of no slot", volume.id))
        })
    }

    /// Rule 2: who is in service has its slot and every volume of it.
    fn unserved(&self) -> Option<String> {
        self.cloud.members.iter().find_map(|(instance, member)| {
            let serves = member.shown.state == LifecycleState::InService
                && self.cloud.runs(instance) == Some(&InstanceState::Running);
            let lacking = serves.then(|| self.lacking(instance))??;
            Some(format!("rule 2: {instance} is in service {lacking}"))
        })
    }

    fn lacking(&self, instance: &InstanceId) -> Option<String> {
        let held = self
            .slots()
            .find(|slot| matches!(&slot.state, SlotState::Leased { holder } if holder == instance));
        let Some(slot) = held else { return Some("without a lease".to_owned()) };
        slot.volumes.iter().find_map(|wanted| {
            let volume = &wanted.volume;
            match self.cloud.attachment(volume) {
                Some(attachment) if attachment.instance.as_ref() != Some(instance) => {
                    Some(format!("without {volume}"))
                }
                Some(attachment) if attachment.state != AttachmentState::Attached => {
                    Some(format!("with {volume} {:?}", attachment.state))
                }
                Some(_) => None,
                None => Some(format!("without {volume}")),
            }
        })
    }

    /// The rule that this request breaks, if it breaks one.
    pub(crate) fn forbids(&self, me: &InvocationId, running: &Running) -> Option<String> {
        let Request::Effect(instance, effect) = running.request.alone() else {
            return None;
        };
        self.unguarded(instance, effect, me).or_else(|| self.harms(running))
    }

    /// As [`Self::forbids`], but for the guard: the harm itself, where a variant has none.
    pub(crate) fn harms(&self, running: &Running) -> Option<String> {
        let Request::Effect(instance, effect) = running.request.alone() else {
            return None;
        };
        match effect {
            Effect::Attach(volume, _) => self.attaches(instance, volume),
            Effect::Detach(volume) => self.detaches(instance, volume),
            Effect::Create(creation) => {
                let unannounced = !matches!(
                    self.claim(instance).map(|claim| &claim.phase),
                    Some(Phase::Creating { .. })
                );
                let reason = match (unannounced, running.could_wait) {
                    (true, _) => "without an intent on record",
                    (_, true) => "though it saw a slot that was free or coming",
                    (false, false) => return None,
                };
                let name = &creation.name;
                Some(format!("rule 8: a volume {name} is created for {instance} {reason}"))
            }
            _ => None,
        }
    }

    /// Nothing is changed in AWS for an instance without its guard; heartbeats are exempt.
    fn unguarded(
        &self,
        instance: &InstanceId,
        effect: &Effect,
        me: &InvocationId,
    ) -> Option<String> {
        let guard = self.claim(instance).and_then(|claim| claim.guard.as_ref());
        let guarded =
            guard.is_some_and(|guard| guard.invocation == *me && self.cloud.now < guard.until);
        let exempt = matches!(effect, Effect::Heartbeat(_));
        let call = effect.call();
        (!guarded && !exempt)
            .then(|| format!("guard: {call} for {instance} by {me} without the guard"))
    }

    /// Rule 6: attached is what the instance holds.
    fn attaches(&self, instance: &InstanceId, volume: &VolumeId) -> Option<String> {
        let held = self.slots().any(|slot| {
            matches!(&slot.state, SlotState::Leased { holder } if holder == instance)
                && slot.volumes.iter().any(|known| known.volume == *volume)
        });
        (!held).then(|| format!("rule 6: {volume} is attached to {instance}, without a lease"))
    }

    /// Rule 5: nothing is pulled out from under a running database, unless the policy says so and its holder leaves.
    fn detaches(&self, instance: &InstanceId, volume: &VolumeId) -> Option<String> {
        self.cloud.attachment(volume).filter(|it| it.instance.as_ref() == Some(instance))?;
        let claim = self.claim(instance);
        let leaving = matches!(claim.map(|claim| &claim.phase), Some(Phase::Leaving { .. }));
        let policy = claim.and_then(|claim| claim.policy.as_ref());
        let allowed =
            leaving && policy.is_some_and(|policy| policy.leave.mode == LeaveMode::Detach);
        let mounted = self.cloud.alive(instance) && self.cloud.mounted.contains(instance);
        (mounted && !allowed)
            .then(|| format!("rule 5: {volume} is detached from {instance}, which has it mounted"))
    }

    /// What would stay as it is for ever, though it should not, if something would.
    pub(crate) fn stuck(&self) -> Option<String> {
        let free = self.slots().filter(|slot| slot.state == SlotState::Free).count();
        let waits = self.cloud.members.iter().find_map(|(instance, member)| {
            let state = &member.shown.state;
            let of_right = *state == LifecycleState::PendingWait && free == 0;
            (member.waits.is_some() && !of_right)
                .then(|| format!("{instance} waits in {state} for ever, {free} slots free"))
        });
        let held = || {
            self.slots().find_map(|slot| {
                let holder = slot.holder()?;
                let parked = matches!(self.cloud.stands(holder),
                    Some(LifecycleState::Other(state)) if state.starts_with("Warmed:"));
                let releasing = matches!(slot.state, SlotState::Releasing { .. });
                let gone = !self.cloud.alive(holder)
                    && self.cloud.runs(holder) != Some(&InstanceState::Stopped);
                let how = match &slot.state {
                    SlotState::Releasing { .. } => "being released by",
                    _ => "held by",
                };
                let id = &slot.id;
                (releasing || gone || parked).then(|| format!("{id} is {how} {holder} for ever"))
            })
        };
        let open = || {
            self.records.iter().find_map(|record| match record {
                Record::Claim(claim) if claim.open => {
                    let waits = self.cloud.stands(&claim.instance);
                    let instance = &claim.instance;
                    (waits != Some(&LifecycleState::PendingWait))
                        .then(|| format!("work is left for {instance} for ever"))
                }
                _ => None,
            })
        };
        waits.or_else(held).or_else(open)
    }
}
