//! One function as Lambda knows it: its configuration, what its processes find in their environment, its
//! idle sandboxes and its concurrency.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::Place;
use super::sandbox::Sandbox;

/// Lambda's limit on the first init of a sandbox; what goes past it is restarted with the function's own timeout.
const INIT: Duration = Duration::from_secs(10);
/// The longest wait before another sandbox is tried when starting them keeps failing.
const LONGEST_BACKOFF: Duration = Duration::from_secs(10);

/// A function's configuration. Durations are taken as they are: whoever speeds the cloud up shortens them first.
#[derive(Debug, Clone)]
pub(crate) struct FunctionConfig {
    /// The function's name, as in its ARN.
    pub(crate) name: String,
    /// The executable that speaks the Lambda Runtime API.
    pub(crate) binary: PathBuf,
    /// Environment variables of the function's own.
    pub(crate) env: BTreeMap<String, String>,
    /// How long one invocation may take before its process is killed.
    pub(crate) timeout: Duration,
    /// Memory, in MiB: only told to the function, not enforced.
    pub(crate) memory_mib: u32,
    /// Reserved concurrency: how many processes may run at once.
    pub(crate) concurrency: usize,
    /// How long to wait before each retry of an event whose invocation failed; its length is the number of retries.
    pub(crate) retry_delays: Vec<Duration>,
    /// An event older than this is given up.
    pub(crate) maximum_event_age: Duration,
}

impl FunctionConfig {
    /// What processes of this function find in their environment, apart from what belongs to one sandbox.
    pub(super) fn environment(&self, place: &Place) -> BTreeMap<String, String> {
        let task_root = self.binary.parent().map(|root| root.display().to_string());
        let memory = self.memory_mib.to_string();
        let log_group = format!("/aws/lambda/{}", self.name);
        let standard = [
            ("PATH", "/usr/local/bin:/usr/bin:/bin"),
            ("LANG", "en_US.UTF-8"),
            ("TZ", ":UTC"),
            ("LAMBDA_TASK_ROOT", task_root.as_deref().unwrap_or("/")),
            ("_HANDLER", "bootstrap"),
            ("AWS_LAMBDA_FUNCTION_NAME", &self.name),
            ("AWS_LAMBDA_FUNCTION_VERSION", "$LATEST"),
            ("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", &memory),
            ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand"),
            ("AWS_LAMBDA_LOG_GROUP_NAME", &log_group),
            ("AWS_LAMBDA_LOG_FORMAT", "JSON"),
            ("AWS_LAMBDA_LOG_LEVEL", "INFO"),
            ("AWS_REGION", &place.region),
            ("AWS_DEFAULT_REGION", &place.region),
            ("AWS_ENDPOINT_URL", &place.endpoint),
        ];
        let standard = standard.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let own = self.env.iter().map(|(name, value)| (name.clone(), value.clone()));
        standard.into_iter().chain(own).collect()
    }

    /// The function's ARN.
    pub(super) fn arn(&self, place: &Place) -> String {
        format!("arn:aws:lambda:{}:{}:function:{}", place.region, place.account, self.name)
    }

    /// How long a sandbox may take from its start to its first poll: Lambda allows [`INIT`], and then once more
    /// the function's timeout.
    pub(super) fn init_limit(&self) -> Duration {
        INIT + self.timeout
    }
}

/// A function and the sandboxes that wait for its next event.
#[derive(Debug)]
pub(super) struct Function {
    pub(super) config: FunctionConfig,
    pub(super) permits: Semaphore,
    idle: Mutex<Vec<Arc<Sandbox>>>,
    init_failures: AtomicU32,
}

impl Function {
    pub(super) fn new(config: FunctionConfig) -> Self {
        let permits = Semaphore::new(config.concurrency);
        let idle = Mutex::default();
        Self { config, permits, idle, init_failures: AtomicU32::new(0) }
    }

    /// The sandbox that was used last and still lives.
    pub(super) fn take_idle(&self) -> Option<Arc<Sandbox>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|sandbox| !sandbox.is_gone());
        idle.pop()
    }

    pub(super) fn put_idle(&self, sandbox: Arc<Sandbox>) {
        self.init_failures.store(0, Ordering::Relaxed);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(sandbox);
    }

    pub(super) fn count_init_failure(&self) {
        self.init_failures.fetch_add(1, Ordering::Relaxed);
    }

    /// How long to wait before another sandbox is started: nothing, until starting them fails.
    pub(super) fn backoff(&self) -> Duration {
        match self.init_failures.load(Ordering::Relaxed) {
            0 => Duration::ZERO,
            failures => {
                Duration::from_millis(10).saturating_mul(1 << failures.min(10)).min(LONGEST_BACKOFF)
            }
        }
    }
}
