//! The command line. The options name the places that a test puts elsewhere; an instance needs none of them.

use std::path::PathBuf;

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Task {
    /// Wait for the volumes of the slot, and mount them.
    Mount,
    /// Unmount them.
    Unmount,
    /// Wait for the instance's end to be announced; then stop the workload and unmount.
    Drain,
}

/// Where the machine's things are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Machine {
    /// sysfs.
    pub(crate) sys: PathBuf,
    /// The device nodes.
    pub(crate) dev: PathBuf,
    /// Where the environment for units is written.
    pub(crate) run: PathBuf,
}

/// The command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Arguments {
    pub(crate) task: Task,
    pub(crate) config: PathBuf,
    pub(crate) metadata: String,
    pub(crate) machine: Machine,
}

/// A command line that can't be understood.
#[derive(Debug, thiserror::Error)]
#[error(
    "{0}; usage: stateful-asg-instance mount|unmount|drain [--config FILE] [--metadata URL] [--sys DIR] [--dev DIR] [--run DIR]"
)]
pub(crate) struct Unusable(String);

impl Arguments {
    pub(crate) fn parse(words: impl Iterator<Item = String>) -> Result<Self, Unusable> {
        let mut words = words;
        let task = match words.next().as_deref() {
            Some("mount") => Task::Mount,
            Some("unmount") => Task::Unmount,
            Some("drain") => Task::Drain,
            other => return Err(Unusable(format!("no such task: {}", other.unwrap_or("none")))),
        };
        let mut arguments = Self {
            task,
            config: "/etc/stateful-asg.json".into(),
            // The link-local address of the instance metadata service, the same on every instance.
            metadata: "http://169.254.169.254".to_owned(),
            machine: Machine {
                sys: "/sys".into(),
                dev: "/dev".into(),
                run: "/run/stateful-asg".into(),
            },
        };
        while let Some(option) = words.next() {
            let value =
                words.next().ok_or_else(|| Unusable(format!("{option} lacks its value")))?;
            match option.as_str() {
                "--config" => arguments.config = value.into(),
                "--metadata" => arguments.metadata = value,
                "--sys" => arguments.machine.sys = value.into(),
                "--dev" => arguments.machine.dev = value.into(),
                "--run" => arguments.machine.run = value.into(),
                _ => return Err(Unusable(format!("no such option: {option}"))),
            }
        }
        Ok(arguments)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Arguments, Unusable> {
        Arguments::parse(text.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn without_options_it_is_about_this_machine() {
        let arguments = parse("mount").unwrap();
        assert_eq!(arguments.machine.sys, PathBuf::from("/sys"));
        assert_eq!(arguments.metadata, "http://169.254.169.254");
        assert_eq!(parse("drain --run /tmp/x").unwrap().machine.run, PathBuf::from("/tmp/x"));
    }

    #[test]
    fn what_is_not_understood_is_refused() {
        for text in ["", "format", "mount --force yes", "mount --sys"] {
            assert!(parse(text).unwrap_err().to_string().contains("usage: "), "{text}");
        }
    }
}
