//! `explain`: what is going on with an instance, a slot or a volume, why, and what comes next. Reads only: what comes next is
//! the functions' own loop, rehearsed.

mod reading;
mod render;

use clap::Args;
use serde::Serialize;
use volume_pool::Timestamp;
use volume_pool::ids::{InstanceId, SlotId, VolumeId};
use volume_pool::observation::{GroupInstance, Instance, Volume};
use volume_pool::record::{Claim, Slot};

use crate::failure::Failure;
use crate::output;
use crate::rehearsing::Next;
use crate::session::Session;
use crate::target::Target;

/// Tell what is going on with an instance, a slot or a volume, why, and what comes next.
///
/// It shows what is on record and what AWS shows, and runs the functions' own loop without letting it change anything: what
/// it would do now, and the reasons for that. A slot is explained with the instance that holds it, a volume with its slot.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// An instance (i-...), a volume (vol-...), or a slot (<pool>-<index>).
    #[arg(value_name = "INSTANCE|VOLUME|SLOT")]
    pub(crate) target: Target,
    /// Print JSON: the records as they are, and what comes next.
    #[arg(long)]
    pub(crate) json: bool,
}

/// All that is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Explanation {
    at: String,
    #[serde(skip)]
    now: Timestamp,
    instance: Option<InstanceFacts>,
    slot: Option<SlotFacts>,
    /// A volume that no slot has.
    volume: Option<VolumeFacts>,
    /// What reconcile would look at the instance for.
    found: Option<String>,
    next: Option<Next>,
}

/// An instance.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct InstanceFacts {
    instance: InstanceId,
    claim: Option<Claim>,
    /// Its place in its zone's queue, from 1.
    position: Option<usize>,
    #[serde(skip)]
    member: Option<GroupInstance>,
    #[serde(skip)]
    shown: Option<Instance>,
}

/// A slot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct SlotFacts {
    slot: SlotId,
    record: Option<Slot>,
    /// Its place among the free slots of its zone, from 1, and how many wait there.
    #[serde(skip)]
    in_line: Option<(usize, usize)>,
    #[serde(skip)]
    volumes: Vec<(VolumeId, Option<Volume>)>,
}

/// A volume that no slot has.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct VolumeFacts {
    volume: VolumeId,
    #[serde(skip)]
    shown: Option<Volume>,
    /// The slot that its tag names, if that exists.
    named: Option<SlotId>,
}

/// Explains the target.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let explanation = reading::read(session, &arguments.target).await?;
    if arguments.json {
        return output::json(&explanation);
    }
    output::say(&render::explanation(&explanation))
}
