//! The volumes' contents as files.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use local_cloud::cloud::{Cloud, Options, StartError};
use local_cloud::world::{Config, CreateVolume, VolumeSpecification, VolumeState};

use crate::LIMIT;
use crate::function::quiet;

const GIB: u64 = 1024 * 1024 * 1024;

/// A directory that is not there yet.
fn directory(name: &str) -> PathBuf {
    let directory = std::env::temp_dir().join(format!("images-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&directory);
    directory
}

fn sized(gib: u32) -> VolumeSpecification {
    let volume_type = Some("gp3".to_owned());
    VolumeSpecification { size_gib: Some(gib), volume_type, ..VolumeSpecification::default() }
}

#[tokio::test]
async fn a_volume_has_a_sparse_image_of_its_size_that_grows_and_goes_with_it() {
    let directory = directory("life");
    let world = Config { speed: 1_000.0, ..Config::default() };
    let options = Options { images: Some(directory.clone()), world, ..quiet() };
    let cloud = Cloud::start(options).await.unwrap();
    let zone = "eu-central-1a".to_owned();
    let request = CreateVolume { zone, specification: sized(3), ..CreateVolume::default() };
    let volume = cloud.with_world(|world| world.create_volume(request)).unwrap().id;
    let image = directory.join(format!("{volume}.img"));
    let shown = fs::metadata(&image).unwrap();
    assert_eq!((shown.len(), shown.blocks()), (3 * GIB, 0));

    let state = |state| {
        let volume = volume.clone();
        let cloud = &cloud;
        move || {
            let found = cloud.inspect(|world| world.volume(&volume).map(|it| it.state));
            (found.ok() == state).then_some(())
        }
    };
    cloud.wait_for(LIMIT, state(Some(VolumeState::Available))).await.unwrap();
    cloud.with_world(|world| world.modify_volume(&volume, &sized(5))).unwrap();
    let grown = || (fs::metadata(&image).unwrap().len() == 5 * GIB).then_some(());
    cloud.wait_for(LIMIT, grown).await.unwrap();

    cloud.with_world(|world| world.delete_volume(&volume)).unwrap();
    cloud.wait_for(LIMIT, state(None)).await.unwrap();
    assert!(!image.exists());
    cloud.shutdown().await;
    fs::remove_dir_all(directory).unwrap();
}

#[tokio::test]
async fn images_of_another_time_are_not_taken_for_those_of_new_volumes() {
    let directory = directory("old");
    fs::create_dir_all(&directory).unwrap();
    fs::write(directory.join("vol-00000001.img"), "data").unwrap();
    let options = Options { images: Some(directory.clone()), ..quiet() };
    let refused = Cloud::start(options).await;
    assert!(matches!(refused, Err(StartError::ImagesNotEmpty(_))), "{refused:?}");
    fs::remove_dir_all(directory).unwrap();
}
