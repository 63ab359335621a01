//! A `postgres://` URL as its parameters, as libpq reads it.
//!
//! Whatever is wrong is told without the text around it: a password that was
//! not escaped may stand there.

use std::collections::BTreeMap;

use kiln_core::{Fault, Result};

/// The parameters that kiln obeys, each with the environment variable that
/// gives it where the URL does not.
pub(super) const PARAMETERS: [(&str, &str); 19] = [
    ("host", "PGHOST"),
    ("hostaddr", "PGHOSTADDR"),
    ("port", "PGPORT"),
    ("dbname", "PGDATABASE"),
    ("user", "PGUSER"),
    ("password", "PGPASSWORD"),
    ("passfile", "PGPASSFILE"),
    ("sslmode", "PGSSLMODE"),
    ("sslrootcert", "PGSSLROOTCERT"),
    ("sslcert", "PGSSLCERT"),
    ("sslkey", "PGSSLKEY"),
    ("channel_binding", "PGCHANNELBINDING"),
    ("connect_timeout", "PGCONNECT_TIMEOUT"),
    ("application_name", "PGAPPNAME"),
    ("options", "PGOPTIONS"),
    ("target_session_attrs", "PGTARGETSESSIONATTRS"),
    ("keepalives_idle", ""),
    ("tcp_user_timeout", ""),
    // kiln's own.
    ("answer_timeout", ""),
];

/// What a URL says, by the name of the parameter; what it leaves empty is not
/// there.
pub(super) type Given = BTreeMap<&'static str, String>;

/// Reads a URL.
///
/// # Errors
/// [`Kind::Config`](kiln_core::Kind::Config) if it is none, or has a parameter
/// that kiln does not obey.
pub(super) fn parse(url: &str) -> Result<Given> {
    let rest = url
        .strip_prefix("postgres://")
        .or_else(|| url.strip_prefix("postgresql://"))
        .ok_or_else(|| wrong("it does not begin with postgres://"))?;
    let (user, rest) = split_user(rest)?;
    let (head, query) = rest.split_once('?').unwrap_or((rest, ""));
    let (hosts, database) = head.split_once('/').unwrap_or((head, ""));

    let mut given = Given::new();
    if let Some(user) = user {
        let (name, password) = user.split_once(':').unwrap_or((user, ""));
        put(&mut given, "user", name)?;
        put(&mut given, "password", password)?;
    }
    put_hosts(&mut given, hosts)?;
    put(&mut given, "dbname", database)?;
    put_query(&mut given, query)?;
    Ok(given)
}

/// User and password end at the `@` before the first slash.
fn split_user(rest: &str) -> Result<(Option<&str>, &str)> {
    let slash = rest.find('/').unwrap_or(rest.len());
    let (user, rest) = match rest[..slash].split_once('@') {
        Some((user, _)) => (Some(user), &rest[user.len() + 1..]),
        None => (None, rest),
    };
    let head = rest.split('?').next().unwrap_or_default();
    if head.contains('@') {
        let fault = match user {
            Some(_) => wrong("it has more than one @"),
            None => wrong("a / stands before the @"),
        };
        return Err(fault.with_hint("in a password write @ as %40, / as %2F and % as %25"));
    }
    Ok((user, rest))
}

fn put_hosts(given: &mut Given, hosts: &str) -> Result<()> {
    let (mut names, mut ports) = (Vec::new(), Vec::new());
    for place in hosts.split(',') {
        let (name, port) = split_port(place)?;
        names.push(decoded(name)?);
        ports.push(decoded(port)?);
    }
    for (name, list) in [("host", names), ("port", ports)] {
        if list.iter().any(|text| !text.is_empty()) {
            given.insert(name, list.join(","));
        }
    }
    Ok(())
}

/// `host:port`, where the host may be an IPv6 address in brackets.
fn split_port(place: &str) -> Result<(&str, &str)> {
    let Some(inner) = place.strip_prefix('[') else {
        return Ok(place.split_once(':').unwrap_or((place, "")));
    };
    let (address, rest) =
        inner.split_once(']').ok_or_else(|| wrong("an address lacks its closing bracket ]"))?;
    match rest.strip_prefix(':') {
        Some(port) => Ok((address, port)),
        None if rest.is_empty() => Ok((address, "")),
        None => Err(wrong("behind the bracket ] of an address stands neither : nor /")),
    }
}

fn put_query(given: &mut Given, query: &str) -> Result<()> {
    let parts = || query.split('&').filter(|part| !part.is_empty());
    let has_password = parts().any(|part| part.starts_with("password="));
    for part in parts() {
        let Some((name, value)) = part.split_once('=') else {
            return Err(wrong("a parameter has no =")
                .with_hint("in a value write & as %26 and in a password ? as %3F"));
        };
        let name = decoded(name)?;
        match PARAMETERS.iter().find(|(known, _)| *known == name) {
            Some((known, _)) => put(given, known, value)?,
            // JDBC's way to say it, which libpq knows too.
            None if name == "ssl" && value == "true" => put(given, "sslmode", "require")?,
            // The rest of a password would look like a name.
            None if has_password => {
                return Err(wrong("it has a parameter that kiln does not know")
                    .with_hint("in a password write & as %26"));
            }
            None => return Err(unknown(&name)),
        }
    }
    Ok(())
}

fn put(given: &mut Given, name: &'static str, value: &str) -> Result<()> {
    let value = decoded(value)?;
    if !value.is_empty() {
        given.insert(name, value);
    }
    Ok(())
}

fn unknown(name: &str) -> Fault {
    let near = PARAMETERS
        .iter()
        .map(|(known, _)| (strsim::damerau_levenshtein(known, name), *known))
        .min()
        .filter(|(distance, known)| *distance <= known.len() / 3 + 1);
    let known = || PARAMETERS.map(|(known, _)| known).join(", ");
    let hint = match near {
        Some((_, near)) => format!("did you mean {near}?"),
        None => format!("leave it out; kiln knows {}", known()),
    };
    wrong(&format!("kiln does not know its parameter {name}")).with_hint(hint)
}

/// The text with `%41` and the like as the bytes they stand for.
fn decoded(text: &str) -> Result<String> {
    let digit = |byte: Option<u8>| byte.and_then(|b| char::from(b).to_digit(16));
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        match (digit(rest.next()), digit(rest.next())) {
            (Some(high), Some(low)) if high + low > 0 => bytes.push((high * 16 + low) as u8),
            _ => {
                return Err(wrong("behind a % stand no two hexadecimal digits")
                    .with_hint("write % itself as %25"));
            }
        }
    }
    String::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))
}

/// A URL that can't be read.
pub(super) fn wrong(why: &str) -> Fault {
    Fault::config(format!("the URL of the PostgreSQL database can't be read: {why}"))
        .with_hint("write it as postgres://user:password@host:5432/database")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(url: &str) -> Vec<(&'static str, String)> {
        parse(url).expect(url).into_iter().collect()
    }

    #[test]
    fn urls_are_read_as_libpq_reads_them() {
        let cases: [(&str, &[(&str, &str)]); 12] = [
            ("postgres://", &[]),
            ("postgresql://h", &[("host", "h")]),
            ("postgres:///d", &[("dbname", "d")]),
            ("postgres://u@h/", &[("host", "h"), ("user", "u")]),
            ("postgres://u:p%40%2F@h", &[("host", "h"), ("password", "p@/"), ("user", "u")]),
            ("postgres://h:1/a%20b", &[("dbname", "a b"), ("host", "h"), ("port", "1")]),
            ("postgres://a:1,b,[::1]:3/", &[("host", "a,b,::1"), ("port", "1,,3")]),
            ("postgres://%2Fvar%2Frun:1/", &[("host", "/var/run"), ("port", "1")]),
            ("postgres:///d?host=/tmp&port=2", &[("dbname", "d"), ("host", "/tmp"), ("port", "2")]),
            ("postgres://a/?host=b&host=c", &[("host", "c")]),
            ("postgres://a/?ssl=true", &[("host", "a"), ("sslmode", "require")]),
            ("postgres://u:a?b@h", &[("host", "h"), ("password", "a?b"), ("user", "u")]),
        ];
        for (url, expected) in cases {
            let expected: Vec<_> = expected.iter().map(|(k, v)| (*k, (*v).to_owned())).collect();
            assert_eq!(read(url), expected, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_without_a_password() {
        let cases = [
            ("postgres:u@h", "does not begin"),
            ("postgres://ann:can@ary@h/d", "more than one @"),
            ("postgres://ann:can/ary@h/d", "a / stands before"),
            ("postgres://ann:canary%@h/d", "hexadecimal"),
            ("postgres://ann:canary%zz@h/d", "hexadecimal"),
            ("postgres://ann:canary%ff@h/d", "UTF-8"),
            ("postgres://ann:%00canary@h/d", "hexadecimal"),
            ("postgres://ann@h/d?password=x&canary=1", "does not know"),
            ("postgres://ann@h/d?password=x&canary", "has no ="),
            ("postgres://[::1/d", "closing bracket"),
            ("postgres://[::1]x/d", "neither"),
        ];
        for (url, why) in cases {
            let fault = parse(url).expect_err(url);
            let told = format!("{fault} {}", fault.hint().unwrap());
            assert!(told.contains(why), "{url}: {told}");
            assert!(!told.contains("canary") && !told.contains("ary"), "{url}: {told}");
        }
    }

    #[test]
    fn an_unknown_parameter_is_refused_with_the_nearest() {
        let hint = |url| parse(url).unwrap_err().hint().unwrap().to_owned();
        assert_eq!(hint("postgres://h/d?sslmod=require"), "did you mean sslmode?");
        assert_eq!(hint("postgres://h/d?db_name=x"), "did you mean dbname?");
        assert!(hint("postgres://h/d?sslcrl=x").starts_with("did you mean sslc"));
        assert!(hint("postgres://h/d?pgbouncer=true").contains("kiln knows host, "));
    }
}
