//! Errors that the doors answer themselves, each in the protocol of the service that was called.

use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::{Response, StatusCode};
use serde_json::json;

use super::body::Body;
use super::{Answer, Door, JSON_1_0, JSON_1_1};
use crate::iam::Request;
use crate::xml::Xml;

const AUTO_SCALING: &str = "http://autoscaling.amazonaws.com/doc/2011-01-01/";
const STS: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
const UNKNOWN: &str = "http://webservices.amazon.com/AWSFault/2005-15-09";

/// An error in AWS's terms.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) message: String,
}

impl Refusal {
    pub(super) fn new(status: u16, code: &str, message: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into() }
    }

    /// The service has no such operation here.
    pub(super) fn unknown_operation(name: &str) -> Self {
        let message = format!("this cloud knows no operation {name} of this service");
        Self::new(400, "UnknownOperationException", message)
    }

    /// The caller's policy does not allow what was asked for, in the words of the service.
    pub(super) fn unauthorized(door: Door, request: &Request) -> Self {
        let Request { action, resource, .. } = request;
        let message = format!("not authorized to perform: {action} on resource: {resource}");
        match door {
            Door::Ec2 => {
                let message =
                    format!("You are not authorized to perform this operation. User is {message}");
                Self::new(403, "UnauthorizedOperation", message)
            }
            Door::AutoScaling | Door::Sts => {
                Self::new(403, "AccessDenied", format!("User is {message}"))
            }
            Door::Ssm
            | Door::DynamoDb
            | Door::EventBridge
            | Door::Sqs
            | Door::Kms
            | Door::ServiceQuotas => {
                Self::new(400, "AccessDeniedException", format!("User is {message}"))
            }
        }
    }

    /// The answer, in the protocol of `door`; in the one that most services share when nobody knows which was meant.
    pub(super) fn answer(&self, door: Option<Door>, request_id: &str) -> Answer {
        let (content_type, text) = match door {
            Some(Door::Ec2) => ("text/xml;charset=UTF-8", self.ec2(request_id)),
            Some(Door::AutoScaling) => ("text/xml", self.query(AUTO_SCALING, request_id)),
            Some(Door::Sts) => ("text/xml", self.query(STS, request_id)),
            Some(Door::Ssm | Door::EventBridge | Door::Kms | Door::ServiceQuotas) => {
                (JSON_1_1, self.json(&self.code))
            }
            Some(Door::Sqs) => (JSON_1_0, self.json(&format!("com.amazonaws.sqs#{}", self.code))),
            Some(Door::DynamoDb) => {
                let kind = format!("com.amazonaws.dynamodb.v20120810#{}", self.code);
                (JSON_1_0, self.json(&kind))
            }
            None => ("text/xml", self.query(UNKNOWN, request_id)),
        };
        let mut response = Response::new(Body::whole(text));
        *response.status_mut() =
            StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        if self.code == "QueueDoesNotExist" {
            // The code that SQS had for it before it spoke JSON: the SDKs go by it where it is told (Smithy, "AWS query compatible
            // trait").
            let older = HeaderValue::from_static("AWS.SimpleQueueService.NonExistentQueue;Sender");
            response.headers_mut().insert("x-amzn-query-error", older);
        }
        response
    }

    fn ec2(&self, request_id: &str) -> String {
        let mut xml = Xml::new();
        xml.element("Response", |xml| {
            xml.element("Errors", |xml| {
                xml.element("Error", |xml| {
                    xml.text("Code", &self.code).text("Message", &self.message);
                });
            });
            xml.text("RequestID", request_id);
        });
        xml.finish()
    }

    fn query(&self, namespace: &str, request_id: &str) -> String {
        let at_fault = if self.status < 500 { "Sender" } else { "Receiver" };
        let mut xml = Xml::new();
        xml.root("ErrorResponse", namespace, |xml| {
            xml.element("Error", |xml| {
                xml.text("Type", at_fault).text("Code", &self.code).text("Message", &self.message);
            });
            xml.text("RequestId", request_id);
        });
        xml.finish()
    }

    fn json(&self, kind: &str) -> String {
        json!({ "__type": kind, "message": self.message }).to_string()
    }
}
