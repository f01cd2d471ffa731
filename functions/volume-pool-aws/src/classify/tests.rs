use aws_sdk_autoscaling::operation::complete_lifecycle_action::CompleteLifecycleActionError;
use aws_sdk_dynamodb::operation::get_item::GetItemError;
use aws_sdk_dynamodb::types::error::{
    ConditionalCheckFailedException, ResourceNotFoundException, TransactionCanceledException,
};
use aws_sdk_ec2::config::http::HttpResponse;
use aws_sdk_ec2::error::ErrorMetadata;
use aws_sdk_ec2::operation::describe_volumes::DescribeVolumesError;
use aws_sdk_ec2::operation::detach_volume::DetachVolumeError;

use super::*;

const CALL: &str = "ec2:DetachVolume";

fn reply(status: u16) -> HttpResponse {
    HttpResponse::new(status.try_into().unwrap(), "".into())
}

fn metadata(code: &str, message: &str) -> ErrorMetadata {
    ErrorMetadata::builder().code(code).message(message).build()
}

/// What comes of an error reply of EC2.
fn ec2(status: u16, code: &str, message: &str) -> Result<Answer, PortError> {
    let error = DetachVolumeError::generic(metadata(code, message));
    answer::<(), _>(CALL, Err(SdkError::service_error(error, reply(status))))
}

/// What comes of a client error of EC2, which is an answer.
fn refusal(code: &str, message: &str) -> Refusal {
    ec2(400, code, message).unwrap().unwrap_err()
}

#[test]
fn a_call_that_went_through_is_an_answer() {
    assert_eq!(answer::<_, DetachVolumeError>(CALL, Ok("anything")), Ok(Ok(())));
}

#[test]
fn each_refusal_of_ec2_is_told_from_the_others() {
    let text = |code: &str, message: &str| format!("{code}: {message}");
    for (code, message, expected) in [
        ("VolumeInUse", "vol-1 is already attached to an instance", Refusal::AlreadyAttached),
        ("IncorrectState", "Volume 'vol-1' is in the 'available' state.", Refusal::NotAttached),
        ("InvalidAttachment.NotFound", "The volume is not attached", Refusal::NotAttached),
        (
            "InvalidParameterValue",
            "Invalid value '/dev/sdf' for unixDevice. Attachment point /dev/sdf is already in use",
            Refusal::DeviceInUse,
        ),
        ("InvalidVolume.NotFound", "The volume 'vol-1' does not exist.", Refusal::NotFound),
        ("InvalidInstanceID.NotFound", "The instance ID 'i-1' does not exist", Refusal::NotFound),
        ("AttachmentLimitExceeded", "volume attachment limit exceeded", Refusal::LimitExceeded),
    ] {
        assert_eq!(refusal(code, message), expected, "{code}");
    }
    for (code, message) in [
        ("IncorrectState", "Instance 'i-1' is not 'running'."),
        ("IncorrectState", "vol-1 is not 'available'."),
        (
            "IncorrectInstanceState",
            "The instance 'i-1' is not in a state from which it can be stopped.",
        ),
    ] {
        assert_eq!(refusal(code, message), Refusal::IncorrectState(text(code, message)));
    }
    for (code, message) in [
        ("UnsupportedOperation", "You can't stop the Spot Instance 'i-1'"),
        ("OperationNotPermitted", "The instance 'i-1' may not be stopped."),
    ] {
        assert_eq!(refusal(code, message), Refusal::Unsupported(text(code, message)));
    }
    for (code, message) in [
        ("InvalidVolume.ZoneMismatch", "The volume 'vol-1' is not in the same availability zone"),
        ("InvalidParameterValue", "Value (/dev/zzz) for parameter device is invalid."),
        ("TagLimitExceeded", "The maximum number of Tags has been reached."),
    ] {
        assert_eq!(refusal(code, message), Refusal::Other(text(code, message)));
    }
}

#[test]
fn throttling_and_server_errors_are_transient_and_keep_aws_words() {
    for (status, code) in [
        (503, "RequestLimitExceeded"),
        (400, "RequestLimitExceeded"),
        (400, "Throttling"),
        (400, "ThrottlingException"),
        (503, "Unavailable"),
        (500, "InternalError"),
        (500, "SomethingNew"),
        (429, "SomethingNew"),
    ] {
        assert_eq!(
            ec2(status, code, "Slow down."),
            Err(PortError::Transient { call: CALL, problem: format!("{code}: Slow down.") })
        );
    }
}

#[test]
fn missing_rights_and_bad_credentials_are_denied() {
    for code in [
        "UnauthorizedOperation",
        "AccessDenied",
        "AccessDeniedException",
        "AuthFailure",
        "ExpiredToken",
        "ExpiredTokenException",
        "RequestExpired",
        "UnrecognizedClientException",
        "InvalidClientTokenId",
    ] {
        assert_eq!(
            ec2(403, code, "You may not."),
            Err(PortError::Denied { call: CALL, problem: format!("{code}: You may not.") })
        );
    }
}

#[test]
fn an_error_without_a_code_is_passed_on_and_not_taken_for_an_answer_that_is_known() {
    let error = DetachVolumeError::generic(ErrorMetadata::builder().build());
    let answer = answer::<(), _>(CALL, Err(SdkError::service_error(error, reply(400))));
    assert_eq!(answer, Ok(Err(Refusal::Other("no code: no message".to_owned()))));
}

#[test]
fn timeouts_and_unreadable_replies_are_transient() {
    let lost: [SdkError<DetachVolumeError>; 2] = [
        SdkError::timeout_error("operation timeout"),
        SdkError::response_error("not XML", reply(200)),
    ];
    for error in lost {
        assert!(matches!(answer::<(), _>(CALL, Err(error)), Err(PortError::Transient { .. })));
    }
}

#[test]
fn connections_that_fail_are_transient() {
    for connector in [
        aws_sdk_ec2::error::ConnectorError::io("connection refused".into()),
        aws_sdk_ec2::error::ConnectorError::timeout("connect timeout".into()),
        aws_sdk_ec2::error::ConnectorError::other("connection closed".into(), None),
    ] {
        let error: SdkError<DetachVolumeError> = SdkError::dispatch_failure(connector);
        assert!(matches!(answer::<(), _>(CALL, Err(error)), Err(PortError::Transient { .. })));
    }
}

#[test]
fn a_request_that_cannot_be_built_is_denied() {
    let error: SdkError<DetachVolumeError> = SdkError::construction_failure("no endpoint");
    assert!(matches!(answer::<(), _>(CALL, Err(error)), Err(PortError::Denied { .. })));
}

#[test]
fn an_action_that_auto_scaling_does_not_know_is_told_from_other_validation_errors() {
    let answer = |message: &str| {
        let error = CompleteLifecycleActionError::generic(metadata("ValidationError", message));
        let error = SdkError::service_error(error, reply(400));
        answer::<(), _>("autoscaling:CompleteLifecycleAction", Err(error)).unwrap().unwrap_err()
    };
    for message in [
        "No active Lifecycle Action found with instance ID i-1",
        "No active Lifecycle Action found with token 1",
    ] {
        assert_eq!(answer(message), Refusal::NoActiveAction);
    }
    assert_eq!(
        answer("Lifecycle hook name is not valid"),
        Refusal::Other("ValidationError: Lifecycle hook name is not valid".to_owned())
    );
}

#[test]
fn a_group_that_auto_scaling_does_not_know_is_told_from_other_validation_errors() {
    let unknown = |code: &str, message: &str| {
        let error = CompleteLifecycleActionError::generic(metadata(code, message));
        group_unknown(&SdkError::service_error(error, reply(400)))
    };
    assert!(unknown("ValidationError", "AutoScalingGroup 'a' not found"));
    assert!(!unknown("ValidationError", "1 validation error detected"));
    assert!(!unknown("Throttling", "Rate not found"));
}

#[test]
fn a_refused_read_is_no_answer() {
    let error = DetachVolumeError::generic(metadata("FilterLimitExceeded", "Too many."));
    let error = SdkError::service_error(error, reply(400));
    assert_eq!(
        unanswered("ec2:DescribeVolumes", &error),
        PortError::Denied {
            call: "ec2:DescribeVolumes",
            problem: "FilterLimitExceeded: Too many.".to_owned()
        }
    );
}

#[test]
fn that_there_is_no_such_thing_is_told_from_a_refusal() {
    let missing = |code: &str| {
        let error = DescribeVolumesError::generic(metadata(code, "no"));
        missing(&SdkError::service_error(error, reply(400)))
    };
    for code in [
        "AWS.SimpleQueueService.NonExistentQueue",
        "QueueDoesNotExist",
        "NotFoundException",
        "NoSuchResourceException",
    ] {
        assert!(missing(code), "{code}");
    }
    assert!(!missing("AccessDeniedException"));
}

#[test]
fn a_missing_table_is_named() {
    let error = GetItemError::generic(metadata(
        "ResourceNotFoundException",
        "Requested resource not found",
    ));
    let error = SdkError::service_error(error, reply(400));
    let text = table_unanswered("dynamodb:GetItem", "leases", &error).to_string();
    assert!(text.contains("there is no table \"leases\""), "{text}");
}

#[test]
fn modelled_errors_of_dynamodb_are_known_without_their_code() {
    let failed = ConditionalCheckFailedException::builder().build();
    let failed = UpdateItemError::ConditionalCheckFailedException(failed);
    assert!(condition_failed(&SdkError::service_error(failed, reply(400))));

    let reason = CancellationReason::builder().code("TransactionConflict").build();
    let cancelled =
        TransactionCanceledException::builder().cancellation_reasons(reason.clone()).build();
    let cancelled = TransactWriteItemsError::TransactionCanceledException(cancelled);
    let cancelled = SdkError::service_error(cancelled, reply(400));
    assert_eq!(cancellation(&cancelled), Some([reason].as_slice()));
    let timeout = SdkError::timeout_error("too late");
    assert_eq!(cancellation(&timeout), None);
}

#[test]
fn throttling_is_told_from_other_errors_whoever_models_it() {
    let unmodelled = |code| DescribeVolumesError::generic(metadata(code, "no"));
    assert!(throttled(&unmodelled("RequestLimitExceeded")));
    assert!(throttled(&unmodelled("Throttling")));
    assert!(!throttled(&unmodelled("InvalidVolume.NotFound")));
    assert!(!throttled(&unmodelled("InternalError")));
    let meta = metadata("ThrottlingException", "no");
    let modelled = ThrottlingException::builder().meta(meta).build();
    assert!(throttled(&GetItemError::ThrottlingException(modelled)));
    let meta = metadata("ProvisionedThroughputExceededException", "no");
    let modelled = ProvisionedThroughputExceededException::builder().meta(meta).build();
    assert!(throttled(&GetItemError::ProvisionedThroughputExceededException(modelled)));
    let meta = metadata("RequestLimitExceeded", "no");
    let modelled = RequestLimitExceeded::builder().meta(meta).build();
    assert!(throttled(&GetItemError::RequestLimitExceeded(modelled)));
    let meta = metadata("ResourceNotFoundException", "no");
    let modelled = ResourceNotFoundException::builder().meta(meta).build();
    assert!(!throttled(&GetItemError::ResourceNotFoundException(modelled)));
}
