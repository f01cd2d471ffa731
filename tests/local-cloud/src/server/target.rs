//! What a request is meant for: which service, which operation, on whose behalf.

use hyper::header::{AUTHORIZATION, HeaderMap};
use hyper::http::request::Parts;

use super::calls::Door;
use super::refusal::Refusal;
use crate::query::Params;

const EC2_VERSION: &str = "2016-11-15";
const AUTO_SCALING_VERSION: &str = "2011-01-01";
const STS_VERSION: &str = "2011-06-15";
const DYNAMODB_TARGET: &str = "DynamoDB_20120810.";
const SSM_TARGET: &str = "AmazonSSM.";
const EVENTBRIDGE_TARGET: &str = "AWSEvents.";
const SQS_TARGET: &str = "AmazonSQS.";
const KMS_TARGET: &str = "TrentService.";
const QUOTAS_TARGET: &str = "ServiceQuotasV20190624.";

/// A request for one operation of one service.
#[derive(Debug)]
pub(super) struct Target {
    pub(super) operation: Operation,
    /// The access key that the request is signed with.
    pub(super) access_key: Option<String>,
}

/// An operation and what it is asked for.
#[derive(Debug)]
pub(super) enum Operation {
    Ec2 { action: String, params: Params },
    AutoScaling { action: String, params: Params },
    Sts { action: String, params: Params },
    Ssm { operation: String },
    EventBridge { operation: String },
    Sqs { operation: String },
    Kms { operation: String },
    ServiceQuotas { operation: String },
    DynamoDb { operation: String },
}

impl Operation {
    pub(super) fn door(&self) -> Door {
        match self {
            Self::Ec2 { .. } => Door::Ec2,
            Self::AutoScaling { .. } => Door::AutoScaling,
            Self::Sts { .. } => Door::Sts,
            Self::Ssm { .. } => Door::Ssm,
            Self::EventBridge { .. } => Door::EventBridge,
            Self::Sqs { .. } => Door::Sqs,
            Self::Kms { .. } => Door::Kms,
            Self::ServiceQuotas { .. } => Door::ServiceQuotas,
            Self::DynamoDb { .. } => Door::DynamoDb,
        }
    }

    pub(super) fn name(&self) -> &str {
        match self {
            Self::Ec2 { action, .. }
            | Self::AutoScaling { action, .. }
            | Self::Sts { action, .. } => action,
            Self::Ssm { operation }
            | Self::EventBridge { operation }
            | Self::Sqs { operation }
            | Self::Kms { operation }
            | Self::ServiceQuotas { operation }
            | Self::DynamoDb { operation } => operation,
        }
    }
}

impl Target {
    /// Finds out what a request is for, or why it is refused, and by which service if that much is clear.
    pub(super) fn of(parts: &Parts, content: &[u8]) -> Result<Self, (Option<Door>, Refusal)> {
        let access_key = access_key(&parts.headers);
        if let Some(target) = parts.headers.get("x-amz-target") {
            let target = target.to_str().unwrap_or_default();
            let Some(operation) = json(target) else {
                let message = format!(
                    "this cloud knows no target {target}, only <operation> of {DYNAMODB_TARGET}, {SSM_TARGET}, \
                     {EVENTBRIDGE_TARGET}, {SQS_TARGET}, {KMS_TARGET} and {QUOTAS_TARGET}"
                );
                let refusal = Refusal::new(400, "UnknownOperationException", message);
                return Err((Some(Door::DynamoDb), refusal));
            };
            // DynamoDB itself refuses what is not signed, in its own words.
            if access_key.is_none() && operation.door() != Door::DynamoDb {
                let Refusal { code, message, .. } = unsigned(&parts.headers);
                let refusal = Refusal::new(400, &format!("{code}Exception"), message);
                return Err((Some(operation.door()), refusal));
            }
            return Ok(Self { operation, access_key });
        }
        let operation = query(parts, content)?;
        if access_key.is_none() {
            let door = Some(operation.door());
            return Err((door, unsigned(&parts.headers)));
        }
        Ok(Self { operation, access_key })
    }
}

/// What the target of a request in AWS JSON names.
fn json(target: &str) -> Option<Operation> {
    let of = |service: &str| target.strip_prefix(service).map(str::to_owned);
    let ssm = of(SSM_TARGET).map(|operation| Operation::Ssm { operation });
    ssm.or_else(|| of(EVENTBRIDGE_TARGET).map(|operation| Operation::EventBridge { operation }))
        .or_else(|| of(SQS_TARGET).map(|operation| Operation::Sqs { operation }))
        .or_else(|| of(KMS_TARGET).map(|operation| Operation::Kms { operation }))
        .or_else(|| of(QUOTAS_TARGET).map(|operation| Operation::ServiceQuotas { operation }))
        .or_else(|| of(DYNAMODB_TARGET).map(|operation| Operation::DynamoDb { operation }))
}

/// Reads a request of the Query protocol.
fn query(parts: &Parts, content: &[u8]) -> Result<Operation, (Option<Door>, Refusal)> {
    let scope = door_of_scope(&parts.headers);
    let refuse = |status, code, message: String| Err((scope, Refusal::new(status, code, message)));
    let form = if content.is_empty() {
        parts.uri.query().unwrap_or_default()
    } else {
        match std::str::from_utf8(content) {
            Ok(form) => form,
            Err(error) => {
                return refuse(400, "MalformedInput", format!("the body is no text: {error}"));
            }
        }
    };
    let params = match Params::parse(form) {
        Ok(params) => params,
        Err(error) => return refuse(400, "MalformedQueryString", error.to_string()),
    };
    let Some(action) = params.get("Action").map(str::to_owned) else {
        return refuse(
            400,
            "MissingAction",
            format!(
                "{} {} names no operation; this address answers EC2, Auto Scaling, STS, SSM, EventBridge, SQS, KMS, Service \
                 Quotas and DynamoDB",
                parts.method,
                parts.uri.path()
            ),
        );
    };
    match params.get("Version") {
        Some(EC2_VERSION) => Ok(Operation::Ec2 { action, params }),
        Some(AUTO_SCALING_VERSION) => Ok(Operation::AutoScaling { action, params }),
        Some(STS_VERSION) => Ok(Operation::Sts { action, params }),
        version => {
            let message = format!(
                "could not find operation {action} for version {}: this address answers EC2 \
                 {EC2_VERSION}, Auto Scaling {AUTO_SCALING_VERSION}, STS {STS_VERSION}, and <operation> of {SSM_TARGET}, \
                 {EVENTBRIDGE_TARGET}, {SQS_TARGET}, {KMS_TARGET}, {QUOTAS_TARGET} and {DYNAMODB_TARGET}",
                version.unwrap_or("NO_VERSION_SPECIFIED")
            );
            refuse(400, "InvalidAction", message)
        }
    }
}

fn unsigned(headers: &HeaderMap) -> Refusal {
    if headers.contains_key(AUTHORIZATION) {
        let message = "Authorization header requires 'Credential' parameter.";
        Refusal::new(400, "IncompleteSignature", message)
    } else {
        Refusal::new(403, "MissingAuthenticationToken", "Request is missing Authentication Token")
    }
}

/// The parts of the credential in a signature of version 4:
/// `Credential=<access key>/<date>/<region>/<service>/aws4_request`.
fn credential(headers: &HeaderMap) -> Option<std::str::Split<'_, char>> {
    let authorization = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    Some(credential.split(',').next()?.split('/'))
}

fn access_key(headers: &HeaderMap) -> Option<String> {
    credential(headers)?.next().filter(|key| !key.is_empty()).map(str::to_owned)
}

fn door_of_scope(headers: &HeaderMap) -> Option<Door> {
    match credential(headers)?.nth(3)? {
        "ec2" => Some(Door::Ec2),
        "autoscaling" => Some(Door::AutoScaling),
        "ssm" => Some(Door::Ssm),
        "events" => Some(Door::EventBridge),
        "sqs" => Some(Door::Sqs),
        "kms" => Some(Door::Kms),
        "servicequotas" => Some(Door::ServiceQuotas),
        "dynamodb" => Some(Door::DynamoDb),
        "sts" => Some(Door::Sts),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use hyper::Request;

    use super::*;

    const SIGNED: &str = "AWS4-HMAC-SHA256 Credential=ASIA1/20261123/eu-central-1/ec2/aws4_request, SignedHeaders=host, Signature=0";

    fn parts(headers: &[(&'static str, &str)]) -> Parts {
        let mut request = Request::post("/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn code(result: Result<Target, (Option<Door>, Refusal)>) -> (Option<Door>, String) {
        let (door, refusal) = result.unwrap_err();
        (door, refusal.code)
    }

    #[test]
    fn the_version_names_the_service_and_the_signature_the_caller() {
        let parts = parts(&[("authorization", SIGNED)]);
        let target = Target::of(&parts, b"Action=AttachVolume&Version=2016-11-15").unwrap();
        assert_eq!(target.operation.door(), Door::Ec2);
        assert_eq!(target.operation.name(), "AttachVolume");
        assert_eq!(target.access_key.as_deref(), Some("ASIA1"));
        let target = Target::of(&parts, b"Action=PutLifecycleHook&Version=2011-01-01").unwrap();
        assert_eq!(target.operation.door(), Door::AutoScaling);
    }

    #[test]
    fn the_target_header_names_the_operation_of_dynamodb() {
        let target = parts(&[("x-amz-target", "DynamoDB_20120810.GetItem")]);
        let target = Target::of(&target, b"{}").unwrap();
        assert_eq!((target.operation.door(), target.operation.name()), (Door::DynamoDb, "GetItem"));
        let other = parts(&[("x-amz-target", "Kinesis_20131202.PutRecord")]);
        assert_eq!(
            code(Target::of(&other, b"{}")),
            (Some(Door::DynamoDb), "UnknownOperationException".into())
        );
    }

    #[test]
    fn the_target_header_names_the_operation_of_the_others_that_speak_json() {
        for (target, door, name) in [
            ("AmazonSSM.SendCommand", Door::Ssm, "SendCommand"),
            ("AWSEvents.PutRule", Door::EventBridge, "PutRule"),
            ("AmazonSQS.CreateQueue", Door::Sqs, "CreateQueue"),
            ("TrentService.DescribeKey", Door::Kms, "DescribeKey"),
            ("ServiceQuotasV20190624.GetServiceQuota", Door::ServiceQuotas, "GetServiceQuota"),
        ] {
            let target = ("x-amz-target", target);
            let signed = parts(&[target, ("authorization", SIGNED)]);
            let target_of = Target::of(&signed, b"{}").unwrap();
            assert_eq!((target_of.operation.door(), target_of.operation.name()), (door, name));
            assert_eq!(
                code(Target::of(&parts(&[target]), b"{}")),
                (Some(door), "MissingAuthenticationTokenException".into())
            );
        }
    }

    #[test]
    fn what_is_not_signed_is_refused_by_the_service_that_was_meant() {
        let form = b"Action=DescribeVolumes&Version=2016-11-15";
        assert_eq!(
            code(Target::of(&parts(&[]), form)),
            (Some(Door::Ec2), "MissingAuthenticationToken".into())
        );
        assert_eq!(
            code(Target::of(&parts(&[("authorization", "Bearer x")]), form)),
            (Some(Door::Ec2), "IncompleteSignature".into())
        );
    }

    #[test]
    fn a_version_that_nobody_serves_and_a_request_for_nothing_are_refused() {
        let parts = parts(&[("authorization", SIGNED)]);
        assert_eq!(
            code(Target::of(&parts, b"Action=ListUsers&Version=2010-05-08")),
            (Some(Door::Ec2), "InvalidAction".into())
        );
        assert_eq!(code(Target::of(&parts, b"")), (Some(Door::Ec2), "MissingAction".into()));
        assert_eq!(
            code(Target::of(&parts, b"Action=A&Action=B")),
            (Some(Door::Ec2), "MalformedQueryString".into())
        );
    }
}
