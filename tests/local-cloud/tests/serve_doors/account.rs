//! What an account shows of its keys and quotas.

use hyper::Request;
use local_cloud::cloud::Cloud;
use serde_json::{Value, json};

use crate::client::{PERSON, Reply, send, signature};
use crate::function::quiet;

async fn call(cloud: &Cloud, service: &str, target: &str, request: Value) -> Reply {
    let head = Request::post("/")
        .header("authorization", signature(PERSON, service))
        .header("x-amz-target", target);
    send(&cloud.endpoint(), head, request.to_string()).await.unwrap()
}

async fn kms(cloud: &Cloud, operation: &str, key: &str) -> Reply {
    call(cloud, "kms", &format!("TrentService.{operation}"), json!({ "KeyId": key })).await
}

async fn quota(cloud: &Cloud, operation: &str, code: &str) -> Reply {
    let asked = json!({ "ServiceCode": "ebs", "QuotaCode": code });
    call(cloud, "servicequotas", &format!("ServiceQuotasV20190624.{operation}"), asked).await
}

#[tokio::test]
async fn a_key_shows_its_state_and_its_policy() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    cloud.with_world(|world| world.enable_key("mine"));
    let shown = async || kms(&cloud, "DescribeKey", "mine").await.json()["KeyMetadata"].clone();
    let key = shown().await;
    assert_eq!((&key["KeyState"], &key["KeyManager"]), (&json!("Enabled"), &json!("CUSTOMER")));
    assert!(key["Arn"].as_str().unwrap().ends_with(":key/mine"), "{key}");
    cloud.with_world(|world| world.disable_key("mine"));
    assert_eq!(shown().await["KeyState"], "Disabled");

    let policy = async || kms(&cloud, "GetKeyPolicy", "mine").await.json()["Policy"].clone();
    assert!(policy().await.as_str().unwrap().contains(":root"));
    cloud.with_world(|world| world.put_key_policy("mine", "{}"));
    assert_eq!(policy().await, "{}");
    assert_eq!(kms(&cloud, "ListGrants", "mine").await.json()["Grants"], json!([]));

    let managed = kms(&cloud, "DescribeKey", "alias/aws/ebs").await.json();
    assert_eq!(managed["KeyMetadata"]["KeyManager"], "AWS");
    let lost = kms(&cloud, "DescribeKey", "lost").await;
    assert_eq!((lost.status, &lost.json()["__type"]), (400, &json!("NotFoundException")));
    let unknown = kms(&cloud, "CreateKey", "mine").await.json();
    assert_eq!(unknown["__type"], "UnknownOperationException");
    cloud.shutdown().await;
}

#[tokio::test]
async fn a_quota_is_that_of_the_account_or_else_everybodys() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    let none = quota(&cloud, "GetServiceQuota", "L-7A658B76").await;
    assert_eq!((none.status, &none.json()["__type"]), (400, &json!("NoSuchResourceException")));
    let default = quota(&cloud, "GetAWSDefaultServiceQuota", "L-7A658B76").await.json();
    assert_eq!(default["Quota"]["Value"], 50.0);
    cloud.with_world(|world| world.set_storage_limit(Some(1536)));
    let applied = quota(&cloud, "GetServiceQuota", "L-7A658B76").await.json();
    assert_eq!(applied["Quota"]["Value"], 1.5);
    let unknown = quota(&cloud, "GetAWSDefaultServiceQuota", "L-00000000").await;
    assert_eq!(unknown.json()["__type"], "NoSuchResourceException");
    cloud.shutdown().await;
}
