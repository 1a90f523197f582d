//! What is good for a while: kept, renewed before it ends, asked for once however many wait for it.

use tokio::sync::Mutex;

use crate::world::World;

/// After a renewal that failed, the next is this far away, in milliseconds, while what there is still holds.
const REST: i64 = 5_000;

/// A value and its times, unix milliseconds.
#[derive(Clone, Debug)]
pub struct Lease<T> {
    /// What is good for a while.
    pub value: T,
    /// When another is asked for.
    pub renew_at: i64,
    /// When it ends.
    pub until: i64,
}

/// Keeps a value.
pub struct Cached<T>(Mutex<State<T>>);

struct State<T> {
    lease: Option<Lease<T>>,
    /// When asking failed last, and why.
    failure: Option<(i64, String)>,
}

impl<T> Default for Cached<T> {
    fn default() -> Cached<T> {
        Cached(Mutex::new(State {
            lease: None,
            failure: None,
        }))
    }
}

impl<T: Clone> Cached<T> {
    /// The value, or what `fetch` gets in its place. Those who came while it was asked for share its answer, also if
    /// that is an error.
    pub async fn get<F>(&self, world: &World, fetch: impl FnOnce() -> F) -> Result<T, String>
    where
        F: Future<Output = Result<Lease<T>, String>>,
    {
        let came = world.now();
        let mut state = self.0.lock().await;
        if let Some(lease) = &state.lease
            && world.now() < lease.renew_at
        {
            return Ok(lease.value.clone());
        }
        if let Some((at, reason)) = &state.failure
            && *at > came
        {
            return Err(reason.clone());
        }
        match fetch().await {
            Ok(lease) => {
                let value = lease.value.clone();
                *state = State {
                    lease: Some(lease),
                    failure: None,
                };
                Ok(value)
            }
            Err(reason) => {
                let now = world.now();
                if let Some(lease) = &mut state.lease
                    && now < lease.until
                {
                    tracing::warn!(component = "cloud", err = %reason, "Renewing credentials failed, using those that have not ended yet");
                    lease.renew_at = (now + REST).min(lease.until);
                    return Ok(lease.value.clone());
                }
                state.failure = Some((now, reason.clone()));
                Err(reason)
            }
        }
    }
}
