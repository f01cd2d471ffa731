//! What the functions never call, and doctor asks of the account around them: one SDK call, its answer converted. Reads only. It is
//! here and not in `volume-pool-aws`, so that no function is built with these SDKs.

mod keys;
mod queues;
mod quotas;

use aws_config::SdkConfig;
use volume_pool::ports::PortError;

pub(crate) use keys::Key;
pub(crate) use quotas::{Storage, quota_code};

/// The clients.
#[derive(Debug)]
pub(crate) struct Account {
    ec2: aws_sdk_ec2::Client,
    kms: aws_sdk_kms::Client,
    quotas: aws_sdk_servicequotas::Client,
    sqs: aws_sdk_sqs::Client,
}

impl Account {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self {
            ec2: aws_sdk_ec2::Client::new(config),
            kms: aws_sdk_kms::Client::new(config),
            quotas: aws_sdk_servicequotas::Client::new(config),
            sqs: aws_sdk_sqs::Client::new(config),
        }
    }
}

/// An answer without what it was asked for.
fn lacking(call: &'static str, about: &str, field: &str) -> PortError {
    PortError::Transient { call, problem: format!("{about}: the answer has no {field}") }
}
