//! One alert and how it goes from pending to firing to resolved.

use model::Labels;

/// How long a resolved alert is kept, and sent again, milliseconds.
pub(crate) const RESOLVED_RETENTION: i64 = 15 * 60_000;

/// Where an alert stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AlertState {
    /// It was not evaluated yet (of rules only).
    Unknown,
    /// Resolved, or never there.
    Inactive,
    /// There, but not for long enough.
    Pending,
    /// There for long enough.
    Firing,
}

impl AlertState {
    /// The word in series and answers.
    pub fn as_str(self) -> &'static str {
        match self {
            AlertState::Unknown => "unknown",
            AlertState::Inactive => "inactive",
            AlertState::Pending => "pending",
            AlertState::Firing => "firing",
        }
    }
}

/// One alert. All times are unix milliseconds.
#[derive(Clone, Debug)]
pub struct Alert {
    /// Where it stands.
    pub state: AlertState,
    /// All its labels, `alertname` too.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// The value at the last evaluation that yielded it.
    pub value: f64,
    /// Since when it is pending.
    pub active_at: i64,
    /// Since when it fires.
    pub fired_at: Option<i64>,
    /// When it went.
    pub resolved_at: Option<i64>,
    /// When it was last sent.
    pub last_sent_at: Option<i64>,
    /// Until when Alertmanager may take it for firing.
    pub valid_until: i64,
    /// Since when it fires without its expression.
    pub keep_firing_since: Option<i64>,
}

/// How long an alert has to be there, and how long it stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Holds {
    pub hold_for: i64,
    pub keep_firing_for: i64,
}

/// What an evaluation without the alert makes of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Gone {
    /// It still fires.
    KeepsFiring,
    /// It is resolved, and told so for a while.
    Resolved,
    /// Nobody needs it any more.
    Forget,
}

impl Alert {
    pub(crate) fn new(labels: Labels, annotations: Labels, value: f64, ts: i64) -> Alert {
        Alert {
            state: AlertState::Pending,
            labels,
            annotations,
            value,
            active_at: ts,
            fired_at: None,
            resolved_at: None,
            last_sent_at: None,
            valid_until: 0,
            keep_firing_since: None,
        }
    }

    /// The expression still yields it (or it keeps firing): time may have come.
    pub(crate) fn advance(&mut self, ts: i64, holds: Holds) {
        let lasted = ts.saturating_sub(self.active_at);
        if self.state == AlertState::Pending && lasted >= holds.hold_for {
            self.state = AlertState::Firing;
            self.fired_at = Some(ts);
        } else if self.state == AlertState::Firing
            && lasted < holds.hold_for
            // It fired when less was asked for. A clock that went back is no reason.
            && self.fired_at.is_some_and(|fired| fired - self.active_at < holds.hold_for)
        {
            self.state = AlertState::Pending;
            self.fired_at = None;
        }
    }

    /// The expression does not yield it.
    pub(crate) fn vanish(&mut self, ts: i64, holds: Holds) -> Gone {
        if self.state == AlertState::Firing && holds.keep_firing_for > 0 {
            let since = *self.keep_firing_since.get_or_insert(ts);
            if ts.saturating_sub(since) < holds.keep_firing_for {
                return Gone::KeepsFiring;
            }
        }
        let over = |resolved: i64| ts - resolved > RESOLVED_RETENTION || resolved > ts;
        if self.state == AlertState::Pending || self.resolved_at.is_some_and(over) {
            return Gone::Forget;
        }
        if self.state != AlertState::Inactive {
            self.state = AlertState::Inactive;
            self.resolved_at = Some(ts);
        }
        Gone::Resolved
    }

    fn needs_sending(&self, ts: i64, resend_delay: i64) -> bool {
        if self.state == AlertState::Pending {
            return false;
        }
        let Some(sent) = self.last_sent_at else {
            return true;
        };
        // One that was sent in the future was sent before the clock went back.
        self.resolved_at.is_some_and(|resolved| resolved > sent)
            || sent.saturating_add(resend_delay) < ts
            || sent > ts
    }

    /// A copy to be sent, if it is time.
    pub(crate) fn due(&mut self, ts: i64, resend_delay: i64, interval: i64) -> Option<Alert> {
        if !self.needs_sending(ts, resend_delay) {
            return None;
        }
        self.last_sent_at = Some(ts);
        // Two evaluations or sendings may fail.
        self.valid_until = ts.saturating_add(4 * resend_delay.max(interval));
        Some(self.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: i64 = 60_000;

    fn alert() -> Alert {
        Alert::new(Labels::empty(), Labels::empty(), 1.0, 0)
    }

    fn holds(hold_for: i64, keep_firing_for: i64) -> Holds {
        Holds {
            hold_for,
            keep_firing_for,
        }
    }

    #[test]
    fn pending_fires_and_resolves() {
        let mut a = alert();
        a.advance(0, holds(5 * MINUTE, 0));
        assert_eq!(a.state, AlertState::Pending);
        a.advance(5 * MINUTE, holds(5 * MINUTE, 0));
        assert_eq!(
            (a.state, a.fired_at),
            (AlertState::Firing, Some(5 * MINUTE))
        );
        assert_eq!(a.vanish(6 * MINUTE, holds(5 * MINUTE, 0)), Gone::Resolved);
        assert_eq!(
            (a.state, a.resolved_at),
            (AlertState::Inactive, Some(6 * MINUTE))
        );
        assert_eq!(a.vanish(21 * MINUTE, holds(5 * MINUTE, 0)), Gone::Resolved);
        assert_eq!(a.vanish(22 * MINUTE, holds(5 * MINUTE, 0)), Gone::Forget);
        assert_eq!(
            alert().vanish(1, holds(MINUTE, 0)),
            Gone::Forget,
            "pending is not resolved"
        );
        let mut at_once = alert();
        at_once.advance(0, holds(0, 0));
        assert_eq!(at_once.state, AlertState::Firing);
    }

    #[test]
    fn keeps_firing() {
        let mut a = alert();
        let holds = holds(0, 10 * MINUTE);
        a.advance(0, holds);
        assert_eq!(a.vanish(MINUTE, holds), Gone::KeepsFiring);
        assert_eq!(a.vanish(10 * MINUTE, holds), Gone::KeepsFiring);
        assert_eq!(a.vanish(11 * MINUTE, holds), Gone::Resolved);
    }

    #[test]
    fn a_longer_hold_takes_it_back() {
        let mut a = alert();
        a.advance(MINUTE, holds(MINUTE, 0));
        assert_eq!(a.state, AlertState::Firing);
        a.advance(2 * MINUTE, holds(5 * MINUTE, 0));
        assert_eq!(a.state, AlertState::Pending);
        a.advance(5 * MINUTE, holds(5 * MINUTE, 0));
        assert_eq!(a.state, AlertState::Firing);
        a.advance(-60 * MINUTE, holds(5 * MINUTE, 0));
        assert_eq!(a.state, AlertState::Firing, "the clock went back");
    }

    #[test]
    fn sends_again_after_the_delay() {
        let mut a = alert();
        assert!(a.due(0, MINUTE, MINUTE).is_none(), "pending is never sent");
        a.advance(0, holds(0, 0));
        let sent = a.due(0, MINUTE, 30_000).expect("fires");
        assert_eq!(sent.valid_until, 4 * MINUTE);
        assert!(a.due(MINUTE, MINUTE, 30_000).is_none());
        assert!(a.due(MINUTE + 1, MINUTE, 30_000).is_some());
        a.vanish(MINUTE + 2, holds(0, 0));
        assert!(
            a.due(MINUTE + 2, MINUTE, 30_000).is_some(),
            "resolved at once"
        );
        assert!(
            a.due(-60 * MINUTE, MINUTE, 30_000).is_some(),
            "the clock went back"
        );
    }
}
