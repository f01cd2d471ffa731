//! Writes each policy of `foundation.yaml`, with everything switched on and names such as a deployment has, into a folder: for a
//! linter that reads plain policies.

use std::collections::BTreeMap;
use std::path::Path;

use infra::Failure;
use infra::permissions::{as_deployed, statements};
use serde_json::{Value, json};

fn main() -> Result<(), Failure> {
    let folder = std::env::args().nth(1).ok_or("usage: policies FOLDER")?;
    std::fs::create_dir_all(&folder)?;
    let mut policies: BTreeMap<String, Vec<Value>> = BTreeMap::new();
    for statement in statements()? {
        policies.entry(statement.of).or_default().push(as_deployed(&statement.text));
    }
    for (name, statements) in policies {
        let policy = json!({ "Version": "2012-10-17", "Statement": statements });
        std::fs::write(Path::new(&folder).join(format!("{name}.json")), policy.to_string())?;
    }
    Ok(())
}
