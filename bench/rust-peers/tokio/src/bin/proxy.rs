//! A proxy: tokio's copy_bidirectional_with_sizes in a task for each connection, all on one thread.
//! Usage: peer_tokio_proxy BACKEND
use std::net::SocketAddr;
use tokio::io::copy_bidirectional_with_sizes;
use tokio::net::{TcpListener, TcpStream};

/// As floor_proxy_epoll and peer_libuv_proxy have it: tokio's usual 8 KiB would pass a message of 16 KiB on in pieces.
const BUFFER: usize = 64 * 1024;

async fn pass(mut client: TcpStream, backend: SocketAddr) -> std::io::Result<()> {
    client.set_nodelay(true)?;
    let mut backend = TcpStream::connect(backend).await?;
    backend.set_nodelay(true)?;
    copy_bidirectional_with_sizes(&mut client, &mut backend, BUFFER, BUFFER).await?;
    Ok(())
}

fn main() -> std::io::Result<()> {
    let backend = std::env::args().nth(1).and_then(|text| text.parse().ok());
    let backend: SocketAddr = backend.ok_or(std::io::ErrorKind::InvalidInput)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (client, _) = listener.accept().await?;
            // A connection that is reset ends its own task and nothing else.
            tokio::spawn(pass(client, backend));
        }
    })
}
