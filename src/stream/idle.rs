//! What the idle limit of a connection finds and ends in its receiving half: the watch, a forward, or the first receive.
//!
//! Invariant: bytes that the kernel has are no silence.

use super::{Result, State, Stream};
use crate::error::Error;
use crate::idle::{Idle, IdleHalf, Work};
use crate::ownership::Owner;
use std::mem;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

impl Stream {
    /// The connection may go so long without a byte in either direction. `None`: no limit.
    pub fn set_idle_timeout(self: &Arc<Self>, limit: Option<Duration>) -> Result {
        self.state.lock().check_open(&self.net)?;
        let stream: Weak<Stream> = Arc::downgrade(self);
        let idle =
            self.socket.idle_or(|| Idle::new(&self.net, &self.socket, Weak::clone(&self.sink), stream));
        Arc::clone(idle).set(limit);
        Ok(())
    }
}

impl IdleHalf for Stream {
    fn work(&self) -> Work {
        let mut state = self.state.lock();
        let receives = !state.queue.is_empty() || state.waiter.is_some();
        let Some(watch) = &mut state.watch else {
            return if receives { Work::Waits } else { Work::None };
        };
        let was_paused = mem::replace(&mut watch.was_paused, watch.paused);
        if was_paused && watch.forward.is_none() { Work::Paused } else { Work::Waits }
    }

    fn interrupt(&self) {
        self.state.lock().interrupt_waiter();
    }

    fn end_idle(self: Arc<Self>, now: Instant) -> bool {
        let mut state = self.lock_to_change();
        let held = state.watch.as_ref().is_some_and(|watch| watch.paused);
        let ends = (held || self.socket.unread() == 0) && state.end_idle(now);
        drop(state);
        if ends {
            self.post_to_loop();
        }
        ends
    }
}

impl State {
    pub(super) fn end_idle(&mut self, now: Instant) -> bool {
        match &mut self.watch {
            Some(watch) => {
                watch.end(Error::TIMEOUT);
                true
            }
            None => self.front.owner() == Owner::Loop && self.queue.end_front(now),
        }
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::callback::DataCallback;
    use crate::config::Config;
    use crate::engine::EngineKind;
    use crate::socket_waiter::{Ready, SocketWaiter, Woken};
    use crate::stream::fixture::open;
    use crossbeam_channel::unbounded;
    use std::io::Write;

    const LONG: Duration = Duration::from_secs(60);

    /// The loop is late: it runs the callback for a first byte while more bytes come.
    #[test]
    fn bytes_that_the_kernel_has_are_no_silence() {
        let config = Config { engine: Some(EngineKind::Epoll), ..Config::default() };
        let Some((net, stream, mut peer)) = open(config) else { return };
        let (report, calls) = unbounded();
        let (go_on, goes_on) = unbounded();
        let callback = move |result: Result, bytes: &[u8]| {
            report.send((result, bytes.to_vec())).unwrap();
            if bytes == [1] {
                goes_on.recv().unwrap();
            }
            bytes.len()
        };
        stream.watch(Some(DataCallback::boxed(callback)), None).unwrap();
        peer.write_all(&[1]).unwrap();
        assert_eq!(calls.recv_timeout(LONG), Ok((Ok(()), vec![1])));
        peer.write_all(&[2; 10]).unwrap();
        let waiter = SocketWaiter::own().unwrap();
        while stream.socket.unread() < 10 {
            assert_eq!(waiter.wait(&stream.socket, Ready::Receive, None), Woken::Ready);
        }
        assert!(!Arc::clone(&stream).end_idle(Instant::now()));
        go_on.send(()).unwrap();
        assert_eq!(calls.recv_timeout(LONG), Ok((Ok(()), vec![2; 10])));
        assert!(Arc::clone(&stream).end_idle(Instant::now()));
        assert_eq!(calls.recv_timeout(LONG), Ok((Err(Error::TIMEOUT), vec![])));
        stream.close();
        drop(peer);
        net.stop().unwrap();
    }
}
