//! What a request is answered: by the table and the cloud as they are, by the cloud as it was, or bent by a variant.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use local_cloud::records::Records;
use volume_pool::action::Transition;
use volume_pool::decide::Effect;
use volume_pool::ids::{InvocationId, VolumeId};
use volume_pool::observation::{
    AttachmentState, Described, GroupView, Hook, Others, Volume, VolumeState, tags,
};
use volume_pool::ports::{Poke, Refusal};
use volume_pool::record::{Key, List, Record};
use volume_pool::request::{Request, Response};
use volume_pool::transition::{Expect, Transaction, Write};

use crate::cloud::Cloud;
use crate::configuration::Configuration;
use crate::names;
use crate::state::{Lag, Running, State};
use crate::variant::Variant;

/// Who asks, and how the answer may be bent.
pub(crate) struct Asked<'a> {
    pub(crate) name: &'a InvocationId,
    pub(crate) configuration: &'a Configuration,
    pub(crate) variants: &'a [Variant],
    pub(crate) answered: Answered,
}

/// What becomes of the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answered {
    /// It says what is.
    Now,
    /// It says what was.
    Lagging,
    /// It does not arrive.
    Lost,
}

impl Asked<'_> {
    fn bent(&self, variant: Variant) -> bool {
        self.variants.contains(&variant)
    }
}

impl State {
    /// The cloud as describes may show it while they lag, if that differs from what is.
    pub(crate) fn lagging(&self) -> Option<Arc<Cloud>> {
        let mut shown = (*self.cloud).clone();
        match self.lag.as_ref()? {
            Lag::Volumes(volumes) => shown.volumes.clone_from(volumes),
            Lag::Instances(instances) => shown.instances.clone_from(instances),
            Lag::Members(members) => shown.members.clone_from(members),
        }
        (shown != *self.cloud).then(|| Arc::new(shown))
    }

    /// Carries the request out; gives what it is answered.
    pub(crate) fn answer(&mut self, running: &mut Running, asked: &Asked<'_>) -> Response {
        let request = std::mem::replace(&mut running.request, Request::Pause(Duration::ZERO));
        // A look along with something else may come before it or after it. What others do in between they may as well do
        // before both or after both, and what it shows of what was asked for is no more than a look that comes later shows.
        match request {
            Request::Along(alone, instance, volumes) => {
                let answer = self.answer_to(&alone, running, asked);
                let look = Request::Describe(instance, volumes);
                let described = match self.answer_to(&look, running, asked) {
                    Response::Described(described) => Some(described),
                    _ => None,
                };
                Response::Along(Box::new(answer), described)
            }
            request => self.answer_to(&request, running, asked),
        }
    }

    fn answer_to(
        &mut self,
        request: &Request,
        running: &mut Running,
        asked: &Asked<'_>,
    ) -> Response {
        if let Some(response) = self.changed(request, asked) {
            if asked.bent(Variant::RecordsReadOnce) {
                remember_written(running, request);
            }
            return response;
        }
        let lagging = (asked.answered == Answered::Lagging).then(|| self.lagging()).flatten();
        let cloud = lagging.unwrap_or_else(|| Arc::clone(&self.cloud));
        let most = asked.configuration.most;
        match request {
            Request::Read { keys, lists } => self.read(running, keys, lists, asked),
            Request::Describe(instance, volumes) => {
                running.outdated = false;
                let mut described = cloud.described(instance, volumes);
                bend(&mut described, asked);
                Response::Described(described)
            }
            Request::AvailableVolumes(_) => Response::Volumes(chosen(&cloud, Volume::is_available)),
            Request::EveryPoolVolume(_) => Response::Volumes(chosen(&cloud, |_| true)),
            Request::SlotVolumes(slot) => {
                let slot = slot.to_string();
                let named = |it: &Volume| it.tags.get(tags::SLOT) == Some(&slot);
                Response::Volumes(chosen(&cloud, named))
            }
            Request::Volumes(ids) => Response::Volumes(chosen(&cloud, |it| ids.contains(&it.id))),
            Request::Group(_) => Response::Group(cloud.group(most)),
            Request::Hooks(_) => Response::Hooks(hooks(asked.configuration.policy)),
            // Its tag is right and stays so, and who is in it is not asked for here.
            Request::Enrolment(name) => {
                let group = GroupView::unknown(name.clone());
                Response::Enrolment(hooks(asked.configuration.policy), group)
            }
            Request::Others(ids) => {
                let shown = |id| cloud.members.get(id).map(|member| member.shown.clone());
                let groups = ids.iter().filter_map(|id| Some((id.clone(), shown(id)?)));
                let known = ids.iter().filter_map(|id| Some((id.clone(), cloud.instance(id)?)));
                Response::Others(Others { in_groups: groups.collect(), instances: known.collect() })
            }
            Request::Instances(ids) => {
                let known = ids.iter().filter_map(|id| Some((id.clone(), cloud.instance(id)?)));
                Response::Instances(known.collect())
            }
            _ => Response::Done,
        }
    }

    /// What changes something, if the request does.
    fn changed(&mut self, request: &Request, asked: &Asked<'_>) -> Option<Response> {
        Some(match request {
            Request::Commit(transaction) => {
                let transaction = loosened(transaction, asked);
                let records = Arc::make_mut(&mut self.records);
                match records.commit(&transaction) {
                    Ok(commit) => {
                        if asked.bent(Variant::ClaimDeleted) {
                            delete_closed(records, &transaction);
                        }
                        Response::Committed(commit)
                    }
                    Err(error) => Response::Failed(error),
                }
            }
            Request::Poke(..) if asked.bent(Variant::NoPoke) => Response::Poked(Poke::Left),
            Request::Poke(instance, guard) => {
                Response::Poked(Arc::make_mut(&mut self.records).poke(instance, guard))
            }
            Request::TakePoke(instance, guard) => {
                Arc::make_mut(&mut self.records).take_poke(instance, guard);
                Response::Done
            }
            Request::Effect(_, Effect::Heartbeat(_)) => Response::Answered(Ok(())),
            Request::Effect(_, Effect::Create(creation)) => {
                Response::Created(Ok(Arc::make_mut(&mut self.cloud).create(creation)))
            }
            Request::Effect(_, Effect::Detach(volume)) if self.believed(volume, asked) => {
                Response::Answered(Err(Refusal::NotAttached))
            }
            Request::Effect(instance, effect) => {
                let mut effect = effect.clone();
                if let Effect::Complete(action, _) = &mut effect
                    && asked.bent(Variant::NoToken)
                {
                    action.token = None;
                }
                let pace = asked.configuration.pace;
                let cloud = Arc::make_mut(&mut self.cloud);
                Response::Answered(cloud.carry_out(instance, &effect, pace))
            }
            _ => return None,
        })
    }

    /// Whether a variant takes the volume for detached without asking.
    fn believed(&self, volume: &VolumeId, asked: &Asked<'_>) -> bool {
        let shown_available = || match &self.lag {
            Some(Lag::Volumes(shown)) => shown.get(volume).is_some_and(Volume::is_available),
            _ => false,
        };
        let detaching = || {
            let attachment = self.cloud.attachment(volume);
            attachment.is_some_and(|it| it.state == AttachmentState::Detaching)
        };
        (asked.bent(Variant::DescribeBelieved) && shown_available())
            || (asked.bent(Variant::ReleasedEarly) && detaching())
    }

    fn read(
        &self,
        running: &mut Running,
        keys: &[Key],
        lists: &[List],
        asked: &Asked<'_>,
    ) -> Response {
        let mut records = self.records.read(keys);
        let mut listed: Vec<Vec<Record>> =
            lists.iter().map(|list| self.records.list(list, list.most())).collect();
        running.could_wait = self.could_wait(keys, lists);
        if asked.bent(Variant::RecordsReadOnce) {
            show_known(running, keys, &mut records);
        }
        if asked.bent(Variant::NoGuard) {
            for record in records.values_mut() {
                if let Record::Claim(claim) = record {
                    claim.guard = claim.guard.take().filter(|it| it.invocation == *asked.name);
                }
            }
        }
        for (list, listed) in lists.iter().zip(&mut listed) {
            match list {
                List::Waiting(_) if keys.is_empty() && asked.bent(Variant::OldestOnly) => {
                    listed.truncate(1);
                }
                List::Coming(_) if asked.bent(Variant::NothingComing) => listed.clear(),
                _ => {}
            }
        }
        Response::Records(records, listed)
    }

    /// Whether this look at a queue shows its waiter that a slot is free or coming for it.
    fn could_wait(&self, keys: &[Key], lists: &[List]) -> bool {
        let (Some(Key::Claim(instance)), true) = (keys.first(), lists.len() == 3) else {
            return false;
        };
        let Some(Record::Claim(claim)) = self.records.get(&Key::Claim(instance.clone())) else {
            return false;
        };
        let Some((place, since)) = claim.queued() else {
            return false;
        };
        let count = |list: List| self.records.list(&list, list.most());
        let earlier =
            count(List::Waiting(place.clone())).into_iter().filter(|record| match record {
                Record::Waiting(mark) => (mark.since, &mark.instance) < (since, instance),
                _ => false,
            });
        let slots =
            count(List::Free(place.clone())).len() + count(List::Coming(place.clone())).len();
        slots > earlier.count()
    }
}

fn chosen(cloud: &Cloud, which: impl Fn(&Volume) -> bool) -> Vec<Volume> {
    cloud.volumes.values().filter(|volume| which(volume)).cloned().collect()
}

fn hooks(policy: &str) -> Vec<Hook> {
    [Transition::Launching, Transition::Terminating]
        .map(|transition| Hook {
            name: names::action(transition, 0, "").hook,
            transition,
            metadata: (transition == Transition::Launching).then(|| policy.to_owned()),
            heartbeat_timeout: Duration::from_mins(5),
            global_timeout: Duration::from_mins(500),
        })
        .into()
}

/// The second read shows what is known; the first of all is of the claim alone.
fn show_known(running: &mut Running, keys: &[Key], records: &mut BTreeMap<Key, Record>) {
    for key in keys {
        let known = running.known.get(key).filter(|_| keys.len() > 1);
        if let Some(known) = known {
            records.insert(key.clone(), known.clone());
        } else if let Some(record @ (Record::Claim(_) | Record::Slot(_))) = records.get(key) {
            running.known.insert(key.clone(), record.clone());
        }
    }
}

fn remember_written(running: &mut Running, request: &Request) {
    let Request::Commit(transaction) = request else { return };
    for write in &transaction.writes {
        if let Write::Put(record @ (Record::Claim(_) | Record::Slot(_)), _) = write {
            running.known.insert(record.key(), record.clone());
        }
    }
}

/// The transaction with the conditions that a variant leaves out left out.
fn loosened(transaction: &Transaction, asked: &Asked<'_>) -> Transaction {
    let mut loosened = transaction.clone();
    let lease = transaction.name == "lease" && asked.bent(Variant::LeaseWithoutClaim);
    for write in &mut loosened.writes {
        if let Write::Put(record, expect) = write
            && (asked.bent(Variant::Unconditional) || (lease && matches!(record, Record::Claim(_))))
        {
            *expect = Expect::Mark;
        }
    }
    loosened
}

fn delete_closed(records: &mut Records, transaction: &Transaction) {
    if transaction.name != "release" {
        return;
    }
    let claims = transaction.writes.iter().filter_map(|write| match write {
        Write::Put(Record::Claim(claim), _) => Some(claim.instance.clone()),
        _ => None,
    });
    for instance in claims {
        let writes =
            vec![Write::Delete(Key::Claim(instance.clone())), Write::Delete(Key::Open(instance))];
        let _ = records.commit(&Transaction { name: "delete", writes, wakes: None });
    }
}

/// What a variant takes the described volumes for.
fn bend(described: &mut Described, asked: &Asked<'_>) {
    for volume in described.volumes.values_mut() {
        match volume.attachment().map(|attachment| attachment.state.clone()) {
            Some(AttachmentState::Attaching) if asked.bent(Variant::AttachedEarly) => {
                for attachment in &mut volume.attachments {
                    attachment.state = AttachmentState::Attached;
                }
            }
            Some(AttachmentState::Detaching) if asked.bent(Variant::ReleasedEarly) => {
                volume.attachments.clear();
                volume.state = VolumeState::Available;
            }
            _ => {}
        }
    }
}
