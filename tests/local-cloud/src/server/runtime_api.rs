//! The Lambda Runtime API: how a function's process gets its events and answers them.
//!
//! Each sandbox has its own base path, so that what a process asks for needs no other proof of who it is.

use hyper::body::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use hyper::{Method, Response, StatusCode};
use serde_json::{Value, json};

use super::Answer;
use super::body::Body;
use crate::lambda::{Invocation, Lambda, Outcome, RUNTIME_API_PATH};

const VERSION: &str = "2018-06-01/runtime/";
const ERROR_TYPE: &str = "lambda-runtime-function-error-type";

/// Whether this path belongs to the Runtime API.
pub(super) fn owns(path: &str) -> bool {
    path.starts_with(RUNTIME_API_PATH)
}

/// Answers a call of the Runtime API. A poll is answered when there is an event, which may take for ever.
pub(super) async fn answer(
    lambda: &Lambda,
    method: &Method,
    path: &str,
    headers: &HeaderMap,
    content: &Bytes,
) -> Answer {
    let Some((number, operation)) = split(path) else {
        return error(StatusCode::NOT_FOUND, "UnknownPath", &format!("no Runtime API at {path}"));
    };
    let Some(sandbox) = lambda.sandbox(number) else {
        let message = format!("sandbox {number} is not running");
        return error(StatusCode::FORBIDDEN, "UnknownSandbox", &message);
    };
    let steps: Vec<_> = operation.split('/').collect();
    match (method, steps.as_slice()) {
        (&Method::GET, ["invocation", "next"]) => {
            if let Some(invocation) = sandbox.poll().await {
                return event(&invocation);
            }
            let message = format!("sandbox {number} is being ended");
            error(StatusCode::FORBIDDEN, "SandboxEnded", &message)
        }
        (&Method::POST, ["invocation", request_id, kind @ ("response" | "error")]) => {
            let outcome = match *kind {
                "response" => succeeded(content),
                _ => failed(headers, content),
            };
            if sandbox.answer((*request_id).to_owned(), outcome).await {
                return accepted();
            }
            let message = format!("{request_id} is not the invocation that runs");
            error(StatusCode::BAD_REQUEST, "InvalidRequestID", &message)
        }
        (&Method::POST, ["init", "error"]) => {
            let (error_type, message) = reported(headers, content);
            sandbox.init_error(format!("{error_type}: {message}"));
            accepted()
        }
        _ => {
            let message = format!("the Runtime API has no {method} {operation}");
            error(StatusCode::NOT_FOUND, "UnknownOperation", &message)
        }
    }
}

fn split(path: &str) -> Option<(u64, &str)> {
    let (number, rest) = path.strip_prefix(RUNTIME_API_PATH)?.split_once('/')?;
    Some((number.parse().ok()?, rest.strip_prefix(VERSION)?))
}

fn event(invocation: &Invocation) -> Answer {
    let mut response = Response::new(Body::whole(invocation.payload.to_string()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert("lambda-runtime-deadline-ms", invocation.deadline_millis.into());
    for (name, value) in [
        ("lambda-runtime-aws-request-id", &invocation.request_id),
        ("lambda-runtime-trace-id", &invocation.trace_id),
        ("lambda-runtime-invoked-function-arn", &invocation.function_arn),
    ] {
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.insert(name, value);
        }
    }
    response
}

fn succeeded(content: &Bytes) -> Outcome {
    match serde_json::from_slice(content) {
        Ok(value) => Outcome::Succeeded(value),
        Err(error) => Outcome::Failed {
            error_type: "Runtime.InvalidResponse".to_owned(),
            message: format!("the function's answer is not JSON: {error}"),
        },
    }
}

fn failed(headers: &HeaderMap, content: &Bytes) -> Outcome {
    let (error_type, message) = reported(headers, content);
    Outcome::Failed { error_type, message }
}

/// What a function reports: the error's type and message, from the body or else from the header.
fn reported(headers: &HeaderMap, content: &Bytes) -> (String, String) {
    let report: Value = serde_json::from_slice(content).unwrap_or_default();
    let told = |name: &str| report.get(name).and_then(Value::as_str).map(str::to_owned);
    let header = || headers.get(ERROR_TYPE).and_then(|kind| kind.to_str().ok()).map(str::to_owned);
    let error_type = told("errorType").or_else(header);
    (error_type.unwrap_or_else(|| "Unhandled".to_owned()), told("errorMessage").unwrap_or_default())
}

fn accepted() -> Answer {
    reply(StatusCode::ACCEPTED, &json!({ "status": "OK" }))
}

fn error(status: StatusCode, error_type: &str, message: &str) -> Answer {
    reply(status, &json!({ "errorType": error_type, "errorMessage": message }))
}

fn reply(status: StatusCode, content: &Value) -> Answer {
    let mut response = Response::new(Body::whole(content.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
