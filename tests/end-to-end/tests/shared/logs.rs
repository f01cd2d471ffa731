//! The functions' log lines.

use local_cloud::cloud::{LogLine, Notice};
use serde_json::Value;

use super::{Failure, problem};

/// A line as JSON, which each of the functions' must be.
pub(crate) fn parsed(line: &LogLine) -> Result<Value, Failure> {
    serde_json::from_str(&line.text).map_err(|error| {
        problem(format!("{} wrote what is no JSON ({error}): {}", line.sandbox, line.text))
    })
}

/// The fields of the lines with this message.
pub(crate) fn with_message(lines: &[LogLine], message: &str) -> Result<Vec<Value>, Failure> {
    let mut found = Vec::new();
    for line in lines {
        let mut entry = parsed(line)?;
        if entry["fields"]["message"] == message {
            found.push(entry["fields"].take());
        }
    }
    Ok(found)
}

/// A notice in a line, in a failure's picture.
pub(crate) fn short(notice: &Notice) -> String {
    const LONGEST: usize = 900;
    let text = match notice {
        Notice::Log(line) => format!("{} {} | {}", line.at, line.sandbox, fields(&line.text)),
        notice => notice.to_string(),
    };
    match text.char_indices().nth(LONGEST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// The fields of a line that say something; the line as it is where it has none.
fn fields(text: &str) -> String {
    let entry: Value = serde_json::from_str(text).unwrap_or_default();
    let Some(fields) = entry["fields"].as_object() else {
        return text.to_owned();
    };
    let said = fields.iter().filter(|(_, value)| !value.is_null() && *value != "");
    let said = said.map(|(name, value)| match value.as_str() {
        Some(value) if name == "message" => value.to_owned(),
        _ => format!("{name}={value}"),
    });
    said.collect::<Vec<_>>().join(" ")
}
