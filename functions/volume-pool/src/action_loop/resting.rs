//! Every way to stop or to begin again: pauses, failures, the heartbeat before a rest, and giving the guard up.

use std::time::Duration;

use super::{ActionLoop, After, State};
use crate::action::{Action, Transition};
use crate::command::CommandShown;
use crate::decide::{Effect, Look, waiting_action};
use crate::ids::VolumeId;
use crate::observation::Described;
use crate::ports::{PortError, Refusal};
use crate::request::{Ending, Outcome, Request};
use crate::time::Timestamp;
use crate::transition::{self, Rest};

/// How often the loop starts over, after lost races or failed calls, before it leaves the rest to a later run.
const MOST_RESTARTS: u32 = 24;
/// The first pause of a series, and the longest; each is half as long again as the one before.
const SHORTEST_PAUSE: Duration = Duration::from_millis(180);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
/// How many looks follow each other at the shortest pause: attachments take 1 to 4 s, and a node that is down waits.
const QUICK_LOOKS: u32 = 20;

impl ActionLoop {
    /// Ends this run: keeps the action alive if it must wait, then gives the guard up.
    pub(super) fn prepare_rest(
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
        let event = self.subject.event.as_ref().map(|event| &event.action);
        let Some(claim) = &self.claim else { return event.cloned() };
        let recorded = claim.action.as_ref().filter(|_| claim.answered.is_none());
        if let (Some(event), Some(recorded)) = (event, recorded)
            && (event.began_after(recorded) || recorded.began_after(event))
        {
            let last = if event.began_after(recorded) { event } else { recorded };
            return Some(last.clone());
        }
        // A launch that is terminated before its answer is waited for no more, though the record has it until something
        // can be observed.
        let terminating = event.filter(|action| action.transition == Transition::Terminating);
        terminating.filter(|_| recorded.is_some()).or(recorded).cloned()
    }

    pub(super) fn rest(&mut self, rest: &Rest) -> Request {
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
    pub(super) fn failed(&mut self, state: State, error: PortError, now: Timestamp) -> Request {
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
            // Leaving in order must not hold up the termination: what Systems Manager refuses is a refusal, and what it does
            // not say is decided on as well.
            State::Effecting(Effect::RunDocument(_))
                if matches!(error, PortError::Denied { .. }) =>
            {
                return self.sent(Err(Refusal::Other(error.to_string())));
            }
            State::Looking(Look::Command(_)) => {
                self.seen.command = Some(CommandShown::Unanswered(error));
                return self.reread();
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

    pub(super) fn start_over(&mut self, now: Timestamp) -> Request {
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

    pub(super) fn give_up(&mut self) -> Request {
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
    pub(super) fn poked(&mut self) -> Request {
        let known = self.claim.as_ref().and_then(|claim| claim.action.as_ref());
        let news = self.subject.event.as_ref().is_some_and(|event| {
            known.is_none_or(|known| *known != event.action && !known.began_after(&event.action))
        });
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

    pub(super) fn pause(&mut self, after: After) -> Request {
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

    pub(super) fn finish(&mut self, ending: Ending) -> Request {
        self.state = State::Finished;
        Request::Finish(Outcome { ending, changed: self.changed, wakes: self.wakes.take() })
    }
}
