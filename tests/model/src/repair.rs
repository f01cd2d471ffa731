//! Liveness: from any state in which nobody is alive, reconcile alone, minute by minute, with nothing going wrong any
//! more, brings every action its answer and every waiter the slot that there is for it. No event is delivered.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use volume_pool::ids::InvocationId;
use volume_pool::observation::{AttachmentState, InstanceState};
use volume_pool::request::Request;

use crate::answer::Answered;
use crate::protocol::Protocol;
use crate::state::{State, swept};
use crate::step::Step;

/// How long to wait before each round of reconcile: minutes at first, then what the product's patience takes.
const ROUNDS: [u64; 14] = [1, 1, 1, 1, 5, 5, 5, 1, 60, 1, 60, 1, 1, 1];
/// More requests than any invocation makes.
const REQUESTS: usize = 3000;

/// The tables and clouds, by their fingerprints, from which reconcile brings everything right. Many states have the same:
/// they differ in what may still go wrong and in events on their way, which reconcile has nothing to do with.
#[derive(Debug, Clone, Default)]
pub(crate) struct Mended(Arc<Mutex<HashSet<u64>>>);

impl Mended {
    fn fingerprint(state: &State) -> u64 {
        let mut hasher = DefaultHasher::new();
        (&state.cloud, &state.records).hash(&mut hasher);
        hasher.finish()
    }

    fn knows(&self, fingerprint: u64) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(&fingerprint)
    }

    fn add(&self, fingerprint: u64) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(fingerprint);
    }
}

impl Protocol {
    /// Whether reconcile would bring everything right from here on; what it would not, else.
    pub(crate) fn comes_right(&self, state: &State) -> Result<(), String> {
        let fingerprint = Mended::fingerprint(state);
        if self.mended.knows(fingerprint) {
            return Ok(());
        }
        self.mend(&mut state.clone())?;
        self.mended.add(fingerprint);
        Ok(())
    }

    /// Lets reconcile bring everything right that it can.
    pub(crate) fn mend(&self, state: &mut State) -> Result<(), String> {
        state.lag = None;
        state.settle();
        for minutes in ROUNDS {
            if state.stuck().is_none() {
                return Ok(());
            }
            Arc::make_mut(&mut state.cloud).now =
                state.cloud.now.plus(Duration::from_secs(60 * minutes));
            for (instance, found) in state.plan(self.configuration.most).instances {
                let name = state.begin(swept(&instance, found));
                self.run(state, &name)?;
            }
            state.settle();
            state.breaks().map_or(Ok(()), Err)?;
        }
        state.stuck().map_or(Ok(()), Err)
    }

    /// Runs an invocation to its end, while EC2 does what it was asked to.
    pub(crate) fn run(&self, state: &mut State, name: &InvocationId) -> Result<(), String> {
        for _ in 0..REQUESTS {
            let Some(running) = state.running.get(name) else { return Ok(()) };
            if matches!(running.request, Request::Pause(_)) {
                state.settle();
            }
            self.call(state, name, Answered::Now)?;
        }
        Err(format!("{name} does not come to an end"))
    }
}

impl State {
    /// Everything that EC2 and the group do of their own accord is done.
    pub(crate) fn settle(&mut self) {
        loop {
            let mut own = Vec::new();
            self.own_steps(&mut own);
            let Some(step) = own.first() else { return };
            self.moves(step);
        }
    }

    /// What EC2 and the group do next of their own accord.
    pub(crate) fn own_steps(&self, steps: &mut Vec<Step>) {
        for volume in self.cloud.volumes.values() {
            match volume.attachment().map(|attachment| &attachment.state) {
                Some(AttachmentState::Attaching) => steps.push(Step::Attached(volume.id.clone())),
                Some(AttachmentState::Detaching) => steps.push(Step::Detached(volume.id.clone())),
                _ => {}
            }
        }
        for (id, instance) in &self.cloud.instances {
            match instance.state {
                InstanceState::Stopping => steps.push(Step::Stopped(id.clone())),
                InstanceState::ShuttingDown => steps.push(Step::Terminated(id.clone())),
                _ => {}
            }
        }
        for id in self.cloud.members.keys() {
            use volume_pool::observation::LifecycleState::TerminatingProceed;
            let gone = matches!(
                self.cloud.runs(id),
                Some(InstanceState::ShuttingDown | InstanceState::Terminated)
            );
            if gone && self.cloud.stands(id) != Some(&TerminatingProceed) {
                steps.push(Step::NoticeGone(id.clone()));
            }
        }
    }
}
