//! The echo server as tokio's own example has it: one task for each connection, here all on one thread.
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn echo(mut socket: TcpStream) -> std::io::Result<()> {
    // A buffer that is not filled tells tokio that the socket is empty, which saves it from asking: room for more than the
    // largest message of the cases.
    let mut buffer = Vec::with_capacity(32 * 1024);
    loop {
        if socket.read_buf(&mut buffer).await? == 0 {
            return Ok(());
        }
        socket.write_all(&buffer).await?;
        buffer.clear();
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
