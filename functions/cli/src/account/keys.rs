//! KMS: whether a key can be used, and who may make grants on it.

use std::collections::BTreeSet;

use aws_sdk_kms::types::{GrantListEntry, GrantOperation, KeyManagerType, KeySpec};
use volume_pool::ports::PortError;
use volume_pool_aws::classify;

use super::{Account, lacking};

/// A KMS key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its ARN, whatever it was asked for by.
    pub(crate) arn: String,
    /// `KeyState`, as KMS names it.
    pub(crate) state: String,
    /// Whether AWS manages it, so that everybody in the account may use it through EBS.
    pub(crate) aws_managed: bool,
    /// Whether it is a symmetric key for encryption.
    pub(crate) symmetric: bool,
}

impl Account {
    /// `DescribeKey`, by id, ARN or alias; nothing where there is no such key.
    pub(crate) async fn key(&self, id: &str) -> Result<Option<Key>, PortError> {
        const CALL: &str = "kms:DescribeKey";
        let shown = match self.kms.describe_key().key_id(id).send().await {
            Ok(shown) => shown.key_metadata,
            Err(error) if classify::missing(&error) => return Ok(None),
            Err(error) => return Err(classify::unanswered(CALL, &error)),
        };
        let shown = shown.ok_or_else(|| lacking(CALL, id, "KeyMetadata"))?;
        Ok(Some(Key {
            arn: shown.arn().ok_or_else(|| lacking(CALL, id, "Arn"))?.to_owned(),
            state: shown
                .key_state()
                .map(|state| state.as_str().to_owned())
                .ok_or_else(|| lacking(CALL, id, "KeyState"))?,
            aws_managed: shown.key_manager() == Some(&KeyManagerType::Aws),
            symmetric: shown.key_spec() == Some(&KeySpec::SymmetricDefault),
        }))
    }

    /// `GetKeyPolicy`: the one policy that a key has.
    pub(crate) async fn key_policy(&self, arn: &str) -> Result<String, PortError> {
        const CALL: &str = "kms:GetKeyPolicy";
        let shown = self.kms.get_key_policy().key_id(arn).send().await;
        let shown = shown.map_err(|error| classify::unanswered(CALL, &error))?;
        shown.policy.ok_or_else(|| lacking(CALL, arn, "Policy"))
    }

    /// `ListGrants`, to the last page: whom a grant lets make further grants.
    pub(crate) async fn granting(&self, arn: &str) -> Result<BTreeSet<String>, PortError> {
        const CALL: &str = "kms:ListGrants";
        let pages = self.kms.list_grants().key_id(arn).into_paginator().items().send();
        let grants = pages.collect::<Result<Vec<GrantListEntry>, _>>().await;
        let grants = grants.map_err(|error| classify::unanswered(CALL, &error))?;
        let granting =
            grants.into_iter().filter(|it| it.operations().contains(&GrantOperation::CreateGrant));
        Ok(granting.filter_map(|grant| grant.grantee_principal).collect())
    }
}
