//! The last things that happened on the stage, for whoever must understand a scenario that broke.

use std::collections::VecDeque;
use std::fmt;

use volume_pool::Timestamp;
use volume_pool::request::Ending;

use super::Stage;

/// How much of the past is kept, unless all of it is wanted.
const LINES: usize = 80;

/// What happened last.
#[derive(Debug, Default)]
pub(super) struct Trace {
    lines: VecDeque<(Timestamp, Line)>,
    whole: bool,
}

#[derive(Debug)]
enum Line {
    /// A call of an invocation.
    Call(u64, &'static str),
    /// Anything else.
    Text(String),
}

impl Trace {
    /// Takes something down.
    pub(super) fn note(&mut self, at: Timestamp, text: String) {
        self.push(at, Line::Text(text));
    }

    /// Takes a call of an invocation down.
    pub(super) fn call(&mut self, at: Timestamp, invocation: u64, call: &'static str) {
        self.push(at, Line::Call(invocation, call));
    }

    /// Takes down how an invocation ended.
    pub(super) fn ending(&mut self, at: Timestamp, invocation: u64, ending: &Ending) {
        match ending {
            Ending::Settled => self.call(at, invocation, "settled"),
            Ending::WorkLeft => self.call(at, invocation, "work left"),
            Ending::Busy => self.call(at, invocation, "busy"),
            Ending::Failed(error) => self.note(at, format!("{invocation}: failed: {error}")),
        }
    }

    fn push(&mut self, at: Timestamp, line: Line) {
        if self.lines.len() == LINES && !self.whole {
            self.lines.pop_front();
        }
        self.lines.push_back((at, line));
    }
}

impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, line) in &self.lines {
            match line {
                Line::Call(invocation, call) => writeln!(f, "  {at} {invocation}: {call}")?,
                Line::Text(text) => writeln!(f, "  {at} {text}")?,
            }
        }
        Ok(())
    }
}

impl Stage {
    /// From now on everything that happens is kept for [`Self::trace`], not just the latest of it.
    pub fn keep_trace(&mut self) {
        self.trace.whole = true;
    }

    pub(super) fn whole_trace(&self) -> bool {
        self.trace.whole
    }

    /// What happened, a line for each call and each happening.
    pub fn trace(&self) -> &dyn fmt::Display {
        &self.trace
    }

    /// Takes down what was done to the world.
    pub fn note(&mut self, text: String) {
        let now = self.cloud.world().now();
        self.trace.note(now, text);
    }

    /// Where everybody stands.
    pub fn summary(&self) -> String {
        let world = self.cloud.world();
        let mut lines = vec![format!("at {}", world.now())];
        for group in world.groups() {
            for member in group.members.values() {
                let (instance, state) = (&member.instance, member.state.as_str());
                lines.push(format!("  {} {} {instance}: {state}", group.name, member.zone));
            }
        }
        for claim in self.claims() {
            let open = if claim.open { ", open" } else { "" };
            let (instance, phase, reason) = (&claim.instance, &claim.phase, &claim.reason);
            lines.push(format!("  claim {instance} {phase:?}{open}: {reason}"));
        }
        for slot in self.slots() {
            let (id, epoch, state, reason) = (&slot.id, slot.epoch, &slot.state, &slot.reason);
            lines.push(format!("  slot {id} epoch {epoch} {state:?}: {reason}"));
        }
        lines.join("\n")
    }
}
