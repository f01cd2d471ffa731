//! The metadata service inside the booted system, at its own address. What it says is on the kernel's command line:
//! `volume=vol-…`, and `blank` after it where it may be formatted. Once `/run/terminate` is there it announces the end.

use std::net::TcpListener;
use std::path::Path;
use std::time::Duration;

use instance_tests::Metadata;

fn main() -> std::io::Result<()> {
    let listener = TcpListener::bind("169.254.169.254:80")?;
    let command_line = std::fs::read_to_string("/proc/cmdline")?;
    let mut words = command_line.split_whitespace();
    let volume = words.clone().find_map(|word| word.strip_prefix("volume=")).unwrap_or_default();
    let permission = if words.any(|word| word == "blank") { " blank" } else { "" };
    let metadata = Metadata::serve(listener);
    metadata.launching();
    metadata.assign(&format!("{volume}{permission}"));
    while !Path::new("/run/terminate").exists() {
        std::thread::sleep(Duration::from_millis(200));
    }
    metadata.say("autoscaling/target-lifecycle-state", "Terminated");
    loop {
        std::thread::park();
    }
}
