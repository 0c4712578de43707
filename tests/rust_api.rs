//! The core's own interface, without the C boundary: what a Rust program would write.

use iouringnet::config::Config;
use iouringnet::error::Error;
use iouringnet::net::Net;
use iouringnet::open::{self, BindOptions, DialOptions};
use iouringnet::probe::probe;
use std::time::Duration;

fn start(first_try: bool) -> Option<std::sync::Arc<Net>> {
    if let Err(error) = probe().status {
        eprintln!("skipped: {error}");
        return None;
    }
    Some(Net::start(Config { first_try, ..Config::default() }).unwrap())
}

fn echo(first_try: bool) {
    let Some(net) = start(first_try) else {
        return;
    };
    let listener = open::bind(&net, "127.0.0.1:0", BindOptions::default()).unwrap();
    let address = listener.address().to_owned();
    let server = std::thread::spawn(move || {
        let (sink, stream) = listener.accept().unwrap();
        let mut bytes = [0; 4096];
        loop {
            let received = stream.recv_some(&mut bytes);
            match received.result {
                Ok(()) => assert_eq!(sink.send(&bytes[..received.bytes]).result, Ok(())),
                Err(error) => {
                    assert_eq!(error, Error::EOF);
                    break;
                }
            }
        }
        sink.close();
        stream.close();
        listener.close();
    });
    let (sink, stream) = open::dial(&net, &address, &DialOptions::default()).unwrap();
    stream.set_timeout(Some(Duration::from_secs(20)));
    for size in [1, 100, 4096, 70_000] {
        let message: Vec<u8> = (0..size).map(|n| n as u8).collect();
        let mut back = vec![0; size];
        sink.post(&message).unwrap();
        assert_eq!(stream.recv(&mut back).result, Ok(()));
        assert_eq!(back, message);
    }
    sink.close();
    let end = stream.recv(&mut [0]);
    assert_eq!((end.result, end.bytes), (Err(Error::EOF), 0));
    stream.close();
    server.join().unwrap();
    assert_eq!(net.stop(), Ok(()));
    assert_eq!(open::dial(&net, &address, &DialOptions::default()).err(), Some(Error::STOPPED));
}

#[test]
fn an_echo_with_the_first_try() {
    echo(true);
}

#[test]
fn an_echo_by_the_rings_alone() {
    echo(false);
}

#[test]
fn errors_are_told_apart() {
    let Some(net) = start(true) else {
        return;
    };
    assert_eq!(open::dial(&net, "no port", &DialOptions::default()).err(), Some(Error::ADDRESS));
    let listener = open::bind(&net, "127.0.0.1:0", BindOptions::default()).unwrap();
    let taken = open::bind(&net, listener.address(), BindOptions::default()).err();
    assert_eq!(taken.and_then(Error::errno), Some(libc::EADDRINUSE));
    let address = listener.address().to_owned();
    listener.close();
    assert_eq!(
        open::dial(&net, &address, &DialOptions::default()).err().and_then(Error::errno),
        Some(libc::ECONNREFUSED)
    );
    let again = open::bind(&net, &address, BindOptions::default()).unwrap();
    assert_eq!(again.address(), address);
    again.close();
    assert_eq!(net.stop(), Ok(()));
}
