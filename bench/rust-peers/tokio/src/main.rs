//! The echo server as tokio's own example has it: one task for each connection, here all on one thread.
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn echo(mut socket: TcpStream) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let size = socket.read(&mut buffer).await?;
        if size == 0 {
            return Ok(());
        }
        socket.write_all(&buffer[..size]).await?;
    }
}

fn main() -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            // A client that resets its connection ends its own task and nothing else.
            tokio::spawn(echo(socket));
        }
    })
}
