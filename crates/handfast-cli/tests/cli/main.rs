//! The program as people and scripts run it: the real binary, real sockets, exit codes, words.
//!
//! One test binary: what the tests share is compiled once and used by all, and there is one thing to link.

#[cfg(unix)]
mod answers;
#[cfg(unix)]
mod audit;
mod bench;
#[cfg(target_os = "linux")]
mod beside_nginx;
mod ca;
mod causes;
mod common;
mod configuration;
#[cfg(unix)]
mod connect;
mod demo;
#[cfg(target_os = "linux")]
mod desk;
mod documents;
#[cfg(target_os = "linux")]
mod faults;
mod get;
#[cfg(unix)]
mod hints;
mod inspect;
#[cfg(target_os = "linux")]
mod listeners;
#[cfg(unix)]
mod lists;
#[cfg(unix)]
mod log;
mod platform_store;
#[cfg(unix)]
mod readme;
#[cfg(unix)]
mod reload;
#[cfg(target_os = "linux")]
mod sandbox;
#[cfg(unix)]
mod serve;
#[cfg(unix)]
mod serving;
#[cfg(unix)]
mod status;
mod strangers;
#[cfg(target_os = "linux")]
mod supervisor;
#[cfg(target_os = "linux")]
mod takeover;
#[cfg(unix)]
mod terminal;
#[cfg(unix)]
mod trust_stores;
#[cfg(unix)]
mod trusted;
#[cfg(target_os = "linux")]
mod unit_file;
#[cfg(unix)]
mod verdicts;
