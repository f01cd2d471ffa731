//! KMS: the keys of the world as `DescribeKey`, `GetKeyPolicy` and `ListGrants` show them, in AWS JSON 1.1 (AWS KMS API Reference). A
//! member that is not read here is refused. Grants are not modelled, so no key has any.

use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{Doors, read};
use crate::world::KeyView;

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct OfKey {
    key_id: String,
}

impl Doors {
    /// Carries out an operation; gives the answer's body.
    pub(super) fn kms(&self, operation: &str, content: &[u8]) -> Result<Value, Refusal> {
        if !["DescribeKey", "GetKeyPolicy", "ListGrants"].contains(&operation) {
            return Err(Refusal::unknown_operation(operation));
        }
        let OfKey { key_id } = read(content)?;
        let found = self.engine.inspect(|world| world.key(&key_id));
        let key = found.ok_or_else(|| {
            let message = format!("Key '{key_id}' does not exist");
            Refusal::new(400, "NotFoundException", message)
        })?;
        Ok(match operation {
            "DescribeKey" => described(&key, &self.lambda.place.account),
            "GetKeyPolicy" => json!({ "Policy": key.policy, "PolicyName": "default" }),
            _ => json!({ "Grants": [], "Truncated": false }),
        })
    }
}

fn described(key: &KeyView, account: &str) -> Value {
    json!({ "KeyMetadata": {
        "AWSAccountId": account,
        "KeyId": key.arn.rsplit('/').next(),
        "Arn": key.arn,
        "Enabled": key.enabled,
        "KeyState": if key.enabled { "Enabled" } else { "Disabled" },
        "KeyManager": if key.aws_managed { "AWS" } else { "CUSTOMER" },
        "KeyUsage": "ENCRYPT_DECRYPT",
        "KeySpec": "SYMMETRIC_DEFAULT",
    } })
}
