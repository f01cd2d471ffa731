//! What `status` reads. Without the records there is nothing to show; what EC2 or Auto Scaling does not tell is left out.

use std::collections::BTreeSet;

use futures_util::future::{join, join3};
use volume_pool::ids::PoolName;
use volume_pool::observation::GroupView;
use volume_pool::ports::{LeaseStore as _, LifecycleActions as _, PortError, Volumes as _};
use volume_pool::record::{Key, List, Record};
use volume_pool::sweep::Swept;

use super::view::{self, PoolStatus, Seen, Status};
use crate::failure::Failure;
use crate::session::Session;

/// Reads one pool, or all that the records or the enrolled groups name.
pub(super) async fn read(session: &Session, only: Option<&PoolName>) -> Result<Status, Failure> {
    let ports = &session.ports;
    let (known, groups) =
        join(ports.leases.list(&List::Pools, List::Pools.most()), ports.actions.enrolled_groups())
            .await;
    let mut unread = Vec::new();
    let groups = kept(groups, &mut unread);
    let mut names = Swept::tagged_pools(groups.as_deref().unwrap_or_default());
    names.extend(known?.into_iter().filter_map(|record| match record {
        Record::Known(mark) => Some(mark.pool),
        _ => None,
    }));
    if let Some(only) = only {
        if !names.contains(only) {
            return Err(unknown(only, &names));
        }
        names = BTreeSet::from([only.clone()]);
    }
    let mut pools = Vec::new();
    for name in names {
        pools.push(pool(session, name, groups.as_deref(), &mut unread).await?);
    }
    Ok(Status { at: session.now(), pools, unread })
}

async fn pool(
    session: &Session,
    name: PoolName,
    groups: Option<&[GroupView]>,
    unread: &mut Vec<String>,
) -> Result<PoolStatus, Failure> {
    let ports = &session.ports;
    let whole = List::Whole(name.clone());
    let records = ports.leases.list(&whole, whole.most()).await?;
    let members = view::members(groups.unwrap_or_default());
    let busy = view::busy(&records, &members);
    let keys: Vec<Key> = busy.iter().cloned().map(Key::Claim).collect();
    let shown: Vec<_> = busy.into_iter().chain(view::outside(&records, &members)).collect();
    let (claims, volumes, instances) = join3(
        ports.leases.read(&keys),
        ports.volumes.every_pool_volume(&name),
        ports.volumes.instances(&shown),
    )
    .await;
    let seen = Seen {
        claims: claims?,
        groups,
        members,
        volumes: kept(volumes, unread),
        instances: kept(instances, unread).unwrap_or_default(),
    };
    Ok(view::pool(name, records, &seen))
}

fn kept<T>(read: Result<T, PortError>, unread: &mut Vec<String>) -> Option<T> {
    read.map_err(|error| unread.push(Failure::from(error).to_string())).ok()
}

fn unknown(pool: &PoolName, known: &BTreeSet<PoolName>) -> Failure {
    let known: Vec<&str> = known.iter().map(PoolName::as_str).collect();
    let known = if known.is_empty() { "there is none".to_owned() } else { known.join(", ") };
    Failure::Unknown(format!(
        "no pool {pool} is on record, and no group is tagged stateful-asg:pool={pool}; known pools: {known}"
    ))
}
