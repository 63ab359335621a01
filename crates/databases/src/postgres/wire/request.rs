//! What a client asks for, as bytes.

use bytes::{BufMut, Bytes, BytesMut};
use postgres_protocol::IsNull;
use postgres_protocol::message::frontend;
use tokio_postgres::types::Type;

use super::error::Error;

/// Some statements, done one after another up to the first error.
///
/// Each statement has one answer. What a statement needs of the session is
/// prepared anew with it, so that a connection can be anybody's between two
/// transactions.
#[derive(Debug, Default)]
pub(in crate::postgres) struct Request {
    bytes: BytesMut,
}

impl Request {
    /// A statement with its parameters.
    ///
    /// # Errors
    /// [`Error::Protocol`] for a NUL in the statement.
    pub(in crate::postgres) fn run(
        &mut self,
        sql: &str,
        parameters: &[Parameter],
    ) -> Result<(), Error> {
        let types = parameters.iter().map(|p| p.type_.oid());
        frontend::parse("", sql, types, &mut self.bytes).map_err(unsendable)?;
        let put = |p: &Parameter, out: &mut BytesMut| {
            Ok(match &p.value {
                Some(value) => {
                    out.put_slice(value);
                    IsNull::No
                }
                None => IsNull::Yes,
            })
        };
        frontend::bind("", "", [1], parameters, put, [], &mut self.bytes).map_err(|e| match e {
            frontend::BindError::Conversion(e) => Error::protocol(e.to_string()),
            frontend::BindError::Serialization(e) => unsendable(e),
        })?;
        frontend::execute("", 0, &mut self.bytes).map_err(unsendable)
    }

    /// Has a statement looked at and not run. It has no answer.
    ///
    /// # Errors
    /// As [`run`](Self::run).
    pub(in crate::postgres) fn look_at(&mut self, sql: &str, types: &[Type]) -> Result<(), Error> {
        let types = types.iter().map(Type::oid);
        frontend::parse("", sql, types, &mut self.bytes).map_err(unsendable)
    }

    /// Data of the `COPY` that was run last, in messages of their own
    /// ([`copy_data`]).
    pub(in crate::postgres) fn copy(&mut self, data: &[u8]) {
        self.bytes.put_slice(data);
    }

    /// The end of the data.
    pub(in crate::postgres) fn end_copy(&mut self) {
        frontend::copy_done(&mut self.bytes);
    }

    /// The end of the request.
    pub(in crate::postgres) fn end(mut self) -> BytesMut {
        frontend::sync(&mut self.bytes);
        self.bytes
    }

    /// How many bytes there are.
    pub(in crate::postgres) fn len(&self) -> usize {
        self.bytes.len()
    }
}

/// Adds a message of a `COPY`'s data; `put` writes them and gives what becomes
/// of this function's own result.
pub(in crate::postgres) fn copy_data<T>(
    out: &mut BytesMut,
    put: impl FnOnce(&mut BytesMut) -> T,
) -> T {
    out.put_u8(b'd');
    let start = out.len();
    out.put_u32(0);
    let result = put(out);
    let length = (out.len() - start) as u32;
    out[start..start + 4].copy_from_slice(&length.to_be_bytes());
    result
}

fn unsendable(error: std::io::Error) -> Error {
    Error::protocol(error.to_string())
}

/// A value for a statement, in the binary format.
#[derive(Debug, Clone)]
pub(in crate::postgres) struct Parameter {
    type_: Type,
    value: Option<Bytes>,
}

impl Parameter {
    pub(in crate::postgres) fn new(type_: Type, value: Bytes) -> Self {
        Self { type_, value: Some(value) }
    }

    pub(in crate::postgres) fn text(value: &str) -> Self {
        Self::new(Type::TEXT, Bytes::copy_from_slice(value.as_bytes()))
    }

    pub(in crate::postgres) fn int8(value: i64) -> Self {
        Self::new(Type::INT8, Bytes::copy_from_slice(&value.to_be_bytes()))
    }

    pub(in crate::postgres) fn bytes(value: Option<&[u8]>) -> Self {
        Self { type_: Type::BYTEA, value: value.map(Bytes::copy_from_slice) }
    }
}
