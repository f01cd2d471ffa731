//! `retire`: takes a slot out of its pool for good.

use clap::Args;
use volume_pool::ids::SlotId;
use volume_pool::record::SlotState;
use volume_pool::transition::person;

use crate::consent::Consent;
use crate::failure::Failure;
use crate::session::Session;
use crate::{change, output};

/// Take a slot out of its pool for good: no launch gets it, and its index is not used again.
///
/// For a node that was decommissioned, whose data must not come back. Nothing is deleted: its volumes stay, are not adopted,
/// and are paid for until you delete them. Its zone has room for one slot more.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The slot, as in cassandra-0.
    pub(crate) slot: SlotId,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Retires the slot.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let id = &arguments.slot;
    let (slot, pool) = change::slot(session, id).await?;
    if slot.state == SlotState::Retired {
        return output::say(&format!("Slot {id} is retired already.\n"));
    }
    if slot.moving.is_some() {
        return Err(Failure::Refused(format!(
            "slot {id} is being moved to another zone; go on with that (stateful-asg move {id}), or give it up (move {id} --cancel)"
        )));
    }
    change::nobody_holds(&slot, "retired")?;
    let volumes: Vec<&str> = slot.volumes.iter().map(|volume| volume.volume.as_str()).collect();
    let volumes = if volumes.is_empty() { "none".to_owned() } else { volumes.join(", ") };
    arguments.consent.ask(&format!(
        "This retires slot {id} in {} for good: no launch gets it, and its index is not used again. Its volumes stay and are not \
         adopted: {volumes}. The policy may have a new slot created in its zone for a launch that needs one.",
        slot.zone
    ))?;
    change::commit(session, person::retire(&slot, &pool, "retired by a person")).await?;
    output::say(&format!("Slot {id} is retired.\n"))
}
