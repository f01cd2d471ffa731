//! The rig: one instance, one volume of the pool, the records, and answers that a test may replace.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use local_cloud::leases::MemoryLeases;
use scenarios::{BEGIN, ZONE};
use volume_pool::command::CommandShown;
use volume_pool::decide::{Effect, Subject};
use volume_pool::event::{Action, ActionResult, LifecycleEvent, Transition};
use volume_pool::invocation::{Invocation, LoopReport};
use volume_pool::observation::{
    Attachment, AttachmentState, DeleteOnTermination, Described, GroupInstance, GroupView, Hook,
    Instance, InstanceState, LifecycleState, Others, Volume, VolumeState,
};
use volume_pool::policy::Template;
use volume_pool::ports::{LeaseStore, PortError};
use volume_pool::record::{Claim, List, Record, Slot};
use volume_pool::request::{Ending, Request, Response};
use volume_pool::{Allowance, Timestamp};

/// The instance.
pub(crate) const INSTANCE: &str = "i-00000001";
/// The volume.
pub(crate) const VOLUME: &str = "vol-00000001";
/// The group that it belongs to unless a test says otherwise.
pub(crate) const GROUP: &str = "cassandra";
/// More requests than any invocation makes that does not spin.
const MOST_REQUESTS: usize = 5_000;

/// What an invocation sees and did.
pub(crate) struct Rig {
    /// The records.
    pub(crate) leases: MemoryLeases,
    /// What a describe shows.
    pub(crate) described: Described,
    /// The pool's volumes.
    pub(crate) pool: Vec<Volume>,
    /// The clock.
    pub(crate) now: Timestamp,
    /// Every request made, in order.
    pub(crate) requests: Vec<Request>,
    hooks: Vec<Hook>,
    invocations: u32,
}

/// How an invocation ended.
pub(crate) struct Ended {
    /// The way its main loop ended.
    pub(crate) ending: Ending,
    reports: Vec<LoopReport>,
}

impl Ended {
    /// The names of the alarms that it raised.
    pub(crate) fn alarms(&self) -> Vec<&'static str> {
        let alarms = self.reports.iter().flat_map(|report| &report.journal.alarms);
        alarms.map(volume_pool::decide::Alarm::name).collect()
    }
}

impl Rig {
    /// An instance in `Pending:Wait`, running, and a volume of its pool that nobody has.
    pub(crate) fn launching() -> Self {
        let hook = |event: LifecycleEvent| Hook {
            name: event.action.hook,
            transition: event.action.transition,
            metadata: event.metadata,
            heartbeat_timeout: Duration::from_mins(5),
            global_timeout: Duration::from_mins(500),
        };
        let mut rig = Self {
            leases: MemoryLeases::default(),
            described: Described::default(),
            pool: vec![volume()],
            now: BEGIN,
            requests: Vec::new(),
            hooks: vec![hook(launch()), hook(terminate())],
            invocations: 0,
        };
        rig.member_of(GROUP, LifecycleState::PendingWait);
        rig.instance_is(InstanceState::Running);
        rig.described.volumes.insert(VOLUME.parse().unwrap(), volume());
        rig
    }

    /// The same instance in service with the volume, and nothing left to do.
    pub(crate) fn in_service() -> Self {
        let mut rig = Self::launching();
        assert_eq!(rig.run(Some(launch())).ending, Ending::Settled);
        assert!(rig.slot().holder().is_some() && !rig.marked_open());
        rig.member_of(GROUP, LifecycleState::InService);
        rig.requests.clear();
        rig
    }

    /// Auto Scaling shows the instance like this.
    pub(crate) fn member_of(&mut self, group: &str, state: LifecycleState) {
        let (group, zone) = (group.parse().unwrap(), ZONE.parse().unwrap());
        self.described.group_instance = Some(GroupInstance { group, zone, state });
    }

    /// EC2 shows the instance in this state.
    pub(crate) fn instance_is(&mut self, state: InstanceState) {
        self.described.instance = Some(Instance {
            id: INSTANCE.parse().unwrap(),
            zone: ZONE.parse().unwrap(),
            state,
            devices: Vec::new(),
            tags: BTreeMap::new(),
        });
    }

    /// Neither EC2 nor Auto Scaling shows the instance.
    pub(crate) fn instance_is_unknown(&mut self) {
        self.described.instance = None;
        self.described.group_instance = None;
    }

    /// EC2 shows the volume on the instance, at `device`, since `ago`.
    pub(crate) fn volume_is(&mut self, state: AttachmentState, device: &str, ago: Duration) {
        let ago = u64::try_from(ago.as_millis()).unwrap();
        let attached_at = Timestamp::from_millis(self.now.as_millis() - ago);
        let shown = self.shown_volume();
        shown.state = VolumeState::InUse;
        shown.attachments = vec![Attachment {
            instance: Some(INSTANCE.parse().unwrap()),
            device: device.to_owned(),
            state,
            delete_on_termination: DeleteOnTermination::Keep,
            attached_at,
        }];
    }

    /// EC2 shows the volume on nothing.
    pub(crate) fn volume_is_available(&mut self) {
        let shown = self.shown_volume();
        shown.state = VolumeState::Available;
        shown.attachments.clear();
    }

    /// The volume as EC2 shows it.
    pub(crate) fn shown_volume(&mut self) -> &mut Volume {
        self.described.volumes.get_mut(&VOLUME.parse().unwrap()).unwrap()
    }

    /// Runs an invocation to its end; without an event as reconcile would.
    pub(crate) fn run(&mut self, event: Option<LifecycleEvent>) -> Ended {
        self.run_with(event, |_, _| None)
    }

    /// The same, with answers of the test's own to the requests that it wants to answer.
    pub(crate) fn run_with(
        &mut self,
        event: Option<LifecycleEvent>,
        script: impl FnMut(&mut Self, &Request) -> Option<Response>,
    ) -> Ended {
        self.run_hinted(event, None, script)
    }

    /// The same, brought up by EC2's event that the instance is terminated.
    pub(crate) fn run_terminated(
        &mut self,
        script: impl FnMut(&mut Self, &Request) -> Option<Response>,
    ) -> Ended {
        self.run_hinted(None, Some(InstanceState::Terminated), script)
    }

    /// Runs an invocation that dies after so many requests.
    pub(crate) fn die_after(&mut self, requests: usize, event: LifecycleEvent) {
        assert!(self.drive(Some(event), None, requests, |_, _| None).is_none());
    }

    /// The effects asked for, in order.
    pub(crate) fn effects(&self) -> impl Iterator<Item = &Effect> {
        self.requests.iter().filter_map(|request| match request {
            Request::Effect(_, effect) => Some(effect),
            _ => None,
        })
    }

    /// How often a volume was to be detached.
    pub(crate) fn detachments(&self) -> usize {
        self.effects().filter(|effect| matches!(effect, Effect::Detach(_))).count()
    }

    /// The answers given to lifecycle actions.
    pub(crate) fn answers(&self) -> Vec<(Action, ActionResult)> {
        let answers = self.effects().filter_map(|effect| match effect {
            Effect::Complete(action, result) => Some((action.clone(), *result)),
            _ => None,
        });
        answers.collect()
    }

    /// Whether an action was kept alive.
    pub(crate) fn heartbeated(&self) -> bool {
        self.effects().any(|effect| matches!(effect, Effect::Heartbeat(_)))
    }

    /// The instance's claim.
    pub(crate) fn claim(&self) -> Claim {
        let claim = |record| if let Record::Claim(claim) = record { Some(claim) } else { None };
        self.leases.records().into_iter().find_map(claim).unwrap()
    }

    /// The only slot.
    pub(crate) fn slot(&self) -> Slot {
        let slot = |record| if let Record::Slot(slot) = record { Some(slot) } else { None };
        self.leases.records().into_iter().find_map(slot).unwrap()
    }

    /// Whether reconcile comes back to the instance.
    pub(crate) fn marked_open(&self) -> bool {
        self.leases.records().iter().any(|record| matches!(record, Record::Open(_)))
    }

    fn run_hinted(
        &mut self,
        event: Option<LifecycleEvent>,
        hint: Option<InstanceState>,
        script: impl FnMut(&mut Self, &Request) -> Option<Response>,
    ) -> Ended {
        let ended = self.drive(event, hint, MOST_REQUESTS, script);
        ended.unwrap_or_else(|| {
            let last: Vec<_> = self.requests.iter().rev().take(6).map(Request::call).collect();
            panic!("{MOST_REQUESTS} requests and no end; the last, latest first: {last:?}")
        })
    }

    fn drive(
        &mut self,
        event: Option<LifecycleEvent>,
        hint: Option<InstanceState>,
        most: usize,
        mut script: impl FnMut(&mut Self, &Request) -> Option<Response>,
    ) -> Option<Ended> {
        self.invocations += 1;
        let subject = Subject {
            instance: INSTANCE.parse().unwrap(),
            event,
            hint,
            found: None,
            hook_prefix: "stateful-asg".to_owned(),
        };
        let name = format!("invocation-{}", self.invocations).parse().unwrap();
        let deadline = self.now.plus(Duration::from_mins(1));
        let allowance = Allowance::until(name, self.now, deadline, Duration::from_secs(10));
        let mut invocation = Invocation::new(subject, allowance);
        let mut request = invocation.start(self.now);
        for _ in 0..most {
            if let Request::Finish(outcome) = request {
                let reports = invocation.into_reports();
                return Some(Ended { ending: outcome.ending, reports });
            }
            // What a test says to a call it says without the look along with it, which is made anew then.
            let alone = request.alone().clone();
            self.requests.push(alone.clone());
            self.now = self.now.plus(Duration::from_millis(20));
            let response = script(self, &alone).unwrap_or_else(|| self.answer(&request));
            request = invocation.resume(response, self.now);
        }
        None
    }

    /// What is answered unless a test says otherwise.
    fn answer(&mut self, request: &Request) -> Response {
        match request {
            Request::Read { keys, lists } => {
                let list = |list: &List| at_once(self.leases.list(list, list.most())).unwrap();
                let lists = lists.iter().map(list).collect();
                Response::Records(at_once(self.leases.read(keys)).unwrap(), lists)
            }
            Request::Describe(..) => Response::Described(self.described.clone()),
            Request::Hooks(_) => Response::Hooks(self.hooks.clone()),
            Request::Enrolment(name) => {
                Response::Enrolment(self.hooks.clone(), GroupView::unknown(name.clone()))
            }
            Request::EveryPoolVolume(_) | Request::SlotVolumes(_) | Request::Volumes(_) => {
                Response::Volumes(Vec::new())
            }
            Request::Group(name) => Response::Group(GroupView::unknown(name.clone())),
            Request::EnrolledGroups => Response::Groups(Vec::new()),
            Request::Others(_) => Response::Others(Others::default()),
            Request::Instances(_) => Response::Instances(BTreeMap::new()),
            Request::AvailableVolumes(_) => {
                let shown =
                    self.pool.iter().filter(|volume| volume.state == VolumeState::Available);
                Response::Volumes(shown.cloned().collect())
            }
            Request::Command(..) => Response::Command(CommandShown::Nothing),
            Request::Commit(transaction) => {
                Response::Committed(at_once(self.leases.commit(transaction)).unwrap())
            }
            Request::Poke(instance, guard) => {
                Response::Poked(at_once(self.leases.poke(instance, guard)).unwrap())
            }
            Request::TakePoke(instance, guard) => {
                at_once(self.leases.take_poke(instance, guard)).unwrap();
                Response::Done
            }
            Request::Effect(_, Effect::Attach(_, device)) => {
                self.volume_is(AttachmentState::Attached, device.as_str(), Duration::ZERO);
                Response::Answered(Ok(()))
            }
            Request::Effect(..) => Response::Answered(Ok(())),
            Request::Pause(pause) => {
                self.now = self.now.plus(*pause);
                Response::Done
            }
            Request::Along(asked, ..) => {
                Response::Along(Box::new(self.answer(asked)), Some(self.described.clone()))
            }
            Request::Serve(_) | Request::Finish(_) => panic!("{request:?} stays inside"),
        }
    }
}

/// The launch hook's event.
pub(crate) fn launch() -> LifecycleEvent {
    event("stateful-asg-launch", Transition::Launching, Some(r#"{"pool":"cassandra"}"#))
}

/// The terminate hook's event.
pub(crate) fn terminate() -> LifecycleEvent {
    event("stateful-asg-terminate", Transition::Terminating, None)
}

/// An event of this hook; its token is the hook's name.
pub(crate) fn event(hook: &str, transition: Transition, metadata: Option<&str>) -> LifecycleEvent {
    LifecycleEvent {
        instance: INSTANCE.parse().unwrap(),
        action: Action {
            group: GROUP.parse().unwrap(),
            hook: hook.parse().unwrap(),
            token: Some(format!("token-of-{hook}").parse().unwrap()),
            transition,
            destination: None,
            began_at: None,
        },
        metadata: metadata.map(str::to_owned),
    }
}

/// A call without an answer, which may have taken effect.
pub(crate) fn no_answer() -> Response {
    let problem = "timed out".to_owned();
    Response::Failed(PortError::Transient { call: "the rig", problem })
}

/// A call that the role does not allow.
pub(crate) fn denied() -> Response {
    let problem = "UnauthorizedOperation".to_owned();
    Response::Failed(PortError::Denied { call: "the rig", problem })
}

/// The value of a future that never waits.
pub(crate) fn at_once<F: Future>(future: F) -> F::Output {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(value) => value,
        Poll::Pending => panic!("the reference store waits for something"),
    }
}

fn volume() -> Volume {
    Volume {
        id: VOLUME.parse().unwrap(),
        zone: ZONE.parse().unwrap(),
        state: VolumeState::Available,
        multi_attach: false,
        attachments: Vec::new(),
        tags: BTreeMap::from([("stateful-asg:pool".to_owned(), "cassandra".to_owned())]),
        created_at: Timestamp::from_millis(1_000),
        like: Template {
            volume_type: "gp3".to_owned(),
            size_gib: 10,
            iops: None,
            throughput: None,
            encrypted: false,
            kms_key_id: None,
            tags: BTreeMap::new(),
        },
    }
}
