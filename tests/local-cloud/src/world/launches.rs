//! How instances come to be: what they are made from, and `RunInstances`.

use super::World;
use super::attachments::AttachmentState;
use super::errors::ApiError;
use super::events::Subject;
use super::instances::{Instance, InstanceState, StatusChecks};
use super::tags::{Tags, check_tags};
use super::templates::TemplateReference;
use super::volume_types::VolumeSpecification;
use super::volumes::{Volume, VolumeState};

/// How an instance was bought.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Market {
    /// On demand.
    #[default]
    OnDemand,
    /// A one-time Spot request: it cannot be stopped.
    Spot,
}

/// A volume that is made with the instance.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockDevice {
    /// The device name.
    pub device: String,
    /// What kind of volume.
    pub specification: VolumeSpecification,
    /// Whether terminating the instance deletes it: at launch that is the default.
    pub delete_on_termination: bool,
}

/// What an instance is made from: the part that `RunInstances` and launch templates share.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LaunchSpecification {
    /// The image.
    pub image_id: Option<String>,
    /// The instance type.
    pub instance_type: Option<String>,
    /// The key pair's name.
    pub key_name: Option<String>,
    /// The user data, as given (base64).
    pub user_data: Option<String>,
    /// The instance profile's name or ARN.
    pub instance_profile: Option<String>,
    /// Security groups.
    pub security_groups: Vec<String>,
    /// Volumes made with it.
    pub block_devices: Vec<BlockDevice>,
    /// Tags for the instance.
    pub instance_tags: Tags,
    /// Tags for the volumes made with it.
    pub volume_tags: Tags,
    /// How it is bought.
    pub market: Market,
    /// Whether its metadata service gives its tags (`InstanceMetadataTags`).
    pub metadata_tags: Option<MetadataTags>,
}

/// Whether an instance can read its own tags from its metadata service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetadataTags {
    /// It can.
    Enabled,
    /// It cannot, which is the default.
    Disabled,
}

impl MetadataTags {
    /// As the API writes it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Enabled => "enabled",
            Self::Disabled => "disabled",
        }
    }

    /// What that text means.
    pub fn parse(text: &str) -> Result<Self, ApiError> {
        match text {
            "enabled" => Ok(Self::Enabled),
            "disabled" => Ok(Self::Disabled),
            other => Err(ApiError::InvalidParameterValue(format!(
                "Value ({other}) for parameter MetadataOptions.InstanceMetadataTags is invalid."
            ))),
        }
    }

    /// Refuses tags that the metadata service could not give: it makes paths of their keys (Amazon EC2 User Guide, "View tags
    /// for your EC2 instances using instance metadata").
    fn check(tags: &Tags) -> Result<(), ApiError> {
        let plain = |it: char| it.is_ascii_alphanumeric() || "-_+=,.@:".contains(it);
        let carried = |key: &str| !matches!(key, "." | ".." | "_index") && key.chars().all(plain);
        match tags.keys().find(|key| !carried(key)) {
            None => Ok(()),
            Some(key) => Err(ApiError::InvalidParameterValue(format!(
                "'{key}' is not a valid tag key. Tag keys must match pattern ([0-9a-zA-Z\\-_+=,.@:]{{1,255}}), and must \
                 not be a reserved name ('.', '..', '_index')"
            ))),
        }
    }
}

impl LaunchSpecification {
    /// This specification, completed by what `base` says: lists are taken whole, tags are joined.
    fn over(self, base: Self) -> Self {
        let whole = |own: Vec<String>, other| if own.is_empty() { other } else { own };
        let mut instance_tags = base.instance_tags;
        instance_tags.extend(self.instance_tags);
        let mut volume_tags = base.volume_tags;
        volume_tags.extend(self.volume_tags);
        Self {
            image_id: self.image_id.or(base.image_id),
            instance_type: self.instance_type.or(base.instance_type),
            key_name: self.key_name.or(base.key_name),
            user_data: self.user_data.or(base.user_data),
            instance_profile: self.instance_profile.or(base.instance_profile),
            security_groups: whole(self.security_groups, base.security_groups),
            block_devices: if self.block_devices.is_empty() {
                base.block_devices
            } else {
                self.block_devices
            },
            instance_tags,
            volume_tags,
            market: if self.market == Market::Spot { self.market } else { base.market },
            metadata_tags: self.metadata_tags.or(base.metadata_tags),
        }
    }
}

/// The input of `RunInstances`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunInstances {
    /// A launch template to begin with.
    pub template: Option<TemplateReference>,
    /// What to make it from; it goes before what the template says.
    pub specification: LaunchSpecification,
    /// The fewest to launch. This cloud never runs short, so it launches `max_count`.
    pub min_count: u32,
    /// The most to launch.
    pub max_count: u32,
    /// The zone. Without one, and without a subnet, the region's first.
    pub zone: Option<String>,
    /// The subnet.
    pub subnet: Option<String>,
    /// Makes the call idempotent.
    pub client_token: Option<String>,
}

/// The device name of every image's root volume here, as on Amazon Linux.
pub(super) const ROOT_DEVICE: &str = "/dev/xvda";

impl World {
    /// `RunInstances`.
    pub fn run_instances(&mut self, request: RunInstances) -> Result<Vec<Instance>, ApiError> {
        if let Some((known, ids)) =
            request.client_token.as_ref().and_then(|token| self.instance_tokens.get(token))
        {
            if *known != request {
                return Err(ApiError::IdempotentParameterMismatch(
                    "Arguments on this idempotent request are inconsistent with arguments used in \
                     previous request(s)."
                        .to_owned(),
                ));
            }
            return Ok(ids.iter().filter_map(|id| self.instances.get(id)).cloned().collect());
        }
        if request.min_count == 0 || request.max_count < request.min_count {
            return Err(ApiError::InvalidParameterValue(format!(
                "Invalid value '{}' for MinCount or MaxCount.",
                request.min_count
            )));
        }
        let (zone, subnet) = self.place(request.zone.as_deref(), request.subnet.as_deref())?;
        let mut specification = request.specification.clone();
        if let Some(reference) = &request.template {
            let version = self.template(reference)?.version(reference.version.as_deref())?;
            specification = specification.over(version.specification.clone());
        }
        check_tags(&specification.instance_tags)?;
        check_tags(&specification.volume_tags)?;
        let reservation = self.new_id("r");
        let mut launched = Vec::new();
        for launch_index in 0..request.max_count {
            let instance = self.launch(&specification, &zone, &subnet)?;
            if let Some(found) = self.instances.get_mut(&instance, self.now) {
                found.launch_index = launch_index;
                found.reservation.clone_from(&reservation);
                found.client_token.clone_from(&request.client_token);
                launched.push(found.clone());
            }
        }
        if let Some(token) = request.client_token.clone() {
            let ids = launched.iter().map(|it| it.id.clone()).collect();
            self.instance_tokens.insert(token, (request, ids));
        }
        Ok(launched)
    }

    /// Makes one instance in a zone that has been checked, with its volumes.
    pub(super) fn launch(
        &mut self,
        specification: &LaunchSpecification,
        zone: &str,
        subnet: &str,
    ) -> Result<String, ApiError> {
        let image_id = specification
            .image_id
            .clone()
            .ok_or_else(|| ApiError::MissingParameter("ImageId".to_owned()))?;
        super::places::check_image_id(&image_id)?;
        if specification.metadata_tags == Some(MetadataTags::Enabled) {
            MetadataTags::check(&specification.instance_tags)?;
        }
        let devices = with_root(&specification.block_devices);
        let mut volumes = Vec::new();
        for device in &devices {
            let id = self.new_id("vol");
            let volume = self.specified(&id, zone, &device.specification)?;
            let tags = specification.volume_tags.clone();
            volumes.push(Volume { tags, state: VolumeState::InUse, ..volume });
        }
        let id = self.new_id("i");
        let host = self.rng.u16(1024..);
        let instance = Instance {
            id: id.clone(),
            reservation: self.new_id("r"),
            launch_index: 0,
            client_token: None,
            image_id,
            instance_type: specification
                .instance_type
                .clone()
                .unwrap_or_else(|| "m1.small".to_owned()),
            key_name: specification.key_name.clone(),
            instance_profile: specification.instance_profile.clone(),
            security_groups: specification.security_groups.clone(),
            user_data: specification.user_data.clone(),
            zone: zone.to_owned(),
            subnet: subnet.to_owned(),
            private_ip: format!("172.31.{}.{}", host >> 8, host & 255),
            market: specification.market,
            root_device: ROOT_DEVICE.to_owned(),
            state: InstanceState::Pending,
            state_reason: None,
            status_checks: StatusChecks::Ok,
            termination_protected: false,
            launched_at: self.now,
            tags: specification.instance_tags.clone(),
            metadata_tags: specification.metadata_tags.unwrap_or(MetadataTags::Disabled),
            generation: 0,
        };
        self.instances.insert(&id, instance, self.now);
        for (volume, device) in volumes.into_iter().zip(&devices) {
            let volume_id = volume.id.clone();
            self.volumes.insert(&volume_id, volume, self.now);
            self.place_attachment(&volume_id, &id, &device.device, AttachmentState::Attached);
            self.set_delete_flag(&volume_id, device.delete_on_termination);
        }
        self.happened(Subject::instance(&id), format!("{id} is launched in {zone}"));
        self.set_instance_state(&id, InstanceState::Pending);
        Ok(id)
    }

    /// Whether termination deletes a volume, on each of its attachments.
    pub(super) fn set_delete_flag(&mut self, volume: &str, delete: bool) {
        if let Some(found) = self.volumes.get_mut(volume, self.now) {
            for it in &mut found.attachments {
                it.delete_on_termination = delete;
            }
        }
    }
}

/// The block devices with a root volume among them: an image brings one of 8 GiB.
fn with_root(devices: &[BlockDevice]) -> Vec<BlockDevice> {
    let image_root = VolumeSpecification {
        size_gib: Some(8),
        volume_type: Some("gp3".to_owned()),
        ..VolumeSpecification::default()
    };
    let mut devices = devices.to_vec();
    match devices.iter_mut().find(|it| it.device == ROOT_DEVICE) {
        Some(root) => {
            root.specification.size_gib = root.specification.size_gib.or(image_root.size_gib);
            if root.specification.volume_type.is_none() {
                root.specification.volume_type = image_root.volume_type;
            }
        }
        None => devices.insert(
            0,
            BlockDevice {
                device: ROOT_DEVICE.to_owned(),
                specification: image_root,
                delete_on_termination: true,
            },
        ),
    }
    devices
}
