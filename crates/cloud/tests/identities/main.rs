//! Requests in the name of an identity, against stand-ins for the clouds on this machine. Time stands still unless a test
//! moves it; the environment is the test's own.

mod aws;
mod azure;
mod google;
mod sending;
mod signature_check;
mod stand_in;
