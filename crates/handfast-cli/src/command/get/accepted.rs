//! curl's options that scripts carry and that mean nothing here, and those that are refused with the reason.

use handfast::Explanation;

use crate::failure::{Failure, code};

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Accepted for scripts, without effect")]
pub(super) struct AcceptedArgs {
    /// Output is never held back
    #[arg(short = 'N', long)]
    no_buffer: bool,
    /// Small packets are never held back
    #[arg(long)]
    tcp_nodelay: bool,
    /// Connections have no TCP keepalive: silence has a limit (-m, -y)
    #[arg(long)]
    no_keepalive: bool,
    /// As --no-keepalive
    #[arg(long, value_name = "SECONDS")]
    keepalive_time: Option<u32>,
    /// TLS is always required
    #[arg(long)]
    ssl_reqd: bool,
    /// NPN is not spoken
    #[arg(long)]
    no_npn: bool,
    #[arg(long, hide = true)]
    ignore_content_length: bool,
    #[arg(long = "http0.9", hide = true)]
    http0_9: bool,
}

impl AcceptedArgs {
    /// Refuses what would make a response that was cut off look complete.
    pub(super) fn check(&self) -> Result<(), Failure> {
        let (option, why) = match (self.ignore_content_length, self.http0_9) {
            (true, _) => (
                "--ignore-content-length",
                "without the length a response that was cut off looks complete",
            ),
            (_, true) => (
                "--http0.9",
                "HTTP/0.9 has no head: anything that a server sends would be a response",
            ),
            _ => return Ok(()),
        };
        let what = format!("{option} is not supported: {why}");
        let explanation = Explanation::new("usage", what).with_fix("leave it out");
        Err(Failure::new(code::USAGE, explanation))
    }
}
