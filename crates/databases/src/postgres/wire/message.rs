//! What a server says, message by message.

use bytes::{Buf, Bytes, BytesMut};

use super::error::{Error, ServerError};

/// No message that a lane expects is longer.
const LONGEST: usize = 16 << 20;

/// The values of a row as text; `None` is NULL.
pub(in crate::postgres) type Row = Vec<Option<Bytes>>;

/// Where a session stands after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(in crate::postgres) enum Status {
    /// In no transaction.
    #[default]
    Idle,
    /// In one.
    Open,
    /// In one that failed.
    Failed,
}

/// A message of a server, as far as it matters.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Message {
    Authentication(Authentication),
    Row(Row),
    /// A statement is done: its command tag.
    Complete(String),
    Error(Box<ServerError>),
    Ready(Status),
    /// The number of the process that serves the session.
    Process(i32),
    /// What is of no account: a notice, a parameter's value, a step of a
    /// statement.
    Other,
}

/// What the server wants to know before it lets anybody in.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Authentication {
    Done,
    Password,
    Md5([u8; 4]),
    /// The mechanisms it offers.
    Sasl(Vec<String>),
    SaslContinue(Bytes),
    SaslFinal(Bytes),
    Unknown(i32),
}

/// Takes the first message out of what was read; `None` if it is not all there.
///
/// # Errors
/// [`Error::Protocol`] for what can be no message.
pub(super) fn take(read: &mut BytesMut) -> Result<Option<Message>, Error> {
    let Some((tag, length)) = header(read) else { return Ok(None) };
    if !(4..=LONGEST).contains(&length) {
        return Err(Error::protocol(format!("a message of {length} bytes")));
    }
    if read.len() <= length {
        read.reserve(1 + length - read.len());
        return Ok(None);
    }
    let mut body = read.split_to(1 + length).freeze();
    body.advance(5);
    let what = || Error::protocol(format!("a message {:?} that breaks off", char::from(tag)));
    message(tag, body).ok_or_else(what).map(Some)
}

fn header(read: &[u8]) -> Option<(u8, usize)> {
    let (tag, rest) = read.split_first()?;
    let length = u32::from_be_bytes(*rest.first_chunk()?);
    Some((*tag, usize::try_from(length).unwrap_or(usize::MAX)))
}

/// The message of a tag; `None` if its body is not of its kind.
fn message(tag: u8, mut body: Bytes) -> Option<Message> {
    Some(match tag {
        b'R' => Message::Authentication(authentication(body)?),
        b'D' => Message::Row(row(body)?),
        b'C' => Message::Complete(text(&mut body)?),
        b'E' => Message::Error(Box::new(server_error(body)?)),
        b'Z' => Message::Ready(match body.try_get_u8().ok()? {
            b'I' => Status::Idle,
            b'T' => Status::Open,
            b'E' => Status::Failed,
            _ => return None,
        }),
        b'K' => Message::Process(body.try_get_i32().ok()?),
        _ => Message::Other,
    })
}

fn authentication(mut body: Bytes) -> Option<Authentication> {
    Some(match body.try_get_i32().ok()? {
        0 => Authentication::Done,
        3 => Authentication::Password,
        5 => Authentication::Md5(*body.first_chunk()?),
        10 => Authentication::Sasl(mechanisms(body)?),
        11 => Authentication::SaslContinue(body),
        12 => Authentication::SaslFinal(body),
        other => Authentication::Unknown(other),
    })
}

/// Names, each ended by NUL, and one NUL more.
fn mechanisms(mut body: Bytes) -> Option<Vec<String>> {
    let mut names = Vec::new();
    loop {
        match text(&mut body)? {
            name if name.is_empty() => return Some(names),
            name => names.push(name),
        }
    }
}

fn row(mut body: Bytes) -> Option<Row> {
    let columns = body.try_get_u16().ok()?;
    let value = |_| match usize::try_from(body.try_get_i32().ok()?) {
        Err(_) => Some(None),
        Ok(length) if length <= body.len() => Some(Some(body.split_to(length))),
        Ok(_) => None,
    };
    (0..columns).map(value).collect()
}

/// Fields, each a letter and a text, and one NUL more.
fn server_error(mut body: Bytes) -> Option<ServerError> {
    let mut error = ServerError::default();
    loop {
        let field = body.try_get_u8().ok()?;
        if field == 0 {
            return Some(error);
        }
        let text = text(&mut body)?;
        match field {
            b'V' => error.severity = text,
            // Servers before 9.6 have but the one that is translated.
            b'S' if error.severity.is_empty() => error.severity = text,
            b'C' => error.code = text,
            b'M' => error.message = text,
            b'H' => error.hint = Some(text),
            b'W' => error.context = Some(text),
            b'c' => error.column = Some(text),
            b'n' => error.constraint = Some(text),
            _ => {}
        }
    }
}

/// A text up to its NUL.
fn text(body: &mut Bytes) -> Option<String> {
    let end = body.iter().position(|b| *b == 0)?;
    let text = String::from_utf8_lossy(&body.split_to(end)).into_owned();
    body.advance(1);
    Some(text)
}

#[cfg(test)]
mod tests {
    use bytes::BufMut;
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    fn framed(tag: u8, body: &[u8]) -> BytesMut {
        let mut bytes = BytesMut::new();
        bytes.put_u8(tag);
        bytes.put_u32(body.len() as u32 + 4);
        bytes.put_slice(body);
        bytes
    }

    /// What servers really say.
    fn conversation() -> Vec<(u8, &'static [u8])> {
        vec![
            (b'R', b"\0\0\0\x0aSCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"),
            (b'R', b"\0\0\0\x05abcd"),
            (b'R', b"\0\0\0\x0br=nonce,s=c2FsdA==,i=4096"),
            (b'R', b"\0\0\0\0"),
            (b'S', b"client_encoding\0UTF8\0"),
            (b'K', b"\0\0\x30\x39\x12\x34\x56\x78"),
            (b'1', b""),
            (b'2', b""),
            (b'G', b"\x01\0\x02\0\x01\0\x01"),
            (b'D', b"\0\x03\0\0\0\x01a\xff\xff\xff\xff\0\0\0\0"),
            (b'C', b"COPY 5000\0"),
            (b'E', b"SERROR\0VERROR\0C23505\0Mduplicate key\0DKey (id)=(1)\0WCOPY t, line 2\0nt_pkey\0ct\0\0"),
            (b'N', b"SNOTICE\0VNOTICE\0C00000\0Mhello\0\0"),
            (b'Z', b"E"),
        ]
    }

    fn all(mut bytes: BytesMut) -> Result<Vec<Message>, Error> {
        let mut messages = Vec::new();
        while let Some(message) = take(&mut bytes)? {
            messages.push(message);
        }
        Ok(messages)
    }

    #[test]
    fn messages_are_read_however_they_are_cut() {
        let bytes: Vec<u8> =
            conversation().iter().flat_map(|(tag, body)| framed(*tag, body).to_vec()).collect();
        let whole = all(BytesMut::from(bytes.as_slice())).unwrap();
        assert_eq!(whole.len(), conversation().len());
        let row = [Some(Bytes::from_static(b"a")), None, Some(Bytes::new())];
        assert_eq!(whole[9], Message::Row(row.to_vec()));
        assert_eq!(whole[13], Message::Ready(Status::Failed));
        match &whole[11] {
            Message::Error(error) => {
                assert_eq!((error.code.as_str(), error.is_fatal()), ("23505", false));
                assert_eq!(error.constraint.as_deref(), Some("t_pkey"));
                assert!(!format!("{error:?}").contains("(1)"), "no data in {error:?}");
            }
            other => panic!("{other:?}"),
        }
        let (mut read, mut bit_by_bit) = (BytesMut::new(), Vec::new());
        for byte in &bytes {
            read.put_u8(*byte);
            bit_by_bit.extend(take(&mut read).unwrap());
        }
        assert_eq!(bit_by_bit, whole);
    }

    #[test]
    fn a_message_beyond_the_limit_is_none() {
        for length in [0u32, 3, LONGEST as u32 + 1, u32::MAX] {
            let mut bytes = BytesMut::from(&b"D"[..]);
            bytes.put_u32(length);
            assert!(take(&mut bytes).is_err(), "{length}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic(bytes in vec(any::<u8>(), 0..200)) {
            let _ = all(BytesMut::from(bytes.as_slice()));
        }

        #[test]
        fn no_body_panics(tag in any::<u8>(), body in vec(any::<u8>(), 0..100)) {
            let _ = all(framed(tag, &body));
        }

        #[test]
        fn no_damaged_message_panics(
            which in 0..14usize, at in 0..100usize, with in any::<u8>(), cut in 0..100usize,
        ) {
            let (tag, body) = conversation()[which];
            let mut body = body.to_vec();
            if let Some(byte) = body.get_mut(at) {
                *byte = with;
            }
            body.truncate(cut);
            let _ = all(framed(tag, &body));
            let mut whole = framed(tag, &body);
            if let Some(byte) = whole.get_mut(at) {
                *byte = with;
            }
            let _ = all(whole);
        }
    }
}
