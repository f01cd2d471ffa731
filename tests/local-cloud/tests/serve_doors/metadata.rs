//! The instance metadata service.

use hyper::Request;
use hyper::http::request::Builder;
use local_cloud::cloud::Cloud;
use local_cloud::world::{
    IMAGE, LaunchSpecification, LifecycleState, MetadataTags, PoolState, RunInstances,
};

use crate::client::{Reply, ec2, send};
use crate::function::quiet;

/// An instance with these tags allowed in its metadata or not, and its service.
async fn instance(cloud: &Cloud, metadata_tags: Option<MetadataTags>) -> (String, String) {
    let specification = LaunchSpecification {
        image_id: Some(IMAGE.to_owned()),
        instance_tags: [("stateful-asg:slot".to_owned(), "cassandra-0".to_owned())].into(),
        metadata_tags,
        ..LaunchSpecification::default()
    };
    let (min_count, max_count) = (1, 1);
    let request = RunInstances { specification, min_count, max_count, ..RunInstances::default() };
    let launched = cloud.with_world(|world| world.run_instances(request)).unwrap();
    let id = launched.into_iter().next().unwrap().id;
    let address = cloud.serve_metadata(&id).await.unwrap();
    (id, address)
}

async fn ask(address: &str, request: Builder) -> Reply {
    send(address, request, String::new()).await.unwrap()
}

/// Asks with a token, as it is to be.
async fn told(address: &str, path: &str) -> Option<String> {
    let lifetime = ("x-aws-ec2-metadata-token-ttl-seconds", "60");
    let token =
        ask(address, Request::put("/latest/api/token").header(lifetime.0, lifetime.1)).await;
    assert_eq!(token.status, 200, "{token:?}");
    let request = Request::get(format!("/latest/meta-data/{path}"));
    let reply = ask(address, request.header("x-aws-ec2-metadata-token", token.text)).await;
    match reply.status {
        200 => Some(reply.text),
        404 => None,
        _ => panic!("{reply:?}"),
    }
}

#[tokio::test]
async fn without_a_token_there_is_no_answer_and_without_a_lifetime_no_token() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    let (_, address) = instance(&cloud, Some(MetadataTags::Enabled)).await;
    let path = "/latest/meta-data/tags/instance";
    assert_eq!(ask(&address, Request::get(path)).await.status, 401);
    let wrong = Request::get(path).header("x-aws-ec2-metadata-token", "x");
    assert_eq!(ask(&address, wrong).await.status, 401);
    assert_eq!(ask(&address, Request::put("/latest/api/token")).await.status, 400);
    for lifetime in ["0", "21601", "soon"] {
        let request = Request::put("/latest/api/token");
        let request = request.header("x-aws-ec2-metadata-token-ttl-seconds", lifetime);
        assert_eq!(ask(&address, request).await.status, 400, "{lifetime}");
    }
    cloud.shutdown().await;
}

#[tokio::test]
async fn an_instance_is_told_its_place_and_its_tags_as_they_are_now() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    let (id, address) = instance(&cloud, Some(MetadataTags::Enabled)).await;
    assert_eq!(told(&address, "instance-id").await, Some(id.clone()));
    let zone = told(&address, "placement/availability-zone").await;
    assert_eq!(zone.as_deref(), Some("eu-central-1a"));
    assert_eq!(told(&address, "autoscaling/target-lifecycle-state").await, None);
    assert_eq!(told(&address, "tags/instance").await.as_deref(), Some("stateful-asg:slot"));
    let parameters = [("ResourceId.1", id.as_str()), ("Tag.1.Key", "b"), ("Tag.1.Value", "2")];
    ec2(&cloud.endpoint(), "CreateTags", &parameters).await.unwrap();
    assert_eq!(told(&address, "tags/instance").await.as_deref(), Some("b\nstateful-asg:slot"));
    assert_eq!(told(&address, "tags/instance/b").await.as_deref(), Some("2"));
    assert_eq!(told(&address, "tags/instance/c").await, None);
    cloud.shutdown().await;
}

#[tokio::test]
async fn tags_are_told_only_where_the_launch_allows_it() {
    let cloud = Cloud::start(quiet()).await.unwrap();
    for metadata_tags in [None, Some(MetadataTags::Disabled)] {
        let (_, address) = instance(&cloud, metadata_tags).await;
        assert_eq!(told(&address, "tags/instance").await, None);
        assert_eq!(told(&address, "tags/instance/stateful-asg:slot").await, None);
    }
    cloud.shutdown().await;
}

#[test]
fn the_target_is_where_a_state_leads() {
    let expected = [
        (LifecycleState::PendingWait, "InService"),
        (LifecycleState::TerminatingWait, "Terminated"),
        (LifecycleState::WarmedPendingWait, "Warmed:Running"),
        (LifecycleState::WarmedTerminatingWait, "Warmed:Terminated"),
        (LifecycleState::Standby, "Standby"),
        (LifecycleState::Detaching, "Detached"),
    ];
    for (state, target) in expected {
        assert_eq!(state.target(PoolState::Running), target, "{}", state.as_str());
    }
    assert_eq!(LifecycleState::WarmedPendingWait.target(PoolState::Stopped), "Warmed:Stopped");
}
