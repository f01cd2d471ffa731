//! `DescribeVolumes` and `DescribeInstances`: every filter, several at once, wildcards, pages, and ids that are wrong.

use local_cloud::world::{
    CreateVolume, Filter, InstanceView, LaunchSpecification, Page, PageRequest, RunInstances, Tags,
    Volume, World,
};

use crate::staging::{new_volume, pass, request, run, running, specification, world};

fn any(name: &str, values: &[&str]) -> Filter {
    Filter { name: name.to_owned(), values: values.iter().map(|it| (*it).to_owned()).collect() }
}

fn volumes(world: &World, filters: &[Filter]) -> Vec<String> {
    let page = world.describe_volumes(&[], filters, &PageRequest::default()).unwrap();
    page.items.into_iter().map(|volume| volume.id).collect()
}

fn instances(world: &World, filters: &[Filter]) -> Vec<String> {
    let page = world.describe_instances(&[], filters, &PageRequest::default()).unwrap();
    page.items.into_iter().map(|view| view.instance.id).collect()
}

fn sorted<const N: usize>(ids: [&String; N]) -> Vec<String> {
    let mut ids: Vec<String> = ids.into_iter().cloned().collect();
    ids.sort();
    ids
}

fn tags(pairs: &[(&str, &str)]) -> Tags {
    pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
}

#[test]
fn volumes_are_found_by_tags_zones_states_and_holders() {
    let mut world = world();
    let red = CreateVolume { tags: tags(&[("pool", "red*"), ("n", "1")]), ..request("a") };
    let red = world.create_volume(red).unwrap().id;
    let rose = CreateVolume { tags: tags(&[("pool", "red-2")]), ..request("b") };
    let rose = world.create_volume(rose).unwrap().id;
    pass(&mut world, 5);
    let plain = world.create_volume(request("a")).unwrap().id;
    let instance = world.run_instances(run("a")).unwrap().remove(0).id;
    let root = world.attachments_of(&instance)[0].volume.clone();
    pass(&mut world, 15);
    world.attach_volume(&red, &instance, "/dev/sdf").unwrap();
    let fresh = world.create_volume(request("c")).unwrap().id;

    for (filters, expected) in [
        (vec![any("tag:pool", &["red-*"])], vec![rose.clone()]),
        (vec![any("tag:pool", &["red\\*"])], vec![red.clone()]),
        (vec![any("tag:pool", &["red\\*", "red-?"])], sorted([&red, &rose])),
        (vec![any("tag:pool", &["RED-2"])], vec![]),
        (vec![any("tag-key", &["n", "nothing"])], vec![red.clone()]),
        (vec![any("tag-key", &["po*"])], sorted([&red, &rose])),
        (
            vec![any("availability-zone", &["eu-central-1b", "eu-central-1c"])],
            sorted([&rose, &fresh]),
        ),
        (vec![any("status", &["creating"])], vec![fresh.clone()]),
        (vec![any("status", &["available", "in-use"])], sorted([&red, &rose, &plain, &root])),
        (vec![any("attachment.instance-id", &[&instance])], sorted([&red, &root])),
        (vec![any("attachment.status", &["attaching"])], vec![red.clone()]),
        (vec![any("attachment.device", &["/dev/sd*"])], vec![red.clone()]),
        (vec![any("attachment.delete-on-termination", &["true"])], vec![root.clone()]),
        (vec![any("volume-id", &[&plain, &rose, "vol-0"])], sorted([&plain, &rose])),
        (vec![any("size", &["8"])], vec![root.clone()]),
        (vec![any("tag-key", &["pool"]), any("availability-zone", &["*a"])], vec![red.clone()]),
        (vec![any("status", &[])], vec![]),
    ] {
        assert_eq!(volumes(&world, &filters), expected, "{filters:?}");
    }
}

#[test]
fn instances_are_found_by_ids_states_and_tags() {
    let mut world = world();
    let tagged = RunInstances {
        specification: LaunchSpecification {
            instance_tags: tags(&[("pool", "db")]),
            ..specification()
        },
        ..run("a")
    };
    let tagged = world.run_instances(tagged).unwrap().remove(0).id;
    let stopped = running(&mut world, "b");
    world.stop_instances(std::slice::from_ref(&stopped)).unwrap();
    pass(&mut world, 60);
    let booting = world.run_instances(run("c")).unwrap().remove(0).id;
    for (filters, expected) in [
        (vec![any("instance-state-name", &["running"])], vec![tagged.clone()]),
        (vec![any("instance-state-name", &["stop*", "pending"])], sorted([&stopped, &booting])),
        (vec![any("instance-id", &[&tagged, &booting])], sorted([&tagged, &booting])),
        (vec![any("instance-id", &["i-0"])], vec![]),
        (vec![any("tag:pool", &["d?"])], vec![tagged.clone()]),
        (vec![any("availability-zone", &["eu-central-1b"])], vec![stopped.clone()]),
    ] {
        assert_eq!(instances(&world, &filters), expected, "{filters:?}");
    }
    let ids = [tagged.clone(), booting.clone()];
    let named = world.describe_instances(&ids, &[], &PageRequest::default()).unwrap();
    let named: Vec<String> = named.items.into_iter().map(|view| view.instance.id).collect();
    assert_eq!(named, sorted([&tagged, &booting]));
}

#[test]
fn one_bad_id_fails_the_whole_call_and_every_missing_one_is_named() {
    let mut world = world();
    let volume = new_volume(&mut world, "a");
    let instance = running(&mut world, "a");
    let page = PageRequest::default();
    let ask_volumes = |ids: &[&str]| {
        let ids: Vec<String> = ids.iter().map(|it| (*it).to_owned()).collect();
        world.describe_volumes(&ids, &[], &page).unwrap_err()
    };
    let ask_instances = |ids: &[&str]| {
        let ids: Vec<String> = ids.iter().map(|it| (*it).to_owned()).collect();
        world.describe_instances(&ids, &[], &page).unwrap_err()
    };
    let missing = ask_volumes(&[&volume, "vol-01", "vol-02"]);
    assert_eq!(missing.code(), "InvalidVolume.NotFound");
    assert_eq!(missing.message(), "The volumes 'vol-01, vol-02' do not exist.");
    assert_eq!(ask_volumes(&[&volume, "disk"]).code(), "InvalidParameterValue");
    let missing = ask_instances(&[&instance, "i-01", "i-02"]);
    assert_eq!(missing.code(), "InvalidInstanceID.NotFound");
    assert_eq!(missing.message(), "The instance IDs 'i-01, i-02' do not exist");
    assert_eq!(ask_instances(&[&instance, "host"]).code(), "InvalidInstanceID.Malformed");
}

/// All pages that a describe answers, each as the number of its records.
fn pages<T>(mut ask: impl FnMut(&PageRequest) -> Page<T>) -> Vec<usize> {
    let mut request = PageRequest { max_results: Some(5), next_token: None };
    let mut sizes = Vec::new();
    loop {
        let page = ask(&request);
        sizes.push(page.items.len());
        match page.next_token {
            Some(token) => request.next_token = Some(token),
            None => return sizes,
        }
    }
}

#[test]
fn pages_hold_what_the_filters_let_through() {
    let mut world = world();
    for _ in 0..12 {
        world.create_volume(request("a")).unwrap();
        world.create_volume(request("b")).unwrap();
        world.run_instances(run("c")).unwrap();
    }
    let filters = [any("availability-zone", &["eu-central-1a"])];
    let of_volumes = |page: &PageRequest| -> Page<Volume> {
        world.describe_volumes(&[], &filters, page).unwrap()
    };
    assert_eq!(pages(of_volumes), [5, 5, 2]);
    let filters = [any("instance-state-name", &["pending"])];
    let of_instances = |page: &PageRequest| -> Page<InstanceView> {
        world.describe_instances(&[], &filters, page).unwrap()
    };
    assert_eq!(pages(of_instances), [5, 5, 2]);
}

#[test]
fn a_call_takes_only_so_many_filters_and_values() {
    let world = world();
    let ids: Vec<String> = (0..201).map(|n| format!("vol-{n:x}")).collect();
    let filter =
        |count: usize| [Filter { name: "volume-id".into(), values: ids[..count].to_vec() }];
    let page = PageRequest::default();
    assert!(world.describe_volumes(&[], &filter(200), &page).is_ok());
    let refused = world.describe_volumes(&[], &filter(201), &page).unwrap_err();
    assert_eq!(refused.code(), "FilterLimitExceeded");
    let many = vec![Filter::new("instance-id", "i-0"); 51];
    let refused = world.describe_instances(&[], &many, &page).unwrap_err();
    assert_eq!(refused.code(), "FilterLimitExceeded");
}
