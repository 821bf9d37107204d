//! The arguments, and the requests that result from them.

use std::ffi::OsString;
use std::iter;
use std::time::Duration;

use clap::{Args as _, FromArgMatches as _};
use handfast_https::client::Request;
use http::header::{EXPECT, HeaderName};
use http::{HeaderMap, Method, StatusCode};

use super::accepted::AcceptedArgs;
use super::body::{Body, BodyArgs, with_query};
use super::condition::{Condition, ConditionArgs};
use super::connection::ConnectionArgs;
use super::cookies::CookieArgs;
use super::credentials::{CredentialArgs, Credentials};
use super::destination::{Name, OutputArgs, Target};
use super::etag::EtagArgs;
use super::fields::{Defaults, FieldArgs};
use super::globs::{Expanded, Glob};
use super::integrity::IntegrityArgs;
use super::many::ManyArgs;
use super::offer::OfferArgs;
use super::proxy::ProxyTlsArgs;
use super::ranges::RangeArgs;
use super::receiving::ReceivingArgs;
use super::retry::RetryArgs;
use super::show::ShowArgs;
use super::sink::is_stdout_terminal;
use super::urls::{ProtocolArgs, UrlArgs};
use crate::failure::Failure;
use crate::proxy_args::ProxyArgs;
use crate::trust_args::{Limit, TrustArgs};

#[derive(Debug, clap::Args)]
// As in curl, an option that is given twice counts the second time.
#[command(version, args_override_self = true, after_help = EXAMPLES)]
pub(crate) struct Args {
    #[command(flatten)]
    urls: UrlArgs,
    #[command(flatten)]
    pub(super) output: OutputArgs,
    #[command(flatten)]
    pub(super) ranges: RangeArgs,
    #[command(flatten)]
    pub(super) integrity: IntegrityArgs,
    #[command(flatten)]
    pub(super) show: ShowArgs,
    #[command(flatten)]
    pub(super) many: ManyArgs,
    #[command(flatten)]
    request: RequestArgs,
    #[command(flatten)]
    pub(super) receiving: ReceivingArgs,
    #[command(flatten)]
    pub(super) protocols: ProtocolArgs,
    #[command(flatten)]
    _accepted: AcceptedArgs,
    #[command(flatten)]
    condition: ConditionArgs,
    #[command(flatten)]
    pub(super) etag: EtagArgs,
    #[command(flatten)]
    fields: FieldArgs,
    #[command(flatten)]
    body: BodyArgs,
    #[command(flatten)]
    credentials: CredentialArgs,
    #[command(flatten)]
    pub(super) cookies: CookieArgs,
    #[command(flatten)]
    pub(super) retry: RetryArgs,
    #[command(flatten)]
    pub(super) trust: TrustArgs,
    #[command(flatten)]
    pub(super) connection: ConnectionArgs,
    #[command(flatten)]
    pub(super) offer: OfferArgs,
    #[command(flatten)]
    pub(super) proxy: ProxyArgs,
    #[command(flatten)]
    pub(super) proxy_tls: ProxyTlsArgs,
}

const EXAMPLES: &str = "\
Examples:
  handfast get https://localhost:8443/               the body to stdout
  handfast get -O https://localhost:8443/page.html   to page.html
  handfast get -v https://example.org/               what happened, phase by phase, on stderr
  handfast get --json @order.json https://api.internal/orders
  handfast get -F name=Ann -F photo=@ann.jpg https://forms.internal/
  handfast get -T backup.tar https://files.internal/incoming/
  handfast get --cacert ca.pem -E me.pem --key me.key https://db.internal:8443/

Exit codes are curl's: 0 complete, 6 name not resolved, 7 connection failed, 18 or 56 truncated,
22 status of 400 or more (with -f), 28 time-out, 35 handshake failed, 47 too many redirects,
52 empty reply, 60 certificate not verified, 90 not the pinned key.";

#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Request")]
struct RequestArgs {
    /// Request method [default: GET; POST with a body, PUT with -T]
    #[arg(short = 'X', long, value_name = "METHOD")]
    request: Option<String>,
    /// Follow redirects, but not to plain HTTP
    #[arg(short = 'L', long)]
    location: bool,
    /// Maximum number of redirects; -1: no limit
    #[arg(long, value_name = "N", default_value_t = 50, allow_negative_numbers = true, value_parser = clap::value_parser!(i64).range(-1..))]
    max_redirs: i64,
    /// Keep the method POST after a redirect with status 301
    #[arg(long)]
    post301: bool,
    /// The same for status 302
    #[arg(long)]
    post302: bool,
    /// The same for status 303
    #[arg(long)]
    post303: bool,
}

/// One URL: the request, and the target of the response.
#[derive(Debug)]
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) target: Target,
    pub(super) condition: Option<Condition>,
    /// The body goes to a terminal whatever it is: `-o -`.
    pub(super) is_forced: bool,
}

impl Job {
    /// What the progress of its transfer is shown with; `None` if the body goes to a terminal, which has no room for it.
    pub(super) fn shown_name(&self) -> Option<String> {
        let name = match &self.target {
            Target::File(place) => place.shown_name(),
            Target::Stdout if is_stdout_terminal() => return None,
            Target::Stdout => None,
        };
        Some(name.unwrap_or_else(|| self.request.url().trim_start_matches("https://").to_owned()))
    }
}

impl Args {
    /// What stands after `--next`, with options of its own; and after another one, and so on.
    pub(super) fn later(&self) -> Vec<Self> {
        let mut later = Vec::new();
        let mut next = self.many.next().map(<[_]>::to_vec);
        while let Some(words) = next {
            let command = Self::augment_args(clap::Command::new("handfast get"));
            let name = OsString::from("handfast get");
            let matches = command.try_get_matches_from(iter::once(name).chain(words));
            let args = matches.and_then(|matches| Self::from_arg_matches(&matches));
            let args = args.unwrap_or_else(|error| error.exit());
            next = args.many.next().map(<[_]>::to_vec);
            later.push(args);
        }
        later
    }

    pub(super) fn is_silent(&self) -> bool {
        self.output.is_silent()
    }

    /// May it be shown how far transfers are?
    pub(super) fn hides_progress(&self) -> bool {
        self.output.hides_progress()
    }

    pub(super) fn is_verbose(&self) -> bool {
        self.output.is_verbose()
    }

    /// May -C be given, too?
    pub(super) fn may_continue(&self) -> bool {
        self.ranges.may_continue() && self.output.may_continue() && !self.body.uploads_files()
    }

    /// The time limit of one exchange, if given.
    pub(super) fn total_max(&self) -> Option<Duration> {
        self.connection.max_time.and_then(|Limit(limit)| limit)
    }

    pub(super) fn redirects_max(&self) -> Option<usize> {
        let follows = self.request.location || self.credentials.location_trusted;
        follows.then(|| usize::try_from(self.request.max_redirs).unwrap_or(usize::MAX))
    }

    /// The statuses of redirects that leave a POST a POST.
    pub(super) fn redirects_with_post(&self) -> Vec<StatusCode> {
        let request = &self.request;
        let rules = [
            (request.post301, StatusCode::MOVED_PERMANENTLY),
            (request.post302, StatusCode::FOUND),
            (request.post303, StatusCode::SEE_OTHER),
        ];
        let kept = rules.into_iter().filter(|(is_kept, _)| *is_kept);
        kept.map(|(_, status)| status).collect()
    }

    /// The `User-Agent` for proxies.
    pub(super) fn agent(&self) -> &str {
        self.fields.agent()
    }

    pub(super) fn trusts_redirects(&self) -> bool {
        self.credentials.location_trusted
    }

    pub(super) fn sets_referer(&self) -> bool {
        self.fields.sets_referer()
    }

    /// What is to be fetched. Reads the files of `-d @FILE` and `-H @FILE`.
    pub(super) fn plan(&self) -> Result<Plan<'_>, Failure> {
        self.protocols.check(self.redirects_max().is_some())?;
        let body = self.body.body()?;
        if self.output.asks_for_head() && body.is_sent() {
            return Err(Failure::usage(
                "-I asks for the head alone, and cannot send a body",
                "leave out -I, or with -d put the data into the URL (-G)",
            ));
        }
        if self.body.uploads_files() && self.ranges.offset().is_some() {
            return Err(Failure::usage(
                "-C goes on with a download, and -T uploads the whole file",
                "leave out -C",
            ));
        }
        let (mut headers, typed_names) = self.fields.fields(&Defaults {
            content_type: body.content_type(),
            accepts_json: self.body.is_json(),
            accepts_codings: self.receiving.compressed,
        })?;
        self.cookies
            .put_into(&mut headers, |name| typed_names.contains(name))?;
        self.etag.put_into(&mut headers)?;
        let globs = self.urls.iter().map(|typed| self.many.glob(typed));
        Ok(Plan {
            args: self,
            body,
            query: self.body.query()?,
            headers,
            typed_names,
            credentials: self.credentials.credentials()?,
            condition: self.condition.condition(),
            names: self.output.names().collect(),
            globs: globs.collect::<Result<_, _>>()?,
        })
    }

    fn method(&self, body: &Body, number: usize) -> Result<Method, Failure> {
        match &self.request.request {
            Some(text) => Method::from_bytes(text.as_bytes()).map_err(|_| {
                Failure::usage(
                    format!("`{}` is not a method", text.escape_debug()),
                    "give a word such as PUT or DELETE",
                )
            }),
            None if self.output.asks_for_head() => Ok(Method::HEAD),
            None => Ok(body.method(number)),
        }
    }
}

/// What a command fetches: all that its requests have in common, and how they differ. A request is made when its turn has
/// come: there may be more than fit into memory.
#[derive(Debug)]
pub(super) struct Plan<'a> {
    args: &'a Args,
    body: Body,
    /// What is added to the query of each URL.
    query: Option<String>,
    headers: HeaderMap,
    /// Names of fields that were given or left out on purpose.
    typed_names: Vec<HeaderName>,
    credentials: Credentials,
    condition: Option<Condition>,
    names: Vec<Name>,
    /// One for each URL that was typed.
    globs: Vec<Glob>,
}

/// A URL whose turn has come.
#[derive(Debug)]
pub(super) struct Planned {
    /// As it was typed, but expanded.
    pub(super) url: String,
    /// The place among those that were typed.
    pub(super) number: usize,
    pub(super) job: Result<Job, Failure>,
}

impl Plan<'_> {
    /// The URLs, in order.
    pub(super) fn urls(&self) -> impl Iterator<Item = Planned> {
        self.globs
            .iter()
            .enumerate()
            .flat_map(move |(number, glob)| {
                (0..glob.count()).map(move |one| {
                    let expanded = glob.get(one);
                    Planned {
                        job: self.job(number, &expanded),
                        number,
                        url: expanded.url,
                    }
                })
            })
    }

    /// The first of them, as far as it can be fetched.
    pub(super) fn first_url(&self) -> Option<String> {
        let job = self.urls().next()?.job.ok()?;
        Some(job.request.url().to_owned())
    }

    fn job(&self, number: usize, expanded: &Expanded) -> Result<Job, Failure> {
        let args = self.args;
        let url = self.body.url(with_scheme(&expanded.url)?, number);
        let url = match &self.query {
            Some(query) => with_query(&url, query),
            None => url,
        };
        args.credentials.check_url(&url)?;
        let method = args.method(&self.body, number)?;
        let mut request = args.protocols.request(method, &url)?;
        self.credentials.put_into(&mut request)?;
        let secrets = std::mem::replace(request.headers_mut(), self.headers.clone());
        for (name, value) in &secrets {
            // A given field, or one that is to be left out, takes precedence over credentials.
            if !self.headers.contains_key(name) && !self.typed_names.contains(name) {
                request.headers_mut().insert(name, value.clone());
            }
        }
        request = self.body.put_into(request, number)?;
        if !self.typed_names.contains(&EXPECT) {
            request = request.with_expect_continue(ASKS_ABOVE);
        }
        let name = self.names.get(number).map(|name| name.expanded(expanded));
        let is_forced = name.as_ref().is_some_and(Name::is_stdout);
        let target = args.output.target(name, request.url())?;
        args.ranges.check_target(&target)?;
        args.ranges.put_into(&mut request)?;
        args.integrity.put_into(&mut request);
        if let Some(condition) = self.condition {
            condition.put_into(&mut request);
        }
        Ok(Job {
            request,
            target,
            condition: self.condition,
            is_forced,
        })
    }
}

/// Bytes of a body above which the server is asked first (`Expect: 100-continue`), as curl has it: below, waiting for
/// an answer costs more than a body in vain.
const ASKS_ABOVE: u64 = 1024 * 1024;

/// A `://` in a path, a query or a fragment stands behind no scheme.
fn with_scheme(url: &str) -> Result<String, Failure> {
    if let Some((scheme, _)) = url.split_once("://")
        && !scheme.contains(['/', '?', '#'])
    {
        return Ok(url.to_owned());
    }
    // Its host would be `https`.
    if let Some((scheme @ ("https" | "http"), rest)) = url.split_once("//") {
        let mut failure = Failure::usage(
            format!("`{scheme}//` lacks its colon"),
            format!("write https://{}", handfast::escape_control(rest)),
        );
        failure.code = crate::failure::code::BAD_URL;
        return Err(failure);
    }
    Ok(format!("https://{url}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trust_args::limit;

    #[test]
    fn a_url_without_a_scheme_may_have_another_one_in_it() {
        for (url, expected) in [
            ("http://h/", "http://h/"),
            ("h", "https://h"),
            ("h/?u=http://o", "https://h/?u=http://o"),
            ("h?http://o", "https://h?http://o"),
            ("h#http://o", "https://h#http://o"),
            ("h/http://o", "https://h/http://o"),
        ] {
            assert_eq!(with_scheme(url).unwrap(), expected);
        }
    }

    #[test]
    fn limits_are_seconds_fractions_or_none() {
        for (text, expected) in [
            ("0.25", Some(Duration::from_millis(250))),
            ("300", Some(Duration::from_secs(300))),
            ("1e-300", Some(Duration::from_nanos(1))),
            ("0", None),
            ("0.0", None),
            ("1e300", None),
            ("inf", None),
        ] {
            assert_eq!(limit(text), Ok(Limit(expected)), "{text}");
        }
        for bad in ["-1", "x", "nan", ""] {
            assert!(limit(bad).is_err(), "{bad}");
        }
    }
}
