//! What happens in a local cloud as a timeline for people: a line for each thing that AWS does, that the functions decide, and that an
//! instance says.

use std::collections::BTreeMap;
use std::io::{IsTerminal as _, Write as _};

use local_cloud::cloud::{LogLine, Notice};
use local_cloud::world::{Happening, World};
use tokio::sync::broadcast;
use tokio::sync::broadcast::error::TryRecvError;
use volume_pool::Timestamp;

/// What happens, a line each: time, instance, slot, volume, what and why.
#[derive(Debug)]
pub struct Timeline {
    notices: broadcast::Receiver<Notice>,
    began: Timestamp,
    slots: BTreeMap<String, String>,
    shown: Vec<Happening>,
    colours: bool,
}

impl Timeline {
    /// An empty one, that begins now.
    pub fn new(notices: broadcast::Receiver<Notice>, began: Timestamp) -> Self {
        let colours = std::io::stdout().is_terminal();
        Self { notices, began, slots: BTreeMap::new(), shown: Vec::new(), colours }
    }

    /// Begins a part of the story.
    pub fn heading(&self, text: &str) {
        let (bold, plain) = if self.colours { ("\x1b[1m", "\x1b[0m") } else { ("", "") };
        print(&format!("\n{bold}{text}{plain}\n"));
    }

    /// Shows what has happened since the last look.
    pub fn show(&mut self, world: &World) {
        loop {
            match self.notices.try_recv() {
                Ok(Notice::Happening(happening)) => {
                    self.happening(&happening, world);
                    self.shown.push(happening);
                }
                Ok(Notice::Log(line)) => self.function(&line),
                Ok(Notice::Invocation(_) | Notice::DeadLetter(_) | Notice::Event(_))
                | Err(TryRecvError::Lagged(_)) => {}
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    /// What AWS does.
    fn happening(&mut self, happening: &Happening, world: &World) {
        const QUIET: [&str; 6] = [
            "is being created",
            "is pending",
            "is launched",
            "has mounted",
            "is answered",
            "wants",
        ];
        if QUIET.iter().any(|quiet| happening.text.contains(quiet)) {
            return;
        }
        let volume = happening.subject.volume.as_deref();
        // Root volumes come and go with their instances.
        let tags = volume.and_then(|volume| world.volume(volume).ok()).map(|volume| &volume.tags);
        if volume.is_some() && !tags.is_some_and(|tags| tags.contains_key("stateful-asg:pool")) {
            return;
        }
        let tagged = tags.and_then(|tags| tags.get("stateful-asg:slot")).cloned();
        let instance = happening.subject.instance.as_deref();
        let slot =
            tagged.or_else(|| instance.and_then(|instance| self.slots.get(instance)).cloned());
        let text = shorten(&happening.text);
        self.line(happening.at, "aws", instance, slot.as_deref(), volume, &text);
    }

    /// What it took from this volume's last detachment until its next instance was in service, if all that was shown.
    pub fn hand_over(&self, volume: &str) -> Option<String> {
        let of_volume = |happening: &Happening| happening.subject.volume.as_deref() == Some(volume);
        let free_at = self.shown.iter().rposition(|happening| {
            of_volume(happening) && happening.text.contains("is no longer attached")
        })?;
        let since = self.shown.get(free_at..)?;
        let attaching = since.iter().find(|happening| {
            of_volume(happening) && happening.text.contains("is being attached")
        })?;
        let attached = since
            .iter()
            .find(|happening| of_volume(happening) && happening.text.contains("is attached"))?;
        let serving = since.iter().find(|happening| {
            happening.subject.instance == attached.subject.instance
                && happening.text.contains("is InService")
        })?;
        let seconds = |from: &Happening, to: &Happening| to.at.since(from.at).as_secs_f64();
        Some(format!(
            "\n{} came free; {:.2} s later AttachVolume was called, EC2 took {:.2} s to attach it, and {:.2} s after that the\n\
             replacement was in service. (The functions' own time is this machine's; only EC2's is sped up.)\n",
            short(volume),
            seconds(since.first()?, attaching),
            seconds(attaching, attached),
            seconds(attached, serving),
        ))
    }

    /// What a function decided and did, from its own log line.
    fn function(&mut self, line: &LogLine) {
        let Ok(entry) = serde_json::from_str::<serde_json::Value>(&line.text) else {
            return;
        };
        let field = |name: &str| entry["fields"][name].as_str().filter(|text| !text.is_empty());
        if let Some(alarm) = field("alarm") {
            let text = format!("ALARM {alarm}: {}", field("problem").unwrap_or_default());
            self.line(line.at, "us", field("instance_id"), None, None, &text);
        }
        let (Some(instance), Some(steps)) = (field("instance_id"), field("steps")) else {
            return;
        };
        let slot = field("slot");
        if let Some(slot) = slot {
            self.slots.insert(instance.to_owned(), slot.to_owned());
        }
        for step in steps.split("); ") {
            let Some((step, reason)) = step.split_once(" (") else {
                continue;
            };
            let quiet = ["look", "poll", "read", "rest, settled", "ec2:CreateTags"];
            if quiet.iter().any(|quiet| step.starts_with(quiet)) {
                continue;
            }
            let step = step.split_once(':').map_or(step, |(_, call)| call);
            let reason = reason.trim_end_matches(')');
            self.line(
                line.at,
                "us",
                Some(instance),
                slot,
                None,
                &shorten(&format!("> {step}: {reason}")),
            );
        }
    }

    /// Shows what an instance's own console says.
    pub fn console(&self, at: Timestamp, instance: &str, text: &str) {
        let slot = self.slots.get(instance).map(String::as_str);
        self.line(at, "guest", Some(instance), slot, None, &shorten(&format!("| {text}")));
    }

    fn line(
        &self,
        at: Timestamp,
        who: &str,
        instance: Option<&str>,
        slot: Option<&str>,
        volume: Option<&str>,
        text: &str,
    ) {
        let seconds = at.since(self.began).as_secs_f64();
        let (colour, plain) = match (self.colours, who) {
            (true, "us") => ("\x1b[36m", "\x1b[0m"),
            (true, "guest") => ("\x1b[32m", "\x1b[0m"),
            _ => ("", ""),
        };
        print(&format!(
            "{colour}{seconds:6.1} s  {:<9}{:<13}{:<11}{text}{plain}\n",
            instance.map(short).unwrap_or_default(),
            slot.unwrap_or_default(),
            volume.map(short).unwrap_or_default(),
        ));
    }
}

/// Ids by their last four digits: enough to tell them apart, and a line stays a line.
pub fn short(id: &str) -> String {
    let kind = id.split('-').next().unwrap_or_default();
    let digits = id.char_indices().nth_back(3).map_or(id, |(at, _)| &id[at..]);
    format!("{kind}-..{digits}")
}

fn shorten(text: &str) -> String {
    let words = text.split(' ').map(|word| {
        let id = word.trim_end_matches([',', ':', '.', ';']);
        let rest = &word[id.len()..];
        let is_id = (id.starts_with("i-") || id.starts_with("vol-")) && id.len() > 12;
        if is_id { format!("{}{rest}", short(id)) } else { word.to_owned() }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Prints text.
pub fn print(text: &str) {
    // Whoever closed the other end of a pipe does not want to read on.
    let _ = std::io::stdout().write_all(text.as_bytes());
}
