//! The broken variants of the protocol (`tests/broken`) are patches of the code as it is: a variant that applies no more
//! shows nothing. What each of them comes to is `make broken`.

#![cfg(test)]

use std::path::{Path, PathBuf};
use std::process::Command;

#[test]
fn every_broken_variant_applies_and_says_who_notices_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let files = std::fs::read_dir(root.join("tests/broken")).unwrap();
    let patches: Vec<PathBuf> = files
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some_and(|it| it == "patch"))
        .collect();
    assert!(patches.len() >= 16, "{} variants", patches.len());
    for patch in patches {
        let text = std::fs::read_to_string(&patch).unwrap();
        let checker = text.lines().nth(1).and_then(|line| line.strip_prefix("Caught by: "));
        let known = checker.is_some_and(|it| it == "simulation" || it.starts_with("model "));
        assert!(known, "{}: {checker:?}", patch.display());
        let applied = Command::new("git")
            .args(["apply", "--check"])
            .arg(&patch)
            .current_dir(&root)
            .output()
            .unwrap();
        let problem = String::from_utf8_lossy(&applied.stderr);
        assert!(applied.status.success(), "{}: {problem}", patch.display());
    }
}
