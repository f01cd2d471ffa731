//! From the environment to the ports: region, credentials, endpoints, timeouts and retries are settled here, once
//! per process.
//!
//! No call that changes something may outlive [`Settings::operation_timeout`]: the guard of an instance is reckoned
//! from it. A describe may take as long for each of its pages.

use std::time::Duration;

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region, SdkConfig};
use volume_pool::ids::{InvalidId, InvocationId};
use volume_pool::ports::Ports;

use crate::auto_scaling::AutoScaling;
use crate::calls::CallCount;
use crate::clock::SystemClock;
use crate::dynamodb::LeaseTable;
use crate::ec2::Ec2;
use crate::enrolment::Enrolments;
use crate::moving::Moves;
use crate::ssm::Ssm;

/// How long one call may take with all its attempts, unless the settings say otherwise. A guard must last beyond
/// the function's own timeout by at least this much.
pub const OPERATION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long one attempt of a call may take. EC2's describes answer within a second even when they are slow.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a connection may take to be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

/// How often a call is tried.
const ATTEMPTS: u32 = 3;

/// The ports as they are in production.
pub type AwsPorts = Ports<Ec2, AutoScaling, Ssm, LeaseTable, SystemClock>;

/// What [`connect`] needs to know that the SDK does not read from the environment by itself.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The name of the lease table.
    pub table: String,
    /// How long one call may take with all its attempts.
    pub operation_timeout: Duration,
    /// The region, where it is not the environment's or the profile's.
    pub region: Option<String>,
    /// The profile of the AWS configuration files, where it is not the environment's.
    pub profile: Option<String>,
    /// What counts the calls.
    pub calls: CallCount,
}

impl Settings {
    /// Settings for this lease table, with [`OPERATION_TIMEOUT`].
    pub fn new(table: impl Into<String>) -> Self {
        Self {
            table: table.into(),
            operation_timeout: OPERATION_TIMEOUT,
            region: None,
            profile: None,
            calls: CallCount::default(),
        }
    }
}

/// Why there is nothing to work with.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither the environment nor a profile names a region.
    #[error("no AWS region is configured; set AWS_REGION")]
    NoRegion,
    /// The system gave no random numbers.
    #[error("no random numbers to name the invocation with")]
    NoRandomness(#[source] getrandom::Error),
    /// The invocation's name was refused.
    #[error("the invocation's name was refused")]
    Name(#[source] InvalidId),
}

/// Reads the AWS configuration (environment, profile, `AWS_ENDPOINT_URL` and its per-service forms) and builds the
/// ports on it. Makes no call: missing credentials show at the first one.
pub async fn connect(settings: Settings) -> Result<AwsPorts, ConnectError> {
    let config = configuration(&settings).await?;
    let Settings { table, calls, .. } = settings;
    let ec2 = aws_sdk_ec2::config::Builder::from(&config).interceptor(calls.clone());
    let auto_scaling =
        aws_sdk_autoscaling::config::Builder::from(&config).interceptor(calls.clone());
    let ssm = aws_sdk_ssm::config::Builder::from(&config).interceptor(calls.clone());
    let dynamodb = aws_sdk_dynamodb::config::Builder::from(&config).interceptor(calls);
    Ok(Ports {
        volumes: Ec2::new(aws_sdk_ec2::Client::from_conf(ec2.build())),
        actions: AutoScaling::new(aws_sdk_autoscaling::Client::from_conf(auto_scaling.build())),
        commands: Ssm::new(aws_sdk_ssm::Client::from_conf(ssm.build())),
        leases: LeaseTable::new(aws_sdk_dynamodb::Client::from_conf(dynamodb.build()), table),
        clock: SystemClock,
    })
}

/// The same for the settings of groups, which the command line alone reads and changes.
pub async fn connect_enrolments(settings: &Settings) -> Result<Enrolments, ConnectError> {
    let config = configuration(settings).await?;
    let auto_scaling = aws_sdk_autoscaling::Client::new(&config);
    Ok(Enrolments::new(auto_scaling, aws_sdk_ec2::Client::new(&config)))
}

/// The same for the moves of slots, which the command line alone carries out.
pub async fn connect_moves(settings: &Settings) -> Result<Moves, ConnectError> {
    let config = configuration(settings).await?;
    Ok(Moves::new(aws_sdk_ec2::Client::new(&config)))
}

/// What clients are built on: also those of services that the functions never call, which the command line brings itself.
///
/// Retries are `standard`, not `adaptive`: adaptive retry learns the rate that EC2 grants from this process's own
/// calls and holds calls back to it, but an execution environment of Lambda makes a few dozen calls one after
/// another while the buckets are drained by all environments together. It would learn nothing of use, and what it
/// holds back would run into the operation timeout.
///
/// Each client keeps a connection pool of its own: the four talk to four hosts, and the system's root certificates,
/// which are the costly part of a TLS client, are loaded once per process by the SDK whichever way it is cut.
pub async fn configuration(settings: &Settings) -> Result<SdkConfig, ConnectError> {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(ATTEMPT_TIMEOUT)
        .operation_timeout(settings.operation_timeout)
        .build();
    let mut loader = aws_config::defaults(BehaviorVersion::latest())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS));
    if let Some(region) = &settings.region {
        loader = loader.region(Region::new(region.clone()));
    }
    if let Some(profile) = &settings.profile {
        loader = loader.profile_name(profile);
    }
    let config = loader.load().await;
    if config.region().is_none() {
        return Err(ConnectError::NoRegion);
    }
    Ok(config)
}

/// A name for one attempt of one invocation: 128 random bits. Lambda's retries of an event share a request id, and
/// two of them may run at once, so that id will not do.
pub fn new_invocation() -> Result<InvocationId, ConnectError> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(ConnectError::NoRandomness)?;
    InvocationId::try_from(format!("{:032x}", u128::from_be_bytes(bits)))
        .map_err(ConnectError::Name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn invocations_have_names_of_their_own() {
        let names: BTreeSet<InvocationId> = (0..100).map(|_| new_invocation().unwrap()).collect();
        assert_eq!(names.len(), 100);
        assert!(names.iter().all(|name| name.as_str().len() == 32));
    }
}
