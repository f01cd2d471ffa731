//! The reads behind a sweep's metrics. They are apart from the sweep itself, which must not miss anything because one of
//! these fails.

use futures_util::future::try_join;
use futures_util::{StreamExt, stream};

use super::sweeping::{AT_ONCE, kept};
use crate::ids::PoolName;
use crate::ports::{LeaseStore, PortError, Ports};
use crate::queues::{PoolQueues, Queues, Releasing};
use crate::record::{Claim, ComingMark, Key, List, Phase, Record, WaitingMark};
use crate::time::Timestamp;

/// Reads who waits for slots of these pools, and which of their slots are being released since when.
pub async fn queues<V, A, R, L, C>(
    pools: impl IntoIterator<Item = PoolName>,
    ports: &Ports<V, A, R, L, C>,
) -> Queues
where
    L: LeaseStore + Sync,
{
    let leases = &ports.leases;
    let read: Vec<_> = stream::iter(pools)
        .map(|pool| async move { (marks(&pool, leases).await, pool) })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut queues = Queues::default();
    for (marks, pool) in read {
        let Some((waiting, coming)) = kept(marks, &mut queues.failures) else { continue };
        let releasing: Vec<_> = stream::iter(coming)
            .map(|mark| async move { (since(&mark, leases).await, mark.place) })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        let releasing = releasing.into_iter().map(|(since, place)| {
            let since = kept(since, &mut queues.failures).flatten();
            Releasing { place, since }
        });
        let releasing = releasing.collect();
        queues.pools.insert(pool, PoolQueues { waiting, releasing });
    }
    queues
}

async fn marks<L: LeaseStore>(
    pool: &PoolName,
    leases: &L,
) -> Result<(Vec<WaitingMark>, Vec<ComingMark>), PortError> {
    let (waiting, coming) = (List::EveryWaiting(pool.clone()), List::EveryComing(pool.clone()));
    let (waiting, coming) =
        try_join(leases.list(&waiting, waiting.most()), leases.list(&coming, coming.most()))
            .await?;
    let waiting = waiting.into_iter().filter_map(|record| match record {
        Record::Waiting(mark) => Some(mark),
        _ => None,
    });
    let coming = coming.into_iter().filter_map(|record| match record {
        Record::Coming(mark) => Some(mark),
        _ => None,
    });
    Ok((waiting.collect(), coming.collect()))
}

/// Since when the slot is being released: the mark does not say, its holder's claim does.
async fn since<L: LeaseStore>(
    mark: &ComingMark,
    leases: &L,
) -> Result<Option<Timestamp>, PortError> {
    let key = Key::Claim(mark.holder.clone());
    let mut records = leases.read(std::slice::from_ref(&key)).await?;
    Ok(match records.remove(&key) {
        Some(Record::Claim(Claim { phase: Phase::Leaving { slot, since, .. }, .. }))
            if slot == mark.slot =>
        {
            Some(since)
        }
        Some(_) | None => None,
    })
}
