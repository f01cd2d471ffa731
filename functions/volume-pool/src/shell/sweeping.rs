//! The reads of a sweep, and what of it needs no loop: carried out with bounded parallelism. A read that fails leaves out
//! what it would have shown; the rest of the sweep goes on.

use std::collections::BTreeMap;
use std::future::Future;

use futures_util::future::{join3, try_join4};
use futures_util::{StreamExt, stream};

use super::carry_out;
use crate::action::Transition;
use crate::decide::Effect;
use crate::drift::Inspection;
use crate::ids::{GroupName, InstanceId, PoolName};
use crate::ports::{Clock, Commands, LeaseStore, LifecycleActions, PortError, Ports, Volumes};
use crate::record::{List, Record};
use crate::request::{Ending, Request, Response};
use crate::sweep::{PoolView, Swept, from_another_end, jitter};
use crate::time::Timestamp;

/// How many pools are read, and how many hooks and heartbeats are sent, at once: enough to hide the waiting, few enough
/// for the APIs' token buckets.
pub(super) const AT_ONCE: usize = 8;

/// Reads everything that a sweep looks at.
pub async fn sweep<V, A, R, L, C>(ports: &Ports<V, A, R, L, C>) -> Swept
where
    V: Volumes + Sync,
    A: LifecycleActions + Sync,
    L: LeaseStore + Sync,
    C: Sync,
{
    let Ports { volumes, actions, leases, .. } = ports;
    let mut failures = Vec::new();
    let (open, known, groups) = join3(
        leases.list(&List::Open, List::Open.most()),
        leases.list(&List::Pools, List::Pools.most()),
        actions.enrolled_groups(),
    )
    .await;
    let open = kept(open, &mut failures);
    let known = kept(known, &mut failures);
    let groups = kept(groups, &mut failures);
    let mut pools = Swept::tagged_pools(groups.as_deref().unwrap_or_default());
    pools.extend(known.into_iter().flatten().filter_map(|record| match record {
        Record::Known(mark) => Some(mark.pool),
        _ => None,
    }));
    let read: Vec<Result<PoolView, PortError>> = stream::iter(pools)
        .map(|name| pool(name, volumes, leases))
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let pools = read.into_iter().filter_map(|pool| kept(pool, &mut failures)).collect();
    let open = open.map(|records| {
        let marks = records.into_iter().filter_map(|record| match record {
            Record::Open(mark) => Some(mark),
            _ => None,
        });
        marks.collect()
    });
    let mut swept = Swept { open, groups, pools, holders: None, failures };
    let unseen = swept.unseen_holders();
    let holders =
        if unseen.is_empty() { Ok(BTreeMap::new()) } else { volumes.instances(&unseen).await };
    swept.holders = kept(holders, &mut swept.failures);
    swept
}

pub(super) fn kept<T>(read: Result<T, PortError>, failures: &mut Vec<PortError>) -> Option<T> {
    read.map_err(|error| failures.push(error)).ok()
}

/// Marks and volumes are read side by side: what changes between them is brought up in vain, or a minute later.
async fn pool<V: Volumes, L: LeaseStore>(
    name: PoolName,
    volumes: &V,
    leases: &L,
) -> Result<PoolView, PortError> {
    let (held, free) = (List::EveryHeld(name.clone()), List::EveryFree(name.clone()));
    let apart = List::EveryApart(name.clone());
    let (held, free, apart, volumes) = try_join4(
        leases.list(&held, held.most()),
        leases.list(&free, free.most()),
        leases.list(&apart, apart.most()),
        volumes.every_pool_volume(&name),
    )
    .await?;
    let held = held.into_iter().filter_map(|record| match record {
        Record::Held(mark) => Some(mark),
        _ => None,
    });
    let free = free.into_iter().filter_map(|record| match record {
        Record::Free(mark) => Some(mark.slot),
        _ => None,
    });
    let apart = apart.into_iter().filter_map(|record| match record {
        Record::Apart(mark) => Some(mark),
        _ => None,
    });
    let (held, free, apart) = (held.collect(), free.collect(), apart.collect());
    Ok(PoolView { name, held, free, apart, volumes })
}

/// Keeps the actions of these instances alive, by their groups' hooks of ours; answers how many. Where they are more than
/// the account's limits let by, it is others each minute that come too late.
pub async fn keep_alive<V, A, R, L, C>(
    waiting: BTreeMap<GroupName, Vec<(InstanceId, Transition)>>,
    hook_prefix: &str,
    ports: &Ports<V, A, R, L, C>,
) -> usize
where
    V: Volumes + Sync,
    A: LifecycleActions + Sync,
    R: Commands + Sync,
    L: LeaseStore + Sync,
    C: Clock + Sync,
{
    let mut heartbeats = Vec::new();
    for (group, instances) in waiting {
        let Ok(Response::Hooks(hooks)) = carry_out(Request::Hooks(group.clone()), ports).await
        else {
            continue;
        };
        for (instance, transition) in instances {
            let ours = hooks.iter().filter(|hook| {
                hook.transition == transition && hook.name.as_str().starts_with(hook_prefix)
            });
            heartbeats.extend(ours.map(|hook| {
                Request::Effect(instance.clone(), Effect::Heartbeat(hook.action(&group)))
            }));
        }
    }
    stream::iter(from_another_end(heartbeats, ports.clock.now()))
        .map(|heartbeat| carry_out(heartbeat, ports))
        .buffer_unordered(AT_ONCE)
        .filter(|answer| std::future::ready(matches!(answer, Ok(Response::Answered(Ok(()))))))
        .count()
        .await
}

/// Gives each of these tasks its turn, a few at once and none at the very moment of another, until `last` is past;
/// answers what each gave. Those that had no turn are left for the next run.
pub async fn in_turns<T, R, F, C>(
    tasks: Vec<T>,
    clock: &C,
    last: Timestamp,
    turn: impl Fn(T) -> F,
) -> Vec<R>
where
    F: Future<Output = R>,
    C: Clock,
{
    let salt = clock.now().as_millis();
    stream::iter(tasks.into_iter().enumerate())
        .map(|(number, task)| {
            let turn = &turn;
            async move {
                if clock.now() >= last {
                    return None;
                }
                clock.pause(jitter(number, salt)).await;
                Some(turn(task).await)
            }
        })
        .buffer_unordered(AT_ONCE)
        .filter_map(std::future::ready)
        .collect()
        .await
}

/// Takes a closer look at a free slot; answers how that ended.
pub async fn inspect<V, A, R, L, C>(
    inspection: &mut Inspection,
    ports: &Ports<V, A, R, L, C>,
) -> Ending
where
    V: Volumes + Sync,
    A: LifecycleActions + Sync,
    R: Commands + Sync,
    L: LeaseStore + Sync,
    C: Clock + Sync,
{
    let mut request = inspection.start();
    loop {
        if let Request::Finish(outcome) = request {
            return outcome.ending;
        }
        let response = carry_out(request, ports).await.unwrap_or_else(Response::Failed);
        request = inspection.resume(response, ports.clock.now());
    }
}
