//! Snapshots of volumes: taken at once, copied for a while, and good for new volumes in any zone once that is done.

use volume_pool::Timestamp;

use super::World;
use super::due::Due;
use super::errors::ApiError;
use super::events::Subject;
use super::filters::{Filter, Filtered, Page, PageRequest, check_ec2, passes};
use super::tags::{Tags, check_tags};
use super::volumes::VolumeState;

/// How far a snapshot is (`SnapshotState`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SnapshotState {
    /// Its content is fixed, and being copied.
    Pending,
    /// Volumes can be made from it.
    Completed,
}

impl SnapshotState {
    /// The state as the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Completed => "completed",
        }
    }

    /// How much of it is there. Only its ends are known here.
    pub fn progress(self) -> &'static str {
        match self {
            Self::Pending => "0%",
            Self::Completed => "100%",
        }
    }
}

/// The input of `CreateSnapshot`. It takes no client token: asked twice, EC2 makes two.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CreateSnapshot {
    /// The volume.
    pub volume: String,
    /// A text for people.
    pub description: String,
    /// Tags, set in the same call.
    pub tags: Tags,
}

/// A snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Its id.
    pub id: String,
    /// The volume that it was taken of.
    pub volume: String,
    /// The size of that volume in GiB.
    pub size_gib: u32,
    /// Whether it is encrypted, as its volume.
    pub encrypted: bool,
    /// The ARN of the key that encrypts it.
    pub kms_key_id: Option<String>,
    /// How far it is.
    pub state: SnapshotState,
    /// When it was taken.
    pub started_at: Timestamp,
    /// A text for people.
    pub description: String,
    /// Its tags.
    pub tags: Tags,
}

impl Filtered for Snapshot {
    const NAMES: &'static [&'static str] = &[
        "description",
        "encrypted",
        "progress",
        "snapshot-id",
        "status",
        "volume-id",
        "volume-size",
    ];

    fn values_of(&self, name: &str) -> Vec<String> {
        match name {
            "description" => vec![self.description.clone()],
            "encrypted" => vec![self.encrypted.to_string()],
            "progress" => vec![self.state.progress().to_owned()],
            "snapshot-id" => vec![self.id.clone()],
            "status" => vec![self.state.as_str().to_owned()],
            "volume-id" => vec![self.volume.clone()],
            "volume-size" => vec![self.size_gib.to_string()],
            _ => Vec::new(),
        }
    }

    fn tags(&self) -> &Tags {
        &self.tags
    }
}

impl World {
    /// `CreateSnapshot`: of a volume that is available or in use.
    pub fn create_snapshot(&mut self, request: CreateSnapshot) -> Result<Snapshot, ApiError> {
        check_tags(&request.tags)?;
        let CreateSnapshot { volume, description, tags } = request;
        let found = self.volume(&volume)?;
        if !matches!(found.state, VolumeState::Available | VolumeState::InUse) {
            return Err(ApiError::IncorrectState(format!(
                "The volume '{volume}' is in the '{}' state.",
                found.state.as_str()
            )));
        }
        let (size_gib, encrypted, kms_key_id) =
            (found.size_gib, found.encrypted, found.kms_key_id.clone());
        let id = self.new_id("snap");
        let (state, started_at) = (SnapshotState::Pending, self.now);
        let text = format!("snapshot {id} is taken of volume {volume}");
        self.happened(Subject::volume(&volume), text);
        self.schedule(self.config.timings.snapshot, Due::SnapshotCompleted(id.clone()));
        let snapshot = Snapshot {
            id: id.clone(),
            volume,
            size_gib,
            encrypted,
            kms_key_id,
            state,
            started_at,
            description,
            tags,
        };
        self.snapshots.insert(id, snapshot.clone());
        Ok(snapshot)
    }

    /// `DescribeSnapshots`, of the account's own.
    pub fn describe_snapshots(
        &self,
        ids: &[String],
        filters: &[Filter],
        page: &PageRequest,
    ) -> Result<Page<Snapshot>, ApiError> {
        check_ec2::<Snapshot>(filters)?;
        for id in ids {
            self.snapshot(id)?;
        }
        let found = self
            .snapshots
            .values()
            .filter(|snapshot| ids.is_empty() || ids.contains(&snapshot.id))
            .filter(|snapshot| passes(*snapshot, filters))
            .cloned()
            .collect();
        page.cut(found, self.config.page_limit, |snapshot: &Snapshot| snapshot.id.clone())
    }

    /// All snapshots.
    pub fn snapshots(&self) -> impl ExactSizeIterator<Item = &Snapshot> {
        self.snapshots.values()
    }

    pub(super) fn snapshot(&self, id: &str) -> Result<&Snapshot, ApiError> {
        self.snapshots.get(id).ok_or_else(|| ApiError::SnapshotNotFound(id.to_owned()))
    }

    /// The snapshot, if a volume can be made from it.
    pub(super) fn completed_snapshot(&self, id: &str) -> Result<&Snapshot, ApiError> {
        let snapshot = self.snapshot(id)?;
        match snapshot.state {
            SnapshotState::Completed => Ok(snapshot),
            SnapshotState::Pending => Err(ApiError::IncorrectState(format!(
                "Snapshot is in invalid state - pending: '{id}'"
            ))),
        }
    }

    pub(super) fn snapshot_completed(&mut self, id: &str) {
        let Some(snapshot) = self.snapshots.get_mut(id) else {
            return;
        };
        snapshot.state = SnapshotState::Completed;
        let volume = snapshot.volume.clone();
        self.happened(Subject::volume(&volume), format!("snapshot {id} is completed"));
    }
}
