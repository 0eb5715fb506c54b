//! The TCP side: accepted sockets that a handler can close or reset, and that end with the server.
//!
//! A handler has no way to its socket, so every socket is accepted as a [`Wire`] that shares a switch with the
//! [`Line`] its handlers hold. Throwing the switch makes the next read and write of the HTTP server fail, upon which
//! it drops the socket. Must never hold bytes back: buffering belongs to the HTTP server.

use std::{
    io,
    net::SocketAddr,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use axum::{
    extract::connect_info::Connected,
    serve::{IncomingStream, Listener},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::{TcpListener, TcpStream},
};
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

/// Accepts [`Wire`]s without Nagle's algorithm, until the server ends.
#[derive(Debug)]
pub(crate) struct WireListener {
    inner: TcpListener,
    shutdown: CancellationToken,
}

impl WireListener {
    /// Sockets accepted here are closed as soon as `shutdown` is cancelled.
    pub(crate) fn new(inner: TcpListener, shutdown: CancellationToken) -> Self {
        Self { inner, shutdown }
    }
}

impl Listener for WireListener {
    type Io = Wire;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Wire, SocketAddr) {
        let (stream, addr) = Listener::accept(&mut self.inner).await;
        if let Err(error) = stream.set_nodelay(true) {
            // The peer is gone already; the HTTP server will notice.
            tracing::debug!(%addr, %error, "TCP_NODELAY could not be set");
        }
        let line = Line {
            over: self.shutdown.child_token(),
            reset: Arc::default(),
        };
        let over = Box::pin(line.over.clone().cancelled_owned());
        (Wire { stream, line, over }, addr)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.inner.local_addr()
    }
}

/// A handler's hold on the connection its request came by.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    over: CancellationToken,
    reset: Arc<AtomicBool>,
}

impl Line {
    /// Closes the connection (FIN). What the HTTP server has not yet written is lost.
    pub(crate) fn close(&self) {
        self.over.cancel();
    }

    /// Resets the connection (RST), which may also destroy what the peer has not yet read.
    pub(crate) fn reset(&self) {
        self.reset.store(true, Ordering::Release);
        self.over.cancel();
    }
}

impl Connected<IncomingStream<'_, WireListener>> for Line {
    fn connect_info(stream: IncomingStream<'_, WireListener>) -> Self {
        stream.io().line.clone()
    }
}

/// An accepted socket.
#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    line: Line,
    over: Pin<Box<WaitForCancellationFutureOwned>>,
}

impl Wire {
    fn check(&self) -> io::Result<()> {
        if self.line.over.is_cancelled() {
            Err(io::ErrorKind::ConnectionAborted.into())
        } else {
            Ok(())
        }
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        if self.line.reset.load(Ordering::Acquire)
            && let Err(error) = self.stream.set_zero_linger()
        {
            tracing::warn!(%error, "the connection could not be reset and is closed instead");
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.check()?;
        // The HTTP server reads all the time, also while it answers, to notice that the peer left. So this is where
        // it is woken when the switch is thrown.
        if self.over.as_mut().poll(cx).is_ready() {
            return Poll::Ready(self.check());
        }
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Wire {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.check()?;
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // A client that pipelines keeps the HTTP server from reading while it answers: it finds out here.
        self.check()?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.line.reset.load(Ordering::Acquire) {
            // A FIN now would tell the peer that the answer was complete.
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn accepted_sockets_do_not_wait_to_fill_packets() {
        let inner = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = inner.local_addr().unwrap();
        let mut listener = WireListener::new(inner, CancellationToken::new());
        let (_peer, (wire, _)) = tokio::join!(TcpStream::connect(addr), listener.accept());
        assert!(wire.stream.nodelay().unwrap());
    }
}
