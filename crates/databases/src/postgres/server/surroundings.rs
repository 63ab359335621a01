//! What the process finds around it: libpq's environment variables, a home, a
//! user.

use std::collections::BTreeMap;
use std::path::PathBuf;

use kiln_core::{Fault, Result};

use super::url::{Given, PARAMETERS};

/// Variables of libpq's that change where or how safely a connection is made,
/// and that kiln does not obey: whoever sets one must not be disappointed
/// unseen.
const NOT_OBEYED: [(&str, &str); 6] = [
    ("PGSERVICE", "write the service's parameters into the URL"),
    ("PGSSLCRL", "unset it: kiln looks at no revocation lists"),
    ("PGSSLCRLDIR", "unset it: kiln looks at no revocation lists"),
    ("PGREQUIREPEER", "unset it: kiln does not ask who runs the server"),
    ("PGREQUIREAUTH", "unset it: kiln answers as the server asks (trust, password, md5, SCRAM)"),
    ("PGSSLMINPROTOCOLVERSION", "unset it: kiln speaks TLS 1.2 and 1.3 only"),
];

/// What surrounds the process.
#[derive(Debug, Clone, Default)]
pub(super) struct Surroundings {
    /// The environment, as far as libpq looks at it. It may hold a password.
    pub(super) variables: BTreeMap<String, String>,
    pub(super) home: Option<PathBuf>,
    /// The name of the user that runs the process.
    pub(super) user: Option<String>,
}

impl Surroundings {
    /// Those of this process.
    pub(super) fn of_process() -> Self {
        let texts = std::env::vars_os()
            .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)))
            .filter(|(name, _)| name.starts_with("PG"));
        Self {
            variables: texts.collect(),
            home: std::env::home_dir(),
            user: whoami::username().ok(),
        }
    }

    /// A file that libpq looks for in the user's own folder, if it is there.
    pub(super) fn own_file(&self, name: &str) -> Option<PathBuf> {
        let path = self.home.as_ref()?.join(".postgresql").join(name);
        path.exists().then_some(path)
    }

    /// Puts in what the URL leaves open.
    ///
    /// # Errors
    /// [`Kind::Config`](kiln_core::Kind::Config) for a variable that kiln does
    /// not obey.
    pub(super) fn complete(&self, given: &mut Given) -> Result<()> {
        if let Some((name, hint)) = NOT_OBEYED.iter().find(|(name, _)| self.get(name).is_some()) {
            let what = format!("the environment variable {name} is set, and kiln does not obey it");
            return Err(Fault::config(what).with_hint(*hint));
        }
        let names_host = given.contains_key("host") || given.contains_key("hostaddr");
        for (parameter, variable) in PARAMETERS {
            // The address of another host than the URL's.
            if parameter == "hostaddr" && names_host {
                continue;
            }
            if let (Some(value), false) = (self.get(variable), given.contains_key(parameter)) {
                given.insert(parameter, value.to_owned());
            }
        }
        Ok(())
    }

    fn get(&self, variable: &str) -> Option<&str> {
        self.variables.get(variable).map(String::as_str).filter(|value| !value.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::super::url::parse;
    use super::*;

    fn around(variables: &[(&str, &str)]) -> Surroundings {
        let variables = variables.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned()));
        Surroundings { variables: variables.collect(), ..Surroundings::default() }
    }

    #[test]
    fn the_environment_speaks_where_the_url_does_not() {
        let around = around(&[
            ("PGHOST", "there"),
            ("PGHOSTADDR", "10.0.0.1"),
            ("PGPORT", "99"),
            ("PGUSER", "bob"),
            ("PGDATABASE", ""),
            ("PGSSLMODE", "require"),
        ]);
        let read = |url| {
            let mut given = parse(url).unwrap();
            around.complete(&mut given).unwrap();
            given.iter().map(|(k, v)| format!("{k}={v}")).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(read("postgres://ann@h/d"), "dbname=d host=h port=99 sslmode=require user=ann");
        assert_eq!(
            read("postgres:///?sslmode=disable"),
            "host=there hostaddr=10.0.0.1 port=99 sslmode=disable user=bob"
        );
    }

    #[test]
    fn what_is_not_obeyed_is_refused() {
        let refused = around(&[("PGSERVICE", "shop")]).complete(&mut Given::new()).unwrap_err();
        assert!(refused.message().contains("PGSERVICE"), "{refused}");
        around(&[("PGSERVICE", "")]).complete(&mut Given::new()).unwrap();
    }
}
