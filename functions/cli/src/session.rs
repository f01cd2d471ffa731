//! The connection that all commands work over: the ports of the functions, with the caller's credentials.

use volume_pool::Timestamp;
use volume_pool::ports::Clock as _;
use volume_pool_aws::{
    AwsPorts, Enrolments, Moves, Settings, configuration, connect, connect_enrolments,
    connect_moves,
};

use crate::account::Account;
use crate::arguments::Options;
use crate::failure::Failure;

/// What all commands work over.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) ports: AwsPorts,
    pub(crate) hook_prefix: String,
    settings: Settings,
}

impl Session {
    /// Connects. Makes no call: missing credentials show at the first one.
    pub(crate) async fn open(options: Options) -> Result<Self, Failure> {
        let Options { table, region, profile, hook_prefix } = options;
        let settings = Settings { region, profile, ..Settings::new(table) };
        let ports = connect(settings.clone()).await?;
        Ok(Self { ports, hook_prefix, settings })
    }

    /// The settings of groups, for the commands that look at them or change them.
    pub(crate) async fn enrolments(&self) -> Result<Enrolments, Failure> {
        Ok(connect_enrolments(&self.settings).await?)
    }

    /// The calls that a move of a slot takes.
    pub(crate) async fn moves(&self) -> Result<Moves, Failure> {
        Ok(connect_moves(&self.settings).await?)
    }

    /// What the functions never call.
    pub(crate) async fn account(&self) -> Result<Account, Failure> {
        Ok(Account::new(&configuration(&self.settings).await?))
    }

    /// The lease table, which a deployment is named after.
    pub(crate) fn table(&self) -> &str {
        &self.settings.table
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.ports.clock.now()
    }
}
