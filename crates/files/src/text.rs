//! Bytes to text.

use kiln_core::{Fault, Result};

/// The record as text, if it is text that every database takes.
pub(crate) fn text_of(raw: &[u8]) -> Result<&str> {
    if let Some(at) = memchr::memchr(0, raw) {
        let message = format!("a NUL character, {at} bytes into the record");
        return Err(Fault::item(message).with_code("nul"));
    }
    std::str::from_utf8(raw).map_err(|e| {
        let at = e.valid_up_to();
        Fault::item(format!("no UTF-8: byte {:#04x}, {at} bytes into the record", raw[at]))
            .with_code("utf8")
    })
}
