//! What EC2, Auto Scaling and Systems Manager refuse, with their own codes and wording. The codes are contract:
//! callers match them. Nothing here decides; it only names.

use thiserror::Error;

/// A refusal, as EC2, Auto Scaling or Systems Manager words it. Codes follow the page "Error codes for the Amazon EC2
/// API" and the service models of Auto Scaling (2011-01-01) and Systems Manager (2014-11-06).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ApiError {
    /// The operation is none that this cloud knows.
    #[error("The action {0} is not valid for this web service.")]
    InvalidAction(String),
    /// A parameter that the operation does not take, or that this cloud does not model.
    #[error("The parameter {0} is not recognized")]
    UnknownParameter(String),
    /// A required parameter is absent.
    #[error("The request must contain the parameter {0}")]
    MissingParameter(String),
    /// A value is out of range or malformed.
    #[error("{0}")]
    InvalidParameterValue(String),
    /// Parameters that do not go together.
    #[error("{0}")]
    InvalidParameterCombination(String),
    /// More requests to EC2 than the account may make.
    #[error("Request limit exceeded.")]
    RequestLimitExceeded,
    /// More requests to Auto Scaling than the account may make.
    #[error("Rate exceeded")]
    Throttling,
    /// What `DryRun` answers instead of acting.
    #[error("Request would have succeeded, but DryRun flag is set.")]
    DryRunOperation,
    /// `CreateVolume` in a zone that the region does not have.
    #[error("The zone '{0}' does not exist.")]
    ZoneNotFound(String),
    /// No such volume.
    #[error("The volume '{0}' does not exist.")]
    VolumeNotFound(String),
    /// No such volumes, in a call that names several.
    #[error("The volumes '{}' do not exist.", .0.join(", "))]
    VolumesNotFound(Vec<String>),
    /// The volume has an attachment already.
    #[error("{0} is already attached to an instance")]
    VolumeInUse(String),
    /// `CreateVolume` beyond what the account may have of a volume type.
    #[error(
        "You have exceeded your maximum {volume_type} storage limit of {limit_gib} GiB in this region."
    )]
    VolumeLimitExceeded {
        /// The volume type.
        volume_type: String,
        /// How much of it the account may have.
        limit_gib: u64,
    },
    /// A parameter that needs another one.
    #[error("{0}")]
    InvalidParameterDependency(String),
    /// `ModifyVolume` before the last modification is done.
    #[error("{0}")]
    IncorrectModificationState(String),
    /// `ModifyVolume` too often.
    #[error(
        "You've reached the maximum modification rate per volume limit. Wait at least 6 hours between modifications per EBS volume."
    )]
    VolumeModificationRateExceeded,
    /// A volume that was never modified.
    #[error("Modification for volume '{0}' does not exist.")]
    ModificationNotFound(String),
    /// `DeleteVolume` of an attached volume.
    #[error("Volume {volume} is currently attached to {instance}")]
    VolumeAttached {
        /// The volume that was to be deleted.
        volume: String,
        /// The instance that has it.
        instance: String,
    },
    /// Volume and instance lie in different zones.
    #[error("The volume '{volume}' is not in the same availability zone as instance '{instance}'")]
    ZoneMismatch {
        /// The volume that was to be attached.
        volume: String,
        /// The instance in the other zone.
        instance: String,
    },
    /// A resource is in a state that does not allow the call.
    #[error("{0}")]
    IncorrectState(String),
    /// An instance is in a state that does not allow the call (`StopInstances`, `StartInstances`).
    #[error("The instance '{instance}' is not in a state from which it can be {wanted}.")]
    IncorrectInstanceState {
        /// The instance.
        instance: String,
        /// `started` or `stopped`.
        wanted: &'static str,
    },
    /// The volume is attached, but not to the instance or device that was named.
    #[error("The volume '{volume}' is not attached to instance '{instance}'{device}.")]
    AttachmentNotFound {
        /// The volume.
        volume: String,
        /// The instance that the caller named.
        instance: String,
        /// ` as device '…'`, or nothing.
        device: String,
    },
    /// The device name is taken on that instance.
    #[error("Invalid value '{0}' for unixDevice. Attachment point {0} is already in use")]
    DeviceInUse(String),
    /// The instance has as many volumes as it can take.
    #[error("The maximum number of attachments has been reached for instance '{0}'.")]
    AttachmentLimitExceeded(String),
    /// A root volume of an instance that is not stopped.
    #[error("Unable to detach root volume '{volume}' from instance '{instance}'")]
    RootVolumeDetach {
        /// The root volume.
        volume: String,
        /// Its instance.
        instance: String,
    },
    /// No such instance (or several).
    #[error("The instance ID{} '{}' do{} not exist", plural(.0), .0.join(", "), if .0.len() == 1 { "es" } else { "" })]
    InstanceNotFound(Vec<String>),
    /// A text that is no instance id.
    #[error("Invalid id: \"{0}\" (expecting \"i-...\")")]
    InstanceMalformed(String),
    /// `TerminateInstances` or `StopInstances` of a protected instance, or another forbidden operation.
    #[error("{0}")]
    OperationNotPermitted(String),
    /// The call does not go with what the resource is (a one-time Spot instance, for example).
    #[error("{0}")]
    UnsupportedOperation(String),
    /// A client token came with other parameters than the first time, or its resource is gone.
    #[error("{0}")]
    IdempotentParameterMismatch(String),
    /// No such snapshot.
    #[error("The snapshot '{0}' does not exist.")]
    SnapshotNotFound(String),
    /// No such subnet.
    #[error("The subnet ID '{0}' does not exist")]
    SubnetNotFound(String),
    /// No such VPC.
    #[error("The vpc ID '{0}' does not exist")]
    VpcNotFound(String),
    /// A text that is no image id.
    #[error("Invalid id: \"{0}\" (expecting \"ami-...\")")]
    ImageMalformed(String),
    /// More tags than a resource can have.
    #[error("The maximum number of Tags for a resource has been reached.")]
    TagLimitExceeded,
    /// A resource id of no kind that can be tagged here.
    #[error("The ID '{0}' is not valid")]
    InvalidId(String),
    /// No launch template of that name.
    #[error("At least one of the launch templates specified in the request does not exist.")]
    TemplateNameNotFound,
    /// No launch template of that id.
    #[error("The specified launch template, with template ID {0}, does not exist.")]
    TemplateIdNotFound(String),
    /// A launch template has no such version.
    #[error(
        "Could not find the specified version {version} for the launch template with ID {template}."
    )]
    TemplateVersionNotFound {
        /// The template.
        template: String,
        /// The version that was asked for.
        version: String,
    },
    /// A launch template of that name exists.
    #[error("Launch template name already in use.")]
    TemplateNameExists,
    /// Auto Scaling's answer to everything that is wrong with a request.
    #[error("{0}")]
    Validation(String),
    /// A group of that name exists.
    #[error(
        "AutoScalingGroup by this name already exists - A group with the name {0} already exists"
    )]
    GroupExists(String),
    /// `DeleteAutoScalingGroup` of a group that has instances.
    #[error(
        "You cannot delete an AutoScalingGroup while there are instances or pending Spot instance request(s) still in the group."
    )]
    GroupInUse,
    /// `DeleteWarmPool` of a pool that has instances.
    #[error("You cannot delete a warm pool while there are instances still in it.")]
    WarmPoolInUse,
    /// More hooks than a group can have.
    #[error("{0}")]
    LimitExceeded(String),
    /// More filters, or more values of one, than a describe takes.
    #[error("The maximum number of {0} specified on a single call is {1}")]
    FilterLimitExceeded(&'static str, usize),
    /// An operation of a JSON service that this cloud does not know.
    #[error("this cloud does not know the operation {0}")]
    UnknownOperation(String),
    /// Systems Manager's answer to a malformed request.
    #[error("{0}")]
    SsmValidation(String),
    /// Systems Manager cannot send a command to these instances.
    #[error("Instances [[{}]] not in a valid state for account {account}", instances.join(", "))]
    InvalidInstanceId {
        /// The instances.
        instances: Vec<String>,
        /// The account.
        account: String,
    },
    /// One instance twice in a command.
    #[error("You can't specify a managed node ID in more than one association.")]
    DuplicateInstanceId,
    /// No document of that name.
    #[error("Document with name {0} does not exist.")]
    InvalidDocument(String),
    /// No such version of a document.
    #[error("The document version {0} is not valid or does not exist.")]
    InvalidDocumentVersion(String),
    /// Parameters that the document does not take.
    #[error("{0}")]
    InvalidParameters(String),
    /// A plugin that the document does not have.
    #[error("{0}")]
    InvalidPluginName(String),
    /// No such command.
    #[error("The specified command ID isn't valid.")]
    InvalidCommandId,
    /// No such command on that instance, or not yet to be seen.
    #[error("The command ID and managed node ID you specified didn't match any invocations.")]
    InvocationDoesNotExist,
    /// A group has one instance refresh at a time.
    #[error(
        "An Instance Refresh is already in progress and blocks the execution of this Instance Refresh."
    )]
    InstanceRefreshInProgress,
    /// No instance refresh of the group is at work.
    #[error("No in progress or pending Instance Refresh found for Auto Scaling group {0}")]
    ActiveInstanceRefreshNotFound(String),
    /// A page token that no describe gave out.
    #[error("The token '{0}' is invalid")]
    InvalidNextToken(String),
}

impl ApiError {
    /// The code as it stands on the wire.
    pub fn code(&self) -> &'static str {
        match self {
            Self::InvalidAction(_) => "InvalidAction",
            Self::UnknownParameter(_) => "UnknownParameter",
            Self::MissingParameter(_) => "MissingParameter",
            Self::InvalidParameterValue(_) | Self::DeviceInUse(_) => "InvalidParameterValue",
            Self::InvalidParameterCombination(_) => "InvalidParameterCombination",
            Self::InvalidParameterDependency(_) => "InvalidParameterDependency",
            Self::RequestLimitExceeded => "RequestLimitExceeded",
            Self::Throttling => "Throttling",
            Self::DryRunOperation => "DryRunOperation",
            Self::ZoneNotFound(_) => "InvalidZone.NotFound",
            Self::VolumeNotFound(_) | Self::VolumesNotFound(_) => "InvalidVolume.NotFound",
            Self::VolumeInUse(_) | Self::VolumeAttached { .. } => "VolumeInUse",
            Self::VolumeLimitExceeded { .. } => "VolumeLimitExceeded",
            Self::IncorrectModificationState(_) => "IncorrectModificationState",
            Self::VolumeModificationRateExceeded => "VolumeModificationRateExceeded",
            Self::ModificationNotFound(_) => "InvalidVolumeModification.NotFound",
            Self::ZoneMismatch { .. } => "InvalidVolume.ZoneMismatch",
            Self::IncorrectState(_) => "IncorrectState",
            Self::IncorrectInstanceState { .. } => "IncorrectInstanceState",
            Self::AttachmentNotFound { .. } => "InvalidAttachment.NotFound",
            Self::AttachmentLimitExceeded(_) => "AttachmentLimitExceeded",
            Self::RootVolumeDetach { .. } | Self::OperationNotPermitted(_) => {
                "OperationNotPermitted"
            }
            Self::InstanceNotFound(_) => "InvalidInstanceID.NotFound",
            Self::InstanceMalformed(_) => "InvalidInstanceID.Malformed",
            Self::UnsupportedOperation(_) => "UnsupportedOperation",
            Self::IdempotentParameterMismatch(_) => "IdempotentParameterMismatch",
            Self::SnapshotNotFound(_) => "InvalidSnapshot.NotFound",
            Self::SubnetNotFound(_) => "InvalidSubnetID.NotFound",
            Self::VpcNotFound(_) => "InvalidVpcID.NotFound",
            Self::ImageMalformed(_) => "InvalidAMIID.Malformed",
            Self::TagLimitExceeded => "TagLimitExceeded",
            Self::InvalidId(_) => "InvalidID",
            Self::TemplateNameNotFound => "InvalidLaunchTemplateName.NotFoundException",
            Self::TemplateIdNotFound(_) => "InvalidLaunchTemplateId.NotFound",
            Self::TemplateVersionNotFound { .. } => "InvalidLaunchTemplateId.VersionNotFound",
            Self::TemplateNameExists => "InvalidLaunchTemplateName.AlreadyExistsException",
            Self::Validation(_) => "ValidationError",
            Self::GroupExists(_) => "AlreadyExists",
            Self::GroupInUse | Self::WarmPoolInUse => "ResourceInUse",
            Self::LimitExceeded(_) => "LimitExceeded",
            Self::InstanceRefreshInProgress => "InstanceRefreshInProgress",
            Self::ActiveInstanceRefreshNotFound(_) => "ActiveInstanceRefreshNotFound",
            Self::FilterLimitExceeded(..) => "FilterLimitExceeded",
            Self::UnknownOperation(_) => "UnknownOperationException",
            Self::SsmValidation(_) => "ValidationException",
            Self::InvalidInstanceId { .. } => "InvalidInstanceId",
            Self::DuplicateInstanceId => "DuplicateInstanceId",
            Self::InvalidDocument(_) => "InvalidDocument",
            Self::InvalidDocumentVersion(_) => "InvalidDocumentVersion",
            Self::InvalidParameters(_) => "InvalidParameters",
            Self::InvalidPluginName(_) => "InvalidPluginName",
            Self::InvalidCommandId => "InvalidCommandId",
            Self::InvocationDoesNotExist => "InvocationDoesNotExist",
            Self::InvalidNextToken(_) => "InvalidNextToken",
        }
    }

    /// The message as it stands on the wire.
    pub fn message(&self) -> String {
        self.to_string()
    }

    /// The HTTP status that carries it.
    pub fn status(&self) -> u16 {
        match self {
            Self::DryRunOperation => 412,
            Self::RequestLimitExceeded => 503,
            _ => 400,
        }
    }
}

fn plural(ids: &[String]) -> &'static str {
    if ids.len() == 1 { "" } else { "s" }
}
