//! What an error of the SDK means to the caller. The only place that looks at one.
//!
//! EC2 and Auto Scaling model hardly any of their errors, so those are told apart by code, and by message where one
//! code stands for several things. What is not known here is never taken for an answer: it is passed on in AWS's
//! words.

use std::error::Error;

use aws_sdk_dynamodb::error::{DisplayErrorContext, ErrorMetadata, ProvideErrorMetadata, SdkError};
use aws_sdk_dynamodb::operation::create_table::CreateTableError;
use aws_sdk_dynamodb::operation::transact_write_items::TransactWriteItemsError;
use aws_sdk_dynamodb::operation::update_item::UpdateItemError;
use aws_sdk_dynamodb::types::CancellationReason;
use aws_sdk_dynamodb::types::error::{
    ProvisionedThroughputExceededException, RequestLimitExceeded, ThrottlingException,
};
use volume_pool::ports::{Answer, PortError, Refusal};

/// Codes that say: not so many at a time. Throttling has a code of its own in each service ("Error codes for the Amazon
/// EC2 API", "Common Errors" of Auto Scaling and of DynamoDB).
const THROTTLING_CODES: &[&str] = &[
    "BandwidthLimitExceeded",
    "EC2ThrottledException",
    "LimitExceededException",
    "PriorRequestNotComplete",
    "ProvisionedThroughputExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottledException",
    "ThrottlingException",
    "TooManyRequestsException",
];

/// Codes that say: later, for another reason.
const TRANSIENT_CODES: &[&str] = &[
    "InternalError",
    "InternalFailure",
    "InternalServerError",
    "ReplicatedWriteConflictException",
    "RequestTimeout",
    "RequestTimeoutException",
    "ResourceContention",
    "ResourceContentionFault",
    "ServiceUnavailable",
    "TransactionConflictException",
    "TransactionInProgressException",
    "Unavailable",
];

/// Codes that say: not you, or not like this, until a person changes something.
const DENIED_CODES: &[&str] = &[
    "AccessDenied",
    "AccessDeniedException",
    "AuthFailure",
    "Blocked",
    "ExpiredToken",
    "ExpiredTokenException",
    "IncompleteSignature",
    "IncompleteSignatureException",
    "InvalidClientTokenId",
    "InvalidSignatureException",
    "MissingAuthenticationToken",
    "MissingAuthenticationTokenException",
    "NotAuthorized",
    "OptInRequired",
    "PendingVerification",
    "RequestExpired",
    "SignatureDoesNotMatch",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
];

/// What an error comes down to.
enum Meaning {
    /// It may work later, and may have taken effect.
    Transient(String),
    /// A person must change something.
    Denied(String),
    /// AWS understood the call and says no, and in what words.
    Refused(Refusal, String),
}

/// The answer to a call that changes something.
pub(crate) fn answer<T, E>(
    call: &'static str,
    result: Result<T, SdkError<E>>,
) -> Result<Answer, PortError>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    Ok(reply(call, result)?.map(drop))
}

/// The same, where what AWS replies matters.
pub(crate) fn reply<T, E>(
    call: &'static str,
    result: Result<T, SdkError<E>>,
) -> Result<Result<T, Refusal>, PortError>
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let error = match result {
        Ok(reply) => return Ok(Ok(reply)),
        Err(error) => error,
    };
    match meaning(&error) {
        Meaning::Transient(problem) => Err(PortError::Transient { call, problem }),
        Meaning::Denied(problem) => Err(PortError::Denied { call, problem }),
        Meaning::Refused(refusal, _) => Ok(Err(refusal)),
    }
}

/// A call that only asks and got no answer. A refusal of such a call is no answer either: asking again in the same
/// words will not help.
pub fn unanswered<E>(call: &'static str, error: &SdkError<E>) -> PortError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    match meaning(error) {
        Meaning::Transient(problem) => PortError::Transient { call, problem },
        Meaning::Denied(problem) | Meaning::Refused(_, problem) => {
            PortError::Denied { call, problem }
        }
    }
}

/// Whether a call that only asks was answered that there is no such thing (SQS: `QueueDoesNotExist`, which goes by its older name
/// where the service still tells that; KMS: `NotFoundException`; Service Quotas: `NoSuchResourceException`).
pub fn missing<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    const CODES: [&str; 4] = [
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "NotFoundException",
        "NoSuchResourceException",
    ];
    code(error).is_some_and(|code| CODES.contains(&code))
}

/// A call to the lease table that got no answer. A missing table is named.
pub(crate) fn table_unanswered<E>(call: &'static str, table: &str, error: &SdkError<E>) -> PortError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    if code(error) == Some("ResourceNotFoundException") {
        let problem = format!(
            "there is no table {table:?} in this account and region; create it with the stack in infra/"
        );
        return PortError::Denied { call, problem };
    }
    unanswered(call, error)
}

/// Whether Auto Scaling says that it knows no such group (`ValidationError`, which the model does not list).
pub(crate) fn group_unknown<E: ProvideErrorMetadata>(error: &SdkError<E>) -> bool {
    code(error) == Some("ValidationError")
        && error.message().is_some_and(|message| message.to_lowercase().contains("not found"))
}

/// Why a transaction was cancelled, one reason for each write in order; nothing where it failed in another way.
pub(crate) fn cancellation(
    error: &SdkError<TransactWriteItemsError>,
) -> Option<&[CancellationReason]> {
    match error.as_service_error() {
        Some(TransactWriteItemsError::TransactionCanceledException(cancelled)) => {
            Some(cancelled.cancellation_reasons())
        }
        _ => None,
    }
}

/// Whether the condition of an update did not hold.
pub(crate) fn condition_failed(error: &SdkError<UpdateItemError>) -> bool {
    error.as_service_error().is_some_and(UpdateItemError::is_conditional_check_failed_exception)
}

/// Whether the table to create exists already.
pub(crate) fn table_exists(error: &SdkError<CreateTableError>) -> bool {
    error.as_service_error().is_some_and(CreateTableError::is_resource_in_use_exception)
}

/// Whether an operation failed because AWS throttled it. An interceptor sees errors without their type: what is not
/// modelled is found beneath it, as the SDK read it from the reply; of the four services DynamoDB alone models throttling.
pub(crate) fn throttled(error: &(impl Error + 'static)) -> bool {
    let Some(cause) = error.source() else { return false };
    let code = if let Some(metadata) = cause.downcast_ref::<ErrorMetadata>() {
        metadata.code()
    } else if let Some(modelled) = cause.downcast_ref::<ThrottlingException>() {
        modelled.meta().code()
    } else if let Some(modelled) = cause.downcast_ref::<ProvisionedThroughputExceededException>() {
        modelled.meta().code()
    } else if let Some(modelled) = cause.downcast_ref::<RequestLimitExceeded>() {
        modelled.meta().code()
    } else {
        None
    };
    code.is_some_and(|code| THROTTLING_CODES.contains(&code))
}

fn code<E: ProvideErrorMetadata>(error: &SdkError<E>) -> Option<&str> {
    error.code()
}

fn meaning<E>(error: &SdkError<E>) -> Meaning
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let chain = || DisplayErrorContext(error).to_string();
    match error {
        // The SDK wraps a failure to find credentials in a failure to dispatch, and its type is not exported.
        SdkError::DispatchFailure(failure) if !failure.is_io() && !failure.is_timeout() => {
            let chain = chain();
            if chain.contains("credential") {
                Meaning::Denied(format!("no usable credentials: {}", cause(error)))
            } else {
                Meaning::Transient(chain)
            }
        }
        SdkError::ConstructionFailure(_) => Meaning::Denied(chain()),
        SdkError::ServiceError(service) => {
            let status = service.raw().status().as_u16();
            refused(service.err().code(), service.err().message(), status)
        }
        // Timeouts, connections that broke, replies that can't be read, and whatever the SDK adds.
        _ => Meaning::Transient(chain()),
    }
}

/// What a failure comes from, in the words of whoever has met it first. Profiles that sign in by IAM Identity Center, by a login
/// session or by a program of their own are not built in, and the SDK tells of that in terms of its own build.
fn cause(error: &(dyn Error + 'static)) -> String {
    let mut first = error;
    while let Some(source) = first.source() {
        first = source;
    }
    let first = first.to_string();
    if first.contains("cargo feature(s)") {
        return "the profile signs in by IAM Identity Center, a login session or a program of its own, which is left to the AWS \
                CLI here. Sign in with it (aws sso login, or aws login), then hand its credentials over: \
                eval \"$(aws configure export-credentials --profile NAME --format env)\""
            .to_owned();
    }
    first
}

/// What AWS means by an error reply.
fn refused(code: Option<&str>, message: Option<&str>, status: u16) -> Meaning {
    let code = code.unwrap_or("no code");
    let message = message.unwrap_or("no message");
    let text = format!("{code}: {message}");
    let later = THROTTLING_CODES.contains(&code) || TRANSIENT_CODES.contains(&code);
    if later || status >= 500 || status == 429 {
        return Meaning::Transient(text);
    }
    if DENIED_CODES.contains(&code) {
        return Meaning::Denied(text);
    }
    let refusal = match code {
        "VolumeInUse" => Refusal::AlreadyAttached,
        // DetachVolume of a volume that is not attached: "Volume 'vol-…' is in the 'available' state". Not to be
        // taken for AttachVolume's "… is not 'available'".
        "IncorrectState" if message.contains("in the 'available' state") => Refusal::NotAttached,
        "InvalidAttachment.NotFound" => Refusal::NotAttached,
        // AttachVolume: "Invalid value '/dev/sdf' for unixDevice. Attachment point /dev/sdf is already in use".
        "InvalidParameterValue" if message.contains("already in use") => Refusal::DeviceInUse,
        "IncorrectState" | "IncorrectInstanceState" => Refusal::IncorrectState(text.clone()),
        "InvalidInstanceID.NotFound" | "InvalidVolume.NotFound" => Refusal::NotFound,
        "AttachmentLimitExceeded" => Refusal::LimitExceeded,
        // CreateVolume: another request had the token, or the one that had it has failed.
        "IdempotentParameterMismatch" => Refusal::TokenBurned,
        // Not idempotent: an earlier attempt with the same token may have created the volume all the same.
        "VolumeLimitExceeded" | "MaxIOPSLimitExceeded" => Refusal::QuotaExceeded(text.clone()),
        // OperationNotPermitted: StopInstances of an instance with stop protection.
        "UnsupportedOperation" | "OperationNotPermitted" => Refusal::Unsupported(text.clone()),
        "ValidationError" if message.contains("No active Lifecycle Action found") => {
            Refusal::NoActiveAction
        }
        _ => Refusal::Other(text.clone()),
    };
    Meaning::Refused(refusal, text)
}

#[cfg(test)]
mod tests;
