//! What follows from what was read: pure, so that each finding is shown by a test to fire on its fault and to be silent
//! without it.

mod group;
mod hooks;
mod keys;
mod pool;
mod queues;
mod storage;
mod template;
mod volumes;

use super::finding::{Finding, sort};
use super::view::View;

pub(super) use keys::used as used_keys;
pub(super) use storage::growth;

/// Everything that is not as it should be, the worst first.
pub(crate) fn judge(view: &View) -> Vec<Finding> {
    let mut found = Vec::new();
    for group in view.groups.iter().filter(|group| group.asked) {
        hooks::judge(&view.hook_prefix, group, &mut found);
        group::judge(group, &mut found);
        template::judge(&view.hook_prefix, group, &mut found);
    }
    for (name, pool) in &view.pools {
        pool::judge(view, name, pool, &mut found);
        volumes::judge(view, name, pool, &mut found);
    }
    queues::judge(view, &mut found);
    keys::judge(view, &mut found);
    storage::judge(view, &mut found);
    sort(&mut found);
    found
}
