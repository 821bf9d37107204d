//! Entry points for fuzz targets: forms.

use super::multipart::{Event, Form, FormError};

/// The parts of a form of the boundary `b` that comes in pieces of so many bytes.
pub(crate) fn parse(
    body: &[u8],
    piece: usize,
) -> Result<Vec<(Option<String>, Vec<u8>)>, FormError> {
    let mut form = match Form::new("multipart/form-data; boundary=b") {
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
    }
    form.finish()?;
    Ok(parts)
}
