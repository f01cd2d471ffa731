//! A running cloud: the world, DynamoDB, the functions and the address that they are all behind, in real time.
//!
//! Tests and the demo start one with [`Cloud::start`], and then play the parts of AWS and of fate: they control the
//! world, make calls and events go wrong, kill processes, and look at everything that came of it.

pub(crate) mod bus;
pub(crate) mod clock;
pub(crate) mod engine;
mod images;
mod options;
pub(crate) mod recent;
pub(crate) mod router;
pub(crate) mod tasks;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use dynoxide::Database;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::{broadcast, watch};
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval_at, timeout};

pub use options::{Options, StartError};

pub use crate::lambda::{
    DeadLetter, GivenUp, InvocationReport, LIFECYCLE, LogLine, Notice, Outcome, RECONCILE, Stream,
};
pub use crate::server::calls::{Call, CallOutcome, Caller, Door, Permission};
pub use crate::server::dynamo::DynamoError;
pub use crate::server::faults::{Fault, FaultAction, FaultId};

use crate::lambda::{Lambda, Place, Reporter, rules};
use crate::server::dynamo::Dynamo;
use crate::server::{self, Doors};
use crate::world::{CloudEvent, World};
use clock::WallClock;
use engine::Engine;
use images::Images;
use router::Router;

/// The lease table's definition: the one that the functions' own crate has, which can't be depended on without the SDK.
const TABLE: &str = include_str!("../../../functions/volume-pool-aws/src/table.json");

/// What people's own programs sign with. Nothing checks it.
const ACCESS_KEY: &str = "AKIALOCALCLOUDPERSON";

/// What was waited for did not come in time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("what was waited for did not come within {0:?}")]
pub struct TooLate(pub Duration);

/// A running cloud. It must be [shut down](Cloud::shutdown); dropping it leaves its processes to the runtime's end.
pub struct Cloud {
    address: SocketAddr,
    table: String,
    region: String,
    doors: Arc<Doors>,
    reporter: Arc<Reporter>,
    database: Database,
    stop: watch::Sender<bool>,
    tasks: JoinSet<()>,
}

impl Cloud {
    /// Starts a cloud. Needs a tokio runtime, of either kind.
    pub async fn start(options: Options) -> Result<Self, StartError> {
        options.check()?;
        let listener = TcpListener::bind(options.listen)
            .await
            .and_then(|listener| Ok((listener.local_addr()?, listener)))
            .map_err(|source| StartError::Listen { address: options.listen, source });
        let (address, listener) = listener?;
        let database = Database::memory().map_err(DynamoError::from)?;
        create_lease_table(&database, &options.table)?;
        let dynamo = Dynamo::start(database.clone(), options.dynamodb_delay)?;

        let reporter = Arc::new(Reporter::new(WallClock::start()));
        let place = Place {
            endpoint: endpoint(address),
            region: options.world.region.clone(),
            account: options.world.account.clone(),
        };
        let seed = options.world.seed;
        let lambda = Arc::new(Lambda::new(options.functions(), place, seed, Arc::clone(&reporter)));
        let router = Router::new(Arc::clone(&lambda), options.hook_prefix.clone());
        // As `infra/foundation.yaml` names them.
        for queue in ["undelivered", "failed"] {
            let name = format!("{}-{queue}", options.table);
            router.bus.lock().create_queue(&lambda.place, name, Value::Null);
        }
        let world = World::new(options.world.clone(), reporter.clock.now());
        let images = options.images.clone().map(Images::start).transpose()?;
        let engine = Arc::new(Engine::new(world, router, Arc::clone(&reporter), images));
        let doors = Arc::new(Doors::new(Arc::clone(&engine), lambda, dynamo, options.policy));

        let stop = watch::Sender::new(false);
        let mut tasks = JoinSet::new();
        tasks.spawn(server::serve(listener, Arc::clone(&doors), stop.subscribe()));
        tasks.spawn({
            let (engine, stopped) = (Arc::clone(&engine), stop.subscribe());
            async move { engine.drive(stopped).await }
        });
        if let Some(period) = options.schedule {
            let period = options.world.scaled(period).max(Duration::from_millis(1));
            tasks.spawn(run_schedule(Arc::clone(&doors), period, stop.subscribe()));
        }
        Ok(Self {
            address,
            table: options.table,
            region: options.world.region,
            doors,
            reporter,
            database,
            stop,
            tasks,
        })
    }

    /// The URL that answers for every service.
    pub fn endpoint(&self) -> String {
        endpoint(self.address)
    }

    /// The environment variables that point the AWS SDKs, the AWS CLI and our own programs at this cloud.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("AWS_ENDPOINT_URL", self.endpoint()),
            ("AWS_REGION", self.region.clone()),
            ("AWS_DEFAULT_REGION", self.region.clone()),
            ("AWS_ACCESS_KEY_ID", ACCESS_KEY.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "local-cloud".to_owned()),
            ("STATEFUL_ASG_TABLE", self.table.clone()),
        ]
    }

    /// Does something in the world, as it is at this moment. What comes of it - events, happenings - is passed on
    /// before this returns. Must not be called from within itself.
    pub fn with_world<R>(&self, work: impl FnOnce(&mut World) -> R) -> R {
        self.doors.engine.with_world(work)
    }

    /// Looks at the world.
    pub fn inspect<R>(&self, look: impl FnOnce(&World) -> R) -> R {
        self.doors.engine.inspect(look)
    }

    /// The database behind DynamoDB, to look into.
    pub fn database(&self) -> &Database {
        &self.database
    }

    /// Starts the instance metadata service of an instance, on a free loopback port, and gives its URL. It ends with this cloud.
    pub async fn serve_metadata(&self, instance: &str) -> std::io::Result<String> {
        server::metadata::start(&self.doors, instance).await.map(endpoint)
    }

    /// Hears of everything that happens from now on.
    pub fn subscribe(&self) -> broadcast::Receiver<Notice> {
        self.reporter.notices.subscribe()
    }

    /// Waits until `look` finds what it looks for; it is called again after every change in the world, every
    /// call of an AWS API (DynamoDB's included) and everything that the functions do.
    pub async fn wait_for<T>(
        &self,
        limit: Duration,
        mut look: impl FnMut() -> Option<T>,
    ) -> Result<T, TooLate> {
        let mut changes = self.reporter.changes();
        let found = async {
            loop {
                if let Some(found) = look() {
                    return found;
                }
                // The sender lives as long as this cloud does.
                let _ = changes.changed().await;
            }
        };
        timeout(limit, found).await.map_err(|_| TooLate(limit))
    }

    /// Waits until every event that was accepted is done or given up, retries included.
    pub async fn wait_until_idle(&self, limit: Duration) -> Result<(), TooLate> {
        timeout(limit, self.doors.lambda.idle()).await.map_err(|_| TooLate(limit))
    }

    /// Every call of an AWS API so far, oldest first.
    pub fn calls(&self) -> Vec<Call> {
        self.doors.calls.all()
    }

    /// Every attempt at an invocation that has ended, oldest first.
    pub fn invocations(&self) -> Vec<InvocationReport> {
        self.reporter.invocations.all()
    }

    /// Every event that was given up, oldest first.
    pub fn dead_letters(&self) -> Vec<DeadLetter> {
        self.reporter.dead_letters.all()
    }

    /// Every event that the world and the schedule sent, oldest first, those that were lost included.
    pub fn events(&self) -> Vec<CloudEvent> {
        self.doors.engine.router.events()
    }

    /// Arms a fault.
    pub fn arm(&self, fault: Fault) -> FaultId {
        self.doors.faults.arm(fault)
    }

    /// Whether an armed fault has happened.
    pub fn has_happened(&self, fault: FaultId) -> bool {
        self.doors.faults.has_happened(fault)
    }

    /// Takes back every fault that has not happened yet.
    pub fn disarm(&self) {
        self.doors.faults.disarm();
    }

    /// From now on delivers every event this many times more than once; 0 delivers each once again.
    pub fn duplicate_events(&self, extra_copies: usize) {
        self.doors.engine.router.duplicate(extra_copies);
    }

    /// From now on loses the events that `lost` picks. It must not ask anything of this cloud.
    pub fn lose_events(&self, lost: impl Fn(&CloudEvent) -> bool + Send + 'static) {
        self.doors.engine.router.lose(Some(Box::new(lost)));
    }

    /// From now on loses no event.
    pub fn lose_no_events(&self) {
        self.doors.engine.router.lose(None);
    }

    /// Delivers an event (once more), and returns the request id of its invocation. `None`: no rule matches it, or
    /// the function is not deployed.
    pub fn deliver(&self, event: &CloudEvent) -> Option<String> {
        self.doors.engine.router.deliver(event)
    }

    /// Runs the schedule once, now.
    pub fn run_schedule(&self) {
        self.doors.run_schedule();
    }

    /// Invokes a function asynchronously with any payload, and returns the request id. `None`: it is not deployed.
    pub fn invoke(&self, function: &str, payload: Value) -> Option<String> {
        self.doors.lambda.invoke(function, payload)
    }

    /// Stops everything, and returns when no process, thread or task of this cloud is left.
    pub async fn shutdown(mut self) {
        self.stop.send_replace(true);
        while self.tasks.join_next().await.is_some() {}
        self.doors.shut_down().await;
        self.doors.lambda.shut_down().await;
        self.doors.dynamo.shut_down().await;
    }
}

impl fmt::Debug for Cloud {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cloud").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Doors {
    fn run_schedule(&self) {
        let (id, place) = (self.lambda.unique_id(), &self.lambda.place);
        let event = rules::scheduled_event(self.engine.now(), &id, place);
        self.engine.router.route(&event);
    }
}

async fn run_schedule(doors: Arc<Doors>, period: Duration, mut stop: watch::Receiver<bool>) {
    let mut ticks = interval_at(tokio::time::Instant::now() + period, period);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Skip);
    loop {
        tokio::select! {
            _ = ticks.tick() => doors.run_schedule(),
            _ = stop.wait_for(|stop| *stop) => return,
        }
    }
}

fn endpoint(address: SocketAddr) -> String {
    format!("http://{address}")
}

/// Creates the lease table.
fn create_lease_table(database: &Database, table: &str) -> Result<(), DynamoError> {
    let mut request: Value = serde_json::from_str(TABLE)?;
    request["TableName"] = table.into();
    database.create_table(serde_json::from_value(request)?)?;
    Ok(())
}
