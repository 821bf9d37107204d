//! Converts a failure to reach a proxy.

use handfast::plain_io_error;

use super::problem::{ProxyError, ProxyProblem};
use super::target::Target;
use crate::error::{Cause, Error};

impl ProxyError {
    /// The proxy itself was not reached, because of `cause`.
    pub fn unreachable(target: Target, cause: Cause) -> Self {
        let problem = match &cause {
            Cause::NotResolved { .. } => ProxyProblem::NotResolved,
            Cause::Refused { .. } => ProxyProblem::Unreachable {
                why: "the connection was refused".to_owned(),
            },
            Cause::Unreachable { source, .. } => ProxyProblem::Unreachable {
                why: plain_io_error(source),
            },
            _ => ProxyProblem::Unreachable {
                why: cause.to_string(),
            },
        };
        Self { target, problem }
    }
}

impl Error {
    /// The same failure, as a failure to reach a proxy. Time
    /// limits and other causes are unchanged.
    #[must_use]
    pub fn of_proxy(self, target: &Target) -> Self {
        self.with_cause(|cause| match cause {
            cause @ (Cause::NotResolved { .. }
            | Cause::Refused { .. }
            | Cause::Unreachable { .. }
            | Cause::Io(_)
            | Cause::Reset) => {
                Cause::Proxy(Box::new(ProxyError::unreachable(target.clone(), cause)))
            }
            other => other,
        })
    }
}
