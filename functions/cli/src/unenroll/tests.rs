//! Who is waited for, and what is said before anything is taken away.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use volume_pool::action::{ActionResult, Transition};
use volume_pool::observation::{GroupInstance, GroupView, Hook, LifecycleState};
use volume_pool::record::{HeldMark, Place};
use volume_pool_aws::enrolment::{GroupSettings, HookSettings, LaunchSource};

use super::{listed, ours, refuse_while_waiting, told, waiting};
use crate::failure::Failure;

fn hook(name: &str, transition: Transition) -> HookSettings {
    let hook = Hook {
        name: name.parse().unwrap(),
        transition,
        metadata: None,
        heartbeat_timeout: Duration::from_mins(5),
        global_timeout: Duration::from_mins(500),
    };
    HookSettings { hook, default_result: ActionResult::Abandon }
}

fn both() -> Vec<HookSettings> {
    vec![
        hook("stateful-asg-l", Transition::Launching),
        hook("stateful-asg-t", Transition::Terminating),
    ]
}

fn group(states: &[&str]) -> GroupSettings {
    let members = states.iter().enumerate().map(|(index, state)| {
        let member = GroupInstance {
            group: "cassandra-a".parse().unwrap(),
            zone: "eu-central-1a".parse().unwrap(),
            state: LifecycleState::from(*state),
        };
        (format!("i-0000000{index}").parse().unwrap(), member)
    });
    GroupSettings {
        view: GroupView {
            name: "cassandra-a".parse().unwrap(),
            pool_tag: Some("cassandra".to_owned()),
            max_size: 3,
            desired: 3,
            members: members.collect(),
        },
        zones: BTreeSet::new(),
        tags: BTreeMap::new(),
        suspended: BTreeSet::new(),
        maintenance: None,
        capacity_rebalance: false,
        retains: false,
        warm_pool: None,
        source: LaunchSource::Other("a test".to_owned()),
    }
}

#[test]
fn who_waits_in_a_hook_of_ours_is_waited_for_and_nobody_else() {
    let group = group(&[
        "InService",
        "Pending:Wait",
        "Terminating:Wait",
        "Warmed:Pending:Wait",
        "Terminating",
    ]);
    let names = |hooks: &[HookSettings]| listed(&waiting(&group, hooks));
    assert_eq!(
        names(&both()),
        "i-00000001 (Pending:Wait), i-00000002 (Terminating:Wait), i-00000003 (Warmed:Pending:Wait)"
    );
    assert_eq!(
        names(&[hook("stateful-asg-t", Transition::Terminating)]),
        "i-00000002 (Terminating:Wait), i-00000003 (Warmed:Pending:Wait)"
    );
    assert_eq!(names(&[]), "");
    assert_eq!(ours("stateful-asg", vec![hook("drain", Transition::Terminating)]), []);
}

#[test]
fn while_somebody_waits_it_is_refused_with_who_and_what_to_do() {
    let refused = refuse_while_waiting(&group(&["InService", "Pending:Wait"]), &both());
    let Err(Failure::Refused(problem)) = refused else { panic!("{refused:?}") };
    assert!(
        problem.contains("i-00000001 (Pending:Wait)") && problem.contains("--wait"),
        "{problem}"
    );
    assert!(refuse_while_waiting(&group(&["InService"]), &both()).is_ok());
}

#[test]
fn what_follows_is_said_with_the_slots_that_stay_held() {
    let mark = HeldMark {
        place: Place { pool: "cassandra".parse().unwrap(), zone: "eu-central-1a".parse().unwrap() },
        slot: "cassandra-4".parse().unwrap(),
        holder: "i-00000000".parse().unwrap(),
        volumes: Vec::new(),
        amiss: false,
    };
    let text = told(&group(&["InService"]), &both(), Some(&[mark]));
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(
        lines[..4],
        [
            "Group cassandra-a:",
            "  delete hook stateful-asg-l",
            "  delete hook stateful-asg-t",
            "  remove tag stateful-asg:pool=cassandra",
        ]
    );
    assert!(lines.contains(&"  cassandra-4 held by i-00000000"), "{text}");
    let unread = told(&group(&[]), &both(), None);
    assert!(unread.contains("The records can't be read"), "{unread}");
}
