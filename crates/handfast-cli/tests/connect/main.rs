//! `handfast connect` against real peers, scripted ones and itself, over every channel.
#![cfg(unix)]

mod endings;
mod sessions;
mod support;
