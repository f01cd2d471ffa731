//! Each finding fires on its fault and on nothing else: a sound group, one fault at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use clap::ValueEnum as _;
use volume_pool::Timestamp;
use volume_pool::action::{ActionResult, Transition};
use volume_pool::observation::{
    Attachment, AttachmentState, DeleteOnTermination, GroupInstance, GroupView, Hook,
    LifecycleState, Volume, VolumeState, tags,
};
use volume_pool::policy::{Policy, Template as VolumeTemplate};
use volume_pool::record::{self, Format, Origin, Slot, SlotState, SlotVolume};
use volume_pool_aws::enrolment::{
    GroupSettings, GroupTag, HookSettings, LaunchSource, Maintenance, Template, TemplateDevice,
    WarmPool,
};

use super::around::{Around, queues};
use super::finding::{Code, Finding, Severity};
use super::view::{Group, Pool, PoolRecords, View};
use super::{Report, judge, render, unseen};
use crate::account::{Key, Storage};
use crate::failure::Failure;

const NOW: Timestamp = Timestamp::from_millis(1_000_000_000);
const ZONE: &str = "eu-central-1a";
const INSTANCE: &str = "i-00000001";
const KEY: &str = "arn:aws:kms:eu-central-1:111122223333:key/1";
const POLICY: &str = r#"{"pool":"cassandra"}"#;

fn hook(name: &str, transition: Transition, metadata: Option<&str>) -> HookSettings {
    let default_result = match transition {
        Transition::Launching => ActionResult::Abandon,
        Transition::Terminating => ActionResult::Continue,
    };
    let hook = Hook {
        name: name.parse().unwrap(),
        transition,
        metadata: metadata.map(str::to_owned),
        heartbeat_timeout: Duration::from_mins(5),
        global_timeout: Duration::from_mins(500),
    };
    HookSettings { hook, default_result }
}

fn group(name: &str) -> Group {
    let member = GroupInstance {
        group: name.parse().unwrap(),
        zone: ZONE.parse().unwrap(),
        state: LifecycleState::InService,
    };
    let tag = GroupTag { value: "cassandra".to_owned(), propagated: false };
    let settings = GroupSettings {
        view: GroupView {
            name: name.parse().unwrap(),
            pool_tag: Some("cassandra".to_owned()),
            max_size: 2,
            desired: 1,
            members: BTreeMap::from([(INSTANCE.parse().unwrap(), member)]),
        },
        zones: BTreeSet::from([ZONE.parse().unwrap()]),
        tags: BTreeMap::from([(tags::POOL.to_owned(), tag)]),
        suspended: BTreeSet::new(),
        maintenance: None,
        capacity_rebalance: false,
        retains: false,
        warm_pool: None,
        source: LaunchSource::Template { id: "lt-1".to_owned(), version: "$Latest".to_owned() },
    };
    let hooks = vec![
        hook("stateful-asg-launch", Transition::Launching, Some(POLICY)),
        hook("stateful-asg-terminate", Transition::Terminating, None),
    ];
    let template = Template { version: 3, metadata_tags: true, ..Template::default() };
    Group { settings, asked: true, hooks: Some(hooks), template: Some(template), record: None }
}

fn volume(id: &str, holder: Option<&str>) -> Volume {
    let attachment = holder.map(|holder| Attachment {
        instance: Some(holder.parse().unwrap()),
        device: "/dev/sdf".to_owned(),
        state: AttachmentState::Attached,
        delete_on_termination: DeleteOnTermination::Keep,
        attached_at: NOW,
    });
    Volume {
        id: id.parse().unwrap(),
        zone: ZONE.parse().unwrap(),
        state: if holder.is_some() { VolumeState::InUse } else { VolumeState::Available },
        multi_attach: false,
        attachments: attachment.into_iter().collect(),
        tags: BTreeMap::from([(tags::POOL.to_owned(), "cassandra".to_owned())]),
        created_at: NOW.minus(Duration::from_hours(10)),
        like: VolumeTemplate {
            volume_type: "gp3".to_owned(),
            size_gib: 10,
            iops: None,
            throughput: None,
            encrypted: false,
            kms_key_id: None,
            tags: BTreeMap::new(),
        },
    }
}

fn slot(index: u32, state: SlotState, volume: &str) -> Slot {
    let volume = SlotVolume {
        name: "data".parse().unwrap(),
        volume: volume.parse().unwrap(),
        device: "/dev/sdf".parse().unwrap(),
        origin: Origin::Adopted,
        created_at: NOW.minus(Duration::from_hours(10)),
    };
    Slot {
        id: format!("cassandra-{index}").parse().unwrap(),
        zone: ZONE.parse().unwrap(),
        version: 1,
        epoch: 1,
        state,
        recent_holders: Vec::new(),
        volumes: vec![volume],
        format: Format::Over,
        leased_at: None,
        released_at: None,
        moving: None,
        reason: "its volume was deleted".to_owned(),
    }
}

/// One group with one instance, which holds the only slot: nothing is wrong with it.
fn sound() -> View {
    let holder = INSTANCE.parse().unwrap();
    let records = PoolRecords {
        pool: Some(record::Pool::new("cassandra".parse().unwrap())),
        slots: vec![slot(0, SlotState::Leased { holder }, "vol-00000001")],
    };
    let pool = Pool {
        records: Some(records),
        volumes: Some(vec![volume("vol-00000001", Some(INSTANCE))]),
    };
    View {
        now: NOW,
        table: "stateful-asg".to_owned(),
        hook_prefix: "stateful-asg".to_owned(),
        groups: vec![group("cassandra-a")],
        pools: BTreeMap::from([("cassandra".parse().unwrap(), pool)]),
        around: Around {
            queues: queues("stateful-asg").map(|name| (name, Ok(Some(0)))).into(),
            ..Around::default()
        },
        unread: Vec::new(),
    }
}

fn hooks(view: &mut View) -> &mut Vec<HookSettings> {
    view.groups[0].hooks.as_mut().unwrap()
}

fn template(view: &mut View) -> &mut Template {
    view.groups[0].template.as_mut().unwrap()
}

fn policy(view: &mut View, text: &str) {
    hooks(view)[0].hook.metadata = Some(text.to_owned());
}

fn pool(view: &mut View) -> &mut Pool {
    view.pools.values_mut().next().unwrap()
}

fn records(view: &mut View) -> &mut PoolRecords {
    pool(view).records.as_mut().unwrap()
}

fn volumes(view: &mut View) -> &mut Vec<Volume> {
    pool(view).volumes.as_mut().unwrap()
}

fn device(name: &str, deleted: bool) -> TemplateDevice {
    TemplateDevice { name: name.to_owned(), deleted }
}

/// A way to spoil a sound view.
type Spoil = fn(&mut View);

/// Every code, how bad it is, and the fault that it names.
const FAULTS: &[(Code, Severity, Spoil)] = &[
    (Code::NotEnrolled, Severity::Error, |view| {
        hooks(view).clear();
        untag(view);
    }),
    (Code::NoTag, Severity::Error, untag),
    (Code::PoolName, Severity::Error, |view| {
        view.groups[0].settings.view.pool_tag = Some("my pool".to_owned());
    }),
    (Code::NoLaunchHook, Severity::Error, |view| drop(hooks(view).remove(0))),
    (Code::NoTerminateHook, Severity::Error, |view| drop(hooks(view).remove(1))),
    (Code::SeveralHooks, Severity::Error, |view| {
        hooks(view).push(hook("stateful-asg-2", Transition::Launching, Some(POLICY)));
    }),
    (Code::SeveralHooks, Severity::Warning, |view| {
        hooks(view).push(hook("stateful-asg-2", Transition::Terminating, None));
    }),
    (Code::HookMisnamed, Severity::Error, |view| {
        hooks(view).push(hook("stateful-launch", Transition::Launching, Some(POLICY)));
    }),
    (Code::HeartbeatShort, Severity::Warning, |view| {
        hooks(view)[1].hook.heartbeat_timeout = Duration::from_secs(299);
    }),
    (Code::HeartbeatShort, Severity::Error, |view| {
        hooks(view)[0].hook.heartbeat_timeout = Duration::from_secs(119);
    }),
    (Code::HookLimitShort, Severity::Warning, |view| {
        hooks(view)[0].hook.global_timeout = Duration::from_secs(3_599);
    }),
    (Code::HookLimitShort, Severity::Warning, |view| {
        hooks(view)[1].hook.global_timeout = Duration::from_secs(299);
    }),
    (Code::LaunchGoesOn, Severity::Error, |view| {
        hooks(view)[0].default_result = ActionResult::Continue;
    }),
    (Code::TerminateAbandons, Severity::Warning, |view| {
        hooks(view)[1].default_result = ActionResult::Abandon;
        view.groups[0].settings.retains = true;
    }),
    (Code::TerminateAbandons, Severity::Warning, |view| {
        policy(view, r#"{"pool":"cassandra","leave":{"mode":"terminate"}}"#);
        hooks(view)[1].default_result = ActionResult::Abandon;
        hooks(view).push(hook("drain", Transition::Terminating, None));
    }),
    (Code::OtherTerminateHook, Severity::Warning, |view| {
        hooks(view).push(hook("drain", Transition::Terminating, None));
    }),
    (Code::PolicyFault, Severity::Error, |view| policy(view, r#"{"pool":"cassandra","secs":3}"#)),
    (Code::PoolMismatch, Severity::Error, |view| policy(view, r#"{"pool":"kafka"}"#)),
    (Code::PoliciesDiffer, Severity::Warning, |view| {
        let mut other = group("cassandra-b");
        other.settings.view = GroupView { max_size: 0, desired: 0, ..other.settings.view };
        other.settings.view.members.clear();
        view.groups.push(other);
        policy(view, r#"{"pool":"cassandra","mode":"enforce","waitSeconds":60}"#);
    }),
    (Code::Observes, Severity::Note, |view| {
        policy(view, r#"{"pool":"cassandra","mode":"observe"}"#);
    }),
    (Code::LaunchesFirst, Severity::Error, |view| maintain(view, 100, 110)),
    (Code::LaunchesFirst, Severity::Warning, |view| maintain(view, 90, 120)),
    (Code::CapacityRebalance, Severity::Warning, |view| {
        view.groups[0].settings.capacity_rebalance = true;
    }),
    (Code::ZoneRebalance, Severity::Warning, two_zones),
    (Code::SeveralZones, Severity::Note, |view| {
        two_zones(view);
        view.groups[0].settings.suspended.insert("AZRebalance".to_owned());
    }),
    (Code::WarmPool, Severity::Note, |view| warm(view, "Stopped")),
    (Code::WarmPoolMounted, Severity::Warning, |view| warm(view, "Hibernated")),
    (Code::TagPropagates, Severity::Warning, |view| {
        view.groups[0].settings.tags.values_mut().for_each(|tag| tag.propagated = true);
    }),
    (Code::DeviceCollides, Severity::Error, |view| {
        template(view).devices.push(device("/dev/xvdf", false));
    }),
    (Code::TemplateVolume, Severity::Warning, |view| {
        template(view).devices.push(device("/dev/sdg", true));
    }),
    (Code::TemplatePoolTag, Severity::Error, |view| {
        template(view).volume_tags.insert(tags::POOL.to_owned(), "cassandra".to_owned());
    }),
    (Code::MetadataTagsOff, Severity::Warning, |view| template(view).metadata_tags = false),
    (Code::MetadataTagKey, Severity::Error, |view| {
        template(view).instance_tags.insert("cost centre".to_owned());
    }),
    (Code::MetadataTagKey, Severity::Error, |view| {
        let tag = GroupTag { value: String::new(), propagated: true };
        view.groups[0].settings.tags.insert("team/data".to_owned(), tag);
    }),
    (Code::PoolPaused, Severity::Warning, |view| {
        records(view).pool.as_mut().unwrap().paused = true;
    }),
    (Code::PoolRebuilding, Severity::Warning, |view| {
        records(view).pool.as_mut().unwrap().rebuilding = Some(NOW);
    }),
    (Code::SlotQuarantined, Severity::Warning, |view| {
        records(view).slots.push(slot(1, SlotState::Quarantined, "vol-00000002"));
    }),
    (Code::SlotStale, Severity::Warning, |view| {
        policy(view, r#"{"pool":"cassandra","staleAfterHours":10}"#);
        records(view).slots.push(slot(1, SlotState::Free, "vol-00000002"));
        volumes(view).push(volume("vol-00000002", None));
    }),
    (Code::SlotsShort, Severity::Error, |view| {
        policy(view, r#"{"pool":"cassandra","maxSlotsPerZone":1}"#);
        view.groups[0].settings.view.desired = 2;
    }),
    (Code::SlotsShort, Severity::Warning, |view| {
        policy(view, r#"{"pool":"cassandra","whenEmpty":"wait"}"#);
    }),
    (Code::NothingToCreateFrom, Severity::Error, |view| {
        records(view).slots.clear();
        volumes(view).clear();
        view.groups[0].settings.view.members.clear();
    }),
    (Code::LaunchesGivenUp, Severity::Error, |view| {
        let group = &mut view.groups[0];
        let policy = Policy::for_pool("cassandra".parse().unwrap());
        let mut record = record::Group::new(group.name().clone(), policy);
        record.abandons.insert(ZONE.parse().unwrap(), 3);
        group.record = Some(record);
    }),
    (Code::VolumeNotShown, Severity::Warning, |view| {
        records(view).slots.push(slot(1, SlotState::Free, "vol-00000002"));
    }),
    (Code::VolumeCopiedTag, Severity::Warning, |view| {
        let mut copy = volume("vol-00000002", None);
        copy.tags.insert(tags::SLOT.to_owned(), "cassandra-0".to_owned());
        volumes(view).push(copy);
    }),
    (Code::VolumeMultiAttach, Severity::Error, |view| volumes(view)[0].multi_attach = true),
    (Code::VolumeDeleted, Severity::Error, |view| {
        volumes(view)[0].attachments[0].delete_on_termination = DeleteOnTermination::Delete;
    }),
    (Code::DeadLetters, Severity::Warning, |view| {
        letters(view, "stateful-asg-undelivered", Some(1));
    }),
    (Code::DeadLetters, Severity::Warning, |view| letters(view, "stateful-asg-failed", Some(7))),
    (Code::NoDeadLetterQueue, Severity::Note, |view| letters(view, "stateful-asg-failed", None)),
    (Code::KeyUnusable, Severity::Error, |view| key(view, |key| key.state = "Disabled".to_owned())),
    (Code::KeyUnusable, Severity::Error, |view| {
        key(view, |key| key.state = "PendingDeletion".to_owned());
    }),
    (Code::KeyUnusable, Severity::Error, |view| key(view, |key| key.symmetric = false)),
    (Code::KeyUnusable, Severity::Error, |view| {
        key(view, |_| ());
        view.around.keys.insert(KEY.to_owned(), Ok(None));
    }),
    (Code::KeyClosed, Severity::Warning, |view| {
        key(view, |_| ());
        view.around.access.insert(KEY.to_owned(), Ok(false));
    }),
    (Code::StorageQuota, Severity::Warning, |view| storage(view, 100, 1024 * 50)),
    (Code::NoVolume, Severity::Warning, |view| {
        let members = &mut view.groups[0].settings.view.members;
        let member = members.values().next().unwrap().clone();
        members.insert("i-00000002".parse().unwrap(), member);
    }),
];

fn untag(view: &mut View) {
    view.groups[0].settings.view.pool_tag = None;
    view.groups[0].settings.tags.clear();
    view.pools.clear();
}

/// The volume is under a key.
fn key(view: &mut View, spoil: fn(&mut Key)) {
    volumes(view)[0].like.kms_key_id = Some(KEY.to_owned());
    let mut key = Key {
        arn: KEY.to_owned(),
        state: "Enabled".to_owned(),
        aws_managed: false,
        symmetric: true,
    };
    spoil(&mut key);
    view.around.keys.insert(KEY.to_owned(), Ok(Some(key)));
    view.around.access.insert(KEY.to_owned(), Ok(true));
}

/// The pool may have so many slots, and the account has so much, of at most 50 TiB.
fn storage(view: &mut View, slots: u32, used_gib: u64) {
    policy(view, &format!(r#"{{"pool":"cassandra","maxSlotsPerZone":{slots}}}"#));
    let seen = Storage { limit_tib: 50.0, used_gib };
    view.around.storage.insert("gp3".to_owned(), Ok(seen));
}

fn letters(view: &mut View, queue: &str, count: Option<u64>) {
    view.around.queues.insert(queue.to_owned(), Ok(count));
}

fn maintain(view: &mut View, min_healthy: i32, max_healthy: i32) {
    view.groups[0].settings.maintenance = Some(Maintenance { min_healthy, max_healthy });
}

fn two_zones(view: &mut View) {
    view.groups[0].settings.zones.insert("eu-central-1b".parse().unwrap());
}

fn warm(view: &mut View, state: &str) {
    view.groups[0].settings.warm_pool = Some(WarmPool { state: state.to_owned(), reuses: true });
}

fn spoilt(spoil: Spoil) -> View {
    let mut view = sound();
    spoil(&mut view);
    view
}

#[test]
fn nothing_is_wrong_with_a_sound_group() {
    assert_eq!(judge::judge(&sound()), []);
}

#[test]
fn each_fault_is_found_alone_with_what_mends_it() {
    for (code, severity, spoil) in FAULTS {
        let found = judge::judge(&spoilt(*spoil));
        let codes: Vec<(Code, Severity)> =
            found.iter().map(|finding| (finding.code, finding.severity)).collect();
        assert_eq!(codes, [(*code, *severity)], "{found:#?}");
        let Finding { subject, reason, mend, .. } = &found[0];
        assert!(!subject.is_empty() && !reason.is_empty() && !mend.is_empty(), "{found:#?}");
    }
}

#[test]
fn every_code_has_a_fault_that_raises_it() {
    let raised: BTreeSet<Code> = FAULTS.iter().map(|(code, ..)| *code).collect();
    let all: BTreeSet<Code> = Code::value_variants().iter().copied().collect();
    assert_eq!(raised, all);
}

#[test]
fn what_could_not_be_read_is_no_fault() {
    let mut view = sound();
    view.groups[0].hooks = None;
    view.groups[0].template = None;
    *pool(&mut view) = Pool::default();
    view.around = Around::default();
    assert_eq!(judge::judge(&view), []);
}

#[test]
fn a_group_that_only_shares_the_pool_is_not_judged_but_its_instances_count() {
    let mut view = sound();
    let mut other = group("cassandra-b");
    other.asked = false;
    other.settings.capacity_rebalance = true;
    other.settings.view.members.clear();
    view.groups.push(other);
    for group in &mut view.groups {
        let text = r#"{"pool":"cassandra","whenEmpty":"wait"}"#;
        group.hooks.as_mut().unwrap()[0].hook.metadata = Some(text.to_owned());
    }
    let found = judge::judge(&view);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].severity, found[0].code), (Severity::Error, Code::SlotsShort));
    assert!(
        found[0]
            .reason
            .starts_with("slots there: 1; instances wanted there now: 2; none is created"),
        "{found:?}"
    );
}

#[test]
fn a_key_that_can_be_used_and_a_quota_that_suffices_are_no_fault() {
    let mut view = sound();
    key(&mut view, |_| ());
    // Ten more of the ten GiB that the pool's volume has.
    storage(&mut view, 11, 50 * 1024 - 100);
    assert_eq!(judge::judge(&view), []);
    storage(&mut view, 11, 50 * 1024 - 99);
    let found = judge::judge(&view);
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].mend.ends_with("--quota-code L-7A658B76 --desired-value 51"), "{found:?}");
}

#[test]
fn a_key_is_brought_back_by_what_its_state_asks_for() {
    let mut view = sound();
    key(&mut view, |key| key.state = "PendingDeletion".to_owned());
    let found = judge::judge(&view);
    let expected =
        format!("aws kms cancel-key-deletion --key-id {KEY} && aws kms enable-key --key-id {KEY}");
    assert_eq!(found[0].mend, expected);
    assert!(found[0].reason.contains("volumes of pool cassandra"), "{found:?}");
}

#[test]
fn volumes_that_would_be_adopted_count_as_slots_in_whole_sets() {
    let mut view = sound();
    let two = r#"{"pool":"cassandra","whenEmpty":"wait","volumes":[{"name":"data","device":"/dev/sdf"},{"name":"log","device":"/dev/sdg"}]}"#;
    policy(&mut view, two);
    volumes(&mut view).push(volume("vol-00000002", None));
    let short = |view: &View| judge::judge(view).iter().any(|it| it.code == Code::SlotsShort);
    assert!(short(&view), "one volume is half a slot");
    volumes(&mut view).push(volume("vol-00000003", None));
    assert!(!short(&view));
}

#[test]
fn the_worst_comes_first_and_a_command_is_a_line_of_its_own() {
    let mut view = sound();
    policy(&mut view, r#"{"pool":"cassandra","mode":"observe"}"#);
    view.groups[0].settings.capacity_rebalance = true;
    hooks(&mut view)[0].default_result = ActionResult::Continue;
    let text = render::findings(&judge::judge(&view));
    let heads: Vec<&str> = text.lines().filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(
        heads,
        [
            "error    launch-goes-on  group cassandra-a",
            "warning  capacity-rebalance  group cassandra-a",
            "note     observes  group cassandra-a",
        ]
    );
    let command = "    $ aws autoscaling put-lifecycle-hook --auto-scaling-group-name cassandra-a \
                   --lifecycle-hook-name stateful-asg-launch --default-result ABANDON";
    assert!(text.lines().any(|line| line == command), "{text}");
}

#[test]
fn the_exit_code_goes_by_errors_then_by_what_was_not_read_and_by_warnings_if_strict() {
    let report = |spoil: Spoil, unread: &[&str]| {
        let view = spoilt(spoil);
        let unread = unread.iter().map(|it| (*it).to_owned()).collect();
        Report { findings: judge::judge(&view), unread, unseen: unseen::unseen(&view) }
    };
    let fine: Spoil = |_| {};
    let warning: Spoil = |view| view.groups[0].settings.capacity_rebalance = true;
    let error: Spoil = |view| hooks(view)[0].default_result = ActionResult::Continue;
    let note: Spoil = |view| policy(view, r#"{"pool":"cassandra","mode":"observe"}"#);
    assert!(report(fine, &[]).verdict(true).is_ok());
    assert!(report(note, &[]).verdict(true).is_ok());
    assert!(report(warning, &[]).verdict(false).is_ok());
    assert!(matches!(
        report(warning, &[]).verdict(true),
        Err(Failure::Found { errors: 0, warnings: 1 })
    ));
    assert!(matches!(report(fine, &["hooks"]).verdict(false), Err(Failure::Unread)));
    assert!(matches!(
        report(error, &["hooks"]).verdict(false),
        Err(Failure::Found { errors: 1, warnings: 0 })
    ));
}

#[test]
fn what_is_never_looked_at_is_said_with_the_command_that_shows_it() {
    let mut view = View { table: "prod".to_owned(), ..sound() };
    view.around.queues = BTreeMap::from([("prod-failed".to_owned(), Err("refused".to_owned()))]);
    view.around.keys.insert(KEY.to_owned(), Err("refused".to_owned()));
    view.around.access.insert(KEY.to_owned(), Ok(true));
    view.around.storage.insert("gp3".to_owned(), Err("refused".to_owned()));
    let text = render::unseen(&unseen::unseen(&view));
    assert!(text.starts_with("not looked at: "), "{text}");
    for (what, command) in [
        ("event rules, their targets", "aws events list-rules --name-prefix prod- "),
        ("permissions", "aws lambda get-policy --function-name prod-lifecycle "),
        ("concurrency", "aws lambda get-function-concurrency --function-name prod-reconcile"),
        ("prod-failed", "--queue-name prod-failed "),
        ("quotas", "aws service-quotas list-service-quotas --service-code ebs "),
        ("gp3", "aws service-quotas get-service-quota --service-code ebs --quota-code L-7A658B76 "),
        (KEY, &format!("aws kms describe-key --key-id {KEY} ")),
        (KEY, &format!("aws kms get-key-policy --key-id {KEY} ")),
    ] {
        assert!(text.contains(what), "{what}: {text}");
        let commands = text.lines().filter_map(|line| line.strip_prefix("    $ "));
        assert_eq!(commands.filter(|line| line.contains(command)).count(), 1, "{command}: {text}");
    }
}

#[test]
fn what_could_not_be_read_is_said_a_line_each() {
    assert_eq!(render::unread(&[]), "");
    let problems = ["hooks: refused".to_owned(), "tags: refused".to_owned()];
    assert_eq!(
        render::unread(&problems),
        "could not be read: hooks: refused\ncould not be read: tags: refused\n"
    );
}

#[test]
fn that_no_group_is_enrolled_is_said_where_none_was_named() {
    let none = View { groups: Vec::new(), pools: BTreeMap::new(), ..sound() };
    let report = Report { findings: judge::judge(&none), unread: Vec::new(), unseen: Vec::new() };
    assert!(report.verdict(true).is_ok());
    assert!(render::enrolled(&none).starts_with("no group carries the tag stateful-asg:pool"));
    assert_eq!(render::enrolled(&sound()), "");
}
