//! What the functions never call, and doctor asks of the account around them: one SDK call, its answer converted. Reads only. It is
//! here and not in `volume-pool-aws`, so that no function is built with these SDKs.

mod queues;

use aws_config::SdkConfig;
use volume_pool::ports::PortError;

/// The clients.
#[derive(Debug)]
pub(crate) struct Account {
    sqs: aws_sdk_sqs::Client,
}

impl Account {
    pub(crate) fn new(config: &SdkConfig) -> Self {
        Self { sqs: aws_sdk_sqs::Client::new(config) }
    }
}

/// An answer without what it was asked for.
fn lacking(call: &'static str, about: &str, field: &str) -> PortError {
    PortError::Transient { call, problem: format!("{about}: the answer has no {field}") }
}
