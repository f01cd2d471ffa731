//! The model: which steps each state allows and where they lead, as stateright wants it.

use std::sync::Arc;
use std::time::Duration;

use stateright::{Model, Property};
use volume_pool::action::Action;
use volume_pool::decide::Subject;
use volume_pool::ids::{InstanceId, InvocationId};
use volume_pool::observation::{InstanceState, LifecycleState};
use volume_pool::ports::PortError;
use volume_pool::record::{Phase, Record};
use volume_pool::request::{Request, Response};
use volume_pool::transition;

use crate::answer::{Answered, Asked};
use crate::cloud::{Bound, Cloud, Departure};
use crate::configuration::{Configuration, Faults};
use crate::names;
use crate::repair::Mended;
use crate::state::{Lag, Notice, Running, State, hinted, subject, swept};
use crate::step::Step;
use crate::variant::Variant;

/// Most of a function's time: an invocation can be alive after one of these, not after two.
const TICK: Duration = Duration::from_secs(50);
/// Longer than a leaving instance is given, than a guard lasts, and than Auto Scaling's describes lag.
const WAIT: Duration = Duration::from_mins(6);
/// What is checked of every state, and what must be found in one.
pub(crate) const SAFETY: &str = "every safety rule holds";
pub(crate) const LIVENESS: &str = "what is left is finished by reconcile alone";
pub(crate) const WAKE_UPS: &str = "where nothing goes wrong, nobody is left to reconcile";
pub(crate) const ALL_DONE: &str = "everything has happened, and nobody waits";
/// More requests than anybody's patience lasts.
const PATIENCE: usize = 1000;

/// A configuration to be checked, with the product as it is or in a broken variant.
#[derive(Debug, Clone)]
pub struct Protocol {
    /// The configuration.
    pub configuration: Configuration,
    /// What is broken in it.
    pub variants: Vec<Variant>,
    initial: State,
    /// What reconcile has brought right already.
    pub(crate) mended: Mended,
}

impl Protocol {
    /// The configuration, with its instances brought into service by the product itself.
    pub fn new(configuration: Configuration, variants: &[Variant]) -> Self {
        let initial = State::new(&configuration);
        let mended = Mended::default();
        let mut protocol = Self { configuration, variants: Vec::new(), initial, mended };
        let mut state = protocol.initial.clone();
        if !configuration.unknown {
            // Who comes first makes slots of the volumes, and goes again.
            let first = names::instance(0);
            protocol.bring_up(&mut state, &first, |cloud| cloud.launch(&first, Bound::Service));
            let gone = Departure::Terminated;
            protocol.bring_up(&mut state, &first, |cloud| cloud.takes_out(&first, gone));
            let forgotten = Arc::make_mut(&mut state.cloud);
            forgotten.instances.remove(&first);
        }
        for number in 1..=configuration.in_service + configuration.waiting {
            let id = names::instance(number);
            protocol.bring_up(&mut state, &id, |cloud| cloud.launch(&id, Bound::Service));
        }
        state.begun = 0;
        state.at_rest();
        state.look_around(configuration.most);
        protocol.initial = state;
        protocol.variants = variants.to_vec();
        protocol
    }

    /// Has the group do something with an instance, and the event run to its end.
    fn bring_up(
        &self,
        state: &mut State,
        id: &InstanceId,
        happens: impl FnOnce(&mut Cloud) -> Action,
    ) {
        let action = happens(Arc::make_mut(&mut state.cloud));
        let event = Notice::of(id, &action).event(self.configuration.policy);
        let name = state.begin(Subject { event: Some(event), ..subject(id) });
        let ran = self.run(state, &name).and_then(|()| self.mend(state));
        state.broken = state.broken.take().or(ran.err());
    }

    /// Carries out what the invocation asks for and gives it the answer; what can't matter to anybody else follows at
    /// once. An error is the rule that is broken by it.
    pub(crate) fn call(
        &self,
        state: &mut State,
        name: &InvocationId,
        answered: Answered,
    ) -> Result<(), String> {
        let Some(running) = state.running.remove(name) else { return Ok(()) };
        let mut running = Arc::unwrap_or_clone(running);
        let asked =
            Asked { name, configuration: &self.configuration, variants: &self.variants, answered };
        let forbids = |state: &State, running: &Running| {
            if self.variants.contains(&Variant::NoGuard) {
                state.harms(running)
            } else {
                state.forbids(name, running)
            }
        };
        let mut broken = forbids(state, &running);
        let call = running.request.call();
        let mut response = state.answer(&mut running, &asked);
        if answered == Answered::Lost {
            response = Response::Failed(PortError::Transient { call, problem: String::new() });
        }
        running.resume(response, state.cloud.now);
        if answered == Answered::Lost && matches!(running.request, Request::Pause(_)) {
            running.resume(Response::Done, state.cloud.now);
        }
        let asked = Asked { answered: Answered::Now, ..asked };
        while running.is_nobodys_business() {
            broken = broken.or_else(|| forbids(state, &running));
            let response = state.answer(&mut running, &asked);
            running.resume(response, state.cloud.now);
        }
        if matches!(running.request, Request::Finish(_)) {
            state.at_rest();
        } else {
            state.running.insert(name.clone(), Arc::new(running));
        }
        broken.map_or(Ok(()), Err)
    }

    /// The invocation polls until it wants to change something, or ends; the world stands still.
    fn out_wait(&self, state: &mut State, name: &InvocationId) -> Result<(), String> {
        for _ in 0..PATIENCE {
            if state.running.get(name).is_none_or(|running| running.changes()) {
                return Ok(());
            }
            self.call(state, name, Answered::Now)?;
        }
        Err(format!("{name} polls for ever"))
    }

    fn lambda_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let lagging = state.lagging().is_some();
        for (name, running) in &state.running {
            if matches!(running.request, Request::Pause(_)) && !running.outdated {
                steps.push(Step::OutWait(name.clone()));
                continue;
            }
            steps.push(Step::Call(name.clone()));
            if lagging && matches!(running.request, Request::Describe(..) | Request::Along(..)) {
                steps.push(Step::CallLagging(name.clone()));
            }
            if running.changes() && state.left.crashes > 0 {
                steps.push(Step::Die(name.clone()));
            }
            if running.changes() && state.left.lost_replies > 0 {
                steps.push(Step::LoseReply(name.clone()));
            }
        }
        if state.running.len() >= self.configuration.hands
            || state.begun >= self.configuration.begins
        {
            return;
        }
        for notice in state.undelivered.iter() {
            steps.push(Step::Deliver(notice.clone()));
            if state.left.duplicates > 0 {
                steps.push(Step::DeliverTwice(notice.clone()));
            }
        }
        if state.left.notices > 0 {
            let told = state.cloud.instances.iter().filter(|(id, instance)| {
                use InstanceState::{Running, Stopped, Terminated};
                matches!(instance.state, Running | Stopped | Terminated)
                    && state.claim(id).is_some()
            });
            steps.extend(told.map(|(id, _)| Step::Notice(id.clone())));
        }
        if state.left.sweeps > 0 {
            let finds = state.finds.iter();
            steps.extend(finds.map(|(id, found)| Step::Sweep(id.clone(), *found)));
        }
    }

    fn group_steps(&self, state: &State, steps: &mut Vec<Step>) {
        let left = &state.left;
        let unborn = (1..=self.configuration.instances)
            .map(names::instance)
            .find(|id| !state.cloud.instances.contains_key(id));
        if let Some(id) = unborn {
            if left.launches > 0 {
                steps.push(Step::Launch(id.clone()));
            }
            if left.warm_launches > 0 {
                steps.push(Step::LaunchWarm(id));
            }
        }
        for (id, member) in &state.cloud.members {
            let alive = state.cloud.alive(id);
            match &member.shown.state {
                LifecycleState::InService if alive => {
                    if left.terminations > 0 {
                        steps.push(Step::Terminate(id.clone()));
                    }
                    if left.returns > 0 {
                        steps.push(Step::Return(id.clone()));
                    }
                }
                LifecycleState::Other(state)
                    if state.starts_with("Warmed:") && left.warm_starts > 0 =>
                {
                    steps.push(Step::TakeFromPool(id.clone()));
                }
                _ => {}
            }
            if member.waits.is_some() && left.timeouts > 0 {
                steps.push(Step::TimeOut(id.clone()));
            }
            if alive && left.kills > 0 {
                steps.push(Step::Kill(id.clone()));
            }
        }
    }

    /// Who is left to reconcile, where the events alone should have done.
    pub(crate) fn forgotten(&self, state: &State) -> Option<String> {
        let mut own = Vec::new();
        state.own_steps(&mut own);
        let done = state.running.is_empty() && state.undelivered.is_empty() && own.is_empty();
        (self.configuration.unaided && done).then(|| state.stuck()).flatten()
    }

    fn time_steps(state: &State, steps: &mut Vec<Step>) {
        let left = &state.left;
        let young = state.running.values().all(|running| running.began == state.cloud.now);
        let guarded = || {
            state
                .records
                .iter()
                .any(|record| matches!(record, Record::Claim(claim) if claim.guard.is_some()))
        };
        if left.ticks > 0 && young && guarded() {
            steps.push(Step::Tick);
        }
        if left.waits > 0 && state.running.is_empty() {
            steps.push(Step::Wait);
        }
        if left.lags > 0 && state.lag.is_none() {
            steps.extend([Step::VolumesLag, Step::InstancesLag, Step::GroupLags]);
        }
    }
}

impl State {
    /// A step that is none of an invocation's.
    pub(crate) fn moves(&mut self, step: &Step) {
        let cloud = Arc::make_mut(&mut self.cloud);
        let left = &mut self.left;
        let mut announce = |id, action| {
            Arc::make_mut(&mut self.undelivered).insert(Notice::of(id, &action));
        };
        match step {
            Step::Attached(volume) => cloud.attached(volume),
            Step::Detached(volume) => cloud.detached(volume),
            Step::Stopped(id) => cloud.stopped(id),
            Step::Terminated(id) => cloud.terminated(id),
            Step::NoticeGone(id) => cloud.noticed_gone(id),
            Step::Launch(id) => {
                left.launches -= 1;
                announce(id, cloud.launch(id, Bound::Service));
            }
            Step::LaunchWarm(id) => {
                left.warm_launches -= 1;
                announce(id, cloud.launch(id, Bound::WarmPool));
            }
            Step::TakeFromPool(id) => {
                left.warm_starts -= 1;
                announce(id, cloud.takes_from_pool(id));
            }
            Step::Return(id) => {
                left.returns -= 1;
                announce(id, cloud.takes_out(id, Departure::Parked));
            }
            Step::Terminate(id) => {
                left.terminations -= 1;
                announce(id, cloud.takes_out(id, Departure::Terminated));
            }
            Step::Kill(id) => {
                left.kills -= 1;
                cloud.shuts_down(id);
            }
            Step::TimeOut(id) => {
                left.timeouts -= 1;
                cloud.times_out(id);
            }
            Step::Tick => {
                left.ticks -= 1;
                cloud.now = cloud.now.plus(TICK);
                self.lag = None;
            }
            Step::Wait => {
                left.waits -= 1;
                cloud.now = cloud.now.plus(WAIT);
                self.lag = None;
            }
            Step::VolumesLag => {
                left.lags -= 1;
                self.lag = Some(Lag::Volumes(Arc::new(cloud.volumes.clone())));
            }
            Step::InstancesLag => {
                left.lags -= 1;
                self.lag = Some(Lag::Instances(Arc::new(cloud.instances.clone())));
            }
            Step::GroupLags => {
                left.lags -= 1;
                self.lag = Some(Lag::Members(Arc::new(cloud.members.clone())));
            }
            Step::Deliver(_)
            | Step::DeliverTwice(_)
            | Step::Notice(_)
            | Step::Sweep(..)
            | Step::Call(_)
            | Step::CallLagging(_)
            | Step::LoseReply(_)
            | Step::OutWait(_)
            | Step::Die(_) => {}
        }
    }

    /// Every lease ends by the clock: a broken variant.
    fn expire_leases(&mut self) {
        let now = self.cloud.now;
        let held: Vec<_> = self.slots().filter(|it| it.holder().is_some()).cloned().collect();
        for slot in held {
            let claim = slot.holder().and_then(|holder| self.claim(holder)).cloned();
            let Some(claim) = claim.filter(|it| matches!(it.phase, Phase::Leased { .. })) else {
                continue;
            };
            let begun = transition::begin_release(&claim, &slot, None, now, "");
            let records = Arc::make_mut(&mut self.records);
            if let Some(begun) = begun {
                let _ = records.commit(&begun);
            }
            let held = self.slots().find(|it| it.id == slot.id).cloned();
            let claim = self.claim(&claim.instance).cloned();
            let released = claim
                .zip(held)
                .and_then(|(claim, slot)| transition::release(&claim, &slot, now, ""));
            if let Some(released) = released {
                let _ = Arc::make_mut(&mut self.records).commit(&released);
            }
        }
    }
}

impl Model for Protocol {
    type State = State;
    type Action = Step;

    fn init_states(&self) -> Vec<State> {
        vec![self.initial.clone()]
    }

    fn actions(&self, state: &State, steps: &mut Vec<Step>) {
        if state.broken.is_some() {
            return;
        }
        self.lambda_steps(state, steps);
        state.own_steps(steps);
        self.group_steps(state, steps);
        Self::time_steps(state, steps);
    }

    fn next_state(&self, last: &State, step: Step) -> Option<State> {
        let mut state = last.clone();
        let policy = self.configuration.policy;
        let event = |notice: &Notice| Subject {
            event: Some(notice.event(policy)),
            ..subject(&notice.instance)
        };
        let first = |state: &mut State, subject| {
            let name = state.begin(subject);
            self.call(state, &name, Answered::Now)
        };
        let done = match &step {
            Step::Deliver(notice) => {
                Arc::make_mut(&mut state.undelivered).remove(notice);
                first(&mut state, event(notice))
            }
            Step::DeliverTwice(notice) => {
                state.left.duplicates -= 1;
                first(&mut state, event(notice))
            }
            Step::Notice(id) => {
                state.left.notices -= 1;
                let shown = state.cloud.runs(id).cloned()?;
                first(&mut state, hinted(id, shown))
            }
            Step::Sweep(id, found) => {
                state.left.sweeps -= 1;
                first(&mut state, swept(id, *found))
            }
            Step::Call(name) => self.call(&mut state, name, Answered::Now),
            Step::CallLagging(name) => self.call(&mut state, name, Answered::Lagging),
            Step::LoseReply(name) => {
                state.left.lost_replies -= 1;
                self.call(&mut state, name, Answered::Lost)
            }
            Step::OutWait(name) => self.out_wait(&mut state, name),
            Step::Die(name) => {
                state.left.crashes -= 1;
                state.running.remove(name);
                state.at_rest();
                Ok(())
            }
            own => {
                state.moves(own);
                if step == Step::Wait && self.variants.contains(&Variant::LeaseExpires) {
                    state.expire_leases();
                }
                Ok(())
            }
        };
        state.broken = done.err();
        if state.cloud != last.cloud || state.records != last.records {
            for running in state.running.values_mut().filter(|running| !running.outdated) {
                Arc::make_mut(running).outdated = true;
            }
            state.broken = state.broken.take().or_else(|| state.breaks());
            state.look_around(self.configuration.most);
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(SAFETY, |_, state: &State| state.broken.is_none()),
            Property::always(LIVENESS, |model: &Self, state: &State| {
                !state.running.is_empty()
                    || state.broken.is_some()
                    || model.comes_right(state).is_ok()
            }),
            Property::always(WAKE_UPS, |model: &Self, state: &State| {
                state.broken.is_some() || model.forgotten(state).is_none()
            }),
            // Else the configuration would show little: its instances never got where the rules matter.
            Property::sometimes(ALL_DONE, |_, state: &State| {
                let Faults { launches, warm_launches, warm_starts, returns, .. } = state.left;
                let Faults { terminations, kills, .. } = state.left;
                let ahead = [launches, warm_launches, warm_starts, returns, terminations, kills];
                let mut members = state.cloud.members.values();
                ahead.iter().all(|times| *times == 0)
                    && state.running.is_empty()
                    && members.all(|member| member.waits.is_none())
            }),
        ]
    }
}
