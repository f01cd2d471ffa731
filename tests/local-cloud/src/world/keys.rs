//! KMS keys, as far as EBS meets them: it takes any name for one, and finds out only while it works whether the key
//! can be used.

use super::World;

/// The id of the key that the account has for EBS (`alias/aws/ebs`). AWS manages it, so it can always be used.
const EBS_KEY: &str = "6f1d0c52-3b8e-4a97-9d20-57e4c81ab3f6";

/// Whether a key can be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum KeyState {
    Enabled,
    Disabled,
}

impl World {
    /// A key of this id or ARN is there from now on, and can be used; one that was disabled is enabled again.
    pub fn enable_key(&mut self, key: &str) {
        let arn = self.key_arn(key);
        self.keys.insert(arn, KeyState::Enabled);
    }

    /// From now on the key of this id or ARN cannot be used. EBS finds out while it works: `CreateVolume` and
    /// `AttachVolume` succeed, and a moment later the new volume or the attachment is gone.
    pub fn disable_key(&mut self, key: &str) {
        let arn = self.key_arn(key);
        self.keys.insert(arn, KeyState::Disabled);
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
            Some(KeyState::Enabled) => None,
            Some(KeyState::Disabled) => Some(format!("{arn} is disabled.")),
            // Not among Amazon's samples, which are of disabled keys and of keys without material.
            None => Some(format!("{arn} does not exist.")),
        }
    }
}
