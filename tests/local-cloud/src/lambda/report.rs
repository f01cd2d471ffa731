//! What the Lambda runtime has to tell: every outcome, every log line, every event given up.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use tokio::sync::{broadcast, watch};
use volume_pool::Timestamp;

use crate::cloud::clock::WallClock;
use crate::cloud::recent::Recent;
use crate::world::{CloudEvent, Happening};

/// How many notices a slow subscriber may be behind before it misses some.
const BACKLOG: usize = 16_384;

/// One thing that a subscriber of a running cloud hears of.
#[derive(Debug, Clone)]
pub enum Notice {
    /// Something happened in the world.
    Happening(Happening),
    /// A function wrote a line.
    Log(LogLine),
    /// An invocation ended.
    Invocation(InvocationReport),
    /// An event was given up.
    DeadLetter(DeadLetter),
    /// The world sent an event, which may have been lost on its way.
    Event(CloudEvent),
}

/// A line that a function wrote to one of its output streams.
#[derive(Debug, Clone)]
pub struct LogLine {
    /// When it was read.
    pub at: Timestamp,
    /// The function's name.
    pub function: String,
    /// The sandbox, as in `lifecycle/3`.
    pub sandbox: String,
    /// The invocation that was running, if any was.
    pub request_id: Option<String>,
    /// Where it was written to.
    pub stream: Stream,
    /// The line, without its end.
    pub text: String,
}

/// The output streams of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// How one invocation ended.
#[derive(Debug, Clone)]
pub struct InvocationReport {
    /// When it ended.
    pub at: Timestamp,
    /// The function's name.
    pub function: String,
    /// The request id, the same for every attempt at one event.
    pub request_id: String,
    /// The event.
    pub payload: Arc<Value>,
    /// 1 for the first attempt, 2 for the first retry.
    pub attempt: u32,
    /// How long it took, a cold start included.
    pub took: Duration,
    /// How it ended.
    pub outcome: Outcome,
}

/// The ways in which an invocation ends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// The function answered.
    Succeeded(Value),
    /// The function reported an error.
    Failed {
        /// The error's type, in the function's words.
        error_type: String,
        /// The error's message, in the function's words.
        message: String,
    },
    /// The process was killed because it took too long.
    TimedOut(Duration),
    /// The process ended in the middle of the invocation.
    Exited {
        /// Its exit status, as in `signal: 9 (SIGKILL)`.
        status: String,
    },
    /// The process ended, or was ended, before it asked for its first event.
    InitFailed {
        /// What is known about it.
        message: String,
    },
}

/// An event that was given up.
#[derive(Debug, Clone)]
pub struct DeadLetter {
    /// When it was given up.
    pub at: Timestamp,
    /// The function it was meant for.
    pub function: String,
    /// The request id of its invocations.
    pub request_id: String,
    /// The event.
    pub payload: Arc<Value>,
    /// How often it was tried.
    pub attempts: u32,
    /// Why it was given up.
    pub reason: GivenUp,
    /// How the last attempt ended, if there was one.
    pub last: Option<Outcome>,
}

/// Why an event was given up, in Lambda's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum GivenUp {
    /// Every retry failed too.
    RetriesExhausted,
    /// It was too old for another attempt.
    EventAgeExceeded,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Succeeded(_) => f.write_str("succeeded"),
            Self::Failed { error_type, message } => write!(f, "failed: {error_type}: {message}"),
            Self::TimedOut(after) => {
                write!(f, "Task timed out after {:.2} seconds", after.as_secs_f64())
            }
            Self::Exited { status } => {
                write!(f, "Runtime.ExitError: runtime exited without answering: {status}")
            }
            Self::InitFailed { message } => write!(f, "init failed: {message}"),
        }
    }
}

/// One line for people.
impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Happening(Happening { at, text, .. }) => write!(f, "{at} {text}"),
            Self::Log(line) => write!(f, "{} {} | {}", line.at, line.sandbox, line.text),
            Self::Invocation(report) => report.fmt(f),
            Self::DeadLetter(letter) => letter.fmt(f),
            Self::Event(event) => write!(f, "{} event {}", event.at, event.detail_type),
        }
    }
}

impl fmt::Display for InvocationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, function, request_id, attempt, took, outcome, .. } = self;
        let took = took.as_secs_f64();
        write!(f, "{at} {function} {request_id} attempt {attempt} {outcome} ({took:.3} s)")
    }
}

impl fmt::Display for DeadLetter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, function, request_id, attempts, reason, payload, .. } = self;
        write!(
            f,
            "{at} {function} {request_id} given up after {attempts} attempts ({reason:?}): {payload}"
        )
    }
}

/// Keeps and passes on what the runtime has to tell.
#[derive(Debug)]
pub(crate) struct Reporter {
    pub(crate) clock: WallClock,
    pub(crate) notices: broadcast::Sender<Notice>,
    pub(crate) invocations: Recent<InvocationReport>,
    pub(crate) dead_letters: Recent<DeadLetter>,
    /// Counts the changes that somebody may be waiting for.
    changes: watch::Sender<u64>,
}

impl Reporter {
    pub(crate) fn new(clock: WallClock) -> Self {
        let (notices, _) = broadcast::channel(BACKLOG);
        let (invocations, dead_letters) = (Recent::new(), Recent::new());
        Self { clock, notices, invocations, dead_letters, changes: watch::Sender::new(0) }
    }

    /// Wakes whoever waits for a change.
    pub(crate) fn announce_change(&self) {
        self.changes.send_modify(|changes| *changes = changes.wrapping_add(1));
    }

    /// Hears of changes from now on.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    /// Tells whoever listens; that nobody does is fine.
    pub(crate) fn tell(&self, notice: Notice) {
        match &notice {
            Notice::Invocation(report) => {
                self.invocations.push(report.clone());
            }
            Notice::DeadLetter(letter) => {
                self.dead_letters.push(letter.clone());
            }
            Notice::Happening(_) | Notice::Log(_) | Notice::Event(_) => {}
        }
        let _ = self.notices.send(notice);
        self.announce_change();
    }
}
