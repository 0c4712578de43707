//! The echo server with commonware's runtime, whose network is two rings in threads of their own.
//!
//!   peer_commonware WORKERS SIZE   threads that run tasks, and the size of a message
//!
//! A stream receives exactly as many bytes as it is asked for, hence the argument. Whole messages that came with the first lie
//! in the stream's buffer, and go back with it.
use commonware_runtime::{tokio, Error, Listener, Network, Runner, Sink, Spawner, Stream, Supervisor};
use std::net::{Ipv4Addr, SocketAddr};

async fn echo(mut sink: impl Sink, mut stream: impl Stream, size: usize) -> Result<(), Error> {
    loop {
        let mut message = stream.recv(size).await?;
        let more = stream.peek(usize::MAX).len() / size * size;
        if more > 0 {
            message.append(stream.recv(more).await?.coalesce());
        }
        sink.send(message).await?;
    }
}

fn argument(number: usize) -> usize {
    let given = std::env::args().nth(number).and_then(|text| text.parse().ok());
    given.filter(|value| *value > 0).unwrap_or_else(|| {
        eprintln!("usage: peer_commonware WORKERS SIZE");
        std::process::exit(2);
    })
}

fn main() {
    let (workers, size) = (argument(1), argument(2));
    // The runtime wants a directory and writes its file system back at the start: one in memory costs the disk nothing.
    let directory = format!("/dev/shm/peer_commonware_{}", std::process::id());
    let config = tokio::Config::new()
        .with_worker_threads(workers)
        .with_zero_linger(false) // connections end in good order, not by a reset
        .with_storage_directory(&directory);
    tokio::Runner::new(config).start(|context| async move {
        let _ = std::fs::remove_dir_all(directory); // nothing is stored, and SIGTERM leaves no time to clear it away
        let here = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let mut listener = context.bind(here).await.expect("bind");
        println!("listening on {}", listener.local_addr().expect("local_addr"));
        loop {
            let (_, sink, stream) = listener.accept().await.expect("accept");
            // A client that ends or resets its connection ends its own task and nothing else.
            context.child("echo").spawn(move |_| echo(sink, stream, size));
        }
    })
}
