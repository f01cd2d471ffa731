//! A group on a trial's cloud: made, watched, failed and emptied.

use std::collections::BTreeMap;

use end_to_end::GroupPlan;
use local_cloud::world::{LifecycleState, VolumeState, World};

use super::trial::Trial;
use super::{Failure, checks, ensure, problem, same};

/// The zone of stories with one zone.
pub(crate) const ZONE: &str = "eu-central-1a";
/// The pool and the group of every story.
pub(crate) const POOL: &str = "cassandra";
/// As long as can be: the cloud is fast, the functions are not, and no story is about heartbeats.
pub(crate) const HEARTBEAT_SECONDS: i32 = 7_200;

/// A policy with this leave mode.
pub(crate) fn leaving_by(mode: &str) -> String {
    format!(r#"{{"pool":"{POOL}","leave":{{"mode":"{mode}"}}}}"#)
}

impl Trial {
    /// Tagged volumes, one for each zone named, available.
    pub(crate) async fn volumes(&self, zones: &[&str]) -> Result<Vec<String>, Failure> {
        let mut made = Vec::new();
        for zone in zones {
            made.push(self.account.tagged_volume(POOL, zone).await?);
        }
        self.wait("the volumes to be available", |world| {
            made.iter().all(|volume| {
                let volume = world.volume(volume);
                volume.is_ok_and(|volume| volume.state == VolumeState::Available)
            })
        })
        .await?;
        Ok(made)
    }

    /// A volume without any tag, available.
    pub(crate) async fn untagged_volume(&self, zone: &str) -> Result<String, Failure> {
        let created = self.account.ec2.create_volume().availability_zone(zone).size(10);
        let id = created.send().await?.volume_id.ok_or("CreateVolume gave no id")?;
        self.wait("the volume to be available", |world| {
            world.volume(&id).is_ok_and(|volume| volume.state == VolumeState::Available)
        })
        .await?;
        Ok(id)
    }

    /// The group, with this policy.
    pub(crate) async fn group(
        &self,
        size: i32,
        zones: &[&str],
        policy: &str,
    ) -> Result<(), Failure> {
        let plan = GroupPlan {
            name: POOL,
            size,
            zones,
            metadata: Some(policy),
            heartbeat_seconds: HEARTBEAT_SECONDS,
        };
        self.account.create_group(&plan).await
    }

    /// Waits until so many instances are in service, none of them `gone`, and everything is at rest.
    pub(crate) async fn in_service(&self, size: usize, gone: Option<&str>) -> Result<(), Failure> {
        let what = format!("{size} instances in service");
        self.wait(&what, |world| {
            let serving = checks::serving(world);
            let left = members(world).len() == size;
            let replaced = gone.is_none_or(|gone| !serving.iter().any(|it| it == gone));
            serving.len() == size && left && replaced
        })
        .await?;
        self.settle().await
    }

    /// One tagged volume and one instance that holds it for each zone named.
    pub(crate) async fn stateful(&self, zones: &[&str], policy: &str) -> Result<(), Failure> {
        self.volumes(zones).await?;
        let distinct: std::collections::BTreeSet<&str> = zones.iter().copied().collect();
        let distinct: Vec<&str> = distinct.into_iter().collect();
        let size = i32::try_from(zones.len())?;
        self.group(size, &distinct, policy).await?;
        self.in_service(zones.len(), None).await
    }

    /// Fails one instance in service, and tells which.
    pub(crate) fn fail_one(&self) -> Result<String, Failure> {
        let serving = self.cloud.inspect(checks::serving);
        let failed = serving.into_iter().next().ok_or("nothing is in service")?;
        self.cloud.with_world(|world| world.fail_instance(&failed))?;
        Ok(failed)
    }

    /// Fails one instance, and waits until another serves in its place and everything is at rest.
    pub(crate) async fn replace_one(&self) -> Result<String, Failure> {
        let size = self.cloud.inspect(checks::serving).len();
        let failed = self.fail_one()?;
        self.in_service(size, Some(&failed)).await?;
        Ok(failed)
    }

    /// Which volumes each slot has, and the instance that holds them: what is held, whatever else is in the pool.
    pub(crate) async fn held_so_far(
        &self,
    ) -> Result<BTreeMap<String, (Vec<String>, String)>, Failure> {
        let slots = checks::slots(&self.records().await?);
        let held = slots.into_iter().filter_map(|slot| {
            let holder = slot.holder()?.to_string();
            Some((slot.id.to_string(), (checks::volumes(&slot), holder)))
        });
        Ok(held.collect())
    }

    /// Which volumes each slot has, and the instance that holds them: every volume of the pool, in service.
    pub(crate) async fn held(&self) -> Result<BTreeMap<String, (Vec<String>, String)>, Failure> {
        let records = self.records().await?;
        let mut held = BTreeMap::new();
        for slot in checks::slots(&records) {
            let holder = slot
                .holder()
                .ok_or_else(|| problem(format!("nobody holds {}: {}", slot.id, slot.reason)))?;
            let volumes = slot.volumes.iter();
            let volumes: Vec<String> = volumes.map(|volume| volume.volume.to_string()).collect();
            held.insert(slot.id.to_string(), (volumes, holder.to_string()));
        }
        let pool = self.account.pool(POOL).await?;
        for shown in &pool {
            let slot = shown.slot.as_deref().unwrap_or_default();
            let known = held.get(slot);
            ensure(
                known.is_some_and(|(volumes, holder)| {
                    volumes.contains(&shown.volume) && Some(holder) == shown.instance.as_ref()
                }),
                || format!("EC2 shows {shown:?}, on record is {held:?}"),
            )?;
        }
        same("volumes of the pool", &pool.len(), &held.len())?;
        Ok(held)
    }
}

/// The members of the group, whatever their state.
pub(crate) fn members(world: &World) -> Vec<(String, LifecycleState)> {
    let members = world.group(POOL).map(|group| group.members.clone());
    let members = members.unwrap_or_default().into_values();
    members.map(|member| (member.instance, member.state)).collect()
}
