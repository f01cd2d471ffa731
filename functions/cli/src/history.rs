//! `history`: what the records still tell of an instance, a slot or a volume. They hold the present and a little of the past;
//! the functions' logs hold the rest.

use std::fmt::Write as _;

use clap::Args;
use serde::Serialize;
use volume_pool::Timestamp;
use volume_pool::action::Transition;
use volume_pool::ids::{InstanceId, SlotId, VolumeId};
use volume_pool::ports::LeaseStore as _;
use volume_pool::record::{Claim, Key, Origin, Record, Slot};

use crate::failure::Failure;
use crate::session::Session;
use crate::target::Target;
use crate::{output, records, words};

/// Tell what the records keep of the past of an instance, a slot or a volume.
///
/// The records keep a slot's last eight holders, its last lease and release with the reasons of today's state, and of each
/// instance its last action and answer; not when earlier holders had the slot. Each step with its reason is in the functions' logs.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// An instance (i-...), a volume (vol-...), or a slot (<pool>-<index>).
    #[arg(value_name = "INSTANCE|VOLUME|SLOT")]
    pub(crate) target: Target,
    /// Print JSON: the records as they are.
    #[arg(long)]
    pub(crate) json: bool,
}

/// What is on record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct History {
    slot: Option<Slot>,
    /// The claims of the instance, or of the slot's recent holders, latest first.
    claims: Vec<Claim>,
}

/// Tells the history.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let history = match &arguments.target {
        Target::Slot(id) => of_slot(session, id).await?,
        Target::Volume(id) => of_volume(session, id).await?,
        Target::Instance(id) => of_instance(session, id).await?,
    };
    if arguments.json {
        return output::json(&history);
    }
    let text = told(&history);
    let about = match &arguments.target {
        Target::Slot(id) => id.to_string(),
        Target::Volume(id) => id.to_string(),
        Target::Instance(id) => id.to_string(),
    };
    output::say(&format!("{text}\n{}", beyond(&about)))
}

async fn of_slot(session: &Session, id: &SlotId) -> Result<History, Failure> {
    let Some(slot) = records::slot(session, id).await? else {
        return Err(Failure::Unknown(format!("there is no slot {id} on record")));
    };
    let claims = claims(session, &slot.recent_holders).await?;
    Ok(History { slot: Some(slot), claims })
}

async fn of_volume(session: &Session, id: &VolumeId) -> Result<History, Failure> {
    match records::owner(session, id).await? {
        Some(slot) => of_slot(session, &slot).await,
        None => Err(Failure::Unknown(format!("{id} belongs to no slot on record"))),
    }
}

async fn of_instance(session: &Session, id: &InstanceId) -> Result<History, Failure> {
    let claims = claims(session, std::slice::from_ref(id)).await?;
    let Some(claim) = claims.first() else {
        return Err(Failure::Unknown(format!("{id} is not on record")));
    };
    let slot = match claim.slot().or(claim.last_slot.as_ref()) {
        Some(id) => records::slot(session, id).await?,
        None => None,
    };
    Ok(History { slot, claims })
}

async fn claims(session: &Session, instances: &[InstanceId]) -> Result<Vec<Claim>, Failure> {
    let keys: Vec<Key> = instances.iter().cloned().map(Key::Claim).collect();
    let mut found = session.ports.leases.read(&keys).await?;
    let claims = keys.iter().filter_map(|key| match found.remove(key) {
        Some(Record::Claim(claim)) => Some(claim),
        Some(_) | None => None,
    });
    Ok(claims.collect())
}

fn told(history: &History) -> String {
    let mut text = String::new();
    if let Some(slot) = &history.slot {
        let (id, zone, epoch) = (&slot.id, &slot.zone, slot.epoch);
        let state = words::slot_state(&slot.state);
        let _ = writeln!(
            text,
            "Slot {id} in {zone}: {state}; it has had {epoch} owners so far (its epoch)"
        );
        for volume in &slot.volumes {
            let came = match volume.origin {
                Origin::Adopted => "adopted; the volume was created",
                Origin::Created => "created blank for it",
            };
            let (id, name, at) = (&volume.volume, &volume.name, volume.created_at);
            let _ = writeln!(text, "  {id} ({name}): {came} {at}");
        }
        moment(&mut text, "last leased", slot.leased_at);
        moment(&mut text, "last released", slot.released_at);
        if !slot.reason.is_empty() {
            let _ = writeln!(text, "  reason: {}", slot.reason);
        }
        let holders: Vec<&str> = slot.recent_holders.iter().map(InstanceId::as_str).collect();
        if !holders.is_empty() {
            let _ = writeln!(text, "  last holders, latest first: {}", holders.join(", "));
        }
    }
    for claim in &history.claims {
        let _ = writeln!(text, "Instance {}", claim.instance);
        if let Some(action) = &claim.action {
            let transition = match action.transition {
                Transition::Launching => "launching",
                Transition::Terminating => "terminating",
            };
            let answer = claim.answered.map_or("not answered", |answer| answer.as_str());
            let (at, group) = (claim.taken_up(), &action.group);
            let _ = writeln!(
                text,
                "  last action: {transition}, of group {group}, taken up {at}: {answer}"
            );
        }
        let _ = writeln!(text, "  in its present state since {}", claim.since);
        if let Some(slot) = &claim.last_slot {
            let _ = writeln!(text, "  held last: {slot}");
        }
        if !claim.reason.is_empty() {
            let _ = writeln!(text, "  reason: {}", claim.reason);
        }
    }
    text
}

fn moment(text: &mut String, what: &str, at: Option<Timestamp>) {
    if let Some(at) = at {
        let _ = writeln!(text, "  {what} {at}");
    }
}

/// Where the rest is.
fn beyond(about: &str) -> String {
    format!(
        "The records keep no more than this. Each step with its reason is in the functions' logs (CloudWatch Logs Insights):\n\
         \x20 fields @timestamp, fields.instance_id, fields.slot, fields.steps, fields.result | filter @message like \"{about}\" | sort @timestamp\n"
    )
}

#[cfg(test)]
mod tests {
    use volume_pool::record::SlotState;

    use super::*;
    use crate::samples::slot;

    #[test]
    fn what_the_records_keep_of_a_slot_is_told_with_its_holders() {
        let mut claim = Claim::new("i-00000001".parse().unwrap());
        claim.last_slot = Some("cassandra-0".parse().unwrap());
        claim.reason = "the instance holds nothing".to_owned();
        let history = History { slot: Some(slot(SlotState::Free)), claims: vec![claim] };
        let expected = "\
Slot cassandra-0 in eu-central-1a: free; it has had 2 owners so far (its epoch)
  vol-00000001 (data): adopted; the volume was created 1970-01-01T00:00:01.000Z
  last leased 1970-01-01T00:00:02.000Z
  last released 1970-01-01T00:00:03.000Z
  reason: its reason
  last holders, latest first: i-00000001
Instance i-00000001
  in its present state since 1970-01-01T00:00:00.000Z
  held last: cassandra-0
  reason: the instance holds nothing
";
        assert_eq!(told(&history), expected);
    }
}
