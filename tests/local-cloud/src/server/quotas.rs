//! Service Quotas: the storage that the account may have of each volume type, in AWS JSON 1.1 (Service Quotas API Reference). A
//! member that is not read here is refused.

use serde::Deserialize;
use serde_json::{Value, json};

use super::refusal::Refusal;
use super::{Doors, read};

/// "Storage for ... volumes, in TiB": the quota's code, the volume type, and what every account may have at first (AWS General
/// Reference, "Amazon EBS endpoints and quotas").
const STORAGE: [(&str, &str, f64); 7] = [
    ("L-D18FCD1D", "gp2", 50.0),
    ("L-7A658B76", "gp3", 50.0),
    ("L-FD252861", "io1", 50.0),
    ("L-09BD8365", "io2", 20.0),
    ("L-82ACEF56", "st1", 50.0),
    ("L-17AF77E8", "sc1", 50.0),
    ("L-9CF3C2EB", "standard", 50.0),
];

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
struct GetQuota {
    service_code: String,
    quota_code: String,
}

impl Doors {
    /// Carries out an operation; gives the answer's body. Where the world has no limit, the account has no quota of its own.
    pub(super) fn quotas(&self, operation: &str, content: &[u8]) -> Result<Value, Refusal> {
        let applied = self.engine.inspect(|world| world.config().storage_limit_gib);
        let value: fn(f64, Option<u64>) -> Option<f64> = match operation {
            "GetServiceQuota" => |_, applied| applied.map(in_tib),
            "GetAWSDefaultServiceQuota" => |default, _| Some(default),
            unknown => return Err(Refusal::unknown_operation(unknown)),
        };
        let GetQuota { service_code, quota_code } = read(content)?;
        let known = STORAGE.iter().find(|(code, ..)| service_code == "ebs" && *code == quota_code);
        let found = known.and_then(|(_, kind, default)| Some((kind, value(*default, applied)?)));
        let (kind, value) = found.ok_or_else(|| {
            let message = "The request failed because the specified service or quota does not exist, or has no applied value.";
            Refusal::new(400, "NoSuchResourceException", message)
        })?;
        Ok(json!({ "Quota": {
            "ServiceCode": service_code,
            "QuotaCode": quota_code,
            "QuotaName": format!("Storage for {kind} volumes, in TiB"),
            "Value": value,
            "Unit": "None",
            "Adjustable": true,
            "GlobalQuota": false,
        } }))
    }
}

fn in_tib(gib: u64) -> f64 {
    f64::from(u32::try_from(gib).unwrap_or(u32::MAX)) / 1024.0
}
