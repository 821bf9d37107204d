//! Why an upload is refused, and what the client is told.

use handfast_https::server::Response;
use http::header::RETRY_AFTER;
use http::{HeaderMap, StatusCode};

use super::multipart::FormError;
use super::name::NameProblem;
use super::store::StoreError;
use crate::page::{form_refused, status_page};

/// When a client that was one too many may come again, in seconds.
const RETRY_SECONDS: u64 = 5;

/// Why an upload is refused.
#[derive(Debug)]
pub(super) enum Refused {
    Status(StatusCode, &'static str),
    Name(NameProblem),
    Store(StoreError),
    /// A file of a form.
    File(String, StoreError),
    Form(FormError),
    TooLarge,
    TooManyFiles(usize),
    TooSlow,
    /// By a guard or a rule for the path of a file.
    Answered(Box<Response>),
    /// The client broke off.
    Cut,
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<FormError> for Refused {
    fn from(error: FormError) -> Self {
        Self::Form(error)
    }
}

impl Refused {
    /// It is about this file of a form.
    pub(super) fn of(self, name: &str) -> Self {
        match self {
            Self::Store(error) => Self::File(name.to_owned(), error),
            other => other,
        }
    }

    pub(super) fn told(&self) -> (StatusCode, String) {
        match self {
            Self::Status(status, text) => (*status, (*text).to_owned()),
            Self::Name(problem) => (StatusCode::BAD_REQUEST, problem.to_string()),
            Self::Store(error) => {
                let (status, text) = store_told(*error);
                (status, text.to_owned())
            }
            Self::File(name, error) => {
                let (status, text) = store_told(*error);
                (status, format!("{name}: {text} Nothing was stored."))
            }
            Self::Form(error) => (StatusCode::BAD_REQUEST, error.to_string()),
            Self::TooLarge => (
                StatusCode::PAYLOAD_TOO_LARGE,
                "The file is larger than is accepted here.".to_owned(),
            ),
            Self::TooManyFiles(max) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("The form has more than {max} files. Nothing was stored."),
            ),
            Self::TooSlow => (
                StatusCode::REQUEST_TIMEOUT,
                "The upload took too long. Nothing was stored.".to_owned(),
            ),
            Self::Answered(response) => (response.status(), String::new()),
            Self::Cut => (
                StatusCode::BAD_REQUEST,
                "The upload broke off. Nothing was stored.".to_owned(),
            ),
        }
    }

    /// `form` is the URL of the form that the client has sent, if it did.
    pub(super) fn response(self, request: &HeaderMap, form: Option<&str>) -> Response {
        if let Self::Answered(response) = self {
            return *response;
        }
        let (status, text) = self.told();
        let mut response = match form {
            Some(form) => form_refused(request, status, &text, form),
            None => status_page(request, status, &text),
        };
        if status == StatusCode::SERVICE_UNAVAILABLE {
            response
                .headers_mut()
                .insert(RETRY_AFTER, RETRY_SECONDS.into());
        }
        response
    }
}

fn store_told(error: StoreError) -> (StatusCode, &'static str) {
    match error {
        StoreError::NoDirectory => (StatusCode::CONFLICT, "The directory does not exist."),
        StoreError::Exists => (
            StatusCode::CONFLICT,
            "There is a file of this name, and files are not replaced here.",
        ),
        StoreError::NotAFile => (
            StatusCode::CONFLICT,
            "There is something else than a file of this name.",
        ),
        StoreError::Condition => (
            StatusCode::PRECONDITION_FAILED,
            "The file is not in the state that the request demands.",
        ),
        StoreError::NoSpace => (
            StatusCode::INSUFFICIENT_STORAGE,
            "There is not enough free space for the file.",
        ),
        StoreError::Forbidden => (
            StatusCode::FORBIDDEN,
            "The server has no permission to write here.",
        ),
        StoreError::Exhausted => (
            StatusCode::SERVICE_UNAVAILABLE,
            "The server is too busy to store a file. Try again in a moment.",
        ),
        StoreError::Failed => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "The file cannot be stored.",
        ),
    }
}
