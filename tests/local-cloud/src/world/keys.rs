//! KMS keys, as far as EBS meets them: it takes any name for one, and finds out only while it works whether the key
//! can be used.

use super::World;

/// The id of the key that the account has for EBS (`alias/aws/ebs`). AWS manages it, so it can always be used.
const EBS_KEY: &str = "6f1d0c52-3b8e-4a97-9d20-57e4c81ab3f6";

/// A customer's key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Key {
    enabled: bool,
    /// Its policy, where it is not the one that a key has at first.
    policy: Option<String>,
}

/// A key as KMS shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyView {
    /// Its ARN.
    pub arn: String,
    /// Whether it can be used.
    pub enabled: bool,
    /// Whether AWS manages it.
    pub aws_managed: bool,
    /// Its policy.
    pub policy: String,
}

impl World {
    /// A key of this id or ARN is there from now on, and can be used; one that was disabled is enabled again.
    pub fn enable_key(&mut self, key: &str) {
        let arn = self.key_arn(key);
        self.keys.entry(arn).or_insert(Key { enabled: true, policy: None }).enabled = true;
    }

    /// From now on the key of this id or ARN cannot be used. EBS finds out while it works: `CreateVolume` and
    /// `AttachVolume` succeed, and a moment later the new volume or the attachment is gone.
    pub fn disable_key(&mut self, key: &str) {
        let arn = self.key_arn(key);
        self.keys.entry(arn).or_insert(Key { enabled: false, policy: None }).enabled = false;
    }

    /// `PutKeyPolicy`, for a key that is there. It is shown, and EBS does not go by it.
    pub fn put_key_policy(&mut self, key: &str, policy: &str) {
        let arn = self.key_arn(key);
        if let Some(key) = self.keys.get_mut(&arn) {
            key.policy = Some(policy.to_owned());
        }
    }

    /// The key of this id, alias or ARN.
    pub fn key(&self, key: &str) -> Option<KeyView> {
        let arn = self.key_arn(key);
        // What a key has where none is given (AWS KMS Developer Guide, "Default key policy").
        let default = format!(
            r#"{{"Statement":[{{"Effect":"Allow","Principal":{{"AWS":"arn:aws:iam::{}:root"}},"Action":"kms:*","Resource":"*"}}]}}"#,
            self.config.account
        );
        let aws_managed = arn == self.ebs_key();
        let (enabled, policy) = match self.keys.get(&arn) {
            Some(key) => (key.enabled, key.policy.clone().unwrap_or(default)),
            None if aws_managed => (true, default),
            None => return None,
        };
        Some(KeyView { arn, enabled, aws_managed, policy })
    }

    /// The ARN of the key that a caller names by id, alias or ARN: describes show that.
    pub(super) fn key_arn(&self, key: &str) -> String {
        if key.starts_with("arn:") {
            return key.to_owned();
        }
        let kind = match key {
            "alias/aws/ebs" => return self.ebs_key(),
            alias if alias.starts_with("alias/") => "",
            _ => "key/",
        };
        format!("arn:aws:kms:{}:{}:{kind}{key}", self.config.region, self.config.account)
    }

    /// The ARN of the key that encrypts where none is named.
    pub(super) fn ebs_key(&self) -> String {
        format!("arn:aws:kms:{}:{}:key/{EBS_KEY}", self.config.region, self.config.account)
    }

    /// Why the volume's key cannot be used, in the words of the `cause` of an EBS event; None when it can.
    pub(super) fn key_problem(&self, volume: &str) -> Option<String> {
        let arn = self.volumes.get(volume)?.kms_key_id.as_ref()?;
        if *arn == self.ebs_key() {
            return None;
        }
        match self.keys.get(arn) {
            Some(Key { enabled: true, .. }) => None,
            Some(_) => Some(format!("{arn} is disabled.")),
            // Not among Amazon's samples, which are of disabled keys and of keys without material.
            None => Some(format!("{arn} does not exist.")),
        }
    }
}
