//! The echo server as monoio's own example has it: one task for each connection, on one thread with one ring.
use monoio::io::{AsyncReadRent, AsyncWriteRentExt};
use monoio::net::{TcpListener, TcpStream};

async fn echo(mut socket: TcpStream) -> std::io::Result<()> {
    let mut buffer = Vec::with_capacity(16 * 1024);
    loop {
        let (read, filled) = socket.read(buffer).await;
        if read? == 0 {
            return Ok(());
        }
        let (written, sent) = socket.write_all(filled).await;
        written?;
        buffer = sent;
        buffer.clear();
    }
}

fn main() -> std::io::Result<()> {
    let mut ring = io_uring::IoUring::builder();
    ring.setup_coop_taskrun(); // one thread: completions need not interrupt it
    let mut runtime = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new()
        .with_entries(4096)
        .uring_builder(ring)
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        println!("listening on {}", listener.local_addr()?);
        loop {
            let (socket, _) = listener.accept().await?;
            socket.set_nodelay(true)?;
            // A client that resets its connection ends its own task and nothing else.
            monoio::spawn(echo(socket));
        }
    })
}
