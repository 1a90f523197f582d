//! From objects to groups of targets, a group for each object of the role.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use configfile::sd_kubernetes::AttachMetadata;

use super::Draft;
use super::metrics::Metrics;
use super::object::{Id, Kind, Object};
use super::store::{Change, Lookup, Store};
use super::watch::{News, Watch};
use super::{endpoints, endpointslice, ingress, node, pod, service};
use crate::group::TargetGroup;

/// The objects of a cluster and the groups made of them.
pub struct Groups {
    role: Kind,
    attach: AttachMetadata,
    store: Store,
    watched: Vec<Watched>,
    groups: BTreeMap<Id, Arc<TargetGroup>>,
    /// What the group of an object was made from beside the object.
    asked: HashMap<Id, Vec<Id>>,
    /// The other way round: whose groups change with an object.
    dependents: HashMap<Id, BTreeSet<Id>>,
    /// Objects whose groups have to be made anew.
    stale: BTreeSet<Id>,
    complete: bool,
}

/// A kind of objects, in one namespace or (empty) in all.
struct Watched {
    kind: Kind,
    namespace: String,
    listed: bool,
}

impl Groups {
    /// Nothing is known yet.
    pub fn new(role: Kind, attach: AttachMetadata, watches: &[Watch]) -> Groups {
        let watched = watches.iter().map(|watch| Watched {
            kind: watch.kind,
            namespace: watch.namespace.clone(),
            listed: false,
        });
        Groups {
            role,
            attach,
            store: Store::default(),
            watched: watched.collect(),
            groups: BTreeMap::new(),
            asked: HashMap::new(),
            dependents: HashMap::new(),
            stale: BTreeSet::new(),
            complete: false,
        }
    }

    /// Takes up what the watch of that index tells.
    pub fn hear(&mut self, index: usize, news: News, metrics: &Metrics) {
        let kind = self.watched[index].kind;
        let changes = match news {
            News::Listed(objects) => {
                let namespace = self.watched[index].namespace.clone();
                let changes = self.store.replace(kind, &namespace, objects);
                if !std::mem::replace(&mut self.watched[index].listed, true) {
                    // What waited for this can be made now.
                    self.stale.extend(self.store.ids(self.role, &namespace));
                }
                changes
            }
            News::Applied(object) => {
                let change = self.store.apply(kind, object);
                if change.is_none() {
                    metrics.event(kind, Change::Update);
                }
                change.into_iter().collect()
            }
            News::Deleted(object) => {
                let meta = object.meta();
                let id = Id::new(kind, &meta.namespace, &meta.name);
                self.store.delete(id).into_iter().collect()
            }
        };
        for (id, change) in changes {
            metrics.event(kind, change);
            if let Some(dependents) = self.dependents.get(&id) {
                self.stale.extend(dependents.iter().cloned());
            }
            if kind == self.role {
                self.stale.insert(id);
            }
        }
    }

    /// How many groups have to be made anew.
    pub fn waiting(&self) -> usize {
        self.stale.len()
    }

    /// Makes anew what has to be. All groups, if any is another now, or if they are all there for the first time.
    pub fn settle(&mut self) -> Option<Vec<Arc<TargetGroup>>> {
        let mut changed = false;
        for id in std::mem::take(&mut self.stale) {
            // Half of what a target is made of would be another target.
            if self.is_listed(&id.namespace) {
                changed |= self.remake(id);
            }
        }
        if !self.complete && self.watched.iter().all(|watched| watched.listed) {
            self.complete = true;
            changed = true;
        }
        changed.then(|| self.groups.values().cloned().collect())
    }

    /// Whether all was listed once that groups of a namespace are made from.
    fn is_listed(&self, namespace: &str) -> bool {
        self.watched.iter().all(|watched| {
            let other = !watched.namespace.is_empty() && watched.namespace != namespace;
            watched.listed || other
        })
    }

    fn remake(&mut self, id: Id) -> bool {
        let lookup = Lookup::new(&self.store);
        let group = match self.store.get(&id) {
            None => None,
            Some(object) => match make(&id, object, self.attach, &lookup) {
                // What was found before stays, as with everything that fails.
                None => return false,
                made => made,
            },
        };
        let asked = lookup.into_asked();
        self.depend(&id, asked);
        let Some(group) = group.filter(|group| !group.targets.is_empty()) else {
            return self.groups.remove(&id).is_some();
        };
        let changed = self.groups.get(&id).is_none_or(|known| **known != group);
        if changed {
            self.groups.insert(id, Arc::new(group));
        }
        changed
    }

    fn depend(&mut self, id: &Id, asked: Vec<Id>) {
        let before = match asked.is_empty() {
            true => self.asked.remove(id),
            false => self.asked.insert(id.clone(), asked.clone()),
        };
        let before = before.unwrap_or_default();
        for gone in before.iter().filter(|on| asked.binary_search(on).is_err()) {
            if let Some(dependents) = self.dependents.get_mut(gone) {
                dependents.remove(id);
                if dependents.is_empty() {
                    self.dependents.remove(gone);
                }
            }
        }
        for on in asked {
            if before.binary_search(&on).is_err() {
                self.dependents.entry(on).or_default().insert(id.clone());
            }
        }
    }
}

/// The group of one object; `None` if nothing can be said of it.
fn make(
    id: &Id,
    object: &Object,
    attach: AttachMetadata,
    lookup: &Lookup<'_>,
) -> Option<TargetGroup> {
    let mut draft = match object {
        Object::Pod(pod) => pod::draft(pod, attach, lookup),
        Object::Service(service) => service::draft(service),
        Object::Endpoints(endpoints) => endpoints::draft(endpoints, attach, lookup),
        Object::EndpointSlice(slice) => endpointslice::draft(slice, attach, lookup),
        Object::Node(node) => node::draft(node)?,
        Object::Ingress(ingress) => ingress::draft(ingress),
        Object::Bare(_) => Draft::default(),
    };
    if attach.namespace && !id.namespace.is_empty() {
        let namespace = lookup.bare(Kind::Namespace, "", &id.namespace);
        if let Some(namespace) = namespace {
            draft.labels.set_tags(Kind::Namespace, &namespace.metadata);
        }
    }
    let prefix = match id.kind {
        Kind::Service => "svc",
        kind => kind.as_str(),
    };
    let source = match id.namespace.as_str() {
        "" => format!("{prefix}/{}", id.name),
        namespace => format!("{prefix}/{namespace}/{}", id.name),
    };
    Some(TargetGroup {
        source,
        labels: draft.labels.build(),
        targets: draft.targets.iter().map(|target| target.build()).collect(),
    })
}
