//! What the commands that change records have in common: they read what they are about, and make one transaction that is
//! conditional on it. Whoever changes it in between wins.

use volume_pool::ids::{PoolName, SlotId};
use volume_pool::ports::{Commit, LeaseStore as _};
use volume_pool::record::{Pool, Slot, SlotState};
use volume_pool::transition::Transaction;

use crate::failure::Failure;
use crate::records;
use crate::session::Session;

/// The pool's record, if its records may be changed now.
pub(crate) async fn pool(session: &Session, name: &PoolName) -> Result<Pool, Failure> {
    let pool = records::pool(session, name).await?.ok_or_else(|| {
        Failure::Unknown(format!(
            "pool {name} is not on record; it comes to be with its first slot. stateful-asg status shows the pools that there are"
        ))
    })?;
    match pool.rebuilding {
        Some(since) => Err(Failure::Refused(format!(
            "the records of pool {name} are being rebuilt since {since}, and nothing may be done by them; wait for that, or run \
             stateful-asg rebuild {name} again if it was cut off"
        ))),
        None => Ok(pool),
    }
}

/// A slot's record with its pool's.
pub(crate) async fn slot(session: &Session, id: &SlotId) -> Result<(Slot, Pool), Failure> {
    let pool = pool(session, &id.pool).await?;
    let slot = records::slot(session, id).await?.ok_or_else(|| {
        Failure::Unknown(format!(
            "there is no slot {id}; stateful-asg status {} shows the slots that there are",
            id.pool
        ))
    })?;
    Ok((slot, pool))
}

/// Refuses to do with a slot what is not for one that an instance holds, lets go of, or has created for it.
pub(crate) fn nobody_holds(slot: &Slot, done: &str) -> Result<(), Failure> {
    let (id, pool) = (&slot.id, &slot.id.pool);
    match &slot.state {
        SlotState::Free | SlotState::Quarantined | SlotState::Retired => Ok(()),
        SlotState::Leased { holder } | SlotState::Releasing { holder } => {
            Err(Failure::Refused(format!(
                "slot {id} is held by {holder}, and a slot is taken from an instance only on evidence that its volumes are \
                 detached; have the instance terminated by way of its group, and have the slot {done} once it is free; \
                 stateful-asg pause {pool} keeps it from the next launch meanwhile"
            )))
        }
        SlotState::Creating { claimant, .. } => Err(Failure::Refused(format!(
            "slot {id} is being created for {claimant}; wait until it exists"
        ))),
    }
}

/// Makes the transaction; none means that the records are not in the state for it.
pub(crate) async fn commit(
    session: &Session,
    transaction: Option<Transaction>,
) -> Result<Transaction, Failure> {
    let transaction = transaction.ok_or(Failure::Changed)?;
    match session.ports.leases.commit(&transaction).await? {
        Commit::Committed => Ok(transaction),
        Commit::Conflict => Err(Failure::Changed),
    }
}
