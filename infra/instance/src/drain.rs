//! Lets go of the volumes before the instance goes: stops what uses them, unmounts, and powers off where that is how the
//! control plane learns of it.

use std::process::Output;
use std::time::Duration;

use crate::command::{self, Failed};
use crate::config::{Config, Leave};
use crate::filesystem::{self, Problem};
use crate::metadata::{Metadata, NoAnswer};

/// How often it asks. A Spot interruption leaves two minutes.
const LOOK: Duration = Duration::from_secs(2);

/// The volumes could not be let go of.
#[derive(Debug, thiserror::Error)]
#[error("{} of the volumes could not be unmounted: {}", .0.len(), .0.join("; "))]
pub(crate) struct StillMounted(Vec<String>);

/// Waits until the instance's end is announced, then lets go.
pub(crate) fn run(config: &Config, metadata: &Metadata) -> Result<(), StillMounted> {
    let why = loop {
        match announced(metadata, &config.leave) {
            Ok(Some(why)) => break why,
            // What does not answer announces nothing, and is asked again.
            Ok(None) | Err(_) => std::thread::sleep(LOOK),
        }
    };
    eprintln!("stateful-asg: letting go of the volumes: {why}");
    stop(&config.leave);
    unmount(config)?;
    if config.leave.power_off {
        eprintln!("stateful-asg: powering off");
        report("systemctl", command::output("systemctl", &["poweroff", "--no-block"]));
    }
    Ok(())
}

/// Why the instance is about to go, if it is.
fn announced(metadata: &Metadata, leave: &Leave) -> Result<Option<String>, NoAnswer> {
    if let Some(target) = metadata.get("autoscaling/target-lifecycle-state")? {
        let target = target.trim();
        // An instance that goes back to the warm pool leaves its volumes to others as well.
        if target == "Terminated" || target.starts_with("Warmed:") {
            return Ok(Some(format!("Auto Scaling wants it {target}")));
        }
    }
    if let Some(action) = metadata.get("spot/instance-action")? {
        return Ok(Some(format!("Spot interruption: {}", action.trim())));
    }
    if leave.on_rebalance
        && let Some(notice) = metadata.get("events/recommendations/rebalance")?
    {
        return Ok(Some(format!("rebalance recommendation: {}", notice.trim())));
    }
    Ok(None)
}

/// Stops the workload. What does not stop in time is killed, as its database survives any crash.
fn stop(leave: &Leave) {
    let seconds = leave.seconds.to_string();
    if !leave.units.is_empty() {
        let units: Vec<&str> = leave.units.iter().map(String::as_str).collect();
        let stop = [&[seconds.as_str(), "systemctl", "stop"], &units[..]].concat();
        let stopped = report("systemctl stop", command::output("timeout", &stop));
        if !stopped {
            let kill = [&["kill", "--signal=KILL"], &units[..]].concat();
            report("systemctl kill", command::output("systemctl", &kill));
        }
    }
    if leave.containers {
        match command::run("docker", &["ps", "--quiet"], &[0]) {
            Ok(running) => {
                let containers: Vec<&str> = running.split_whitespace().collect();
                if !containers.is_empty() {
                    let stop = [&["stop", "--time", seconds.as_str()], &containers[..]].concat();
                    report("docker stop", command::output("docker", &stop));
                }
            }
            Err(problem) => eprintln!("stateful-asg: {problem}"),
        }
    }
}

/// Unmounts every volume, those below others first. Never lazily: what looks unmounted must be.
pub(crate) fn unmount(config: &Config) -> Result<(), StillMounted> {
    let mut left = Vec::new();
    for (name, volume) in config.in_order().into_iter().rev() {
        match unmounted(&volume.path) {
            Ok(true) => {
                eprintln!("stateful-asg: {name} is unmounted from {}", volume.path.display());
            }
            Ok(false) => {}
            Err(problem) => left.push(problem.to_string()),
        }
    }
    if left.is_empty() { Ok(()) } else { Err(StillMounted(left)) }
}

/// Unmounts what is mounted at the path; whether anything was.
fn unmounted(path: &std::path::Path) -> Result<bool, Problem> {
    const TRIES: u32 = 10;
    let mut tries = 0;
    if filesystem::mounted(path)?.is_none() {
        return Ok(false);
    }
    loop {
        match command::run("umount", &["--".as_ref(), path.as_os_str()], &[0]) {
            Ok(_) => return Ok(true),
            Err(problem) if tries == TRIES => return Err(problem.into()),
            // What was killed a moment ago may still hold it.
            Err(_) => std::thread::sleep(Duration::from_secs(1)),
        }
        tries += 1;
    }
}

/// Says so where a program failed; whether it succeeded.
fn report(what: &str, output: Result<Output, Failed>) -> bool {
    match output {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            eprintln!("stateful-asg: {what} failed, {}: {}", output.status, said.trim());
            false
        }
        Err(problem) => {
            eprintln!("stateful-asg: {problem}");
            false
        }
    }
}
