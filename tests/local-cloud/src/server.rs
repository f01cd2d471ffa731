//! The one address of a running cloud: EC2, Auto Scaling, STS, Systems Manager, EventBridge, SQS, KMS, Service Quotas, DynamoDB and
//! the Lambda Runtime API over HTTP.
//!
//! It finds out which service is meant and who calls, strikes the faults that tests armed, and records the call.
//! What a call does is up to the world and the database; nothing here decides that. Signatures are not checked,
//! but a request without one is refused, as AWS does.

mod authorization;
mod body;
pub(crate) mod calls;
pub(crate) mod dynamo;
mod eventbridge;
pub(crate) mod faults;
mod kms;
pub(crate) mod metadata;
mod quotas;
mod refusal;
mod runtime_api;
mod sessions;
mod sqs;
mod target;

use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::api::{self, Service, ssm};
use crate::cloud::engine::Engine;
use crate::cloud::tasks::Tasks;
use crate::iam::{Policy, Verdict};
use crate::lambda::{Lambda, RunningSandbox};
use crate::query::Params;
use body::Body;
use calls::{Call, CallLog, CallOutcome, Caller, Door, Permission};
use dynamo::Dynamo;
use faults::{FaultAction, Faults};
use refusal::Refusal;
use sessions::Sessions;
use target::{Operation, Target};

/// The largest request that any of the services takes (DynamoDB's, with room for its envelope).
const LARGEST_REQUEST: usize = 17 * 1024 * 1024;
/// How long to wait before the next try when the system has no more sockets.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What Systems Manager, `EventBridge`, KMS and Service Quotas speak.
const JSON_1_1: &str = "application/x-amz-json-1.1";
/// What SQS and DynamoDB speak.
const JSON_1_0: &str = "application/x-amz-json-1.0";

type Answer = Response<Body>;

/// Everything behind the address.
#[derive(Debug)]
pub(crate) struct Doors {
    pub(crate) engine: Arc<Engine>,
    pub(crate) lambda: Arc<Lambda>,
    pub(crate) dynamo: Dynamo,
    pub(crate) calls: CallLog,
    pub(crate) faults: Faults,
    /// What the functions' role may do; anything where there is none.
    policy: Option<Policy>,
    sessions: Sessions,
    /// Calls under way: like AWS's, they have their effect even if the caller hangs up.
    under_way: Tasks,
    /// The metadata services of instances.
    metadata: Tasks,
}

/// The connection is closed without an answer, on purpose.
#[derive(Debug, thiserror::Error)]
#[error("a fault closed the connection")]
struct Hangup;

/// Serves until `stop` says so, or its sender is gone. Connections end with it.
pub(crate) async fn serve(
    listener: TcpListener,
    doors: Arc<Doors>,
    mut stop: watch::Receiver<bool>,
) {
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stop.wait_for(|stop| *stop) => break,
        };
        while connections.try_join_next().is_some() {}
        match accepted {
            Ok((stream, _)) => {
                connections.spawn(converse(stream, Arc::clone(&doors)));
            }
            Err(error) => {
                tracing::warn!(%error, "a connection could not be accepted");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
    connections.shutdown().await;
}

async fn converse(stream: TcpStream, doors: Arc<Doors>) {
    // Without it small answers wait for the client's acknowledgement; a socket that refuses is only slower.
    let _ = stream.set_nodelay(true);
    let service = service_fn(move |request| Arc::clone(&doors).answer(request));
    // No timeout: a function may keep a connection for its next invocation for as long as it likes.
    let connection = http1::Builder::new()
        .header_read_timeout(None)
        .serve_connection(TokioIo::new(stream), service);
    if let Err(error) = connection.await {
        tracing::debug!(%error, "a connection ended early");
    }
}

impl Doors {
    pub(crate) fn new(
        engine: Arc<Engine>,
        lambda: Arc<Lambda>,
        dynamo: Dynamo,
        policy: Option<Policy>,
    ) -> Self {
        let (calls, faults, sessions) = (CallLog::new(), Faults::default(), Sessions::default());
        let (under_way, metadata) = (Tasks::new(), Tasks::new());
        Self { engine, lambda, dynamo, calls, faults, policy, sessions, under_way, metadata }
    }

    /// Ends the calls that are under way, and the metadata services.
    pub(crate) async fn shut_down(&self) {
        self.metadata.abort().await;
        self.under_way.abort().await;
    }

    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Answer, Hangup> {
        let request_id = self.lambda.unique_id();
        let (parts, incoming) = request.into_parts();
        let mut answer = match Limited::new(incoming, LARGEST_REQUEST).collect().await {
            Err(error) => Refusal::new(413, "RequestEntityTooLarge", error.to_string())
                .answer(None, &request_id),
            Ok(content) => {
                let content = content.to_bytes();
                let path = parts.uri.path();
                if runtime_api::owns(path) {
                    let (method, headers) = (&parts.method, &parts.headers);
                    runtime_api::answer(&self.lambda, method, path, headers, &content).await
                } else {
                    let (reply, replied) = oneshot::channel();
                    let (doors, request_id) = (Arc::clone(&self), request_id.clone());
                    self.under_way.spawn(async move {
                        // A caller who hung up gets no reply.
                        let _ = reply.send(doors.call(&parts, content, &request_id).await);
                    });
                    replied.await.unwrap_or(Err(Hangup))?
                }
            }
        };
        if let Ok(request_id) = HeaderValue::from_str(&request_id) {
            answer.headers_mut().insert("x-amzn-requestid", request_id);
        }
        Ok(answer)
    }

    /// Answers a call of an AWS API.
    async fn call(
        &self,
        parts: &Parts,
        content: Bytes,
        request_id: &str,
    ) -> Result<Answer, Hangup> {
        let target = match Target::of(parts, &content) {
            Ok(target) => target,
            Err((door, refusal)) => return Ok(refusal.answer(door, request_id)),
        };
        let door = target.operation.door();
        let sandbox = target.access_key.as_deref().and_then(|key| self.lambda.sandbox_of(key));
        let (number, fault) = self.arrived(&target.operation, sandbox.as_deref());
        let policy = match (&sandbox, target.access_key.as_deref()) {
            (Some(_), _) => self.policy.clone(),
            (None, Some(key)) => self.sessions.policy(key),
            (None, None) => None,
        };
        if let Some(policy) = policy
            && let Some(refusal) = self.authorize(&policy, number, &target.operation, &content)
        {
            self.came_to(number, CallOutcome::Answered(refusal.status));
            return Ok(refusal.answer(Some(door), request_id));
        }
        match (fault, sandbox) {
            (Some(FaultAction::Refuse { status, code }), _) => {
                self.came_to(number, CallOutcome::Refused(status));
                let refusal = Refusal::new(status, &code, "a fault refused this call");
                return Ok(refusal.answer(Some(door), request_id));
            }
            (Some(FaultAction::KillBefore), Some(sandbox)) => {
                self.came_to(number, CallOutcome::KilledBefore);
                sandbox.kill().await;
                return Err(Hangup);
            }
            (Some(FaultAction::KillAfter), Some(sandbox)) => {
                self.carry_out(&target, parts, content, request_id).await;
                self.came_to(number, CallOutcome::KilledAfter);
                sandbox.kill().await;
                return Err(Hangup);
            }
            (Some(FaultAction::DropReply), _) => {
                self.carry_out(&target, parts, content, request_id).await;
                self.came_to(number, CallOutcome::ReplyDropped);
                return Err(Hangup);
            }
            (Some(FaultAction::SlowBody(pause)), _) => {
                let answer = self.carry_out(&target, parts, content, request_id).await;
                self.came_to(number, CallOutcome::Answered(answer.status().as_u16()));
                return Ok(answer.map(|body| body.in_halves(pause)));
            }
            (Some(FaultAction::Delay(delay)), _) => sleep(delay).await,
            // A kill without a process cannot be: faults count the calls of processes only.
            (Some(FaultAction::KillBefore | FaultAction::KillAfter) | None, _) => {}
        }
        let answer = self.carry_out(&target, parts, content, request_id).await;
        self.came_to(number, CallOutcome::Answered(answer.status().as_u16()));
        Ok(answer)
    }

    /// Records a call, and finds out what is to go wrong with it.
    fn arrived(
        &self,
        operation: &Operation,
        sandbox: Option<&RunningSandbox>,
    ) -> (usize, Option<FaultAction>) {
        let call = Call {
            at: self.engine.now(),
            door: operation.door(),
            operation: operation.name().to_owned(),
            caller: sandbox.map(caller),
            permissions: Vec::new(),
            outcome: CallOutcome::Open,
        };
        let fault = self.faults.strike(&call);
        let number = self.calls.arrived(call);
        self.engine.reporter.announce_change();
        (number, fault)
    }

    /// Refuses what the caller's policy does not allow.
    fn authorize(
        &self,
        policy: &Policy,
        call: usize,
        operation: &Operation,
        content: &[u8],
    ) -> Option<Refusal> {
        let (door, name) = (operation.door(), operation.name());
        let requests =
            self.engine.inspect(|world| authorization::requests(world, door, name, content));
        let mut refused = None;
        let permissions = requests.into_iter().map(|request| {
            let verdict = policy.judge(&request);
            if !matches!(verdict, Verdict::Allowed(_)) {
                refused.get_or_insert_with(|| Refusal::unauthorized(door, &request));
            }
            Permission { action: request.action, verdict }
        });
        self.calls.was_judged(call, permissions.collect());
        refused
    }

    fn came_to(&self, call: usize, outcome: CallOutcome) {
        self.calls.came_to(call, outcome);
        self.engine.reporter.announce_change();
    }

    /// Lets the call have its effect.
    async fn carry_out(
        &self,
        target: &Target,
        parts: &Parts,
        content: Bytes,
        request_id: &str,
    ) -> Answer {
        let (done, content_type) = match &target.operation {
            Operation::Ec2 { action, params } => {
                let done = self.query(Service::Ec2, action, params, request_id);
                (done, "text/xml;charset=UTF-8")
            }
            Operation::AutoScaling { action, params } => {
                (self.query(Service::AutoScaling, action, params, request_id), "text/xml")
            }
            Operation::Sts { action, params } => {
                let caller = target.access_key.as_deref();
                let done = self.engine.inspect(|world| {
                    self.sessions.handle(world, action, params, caller, request_id)
                });
                match done {
                    Ok(body) => (api::Response { status: 200, body }, "text/xml"),
                    Err(refusal) => return refusal.answer(Some(Door::Sts), request_id),
                }
            }
            Operation::Ssm { operation } => {
                let done = self.engine.with_world(|world| ssm::handle(world, operation, &content));
                (done, JSON_1_1)
            }
            Operation::EventBridge { operation } => match self.eventbridge(operation, &content) {
                Ok(body) => (api::Response { status: 200, body: body.to_string() }, JSON_1_1),
                Err(refusal) => return refusal.answer(Some(Door::EventBridge), request_id),
            },
            Operation::Sqs { operation } => match self.sqs(operation, &content) {
                Ok(body) => (api::Response { status: 200, body: body.to_string() }, JSON_1_0),
                Err(refusal) => return refusal.answer(Some(Door::Sqs), request_id),
            },
            Operation::Kms { operation } => match self.kms(operation, &content) {
                Ok(body) => (api::Response { status: 200, body: body.to_string() }, JSON_1_1),
                Err(refusal) => return refusal.answer(Some(Door::Kms), request_id),
            },
            Operation::ServiceQuotas { operation } => match self.quotas(operation, &content) {
                Ok(body) => (api::Response { status: 200, body: body.to_string() }, JSON_1_1),
                Err(refusal) => return refusal.answer(Some(Door::ServiceQuotas), request_id),
            },
            Operation::DynamoDb { .. } => {
                let answer = self.dynamo.exchange(&parts.headers, content).await;
                return answer.unwrap_or_else(|error| {
                    tracing::error!(error = &error as &dyn std::error::Error, "DynamoDB failed");
                    Refusal::new(500, "InternalServerError", error.to_string())
                        .answer(Some(Door::DynamoDb), request_id)
                });
            }
        };
        let mut answer = Response::new(Body::whole(done.body));
        *answer.status_mut() =
            StatusCode::from_u16(done.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        answer
    }

    fn query(
        &self,
        service: Service,
        action: &str,
        params: &Params,
        request_id: &str,
    ) -> api::Response {
        self.engine.with_world(|world| api::handle(world, service, action, params, request_id))
    }
}

/// Reads a request in AWS JSON.
fn read<T: DeserializeOwned>(content: &[u8]) -> Result<T, Refusal> {
    serde_json::from_slice(content).map_err(|error| {
        Refusal::new(400, "ValidationException", format!("the request cannot be read: {error}"))
    })
}

fn caller(sandbox: &RunningSandbox) -> Caller {
    Caller {
        function: sandbox.function.clone(),
        sandbox: sandbox.name(),
        request_id: sandbox.request_id(),
    }
}
