//! A volume's image as a disk.

use std::path::{Path, PathBuf};

use super::shell;
use crate::Failure;

/// An image behind a loop device.
#[derive(Debug)]
pub(super) struct Disk {
    image: PathBuf,
    device: String,
    /// The loop device's number, as in `7:3`.
    pub(super) number: String,
    detached: bool,
}

impl Disk {
    /// Puts an image behind a loop device. No image is ever behind two: the world has attached a volume twice, or too early.
    pub(super) async fn attach(image: &Path) -> Result<Self, Failure> {
        if !holders(image).await?.is_empty() {
            return Err(format!("{} is attached already", image.display()).into());
        }
        let device = shell(&format!("losetup --find --show {}", image.display())).await?;
        let name = device.trim_start_matches("/dev/");
        let number = std::fs::read_to_string(format!("/sys/block/{name}/dev"))?.trim().to_owned();
        Ok(Self { image: image.to_owned(), device, number, detached: false })
    }

    /// Takes the loop device away. Where it is in use nevertheless, somebody was not asked.
    pub(super) async fn detach(mut self) -> Result<(), Failure> {
        self.detached = true;
        shell(&format!("losetup --detach {}", self.device)).await?;
        match holders(&self.image).await?.as_str() {
            "" => Ok(()),
            _ => Err(format!("{} was detached while it was in use", self.image.display()).into()),
        }
    }

    /// Writes down what has reached the disk by now, as it would be found after a power cut: what the kernel still holds back is not in
    /// it. Copied until two copies are the same, so that it is the disk of one moment.
    pub(super) async fn freeze(&self) -> Result<Frozen, Failure> {
        const TRIES: usize = 20;
        let image = self.image.display();
        for _ in 0..TRIES {
            let copy = format!(
                "cp --sparse=always {image} {image}.cut; cp --sparse=always {image} {image}.again; \
                 if cmp --silent {image}.cut {image}.again; then echo same; fi; rm {image}.again"
            );
            if shell(&copy).await? == "same" {
                return Ok(Frozen { image: self.image.clone() });
            }
        }
        Err(format!("{image} is never at rest: no moment of it can be copied").into())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if !self.detached {
            // What still has it mounted is about to end; the device goes with that.
            let _ = std::process::Command::new("losetup").args(["--detach", &self.device]).output();
        }
    }
}

/// A disk as it was at one moment.
#[derive(Debug)]
pub(super) struct Frozen {
    image: PathBuf,
}

impl Frozen {
    /// From now on the volume holds that. Whatever is still written to the loop device goes into a file that nobody finds any more.
    pub(super) fn settle(self) -> Result<(), Failure> {
        let mut cut = self.image.clone().into_os_string();
        cut.push(".cut");
        Ok(std::fs::rename(cut, &self.image)?)
    }
}

/// The loop devices that an image is behind.
async fn holders(image: &Path) -> Result<String, Failure> {
    shell(&format!("losetup --associated {}", image.display())).await
}
