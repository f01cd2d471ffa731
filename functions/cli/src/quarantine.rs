//! `quarantine`: sets a free slot apart, so that no launch gets it.

use clap::Args;
use volume_pool::ids::SlotId;
use volume_pool::record::SlotState;
use volume_pool::transition::drift;

use crate::consent::Consent;
use crate::failure::Failure;
use crate::session::Session;
use crate::{change, output};

/// Set a free slot apart: no launch gets it until it is reinstated. An alarm tells of it each minute.
///
/// A slot that an instance holds, or lets go of, is not taken from it: a slot leaves its holder only on evidence that its
/// volumes are detached.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The slot, as in cassandra-0.
    pub(crate) slot: SlotId,
    /// Why, for whoever comes upon it.
    #[arg(long, value_name = "TEXT", value_parser = reason)]
    pub(crate) reason: String,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Sets the slot apart.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let id = &arguments.slot;
    let (slot, _) = change::slot(session, id).await?;
    if slot.state == SlotState::Quarantined {
        return output::say(&format!("Slot {id} is set apart already: {}\n", slot.reason));
    }
    if slot.state == SlotState::Retired {
        return Err(Failure::Refused(format!("slot {id} is retired: nobody gets it")));
    }
    change::nobody_holds(&slot, "set apart")?;
    arguments.consent.ask(&format!(
        "This sets slot {id} in {} apart, so that no launch gets it until stateful-asg reinstate {id}: {}",
        slot.zone, arguments.reason
    ))?;
    change::commit(session, drift::set_apart(&slot, &arguments.reason)).await?;
    output::say(&format!("Slot {id} is set apart.\n"))
}

/// One line for people, in a record that has a limit.
fn reason(text: &str) -> Result<String, String> {
    let text = text.trim();
    if text.is_empty() || text.chars().count() > 500 || text.chars().any(char::is_control) {
        return Err("1 to 500 characters without control characters".to_owned());
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_of_text() {
        assert_eq!(reason(" disk errors "), Ok("disk errors".to_owned()));
        assert!(
            reason(" ").is_err() && reason("a\nb").is_err() && reason(&"x".repeat(501)).is_err()
        );
    }
}
