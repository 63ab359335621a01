//! What an error of a store means.

use kiln_core::{Fault, Kind};
use object_store::Error;

const DENIED: &str = "may not be read or written with these credentials";

const ENVIRONMENT: &str = "they are taken from the environment: AWS_…, GOOGLE_…, AZURE_…";

/// The fault of an error on a file or folder of a store. What may be a secret
/// (the query of a URL, where signatures stand) is left out.
pub(crate) fn fault(shown: &str, error: Error) -> Fault {
    let says = |status: &str| error.to_string().contains(status);
    let (kind, what, hint) = match &error {
        Error::NotFound { .. } => (Kind::InputMissing, "is not there".to_owned(), "check the URL"),
        // Lists have no errors of their own.
        Error::Generic { .. } if says("404 Not Found") => {
            (Kind::InputMissing, "is not there".to_owned(), "check the URL")
        }
        Error::Generic { .. } if says("403 Forbidden") || says("401 Unauthorized") => {
            (Kind::NotPermitted, DENIED.to_owned(), ENVIRONMENT)
        }
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => {
            (Kind::NotPermitted, DENIED.to_owned(), ENVIRONMENT)
        }
        Error::Precondition { .. } => (
            Kind::InputInvalid,
            "changed while it was read".to_owned(),
            "let nobody change a file while it is read",
        ),
        Error::NotSupported { .. } if error.to_string().contains("ange") => (
            Kind::Config,
            "is on a server that does not give parts of files".to_owned(),
            "fetch the file first, and read it from this machine",
        ),
        Error::NotSupported { .. } | Error::NotImplemented { .. } | Error::InvalidPath { .. } => {
            (Kind::Config, without_queries(&error.to_string()), "name another place")
        }
        Error::Generic { .. } if is_no_answer(&error) => (
            Kind::Unreachable,
            without_queries(&error.to_string()),
            "check the address, and AWS_ENDPOINT where the store is not Amazon's",
        ),
        _ => {
            (Kind::Config, without_queries(&error.to_string()), "check the URL and the credentials")
        }
    };
    Fault::new(kind, format!("{shown}: {what}")).with_hint(hint)
}

/// Whether trying again may help: nobody answered, or the server was at fault.
fn is_no_answer(error: &Error) -> bool {
    let text = error.to_string().to_lowercase();
    let client_error = ["status code: 4", "400 bad request", "client error with status 4"];
    !client_error.iter().any(|words| text.contains(words))
}

/// A text without what stands behind the `?` of URLs.
fn without_queries(text: &str) -> String {
    let word = |word: &str| match word.split_once('?') {
        Some((front, _)) if front.contains("://") => format!("{front}?… "),
        _ => word.to_owned(),
    };
    text.split_inclusive(char::is_whitespace).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_not_shown() {
        let text = "GET https://x.blob.core.windows.net/c/a?sv=1&sig=canary failed: 500 what?";
        let shown = without_queries(text);
        assert_eq!(shown, "GET https://x.blob.core.windows.net/c/a?… failed: 500 what?");
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let generic = |text: &str| Error::Generic { store: "S3", source: text.to_owned().into() };
        assert!(fault("s3://b/a", generic("connection refused")).is_transient());
        assert!(fault("s3://b/a", generic("Server error with status 503")).is_transient());
        assert!(
            !fault("s3://b/a", generic("Client error with status 400 Bad Request")).is_transient()
        );
        let denied = generic("non-2xx status code: 403 Forbidden: SignatureDoesNotMatch");
        assert_eq!(fault("s3://b/a", denied).kind(), Kind::NotPermitted);
        let missing = Error::NotFound { path: "a".to_owned(), source: "404".into() };
        assert_eq!(fault("s3://b/a", missing).kind(), Kind::InputMissing);
    }
}
