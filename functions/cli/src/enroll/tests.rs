//! From what is typed, and what the group has, to the calls and the code.

use std::time::Duration;

use clap::Parser;
use volume_pool::action::{ActionResult, Transition};
use volume_pool::observation::Hook;
use volume_pool::policy::{LeaveMode, Mode, Policy, WhenEmpty};
use volume_pool_aws::enrolment::HookSettings;

use super::plan::{self, Change, OurHooks, Plan};
use super::wanted::{Wanted, wanted};
use super::{Arguments, Format, print};
use crate::failure::Failure;

#[derive(Parser)]
struct Typed {
    #[command(flatten)]
    arguments: Arguments,
}

fn typed(line: &str) -> Arguments {
    Typed::parse_from(["enroll", "cassandra-a"].into_iter().chain(line.split_whitespace()))
        .arguments
}

fn hook(name: &str, transition: Transition, metadata: Option<&str>) -> HookSettings {
    let hook = Hook {
        name: name.parse().unwrap(),
        transition,
        metadata: metadata.map(str::to_owned),
        heartbeat_timeout: Duration::from_mins(10),
        global_timeout: Duration::from_hours(16),
    };
    HookSettings { hook, default_result: ActionResult::Abandon }
}

fn launch(metadata: &str) -> HookSettings {
    hook("stateful-asg-join", Transition::Launching, Some(metadata))
}

fn terminate() -> HookSettings {
    hook("stateful-asg-part", Transition::Terminating, None)
}

/// The plan for a group with these hooks and this tag.
fn planned(hooks: &[HookSettings], tag: Option<&str>, line: &str) -> Result<Plan, Failure> {
    let arguments = typed(line);
    let ours = plan::our_hooks("stateful-asg", hooks)?;
    let current = ours.launch.and_then(|launch| launch.hook.metadata.as_deref());
    let wanted = wanted(current, tag, &arguments)?;
    plan::plan("stateful-asg", tag, &ours, &wanted, arguments.heartbeat)
}

fn read(current: Option<&str>, tag: Option<&str>, line: &str) -> Wanted {
    wanted(current, tag, &typed(line)).unwrap()
}

/// A policy file for one test, gone with it.
struct PolicyFile(std::path::PathBuf);

impl PolicyFile {
    fn new(name: &str, text: &str) -> Self {
        let file = std::env::temp_dir().join(format!("{name}-{}.json", std::process::id()));
        std::fs::write(&file, text).unwrap();
        Self(file)
    }

    fn line(&self) -> String {
        format!("--policy {}", self.0.display())
    }
}

impl Drop for PolicyFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

#[test]
fn a_new_group_begins_by_observing_unless_it_is_told() {
    assert_eq!(read(None, None, "--pool a").text, r#"{"mode":"observe","pool":"a"}"#);
    assert_eq!(read(None, None, "--pool a --enforce").policy.mode, Mode::Enforce);
    let file = PolicyFile::new("begins", r#"{"pool":"a","waitSeconds":60}"#);
    assert_eq!(read(None, None, &file.line()).policy.mode, Mode::Observe);
    let told = PolicyFile::new("told", r#"{"pool":"a","mode":"enforce"}"#);
    assert_eq!(read(None, None, &told.line()).policy.mode, Mode::Enforce);
}

#[test]
fn a_group_that_is_enrolled_keeps_its_mode_and_every_field_that_is_not_given() {
    let current = r#"{"pool":"a","staleAfterHours":240,"leave":{"mode":"ssm","document":"drain"}}"#;
    let wanted = read(Some(current), Some("a"), "--wait-seconds 60");
    assert_eq!(wanted.policy.mode, Mode::Enforce);
    assert_eq!(wanted.policy.stale_after_hours, Some(240));
    assert_eq!(wanted.policy.wait_seconds, 60);
    assert_eq!(wanted.policy.leave.mode, LeaveMode::Ssm);
    let file = PolicyFile::new("keeps", r#"{"pool":"a"}"#);
    assert_eq!(read(Some(current), Some("a"), &file.line()).policy.mode, Mode::Enforce);
    assert_eq!(read(Some(current), Some("a"), "--observe").policy.mode, Mode::Observe);
}

#[test]
fn the_fields_that_are_typed_are_in_the_policy() {
    let line = "--pool a --create 100 --max-slots-per-zone 3 --on-timeout abandon --leave terminate --leave-seconds 60";
    let policy = read(None, None, line).policy;
    assert_eq!(policy.when_empty, WhenEmpty::Create);
    assert_eq!(policy.max_slots_per_zone, Some(3));
    let template = policy.volumes[0].template.clone().unwrap();
    assert_eq!((template.size_gib, template.encrypted), (100, true));
    assert_eq!((policy.leave.mode, policy.leave.seconds), (LeaveMode::Terminate, 60));
    let waits = read(None, None, "--pool a --when-empty wait").policy;
    assert_eq!(waits.when_empty, WhenEmpty::Wait);
}

#[test]
fn what_the_functions_would_refuse_is_refused_here() {
    let refused = |current, tag, line: &str| match wanted(current, tag, &typed(line)) {
        Err(Failure::Usage(problem)) => problem,
        other => panic!("{other:?}"),
    };
    assert!(
        refused(None, None, "--pool a --wait-seconds 999999").starts_with("waitSeconds: 999999")
    );
    assert!(refused(None, None, "--enforce").starts_with("which pool?"));
    let typo = PolicyFile::new("typo", r#"{"pool":"a","maxSlotPerZone":3}"#);
    assert!(refused(None, None, &typo.line()).contains("unknown field `maxSlotPerZone`"));
    let file = PolicyFile::new("other", r#"{"pool":"b"}"#);
    let line = format!("--pool a {}", file.line());
    assert!(refused(None, None, &line).starts_with("--pool says a, and the policy b"));
    let two = r#"{"pool":"a","volumes":[{"name":"x","device":"/dev/sdf"},{"name":"y","device":"/dev/sdg"}]}"#;
    assert!(
        refused(Some(two), None, "--create 10").starts_with("--create is for slots of one volume")
    );
}

#[test]
fn metadata_is_ascii_and_still_says_the_same() {
    let text = r#"{"pool":"a","volumes":[{"name":"data","device":"/dev/sdf","template":{"sizeGiB":1,"tags":{"team":"Größe 🦀"}}}]}"#;
    let file = PolicyFile::new("ascii", text);
    let wanted = read(None, None, &file.line());
    assert!(wanted.text.is_ascii(), "{}", wanted.text);
    assert_eq!(wanted.policy.volumes, Policy::parse(Some(text)).unwrap().volumes);
}

#[test]
fn the_tag_comes_first_and_the_launch_hook_last() {
    let plan = planned(&[], None, "--pool a").unwrap();
    let order: Vec<String> = plan
        .changes
        .iter()
        .map(|change| match change {
            Change::Tag(pool) => format!("tag {pool}"),
            Change::Hook(hook) => {
                let result = hook.default_result.as_str();
                format!("{} {} {result}", hook.name, hook.heartbeat_seconds)
            }
        })
        .collect();
    assert_eq!(
        order,
        ["tag a", "stateful-asg-terminate 300 CONTINUE", "stateful-asg-launch 300 ABANDON"]
    );
    let Some(Change::Hook(launch)) = plan.changes.last() else { panic!("{plan:?}") };
    assert_eq!(launch.metadata.as_deref(), Some(r#"{"mode":"observe","pool":"a"}"#));
}

#[test]
fn run_again_it_shows_the_difference_and_changes_that_alone() {
    let hooks = [launch(r#"{"pool":"a","mode":"observe"}"#), terminate()];
    assert_eq!(planned(&hooks, Some("a"), "").unwrap(), Plan::default());
    let plan = planned(&hooks, Some("a"), "--enforce").unwrap();
    assert_eq!(plan.lines, ["hook stateful-asg-join: mode: observe -> enforce"]);
    let [Change::Hook(hook)] = plan.changes.as_slice() else { panic!("{plan:?}") };
    assert_eq!((hook.name.as_str(), hook.heartbeat_seconds), ("stateful-asg-join", 600));
    let plan = planned(&hooks, Some("a"), "--heartbeat 300").unwrap();
    assert_eq!(
        plan.lines,
        [
            "hook stateful-asg-part: heartbeat timeout 600 s -> 300 s",
            "hook stateful-asg-join: heartbeat timeout 600 s -> 300 s"
        ]
    );
    let mut goes_on = launch(r#"{"pool":"a"}"#);
    goes_on.default_result = ActionResult::Continue;
    let plan = planned(&[goes_on, terminate()], Some("a"), "").unwrap();
    assert_eq!(plan.lines, ["hook stateful-asg-join: default result CONTINUE -> ABANDON"]);
    let plan = planned(&[launch("{}"), terminate()], Some("a"), "").unwrap();
    assert_eq!(
        plan.lines,
        [
            r#"hook stateful-asg-join: policy {"mode":"observe","pool":"a"} in place of one that does not parse"#
        ]
    );
}

#[test]
fn a_group_of_another_pool_and_one_with_two_launch_hooks_are_refused() {
    let refused = |hooks: &[HookSettings], tag, line: &str| match planned(hooks, tag, line) {
        Err(Failure::Refused(problem)) => problem,
        other => panic!("{other:?}"),
    };
    let hooks = [launch(r#"{"pool":"a"}"#), terminate()];
    assert!(refused(&hooks, Some("a"), "--pool b").starts_with("the group is enrolled in pool a"));
    assert!(refused(&[], Some("a"), "--pool b").starts_with("the group is enrolled in pool a"));
    let two = [launch("{}"), hook("stateful-asg-2", Transition::Launching, None)];
    assert!(refused(&two, None, "--pool a").starts_with("the group has several launching hooks"));
    let theirs = [hook("drain", Transition::Launching, None)];
    assert_eq!(planned(&theirs, None, "--pool a").unwrap().changes.len(), 3);
}

#[test]
fn as_code_it_is_the_same_and_quotes_what_the_language_would_read_otherwise() {
    let policy = r#"{"pool":"a","note":"it's ${x}"}"#;
    let hooks = plan::new_hooks("stateful-asg", policy, None).unwrap();
    let group = "my group".parse().unwrap();
    let pool = "a".parse().unwrap();
    let cloudformation = print::code(Format::CloudFormation, &group, &pool, &hooks);
    let expected = r#"# Properties of the AWS::AutoScaling::AutoScalingGroup
LifecycleHookSpecificationList:
  - LifecycleHookName: "stateful-asg-launch"
    LifecycleTransition: autoscaling:EC2_INSTANCE_LAUNCHING
    HeartbeatTimeout: 300
    DefaultResult: ABANDON
    NotificationMetadata: '{"pool":"a","note":"it''s ${x}"}'
  - LifecycleHookName: "stateful-asg-terminate"
    LifecycleTransition: autoscaling:EC2_INSTANCE_TERMINATING
    HeartbeatTimeout: 300
    DefaultResult: CONTINUE
Tags:
  - Key: stateful-asg:pool
    Value: "a"
    PropagateAtLaunch: false
"#;
    assert_eq!(cloudformation, expected);
    let terraform = print::code(Format::Terraform, &group, &pool, &hooks);
    let metadata = r#"  notification_metadata  = "{\"pool\":\"a\",\"note\":\"it's $${x}\"}""#;
    assert!(terraform.lines().any(|line| line == metadata), "{terraform}");
    let label = r#"resource "aws_autoscaling_lifecycle_hook" "stateful_asg_my_group_launching" {"#;
    assert!(terraform.lines().any(|line| line == label), "{terraform}");
    assert_eq!(terraform.matches("autoscaling_group_name = \"my group\"").count(), 3);
}

#[test]
fn no_hooks_are_ours_where_none_begins_with_the_prefix() {
    let theirs = [hook("drain", Transition::Terminating, None)];
    let OurHooks { launch, terminate } = plan::our_hooks("stateful-asg", &theirs).unwrap();
    assert!(launch.is_none() && terminate.is_none());
}
