//! The example group would work: its policy parses, its hooks are ours, and events are given up before its actions time out.

use infra::Failure;
use infra::template::load;
use serde_json::Value;
use volume_pool::policy::Policy;

/// The one definition that all groups of the example are made from.
fn group() -> Result<Value, Failure> {
    let template = load("example-group.yaml")?;
    let group = template.pointer("/Resources/Fn::ForEach::Groups/2/Group${Index}/Properties");
    Ok(group.ok_or("the example has no groups")?.clone())
}

fn hooks(group: &Value) -> Result<&Vec<Value>, Failure> {
    Ok(group["LifecycleHookSpecificationList"].as_array().ok_or("the group has no hooks")?)
}

#[test]
fn its_policy_parses_in_either_mode() -> Result<(), Failure> {
    let group = group()?;
    let metadata = &hooks(&group)?[0]["NotificationMetadata"]["Fn::Sub"];
    let metadata = metadata.as_str().ok_or("the launch hook has no metadata")?;
    for mode in ["observe", "enforce"] {
        let text = metadata
            .replace("${Pool}", "cassandra")
            .replace("${Mode}", mode)
            .replace("${SizeGiB}", "100");
        let policy: Policy = Policy::parse(Some(&text))?;
        assert_eq!(policy.pool.as_str(), "cassandra");
    }
    Ok(())
}

#[test]
fn it_has_both_hooks_under_our_prefix_and_the_tag_by_which_it_is_found() -> Result<(), Failure> {
    let group = group()?;
    let wiring = load("wiring.yaml")?;
    let prefix = wiring["Parameters"]["HookPrefix"]["Default"].as_str().ok_or("no prefix")?;
    let age = wiring["Parameters"]["MaximumEventAgeSeconds"]["Default"].as_i64();
    let mut transitions = Vec::new();
    for hook in hooks(&group)? {
        assert!(hook["LifecycleHookName"].as_str().is_some_and(|name| name.starts_with(prefix)));
        assert!(age < hook["HeartbeatTimeout"].as_i64(), "events outlive {hook}");
        transitions.push(hook["LifecycleTransition"].as_str().unwrap_or_default());
    }
    let both = ["autoscaling:EC2_INSTANCE_LAUNCHING", "autoscaling:EC2_INSTANCE_TERMINATING"];
    assert_eq!(transitions, both);
    let tags = group["Tags"].as_array().ok_or("the group has no tags")?;
    assert!(tags.iter().any(|tag| tag["Key"] == "stateful-asg:pool"));
    Ok(())
}

#[test]
fn its_user_data_is_that_of_the_cassandra_example_with_the_settings_of_the_template()
-> Result<(), Failure> {
    let template = load("example-group.yaml")?;
    let data = "/Resources/Node/Properties/LaunchTemplateData/UserData/Fn::Base64/Fn::Sub";
    let data = template.pointer(data).and_then(Value::as_str).ok_or("it has no user data")?;
    let example = infra::text("infra/instance/examples/cassandra/user-data.sh")?;
    let settings = ["ARTIFACTS=", "SEEDS=", "CLUSTER="];
    let is_setting = |line: &&str| settings.iter().any(|setting| line.starts_with(setting));
    let rest = |text: &str| {
        text.lines().filter(|line| !is_setting(line)).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(rest(data), rest(&example));
    let set: Vec<&str> = data.lines().filter(is_setting).collect();
    let expected =
        ["ARTIFACTS=${Artifacts}", "SEEDS=${Seeds}", "CLUSTER=${Pool} REGION=${AWS::Region}"];
    assert_eq!(set, expected);
    Ok(())
}
