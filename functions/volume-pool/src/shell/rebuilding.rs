//! Rebuilding a pool's records over the ports.

use super::carry_out;
use crate::ports::{Clock, Commands, LeaseStore, LifecycleActions, Ports, Volumes};
use crate::rebuild::Rebuild;
use crate::request::{Ending, Request, Response};

/// Rebuilds the records of a pool; answers how that ended. It takes some minutes, so it is no work for a function: run
/// again, it goes on where it was cut off.
pub async fn rebuild<V, A, R, L, C>(rebuild: &mut Rebuild, ports: &Ports<V, A, R, L, C>) -> Ending
where
    V: Volumes + Sync,
    A: LifecycleActions + Sync,
    R: Commands + Sync,
    L: LeaseStore + Sync,
    C: Clock + Sync,
{
    let mut request = rebuild.start();
    loop {
        if let Request::Finish(outcome) = request {
            return outcome.ending;
        }
        let response = carry_out(request, ports).await.unwrap_or_else(Response::Failed);
        request = rebuild.resume(response, ports.clock.now());
    }
}
