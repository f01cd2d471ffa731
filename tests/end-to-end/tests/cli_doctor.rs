//! `stateful-asg doctor`, the real binary: silent on a good group, and on groups that are bad in every way that can be
//! planted here it names each fault. Nothing in here is mended: no function runs on the bad cloud.

#[allow(dead_code, reason = "each test takes what it needs of it")]
mod shared;

use std::collections::BTreeSet;

use aws_sdk_autoscaling::types::{
    InstanceLifecyclePolicy, InstanceMaintenancePolicy, InstanceReusePolicy,
    LaunchTemplateSpecification, LifecycleHookSpecification, RetentionAction, RetentionTriggers,
    Tag as GroupTag, WarmPoolState,
};
use aws_sdk_ec2::types::{
    LaunchTemplateBlockDeviceMappingRequest, LaunchTemplateEbsBlockDeviceRequest,
    LaunchTemplateInstanceMetadataOptionsRequest, LaunchTemplateInstanceMetadataTagsState,
    LaunchTemplateTagSpecificationRequest, RequestLaunchTemplateData, ResourceType, Tag,
    TagSpecification, VolumeType,
};
use end_to_end::Account;
use local_cloud::cloud::{Cloud, Options};
use local_cloud::world::{Config, LifecycleState};
use serde_json::Value;
use volume_pool::Timestamp;
use volume_pool::policy::Policy;
use volume_pool::ports::LeaseStore as _;
use volume_pool::record::{Format, Group, Origin, Pool, Record, Slot, SlotState, SlotVolume};
use volume_pool::transition::{Expect, Transaction, Write};
use volume_pool_aws::LeaseTable;

use shared::group::ZONE;
use shared::tool::{stateful_asg, stateful_asg_as};
use shared::trial::{LIMIT, SPEED, TABLE, Trial, options};
use shared::{Failure, ensure, same};

const LAUNCHING: &str = "autoscaling:EC2_INSTANCE_LAUNCHING";
const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";
const TWO_ZONES: &[&str] = &["eu-central-1a", "eu-central-1b"];

#[tokio::test]
async fn on_a_good_group_it_is_silent_and_exits_with_zero() -> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        trial.stateful(&[ZONE], r#"{"pool":"cassandra"}"#).await?;
        let said = stateful_asg(&trial.cloud, &["doctor", "--strict"]).await?.ended(0)?;
        same("what it said", &(said.out.as_str(), said.err.as_str()), &("", ""))?;
        let asked = stateful_asg(&trial.cloud, &["doctor", "--verbose"]).await?.ended(0)?;
        same("what it found", &asked.out.as_str(), &"")?;
        ensure(asked.err.starts_with("not looked at: "), || asked.err.clone())
    })
    .await
}

#[tokio::test]
async fn what_the_caller_may_not_see_around_the_groups_is_said_on_demand() -> Result<(), Failure> {
    let cloud = Cloud::start(Options { schedule: None, ..Options::default() }).await?;
    let account = Account::at(&cloud.env()).await;
    let told = Bad { cloud: &cloud, account: &account }.without_permissions().await;
    cloud.shutdown().await;
    told
}

#[tokio::test]
async fn where_no_group_is_enrolled_it_says_so_and_exits_with_zero() -> Result<(), Failure> {
    Trial::tell(options()?, async |trial: &Trial| {
        let said = stateful_asg(&trial.cloud, &["doctor", "--strict"]).await?.ended(0)?;
        same("what it found", &said.out.as_str(), &"")?;
        ensure(said.err.starts_with("no group carries the tag stateful-asg:pool"), || {
            said.err.clone()
        })
    })
    .await
}

#[tokio::test]
async fn every_fault_that_is_planted_is_named() -> Result<(), Failure> {
    let world = Config { speed: SPEED, seed: 1, ..Config::default() };
    let cloud = Cloud::start(Options { world, schedule: None, ..Options::default() }).await?;
    let account = Account::at(&cloud.env()).await;
    let named = Bad { cloud: &cloud, account: &account }.named().await;
    cloud.shutdown().await;
    same("codes", &named?, &planted())
}

/// Every code that doctor knows.
fn planted() -> BTreeSet<String> {
    let codes = "capacity-rebalance dead-letters device-collides heartbeat-short hook-limit-short hook-misnamed key-closed key-unusable launch-goes-on \
                 launches-first launches-given-up metadata-tag-key metadata-tags-off no-dead-letter-queue no-launch-hook no-tag \
                 no-terminate-hook no-volume not-enrolled nothing-to-create-from observes other-terminate-hook \
                 policies-differ policy-fault pool-mismatch pool-name pool-paused pool-rebuilding several-hooks \
                 several-zones slot-quarantined slot-stale slots-short storage-quota tag-propagates template-pool-tag template-volume \
                 terminate-abandons volume-copied-tag volume-deleted volume-multi-attach volume-not-shown warm-pool \
                 warm-pool-mounted zone-rebalance";
    codes.split_whitespace().map(str::to_owned).collect()
}

/// A group, by what is wrong with it.
#[derive(Default)]
struct Plan<'a> {
    name: &'a str,
    zones: &'a [&'a str],
    sizes: (i32, i32),
    tag: Option<&'a str>,
    propagated: bool,
    template: Option<RequestLaunchTemplateData>,
    hooks: Vec<LifecycleHookSpecification>,
}

fn hook(name: &str, transition: &str, policy: Option<&str>) -> LifecycleHookSpecification {
    spoilt_hook(name, transition, policy, 300, "CONTINUE")
}

fn spoilt_hook(
    name: &str,
    transition: &str,
    policy: Option<&str>,
    heartbeat: i32,
    result: &str,
) -> LifecycleHookSpecification {
    LifecycleHookSpecification::builder()
        .lifecycle_hook_name(name)
        .lifecycle_transition(transition)
        .heartbeat_timeout(heartbeat)
        .default_result(result)
        .set_notification_metadata(policy.map(str::to_owned))
        .build()
}

fn launch(policy: &str) -> LifecycleHookSpecification {
    spoilt_hook("stateful-asg-launch", LAUNCHING, Some(policy), 300, "ABANDON")
}

fn terminate() -> LifecycleHookSpecification {
    hook("stateful-asg-terminate", TERMINATING, None)
}

/// A volume that is made with each instance, and deleted with it.
fn device(name: &str) -> LaunchTemplateBlockDeviceMappingRequest {
    let ebs = LaunchTemplateEbsBlockDeviceRequest::builder()
        .volume_size(10)
        .delete_on_termination(true)
        .build();
    LaunchTemplateBlockDeviceMappingRequest::builder().device_name(name).ebs(ebs).build()
}

fn tagged(kind: ResourceType, key: &str, value: &str) -> LaunchTemplateTagSpecificationRequest {
    LaunchTemplateTagSpecificationRequest::builder()
        .resource_type(kind)
        .tags(Tag::builder().key(key).value(value).build())
        .build()
}

/// A cloud with something wrong everywhere.
struct Bad<'a> {
    cloud: &'a Cloud,
    account: &'a Account,
}

impl Bad<'_> {
    /// Plants every fault, and gives the codes that doctor finds.
    async fn named(&self) -> Result<BTreeSet<String>, Failure> {
        self.without_hooks_or_tag().await?;
        self.settings().await?;
        self.policies().await?;
        self.pool().await?;
        self.letters().await?;
        self.keys_and_quotas().await?;
        let everything = ["doctor", "--json"];
        let asked = ["doctor", "untagged", "stranger", "--json"];
        let mut codes = BTreeSet::new();
        for arguments in [everything.as_slice(), asked.as_slice()] {
            let said = stateful_asg(self.cloud, arguments).await?.ended(5)?;
            let report: Value = serde_json::from_str(&said.out)?;
            same("what could not be read", &report["unread"], &Value::Array(Vec::new()))?;
            for finding in report["findings"].as_array().into_iter().flatten() {
                for field in ["severity", "subject", "reason", "mend"] {
                    ensure(finding[field].as_str().is_some_and(|text| !text.is_empty()), || {
                        format!("no {field}: {finding}")
                    })?;
                }
                codes.insert(finding["code"].as_str().unwrap_or_default().to_owned());
            }
        }
        Ok(codes)
    }

    /// An event that reached no function, and no place for those that a function fails at.
    async fn letters(&self) -> Result<(), Failure> {
        let sqs = &self.account.sqs;
        let url = async |name: &str| -> Result<String, Failure> {
            let found = sqs.get_queue_url().queue_name(name).send().await?;
            Ok(found.queue_url.ok_or("a queue without URL")?)
        };
        let undelivered = url("stateful-asg-undelivered").await?;
        sqs.send_message().queue_url(undelivered).message_body("{}").send().await?;
        let failed = url("stateful-asg-failed").await?;
        sqs.delete_queue().queue_url(failed).send().await?;
        Ok(())
    }

    /// A good group under a key, looked at by somebody who may see nothing around it.
    async fn without_permissions(&self) -> Result<(), Failure> {
        self.cloud.with_world(|world| world.enable_key("mine"));
        let policy = r#"{"pool":"good","volumes":[{"name":"data","device":"/dev/sdf","template":{"type":"gp3","sizeGiB":1,"kmsKeyId":"mine"}}]}"#;
        let (name, tag) = ("good", Some("good"));
        let hooks = vec![launch(policy), terminate()];
        self.create(Plan { name, tag, sizes: (0, 3), hooks, ..Plan::default() }).await?;
        let rest = r#"{"Statement":[{"Effect":"Allow","Action":["autoscaling:*","dynamodb:*","ec2:*"],"Resource":"*"}]}"#;
        let session = self.account.sts.get_federation_token().name("doctor").policy(rest);
        let session = session.send().await?.credentials.ok_or("no credentials")?;
        let credentials = [
            ("AWS_ACCESS_KEY_ID", session.access_key_id()),
            ("AWS_SECRET_ACCESS_KEY", session.secret_access_key()),
            ("AWS_SESSION_TOKEN", session.session_token()),
        ];
        let asked = async |how: &str| {
            stateful_asg_as(self.cloud, &credentials, &["doctor", how]).await?.ended(0)
        };
        let said = asked("--strict").await?;
        same("what it said", &(said.out.as_str(), said.err.as_str()), &("", ""))?;
        let said = asked("--verbose").await?.err;
        for (refused, look) in [
            ("sqs:GetQueueUrl", "--queue-name stateful-asg-failed "),
            ("kms:DescribeKey", "aws kms describe-key --key-id mine "),
            ("servicequotas:GetServiceQuota", "--quota-code L-7A658B76 "),
        ] {
            ensure(said.contains(refused) && said.contains(look), || format!("{refused}: {said}"))?;
        }
        Ok(())
    }

    /// A group whose policy would create volumes under keys that can't be used, and more than the account may have.
    async fn keys_and_quotas(&self) -> Result<(), Failure> {
        self.cloud.with_world(|world| {
            world.disable_key("disabled");
            world.enable_key("closed");
            world.put_key_policy("closed", r#"{"Statement":[]}"#);
            world.set_storage_limit(Some(1024));
        });
        let volume = |name: &str, device: &str, key: &str| {
            format!(
                r#"{{"name":"{name}","device":"/dev/{device}","template":{{"type":"gp3","sizeGiB":500,"kmsKeyId":"{key}"}}}}"#
            )
        };
        let volumes = [volume("data", "sdf", "disabled"), volume("log", "sdg", "closed")];
        let policy = format!(r#"{{"pool":"large","volumes":[{}]}}"#, volumes.join(","));
        let (name, tag) = ("large", Some("large"));
        let hooks = vec![launch(&policy), terminate()];
        self.create(Plan { name, tag, sizes: (0, 3), hooks, ..Plan::default() }).await
    }

    async fn create(&self, plan: Plan<'_>) -> Result<(), Failure> {
        let template = plan.template.unwrap_or_else(|| readable().build());
        self.account
            .ec2
            .create_launch_template()
            .launch_template_name(plan.name)
            .launch_template_data(template)
            .send()
            .await?;
        let tag = plan.tag.map(|pool| {
            GroupTag::builder()
                .key("stateful-asg:pool")
                .value(pool)
                .propagate_at_launch(plan.propagated)
                .build()
        });
        let zones = if plan.zones.is_empty() { &[ZONE] } else { plan.zones };
        self.account
            .auto_scaling
            .create_auto_scaling_group()
            .auto_scaling_group_name(plan.name)
            .launch_template(
                LaunchTemplateSpecification::builder().launch_template_name(plan.name).build(),
            )
            .min_size(0)
            .desired_capacity(plan.sizes.0)
            .max_size(plan.sizes.1)
            .set_availability_zones(Some(zones.iter().map(|zone| (*zone).to_owned()).collect()))
            .set_tags(tag.map(|tag| vec![tag]))
            .set_lifecycle_hook_specification_list((!plan.hooks.is_empty()).then_some(plan.hooks))
            .send()
            .await?;
        Ok(())
    }

    async fn without_hooks_or_tag(&self) -> Result<(), Failure> {
        let misnamed = hook("node-launch", LAUNCHING, Some(r#"{"pool":"bare"}"#));
        self.create(Plan {
            name: "bare",
            tag: Some("bare"),
            propagated: true,
            hooks: vec![misnamed],
            ..Plan::default()
        })
        .await?;
        let hooks = vec![launch(r#"{"pool":"untagged","whenEmpty":"wait"}"#), terminate()];
        self.create(Plan { name: "untagged", hooks, ..Plan::default() }).await?;
        self.create(Plan { name: "stranger", ..Plan::default() }).await
    }

    async fn settings(&self) -> Result<(), Failure> {
        let template = readable()
            .block_device_mappings(device("/dev/sdf"))
            .block_device_mappings(device("/dev/sdg"))
            .tag_specifications(tagged(ResourceType::Instance, "cost centre", "7"))
            .tag_specifications(tagged(ResourceType::Volume, "stateful-asg:pool", "settings"));
        let policy = r#"{"pool":"settings","whenEmpty":"wait"}"#;
        self.create(Plan {
            name: "settings",
            zones: TWO_ZONES,
            sizes: (0, 2),
            tag: Some("settings"),
            template: Some(template.build()),
            hooks: vec![
                spoilt_hook("stateful-asg-launch", LAUNCHING, Some(policy), 30, "CONTINUE"),
                spoilt_hook("stateful-asg-terminate", TERMINATING, None, 300, "ABANDON"),
                hook("drain", TERMINATING, None),
            ],
            ..Plan::default()
        })
        .await?;
        let kept = RetentionTriggers::builder().terminate_hook_abandon(RetentionAction::Retain);
        self.account
            .auto_scaling
            .update_auto_scaling_group()
            .auto_scaling_group_name("settings")
            .capacity_rebalance(true)
            .instance_maintenance_policy(
                InstanceMaintenancePolicy::builder()
                    .min_healthy_percentage(100)
                    .max_healthy_percentage(110)
                    .build(),
            )
            .instance_lifecycle_policy(
                InstanceLifecyclePolicy::builder().retention_triggers(kept.build()).build(),
            )
            .send()
            .await?;
        self.create(Plan {
            name: "settings-2",
            tag: Some("settings"),
            hooks: vec![
                launch(r#"{"pool":"settings","whenEmpty":"wait","waitSeconds":60}"#),
                terminate(),
            ],
            ..Plan::default()
        })
        .await
    }

    async fn policies(&self) -> Result<(), Failure> {
        let plain = RequestLaunchTemplateData::builder().image_id("ami-0123456789abcdef0");
        let second = hook("stateful-asg-launch-2", LAUNCHING, None);
        self.create(Plan {
            name: "faulty",
            zones: TWO_ZONES,
            tag: Some("faulty"),
            template: Some(plain.build()),
            hooks: vec![launch(r#"{"pool":"faulty","secs":3}"#), second, terminate()],
            ..Plan::default()
        })
        .await?;
        self.account
            .auto_scaling
            .suspend_processes()
            .auto_scaling_group_name("faulty")
            .scaling_processes("AZRebalance")
            .send()
            .await?;
        self.warm_pool("faulty", WarmPoolState::Stopped).await?;
        let hooks = vec![launch(r#"{"pool":"empty","mode":"observe"}"#), terminate()];
        let (name, tag) = ("mismatch", Some("other"));
        self.create(Plan { name, tag, hooks, ..Plan::default() }).await?;
        let (name, tag) = ("names", Some("my pool"));
        let hooks = vec![launch(r#"{"pool":"names"}"#), terminate()];
        self.create(Plan { name, tag, hooks, ..Plan::default() }).await?;
        self.warm_pool("names", WarmPoolState::Running).await
    }

    async fn warm_pool(&self, group: &str, state: WarmPoolState) -> Result<(), Failure> {
        self.account
            .auto_scaling
            .put_warm_pool()
            .auto_scaling_group_name(group)
            .pool_state(state)
            .instance_reuse_policy(InstanceReusePolicy::builder().reuse_on_scale_in(true).build())
            .send()
            .await?;
        Ok(())
    }

    /// A group that runs already, with a data volume of its template on one instance, nothing on the other, and records that
    /// don't fit what EC2 shows.
    async fn pool(&self) -> Result<(), Failure> {
        self.create(Plan { name: "pool", sizes: (2, 2), tag: Some("pool"), ..Plan::default() })
            .await?;
        let at_work = |group: &str| {
            self.cloud.inspect(|world| {
                let members = world.group(group).map(|group| group.members.clone());
                let members = members.unwrap_or_default().into_values();
                let serving = members.filter(|it| it.state == LifecycleState::InService);
                serving.map(|it| it.instance).collect::<Vec<String>>()
            })
        };
        let two = || Some(at_work("pool")).filter(|serving| serving.len() == 2);
        let serving =
            self.cloud.wait_for(LIMIT, two).await.map_err(|_| "nothing came into service")?;
        let holder = serving.first().ok_or("nobody serves")?;
        let held = self.account.tagged_volume("pool", ZONE).await?;
        self.available(&held).await?;
        self.account
            .ec2
            .attach_volume()
            .volume_id(&held)
            .instance_id(holder)
            .device("/dev/sdf")
            .send()
            .await?;
        let attached =
            || self.cloud.inspect(|world| !world.attachments_of(holder).is_empty()).then_some(());
        self.cloud.wait_for(LIMIT, attached).await.map_err(|_| "not attached")?;
        self.deleted_with(holder).await?;
        let copy = self.account.tagged_volume("pool", ZONE).await?;
        let slot = Tag::builder().key("stateful-asg:slot").value("pool-0").build();
        self.account.ec2.create_tags().resources(&copy).tags(slot).send().await?;
        let shared = TagSpecification::builder()
            .resource_type(ResourceType::Volume)
            .tags(Tag::builder().key("stateful-asg:pool").value("pool").build())
            .build();
        self.account
            .ec2
            .create_volume()
            .availability_zone(ZONE)
            .size(10)
            .iops(100)
            .volume_type(VolumeType::Io2)
            .multi_attach_enabled(true)
            .tag_specifications(shared)
            .send()
            .await?;
        let policy = r#"{"pool":"pool","staleAfterHours":1}"#;
        for hook in [launch(policy), terminate()] {
            self.account
                .auto_scaling
                .put_lifecycle_hook()
                .auto_scaling_group_name("pool")
                .set_lifecycle_hook_name(hook.lifecycle_hook_name)
                .set_lifecycle_transition(hook.lifecycle_transition)
                .set_heartbeat_timeout(hook.heartbeat_timeout)
                .set_default_result(hook.default_result)
                .set_notification_metadata(hook.notification_metadata)
                .send()
                .await?;
        }
        self.records(holder, &held, policy).await
    }

    async fn available(&self, volume: &str) -> Result<(), Failure> {
        let available = || {
            let state = self.cloud.inspect(|world| world.volume(volume).map(|it| it.state));
            state
                .is_ok_and(|state| state == local_cloud::world::VolumeState::Available)
                .then_some(())
        };
        self.cloud.wait_for(LIMIT, available).await.map_err(|_| "not available".into())
    }

    async fn deleted_with(&self, instance: &str) -> Result<(), Failure> {
        let ebs = aws_sdk_ec2::types::EbsInstanceBlockDeviceSpecification::builder()
            .delete_on_termination(true)
            .build();
        let mapping = aws_sdk_ec2::types::InstanceBlockDeviceMappingSpecification::builder()
            .device_name("/dev/sdf")
            .ebs(ebs)
            .build();
        self.account
            .ec2
            .modify_instance_attribute()
            .instance_id(instance)
            .block_device_mappings(mapping)
            .send()
            .await?;
        Ok(())
    }

    /// A paused pool that is being rebuilt, with one slot of each kind, and a group whose launches were given up.
    async fn records(&self, holder: &str, held: &str, policy: &str) -> Result<(), Failure> {
        let mut pool = Pool::new("pool".parse()?);
        pool.paused = true;
        pool.rebuilding = Some(Timestamp::from_millis(1));
        pool.next_index = 3;
        let mut group = Group::new("pool".parse()?, Policy::parse(Some(policy))?);
        group.abandons.insert(ZONE.parse()?, 3);
        let slots = [
            slot(0, SlotState::Leased { holder: holder.parse()? }, held)?,
            slot(1, SlotState::Free, "vol-00000000000000001")?,
            slot(2, SlotState::Quarantined, "vol-00000000000000002")?,
        ];
        let records = [Record::Pool(pool), Record::Group(group)];
        let records = records.into_iter().chain(slots.into_iter().map(Record::Slot));
        let writes = records.map(|record| Write::Put(record, Expect::Absent)).collect();
        let table = LeaseTable::new(self.account.dynamodb.clone(), TABLE.to_owned());
        table.commit(&Transaction { name: "test", writes, wakes: None }).await?;
        Ok(())
    }
}

fn slot(index: u32, state: SlotState, volume: &str) -> Result<Slot, Failure> {
    let created_at = Timestamp::from_millis(1);
    let volume = SlotVolume {
        name: "data".parse()?,
        volume: volume.parse()?,
        device: "/dev/sdf".parse()?,
        origin: Origin::Adopted,
        created_at,
    };
    Ok(Slot {
        id: format!("pool-{index}").parse()?,
        zone: ZONE.parse()?,
        version: 1,
        epoch: 1,
        state,
        recent_holders: Vec::new(),
        volumes: vec![volume],
        format: Format::Over,
        leased_at: None,
        released_at: Some(created_at),
        moving: None,
        reason: "planted".to_owned(),
    })
}

/// A template by which instances can read their tags.
fn readable() -> aws_sdk_ec2::types::builders::RequestLaunchTemplateDataBuilder {
    let options = LaunchTemplateInstanceMetadataOptionsRequest::builder()
        .instance_metadata_tags(LaunchTemplateInstanceMetadataTagsState::Enabled)
        .build();
    RequestLaunchTemplateData::builder().image_id("ami-0123456789abcdef0").metadata_options(options)
}
