//! The functions may do what their code does, and nothing else: code, `infra/iam.md` and policies say the same.

use std::collections::BTreeSet;

use infra::permissions::{Permission, Statement, as_deployed, of_the_functions, rows, statements};
use infra::{Failure, calls, text};

/// The longest that a managed policy may be, white space not counted ("IAM and AWS STS quotas").
const LONGEST_POLICY: usize = 6144;

fn allowed(statements: &[Statement]) -> BTreeSet<Permission> {
    let allowed = statements.iter().filter(|statement| statement.text("Effect") == "Allow");
    let permissions = allowed.flat_map(|statement| {
        let with = |action: &str| (action.to_owned(), statement.only_with.clone());
        statement.actions().into_iter().map(with).collect::<Vec<_>>()
    });
    permissions.collect()
}

#[test]
fn the_table_lists_the_calls_in_the_code_and_no_others() -> Result<(), Failure> {
    let listed: Vec<String> = rows()?.into_iter().filter_map(|row| row.call).collect();
    let distinct: BTreeSet<String> = listed.iter().cloned().collect();
    assert_eq!(distinct.len(), listed.len(), "a call is listed twice");
    assert_eq!(distinct, calls::in_code()?);
    Ok(())
}

#[test]
fn the_policies_allow_what_the_table_asks_for_and_no_more() -> Result<(), Failure> {
    let asked: BTreeSet<Permission> = rows()?.into_iter().flat_map(|row| row.permissions).collect();
    assert_eq!(allowed(&statements()?), asked);
    Ok(())
}

#[test]
fn nothing_may_be_deleted_or_terminated_whatever_else_is_allowed() -> Result<(), Failure> {
    let statements = statements()?;
    let denied: BTreeSet<&str> = statements
        .iter()
        .filter(|statement| statement.text("Effect") == "Deny")
        .filter(|statement| statement.only_with.is_none() && statement.text("Resource") == "*")
        .filter(|statement| statement.condition_keys().is_empty())
        .flat_map(Statement::actions)
        .collect();
    let expected = ["ec2:DeleteSnapshot", "ec2:DeleteVolume", "ec2:TerminateInstances"];
    assert_eq!(denied, BTreeSet::from(expected));
    Ok(())
}

#[test]
fn whatever_changes_something_is_bound_to_a_resource_or_a_tag() -> Result<(), Failure> {
    let reads = ["Describe", "List"];
    for statement in statements()? {
        for action in statement.actions() {
            assert!(!action.contains('*'), "{action} in {}", statement.text("Sid"));
            let (service, name) = action.split_once(':').ok_or("an action without a service")?;
            let changes = !reads.iter().any(|read| name.starts_with(read));
            if statement.text("Effect") == "Deny" || !changes {
                continue;
            }
            assert_ne!(statement.text("Resource"), "*", "{action} in {}", statement.text("Sid"));
            let by_tag = statement
                .condition_keys()
                .iter()
                .any(|key| key.contains("Tag/") || *key == "ec2:CreateAction");
            assert!(service != "ec2" || by_tag, "{action} in {}", statement.text("Sid"));
        }
    }
    Ok(())
}

#[test]
fn what_is_checked_on_two_resources_is_allowed_on_both() -> Result<(), Failure> {
    let both = [
        ("ec2:AttachVolume", [":volume/", ":instance/"]),
        ("ec2:DetachVolume", [":volume/", ":instance/"]),
        ("ec2:ModifyInstanceAttribute", [":volume/", ":instance/"]),
        ("ec2:CreateTags", [":volume/", ":instance/"]),
        ("ssm:SendCommand", [":document/", ":instance/"]),
    ];
    let statements = statements()?;
    for (action, kinds) in both {
        for kind in kinds {
            let allowed = statements.iter().any(|statement| {
                let on = statement.text.get("Resource").map(as_deployed).unwrap_or_default();
                statement.actions().contains(&action) && on.to_string().contains(kind)
            });
            assert!(allowed, "{action} on {kind}");
        }
    }
    Ok(())
}

#[test]
fn each_statement_says_why_it_is_there() -> Result<(), Failure> {
    let text = text("infra/foundation.yaml")?;
    let mut explained = false;
    for line in text.lines().map(str::trim) {
        if let Some(sid) = line.strip_prefix("- Sid:") {
            assert!(explained, "{sid}");
        }
        // A condition stands between a statement and its comment.
        let condition = line == "- !If" || !line.contains(':') && line.starts_with("- ");
        explained = line.starts_with('#') || explained && condition;
    }
    Ok(())
}

#[test]
fn the_policy_is_no_longer_than_iam_takes_it() -> Result<(), Failure> {
    let of_loop = of_the_functions()?;
    assert!(!of_loop.is_empty());
    let written = serde_json::to_string(&of_loop)?;
    // Longer names, and more keys and documents than one, come on top.
    assert!(written.len() + 1000 < LONGEST_POLICY, "{} characters", written.len());
    Ok(())
}
