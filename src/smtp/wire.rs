//! A connection to the server: commands go out, replies come in, and everything has a deadline.

use super::failure::{Cause, Failure};
use super::reply::{Malformed, Reply};
use super::stage::Stage;
use super::statistics::Counted;
use rustls::pki_types::ServerName;
use std::future::{poll_fn, Future};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use std::{fmt, io};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A buffer above this size is given back after its mail.
const KEPT_CAPACITY: usize = 64 * 1024;
/// How much is read at once, at least.
const READ_SIZE: usize = 1024;

/// A socket, or TLS over one.
pub(super) trait Socket: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Socket for S {}

/// A socket with its buffers.
pub(super) struct Wire {
    socket: Box<dyn Socket>,
    /// The same socket, to ask the kernel whether something came.
    kernel: std::net::TcpStream,
    input: Input,
    output: Vec<u8>,
    reply_timeout: Duration,
    dot_timeout: Duration,
    counted: Counted,
}

impl Wire {
    pub(super) fn new(
        socket: TcpStream,
        reply_timeout: Duration,
        dot_timeout: Duration,
        counted: Counted,
    ) -> io::Result<Self> {
        let kernel = socket.into_std()?;
        kernel.set_nodelay(true)?;
        let socket = Box::new(TcpStream::from_std(kernel.try_clone()?)?);
        let (input, output) = (Input::default(), Vec::new());
        Ok(Self { socket, kernel, input, output, reply_timeout, dot_timeout, counted })
    }

    /// The same connection under TLS. What was received before is discarded: an attacker may have put it there.
    pub(super) async fn encrypt(
        mut self,
        connector: &TlsConnector,
        name: ServerName<'static>,
        limit: Duration,
    ) -> Result<Self, Cause> {
        self.input = Input::default();
        let handshake = tokio::time::timeout(limit, connector.connect(name, self.socket));
        let socket = handshake.await.map_err(|_| Cause::Timeout)?.map_err(|error| handshake_cause(&error))?;
        Ok(Self { socket: Box::new(socket), ..self })
    }

    /// Adds a command to the next `send`.
    pub(super) fn queue(&mut self, command: fmt::Arguments<'_>) {
        // Writing into a Vec never fails.
        let _ = io::Write::write_fmt(&mut self.output, command);
        self.output.extend_from_slice(b"\r\n");
    }

    /// Lets `fill` write what the next `send` will send.
    pub(super) fn fill(&mut self, fill: impl FnOnce(&mut Vec<u8>)) {
        fill(&mut self.output);
    }

    /// Sends what is queued. When it returns `Ok`, the kernel has taken the last byte.
    pub(super) async fn send(&mut self) -> Result<(), Cause> {
        // What came before the command is no reply to it.
        self.input.expect_nothing()?;
        let Self { socket, output, reply_timeout, dot_timeout, .. } = self;
        let sending = async {
            let mut rest = output.as_slice();
            while !rest.is_empty() {
                let sent = within(*reply_timeout, socket.write(rest)).await?;
                if sent == 0 {
                    return Err(Cause::Closed);
                }
                rest = rest.get(sent..).unwrap_or_default();
            }
            within(*reply_timeout, socket.flush()).await
        };
        tokio::time::timeout(*dot_timeout, sending).await.unwrap_or(Err(Cause::Timeout))?;
        output.clear();
        output.shrink_to(KEPT_CAPACITY);
        Ok(())
    }

    /// The next reply, whatever it is.
    pub(super) async fn reply(&mut self, limit: Duration) -> Result<Reply, Cause> {
        let Self { socket, input, .. } = self;
        let receiving = async {
            loop {
                if let Some(reply) = input.next_reply()? {
                    return Ok(reply);
                }
                if socket.read_buf(input.space()).await.map_err(|error| cause(&error))? == 0 {
                    return Err(Cause::Closed);
                }
            }
        };
        tokio::time::timeout(limit, receiving).await.unwrap_or(Err(Cause::Timeout))
    }

    /// The reply at a stage, which fails unless the reply is wanted.
    pub(super) async fn expect(&mut self, stage: Stage, is_wanted: fn(Reply) -> bool) -> Result<Reply, Failure> {
        let (limit, failed): (_, fn(Stage, Cause) -> Failure) = match stage {
            Stage::Dot => (self.dot_timeout, |_, cause| Failure::after_terminator(cause)),
            _ => (self.reply_timeout, Failure::new),
        };
        let reply = self.reply(limit).await.map_err(|cause| failed(stage, cause))?;
        self.counted.count(stage, reply);
        if is_wanted(reply) {
            Ok(reply)
        } else if reply.is_refusal() {
            Err(failed(stage, Cause::Refused(reply)))
        } else {
            Err(failed(stage, Cause::OutOfPlace(reply)))
        }
    }

    /// Sends one command and waits for its reply.
    pub(super) async fn ask(
        &mut self,
        stage: Stage,
        command: &str,
        is_wanted: fn(Reply) -> bool,
    ) -> Result<Reply, Failure> {
        self.queue(format_args!("{command}"));
        self.send().await.map_err(|cause| Failure::new(stage, cause))?;
        self.expect(stage, is_wanted).await
    }

    /// The bytes of the last reply, up to the next one.
    pub(super) fn last_reply(&self) -> &[u8] {
        self.input.last()
    }

    /// Whether there is nothing to read, not even the end of the connection.
    pub(super) async fn is_quiet(&mut self) -> bool {
        // The runtime does not know yet what came since its last look, so the kernel is asked.
        let mut byte = [0];
        if !self.kernel.peek(&mut byte).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
            return false;
        }
        // TLS may have decrypted more than was read. A task that used up its share of the runtime's time would be told
        // that there is nothing, hence `unconstrained`.
        let mut space = ReadBuf::new(&mut byte);
        let look = poll_fn(|cx| Poll::Ready(Pin::new(&mut self.socket).poll_read(cx, &mut space).is_pending()));
        self.input.expect_nothing().is_ok() && tokio::task::unconstrained(look).await
    }

    /// Says QUIT if the socket takes it at once.
    pub(super) fn say_quit(&mut self) {
        let cx = &mut Context::from_waker(Waker::noop());
        if Pin::new(&mut self.socket).poll_write(cx, b"QUIT\r\n").is_ready() {
            let _ = Pin::new(&mut self.socket).poll_flush(cx);
        }
    }
}

/// What the server sent: the last reply, and what was not looked at yet.
#[derive(Default)]
pub(super) struct Input {
    bytes: Vec<u8>,
    /// Where the last reply begins, and where it ends.
    last: (usize, usize),
}

impl Input {
    fn unread(&self) -> &[u8] {
        self.bytes.get(self.last.1..).unwrap_or_default()
    }

    fn last(&self) -> &[u8] {
        self.bytes.get(self.last.0..self.last.1).unwrap_or_default()
    }

    fn next_reply(&mut self) -> Result<Option<Reply>, Malformed> {
        let Some((reply, length)) = Reply::parse(self.unread())? else { return Ok(None) };
        self.last = (self.last.1, self.last.1 + length);
        Ok(Some(reply))
    }

    /// Where more bytes go. The last reply is forgotten.
    fn space(&mut self) -> &mut Vec<u8> {
        self.bytes.drain(..self.last.1);
        self.last = (0, 0);
        self.bytes.reserve(READ_SIZE);
        &mut self.bytes
    }

    fn expect_nothing(&self) -> Result<(), Cause> {
        match self.unread() {
            [] => Ok(()),
            unread => Err(Reply::parse(unread)?.map_or(Cause::Malformed, |(reply, _)| Cause::OutOfPlace(reply))),
        }
    }
}

/// Waits for `action`, but not longer than `limit`.
pub(super) async fn within<T>(limit: Duration, action: impl Future<Output = io::Result<T>>) -> Result<T, Cause> {
    match tokio::time::timeout(limit, action).await {
        Ok(result) => result.map_err(|error| cause(&error)),
        Err(_) => Err(Cause::Timeout),
    }
}

/// What rustls has against the handshake says more than the kind of the error.
fn handshake_cause(error: &io::Error) -> Cause {
    let reason = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    reason.map_or_else(|| cause(error), |reason| Cause::Tls(reason.to_string()))
}

fn cause(error: &io::Error) -> Cause {
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => Cause::Closed,
        kind => Cause::Io(kind),
    }
}

impl From<Malformed> for Cause {
    fn from(_: Malformed) -> Self {
        Self::Malformed
    }
}
