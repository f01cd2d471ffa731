//! Whether a key's policy can let the functions make grants at all. Only the answer no is certain: what the conditions of a statement
//! come to, and what IAM adds, is not judged.

use serde_json::Value;

/// What EC2 asks of the caller where a volume under the key is attached (`infra/iam.md`).
const ACTION: &str = "kms:creategrant";

/// Whether some statement allows it to the functions' roles, or to an account: then IAM decides (AWS KMS Developer Guide, "Default key
/// policy": "Allows access to the AWS account and enables IAM policies"). What can't be read is taken for a yes.
pub(super) fn lets_in(policy: &str, stack: &str) -> bool {
    let Ok(policy) = serde_json::from_str::<Value>(policy) else { return true };
    one_or_more(&policy["Statement"]).any(|statement| {
        statement["Effect"] == "Allow" && acts(statement) && names(statement, stack)
    })
}

/// Whether this principal may be one of the functions': the roles are named as in `infra/foundation.yaml`.
pub(super) fn is_ours(principal: &str, stack: &str) -> bool {
    let role = principal.split_once(":role/").map(|(_, path)| path.rsplit('/').next());
    role.flatten().is_some_and(|name| {
        ["lifecycle", "reconcile"]
            .iter()
            .any(|function| name.starts_with(&format!("{stack}-{function}")))
    })
}

fn acts(statement: &Value) -> bool {
    let matches = |pattern: &str| {
        let pattern = pattern.to_lowercase();
        match pattern.split_once(['*', '?']) {
            Some((beginning, _)) => ACTION.starts_with(beginning),
            None => pattern == ACTION,
        }
    };
    !statement["NotAction"].is_null()
        || one_or_more(&statement["Action"]).filter_map(Value::as_str).any(matches)
}

fn names(statement: &Value, stack: &str) -> bool {
    // An account is named by its number or by its root; anybody, by a star.
    let account = |it: &str| it == "*" || it.ends_with(":root") || it.parse::<u64>().is_ok();
    let principal = &statement["Principal"];
    let of_aws = one_or_more(&principal["AWS"]).filter_map(Value::as_str);
    !statement["NotPrincipal"].is_null()
        || principal == "*"
        || of_aws.into_iter().any(|it| account(it) || is_ours(it, stack))
}

/// Policies have one of a thing, or a list.
fn one_or_more(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice).iter()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lets_in_by(effect: &str, principal: &Value, action: &Value) -> bool {
        let statement = json!({ "Effect": effect, "Principal": principal, "Action": action });
        lets_in(&json!({ "Statement": [statement] }).to_string(), "prod")
    }

    #[test]
    fn an_account_or_a_role_of_ours_that_may_make_grants_is_let_in() {
        let all = json!("kms:*");
        let root = json!({ "AWS": "arn:aws:iam::111122223333:root" });
        assert!(lets_in_by("Allow", &root, &all));
        assert!(lets_in_by("Allow", &root, &json!(["kms:Describe*", "kms:Create*"])));
        assert!(lets_in_by("Allow", &json!("*"), &all));
        assert!(lets_in_by("Allow", &json!({ "AWS": ["111122223333"] }), &all));
        let ours = "arn:aws:iam::111122223333:role/path/prod-lifecycle-eu-central-1";
        assert!(lets_in_by("Allow", &json!({ "AWS": ours }), &json!("kms:CreateGrant")));
        assert!(!lets_in_by("Deny", &root, &all));
        assert!(!lets_in_by("Allow", &root, &json!("kms:Decrypt")));
        let theirs = json!({ "AWS": "arn:aws:iam::111122223333:role/Admin" });
        assert!(!lets_in_by("Allow", &theirs, &all));
        assert!(!lets_in_by("Allow", &json!({ "Service": "ec2.amazonaws.com" }), &all));
    }

    #[test]
    fn what_is_not_understood_is_not_held_against_it() {
        assert!(lets_in("no JSON", "prod"));
        let inverted =
            json!({ "Statement": { "Effect": "Allow", "NotPrincipal": {}, "NotAction": [] } });
        assert!(lets_in(&inverted.to_string(), "prod"));
        assert!(!lets_in("{}", "prod"));
    }
}
