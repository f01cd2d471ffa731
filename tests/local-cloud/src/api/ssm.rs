//! Systems Manager's operations on commands, in AWS JSON 1.1. A member that is not read here is refused.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use volume_pool::Timestamp;

use super::Response;
use crate::world::{
    ApiError, Command, CommandFilter, CommandInvocation, PageRequest, SendCommand, World,
};

/// The only plugin that documents have here.
const PLUGIN: &str = "aws:runShellScript";
/// The largest page of `ListCommandInvocations` (API Reference), and the one it has unasked.
const LARGEST_PAGE: usize = 50;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct SendCommandInput {
    document_name: String,
    document_version: Option<String>,
    #[serde(default)]
    instance_ids: Vec<String>,
    #[serde(default)]
    parameters: BTreeMap<String, Vec<String>>,
    comment: Option<String>,
    timeout_seconds: Option<u64>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetCommandInvocationInput {
    command_id: String,
    instance_id: String,
    plugin_name: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct ListCommandInvocationsInput {
    command_id: Option<String>,
    instance_id: Option<String>,
    #[serde(default)]
    filters: Vec<FilterInput>,
    max_results: Option<usize>,
    next_token: Option<String>,
    #[serde(default)]
    details: bool,
}

/// `CommandFilter`, whose members begin with small letters, unlike all others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilterInput {
    key: String,
    value: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct CancelCommandInput {
    command_id: String,
}

/// Carries out one request: an operation's name, as in `SendCommand`, and its JSON.
pub fn handle(world: &mut World, operation: &str, content: &[u8]) -> Response {
    let outcome = match operation {
        "CancelCommand" => cancel_command(world, content),
        "GetCommandInvocation" => get_command_invocation(world, content),
        "ListCommandInvocations" => list_command_invocations(world, content),
        "SendCommand" => send_command(world, content),
        unknown => Err(ApiError::UnknownOperation(unknown.to_owned())),
    };
    match outcome {
        Ok(answer) => Response { status: 200, body: answer.to_string() },
        Err(error) => {
            let body = json!({ "__type": error.code(), "message": error.message() }).to_string();
            Response { status: error.status(), body }
        }
    }
}

fn send_command(world: &mut World, content: &[u8]) -> Result<Value, ApiError> {
    let input: SendCommandInput = read(content)?;
    // Documents have one version here, which is the default and the latest.
    let version = input.document_version.unwrap_or_else(|| "$DEFAULT".to_owned());
    if !matches!(version.as_str(), "$DEFAULT" | "$LATEST" | "1") {
        return Err(ApiError::InvalidDocumentVersion(version));
    }
    let command = world.send_command(SendCommand {
        document: input.document_name,
        instances: input.instance_ids,
        parameters: input.parameters,
        comment: input.comment.unwrap_or_default(),
        timeout_seconds: input.timeout_seconds,
    })?;
    Ok(json!({ "Command": described(&command, &version) }))
}

fn get_command_invocation(world: &mut World, content: &[u8]) -> Result<Value, ApiError> {
    let input: GetCommandInvocationInput = read(content)?;
    if let Some(plugin) = input.plugin_name.filter(|it| it != PLUGIN) {
        return Err(ApiError::InvalidPluginName(plugin));
    }
    let found = world.command_invocation(&input.command_id, &input.instance_id)?;
    let time = |at: Option<Timestamp>| at.map(|at| at.to_string()).unwrap_or_default();
    let elapsed = match (found.started_at, found.ended_at) {
        (Some(start), Some(end)) => format!("PT{}S", end.since(start).as_secs_f64()),
        _ => String::new(),
    };
    Ok(json!({
        "CommandId": found.command,
        "InstanceId": found.instance,
        "Comment": found.comment,
        "DocumentName": found.document,
        "DocumentVersion": "1",
        "PluginName": PLUGIN,
        "ResponseCode": found.response_code(),
        "ExecutionStartDateTime": time(found.started_at),
        "ExecutionElapsedTime": elapsed,
        "ExecutionEndDateTime": time(found.ended_at.filter(|_| found.started_at.is_some())),
        "Status": found.status.as_str(),
        "StatusDetails": found.status.details(),
        "StandardOutputContent": "",
        "StandardOutputUrl": "",
        "StandardErrorContent": "",
        "StandardErrorUrl": "",
        "CloudWatchOutputConfig": { "CloudWatchLogGroupName": "", "CloudWatchOutputEnabled": false },
    }))
}

fn list_command_invocations(world: &mut World, content: &[u8]) -> Result<Value, ApiError> {
    let input: ListCommandInvocationsInput = read(content)?;
    if let Some(asked) = input.max_results.filter(|it| *it == 0 || *it > LARGEST_PAGE) {
        return Err(ApiError::SsmValidation(format!(
            "Value '{asked}' at 'maxResults' failed to satisfy constraint: Member must have value \
             between 1 and {LARGEST_PAGE}"
        )));
    }
    let page = PageRequest {
        max_results: Some(input.max_results.unwrap_or(LARGEST_PAGE)),
        next_token: input.next_token,
    };
    let mut filter = CommandFilter {
        command: input.command_id.as_deref(),
        instance: input.instance_id.as_deref(),
        after: None,
    };
    for FilterInput { key, value } in &input.filters {
        match (key.as_str(), value.parse()) {
            ("InvokedAfter", Ok(after)) => filter.after = Some(after),
            _ => return Err(ApiError::SsmValidation(format!("filter {key} with value '{value}'"))),
        }
    }
    let found = world.list_command_invocations(&filter, &page)?;
    let listed: Vec<Value> = found.items.iter().map(|it| listed(it, input.details)).collect();
    let mut answer = json!({ "CommandInvocations": listed });
    if let Some(token) = found.next_token {
        answer["NextToken"] = token.into();
    }
    Ok(answer)
}

fn cancel_command(world: &mut World, content: &[u8]) -> Result<Value, ApiError> {
    let input: CancelCommandInput = read(content)?;
    world.cancel_command(&input.command_id)?;
    Ok(json!({}))
}

fn read<T: DeserializeOwned>(content: &[u8]) -> Result<T, ApiError> {
    serde_json::from_slice(content)
        .map_err(|error| ApiError::SsmValidation(format!("the request cannot be read: {error}")))
}

/// A command as `SendCommand` answers it: nothing has come of it yet.
fn described(command: &Command, version: &str) -> Value {
    let request = &command.request;
    json!({
        "CommandId": command.id,
        "DocumentName": request.document,
        "DocumentVersion": version,
        "Comment": request.comment,
        "ExpiresAfter": epoch_seconds(command.expires_at),
        "Parameters": request.parameters,
        "InstanceIds": request.instances,
        "Targets": [],
        "RequestedDateTime": epoch_seconds(command.requested_at),
        "Status": "Pending",
        "StatusDetails": "Pending",
        "OutputS3BucketName": "",
        "OutputS3KeyPrefix": "",
        "MaxConcurrency": "50",
        "MaxErrors": "0",
        "TargetCount": request.instances.len(),
        "CompletedCount": 0,
        "ErrorCount": 0,
        "DeliveryTimedOutCount": 0,
        "ServiceRole": "",
        "TimeoutSeconds": command.timeout.as_secs(),
    })
}

fn listed(invocation: &CommandInvocation, details: bool) -> Value {
    let status = invocation.status;
    let mut plugins = Vec::new();
    if details {
        let mut plugin = json!({
            "Name": PLUGIN,
            "Status": status.as_str(),
            "StatusDetails": status.details(),
            "ResponseCode": invocation.response_code(),
            "Output": "",
            "StandardOutputUrl": "",
            "StandardErrorUrl": "",
        });
        for (name, at) in [
            ("ResponseStartDateTime", invocation.started_at),
            ("ResponseFinishDateTime", invocation.ended_at),
        ] {
            if let Some(at) = at {
                plugin[name] = epoch_seconds(at).into();
            }
        }
        plugins.push(plugin);
    }
    json!({
        "CommandId": invocation.command,
        "InstanceId": invocation.instance,
        "InstanceName": "",
        "Comment": invocation.comment,
        "DocumentName": invocation.document,
        "DocumentVersion": "1",
        "RequestedDateTime": epoch_seconds(invocation.requested_at),
        "Status": status.as_str(),
        "StatusDetails": status.details(),
        "StandardOutputUrl": "",
        "StandardErrorUrl": "",
        "CommandPlugins": plugins,
        "ServiceRole": "",
    })
}

/// AWS JSON 1.1 writes times as seconds since the epoch.
fn epoch_seconds(at: Timestamp) -> f64 {
    at.since(Timestamp::default()).as_secs_f64()
}
