//! The AWS calls in the functions' code.

use std::collections::BTreeSet;
use std::path::Path;

use crate::{Failure, at};

/// Where the functions' code is.
const CODE: [&str; 4] = [
    "functions/volume-pool/src",
    "functions/volume-pool-aws/src",
    "functions/lifecycle/src",
    "functions/reconcile/src",
];

/// What the functions never call: `table.rs` creates the table of local runs and tests (a deployed one is made by its
/// template), and by `enrolment.rs` and `moving.rs` the command-line tool reads and changes the settings of groups and moves slots.
const NOT_OF_THE_FUNCTIONS: [&str; 3] = [
    "functions/volume-pool-aws/src/table.rs",
    "functions/volume-pool-aws/src/enrolment.rs",
    "functions/volume-pool-aws/src/moving.rs",
];

/// The SDK's crates, and the service of each as IAM names it.
const SERVICES: [(&str, &str); 4] = [
    ("aws_sdk_autoscaling::Client", "autoscaling"),
    ("aws_sdk_dynamodb::Client", "dynamodb"),
    ("aws_sdk_ec2::Client", "ec2"),
    ("aws_sdk_ssm::Client", "ssm"),
];

/// Every call in the functions' code, as in `ec2:AttachVolume`. An error where a request is sent and it can't be told which.
pub fn in_code() -> Result<BTreeSet<String>, Failure> {
    let mut calls = BTreeSet::new();
    for folder in CODE {
        visit(&at(folder), &mut calls)?;
    }
    Ok(calls)
}

fn visit(path: &Path, calls: &mut BTreeSet<String>) -> Result<(), Failure> {
    if path.is_dir() {
        for entry in std::fs::read_dir(path)? {
            visit(&entry?.path(), calls)?;
        }
    } else if !NOT_OF_THE_FUNCTIONS.iter().any(|file| path == at(file)) {
        let source: String =
            std::fs::read_to_string(path)?.split_whitespace().collect::<Vec<_>>().concat();
        let found = of(&source);
        let sent = source.matches(".send()").count();
        if found.len() != sent {
            return Err(format!(
                "{}: {sent} requests are sent, and {} are begun: {found:?}",
                path.display(),
                found.len()
            )
            .into());
        }
        calls.extend(found);
    }
    Ok(())
}

/// The requests that a source, without its white space, begins: `self.client.attach_volume()`.
fn of(source: &str) -> Vec<String> {
    let Some((_, service)) = SERVICES.iter().find(|(client, _)| source.contains(client)) else {
        return Vec::new();
    };
    let begun = source.split("self.client.").skip(1).filter_map(|rest| rest.split_once("()"));
    begun
        .map(|(method, _)| method)
        // The client's own settings.
        .filter(|method| *method != "config")
        .map(|method| format!("{service}:{}", operation(method)))
        .collect()
}

/// `attach_volume` is the operation `AttachVolume`.
fn operation(method: &str) -> String {
    let capitalised = method.split('_').map(|word| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters)
    });
    capitalised.flatten().collect()
}
