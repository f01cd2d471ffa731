//! The account that is asked, as SDK clients.

use aws_config::{BehaviorVersion, Region, SdkConfig};
use aws_sdk_ec2::config::Credentials;

use crate::Failure;

/// The clients of one account.
#[derive(Debug, Clone)]
pub struct Account {
    /// EC2.
    pub ec2: aws_sdk_ec2::Client,
    /// Auto Scaling.
    pub auto_scaling: aws_sdk_autoscaling::Client,
    /// STS.
    pub sts: aws_sdk_sts::Client,
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

    /// EC2 as a session of a role sees it that may do no more than this policy.
    pub async fn session(&self, role: &str, policy: &str) -> Result<aws_sdk_ec2::Client, Failure> {
        let assume = self.sts.assume_role().role_arn(role).role_session_name("verify-aws");
        let session = assume.policy(policy).send().await?.credentials;
        let session = session.ok_or("AssumeRole gave no credentials")?;
        let credentials = Credentials::new(
            session.access_key_id(),
            session.secret_access_key(),
            Some(session.session_token().to_owned()),
            None,
            "session",
        );
        let config = aws_sdk_ec2::config::Builder::from(&self.config);
        Ok(aws_sdk_ec2::Client::from_conf(config.credentials_provider(credentials).build()))
    }
}
