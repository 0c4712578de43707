//! Dials: one task for each of the connections that are kept going, all on one thread. ../../../../server.h has what a program
//! that dials is told, and what it does then.
use std::io::{Error, ErrorKind, Read, Result};
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const DIALS: usize = 8;
const MESSAGE: usize = 64;

fn take_orders() -> Result<([u8; MESSAGE], SocketAddr)> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
    println!("listening on {}", listener.local_addr()?);
    let (mut connection, _) = listener.accept()?;
    let (mut message, mut target) = ([0; MESSAGE], String::new());
    connection.read_exact(&mut message)?;
    connection.read_to_string(&mut target)?;
    Ok((message, target.parse().map_err(Error::other)?))
}

async fn dial_for_ever(target: SocketAddr, mut message: [u8; MESSAGE]) -> Result<()> {
    loop {
        let mut connection = TcpStream::connect(target).await?;
        connection.set_nodelay(true)?;
        connection.write_all(&message).await?;
        connection.read_exact(&mut message).await?;
    }
}

fn main() -> Result<()> {
    let (message, target) = take_orders()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        for _ in 0..DIALS {
            tokio::spawn(async move {
                let error = dial_for_ever(target, message).await.err().map(|error| error.kind());
                // The other side ends while connections are under way; all else is a fault.
                let ends = [ErrorKind::ConnectionRefused, ErrorKind::ConnectionReset, ErrorKind::UnexpectedEof];
                if !error.is_some_and(|kind| ends.contains(&kind) || kind == ErrorKind::BrokenPipe) {
                    eprintln!("dial: {error:?}");
                    std::process::exit(1);
                }
            });
        }
        std::future::pending::<()>().await; // until SIGTERM
    });
    Ok(())
}
