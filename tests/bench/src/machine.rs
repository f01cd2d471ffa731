//! The machine that the figures are of.

use std::fs::read_to_string;
use std::time::Duration;

/// Its processor, its cores, and how busy it was.
pub(crate) fn described() -> String {
    let info = read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("an unnamed processor", |(_, model)| model);
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let load: Vec<&str> = load.split(' ').take(3).collect();
    let arch = std::env::consts::ARCH;
    format!("{cores} cores of {model}, {arch}; load averages at the end: {}", load.join(" "))
}

/// How long this thread has run on a processor.
pub(crate) fn cpu_time() -> Duration {
    // The first number of `schedstat` (Documentation/scheduler/sched-stats.rst) is that, in nanoseconds.
    let stat = read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanos = stat.split(' ').next().and_then(|nanos| nanos.parse().ok());
    Duration::from_nanos(nanos.unwrap_or_default())
}
