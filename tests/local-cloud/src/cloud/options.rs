//! How a cloud is started, and what keeps it from starting.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::iam::Policy;
use crate::lambda::{FunctionConfig, LIFECYCLE, RECONCILE};
use crate::server::dynamo::DynamoError;
use crate::world::Config;

/// What the functions are told of their memory.
const MEMORY_MIB: u32 = 256;

/// How a cloud is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// The address: a loopback one. Port 0 picks a free port.
    pub listen: SocketAddr,
    /// The function that answers lifecycle actions, if it is deployed.
    pub lifecycle: Option<PathBuf>,
    /// The function that runs on the schedule and on instance state changes, if it is deployed.
    pub reconcile: Option<PathBuf>,
    /// The world: its seed, its speed, how it behaves.
    pub world: Config,
    /// How long one invocation may take. Speed does not shorten it: the functions' work is real.
    pub timeout: Duration,
    /// How many processes each function may have.
    pub concurrency: usize,
    /// How long Lambda waits before each retry of a failed event; speed divides it.
    pub retry_delays: Vec<Duration>,
    /// When Lambda gives an event up; speed divides it.
    pub maximum_event_age: Duration,
    /// How often the schedule runs reconcile, if it does; speed divides it.
    pub schedule: Option<Duration>,
    /// What the names of our hooks start with.
    pub hook_prefix: String,
    /// The lease table's name.
    pub table: String,
    /// How long DynamoDB takes over each request, beside what it takes anyway. Speed does not shorten it.
    pub dynamodb_delay: Duration,
    /// A directory for the volumes' contents: each is a sparse file there, as large as the volume, as long as there is the
    /// volume. Made where it is missing; empty otherwise. None: volumes have no contents.
    pub images: Option<PathBuf>,
    /// What the functions' role may do, beside writing their logs. None: anything.
    pub policy: Option<Policy>,
    /// More environment variables for the functions.
    pub env: BTreeMap<String, String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            lifecycle: None,
            reconcile: None,
            world: Config::default(),
            timeout: Duration::from_mins(1),
            concurrency: 10,
            retry_delays: vec![Duration::from_mins(1), Duration::from_mins(2)],
            maximum_event_age: Duration::from_hours(6),
            schedule: Some(Duration::from_mins(1)),
            hook_prefix: "stateful-asg".to_owned(),
            table: "stateful-asg".to_owned(),
            dynamodb_delay: Duration::ZERO,
            images: None,
            policy: None,
            env: BTreeMap::new(),
        }
    }
}

/// A cloud could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The address can be reached from elsewhere, and nothing here checks who calls.
    #[error(
        "{0} is not a loopback address: this cloud checks no signatures, so it listens on 127.0.0.1 or ::1 only"
    )]
    NotLoopback(SocketAddr),
    /// The address cannot be had.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address that was asked for.
        address: SocketAddr,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// Time cannot go at this speed.
    #[error("the speed must be a positive number, not {0}")]
    Speed(f64),
    /// A function is not there.
    #[error(
        "there is no {function} function at {}: build it with `cargo build -p {function}` and give \
         its path, as in target/debug/{function}",
        path.display()
    )]
    NoBinary {
        /// The function's name.
        function: &'static str,
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A file is there, but it cannot be run.
    #[error("{} is not an executable file", .0.display())]
    NotExecutable(PathBuf),
    /// There is no place for the volumes' contents.
    #[error("{} can not hold the volumes' images", directory.display())]
    Images {
        /// The directory.
        directory: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// What lies in the directory would be taken for the contents of new volumes.
    #[error("{} is to hold the volumes' images, and is not empty", .0.display())]
    ImagesNotEmpty(PathBuf),
    /// DynamoDB could not be started.
    #[error("DynamoDB could not be started")]
    Dynamo(#[from] DynamoError),
}

impl Options {
    /// Refuses what cannot be started, before anything is.
    pub(super) fn check(&self) -> Result<(), StartError> {
        if !self.listen.ip().is_loopback() {
            return Err(StartError::NotLoopback(self.listen));
        }
        let speed = self.world.speed;
        if !(speed.is_finite() && speed > 0.0) {
            return Err(StartError::Speed(speed));
        }
        for (function, path) in self.binaries() {
            if let Some(path) = path {
                check_binary(function, path)?;
            }
        }
        Ok(())
    }

    /// The functions that are deployed, as this cloud's speed has them.
    pub(super) fn functions(&self) -> Vec<FunctionConfig> {
        let mut env = self.env.clone();
        env.insert("STATEFUL_ASG_TABLE".to_owned(), self.table.clone());
        env.insert("STATEFUL_ASG_HOOK_PREFIX".to_owned(), self.hook_prefix.clone());
        let scaled = |duration: &Duration| self.world.scaled(*duration);
        let deployed = self.binaries().into_iter().filter_map(|(name, binary)| {
            Some(FunctionConfig {
                name: name.to_owned(),
                binary: binary.clone()?,
                env: env.clone(),
                timeout: self.timeout,
                memory_mib: MEMORY_MIB,
                concurrency: self.concurrency,
                retry_delays: self.retry_delays.iter().map(scaled).collect(),
                maximum_event_age: scaled(&self.maximum_event_age),
            })
        });
        deployed.collect()
    }

    fn binaries(&self) -> [(&'static str, &Option<PathBuf>); 2] {
        [(LIFECYCLE, &self.lifecycle), (RECONCILE, &self.reconcile)]
    }
}

fn check_binary(function: &'static str, path: &Path) -> Result<(), StartError> {
    let Ok(metadata) = path.metadata() else {
        return Err(StartError::NoBinary { function, path: path.to_owned() });
    };
    if metadata.is_file() && metadata.permissions().mode() & 0o111 != 0 {
        Ok(())
    } else {
        Err(StartError::NotExecutable(path.to_owned()))
    }
}
