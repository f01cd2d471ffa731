//! The shell: carries the machine's requests out over the ports. The only async code of the domain, and no decision
//! in it.

mod queueing;
mod rebuilding;
mod rehearsing;
mod sweeping;

use std::time::Duration;

use futures_util::future::{join, try_join, try_join_all, try_join3};
use serde::Serialize;

use crate::allowance::Allowance;
use crate::decide::{Effect, Subject};
use crate::ids::{InstanceId, VolumeId};
use crate::invocation::{Invocation, LoopReport};
use crate::observation::{Described, GroupView, Others};
use crate::ports::{Clock, Commands, LeaseStore, LifecycleActions, PortError, Ports, Volumes};
use crate::request::{Ending, Request, Response};

pub use queueing::queues;
pub use rebuilding::rebuild;
pub use rehearsing::rehearse;
pub use sweeping::{in_turns, inspect, keep_alive, sweep};

/// What an invocation did: its loops, and the calls that they took.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// The loops, the main one among them.
    pub loops: Vec<LoopReport>,
    /// How the main loop ended.
    pub ending: Ending,
    /// The requests carried out, in order.
    pub calls: Vec<CallMade>,
}

/// One request that was carried out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CallMade {
    /// What was asked.
    pub call: &'static str,
    /// How long it took, in milliseconds.
    pub millis: u64,
}

/// Runs the loop for `subject` to its end.
pub async fn run<V, A, R, L, C>(
    subject: Subject,
    allowance: Allowance,
    ports: &Ports<V, A, R, L, C>,
) -> Report
where
    V: Volumes + Sync,
    A: LifecycleActions + Sync,
    R: Commands + Sync,
    L: LeaseStore + Sync,
    C: Clock + Sync,
{
    let mut invocation = Invocation::new(subject, allowance);
    let mut calls = Vec::new();
    let mut request = invocation.start(ports.clock.now());
    loop {
        if let Request::Finish(outcome) = request {
            return Report { loops: invocation.into_reports(), ending: outcome.ending, calls };
        }
        let call = request.call();
        let began = ports.clock.now();
        let response = carry_out(request, ports).await.unwrap_or_else(Response::Failed);
        let now = ports.clock.now();
        let took: Duration = now.since(began);
        calls.push(CallMade { call, millis: u64::try_from(took.as_millis()).unwrap_or(u64::MAX) });
        request = invocation.resume(response, now);
    }
}

/// Carries one request out.
pub async fn carry_out<V, A, R, L, C>(
    request: Request,
    ports: &Ports<V, A, R, L, C>,
) -> Result<Response, PortError>
where
    V: Volumes + Sync,
    A: LifecycleActions + Sync,
    R: Commands + Sync,
    L: LeaseStore + Sync,
    C: Clock + Sync,
{
    match request {
        Request::Along(asked, instance, ids) => {
            let (answer, described) =
                join(carry_out_alone(*asked, ports), describe(instance, ids, ports)).await;
            // A look without an answer is made again.
            Ok(Response::Along(Box::new(answer?), described.ok()))
        }
        request => carry_out_alone(request, ports).await,
    }
}

/// Auto Scaling, EC2 and these volumes, in parallel.
async fn describe<V, A, R, L, C>(
    instance: InstanceId,
    ids: Vec<VolumeId>,
    ports: &Ports<V, A, R, L, C>,
) -> Result<Described, PortError>
where
    V: Volumes + Sync,
    A: LifecycleActions + Sync,
    R: Commands + Sync,
    L: LeaseStore + Sync,
    C: Clock + Sync,
{
    let (group_instance, instance, volumes) = try_join3(
        ports.actions.group_instance(&instance),
        ports.volumes.instance(&instance),
        ports.volumes.volumes(&ids),
    )
    .await?;
    Ok(Described { group_instance, instance, volumes })
}

async fn carry_out_alone<V, A, R, L, C>(
    request: Request,
    ports: &Ports<V, A, R, L, C>,
) -> Result<Response, PortError>
where
    V: Volumes + Sync,
    A: LifecycleActions + Sync,
    R: Commands + Sync,
    L: LeaseStore + Sync,
    C: Clock + Sync,
{
    let Ports { volumes, actions, commands, leases, clock } = ports;
    Ok(match request {
        Request::Read { keys, lists } => {
            let listed = try_join_all(lists.iter().map(|list| leases.list(list, list.most())));
            let (records, lists) = try_join(leases.read(&keys), listed).await?;
            Response::Records(records, lists)
        }
        Request::Describe(instance, ids) => {
            Response::Described(describe(instance, ids, ports).await?)
        }
        Request::Hooks(group) => Response::Hooks(actions.hooks(&group).await?),
        Request::Enrolment(name) => {
            let (hooks, view) = try_join(actions.hooks(&name), actions.group(&name)).await?;
            Response::Enrolment(hooks, view.unwrap_or_else(|| GroupView::unknown(name)))
        }
        Request::AvailableVolumes(place) => {
            Response::Volumes(volumes.available_volumes(&place).await?)
        }
        Request::Commit(transaction) => Response::Committed(leases.commit(&transaction).await?),
        Request::Poke(instance, guard) => Response::Poked(leases.poke(&instance, &guard).await?),
        Request::EveryPoolVolume(pool) => {
            Response::Volumes(volumes.every_pool_volume(&pool).await?)
        }
        Request::Volumes(ids) => {
            Response::Volumes(volumes.volumes(&ids).await?.into_values().collect())
        }
        Request::SlotVolumes(slot) => Response::Volumes(volumes.slot_volumes(&slot).await?),
        Request::Group(name) => {
            let view = actions.group(&name).await?;
            Response::Group(view.unwrap_or_else(|| GroupView::unknown(name)))
        }
        Request::EnrolledGroups => Response::Groups(actions.enrolled_groups().await?),
        Request::Others(ids) => {
            let (in_groups, instances) =
                try_join(actions.group_instances(&ids), volumes.instances(&ids)).await?;
            Response::Others(Others { in_groups, instances })
        }
        Request::Instances(ids) => Response::Instances(volumes.instances(&ids).await?),
        Request::Command(instance, sought) => {
            Response::Command(commands.command(&instance, &sought).await?)
        }
        Request::TakePoke(instance, guard) => {
            leases.take_poke(&instance, &guard).await?;
            Response::Done
        }
        Request::Effect(instance, effect) => Response::Answered(match effect {
            Effect::Create(creation) => {
                return Ok(Response::Created(volumes.create(&creation).await?));
            }
            Effect::RunDocument(run) => {
                return Ok(Response::Sent(commands.run_document(&instance, &run).await?));
            }
            Effect::Attach(volume, device) => volumes.attach(&volume, &instance, &device).await?,
            Effect::Detach(volume) => volumes.detach(&volume, &instance).await?,
            Effect::KeepOnTermination(device) => {
                volumes.keep_on_termination(&instance, &device).await?
            }
            Effect::Stop => volumes.stop(&instance).await?,
            Effect::Tag(resource, tags) => volumes.tag(&resource, &tags).await?,
            Effect::Complete(action, result) => {
                actions.complete(&instance, &action, result).await?
            }
            Effect::Heartbeat(action) => actions.heartbeat(&instance, &action).await?,
        }),
        Request::Pause(duration) => {
            clock.pause(duration).await;
            Response::Done
        }
        // The first two stay within the invocation, see `Invocation::route`; nothing asks for a look along with a look.
        Request::Serve(_) | Request::Finish(_) | Request::Along(..) => Response::Done,
    })
}
