//! Rehearsing the loop over the ports: nothing but reads goes out.

use super::carry_out;
use crate::ports::{Clock, Commands, LeaseStore, LifecycleActions, Ports, Volumes};
use crate::rehearsal::Rehearsal;
use crate::request::{Request, Response};

/// Runs a rehearsal to its end, which it then tells.
pub async fn rehearse<V, A, R, L, C>(rehearsal: &mut Rehearsal, ports: &Ports<V, A, R, L, C>)
where
    V: Volumes + Sync,
    A: LifecycleActions + Sync,
    R: Commands + Sync,
    L: LeaseStore + Sync,
    C: Clock + Sync,
{
    let mut request = rehearsal.start(ports.clock.now());
    while !matches!(request, Request::Finish(_)) {
        let response = carry_out(request, ports).await.unwrap_or_else(Response::Failed);
        request = rehearsal.resume(response, ports.clock.now());
    }
}
