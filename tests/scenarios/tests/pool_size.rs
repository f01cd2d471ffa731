//! What a launch reads and writes of the table, by the number of slots in its pool.

#![cfg(test)]

use scenarios::pool_size::{Others, Used, launch_and_termination};

const SIZES: [u32; 3] = [10, 100, 1_000];

/// Whether the larger is at most a tenth more.
fn within_a_tenth(one: usize, other: usize) -> bool {
    one.max(other) * 10 <= one.min(other) * 11
}

fn used(others: Others) -> Vec<(Used, Used)> {
    SIZES.iter().map(|slots| launch_and_termination(*slots, others).unwrap()).collect()
}

#[test]
fn where_a_node_is_replaced_the_size_of_its_pool_does_not_matter() {
    let used = used(Others::Held);
    for (launch, termination) in &used {
        for (seen, first) in [(launch, &used[0].0), (termination, &used[0].1)] {
            assert_eq!((seen.reads, seen.writes), (first.reads, first.writes), "{used:#?}");
            assert!(within_a_tenth(seen.bytes, first.bytes), "{used:#?}");
        }
    }
}

#[test]
fn where_all_slots_are_free_no_more_than_128_of_them_are_read() {
    let used = used(Others::Free);
    let (hundred_and_28, thousand) =
        (launch_and_termination(128, Others::Free).unwrap().0, used[2].0);
    assert!(thousand.bytes > used[0].0.bytes, "{used:#?}");
    assert!(within_a_tenth(thousand.bytes, hundred_and_28.bytes), "{used:#?}");
}
