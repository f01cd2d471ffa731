//! The loop that owns a sandbox's process. Everything that happens to it - work, the process's own calls to the
//! Runtime API, its exit, its deadline, a kill - reaches this one loop, so no two of them can race.

use std::future::pending;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::process::Child;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::report::Outcome;
use super::sandbox::Invocation;
use crate::cloud::clock::WallClock;

/// How long the output of a process that has ended may stay open (a grandchild may hold it).
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The request id of the invocation that runs now.
pub(super) type Current = Arc<Mutex<Option<Arc<str>>>>;

/// What can reach a sandbox's process.
#[derive(Debug)]
pub(super) enum Message {
    Work(Work),
    Poll(oneshot::Sender<Invocation>),
    Answer { request_id: String, outcome: Outcome, known: oneshot::Sender<bool> },
    InitError(String),
    Kill,
}

/// An event, and who waits for what becomes of it.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) invocation: Invocation,
    pub(super) outcome: oneshot::Sender<Outcome>,
}

/// Why a sandbox ended.
enum End {
    Exited(std::io::Result<ExitStatus>),
    OutOfTime,
    Killed,
}

/// A process and what belongs to it.
pub(super) struct Process {
    pub(super) child: Child,
    /// The tasks that read what it writes.
    pub(super) output: JoinSet<()>,
    /// How long one invocation may take.
    pub(super) limit: Duration,
    pub(super) clock: WallClock,
}

/// The actor's ends of what the [`Sandbox`](super::sandbox::Sandbox) holds.
pub(super) struct Ends {
    pub(super) inbox: mpsc::UnboundedReceiver<Message>,
    pub(super) gone: watch::Sender<bool>,
    pub(super) current: Current,
}

/// The loop's state.
pub(super) struct Actor {
    process: Process,
    ends: Ends,
    /// Whether the process has asked for its first event.
    initialised: bool,
    init_error: Option<String>,
    poll: Option<oneshot::Sender<Invocation>>,
    queued: Option<Work>,
    running: Option<Work>,
    deadline: Option<Instant>,
}

impl Actor {
    /// The actor of a process that was just started.
    pub(super) fn new(process: Process, ends: Ends, init_limit: Duration) -> Self {
        Self {
            process,
            ends,
            initialised: false,
            init_error: None,
            poll: None,
            queued: None,
            running: None,
            deadline: Some(Instant::now() + init_limit),
        }
    }

    /// Runs the process to its end.
    pub(super) async fn run(mut self) {
        let end = loop {
            tokio::select! {
                // What the process said before it ended counts, so its messages go first.
                biased;
                Some(message) = self.ends.inbox.recv() => match message {
                    Message::Kill => break End::Killed,
                    other => self.take(other),
                },
                status = self.process.child.wait() => break End::Exited(status),
                () = at(self.deadline) => break End::OutOfTime,
            }
        };
        let status = match end {
            End::Exited(status) => status,
            End::OutOfTime => {
                let status = self.end_process().await;
                self.out_of_time();
                status
            }
            End::Killed => self.end_process().await,
        };
        self.exited(&status);
        let last_words = async { while self.process.output.join_next().await.is_some() {} };
        // Past that time the readers are dropped with the actor.
        let _ = timeout(LAST_WORDS, last_words).await;
    }

    async fn end_process(&mut self) -> std::io::Result<ExitStatus> {
        // The one way in which this fails is that the process has ended already.
        let _ = self.process.child.start_kill();
        self.process.child.wait().await
    }

    fn take(&mut self, message: Message) {
        match message {
            Message::Work(work) => {
                self.queued = Some(work);
                if self.initialised {
                    // A process that never asks for its next event runs out of time too.
                    self.deadline = Some(Instant::now() + self.process.limit);
                }
            }
            Message::Poll(poll) => {
                if !self.initialised {
                    self.initialised = true;
                    self.deadline = None;
                }
                self.settle(Outcome::Failed {
                    error_type: "Runtime.NoAnswer".to_owned(),
                    message: "the function asked for its next event before it answered this one"
                        .to_owned(),
                });
                self.poll = Some(poll);
            }
            Message::Answer { request_id, outcome, known } => {
                let matches = self
                    .running
                    .as_ref()
                    .is_some_and(|work| *work.invocation.request_id == *request_id);
                if matches {
                    self.settle(outcome);
                }
                // A process that is gone needs no telling.
                let _ = known.send(matches);
            }
            Message::InitError(message) => self.init_error = Some(message),
            Message::Kill => {}
        }
        self.hand_over();
    }

    /// Hands the queued event to the process if it asks for one: from here on its time counts.
    fn hand_over(&mut self) {
        if self.poll.is_none() {
            return;
        }
        let Some(mut work) = self.queued.take() else {
            return;
        };
        let Some(poll) = self.poll.take() else { return };
        let deadline = self.process.clock.now().plus(self.process.limit);
        work.invocation.deadline_millis = deadline.as_millis();
        if poll.send(work.invocation.clone()).is_err() {
            // The process gave up this poll; the next one gets the event.
            self.queued = Some(work);
            return;
        }
        self.deadline = Some(Instant::now() + self.process.limit);
        self.set_current(Some(Arc::clone(&work.invocation.request_id)));
        self.running = Some(work);
    }

    /// Ends the running invocation, if there is one.
    fn settle(&mut self, outcome: Outcome) {
        if let Some(work) = self.running.take() {
            self.deadline = None;
            self.set_current(None);
            // Whoever waited may be gone: the cloud is being shut down.
            let _ = work.outcome.send(outcome);
        }
    }

    fn out_of_time(&mut self) {
        if self.initialised {
            self.running = self.running.take().or(self.queued.take());
            self.settle(Outcome::TimedOut(self.process.limit));
        } else if self.init_error.is_none() {
            self.init_error = Some("it did not ask for its first event in time".to_owned());
        }
    }

    /// Tells whoever waits for the process that it is gone.
    fn exited(&mut self, status: &std::io::Result<ExitStatus>) {
        let status = match status {
            Ok(status) => status.to_string(),
            Err(error) => format!("unknown exit status ({error})"),
        };
        // Before anyone is told: whoever waits for an outcome must not see this sandbox as living.
        self.ends.gone.send_replace(true);
        self.settle(Outcome::Exited { status: status.clone() });
        self.ends.inbox.close();
        while let Ok(message) = self.ends.inbox.try_recv() {
            if let Message::Work(work) = message {
                self.queued = Some(work);
            }
        }
        // An initialised process that ended while idle did nothing to this event: dropping it sends it elsewhere.
        if let Some(work) = self.queued.take()
            && !self.initialised
        {
            let message = match self.init_error.take() {
                Some(error) => format!("{error} ({status})"),
                None => format!("the process ended before it asked for its first event: {status}"),
            };
            let _ = work.outcome.send(Outcome::InitFailed { message });
        }
    }

    fn set_current(&self, request_id: Option<Arc<str>>) {
        *self.ends.current.lock().unwrap_or_else(PoisonError::into_inner) = request_id;
    }
}

async fn at(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => sleep_until(deadline).await,
        None => pending().await,
    }
}
