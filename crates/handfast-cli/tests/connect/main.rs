//! `handfast connect` against real peers, scripted ones and itself, over every channel.
#![cfg(unix)]

mod bulk;
mod channels;
mod endings;
mod listening;
mod real_starttls;
mod sessions;
mod starttls;
mod support;
