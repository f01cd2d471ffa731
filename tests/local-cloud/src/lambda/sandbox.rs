//! A sandbox: one process of a function, which takes one event at a time. This is what others hold of it; the
//! process itself belongs to its [`Actor`].

use std::collections::BTreeMap;
use std::future::Future;
use std::process::Stdio;
use std::sync::{Arc, PoisonError};

use serde_json::Value;
use tokio::process::Command;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::actor::{Actor, Current, Ends, Message, Process, Work};
use super::function::FunctionConfig;
use super::output::Listener;
use super::report::{Outcome, Reporter, Stream};

/// What every sandbox's access key starts with. The key is how the doors know who calls.
const ACCESS_KEY_PREFIX: &str = "ASIASANDBOX";

/// One event on its way into a sandbox, as the Runtime API hands it over.
#[derive(Debug, Clone)]
pub(crate) struct Invocation {
    pub(crate) request_id: Arc<str>,
    pub(crate) trace_id: Arc<str>,
    pub(crate) function_arn: Arc<str>,
    pub(crate) payload: Arc<Value>,
    /// Milliseconds since the epoch; set when the process takes the event.
    pub(crate) deadline_millis: u64,
}

/// A sandbox as others see it.
#[derive(Debug)]
pub(crate) struct Sandbox {
    pub(crate) number: u64,
    pub(crate) function: String,
    inbox: mpsc::UnboundedSender<Message>,
    gone: watch::Receiver<bool>,
    current: Current,
}

/// The access key of the sandbox with this number.
pub(super) fn access_key(number: u64) -> String {
    format!("{ACCESS_KEY_PREFIX}{number:09}")
}

/// The number of the sandbox with this access key, if it is a sandbox's at all.
pub(super) fn number_of(access_key: &str) -> Option<u64> {
    access_key.strip_prefix(ACCESS_KEY_PREFIX)?.parse().ok()
}

impl Sandbox {
    /// Starts a process, and returns it with the future that runs it to its end. Whoever drops that future kills it.
    pub(super) fn start(
        number: u64,
        config: &FunctionConfig,
        environment: BTreeMap<String, String>,
        reporter: Arc<Reporter>,
    ) -> std::io::Result<(Arc<Self>, impl Future<Output = ()> + use<>)> {
        let mut child = Command::new(&config.binary)
            .env_clear()
            .envs(environment)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            // A group of its own: an interrupt typed at the terminal is for the cloud, which then ends its functions.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let (sender, inbox) = mpsc::unbounded_channel();
        let (gone, gone_seen) = watch::channel(false);
        let current = Current::default();
        let sandbox = Arc::new(Self {
            number,
            function: config.name.clone(),
            inbox: sender,
            gone: gone_seen,
            current: Arc::clone(&current),
        });
        let (function, name) = (config.name.clone(), sandbox.name());
        let mut output = JoinSet::new();
        let listener =
            Listener { function, sandbox: name, current: Arc::clone(&current), reporter };
        if let Some(stdout) = child.stdout.take() {
            output.spawn(listener.clone().follow(stdout, Stream::Stdout));
        }
        if let Some(stderr) = child.stderr.take() {
            output.spawn(listener.clone().follow(stderr, Stream::Stderr));
        }
        let process =
            Process { child, output, limit: config.timeout, clock: listener.reporter.clock };
        let actor = Actor::new(process, Ends { inbox, gone, current }, config.init_limit());
        Ok((sandbox, actor.run()))
    }

    /// The sandbox's name, as in `lifecycle/3`.
    pub(crate) fn name(&self) -> String {
        format!("{}/{}", self.function, self.number)
    }

    /// The request id of the invocation that runs now.
    pub(crate) fn request_id(&self) -> Option<String> {
        let current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        current.as_deref().map(str::to_owned)
    }

    /// Whether the process has ended.
    pub(super) fn is_gone(&self) -> bool {
        *self.gone.borrow()
    }

    /// Gives the process an event, and waits for what becomes of it. `None`: the process, idle until then, ended
    /// before it took the event.
    pub(super) async fn invoke(&self, invocation: Invocation) -> Option<Outcome> {
        let (outcome, told) = oneshot::channel();
        self.inbox.send(Message::Work(Work { invocation, outcome })).ok()?;
        told.await.ok()
    }

    /// The process asks for its next event. `None`: it is being ended.
    pub(crate) async fn poll(&self) -> Option<Invocation> {
        let (event, told) = oneshot::channel();
        self.inbox.send(Message::Poll(event)).ok()?;
        told.await.ok()
    }

    /// The process tells how an invocation ended. False: it has no such invocation.
    pub(crate) async fn answer(&self, request_id: String, outcome: Outcome) -> bool {
        let (known, told) = oneshot::channel();
        let sent = self.inbox.send(Message::Answer { request_id, outcome, known });
        sent.is_ok() && told.await.unwrap_or(false)
    }

    /// The process tells that it cannot start.
    pub(crate) fn init_error(&self, message: String) {
        // A sandbox that is gone needs no telling.
        let _ = self.inbox.send(Message::InitError(message));
    }

    /// Kills the process as SIGKILL does, and returns when it is gone.
    pub(crate) async fn kill(&self) {
        let _ = self.inbox.send(Message::Kill);
        let mut gone = self.gone.clone();
        // An error means that the actor is gone, and the process with it.
        let _ = gone.wait_for(|gone| *gone).await;
    }
}
