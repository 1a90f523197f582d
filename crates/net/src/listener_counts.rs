//! Connections that a server takes, counted.

use env::Registry;
use env::instruments::Counter;

/// Counts the connections of a server's listeners. Clones count together.
#[derive(Clone, Default)]
pub struct ListenerCounts {
    accepted: Counter,
    closed: Counter,
}

impl ListenerCounts {
    /// Those of the listeners of that name.
    pub fn of(registry: &Registry, name: &str) -> ListenerCounts {
        let counter = |metric: &str, help: &str| {
            registry
                .counters(metric, help, &["listener_name"])
                .with(&[name])
        };
        ListenerCounts {
            accepted: counter(
                "net_conntrack_listener_conn_accepted_total",
                "Connections that were taken, by the name of the listener.",
            ),
            closed: counter(
                "net_conntrack_listener_conn_closed_total",
                "Connections that were taken and have ended, by the name of the listener.",
            ),
        }
    }

    /// A connection is taken; it has ended when what is given back is dropped.
    pub(crate) fn take(&self) -> Taken {
        self.accepted.inc();
        Taken(self.closed.clone())
    }
}

/// A connection.
pub(crate) struct Taken(Counter);

impl Drop for Taken {
    fn drop(&mut self) {
        self.0.inc();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_ends_are_counted() {
        let counts = ListenerCounts::of(&Registry::new(), "http");
        let first = counts.take();
        let _second = counts.take();
        drop(first);
        assert_eq!((counts.accepted.get(), counts.closed.get()), (2.0, 1.0));
    }
}
