//! Entry points for fuzz targets: forms, the names of files in them, and origins.

use super::multipart::{Event, Form, FormError};
use super::name;
use super::origin::is_same_origin;

/// A part of a form: its file's name, and its content.
type Part = (Option<String>, Vec<u8>);

/// The parts of a form that comes in pieces of so many bytes.
pub(crate) fn parse(content_type: &str, body: &[u8], piece: usize) -> Result<Vec<Part>, FormError> {
    let mut form = match Form::new(content_type) {
        Some(form) => form?,
        None => return Err(FormError::NoBoundary),
    };
    let mut parts = Vec::new();
    for bytes in body.chunks(piece) {
        form.push(bytes);
        while let Some(event) = form.next()? {
            match event {
                Event::Part { file_name } => parts.push((file_name, Vec::new())),
                Event::Data(data) => {
                    if let Some((_, content)) = parts.last_mut() {
                        content.extend_from_slice(&data);
                    }
                }
                Event::End => {}
            }
        }
        assert!(form.waiting() <= piece + super::multipart::WAITING_MAX);
    }
    form.finish()?;
    Ok(parts)
}

/// The name that a file of a form is stored under.
pub(crate) fn stored_name(file_name: &str) -> Option<String> {
    let name = name::check(name::last_of(file_name).as_bytes()).ok()?;
    Some(name.to_owned())
}

/// Is this the origin of a request for this authority?
pub(crate) fn same_origin(authority: &str, origin: &str) -> bool {
    is_same_origin(authority, origin)
}
