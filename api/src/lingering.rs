//! Closing a connection so that its last answer arrives (RFC 9112, section 9.6). A socket that is closed with bytes
//! unread is reset, and a reset destroys what the other side has received and not read yet: a client that is still
//! sending its too large body would see a broken connection instead of the refusal. So the end is said first, then
//! what still comes is read and thrown away for a moment.
//!
//! Never keeps anything it reads, and never waits for longer than [`MOMENT`].

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Sleep, sleep};

/// How long a client may take to notice.
const MOMENT: Duration = Duration::from_secs(1);
/// Read at once, to be thrown away.
const GULP: usize = 16 * 1024;

/// A socket that is closed with patience.
pub(crate) struct Lingering {
    socket: TcpStream,
    /// Set once the end was said.
    until: Option<Pin<Box<Sleep>>>,
}

impl Lingering {
    pub(crate) const fn new(socket: TcpStream) -> Self {
        Self { socket, until: None }
    }

    /// Reads until the other side has closed, too, or the moment is over.
    fn poll_silence(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        let Some(until) = &mut self.until else {
            return Poll::Ready(());
        };
        let mut gulp = [0; GULP];
        loop {
            if until.as_mut().poll(cx).is_ready() {
                return Poll::Ready(());
            }
            let mut buffer = ReadBuf::new(&mut gulp);
            match ready!(Pin::new(&mut self.socket).poll_read(cx, &mut buffer)) {
                Ok(()) if !buffer.filled().is_empty() => {}
                Ok(()) | Err(_) => return Poll::Ready(()),
            }
        }
    }
}

impl AsyncRead for Lingering {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Lingering {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.socket).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.until.is_none() {
            ready!(Pin::new(&mut self.socket).poll_shutdown(cx))?;
            self.until = Some(Box::pin(sleep(MOMENT)));
        }
        self.poll_silence(cx).map(Ok)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn the_last_words_arrive_although_nobody_read_what_was_sent() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        client.write_all(&[b'x'; 4 * GULP]).await.unwrap();
        let mut server = Lingering::new(socket);
        server.write_all(b"too large").await.unwrap();
        let closing = tokio::spawn(async move { server.shutdown().await });
        let mut heard = String::new();
        client.read_to_string(&mut heard).await.unwrap();
        assert_eq!(heard, "too large");
        client.write_all(&[b'x'; GULP]).await.unwrap();
        drop(client);
        closing.await.unwrap().unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_notice_is_left() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (socket, _) = listener.accept().await.unwrap();
        Lingering::new(socket).shutdown().await.unwrap();
    }
}
