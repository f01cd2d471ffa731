//! The connection that all commands work over: the ports of the functions, with the caller's credentials.

use volume_pool::Timestamp;
use volume_pool::ports::Clock as _;
use volume_pool_aws::{AwsPorts, Settings, connect};

use crate::arguments::Options;
use crate::failure::Failure;

/// What all commands work over.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) ports: AwsPorts,
    pub(crate) hook_prefix: String,
}

impl Session {
    /// Connects. Makes no call: missing credentials show at the first one.
    pub(crate) async fn open(options: Options) -> Result<Self, Failure> {
        let Options { table, region, profile, hook_prefix } = options;
        let ports = connect(Settings { region, profile, ..Settings::new(table) }).await?;
        Ok(Self { ports, hook_prefix })
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }
}
