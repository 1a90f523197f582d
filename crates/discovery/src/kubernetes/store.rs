//! The objects of a cluster as far as they are known.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ops::Bound;

use super::object::{Bare, Id, Kind, Node, Object, Pod, Service};

/// All objects that are known.
#[derive(Debug, Default)]
pub struct Store(BTreeMap<Id, Object>);

/// How an object changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Change {
    Add,
    Update,
    Delete,
}

impl Change {
    /// Its name in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Change::Add => "add",
            Change::Update => "update",
            Change::Delete => "delete",
        }
    }
}

impl Store {
    /// The object of that name.
    pub fn get(&self, id: &Id) -> Option<&Object> {
        self.0.get(id)
    }

    /// Takes an object; `None` when it was known just so.
    pub fn apply(&mut self, kind: Kind, object: Object) -> Option<(Id, Change)> {
        let id = Id::new(kind, &object.meta().namespace, &object.meta().name);
        let change = match self.0.get(&id) {
            Some(known) if *known == object => return None,
            Some(_) => Change::Update,
            None => Change::Add,
        };
        self.0.insert(id.clone(), object);
        Some((id, change))
    }

    /// Forgets an object; `None` when it was not known.
    pub fn delete(&mut self, id: Id) -> Option<(Id, Change)> {
        self.0.remove(&id).map(|_| (id, Change::Delete))
    }

    /// Takes the whole of a kind, in one namespace or (empty) in all: what is not in `objects` is gone.
    pub fn replace(
        &mut self,
        kind: Kind,
        namespace: &str,
        objects: Vec<Object>,
    ) -> Vec<(Id, Change)> {
        let mut gone: BTreeMap<Id, ()> = self.ids(kind, namespace).map(|id| (id, ())).collect();
        let mut changes = Vec::new();
        for object in objects {
            gone.remove(&Id::new(
                kind,
                &object.meta().namespace,
                &object.meta().name,
            ));
            changes.extend(self.apply(kind, object));
        }
        changes.extend(gone.into_keys().filter_map(|id| self.delete(id)));
        changes
    }

    /// The names of a kind's objects, in one namespace or (empty) in all.
    pub fn ids<'a>(&'a self, kind: Kind, namespace: &'a str) -> impl Iterator<Item = Id> + 'a {
        let from = Id::new(kind, namespace, "");
        self.0
            .range((Bound::Included(from), Bound::Unbounded))
            .map(|(id, _)| id)
            .take_while(move |id| {
                id.kind == kind && (namespace.is_empty() || id.namespace == namespace)
            })
            .cloned()
    }
}

/// The store as one group's maker sees it: remembers what it looks for, found or not, so that the group is made anew when
/// that changes.
pub struct Lookup<'a> {
    store: &'a Store,
    asked: RefCell<Vec<Id>>,
}

impl<'a> Lookup<'a> {
    /// Nothing was looked for yet.
    pub fn new(store: &'a Store) -> Lookup<'a> {
        Lookup {
            store,
            asked: RefCell::default(),
        }
    }

    /// All that was looked for.
    pub fn into_asked(self) -> Vec<Id> {
        let mut asked = self.asked.into_inner();
        asked.sort_unstable();
        asked.dedup();
        asked
    }

    fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<&'a Object> {
        let id = Id::new(kind, namespace, name);
        let found = self.store.get(&id);
        self.asked.borrow_mut().push(id);
        found
    }

    /// A pod.
    pub fn pod(&self, namespace: &str, name: &str) -> Option<&'a Pod> {
        match self.find(Kind::Pod, namespace, name)? {
            Object::Pod(pod) => Some(pod),
            _ => None,
        }
    }

    /// A service.
    pub fn service(&self, namespace: &str, name: &str) -> Option<&'a Service> {
        match self.find(Kind::Service, namespace, name)? {
            Object::Service(service) => Some(service),
            _ => None,
        }
    }

    /// A node.
    pub fn node(&self, name: &str) -> Option<&'a Node> {
        match self.find(Kind::Node, "", name)? {
            Object::Node(node) => Some(node),
            _ => None,
        }
    }

    /// An object of which only the metadata is kept.
    pub fn bare(&self, kind: Kind, namespace: &str, name: &str) -> Option<&'a Bare> {
        match self.find(kind, namespace, name)? {
            Object::Bare(bare) => Some(bare),
            _ => None,
        }
    }
}
