//! STS: who calls, and sessions that may do less than a role or a user (AWS STS API Reference, `AssumeRole`,
//! `GetFederationToken`). Roles are not modelled: any may be taken on, and a session may do what its policy allows.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;

use super::refusal::Refusal;
use crate::iam::Policy;
use crate::query::Params;
use crate::world::World;
use crate::xml::Xml;

const NAMESPACE: &str = "https://sts.amazonaws.com/doc/2011-06-15/";
/// The longest policy of a session: "The plaintext that you use for both inline and managed session policies can't exceed
/// 2,048 characters."
const LONGEST_POLICY: usize = 2_048;
/// A policy that allows nothing.
const NOTHING: &str = r#"{"Statement":[]}"#;
/// Nothing expires here.
const EXPIRATION: &str = "2100-01-01T00:00:00Z";

/// What the access keys of sessions begin with, and those of users don't (IAM User Guide, "IAM identifiers").
const SESSION_KEY: &str = "ASIA";

/// The sessions that were begun, by access key, with the policies that they have.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    policies: Mutex<BTreeMap<String, Option<Policy>>>,
}

impl Sessions {
    /// The policy of a session, if the key is one's that has one.
    pub(super) fn policy(&self, access_key: &str) -> Option<Policy> {
        self.lock().get(access_key).cloned().flatten()
    }

    /// Carries out an operation of STS; gives the answer's body.
    pub(super) fn handle(
        &self,
        world: &World,
        action: &str,
        params: &Params,
        caller: Option<&str>,
        request_id: &str,
    ) -> Result<String, Refusal> {
        let account = world.config().account.as_str();
        match action {
            "GetCallerIdentity" => Ok(answer(action, request_id, |xml| {
                xml.text("UserId", "local-cloud")
                    .text("Account", account)
                    .text("Arn", format!("arn:aws:iam::{account}:user/local-cloud"));
            })),
            "AssumeRole" => {
                let role = params.get("RoleArn").ok_or_else(|| missing("roleArn"))?;
                let name =
                    params.get("RoleSessionName").ok_or_else(|| missing("roleSessionName"))?;
                let key = self.begin(params.get("Policy"))?;
                Ok(answer(action, request_id, |xml| {
                    credentials(xml, &key);
                    xml.element("AssumedRoleUser", |xml| {
                        xml.text("AssumedRoleId", format!("AROALOCALCLOUD:{name}"))
                            .text("Arn", format!("{role}/{name}"));
                    });
                }))
            }
            "GetFederationToken" => {
                let name = params.get("Name").ok_or_else(|| missing("name"))?;
                if caller.is_some_and(|key| key.starts_with(SESSION_KEY)) {
                    let message = "Cannot call GetFederationToken with session credentials";
                    return Err(Refusal::new(403, "AccessDenied", message));
                }
                // Without a policy such a session may do nothing.
                let key = self.begin(Some(params.get("Policy").unwrap_or(NOTHING)))?;
                Ok(answer(action, request_id, |xml| {
                    credentials(xml, &key);
                    xml.element("FederatedUser", |xml| {
                        xml.text("FederatedUserId", format!("{account}:{name}"))
                            .text("Arn", format!("arn:aws:sts::{account}:federated-user/{name}"));
                    });
                }))
            }
            other => {
                let message = format!("Could not find operation {other} for version 2011-06-15");
                Err(Refusal::new(400, "InvalidAction", message))
            }
        }
    }

    /// Begins a session with this policy; gives its access key. Without one it may do anything.
    fn begin(&self, policy: Option<&str>) -> Result<String, Refusal> {
        let mut policies = self.lock();
        let key = format!("{SESSION_KEY}SESSION{:09}", policies.len());
        let Some(text) = policy else {
            policies.insert(key.clone(), None);
            return Ok(key);
        };
        if text.chars().count() > LONGEST_POLICY {
            let message = format!("Member must have length less than or equal to {LONGEST_POLICY}");
            return Err(Refusal::new(400, "ValidationError", message));
        }
        let malformed = |why: String| Refusal::new(400, "MalformedPolicyDocument", why);
        let document: Value =
            serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
        let statements = document["Statement"].as_array().map(Vec::as_slice).unwrap_or_default();
        let policy = Policy::parse(statements).map_err(|error| malformed(error.to_string()))?;
        policies.insert(key.clone(), Some(policy));
        Ok(key)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, Option<Policy>>> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn credentials(xml: &mut Xml, key: &str) {
    xml.element("Credentials", |xml| {
        xml.text("AccessKeyId", key)
            .text("SecretAccessKey", "local-cloud")
            .text("SessionToken", "local-cloud")
            .text("Expiration", EXPIRATION);
    });
}

fn answer(action: &str, request_id: &str, result: impl FnOnce(&mut Xml)) -> String {
    let mut xml = Xml::new();
    xml.root(&format!("{action}Response"), NAMESPACE, |xml| {
        xml.element(&format!("{action}Result"), result);
        xml.element("ResponseMetadata", |xml| {
            xml.text("RequestId", request_id);
        });
    });
    xml.finish()
}

fn missing(name: &str) -> Refusal {
    let message = format!("1 validation error detected: Value at '{name}' must not be null");
    Refusal::new(400, "ValidationError", message)
}
