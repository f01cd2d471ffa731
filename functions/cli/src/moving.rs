//! `move`: a slot to another zone, by snapshots of its volumes.

use std::fmt::Write as _;
use std::time::Duration;

use clap::Args;
use volume_pool::ids::{SlotId, Zone};
use volume_pool::moving::{self, Seen, Step};
use volume_pool::ports::{Clock as _, Refusal, Volumes as _};
use volume_pool::record::{Move, Slot, SlotState};
use volume_pool::transition::moving as transitions;
use volume_pool_aws::Moves;

use crate::consent::Consent;
use crate::failure::Failure;
use crate::session::Session;
use crate::{change, output, reinstate};

/// How long after a look at what is under way in EC2 the next one is.
const PAUSE: Duration = Duration::from_secs(5);

/// Move a free slot to another zone: name, index and data, by snapshots of its volumes.
///
/// The slot is set apart first, so that no launch gets it; its volumes are copied, and it gets the copies and the new zone in one
/// transaction. Nothing is deleted: the old volumes and the snapshots stay, and are yours to delete. It takes as long as EC2 takes
/// to snapshot. Cut off at any point, run it again without --zone: it goes on from the record.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The slot, as in cassandra-0.
    pub(crate) slot: SlotId,
    /// The zone to move it to; for a move that was begun already, leave it out.
    #[arg(long, value_name = "ZONE")]
    pub(crate) zone: Option<Zone>,
    /// Give up a move that was begun: the slot stays in its zone.
    #[arg(long, conflicts_with_all = ["zone", "dry_run"])]
    pub(crate) cancel: bool,
    /// Say what would be done, and do nothing.
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Moves the slot.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let id = &arguments.slot;
    let (slot, pool) = change::slot(session, id).await?;
    match (&slot.moving, arguments.cancel) {
        (None, true) => return output::say(&format!("Slot {id} is not being moved.\n")),
        (None, false) => {
            let Some(to) = &arguments.zone else {
                return Err(Failure::Usage(format!(
                    "slot {id} is not being moved yet: name the zone to move it to, --zone ZONE"
                )));
            };
            if slot.zone == *to {
                return output::say(&format!("Slot {id} is in {to} already.\n"));
            }
            refuse(&slot)?;
            inhabited(session, id, to).await?;
            reinstate::look(session, &slot).await?;
            let what = planned(&slot, to);
            if arguments.dry_run {
                return output::say(&what);
            }
            arguments.consent.ask(what.trim_end())?;
            let begun = transitions::begin(&slot, &pool, to, session.now());
            change::commit(session, begun).await?;
            output::say(&format!("  slot {id} is set apart\n"))?;
        }
        (Some(moving), false) => {
            let to = if moving.copies.is_empty() { &slot.zone } else { &moving.to };
            if arguments.zone.as_ref().is_some_and(|zone| zone != to) {
                return Err(Failure::Refused(format!(
                    "slot {id} is being moved to {to} since {}; go on with that, or give it up: stateful-asg move {id} --cancel",
                    moving.since
                )));
            }
            let what = format!("This goes on with the move of slot {id} to {to}: {}", left(moving));
            if arguments.dry_run {
                return output::say(&format!("{what}\n"));
            }
            arguments.consent.ask(&what)?;
        }
        (Some(moving), true) => {
            if moving.copies.is_empty() {
                return Err(Failure::Refused(format!(
                    "slot {id} has its new volumes already, or was given up: what is left is to end that, stateful-asg move {id}. To \
                     have it back in its old zone, move it there once it is free"
                )));
            }
            arguments.consent.ask(&format!(
                "This gives the move of slot {id} to {} up: it is free again in {}, with the volumes that it has. What was copied so \
                 far stays, without the slot's tags.",
                moving.to, slot.zone
            ))?;
            change::commit(session, transitions::cancel(&slot, &pool)).await?;
            output::say("  the move is given up\n")?;
        }
    }
    drive(session, id).await
}

/// Only a free slot has volumes that are known to be detached.
fn refuse(slot: &Slot) -> Result<(), Failure> {
    let id = &slot.id;
    match &slot.state {
        SlotState::Quarantined => Err(Failure::Refused(format!(
            "slot {id} is set apart ({}); look at it, and give it back first: stateful-asg reinstate {id}",
            slot.reason
        ))),
        SlotState::Retired => {
            Err(Failure::Refused(format!("slot {id} is retired: nobody gets it")))
        }
        SlotState::Free
        | SlotState::Leased { .. }
        | SlotState::Releasing { .. }
        | SlotState::Creating { .. } => change::nobody_holds(slot, "moved"),
    }
}

/// Refuses a zone in which nobody would ever lease the slot: a typing error, most of the time.
async fn inhabited(session: &Session, id: &SlotId, to: &Zone) -> Result<(), Failure> {
    let groups = session.enrolments().await?.enrolled().await?;
    let of_pool = groups.iter().filter(|it| it.view.pool_tag.as_deref() == Some(id.pool.as_str()));
    if of_pool.clone().any(|group| group.zones.contains(to)) {
        return Ok(());
    }
    let zones: Vec<&str> = of_pool.flat_map(|group| &group.zones).map(Zone::as_str).collect();
    let zones = if zones.is_empty() { "none".to_owned() } else { zones.join(", ") };
    Err(Failure::Refused(format!(
        "no group of pool {} launches in {to}, so nobody would get slot {id} there; its groups' zones: {zones}",
        id.pool
    )))
}

fn planned(slot: &Slot, to: &Zone) -> String {
    let (id, from) = (&slot.id, &slot.zone);
    let mut text = format!(
        "This moves slot {id} from {from} to {to}:\n  it is set apart, so that no launch gets it meanwhile\n"
    );
    for volume in &slot.volumes {
        let (volume, name) = (&volume.volume, &volume.name);
        let _ =
            writeln!(text, "  {volume} ({name}): a snapshot of it, and a volume in {to} from that");
    }
    text + &format!(
        "  the slot gets these volumes and the zone, in one transaction, and is free there; name and index stay\n  the old volumes stay \
         in {from} without the slot's tags; they and the snapshots are yours to delete\n{from} has one slot less from then on. \
         Until the snapshots are complete, which takes as long as they hold much, no launch gets the slot.\n"
    )
}

fn left(moving: &Move) -> String {
    let copies = moving.copies.len();
    if copies == 0 {
        return format!("{} volumes lose the slot's tags, and it is free", moving.left.len());
    }
    let made = moving.copies.iter().filter(|copy| copy.volume.is_some()).count();
    let taken = moving.copies.iter().filter(|copy| copy.snapshot.is_some()).count();
    format!("of {copies} volumes {taken} have a snapshot, and {made} a copy")
}

/// Goes on from what is on record until the slot is free.
async fn drive(session: &Session, id: &SlotId) -> Result<(), Failure> {
    let moves = session.moves().await?;
    let mut waited_for = String::new();
    loop {
        let (slot, pool) = change::slot(session, id).await?;
        let seen = seen(session, &moves, &slot).await?;
        let step = moving::next(&slot, &pool, &seen).map_err(Failure::Refused)?;
        let done = match step {
            Step::Done => return output::say(&format!("Slot {id} is free in {}.\n", slot.zone)),
            Step::Wait(what) => {
                if what != waited_for {
                    output::say(&format!("  {what}\n"))?;
                    waited_for = what;
                }
                session.ports.clock.pause(PAUSE).await;
                continue;
            }
            Step::Snapshot(name, volume, tags) => {
                let answer = moves.snapshot(&volume, &tags).await?;
                let snapshot = answered("ec2:CreateSnapshot", answer)?;
                let noted = transitions::note_snapshot(&slot, &name, &snapshot);
                change::commit(session, noted).await?;
                format!("snapshot {snapshot} of {volume} is taken")
            }
            Step::Copy(snapshot, creation) => {
                let answer = moves.copy(&snapshot, &creation).await?;
                let volume = answered("ec2:CreateVolume", answer)?;
                let noted = transitions::note_copy(&slot, &creation.name, &volume);
                change::commit(session, noted).await?;
                format!("volume {volume} is created in {} from {snapshot}", creation.zone)
            }
            Step::Untag(volume, tags) => {
                let tagged = session.ports.volumes.tag(volume.as_str(), &tags).await?;
                answered("ec2:CreateTags", tagged)?;
                answered("ec2:DeleteTags", moves.untag(&volume).await?)?;
                format!("volume {volume} is the slot's no more")
            }
            Step::Commit(transaction) => {
                let name = transaction.name;
                change::commit(session, Some(transaction)).await?;
                format!("on record: {name}")
            }
        };
        output::say(&format!("  {done}\n"))?;
    }
}

async fn seen(session: &Session, moves: &Moves, slot: &Slot) -> Result<Seen, Failure> {
    let Some(moving) = &slot.moving else {
        return Ok(Seen::default());
    };
    let ids: Vec<_> = slot.every_volume().cloned().collect();
    let mut volumes = session.ports.volumes.volumes(&ids).await?;
    let tagged = session.ports.volumes.slot_volumes(&slot.id).await?;
    volumes.extend(tagged.into_iter().map(|volume| (volume.id.clone(), volume)));
    let snapshots = moves.snapshots(&moving::name(&slot.id, moving)).await?;
    Ok(Seen { volumes, snapshots })
}

fn answered<T>(call: &'static str, answer: Result<T, Refusal>) -> Result<T, Failure> {
    answer.map_err(|refusal| Failure::Denied { call, problem: refusal.to_string() })
}
