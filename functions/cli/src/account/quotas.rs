//! Service Quotas and EC2: how much storage of a volume type the account may have in the region, and how much it has.

use aws_sdk_ec2::types::{Filter, Volume};
use volume_pool::ports::PortError;
use volume_pool_aws::classify;

use super::{Account, lacking};

/// The service that the quotas belong to, as Service Quotas names it.
const SERVICE: &str = "ebs";
/// The most volumes of one page (`DescribeVolumes`).
const PAGE: i32 = 500;

/// How much storage of one volume type there may be, and is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Storage {
    pub(crate) limit_tib: f64,
    pub(crate) used_gib: u64,
}

/// The code of the quota "Storage for ... volumes, in TiB" (AWS General Reference, "Amazon EBS endpoints and quotas"); nothing where
/// the type has none that is known here.
pub(crate) fn quota_code(volume_type: &str) -> Option<&'static str> {
    Some(match volume_type {
        "gp2" => "L-D18FCD1D",
        "gp3" => "L-7A658B76",
        "io1" => "L-FD252861",
        "io2" => "L-09BD8365",
        "st1" => "L-82ACEF56",
        "sc1" => "L-17AF77E8",
        "standard" => "L-9CF3C2EB",
        _ => return None,
    })
}

impl Account {
    /// `GetServiceQuota` and `DescribeVolumes` for one volume type.
    pub(crate) async fn storage(
        &self,
        volume_type: &str,
        code: &str,
    ) -> Result<Storage, PortError> {
        let limit_tib = self.quota(code).await?;
        Ok(Storage { limit_tib, used_gib: self.used_gib(volume_type).await? })
    }

    /// The quota as the account has it; where it has none of its own, as AWS gives it to everybody (`GetServiceQuota`: "If the
    /// applied quota value is not available for a quota, the quota is not retrieved").
    async fn quota(&self, code: &str) -> Result<f64, PortError> {
        const APPLIED: &str = "servicequotas:GetServiceQuota";
        const DEFAULT: &str = "servicequotas:GetAWSDefaultServiceQuota";
        let applied = self.quotas.get_service_quota().service_code(SERVICE).quota_code(code);
        match applied.send().await {
            Ok(answer) => {
                let value =
                    answer.quota().and_then(aws_sdk_servicequotas::types::ServiceQuota::value);
                return value.ok_or_else(|| lacking(APPLIED, code, "Value"));
            }
            Err(error) if classify::missing(&error) => {}
            Err(error) => return Err(classify::unanswered(APPLIED, &error)),
        }
        let default = self.quotas.get_aws_default_service_quota().service_code(SERVICE);
        let answer = default.quota_code(code).send().await;
        let answer = answer.map_err(|error| classify::unanswered(DEFAULT, &error))?;
        let value = answer.quota().and_then(aws_sdk_servicequotas::types::ServiceQuota::value);
        value.ok_or_else(|| lacking(DEFAULT, code, "Value"))
    }

    async fn used_gib(&self, volume_type: &str) -> Result<u64, PortError> {
        const CALL: &str = "ec2:DescribeVolumes";
        let of_type = Filter::builder().name("volume-type").values(volume_type).build();
        let pages = self.ec2.describe_volumes().filters(of_type).into_paginator().page_size(PAGE);
        let volumes = pages.items().send().collect::<Result<Vec<Volume>, _>>().await;
        let volumes = volumes.map_err(|error| classify::unanswered(CALL, &error))?;
        let sizes = volumes.iter().filter_map(Volume::size);
        Ok(sizes.filter_map(|size| u64::try_from(size).ok()).sum())
    }
}
