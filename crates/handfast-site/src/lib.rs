//! Sites for an HTTPS server: which one answers a request, and what it answers besides plain files.
//!
//! [`Sites`] is a [`Handler`](handfast_https::server::Handler) for `handfast-https`'s server. It chooses a [`Site`] by the name
//! in the request and the server name of the connection. The files of a site are `handfast-files`' business. Nothing here parses
//! a configuration or prints: a program builds values and replaces them while the server runs.
//!
//! ```text
//! request, connection -> Sites: by Host and SNI -> Site -> Files -> response
//! ```
//!
//! ```no_run
//! use handfast_files::Files;
//! use handfast_site::{Site, SiteTable, Sites};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let table = SiteTable::new()
//!     .with_default(Site::new().with_files(Files::new("public")?))?
//!     .with(Site::new().with_names(["docs.example"])?.with_files(Files::new("docs")?))?;
//! let sites = Sites::new(table);
//! // A handler for `Server::bind`: sites.clone(). And when the configuration has changed:
//! sites.replace(SiteTable::new().with_default(Site::new().with_files(Files::new("rebuilt")?))?);
//! # Ok(())
//! # }
//! ```
//!
//! # The public interface is
//!
//! - [`Sites`], its [`SiteTable`] and [`TableError`];
//! - [`Site`] and [`NameError`];
//! - [`Rule`], with [`RuleError`], [`PatternProblem`] and [`TargetProblem`]: redirects, rewrites, errors, header fields;
//! - [`Guard`], with [`Clients`] and [`ClientName`], and [`Passwords`] with its [`PasswordsError`], [`PasswordsProblem`] and
//!   [`HashProblem`]: what is demanded of clients;
//! - [`Uploads`] and [`UploadLimits`]: files from clients;
//! - [`Cors`] and [`CorsError`]; [`Hsts`] and [`PreloadError`].

mod cors;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod guard;
mod hsts;
mod name;
mod page;
mod passwords;
mod path;
mod pattern;
mod rule;
mod site;
mod sites;
mod source;
mod upload;

pub use cors::{Cors, CorsError};
pub use guard::{ClientName, Clients, Guard};
pub use hsts::{Hsts, PreloadError};
pub use name::NameError;
pub use passwords::{HashProblem, Passwords, PasswordsError, PasswordsProblem};
pub use pattern::{PatternProblem, TargetProblem};
pub use rule::{Rule, RuleError};
pub use site::Site;
pub use sites::{SiteTable, Sites, TableError};
pub use upload::{UploadLimits, Uploads};
