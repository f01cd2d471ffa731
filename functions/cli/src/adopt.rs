//! `adopt`: gives volumes to a pool, by the tag that the functions adopt them by.

use std::collections::BTreeMap;

use clap::Args;
use volume_pool::ids::{PoolName, SlotId, VolumeId, VolumeName};
use volume_pool::observation::{Volume, tags};
use volume_pool::ports::{LeaseStore as _, Volumes as _};
use volume_pool::record::{Key, Record};

use crate::consent::Consent;
use crate::failure::Failure;
use crate::session::Session;
use crate::{output, words};

/// Give volumes to a pool: they are tagged for it, and become slots when a launch needs them.
///
/// Each must be available, without Multi-Attach, and belong to no slot. Where the slots of a pool have several volumes, give the
/// volumes of one name at a time, with --name.
#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The volumes.
    #[arg(required = true, value_name = "VOLUME")]
    pub(crate) volumes: Vec<VolumeId>,
    /// The pool.
    #[arg(long)]
    pub(crate) pool: PoolName,
    /// What the volumes are called in their slots [default: the only volume of the policy].
    #[arg(long)]
    pub(crate) name: Option<VolumeName>,
    #[command(flatten)]
    pub(crate) consent: Consent,
}

/// Tags the volumes.
pub(crate) async fn run(session: &Session, arguments: &Arguments) -> Result<(), Failure> {
    let Arguments { volumes, pool, name, consent } = arguments;
    let ports = &session.ports;
    let keys: Vec<Key> = volumes.iter().cloned().map(Key::Volume).collect();
    let owners = ports.leases.read(&keys).await?;
    let shown = ports.volumes.volumes(volumes).await?;
    for id in volumes {
        let owner = match owners.get(&Key::Volume(id.clone())) {
            Some(Record::Volume(owner)) => Some(&owner.slot),
            Some(_) | None => None,
        };
        fit(id, shown.get(id), owner, pool).map_err(Failure::Refused)?;
    }
    let mut given = BTreeMap::from([(tags::POOL.to_owned(), pool.to_string())]);
    given.extend(name.as_ref().map(|name| (tags::VOLUME.to_owned(), name.to_string())));
    let tags: Vec<String> = given.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let ids: Vec<&str> = volumes.iter().map(VolumeId::as_str).collect();
    consent.ask(&format!(
        "This tags {} with {}. A launch for pool {pool} that finds no free slot in their zone makes slots of them, with the data that is \
         on them.",
        ids.join(", "),
        tags.join(" and "),
    ))?;
    for id in volumes {
        ports.volumes.tag(id.as_str(), &given).await?.map_err(|refusal| {
            Failure::Refused(format!(
                "EC2 does not tag {id}: {refusal}; those before it are tagged"
            ))
        })?;
    }
    output::say("Tagged. stateful-asg status shows them until they are slots.\n")
}

/// Whether the volume can become a slot of the pool.
fn fit(
    id: &VolumeId,
    shown: Option<&Volume>,
    owner: Option<&SlotId>,
    pool: &PoolName,
) -> Result<(), String> {
    if let Some(slot) = owner {
        return Err(format!("{id} belongs to slot {slot} already; nothing was tagged"));
    }
    let Some(shown) = shown else {
        return Err(format!(
            "EC2 does not know {id}; check the id and --region; nothing was tagged"
        ));
    };
    if let Some(other) = shown.tags.get(tags::POOL).filter(|other| *other != pool.as_str()) {
        return Err(format!(
            "{id} is tagged for pool {other}; remove that tag first; nothing was tagged"
        ));
    }
    if let Some(slot) = shown.tags.get(tags::SLOT) {
        return Err(format!(
            "{id} carries the tag {}={slot}, as a copy of that slot's volume does; remove the tags {} and {} to have it adopted as \
             a slot of its own; nothing was tagged",
            tags::SLOT,
            tags::SLOT,
            tags::LEASE,
        ));
    }
    if shown.multi_attach {
        return Err(format!(
            "{id} has Multi-Attach enabled, so EC2 would not keep two holders apart; nothing was tagged"
        ));
    }
    if !shown.is_available() {
        return Err(format!(
            "EC2 shows {id} {}; only an available volume is given to a pool (what instances in service hold is enrolled with their \
             group); nothing was tagged",
            words::volume(Some(shown), None)
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::{attached_to, volume};

    fn tagged(key: &str, value: &str) -> Volume {
        Volume { tags: BTreeMap::from([(key.to_owned(), value.to_owned())]), ..volume() }
    }

    fn refusal(shown: Option<&Volume>, owner: Option<&SlotId>) -> String {
        let id = "vol-00000001".parse().unwrap();
        fit(&id, shown, owner, &"cassandra".parse().unwrap()).err().unwrap_or_default()
    }

    #[test]
    fn what_is_available_and_nobodys_is_given_to_a_pool() {
        assert_eq!(refusal(Some(&volume()), None), "");
        assert_eq!(refusal(Some(&tagged("stateful-asg:pool", "cassandra")), None), "");
    }

    #[test]
    fn everything_else_is_refused_with_what_to_do() {
        let slot = "cassandra-0".parse().unwrap();
        assert!(refusal(Some(&volume()), Some(&slot)).contains("belongs to slot cassandra-0"));
        assert!(refusal(None, None).contains("EC2 does not know vol-00000001"));
        assert!(refusal(Some(&tagged("stateful-asg:pool", "kafka")), None).contains("pool kafka"));
        let copy = tagged("stateful-asg:slot", "cassandra-0");
        assert!(refusal(Some(&copy), None).contains("as a copy of that slot's volume does"));
        let shared = Volume { multi_attach: true, ..volume() };
        assert!(refusal(Some(&shared), None).contains("Multi-Attach"));
        assert!(refusal(Some(&attached_to("i-00000001")), None).contains("attached to i-00000001"));
    }
}
