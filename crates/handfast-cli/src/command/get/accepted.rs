//! curl's options that scripts carry and that mean nothing here.

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
    #[arg(long, alias = "ssl")]
    ssl_reqd: bool,
    /// NPN is not spoken
    #[arg(long)]
    no_npn: bool,
    /// Without a scheme it is https
    #[arg(long, value_name = "SCHEME", value_parser = ["https"])]
    proto_default: Option<String>,
    /// Heads are coloured on a terminal; see --color
    #[arg(long, alias = "no-styled-output")]
    styled_output: bool,
    /// The head of a proxy's response to CONNECT is never shown
    #[arg(long)]
    suppress_connect_headers: bool,
    /// Bodies are never converted
    #[arg(short = 'B', long)]
    use_ascii: bool,
}
