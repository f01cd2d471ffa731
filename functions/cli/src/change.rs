//! What the commands that change records have in common: they read what they are about, and make one transaction that is
//! conditional on it. Whoever changes it in between wins.

use volume_pool::ids::{PoolName, SlotId};
use volume_pool::ports::{Commit, LeaseStore as _};
use volume_pool::record::{Key, Pool, Record, Slot};
use volume_pool::transition::Transaction;

use crate::failure::Failure;
use crate::session::Session;

/// The pool's record, if its records may be changed now.
pub(crate) async fn pool(session: &Session, name: &PoolName) -> Result<Pool, Failure> {
    let key = Key::Pool(name.clone());
    let found = session.ports.leases.read(std::slice::from_ref(&key)).await?.remove(&key);
    let Some(Record::Pool(pool)) = found else {
        return Err(Failure::Unknown(format!(
            "pool {name} is not on record; it comes to be with its first slot. stateful-asg status shows the pools that there are"
        )));
    };
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
    let key = Key::Slot(id.clone());
    match session.ports.leases.read(std::slice::from_ref(&key)).await?.remove(&key) {
        Some(Record::Slot(slot)) => Ok((slot, pool)),
        Some(_) | None => Err(Failure::Unknown(format!(
            "there is no slot {id}; stateful-asg status {} shows the slots that there are",
            id.pool
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
