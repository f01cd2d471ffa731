//! The commands that mend: what a person may paste into a shell.

use volume_pool::ids::GroupName;

/// The text as one word of a POSIX shell.
pub(crate) fn word(text: &str) -> String {
    let plain = |it: char| it.is_ascii_alphanumeric() || "-_./:=,+@%".contains(it);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

/// `aws autoscaling <command> --auto-scaling-group-name <group> <rest>`
pub(crate) fn scaling(command: &str, group: &GroupName, rest: &str) -> String {
    format!("aws autoscaling {command} --auto-scaling-group-name {} {rest}", word(group.as_str()))
        .trim_end()
        .to_owned()
}

/// `stateful-asg enroll <group> <rest>`
pub(crate) fn enroll(group: &GroupName, rest: &str) -> String {
    format!("stateful-asg enroll {} {rest}", word(group.as_str())).trim_end().to_owned()
}

/// `aws autoscaling create-or-update-tags` for the group's pool.
pub(crate) fn tag(group: &GroupName, pool: &str) -> String {
    let tag = format!(
        "ResourceId={group},ResourceType=auto-scaling-group,Key=stateful-asg:pool,Value={pool},PropagateAtLaunch=false"
    );
    format!("aws autoscaling create-or-update-tags --tags {}", word(&tag))
}

/// `aws sqs <command>` for a queue by its name, with `rest`.
pub(crate) fn queue(command: &str, rest: &str, name: &str) -> String {
    format!(
        "aws sqs {command} {rest} --queue-url \"$(aws sqs get-queue-url --queue-name {} --query QueueUrl --output text)\"",
        word(name)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_a_shell_would_split_is_quoted() {
        assert_eq!(word("cassandra-a"), "cassandra-a");
        assert_eq!(word("my group"), "'my group'");
        assert_eq!(word("it's $HOME"), r"'it'\''s $HOME'");
        assert_eq!(word(""), "''");
        let group: GroupName = "my group".parse().unwrap();
        assert_eq!(enroll(&group, ""), "stateful-asg enroll 'my group'");
    }
}
