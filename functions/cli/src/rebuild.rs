//! `rebuild`: a pool's records, from tags and attachments.

use clap::Args;
use volume_pool::ids::PoolName;
use volume_pool::rebuild::Rebuild;
use volume_pool::request::Ending;
use volume_pool::shell;

use crate::consent::Consent;
use crate::failure::Failure;
use crate::output;
use crate::session::Session;

/// Rebuild the records of a pool whose table was lost, or restored from a backup, from its volumes' tags and attachments.
///
/// It takes some three minutes. The pool is closed meanwhile: launches and terminations are kept alive and wait, instances in
/// service are not touched. Cut off, it leaves the pool closed; run it again. What does not add up is set apart and told of.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The pool.
    pub(crate) pool: PoolName,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Rebuilds the pool.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let name = &arguments.pool;
    arguments.consent.ask(&format!(
        "This rebuilds the records of pool {name} from its volumes' tags and attachments. That takes some three minutes, in which the \
         pool is closed: its launches and terminations wait, its instances in service are not touched."
    ))?;
    let mut rebuild = Rebuild::new(name.clone(), session.hook_prefix.clone());
    let ending = shell::rebuild(&mut rebuild, &session.ports).await;
    for finding in rebuild.alarms() {
        output::say(&format!("{}: {finding}\n", finding.name()))?;
    }
    match ending {
        Ending::Settled => output::say(&format!("Pool {name} is rebuilt, and open.\n")),
        Ending::WorkLeft | Ending::Busy => Err(Failure::Unfinished(format!(
            "pool {name} is not rebuilt, and stays closed ({}); run it again",
            rebuild.problem().unwrap_or("it was in the way of something else")
        ))),
        Ending::Failed(error) => Err(Failure::Unfinished(format!(
            "pool {name} is not rebuilt, and stays closed if it was closed ({error}); mend that and run it again"
        ))),
    }
}
