//! `status`: pools, zones, slots, who holds them and who waits. Reads only.

mod reading;
mod render;
mod view;

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
    /// Print JSON.
    #[arg(long)]
    pub(crate) json: bool,
}

/// Shows the pools.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let status = reading::read(session, arguments.pool.as_ref()).await?;
    if arguments.json {
        return output::json(&status);
    }
    output::say(&render::status(&status))
}
