//! What a new volume is created like.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{PolicyError, out_of_range, within};

/// How many tags a template may bring: EC2 allows 50 on a resource, and some of them are ours ("Tag your Amazon EC2
/// resources", tag restrictions, as are the lengths).
const MOST_TAGS: usize = 40;
const LONGEST_KEY: usize = 128;
const LONGEST_VALUE: usize = 256;
/// What the keys of AWS's and of our own tags begin with: a template's tags must not replace those.
const RESERVED: [&str; 2] = ["aws:", "stateful-asg:"];

/// What a volume type takes besides its size (`CreateVolume`; "Amazon EBS volume types").
const TYPES: [(&str, Takes); 7] = [
    ("gp3", Takes { iops: Iops::Maybe, throughput: true }),
    ("io2", Takes { iops: Iops::Always, throughput: false }),
    ("io1", Takes { iops: Iops::Always, throughput: false }),
    ("gp2", Takes { iops: Iops::Never, throughput: false }),
    ("st1", Takes { iops: Iops::Never, throughput: false }),
    ("sc1", Takes { iops: Iops::Never, throughput: false }),
    ("standard", Takes { iops: Iops::Never, throughput: false }),
];

struct Takes {
    iops: Iops,
    throughput: bool,
}

enum Iops {
    Always,
    Maybe,
    Never,
}

/// What a new volume is created like (`CreateVolume`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// `VolumeType`.
    #[serde(rename = "type", default = "default_volume_type")]
    pub volume_type: String,
    /// `Size`, in GiB.
    #[serde(rename = "sizeGiB")]
    pub size_gib: u32,
    /// `Iops`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iops: Option<u32>,
    /// `Throughput`, in MiB/s.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub throughput: Option<u32>,
    /// `Encrypted`.
    #[serde(default = "yes")]
    pub encrypted: bool,
    /// `KmsKeyId`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kms_key_id: Option<String>,
    /// Further tags.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub tags: BTreeMap<String, String>,
}

impl Template {
    /// Whether EC2 could take it: what would fail at the first launch that finds no slot is refused with the policy.
    pub(super) fn check(&self, field: &str) -> Result<(), PolicyError> {
        within(&format!("{field}.sizeGiB"), self.size_gib, 1, 65_536)?;
        let takes =
            TYPES.iter().find(|(name, _)| *name == self.volume_type).map(|(_, takes)| takes);
        let Some(takes) = takes else {
            let known = TYPES.map(|(name, _)| name).join(", ");
            return Err(out_of_range(format!("{field}.type"), &self.volume_type, known));
        };
        let kind = &self.volume_type;
        match (&takes.iops, self.iops) {
            (Iops::Never, Some(iops)) => {
                let allowed = format!("{kind} takes none");
                return Err(out_of_range(format!("{field}.iops"), iops, allowed));
            }
            (Iops::Always, None) => {
                let allowed = format!("{kind} needs a number");
                return Err(out_of_range(format!("{field}.iops"), "nothing", allowed));
            }
            (Iops::Always | Iops::Maybe, Some(_)) | (Iops::Maybe | Iops::Never, None) => {}
        }
        if let Some(throughput) = self.throughput.filter(|_| !takes.throughput) {
            let allowed = format!("{kind} takes none");
            return Err(out_of_range(format!("{field}.throughput"), throughput, allowed));
        }
        if let Some(key) = self.kms_key_id.as_ref().filter(|_| !self.encrypted) {
            let allowed = "a key needs encrypted: true";
            return Err(out_of_range(format!("{field}.kmsKeyId"), key, allowed));
        }
        self.check_tags(&format!("{field}.tags"))
    }

    fn check_tags(&self, field: &str) -> Result<(), PolicyError> {
        if self.tags.len() > MOST_TAGS {
            let allowed = format!("at most {MOST_TAGS}");
            return Err(out_of_range(field, self.tags.len(), allowed));
        }
        for (key, value) in &self.tags {
            let reserved = RESERVED.iter().any(|prefix| key.to_lowercase().starts_with(prefix));
            if key.is_empty() || key.chars().count() > LONGEST_KEY || reserved {
                let allowed =
                    "a key has 1 to 128 characters and begins with neither aws: nor stateful-asg:";
                return Err(out_of_range(field, format!("key {key:?}"), allowed));
            }
            if value.chars().count() > LONGEST_VALUE {
                let seen = format!("{} characters", value.chars().count());
                let allowed = "a value has at most 256 characters";
                return Err(out_of_range(format!("{field}.{key}"), seen, allowed));
            }
        }
        Ok(())
    }
}

const fn yes() -> bool {
    true
}

fn default_volume_type() -> String {
    // CreateVolume's own default is gp2.
    "gp3".to_owned()
}

#[cfg(test)]
mod tests {
    use crate::policy::Policy;

    fn refusal(template: &str) -> String {
        let text = format!(
            r#"{{"pool":"a","volumes":[{{"name":"data","device":"/dev/sdf","template":{template}}}]}}"#
        );
        let told = Policy::parse(Some(&text)).map_err(|error| error.to_string());
        told.err().unwrap_or_default()
    }

    #[test]
    fn what_ec2_would_not_take_is_refused_with_the_policy() {
        for (template, expected) in [
            (r#"{"sizeGiB":1}"#, ""),
            (r#"{"sizeGiB":10,"iops":4000,"throughput":250}"#, ""),
            (r#"{"sizeGiB":10,"type":"io2","iops":4000}"#, ""),
            (r#"{"sizeGiB":10,"type":"gp33"}"#, ".type: gp33 is not allowed; gp3, io2,"),
            (r#"{"sizeGiB":0}"#, ".sizeGiB: 0 is not allowed"),
            (r#"{"sizeGiB":10,"type":"io2"}"#, ".iops: nothing is not allowed; io2 needs a number"),
            (
                r#"{"sizeGiB":10,"type":"st1","iops":100}"#,
                ".iops: 100 is not allowed; st1 takes none",
            ),
            (r#"{"sizeGiB":10,"type":"io1","iops":100,"throughput":125}"#, ".throughput: 125"),
            (r#"{"sizeGiB":10,"encrypted":false,"kmsKeyId":"alias/db"}"#, ".kmsKeyId: alias/db"),
        ] {
            let told = refusal(template);
            let named = told.strip_prefix("volumes[0].template").unwrap_or(&told);
            assert!(
                named.starts_with(expected) && named.is_empty() == expected.is_empty(),
                "{told}"
            );
        }
    }

    #[test]
    fn a_template_can_not_set_the_tags_by_which_volumes_are_found() {
        for key in ["stateful-asg:slot", "Stateful-ASG:pool", "aws:cloudformation:stack-name", ""] {
            let told = refusal(&format!(r#"{{"sizeGiB":10,"tags":{{"{key}":"x"}}}}"#));
            assert!(told.starts_with("volumes[0].template.tags: key"), "{key}: {told}");
        }
        assert_eq!(refusal(r#"{"sizeGiB":10,"tags":{"team":"data"}}"#), "");
    }
}
