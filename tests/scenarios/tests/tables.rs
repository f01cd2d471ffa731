//! `tests/failure-modes.md` and `tests/guarantees.md` name tests, and every one of them exists: the tables can't rot
//! unseen.

#![cfg(test)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const TABLES: &str = include_str!("../../failure-modes.md");
const GUARANTEES: &str = include_str!("../../guarantees.md");

/// How many failure modes there are.
const FAILURE_MODES: usize = 53;
/// How many defects of others there are.
const DEFECTS: usize = 8;
/// How many promises there are.
const PROMISES: usize = 18;
/// How many rows of both tables tell of behaviour that is still missing.
const NOT_YET: usize = 0;

/// A row of a table: its number, what goes wrong or is promised, and what shows the right behaviour.
struct Row<'a> {
    number: usize,
    what: &'a str,
    shown_by: &'a str,
}

impl Row<'_> {
    /// The tests that it names; other code has a dot in its name, or is no sentence.
    fn tests(&self) -> Vec<&str> {
        let code = self.shown_by.split('`').skip(1).step_by(2);
        code.filter(|name| name.contains('_') && !name.contains('.')).collect()
    }
}

/// The rows of a page's tables, in its order. What a promise rests on names no tests.
fn rows(page: &'static str) -> Vec<Row<'static>> {
    let cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.strip_suffix(" |"));
    let rows = cells.filter_map(|line| {
        let cells: Vec<&str> = line.split(" | ").collect();
        match cells.as_slice() {
            [number, what, shown_by] | [number, what, _, shown_by] => {
                Some(Row { number: number.parse().ok()?, what, shown_by })
            }
            _ => None,
        }
    });
    rows.collect()
}

/// The workspace's own source files.
fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The names of all functions that have the attribute `#[test]`, or that of tokio.
fn tests() -> BTreeSet<String> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut files = Vec::new();
    sources(&workspace, &mut files);
    let mut names = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        let mut marked = false;
        for line in text.lines().map(str::trim_start) {
            marked |= line.starts_with("#[test") || line.starts_with("#[tokio::test");
            let function = line.trim_start_matches("async ").strip_prefix("fn ");
            if let Some((name, _)) = function.and_then(|line| line.split_once('('))
                && std::mem::take(&mut marked)
            {
                names.insert(name.to_owned());
            }
        }
    }
    names
}

#[test]
fn every_failure_mode_and_every_defect_has_its_row_in_order() {
    let numbers: Vec<usize> = rows(TABLES).iter().map(|row| row.number).collect();
    let expected: Vec<usize> = (1..=FAILURE_MODES).chain(1..=DEFECTS).collect();
    assert_eq!(numbers, expected);
}

#[test]
fn every_promise_has_its_row_in_order_and_something_that_checks_it() {
    let rows = rows(GUARANTEES);
    let numbers: Vec<usize> = rows.iter().map(|row| row.number).collect();
    assert_eq!(numbers, (1..=PROMISES).collect::<Vec<usize>>());
    for row in rows {
        assert!(row.shown_by.contains('*') || !row.tests().is_empty(), "{}", row.what);
    }
}

#[test]
fn every_test_that_a_row_names_exists() {
    let known = tests();
    let rows: Vec<Row<'_>> = [TABLES, GUARANTEES].into_iter().flat_map(rows).collect();
    let named = rows.iter().flat_map(|row| row.tests().into_iter().map(move |test| (row, test)));
    let unknown: Vec<String> = named
        .filter(|(_, test)| !known.contains(*test))
        .map(|(row, test)| format!("{} {}: {test}", row.number, row.what))
        .collect();
    assert_eq!(unknown, Vec::<String>::new());
}

#[test]
fn every_row_names_a_test_or_what_is_missing_and_no_more_is_missing_than_was() {
    let rows = rows(TABLES);
    let missing = |row: &&Row<'_>| row.shown_by.contains("not yet: ");
    for row in &rows {
        assert!(!row.tests().is_empty() || missing(&row), "{} {}", row.number, row.what);
    }
    assert_eq!(rows.iter().filter(missing).count(), NOT_YET);
}
