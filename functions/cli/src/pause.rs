//! `pause` and `resume`: whether anything of a pool is handed out.

use clap::Args;
use volume_pool::ids::PoolName;
use volume_pool::transition;

use crate::consent::Consent;
use crate::failure::Failure;
use crate::session::Session;
use crate::{change, output};

/// Pause a pool: nothing of it is leased, adopted, created or enrolled until it is resumed.
///
/// Launches wait, and their waiting is not held against them; what is let go of is still released. A lease that was decided
/// just before may still be made within two minutes: whoever pauses a pool to work on its free volumes waits for that long,
/// and then looks which slots are free.
#[derive(Debug, Args)]
pub(crate) struct Pause {
    /// The pool.
    pub(crate) pool: PoolName,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Resume a paused pool: whoever waits is served, oldest first.
#[derive(Debug, Args)]
pub(crate) struct Resume {
    /// The pool.
    pub(crate) pool: PoolName,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Pauses the pool.
pub(crate) async fn pause(session: &Session, arguments: &Pause) -> Result<(), Failure> {
    let name = &arguments.pool;
    let pool = change::pool(session, name).await?;
    if pool.paused {
        return output::say(&format!("Pool {name} is paused already.\n"));
    }
    arguments.consent.ask(&format!(
        "This pauses pool {name}: nothing of it is leased, adopted, created or enrolled, and launches wait, until stateful-asg \
         resume {name}. A lease that was decided just before may still be made within two minutes."
    ))?;
    change::commit(session, transition::pause(&pool)).await?;
    output::say(&format!("Pool {name} is paused.\n"))
}

/// Resumes the pool.
pub(crate) async fn resume(session: &Session, arguments: &Resume) -> Result<(), Failure> {
    let name = &arguments.pool;
    let pool = change::pool(session, name).await?;
    if !pool.paused {
        return output::say(&format!("Pool {name} is not paused.\n"));
    }
    arguments.consent.ask(&format!(
        "This resumes pool {name}: whoever waits for a slot of it is served by reconcile within a minute, oldest first."
    ))?;
    change::commit(session, transition::resume(&pool)).await?;
    output::say(&format!("Pool {name} is resumed.\n"))
}
