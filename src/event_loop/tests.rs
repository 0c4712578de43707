use super::*;
use crate::engine::{EngineKind, Features};
use crate::error::Error;
use crate::mailbox::Listed;
use crate::socket::{Listening, Options, Socket};
use crate::sync::atomic::AtomicBool;
use crate::sys::Answer;
use crate::threads::Thread;
use crossbeam_channel::{Receiver, Sender, unbounded};

const LONG: Duration = Duration::from_secs(10);

/// Runs `act` on the loop's thread, and reports each call.
struct Probe {
    listed: AtomicBool,
    calls: Sender<Call>,
    act: fn(&Arc<Probe>, &mut EventLoop),
    socket: Arc<Socket>,
}

#[derive(Debug, PartialEq, Eq)]
enum Call {
    Mail,
    Complete(Answer),
    Fail,
}

impl Probe {
    fn new(act: fn(&Arc<Probe>, &mut EventLoop)) -> (Arc<Probe>, Receiver<Call>) {
        let (calls, receiver) = unbounded();
        // A listener that no peer dials: a poll of it goes on.
        let socket = Socket::listen(
            &"127.0.0.1:0".parse().unwrap(),
            &Listening { backlog: 1, reuse_port: false, ipv6_only: None },
            &Options::default(),
        )
        .unwrap();
        (Arc::new(Probe { listed: AtomicBool::new(false), calls, act, socket: Arc::new(socket) }), receiver)
    }
}

impl Listed for Probe {
    fn listed(&self) -> &AtomicBool {
        &self.listed
    }
}

impl Handler for Probe {
    fn on_mail(self: Arc<Self>, event_loop: &mut EventLoop) {
        self.calls.send(Call::Mail).unwrap();
        (self.act)(&self, event_loop);
    }

    fn on_complete(self: Arc<Self>, _: &mut EventLoop, _: Request, reaped: Reaped) {
        self.calls.send(Call::Complete(reaped.answer())).unwrap();
    }

    fn on_timeout(self: Arc<Self>, _: &mut EventLoop) {
        unreachable!("no timers");
    }

    fn end_round(self: Arc<Self>) {
        unreachable!("no rounds");
    }

    fn fail(self: Arc<Self>) {
        self.calls.send(Call::Fail).unwrap();
    }
}

/// A loop under test, its thread, and whether it has died.
type UnderTest = (Arc<LoopHandle>, Thread, Arc<AtomicBool>);

const KINDS: [EngineKind; 2] = [EngineKind::IoUring, EngineKind::Epoll];

/// A loop over each engine that there is.
fn start_each() -> impl Iterator<Item = UnderTest> {
    KINDS.into_iter().filter_map(|kind| start(kind, Features::wanted()))
}

/// `None` if there is no io_uring.
fn start(kind: EngineKind, features: Features) -> Option<UnderTest> {
    let dead = Arc::new(AtomicBool::new(false));
    let died = Arc::clone(&dead);
    let handle = LoopHandle::new().unwrap();
    let setup = Setup {
        name: c"loop-under-test",
        plan: Plan::new(kind, 8).with(features),
        refusal: None,
        receives: true,
        round_sends: None,
        sched_batch: false,
        cpu: None,
        log: None,
        spin: Duration::from_micros(50),
        died: Box::new(move || died.store(true, Ordering::Relaxed)),
    };
    let Ok(thread) = EventLoop::start(&handle, setup) else {
        eprintln!("skipped: no io_uring here");
        return None;
    };
    Some((handle, thread, dead))
}

fn stop((handle, thread, dead): UnderTest) {
    handle.quit();
    thread.join();
    assert!(!dead.load(Ordering::Relaxed));
}

#[test]
fn a_panic_ends_the_handle_that_it_came_from_and_not_the_loop() {
    for under_test in start_each() {
        let (bad, of_bad) = Probe::new(|_, _| panic!("as it was told"));
        let (good, of_good) = Probe::new(|_, _| {});
        under_test.0.post(bad);
        assert_eq!(of_bad.recv_timeout(LONG), Ok(Call::Mail));
        assert_eq!(of_bad.recv_timeout(LONG), Ok(Call::Fail));
        for _ in 0..3 {
            under_test.0.post(Arc::clone(&good) as _);
            assert_eq!(of_good.recv_timeout(LONG), Ok(Call::Mail));
        }
        stop(under_test);
    }
}

#[test]
fn a_cancel_that_did_not_find_its_request_is_asked_again() {
    for under_test in start_each() {
        let (probe, calls) = Probe::new(|probe, event_loop| {
            let request = Request::Readable { socket: Arc::clone(&probe.socket) };
            let id = event_loop.submit(Arc::clone(probe) as _, request);
            // As if the kernel had looked for the request in a moment in which the request neither waited nor ran.
            event_loop.cancel_again(id);
        });
        under_test.0.post(probe);
        assert_eq!(calls.recv_timeout(LONG), Ok(Call::Mail));
        assert_eq!(calls.recv_timeout(LONG), Ok(Call::Complete(Answer::Again)));
        stop(under_test);
    }
}

#[test]
fn a_request_is_tried_before_its_cancel() {
    for under_test in start_each() {
        let (probe, calls) = Probe::new(|probe, event_loop| {
            let (socket, scratch) = (Arc::clone(&probe.socket), event_loop.scratch());
            let id = event_loop.submit(Arc::clone(probe) as _, Request::Discard { socket, scratch });
            event_loop.cancel(id);
        });
        under_test.0.post(probe);
        assert_eq!(calls.recv_timeout(LONG), Ok(Call::Mail));
        let tried = Answer::Failed(Error::from_errno(libc::ENOTCONN)); // it is a listener
        assert_eq!(calls.recv_timeout(LONG), Ok(Call::Complete(tried)));
        stop(under_test);
    }
}

#[test]
fn a_loop_without_a_waker_is_woken_also_after_its_poll_has_ended() {
    let Some(under_test) = start(EngineKind::IoUring, Features::BUFFER_RING) else { return };
    let (ends_poll, of_end) = Probe::new(|_, event_loop| {
        event_loop.engine.as_mut().unwrap().lose_waker();
    });
    let (probe, calls) = Probe::new(|_, _| {});
    under_test.0.post(ends_poll);
    assert_eq!(of_end.recv_timeout(LONG), Ok(Call::Mail));
    for _ in 0..3 {
        // The loop falls asleep meanwhile: a loop that is awake finds its mail without a wake-up.
        std::thread::sleep(Duration::from_millis(20));
        under_test.0.post(Arc::clone(&probe) as _);
        assert_eq!(calls.recv_timeout(LONG), Ok(Call::Mail));
    }
    stop(under_test);
}

#[test]
fn a_loop_that_has_lost_its_engine_refuses_at_once_what_it_is_asked() {
    for (handle, thread, _) in start_each() {
        let (probe, calls) = Probe::new(|probe, event_loop| {
            event_loop.leave_engine();
            let request = Request::Readable { socket: Arc::clone(&probe.socket) };
            event_loop.submit(Arc::clone(probe) as _, request);
        });
        handle.post(probe);
        assert_eq!(calls.recv_timeout(LONG), Ok(Call::Mail));
        assert_eq!(
            calls.recv_timeout(LONG),
            Ok(Call::Complete(Answer::Failed(Error::from_errno(libc::EIO)))),
            "though nobody wakes it"
        );
        handle.quit();
        thread.join();
    }
}
