//! `status`: pools, zones, slots, who holds them and who waits. Reads only.

mod reading;
mod render;
mod view;
mod watch;

#[cfg(test)]
mod tests;

use std::time::Duration;

use clap::Args;
use volume_pool::ids::PoolName;

use crate::failure::Failure;
use crate::output;
use crate::session::Session;

/// Show pools, zones and slots: who holds them, who waits, and what a person must look at.
///
/// Instances in service hold their slots; one that is being replaced is shown releasing its slot while the replacement waits.
/// Whatever EC2 or Auto Scaling can't tell is left out, and said so.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The pool [default: all pools].
    pub(crate) pool: Option<PoolName>,
    /// Show it again and again, in place, until Ctrl-C; every 2 seconds where none are given.
    #[arg(
        long,
        value_name = "SECONDS",
        num_args = 0..=1,
        default_missing_value = "2",
        value_parser = clap::value_parser!(u64).range(1..=3600),
        conflicts_with = "json"
    )]
    pub(crate) watch: Option<u64>,
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Shows the pools.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let pool = arguments.pool.as_ref();
    if let Some(seconds) = arguments.watch {
        return watch::run(session, pool, Duration::from_secs(seconds)).await;
    }
    let status = reading::read(session, pool).await?;
    if arguments.json {
        return output::json(&status);
    }
    output::say(&render::status(&status, None))
}
