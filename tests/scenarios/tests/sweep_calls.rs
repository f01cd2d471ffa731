//! What a sweep costs in which nothing is to be done: pages, whatever the number of slots; and no loop at all.

#![cfg(test)]

use scenarios::resting::{AtRest, SweepCalls};

fn cost(slots: u32) -> SweepCalls {
    AtRest::new(slots).unwrap().sweep().unwrap()
}

#[test]
fn a_sweep_at_rest_costs_pages_and_not_slots() {
    let ten = SweepCalls {
        group_pages: 1,
        volume_pages: 1,
        instance_pages: 0,
        mark_pages: 5,
        records: 0,
    };
    assert_eq!(cost(10), ten);
    assert_eq!(cost(1_000), SweepCalls { volume_pages: 2, ..ten });
    // 20 pages of 500 volumes, 1 page of 100 groups, 3 pages of 10,000 marks and 4 queries that find little.
    assert_eq!(cost(10_000), SweepCalls { volume_pages: 20, mark_pages: 7, ..ten });
}
