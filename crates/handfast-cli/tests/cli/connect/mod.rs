//! `handfast connect` against real peers, scripted ones and itself, over every channel.

mod bulk;
mod channels;
mod endings;
mod listening;
mod real_starttls;
mod scripts;
mod sessions;
mod starttls;
mod support;
