//! What the functions' role may not do is refused, in each service's words, and the log of calls says what was asked of it.

use hyper::Request;
use local_cloud::cloud::{Cloud, LIFECYCLE, Options};
use local_cloud::iam::{Policy, Verdict};
use serde_json::{Value, json};

use crate::LIMIT;
use crate::client::{PERSON, Reply, dynamodb, ec2, send, signature};
use crate::function::{Deployment, quiet};

/// Attaches tagged volumes to any instance, and updates records.
fn policy() -> Policy {
    let statements = [
        json!({
            "Sid": "TaggedVolumes", "Effect": "Allow", "Action": ["ec2:AttachVolume", "ec2:CreateVolume"],
            "Resource": "arn:aws:ec2:eu-central-1:123456789012:volume/*",
            "Condition": { "StringLike": { "aws:ResourceTag/pool": "?*" } },
        }),
        json!({
            "Sid": "AnyInstance", "Effect": "Allow", "Action": "ec2:AttachVolume",
            "Resource": "arn:aws:ec2:eu-central-1:123456789012:instance/*",
        }),
        json!({
            "Sid": "NewVolumes", "Effect": "Allow", "Action": "ec2:CreateVolume", "Resource": "*",
            "Condition": { "StringLike": { "aws:RequestTag/pool": "?*" } },
        }),
        json!({
            "Sid": "TagNewVolumes", "Effect": "Allow", "Action": "ec2:CreateTags", "Resource": "*",
            "Condition": { "StringEquals": { "ec2:CreateAction": "CreateVolume" } },
        }),
        json!({ "Sid": "Records", "Effect": "Allow", "Action": "dynamodb:UpdateItem", "Resource": "*" }),
    ];
    Policy::parse(&statements).unwrap()
}

/// A call of EC2 by the function.
async fn by_function(cloud: &Cloud, access_key: &str, form: &str) -> Reply {
    let request = Request::post("/").header("authorization", signature(access_key, "ec2"));
    send(&cloud.endpoint(), request, format!("{form}&Version=2016-11-15")).await.unwrap()
}

/// The action that was asked for last, and what the policy said of it.
fn judged(cloud: &Cloud) -> Vec<(String, Verdict)> {
    let permissions = cloud.calls().pop().unwrap().permissions.into_iter();
    permissions.map(|it| (it.action, it.verdict)).collect()
}

fn allowed(action: &str, statement: &str) -> (String, Verdict) {
    (action.to_owned(), Verdict::Allowed(vec![statement.to_owned()]))
}

#[tokio::test]
async fn a_function_may_do_what_its_role_allows_and_a_person_anything() {
    let options = Options { policy: Some(policy()), ..quiet() };
    let mut deployment = Deployment::start(options).await;
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    let process = deployment.process().await;
    process.next().await;
    let (cloud, key) = (&deployment.cloud, process.access_key.as_str());

    // An untagged volume is nothing to the function; who made it may do with it what they like.
    let made = [("AvailabilityZone", "eu-central-1a"), ("Size", "1")];
    assert_eq!(ec2(&cloud.endpoint(), "CreateVolume", &made).await.unwrap().status, 200);
    assert_eq!(judged(cloud), []);
    let volume = cloud.inspect(|world| world.volumes().next().unwrap().id.clone());
    let attach = format!("Action=AttachVolume&VolumeId={volume}&InstanceId=i-1&Device=/dev/sdf");
    let refused = by_function(cloud, key, &attach).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("UnauthorizedOperation"), "{}", refused.text);
    let instance = allowed("ec2:AttachVolume", "AnyInstance");
    assert_eq!(
        judged(cloud),
        [("ec2:AttachVolume".to_owned(), Verdict::NotAllowed), instance.clone()]
    );
    // Tagged, it gets past the policy: now it is the instance that there is not.
    let tag = [("ResourceId.1", volume.as_str()), ("Tag.1.Key", "pool"), ("Tag.1.Value", "p")];
    assert_eq!(ec2(&cloud.endpoint(), "CreateTags", &tag).await.unwrap().status, 200);
    assert!(by_function(cloud, key, &attach).await.text.contains("InvalidInstanceID"));
    assert_eq!(judged(cloud), [allowed("ec2:AttachVolume", "TaggedVolumes"), instance]);

    // A volume with tags takes two actions, and needs them at once.
    let create = "Action=CreateVolume&AvailabilityZone=eu-central-1a&Size=1";
    assert_eq!(by_function(cloud, key, create).await.status, 403);
    let tags = "TagSpecification.1.ResourceType=volume&TagSpecification.1.Tag.1.Key=pool&TagSpecification.1.Tag.1.Value=p";
    assert_eq!(by_function(cloud, key, &format!("{create}&{tags}")).await.status, 200);
    assert_eq!(
        judged(cloud),
        [allowed("ec2:CreateVolume", "NewVolumes"), allowed("ec2:CreateTags", "TagNewVolumes")]
    );
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_transaction_takes_the_actions_of_its_parts() {
    let options = Options { policy: Some(policy()), ..quiet() };
    let mut deployment = Deployment::start(options).await;
    deployment.cloud.invoke(LIFECYCLE, json!(1)).unwrap();
    let process = deployment.process().await;
    process.next().await;
    let cloud = &deployment.cloud;
    let key = json!({ "pk": { "S": "a" }, "sk": { "S": "b" } });
    let update = json!({ "Update": {
        "TableName": "stateful-asg", "Key": key, "UpdateExpression": "SET n = :n",
        "ExpressionAttributeValues": { ":n": { "N": "1" } },
    } });
    let delete = json!({ "Delete": { "TableName": "stateful-asg", "Key": { "pk": { "S": "c" }, "sk": { "S": "d" } } } });
    let write = async |access_key: &str, parts: &[&Value]| {
        let request = json!({ "TransactItems": parts });
        let endpoint = cloud.endpoint();
        let write = dynamodb(&endpoint, access_key, "TransactWriteItems", &request);
        tokio::time::timeout(LIMIT, write).await.unwrap().unwrap()
    };
    assert_eq!(write(&process.access_key, &[&update]).await.status, 200);
    assert_eq!(judged(cloud), [allowed("dynamodb:UpdateItem", "Records")]);
    let refused = write(&process.access_key, &[&update, &delete]).await;
    assert_eq!(refused.status, 400);
    assert!(refused.text.contains("AccessDeniedException"), "{}", refused.text);
    assert_eq!(write(PERSON, &[&update, &delete]).await.status, 200);
    deployment.shutdown().await;
}

#[tokio::test]
async fn a_session_may_do_what_its_policy_allows() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    let begin = async |caller: &str, parameters: &[(&str, &str)]| {
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("Version", "2011-06-15")
            .extend_pairs(parameters)
            .finish();
        let request = Request::post("/").header("authorization", signature(caller, "sts"));
        send(&cloud.endpoint(), request, form).await.unwrap()
    };
    let assume = async |policy: String| {
        let role = ("RoleArn", "arn:aws:iam::123456789012:role/any");
        let (action, name) = (("Action", "AssumeRole"), ("RoleSessionName", "test"));
        begin(PERSON, &[action, role, name, ("Policy", &policy)]).await
    };
    let federate = async |caller: &str, policy: Option<&str>| {
        let mut parameters = vec![("Action", "GetFederationToken"), ("Name", "test")];
        parameters.extend(policy.map(|it| ("Policy", it)));
        begin(caller, &parameters).await
    };
    let key = |begun: Reply| {
        assert_eq!(begun.status, 200, "{}", begun.text);
        let (_, key) = begun.text.split_once("<AccessKeyId>").unwrap();
        key.split_once('<').unwrap().0.to_owned()
    };
    let look = json!({ "Version": "2012-10-17", "Statement": [
        { "Sid": "Look", "Effect": "Allow", "Action": "ec2:DescribeVolumes", "Resource": "*" },
    ] });
    let of_a_role = key(assume(look.to_string()).await);
    let of_a_user = key(federate(PERSON, Some(&look.to_string())).await);
    for key in [&of_a_role, &of_a_user] {
        assert_eq!(by_function(&cloud, key, "Action=DescribeVolumes").await.status, 200);
        let refused = by_function(&cloud, key, "Action=DescribeInstances").await;
        assert!(refused.text.contains("UnauthorizedOperation"), "{}", refused.text);
    }
    let of_nothing = key(federate(PERSON, None).await);
    assert_eq!(by_function(&cloud, &of_nothing, "Action=DescribeVolumes").await.status, 403);
    let refused = federate(&of_a_role, None).await;
    assert_eq!(refused.status, 403);
    assert!(refused.text.contains("session credentials"), "{}", refused.text);

    for (policy, code) in [
        (format!("{look}{}", " ".repeat(2_048)), "ValidationError"),
        ("{".to_owned(), "MalformedPolicyDocument"),
    ] {
        let refused = assume(policy).await;
        assert_eq!(refused.status, 400);
        assert!(refused.text.contains(code), "{}", refused.text);
    }
    cloud.shutdown().await;
}
