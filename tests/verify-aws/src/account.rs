//! The account that is asked, as SDK clients.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::{Credentials, SharedCredentialsProvider};
use aws_sdk_sts::error::ProvideErrorMetadata as _;

use crate::Failure;

/// The name of sessions that are begun.
const SESSION: &str = "verify-aws";

/// The clients of one account.
#[derive(Debug, Clone)]
pub struct Account {
    /// EC2.
    pub ec2: aws_sdk_ec2::Client,
    /// Auto Scaling.
    pub auto_scaling: aws_sdk_autoscaling::Client,
    /// STS.
    pub sts: aws_sdk_sts::Client,
    /// `EventBridge`.
    pub events: aws_sdk_eventbridge::Client,
    /// SQS.
    pub sqs: aws_sdk_sqs::Client,
    config: SdkConfig,
}

/// Whose account it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The account's number.
    pub account: String,
    /// Who asks.
    pub caller: String,
    /// Where.
    pub region: String,
}

impl Account {
    /// The account that the environment points at, as for any AWS program.
    pub async fn from_environment() -> Self {
        Self::of(aws_config::load_defaults(BehaviorVersion::latest()).await)
    }

    /// A local cloud at this endpoint.
    pub async fn at(endpoint: &str) -> Self {
        let credentials = Credentials::new("verify", "verify", None, None, "local-cloud");
        let config = aws_config::defaults(BehaviorVersion::latest())
            .endpoint_url(endpoint)
            .region(Region::new("eu-central-1"))
            .credentials_provider(credentials);
        Self::of(config.load().await)
    }

    fn of(config: SdkConfig) -> Self {
        Self {
            ec2: aws_sdk_ec2::Client::new(&config),
            auto_scaling: aws_sdk_autoscaling::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            events: aws_sdk_eventbridge::Client::new(&config),
            sqs: aws_sdk_sqs::Client::new(&config),
            config,
        }
    }

    /// Whose it is.
    pub async fn identity(&self) -> Result<Identity, Failure> {
        let identity = self.sts.get_caller_identity().send().await?;
        let region = self.config.region().ok_or("no region is set: set AWS_REGION")?;
        Ok(Identity {
            account: identity.account.ok_or("GetCallerIdentity gave no account")?,
            caller: identity.arn.unwrap_or_default(),
            region: region.to_string(),
        })
    }

    /// The account as a session sees it that may do no more than this policy: one of a role, or else one of the caller. Users may
    /// begin such a session of themselves; who calls by a session already is refused it, which gives nothing and AWS's words.
    pub async fn session(
        &self,
        role: Option<&str>,
        policy: &str,
    ) -> Result<Result<Self, String>, Failure> {
        let session = if let Some(role) = role {
            let assume = self.sts.assume_role().role_arn(role).role_session_name(SESSION);
            assume.policy(policy).send().await?.credentials
        } else {
            match self.sts.get_federation_token().name(SESSION).policy(policy).send().await {
                Ok(begun) => begun.credentials,
                Err(error) if error.code() == Some("AccessDenied") => {
                    return Ok(Err(error.message().unwrap_or("access denied").to_owned()));
                }
                Err(error) => return Err(error.into()),
            }
        };
        let session = session.ok_or("STS gave no credentials")?;
        let credentials = Credentials::new(
            session.access_key_id(),
            session.secret_access_key(),
            Some(session.session_token().to_owned()),
            None,
            SESSION,
        );
        let config = self.config.clone().into_builder();
        let credentials = SharedCredentialsProvider::new(credentials);
        Ok(Ok(Self::of(config.credentials_provider(credentials).build())))
    }
}
