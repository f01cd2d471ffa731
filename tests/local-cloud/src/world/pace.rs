//! What takes longer than it should, or never ends: attachments that hang, metal instances that shut down for
//! twenty minutes, operating systems that do not stop. Set for one volume or instance; [`Timings`] are for all.
//!
//! [`Timings`]: super::Timings

use std::time::Duration;

use super::World;
use super::attachments::AttachmentState;
use super::config::Span;
use super::due::Due;
use super::instances::InstanceState;
use super::mounts::Filesystem;

/// Something that takes its time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// A volume is `attaching`.
    Attach,
    /// A volume is `detaching`.
    Detach,
    /// A volume is `busy` after that, although nothing on it is mounted: the running instance does not let go.
    Release,
    /// An instance is `pending`.
    Start,
    /// An instance is `stopping`.
    Stop,
    /// An instance is `shutting-down`.
    Terminate,
}

impl Step {
    fn of_attachment(state: AttachmentState) -> Option<Self> {
        match state {
            AttachmentState::Attaching => Some(Self::Attach),
            AttachmentState::Detaching => Some(Self::Detach),
            AttachmentState::Busy => Some(Self::Release),
            AttachmentState::Attached => None,
        }
    }

    fn of_instance(state: InstanceState) -> Option<Self> {
        match state {
            InstanceState::Pending => Some(Self::Start),
            InstanceState::Stopping => Some(Self::Stop),
            InstanceState::ShuttingDown => Some(Self::Terminate),
            InstanceState::Running | InstanceState::Stopped | InstanceState::Terminated => None,
        }
    }
}

/// How long a step takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    /// This long, if it begins from now on.
    Takes(Duration),
    /// It does not end, nor does one that is under way, until the pace is reset or something else ends it.
    NeverEnds,
}

impl World {
    /// From now on a step of this volume or instance has this pace. An instance's paces for volumes hold for all
    /// that it has; a volume's own goes before.
    pub fn set_pace(&mut self, id: &str, step: Step, pace: Pace) {
        self.paces.insert((id.to_owned(), step), pace);
    }

    /// The step has its usual pace again, and what it held up goes on.
    pub fn reset_pace(&mut self, id: &str, step: Step) {
        if self.paces.remove(&(id.to_owned(), step)).is_none() {
            return;
        }
        let attachments = self.volumes.values().flat_map(|volume| &volume.attachments);
        let mut held_up: Vec<Due> = attachments
            .filter(|it| it.volume == id || it.instance == id)
            .filter(|it| Step::of_attachment(it.state) == Some(step))
            .filter(|it| it.filesystem == Filesystem::Unmounted || step != Step::Release)
            .map(|it| Due::Attachment {
                volume: it.volume.clone(),
                instance: it.instance.clone(),
                generation: it.generation,
            })
            .collect();
        let instance = self.instances.get(id);
        held_up.extend(
            instance
                .filter(|it| Step::of_instance(it.state) == Some(step))
                .map(|it| Due::Instance { instance: id.to_owned(), generation: it.generation }),
        );
        let usual = self.usual(step);
        for due in held_up {
            self.schedule(usual, due);
        }
    }

    /// From now on no attachment of the volume gets beyond this state, as EBS has it now and then. A detachment
    /// still ends what is stuck `attaching`, and the instance's termination ends everything.
    pub fn stick(&mut self, volume: &str, state: AttachmentState) {
        if let Some(step) = Step::of_attachment(state) {
            self.set_pace(volume, step, Pace::NeverEnds);
        }
    }

    /// What was stuck goes on.
    pub fn unstick(&mut self, volume: &str) {
        for step in [Step::Attach, Step::Detach, Step::Release] {
            self.reset_pace(volume, step);
        }
    }

    /// Has an attachment's state end when its pace says so, or after `usual`.
    pub(super) fn schedule_attachment(
        &mut self,
        (volume, instance): (&str, &str),
        (step, usual): (Step, Span),
        generation: u64,
    ) {
        let pace = self.pace(volume, step).or_else(|| self.pace(instance, step));
        let (volume, instance) = (volume.to_owned(), instance.to_owned());
        self.schedule_at(pace, usual, Due::Attachment { volume, instance, generation });
    }

    /// Has an instance's state end when its pace says so, or after `usual`.
    pub(super) fn schedule_instance(&mut self, instance: &str, state: InstanceState, usual: Span) {
        let pace = Step::of_instance(state).and_then(|step| self.pace(instance, step));
        let Some(generation) = self.instances.get(instance).map(|it| it.generation) else {
            return;
        };
        self.schedule_at(pace, usual, Due::Instance { instance: instance.to_owned(), generation });
    }

    /// Whether the volume's attachment is not to get beyond this state.
    pub(super) fn attachment_held_up(
        &self,
        volume: &str,
        instance: &str,
        state: AttachmentState,
    ) -> bool {
        Step::of_attachment(state).is_some_and(|step| {
            let pace = self.pace(volume, step).or_else(|| self.pace(instance, step));
            pace == Some(Pace::NeverEnds)
        })
    }

    /// Whether the instance is not to get beyond this state.
    pub(super) fn instance_held_up(&self, instance: &str, state: InstanceState) -> bool {
        let step = Step::of_instance(state);
        step.and_then(|step| self.pace(instance, step)) == Some(Pace::NeverEnds)
    }

    /// Whether the instance keeps the volume `busy` for a time of its own before it lets go.
    pub(super) fn releases_late(&self, volume: &str, instance: &str) -> bool {
        self.is_running(instance)
            && [volume, instance].iter().any(|id| self.pace(id, Step::Release).is_some())
    }

    fn pace(&self, id: &str, step: Step) -> Option<Pace> {
        self.paces.get(&(id.to_owned(), step)).copied()
    }

    fn schedule_at(&mut self, pace: Option<Pace>, usual: Span, due: Due) {
        match pace {
            None => self.schedule(usual, due),
            Some(Pace::Takes(duration)) => self.schedule(Span::exactly(duration), due),
            Some(Pace::NeverEnds) => {}
        }
    }

    fn usual(&self, step: Step) -> Span {
        let timings = &self.config.timings;
        match step {
            Step::Attach => timings.attach,
            Step::Detach | Step::Release => timings.detach,
            Step::Start => timings.start,
            Step::Stop => timings.stop,
            Step::Terminate => timings.terminate,
        }
    }
}
