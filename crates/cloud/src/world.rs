//! What identities have of the world.

use std::sync::Arc;

use env::Clock;

/// Time, the environment and who asks. Clones share it.
#[derive(Clone)]
pub struct World {
    clock: Arc<dyn Clock>,
    environment: Arc<dyn Fn(&str) -> Option<String> + Send + Sync>,
    user_agent: String,
}

impl World {
    /// With variables of the environment as `environment` knows them.
    pub fn new(
        clock: Arc<dyn Clock>,
        environment: Arc<dyn Fn(&str) -> Option<String> + Send + Sync>,
        user_agent: &str,
    ) -> World {
        World {
            clock,
            environment,
            user_agent: user_agent.to_string(),
        }
    }

    /// With the variables of the process.
    pub fn of_process(clock: Arc<dyn Clock>, user_agent: &str) -> World {
        World::new(clock, Arc::new(|name| std::env::var(name).ok()), user_agent)
    }

    /// Now, unix milliseconds.
    pub(crate) fn now(&self) -> i64 {
        self.clock.now()
    }

    /// What servers are told about who asks.
    pub(crate) fn user_agent(&self) -> &str {
        &self.user_agent
    }

    /// A variable that is set to something.
    pub(crate) fn variable(&self, name: &str) -> Option<String> {
        (self.environment)(name).filter(|value| !value.is_empty())
    }

    /// Whether a variable says yes.
    pub(crate) fn is_on(&self, name: &str) -> bool {
        self.variable(name)
            .is_some_and(|value| value.eq_ignore_ascii_case("true") || value == "1")
    }
}

/// A file's content; `what` is for the error.
pub(crate) fn read_file(path: &str, what: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("unable to read {what} {path}: {e}"))
}

/// The same as text, without the space around it.
pub(crate) fn read_text(path: &str, what: &str) -> Result<String, String> {
    let content = read_file(path, what)?;
    let text = String::from_utf8(content).map_err(|_| format!("{what} {path} is no text"))?;
    Ok(text.trim().to_string())
}
