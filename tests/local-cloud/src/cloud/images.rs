//! What is on the volumes: a sparse file for each, as large as the volume, for as long as there is the volume. What is done with
//! them is up to whoever plays the instances; here nothing is read or written. So snapshots have no contents, and the image of a
//! volume that is made from one is blank.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::StartError;
use crate::world::World;

const GIB: u64 = 1024 * 1024 * 1024;

/// The volumes' images.
#[derive(Debug)]
pub(crate) struct Images {
    directory: PathBuf,
    /// Each image that there is, with the volume's size in GiB.
    sizes: Mutex<BTreeMap<String, u32>>,
}

impl Images {
    /// Prepares the directory.
    pub(crate) fn start(directory: PathBuf) -> Result<Self, StartError> {
        let empty = fs::create_dir_all(&directory)
            .and_then(|()| Ok(fs::read_dir(&directory)?.next().is_none()));
        match empty {
            Ok(true) => Ok(Self { directory, sizes: Mutex::default() }),
            Ok(false) => Err(StartError::ImagesNotEmpty(directory)),
            Err(source) => Err(StartError::Images { directory, source }),
        }
    }

    /// Makes, grows and removes images as the world's volumes have become.
    pub(crate) fn follow(&self, world: &World) {
        let mut sizes = self.sizes.lock().unwrap_or_else(PoisonError::into_inner);
        for volume in world.volumes() {
            if sizes.get(&volume.id) == Some(&volume.size_gib) {
                continue;
            }
            let image = self.image(&volume.id);
            let made = make(&image, u64::from(volume.size_gib) * GIB);
            report(made, &image);
            sizes.insert(volume.id.clone(), volume.size_gib);
        }
        sizes.retain(|volume, _| {
            let there = world.volume(volume).is_ok();
            if !there {
                let image = self.image(volume);
                report(fs::remove_file(&image), &image);
            }
            there
        });
    }

    fn image(&self, volume: &str) -> PathBuf {
        self.directory.join(format!("{volume}.img"))
    }
}

/// Gives an image its size; what it holds stays.
fn make(image: &Path, size: u64) -> io::Result<()> {
    OpenOptions::new().write(true).create(true).truncate(false).open(image)?.set_len(size)
}

/// A world does not fail for its images: whoever needs this one will.
fn report(done: io::Result<()>, image: &Path) {
    if let Err(error) = done {
        tracing::error!(image = %image.display(), %error, "an image could not be made, grown or removed");
    }
}
