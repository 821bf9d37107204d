//! What can be typed. Parsing has no side effect; each command's arguments stand beside its code.

use clap::{Parser, Subcommand};

#[cfg(unix)]
use crate::command::connect;
use crate::command::{bench, ca, demo, explain, get, inspect, serve};

/// HTTPS from both ends: a verified client, a server, a local certificate authority.
///
/// Neither end is ever in doubt about who the other is, how the exchange ended and whether all of it
/// arrived; and every failure is explained.
#[derive(Debug, Parser)]
#[command(name = "handfast", version, max_term_width = 100, after_help = EXAMPLES)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

const EXAMPLES: &str = "\
Examples:
  handfast demo                            both ends meet and tell what they saw
  handfast serve ./public                  a directory at https://localhost:8443/
  handfast get -O https://localhost:8443/page.html     named only once complete
  handfast get -v https://example.org/     what happened, phase by phase
  handfast ca issue db.internal 10.0.0.7   a certificate from an authority of your own";

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Put load on a server and measure it honestly
    Bench(bench::Args),
    /// Talk to a TLS server, or be one, on the terminal and over any channel
    #[cfg(unix)]
    Connect(connect::Args),
    /// Show both ends of an exchange on loopback: what each of them saw
    Demo(demo::Args),
    /// Say what a failure's id means, how to see it and how to fix it
    Explain(explain::Args),
    /// Fetch a URL, verified, and say whether all of it arrived
    Get(get::Args),
    /// Say everything about a TLS server, verified; or judge a chain in a file
    Inspect(inspect::Args),
    /// Serve a directory over HTTPS
    Serve(serve::Args),
    /// A local certificate authority that can only sign for the names it was made for
    Ca(ca::Args),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_arguments_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
