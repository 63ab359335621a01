//! Encrypted connections, in the words that MySQL's users know.

use std::path::Path;

use kiln_core::{Fault, Result};
use mysql_async::SslOpts;

/// How much a connection must be worth trusting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TlsMode {
    /// Plain text.
    Disabled,
    /// Encrypted if the server can; nobody knows whom one talks to.
    Preferred,
    /// Encrypted; nobody knows whom one talks to.
    Required,
    /// Encrypted, with a certificate of a trusted authority for this host.
    VerifyIdentity,
}

impl TlsMode {
    pub(super) fn parse(word: &str) -> Result<Self> {
        Ok(match word.to_ascii_lowercase().as_str() {
            "disabled" => Self::Disabled,
            "preferred" => Self::Preferred,
            "required" => Self::Required,
            // The driver can't leave the host's name out; more is asked, not less.
            "verify_ca" | "verify_identity" => Self::VerifyIdentity,
            _ => {
                return Err(Fault::config(format!("{word:?} is no ssl-mode"))
                    .with_hint("use disabled, preferred, required, verify_ca or verify_identity"));
            }
        })
    }

    /// What the driver needs; `None` for plain text.
    pub(super) fn options(self, authorities: Option<&Path>) -> Option<SslOpts> {
        let options = SslOpts::default();
        let options = match authorities {
            Some(file) => options
                .with_root_certs(vec![file.to_path_buf().into()])
                .with_disable_built_in_roots(true),
            None => options,
        };
        match self {
            Self::Disabled => None,
            Self::Preferred | Self::Required => {
                Some(options.with_danger_accept_invalid_certs(true))
            }
            Self::VerifyIdentity => Some(options),
        }
    }
}
