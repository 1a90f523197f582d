//! Bad days of the built binary: targets that do everything wrong, clients that hold it up, strangers at the door, secrets
//! that must not get out, rules that fail, names that nobody resolves, an Alertmanager that is away. Each leaves the
//! metric, the error and the log line that tell of it.

mod alertmanager;
mod clients;
mod dns;
mod door;
mod rules;
mod secrets;
mod targets;
mod world;
