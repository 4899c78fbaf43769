//! A line to a server that can be cut: what was on it ends nowhere, and whoever dials hears nothing.

#![expect(clippy::unwrap_used, reason = "a test whose line does not start cannot go on")]

use std::net::SocketAddr;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The line. It ends when dropped.
pub struct Line {
    address: SocketAddr,
    server: watch::Sender<SocketAddr>,
    cut: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Line {
    /// A line that is whole.
    pub async fn to(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (server, its_end) = watch::channel(server);
        let (cut, is_cut) = watch::channel(false);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let server = *its_end.borrow();
                tokio::spawn(carry(client, server, is_cut.clone()));
            }
        });
        Self { address, server, cut, task }
    }

    /// Where to connect instead of to the server.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are made from now on lead to this server.
    pub fn lead_to(&self, server: SocketAddr) {
        self.server.send_replace(server);
    }

    /// From now on nothing passes, and nobody is told: as if a cable were pulled.
    pub fn cut(&self) {
        self.cut.send_replace(true);
    }

    /// Connections that are made from now on pass again. Those from before never do.
    pub fn mend(&self) {
        self.cut.send_replace(false);
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn carry(mut client: TcpStream, server: SocketAddr, mut cut: watch::Receiver<bool>) {
    if *cut.borrow_and_update() {
        // Held, and never answered, until the line is mended.
        let _ = cut.wait_for(|cut| !cut).await;
        return;
    }
    let Ok(mut server) = TcpStream::connect(server).await else { return };
    tokio::select! {
        _ = tokio::io::copy_bidirectional(&mut client, &mut server) => return,
        _ = cut.wait_for(|cut| *cut) => {}
    }
    // Both ends stay open, so that neither notices.
    let _ = cut.wait_for(|cut| !cut).await;
}
