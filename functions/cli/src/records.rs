//! The records that commands are about, each read alone.

use volume_pool::ids::{InstanceId, PoolName, SlotId, VolumeId};
use volume_pool::ports::LeaseStore as _;
use volume_pool::record::{Claim, Key, Pool, Record, Slot};

use crate::failure::Failure;
use crate::session::Session;

/// The pool's record.
pub(crate) async fn pool(session: &Session, name: &PoolName) -> Result<Option<Pool>, Failure> {
    Ok(match read(session, Key::Pool(name.clone())).await? {
        Some(Record::Pool(pool)) => Some(pool),
        Some(_) | None => None,
    })
}

/// The slot's record.
pub(crate) async fn slot(session: &Session, id: &SlotId) -> Result<Option<Slot>, Failure> {
    Ok(match read(session, Key::Slot(id.clone())).await? {
        Some(Record::Slot(slot)) => Some(slot),
        Some(_) | None => None,
    })
}

/// The instance's claim.
pub(crate) async fn claim(session: &Session, id: &InstanceId) -> Result<Option<Claim>, Failure> {
    Ok(match read(session, Key::Claim(id.clone())).await? {
        Some(Record::Claim(claim)) => Some(claim),
        Some(_) | None => None,
    })
}

/// The slot that the volume belongs to.
pub(crate) async fn owner(session: &Session, id: &VolumeId) -> Result<Option<SlotId>, Failure> {
    Ok(match read(session, Key::Volume(id.clone())).await? {
        Some(Record::Volume(owner)) => Some(owner.slot),
        Some(_) | None => None,
    })
}

async fn read(session: &Session, key: Key) -> Result<Option<Record>, Failure> {
    Ok(session.ports.leases.read(std::slice::from_ref(&key)).await?.remove(&key))
}
