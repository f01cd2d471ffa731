//! A Lambda runtime: functions, their processes, and asynchronous events with retries and a dead-letter list.
//!
//! It behaves as Lambda does for asynchronous events: one event at a time in a process, processes started on demand
//! and reused, a function's error or timeout retried with the same request id, an event given up in the end. It
//! knows nothing of EC2 or Auto Scaling.

mod actor;
mod delivery;
mod function;
mod output;
mod report;
pub(crate) mod rules;
mod sandbox;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use tokio::sync::watch;

use crate::cloud::tasks::Tasks;
use function::Function;
pub(crate) use function::FunctionConfig;
pub(crate) use report::Reporter;
pub use report::{DeadLetter, GivenUp, InvocationReport, LogLine, Notice, Outcome, Stream};
pub use rules::{LIFECYCLE, RECONCILE};
use sandbox::Sandbox;
pub(crate) use sandbox::{Invocation, Sandbox as RunningSandbox};

/// Where a sandbox's Runtime API begins; its number follows.
pub(crate) const RUNTIME_API_PATH: &str = "/lambda-runtime/";

/// Where the functions find themselves.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The URL of every service.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) account: String,
}

/// All functions and their sandboxes.
#[derive(Debug)]
pub(crate) struct Lambda {
    functions: BTreeMap<String, Arc<Function>>,
    sandboxes: Mutex<BTreeMap<u64, Arc<Sandbox>>>,
    started: AtomicU64,
    /// Events that are neither done nor given up.
    open: watch::Sender<usize>,
    deliveries: Tasks,
    processes: Tasks,
    pub(crate) place: Place,
    reporter: Arc<Reporter>,
    random: Mutex<fastrand::Rng>,
}

impl Lambda {
    /// The functions, at their place. Must be called within a tokio runtime.
    pub(crate) fn new(
        functions: Vec<FunctionConfig>,
        place: Place,
        seed: u64,
        reporter: Arc<Reporter>,
    ) -> Self {
        let functions = functions
            .into_iter()
            .map(|config| (config.name.clone(), Arc::new(Function::new(config))))
            .collect();
        Self {
            functions,
            sandboxes: Mutex::default(),
            started: AtomicU64::new(0),
            open: watch::Sender::new(0),
            deliveries: Tasks::new(),
            processes: Tasks::new(),
            place,
            reporter,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
        }
    }

    /// Accepts an event for a function, as an asynchronous invocation does, and returns its request id. `None`:
    /// there is no such function.
    pub(crate) fn invoke(self: &Arc<Self>, function: &str, payload: Value) -> Option<String> {
        let function = Arc::clone(self.functions.get(function)?);
        let invocation = Invocation {
            request_id: self.unique_id().into(),
            trace_id: self.trace_id().into(),
            function_arn: function.config.arn(&self.place).into(),
            payload: Arc::new(payload),
            deadline_millis: 0,
        };
        let request_id = invocation.request_id.to_string();
        self.open.send_modify(|open| *open += 1);
        let lambda = Arc::clone(self);
        self.deliveries.spawn(async move {
            delivery::deliver(&lambda, &function, &invocation).await;
            lambda.open.send_modify(|open| *open -= 1);
        });
        Some(request_id)
    }

    /// Returns when no event is open: each is done or given up.
    pub(crate) async fn idle(&self) {
        // The sender is ours, so this cannot fail.
        let _ = self.open.subscribe().wait_for(|open| *open == 0).await;
    }

    /// The sandbox that signs with this access key, while it lives.
    pub(crate) fn sandbox_of(&self, access_key: &str) -> Option<Arc<Sandbox>> {
        self.sandbox(sandbox::number_of(access_key)?)
    }

    /// The sandbox with this number, while it lives.
    pub(crate) fn sandbox(&self, number: u64) -> Option<Arc<Sandbox>> {
        self.sandboxes().get(&number).cloned()
    }

    /// A fresh id in the form that AWS gives request and event ids.
    pub(crate) fn unique_id(&self) -> String {
        let mut random = self.random();
        let (first, second) = (random.u32(..), random.u16(..));
        // Version 4, variant 10: what everybody expects of a random id.
        let (third, fourth) = (random.u16(..=0xfff), random.u16(..=0xfff));
        let fifth = random.u64(..) >> 16;
        format!("{first:08x}-{second:04x}-4{third:03x}-a{fourth:03x}-{fifth:012x}")
    }

    /// Gives up every event, kills every process, and returns when they are gone.
    pub(crate) async fn shut_down(&self) {
        self.deliveries.abort().await;
        let living: Vec<_> = self.sandboxes().values().cloned().collect();
        for sandbox in living {
            sandbox.kill().await;
        }
        self.processes.finish().await;
    }

    /// Starts a process of this function.
    fn start(self: &Arc<Self>, function: &Function) -> std::io::Result<Arc<Sandbox>> {
        let number = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let mut environment = function.config.environment(&self.place);
        let log_stream = format!("[$LATEST]{number:032x}");
        for (name, value) in [
            ("AWS_LAMBDA_LOG_STREAM_NAME", log_stream),
            (
                "AWS_LAMBDA_RUNTIME_API",
                format!("{}{RUNTIME_API_PATH}{number}", self.place.endpoint),
            ),
            ("AWS_ACCESS_KEY_ID", sandbox::access_key(number)),
            ("AWS_SECRET_ACCESS_KEY", "local-cloud".to_owned()),
            ("AWS_SESSION_TOKEN", "local-cloud".to_owned()),
        ] {
            environment.insert(name.to_owned(), value);
        }
        let reporter = Arc::clone(&self.reporter);
        let (sandbox, run) = Sandbox::start(number, &function.config, environment, reporter)?;
        self.sandboxes().insert(number, Arc::clone(&sandbox));
        let lambda = Arc::clone(self);
        self.processes.spawn(async move {
            run.await;
            lambda.sandboxes().remove(&number);
        });
        Ok(sandbox)
    }

    fn trace_id(&self) -> String {
        let seconds = self.reporter.clock.now().as_millis() / 1000;
        let mut random = self.random();
        let (root, parent) = (random.u128(..) >> 32, random.u64(..));
        format!("Root=1-{seconds:08x}-{root:024x};Parent={parent:016x};Sampled=0")
    }

    fn random(&self) -> MutexGuard<'_, fastrand::Rng> {
        self.random.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn sandboxes(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Sandbox>>> {
        self.sandboxes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
