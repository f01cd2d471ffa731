//! What AWS asks of a caller's policy for a call: which actions on which resources, with which condition keys (Service
//! Authorization Reference, "Actions, resources, and condition keys for" EC2, EC2 Auto Scaling, DynamoDB and Systems Manager).
//!
//! Where the reference leaves open whether a second resource is checked, it is checked here, unless the world is set otherwise: what
//! is allowed so is allowed either way.

use std::collections::BTreeMap;

use serde_json::Value;

use super::calls::Door;
use crate::iam::Request;
use crate::query::Params;
use crate::world::{SecondResource, Tags, World};

/// The tag of a resource in conditions of all services but Systems Manager.
const RESOURCE_TAG: &str = "aws:ResourceTag/";

/// The requests that a call makes of a policy. `content` is the call as it was sent.
pub(super) fn requests(world: &World, door: Door, operation: &str, content: &[u8]) -> Vec<Request> {
    let seen = Seen { world, operation };
    match door {
        Door::Ec2 => {
            let form = std::str::from_utf8(content).unwrap_or_default();
            Params::parse(form).map(|params| seen.ec2(&params)).unwrap_or_default()
        }
        Door::AutoScaling => {
            let form = std::str::from_utf8(content).unwrap_or_default();
            Params::parse(form).map(|params| seen.auto_scaling(&params)).unwrap_or_default()
        }
        // Nothing here asks what a session may do with STS.
        Door::Sts => Vec::new(),
        Door::EventBridge => vec![seen.request("events", "*".to_owned(), BTreeMap::new())],
        Door::Sqs => vec![seen.request("sqs", "*".to_owned(), BTreeMap::new())],
        Door::Kms => vec![seen.request("kms", "*".to_owned(), BTreeMap::new())],
        Door::ServiceQuotas => {
            vec![seen.request("servicequotas", "*".to_owned(), BTreeMap::new())]
        }
        Door::Ssm => seen.ssm(&serde_json::from_slice(content).unwrap_or_default()),
        Door::DynamoDb => seen.dynamodb(&serde_json::from_slice(content).unwrap_or_default()),
    }
}

struct Seen<'a> {
    world: &'a World,
    operation: &'a str,
}

impl Seen<'_> {
    fn ec2(&self, params: &Params) -> Vec<Request> {
        let one = |name: &str| params.get(name).map(str::to_owned);
        let unchecked = self.world.config().second_resource == SecondResource::Unchecked;
        let resources: Vec<String> = match self.operation {
            "DetachVolume" if unchecked => one("VolumeId").into_iter().collect(),
            "ModifyInstanceAttribute" if unchecked => one("InstanceId").into_iter().collect(),
            "AttachVolume" | "DetachVolume" => {
                [one("VolumeId"), one("InstanceId")].into_iter().flatten().collect()
            }
            "ModifyInstanceAttribute" => {
                let mappings = params.structs("BlockDeviceMapping").into_iter();
                let instance = one("InstanceId");
                let on_devices = mappings.filter_map(|mapping| {
                    let device = mapping.get("DeviceName")?.to_owned();
                    let attached = self.world.attachments_of(instance.as_deref()?).into_iter();
                    attached.filter(|it| it.device == device).map(|it| it.volume.clone()).next()
                });
                instance.clone().into_iter().chain(on_devices).collect()
            }
            "StopInstances" | "StartInstances" | "TerminateInstances" => params.list("InstanceId"),
            "CreateTags" | "DeleteTags" => params.list("ResourceId"),
            "DeleteVolume" => one("VolumeId").into_iter().collect(),
            "CreateVolume" => return self.create_volume(params),
            _ => return vec![self.request("ec2", "*".to_owned(), BTreeMap::new())],
        };
        let keys: Vec<String> = params
            .structs("Tag")
            .iter()
            .filter_map(|tag| tag.get("Key").map(str::to_owned))
            .collect();
        let requests = resources.into_iter().map(|id| {
            let mut known = self.tags_of(&id, RESOURCE_TAG);
            if !keys.is_empty() {
                known.insert("aws:TagKeys".to_owned(), keys.clone());
            }
            self.request("ec2", self.ec2_arn(&id), known)
        });
        requests.collect()
    }

    /// Tags in the same call take `CreateTags` as well, with the action that creates.
    fn create_volume(&self, params: &Params) -> Vec<Request> {
        let volume = self.arn("ec2", "volume/*");
        let specified = params.structs("TagSpecification");
        let tags = specified.iter().flat_map(|it| it.structs("Tag"));
        let pairs = tags.filter_map(|tag| {
            Some((tag.get("Key")?.to_owned(), tag.get("Value").unwrap_or_default().to_owned()))
        });
        let tags: Tags = pairs.collect();
        let mut known = keys(&tags, "aws:RequestTag/");
        if tags.is_empty() {
            return vec![self.request("ec2", volume, known)];
        }
        known.insert("aws:TagKeys".to_owned(), tags.into_keys().collect());
        let create = self.request("ec2", volume.clone(), known.clone());
        known.insert("ec2:CreateAction".to_owned(), vec![self.operation.to_owned()]);
        let tag = Request { action: "ec2:CreateTags".to_owned(), resource: volume, keys: known };
        vec![create, tag]
    }

    fn auto_scaling(&self, params: &Params) -> Vec<Request> {
        let group = params.get("AutoScalingGroupName");
        let resource = match group.map(|name| (name, self.world.group(name))) {
            Some(_) if self.operation.starts_with("Describe") => "*".to_owned(),
            Some((_, Ok(group))) => group.arn.clone(),
            Some((name, Err(_))) if name.starts_with("arn:") => name.to_owned(),
            Some((name, Err(_))) => {
                self.arn("autoscaling", &format!("autoScalingGroup:*:autoScalingGroupName/{name}"))
            }
            None => "*".to_owned(),
        };
        vec![self.request("autoscaling", resource, BTreeMap::new())]
    }

    fn ssm(&self, input: &Value) -> Vec<Request> {
        if self.operation != "SendCommand" {
            return vec![self.request("ssm", "*".to_owned(), BTreeMap::new())];
        }
        let name = input["DocumentName"].as_str().unwrap_or_default();
        let document = self.arn("ssm", &format!("document/{name}"));
        let instances = input["InstanceIds"].as_array().into_iter().flatten();
        let instances = instances.filter_map(Value::as_str).map(|id| {
            let known = self.tags_of(id, "ssm:resourceTag/");
            self.request("ssm", self.ec2_arn(id), known)
        });
        let document = self.request("ssm", document, BTreeMap::new());
        std::iter::once(document).chain(instances).collect()
    }

    /// A transaction takes the actions of its parts (Amazon DynamoDB Developer Guide, "Using IAM with DynamoDB transactions").
    fn dynamodb(&self, input: &Value) -> Vec<Request> {
        let parts = match self.operation {
            "TransactWriteItems" | "TransactGetItems" => input["TransactItems"].as_array(),
            _ => None,
        };
        let on = |table: &Value| {
            self.arn("dynamodb", &format!("table/{}", table.as_str().unwrap_or_default()))
        };
        let Some(parts) = parts else {
            return vec![self.request("dynamodb", on(&input["TableName"]), BTreeMap::new())];
        };
        let parts = parts.iter().filter_map(|part| part.as_object()?.iter().next());
        let mut requests: Vec<Request> = Vec::new();
        for (kind, part) in parts {
            let action = match kind.as_str() {
                "ConditionCheck" => "dynamodb:ConditionCheckItem".to_owned(),
                kind => format!("dynamodb:{kind}Item"),
            };
            let request =
                Request { action, resource: on(&part["TableName"]), keys: BTreeMap::new() };
            if !requests.contains(&request) {
                requests.push(request);
            }
        }
        requests
    }

    fn request(
        &self,
        service: &str,
        resource: String,
        keys: BTreeMap<String, Vec<String>>,
    ) -> Request {
        Request { action: format!("{service}:{}", self.operation), resource, keys }
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        let config = self.world.config();
        format!("arn:aws:{service}:{}:{}:{resource}", config.region, config.account)
    }

    fn ec2_arn(&self, id: &str) -> String {
        let kind = if id.starts_with("vol-") { "volume" } else { "instance" };
        self.arn("ec2", &format!("{kind}/{id}"))
    }

    /// The tags of an instance or volume as condition keys.
    fn tags_of(&self, id: &str, prefix: &str) -> BTreeMap<String, Vec<String>> {
        let volume = self.world.volume(id).map(|volume| &volume.tags);
        let tags = volume.or_else(|_| self.world.instance(id).map(|instance| &instance.tags));
        tags.map(|tags| keys(tags, prefix)).unwrap_or_default()
    }
}

fn keys(tags: &Tags, prefix: &str) -> BTreeMap<String, Vec<String>> {
    tags.iter().map(|(key, value)| (format!("{prefix}{key}"), vec![value.clone()])).collect()
}
