//! The beginning of a session: who is there, and whether that is true.

use std::time::Duration;

use bytes::BytesMut;
use postgres_protocol::authentication::md5_hash;
use postgres_protocol::authentication::sasl::{
    ChannelBinding, SCRAM_SHA_256, SCRAM_SHA_256_PLUS, ScramSha256,
};
use postgres_protocol::message::frontend;

use super::connection::Connection;
use super::error::Error;
use super::message::{Authentication, Message};
use crate::postgres::server::{ChannelBinding as Binding, Login, Stream};

impl Connection {
    /// Starts a session, waiting `patience` for each word of the server.
    ///
    /// # Errors
    /// [`Error::Server`] if the server lets nobody in, [`Error::Login`] if it
    /// asks what `login` has no answer to.
    pub(in crate::postgres) async fn start(
        stream: Stream,
        login: &Login<'_>,
        patience: Duration,
    ) -> Result<Self, Error> {
        let binding = stream.end_point().map(<[u8]>::to_vec);
        let mut connection = Self::new(stream, patience);
        connection.send(greeting(login)?).await?;
        let mut login = Proof { login, binding, scram: None, binds: false, bound: false };
        loop {
            match connection.receive().await? {
                Message::Authentication(question) => {
                    if let Some(answer) = login.answer(question)? {
                        connection.send(answer).await?;
                    }
                }
                Message::Error(error) => return Err(Error::Server(error)),
                Message::Process(number) => connection.process = Some(number),
                Message::Ready(_) => return Ok(connection),
                _ => {}
            }
        }
    }
}

fn greeting(login: &Login<'_>) -> Result<BytesMut, Error> {
    let parameters = [
        ("client_encoding", Some("UTF8")),
        ("user", Some(login.user)),
        ("database", Some(login.database)),
        ("options", login.options),
        ("application_name", Some(login.application_name)),
    ];
    let given = parameters.into_iter().filter_map(|(name, value)| Some((name, value?)));
    message(|out| frontend::startup_message(given, out))
}

/// That somebody is who they say.
struct Proof<'a> {
    login: &'a Login<'a>,
    binding: Option<Vec<u8>>,
    scram: Option<ScramSha256>,
    /// Whether this login would be bound to the encrypted stream, and whether it
    /// is.
    binds: bool,
    bound: bool,
}

impl Proof<'_> {
    /// What to answer, if anything.
    fn answer(&mut self, question: Authentication) -> Result<Option<BytesMut>, Error> {
        match question {
            Authentication::Done if self.must_be_bound() && !self.bound => {
                Err(Error::Login("the server did not bind the login to the connection".into()))
            }
            Authentication::Done => Ok(None),
            Authentication::Password => {
                let password = self.password()?;
                message(|out| frontend::password_message(password, out)).map(Some)
            }
            Authentication::Md5(salt) => {
                let hash = md5_hash(self.login.user.as_bytes(), self.password()?, salt);
                message(|out| frontend::password_message(hash.as_bytes(), out)).map(Some)
            }
            Authentication::Sasl(offered) => self.begin_scram(&offered).map(Some),
            Authentication::SaslContinue(data) => {
                let scram = self.scram()?;
                scram.update(&data).map_err(doubtful)?;
                let scram = &*scram;
                message(|out| frontend::sasl_response(scram.message(), out)).map(Some)
            }
            Authentication::SaslFinal(data) => {
                self.scram()?.finish(&data).map_err(doubtful)?;
                self.bound = self.binds;
                Ok(None)
            }
            Authentication::Unknown(code) => {
                Err(Error::Login(format!("the server wants a login of kind {code}")))
            }
        }
    }

    fn begin_scram(&mut self, offered: &[String]) -> Result<BytesMut, Error> {
        let offers = |name: &str| offered.iter().any(|o| o == name);
        let may_bind = self.login.channel_binding != Binding::Disable;
        let (mechanism, binding) = match self.binding.take().filter(|_| may_bind) {
            Some(end_point) if offers(SCRAM_SHA_256_PLUS) => {
                (SCRAM_SHA_256_PLUS, ChannelBinding::tls_server_end_point(end_point))
            }
            Some(_) => (SCRAM_SHA_256, ChannelBinding::unrequested()),
            None => (SCRAM_SHA_256, ChannelBinding::unsupported()),
        };
        if !offers(mechanism) {
            return Err(Error::Login(format!("the server wants {}", offered.join(" or "))));
        }
        self.binds = mechanism == SCRAM_SHA_256_PLUS;
        if self.must_be_bound() && !self.binds {
            return Err(Error::Login("the server can't bind the login to the connection".into()));
        }
        let scram = ScramSha256::new(self.password()?, binding);
        let scram = self.scram.insert(scram);
        message(|out| frontend::sasl_initial_response(mechanism, scram.message(), out))
    }

    fn scram(&mut self) -> Result<&mut ScramSha256, Error> {
        self.scram.as_mut().ok_or_else(|| Error::protocol("a login that never began goes on"))
    }

    fn password(&self) -> Result<&[u8], Error> {
        self.login.password.map(str::as_bytes).ok_or_else(no_password)
    }

    fn must_be_bound(&self) -> bool {
        self.login.channel_binding == Binding::Require
    }
}

fn no_password() -> Error {
    Error::Login("password missing".into())
}

/// The server does not know the password either, or somebody stands between.
fn doubtful(error: std::io::Error) -> Error {
    Error::Login(error.to_string())
}

fn message(put: impl FnOnce(&mut BytesMut) -> std::io::Result<()>) -> Result<BytesMut, Error> {
    let mut out = BytesMut::new();
    put(&mut out).map_err(|e| Error::protocol(e.to_string()))?;
    Ok(out)
}
