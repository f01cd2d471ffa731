//! `allow-format`: lets an instance format a slot's blank volumes once more.

use clap::Args;
use volume_pool::ids::{InstanceId, SlotId};
use volume_pool::observation::LifecycleState;
use volume_pool::ports::LifecycleActions as _;
use volume_pool::record::{Claim, Format, Origin, Slot, SlotState};
use volume_pool::transition::{Transaction, person};

use crate::consent::Consent;
use crate::failure::Failure;
use crate::session::Session;
use crate::{change, output, records};

/// Let the next launch with a slot format its volumes again, where they read blank there.
///
/// For a slot whose volumes were created blank and have stayed so, because its first node was lost before it formatted them or
/// could not. The right ends, as ever, with the first release after a completed launch. Volumes that were adopted, or come from a
/// snapshot, are never formatted. Refused for a slot that an instance holds, unless that is still launching.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The slot, as in cassandra-0.
    pub(crate) slot: SlotId,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Grants the right.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let id = &arguments.slot;
    let (slot, _) = change::slot(session, id).await?;
    refuse(&slot)?;
    if slot.format != Format::Over {
        return output::say(&format!("Slot {id} may be formatted already.\n"));
    }
    let launching = match slot.holder() {
        Some(holder) => Some(launching(session, holder, &slot).await?),
        None => None,
    };
    arguments.consent.ask_by_name(&warning(&slot), &id.to_string())?;
    let granted = granted(session, &slot, launching.as_ref());
    change::commit(session, granted).await?;
    output::say(&match slot.holder() {
        Some(holder) => format!(
            "Slot {id} may be formatted. {holder} is told so by its tags within a minute; if its mount unit has failed already, \
             restart that, or the instance.\n"
        ),
        None => format!("Slot {id} may be formatted by the next launch that gets it.\n"),
    })
}

fn granted(session: &Session, slot: &Slot, launching: Option<&Claim>) -> Option<Transaction> {
    match launching {
        Some(claim) => person::allow_format_to(claim, slot, session.now()),
        None => person::allow_format(slot, "a person has allowed it to be formatted again"),
    }
}

/// The claim of the holder, if its launch still waits: by the records, and after that by Auto Scaling.
async fn launching(session: &Session, holder: &InstanceId, slot: &Slot) -> Result<Claim, Failure> {
    let claim = records::claim(session, holder).await?;
    let member = session.ports.actions.group_instance(holder).await?;
    let waits = member.is_some_and(|member| member.state == LifecycleState::PendingWait);
    if let Some(claim) = claim.filter(|it| waits && granted(session, slot, Some(it)).is_some()) {
        return Ok(claim);
    }
    let (id, pool) = (&slot.id, &slot.id.pool);
    Err(Failure::Refused(format!(
        "slot {id} is held by {holder}, whose launch is completed or being completed just now: nobody may begin to format what an \
         instance has in service. To format it there by hand is yours to decide; or have the slot come free: \
         stateful-asg pause {pool}, have {holder} terminated by way of its group, run this again once the slot is free, \
         stateful-asg resume {pool}"
    )))
}

/// Whatever the instance, what keeps the slot from being formatted ever, or now.
fn refuse(slot: &Slot) -> Result<(), Failure> {
    let id = &slot.id;
    let refused = match &slot.state {
        SlotState::Creating { claimant, .. } => {
            format!("slot {id} is being created for {claimant}, which may format it once it exists")
        }
        SlotState::Releasing { holder } => {
            format!("slot {id} is being released by {holder}; wait until it is free")
        }
        SlotState::Quarantined => format!(
            "slot {id} is set apart ({}); look at it, give it back (stateful-asg reinstate {id}), and run this again",
            slot.reason
        ),
        SlotState::Retired => format!("slot {id} is retired: nobody gets it"),
        SlotState::Free | SlotState::Leased { .. } => {
            if slot.volumes.iter().any(|volume| volume.origin == Origin::Created) {
                return Ok(());
            }
            format!(
                "no volume of slot {id} was created blank for it, as far as is on record: they were adopted or come from a snapshot, \
                 hold data for all that is known, and are never formatted from here. If there is nothing on them to save, format \
                 them by hand on an instance"
            )
        }
    };
    Err(Failure::Refused(refused))
}

fn warning(slot: &Slot) -> String {
    let id = &slot.id;
    let blank = slot.volumes.iter().filter(|volume| volume.origin == Origin::Created);
    let blank: Vec<&str> = blank.map(|volume| volume.volume.as_str()).collect();
    let whose = slot.holder().map_or_else(
        || "the next launch that gets it".to_owned(),
        |holder| format!("{holder}, which is launching"),
    );
    let used = slot.leased_at.map_or_else(
        || "No instance has held it so far.".to_owned(),
        |at| {
            let last = slot.recent_holders.first();
            let by = last.map(|last| format!(" by {last}")).unwrap_or_default();
            format!("It was last leased {at}{by}: be certain that nothing was written to it then.")
        },
    );
    format!(
        "This lets {whose} format the volumes of slot {id} in {} ({}), if they read blank there: no filesystem or other signature, and \
         zeros at each place that is looked at. {used}",
        slot.zone,
        blank.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use volume_pool::record::SlotVolume;

    use super::*;
    use crate::samples::slot;

    fn created(state: SlotState) -> Slot {
        let adopted = slot(state);
        let volumes = adopted.volumes.into_iter();
        let volumes = volumes.map(|volume| SlotVolume { origin: Origin::Created, ..volume });
        Slot { volumes: volumes.collect(), ..adopted }
    }

    fn refusal(slot: &Slot) -> String {
        refuse(slot).err().map(|failure| failure.to_string()).unwrap_or_default()
    }

    #[test]
    fn what_was_adopted_is_never_formatted_whoever_asks() {
        let holder: InstanceId = "i-00000001".parse().unwrap();
        for state in [SlotState::Free, SlotState::Leased { holder }] {
            assert!(refusal(&slot(state.clone())).contains("never formatted from here"));
            assert_eq!(refusal(&created(state)), "");
        }
    }

    #[test]
    fn a_slot_that_is_nobodys_to_format_now_is_refused_with_what_to_do() {
        let holder: InstanceId = "i-00000001".parse().unwrap();
        let creating = SlotState::Creating { claimant: holder.clone(), planned: Vec::new() };
        for (state, says) in [
            (creating, "which may format it once it exists"),
            (SlotState::Releasing { holder }, "wait until it is free"),
            (SlotState::Quarantined, "stateful-asg reinstate cassandra-0"),
            (SlotState::Retired, "is retired"),
        ] {
            let told = refusal(&created(state));
            assert!(told.contains(says), "{told}");
        }
    }

    #[test]
    fn the_warning_says_which_volumes_and_that_they_were_in_use() {
        let told = warning(&created(SlotState::Free));
        assert!(told.contains("(vol-00000001)"), "{told}");
        assert!(told.contains("last leased 1970-01-01T00:00:02.000Z by i-00000001"), "{told}");
        let fresh = Slot { leased_at: None, ..created(SlotState::Free) };
        assert!(warning(&fresh).contains("No instance has held it so far."));
    }
}
