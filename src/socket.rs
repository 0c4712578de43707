#![allow(unsafe_code)] // connect, send, recv, ioctl and getsockopt on memory that the callers name
//! One TCP descriptor: its options, the calls made on it directly, and the error that both halves share.
//!
//! Shared by the two halves of a connection and by every request in flight, so that the descriptor closes after the
//! last of them. Invariant: no error that the kernel reported once is forgotten; the half that did not see it learns
//! it here.

use crate::deadlines::DrainEnd;
use crate::error::{Error, Result};
use crate::parts::{EMPTY_PART, ENTRY_MAX, Gather, PARTS_MAX, Parts, message_of};
use crate::sync::atomic::{AtomicBool, AtomicI32, AtomicU8, Ordering};
use crate::threads;
use socket2::{Domain, Protocol, SockAddr, TcpKeepalive, Type};
use std::io;
use std::mem::{self, ManuallyDrop};
use std::net::SocketAddr;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// What is set on every socket of a net.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// TCP_NODELAY; `None` leaves the system's.
    pub nodelay: Option<bool>,
    /// The idle time before the first keepalive probe.
    pub keepalive: Option<Duration>,
    /// SO_SNDBUF in bytes; 0 leaves the system's.
    pub send_buffer: usize,
    /// SO_RCVBUF in bytes; 0 leaves the system's.
    pub recv_buffer: usize,
}

/// One of the two directions of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Half {
    /// What the sink sends.
    Send = 0,
    /// What the stream receives.
    Recv = 1,
}

/// What one try of the kernel gave.
#[derive(Debug, PartialEq, Eq)]
pub enum Tried {
    /// So many bytes; for a receive never 0.
    Bytes(usize),
    /// Nothing now.
    WouldBlock,
    /// The other side has ended its stream.
    End,
    /// The connection is broken.
    Failed(Error),
}

/// How long a peer has had everything that was sent to it.
#[derive(Clone, Copy, Debug)]
pub struct Quiet {
    /// At least so long.
    pub time: Duration,
    /// The kernel's estimate of a round trip.
    pub round_trip: Duration,
}

/// Called when the own direction of a connection has ended.
type EndedHook = Box<dyn Fn() + Send + Sync>;

/// A TCP socket, closed when the last owner lets go.
pub struct Socket {
    socket: ManuallyDrop<socket2::Socket>,
    error: AtomicI32,
    fin_sent: AtomicBool,
    /// When the own direction ended, the peer had acknowledged everything before it.
    fin_was_last: AtomicBool,
    input_ended: AtomicBool,
    /// Whether a send may have taken an error from the kernel that is not stored yet. Written by the sink's
    /// owner.
    sending: AtomicBool,
    reset: AtomicBool,
    open_halves: AtomicU8,
    embedded: [AtomicBool; 2],
    ended: OnceLock<Box<EndedHook>>,
    /// When the drain of what was queued at the close must be over; set by the sink.
    drain_until: DrainEnd,
    _freed: Freed,
}

/// As much input as one call drops, so that a close in a callback is not long.
const DISCARDED_AT_ONCE: usize = 256 << 10;

/// Called when a descriptor may have become free; see [`when_descriptor_closes`].
type Hook = Box<dyn FnOnce() + Send>;
// Outside of every loom model, so not from `sync`.
static STARVED: rustix_futex_sync::Mutex<Vec<Hook>> = rustix_futex_sync::Mutex::new(Vec::new());
static STARVED_COUNT: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);

/// Runs `hook` once, when the next socket of this process closes.
pub fn when_descriptor_closes(hook: Hook) {
    STARVED.lock().push(hook);
    STARVED_COUNT.fetch_add(1, Ordering::Relaxed);
}

// Calls that do not wait go round libc's wrappers where those are cancellation points: sends and receives have cancellation
// turned on, and arranging for it costs a tenth of an echo's own work.

/// send(2) without waiting.
///
/// # Safety
/// `size` bytes at `data` are readable during the call.
unsafe fn send(fd: RawFd, data: *const u8, size: usize) -> isize {
    let (flags, nowhere) = (libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL, std::ptr::null::<libc::sockaddr>());
    // SAFETY: the caller vouches for the memory; no address is named.
    unsafe { libc::syscall(libc::SYS_sendto, fd, data, size, flags, nowhere, 0usize) as isize }
}

/// recv(2) without waiting.
///
/// # Safety
/// `size` bytes at `into` are writable during the call, but with MSG_TRUNC, with which the kernel drops a TCP socket's bytes
/// and writes to no memory.
unsafe fn recv(fd: RawFd, into: *mut u8, size: usize, flags: i32) -> isize {
    let (flags, nowhere) = (flags | libc::MSG_DONTWAIT, std::ptr::null_mut::<libc::sockaddr>());
    // SAFETY: the caller vouches for the memory; no address is asked for.
    unsafe { libc::syscall(libc::SYS_recvfrom, fd, into, size, flags, nowhere, nowhere) as isize }
}

/// connect(2) of a socket that does not block, or to AF_UNSPEC.
///
/// # Safety
/// `size` bytes at `address` are a socket address.
unsafe fn connect(fd: RawFd, address: *const libc::sockaddr, size: libc::socklen_t) -> io::Result<()> {
    // SAFETY: the caller vouches for the address.
    match unsafe { libc::syscall(libc::SYS_connect, fd, address, size) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

impl Socket {
    /// A new socket for `address`'s family, for [`Socket::connect`].
    pub fn to_connect(address: &SocketAddr, options: &Options) -> Result<Socket> {
        Socket::new(address, Type::STREAM.nonblocking(), options)
    }

    fn new(address: &SocketAddr, kind: Type, options: &Options) -> Result<Socket> {
        let domain = Domain::for_address(*address);
        let kind = kind.cloexec();
        let socket = socket2::Socket::new_raw(domain, kind, Some(Protocol::TCP)).map_err(to_error)?;
        let socket = Socket::wrap(socket);
        socket.apply(options).map_err(to_error)?;
        Ok(socket)
    }

    /// A listening socket. The sockets that it accepts inherit `options`.
    pub fn listen(address: &SocketAddr, backlog: u32, reuse_port: bool, options: &Options) -> Result<Socket> {
        let socket = Socket::new(address, Type::STREAM.nonblocking(), options)?;
        let listen = || -> io::Result<()> {
            socket.socket.set_reuse_address(true)?;
            if reuse_port {
                socket.socket.set_reuse_port(true)?;
            }
            socket.socket.bind(&SockAddr::from(*address))?;
            socket.socket.listen(i32::try_from(backlog).unwrap_or(i32::MAX))
        };
        listen().map_err(to_error)?;
        Ok(socket)
    }

    /// Connects to `address` without waiting, or looks how far that is. False: it is under way, and over when the socket
    /// is writable or broken.
    pub fn connect(&self, address: &SocketAddr) -> Result<bool> {
        let address = SockAddr::from(*address);
        // The first call begins. The second, or one after a wait, tells the end; over the loopback device that has come
        // before the first returns.
        for _ in 0..2 {
            // SAFETY: the address is the local above.
            let connected = unsafe { connect(self.fd(), address.as_ptr().cast(), address.len()) };
            match connected.map_err(|error| error.raw_os_error()) {
                Ok(()) => return Ok(true),
                Err(Some(libc::EINPROGRESS | libc::EALREADY | libc::EINTR)) => {}
                Err(errno) => return Err(Error::from_errno(errno.unwrap_or(libc::EINVAL))),
            }
        }
        Ok(false)
    }

    /// Whether a connection is one of the socket with itself. Where nobody listens at a port that callers get as well,
    /// the kernel may choose that port for the caller, which then answers itself.
    pub fn is_connected_to_itself(&self, dialled: &SocketAddr) -> bool {
        let Some(local) = self.local() else {
            return false;
        };
        local.port() == dialled.port() && self.peer() == Some(local)
    }

    /// Takes a connection from a listening socket, without waiting. The errno if there is none.
    pub fn accept(&self) -> std::result::Result<Socket, i32> {
        let nowhere = std::ptr::null_mut(); // the peer's address is not asked for
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::accept4(self.fd(), nowhere, std::ptr::null_mut(), flags) };
        if fd < 0 {
            return Err(io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO));
        }
        // SAFETY: just made, and nobody else knows it.
        Ok(Socket::wrap(socket2::Socket::from(unsafe { OwnedFd::from_raw_fd(fd) })))
    }

    fn wrap(socket: socket2::Socket) -> Socket {
        Socket {
            socket: ManuallyDrop::new(socket),
            error: AtomicI32::new(0),
            fin_sent: AtomicBool::new(false),
            fin_was_last: AtomicBool::new(false),
            input_ended: AtomicBool::new(false),
            sending: AtomicBool::new(false),
            reset: AtomicBool::new(false),
            open_halves: AtomicU8::new(2),
            embedded: [AtomicBool::new(false), AtomicBool::new(false)],
            ended: OnceLock::new(),
            drain_until: DrainEnd::new(),
            _freed: Freed,
        }
    }

    fn apply(&self, options: &Options) -> io::Result<()> {
        self.socket.set_out_of_band_inline(true)?; // else an urgent byte of the peer falls out of the stream
        if let Some(on) = options.nodelay {
            self.socket.set_tcp_nodelay(on)?;
        }
        if let Some(idle) = options.keepalive {
            let seconds = idle.as_millis().div_ceil(1000).clamp(1, 32_767) as u64;
            let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(seconds));
            self.socket.set_tcp_keepalive(&keepalive)?;
        }
        if options.send_buffer > 0 {
            self.socket.set_send_buffer_size(options.send_buffer)?;
        }
        if options.recv_buffer > 0 {
            self.socket.set_recv_buffer_size(options.recv_buffer)?;
        }
        Ok(())
    }

    /// The descriptor's number, for ring entries of requests that hold this socket.
    pub fn fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }

    /// The own address.
    pub fn local(&self) -> Option<SocketAddr> {
        self.socket.local_addr().ok()?.as_socket()
    }

    /// The other side's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.socket.peer_addr().ok()?.as_socket()
    }

    /// Offers `parts`, from byte `skip` on, to the kernel without waiting.
    ///
    /// # Safety
    /// The memory that `parts` names is readable during the call.
    #[inline]
    pub unsafe fn try_send(&self, parts: &Parts, skip: usize) -> Tried {
        match parts {
            Parts::One(data, size) => {
                let size = (size - skip).min(ENTRY_MAX);
                self.send_begins();
                // SAFETY: the caller vouches for the memory; skip is within it.
                self.sent(unsafe { send(self.fd(), data.add(skip), size) })
            }
            // SAFETY: the caller vouches for the memory.
            Parts::Many(_) => unsafe { self.try_send_many(parts, skip) },
        }
    }

    /// By itself, since one part does without a KiB of stack.
    ///
    /// # Safety
    /// As `try_send`.
    #[inline(never)]
    unsafe fn try_send_many(&self, parts: &Parts, skip: usize) -> Tried {
        let mut vectors = [EMPTY_PART; PARTS_MAX];
        let mut gathered = Gather::new(&mut vectors);
        gathered.add(parts, skip);
        // SAFETY: the vectors name the caller's memory and live on this stack.
        unsafe { self.try_send_gathered(gathered.parts()) }
    }

    /// Offers gathered parts to the kernel without waiting.
    ///
    /// # Safety
    /// The memory that `parts` names is readable during the call.
    pub unsafe fn try_send_gathered(&self, parts: &[libc::iovec]) -> Tried {
        self.send_begins();
        if let [part] = parts {
            // SAFETY: the caller vouches for the one part.
            return self.sent(unsafe { send(self.fd(), part.iov_base.cast(), part.iov_len) });
        }
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        let message = message_of(parts);
        // SAFETY: the header names `parts`, alive during the call; the caller vouches for what they name.
        self.sent(unsafe { libc::syscall(libc::SYS_sendmsg, self.fd(), &raw const message, flags) as isize })
    }

    #[inline]
    fn sent(&self, result: isize) -> Tried {
        let tried = if result >= 0 { Tried::Bytes(result as usize) } else { self.not_sent() };
        self.send_ends();
        tried
    }

    #[cold]
    fn not_sent(&self) -> Tried {
        match io::Error::last_os_error().raw_os_error() {
            Some(libc::EAGAIN | libc::EINTR) => Tried::WouldBlock,
            errno => Tried::Failed(self.fail(errno.unwrap_or(libc::EIO))),
        }
    }

    /// Before the kernel is asked to send, here or by a ring.
    pub fn send_begins(&self) {
        self.sending.store(true, Ordering::Relaxed); // seen by who receives after it: the kernel locks the socket for both
    }

    /// Its answer is in, and an error stored.
    pub fn send_ends(&self) {
        self.sending.store(false, Ordering::Release); // pairs with `received_end`
    }

    /// Asks the kernel for bytes without waiting.
    ///
    /// # Safety
    /// `size` bytes at `into` are writable during the call and `size` is not 0.
    pub unsafe fn try_recv(&self, into: *mut u8, size: usize) -> Tried {
        // SAFETY: the caller vouches for the memory.
        let result = unsafe { recv(self.fd(), into, size.min(ENTRY_MAX), 0) };
        match result {
            1.. => Tried::Bytes(result as usize),
            0 => self.received_end(),
            _ => match io::Error::last_os_error().raw_os_error() {
                Some(libc::EAGAIN | libc::EINTR) => Tried::WouldBlock,
                errno => Tried::Failed(self.fail(errno.unwrap_or(libc::EIO))),
            },
        }
    }

    /// What a receive of 0 bytes means: after a reset one half consumes the error, and the other reads 0.
    pub fn received_end(&self) -> Tried {
        // The kernel tells a reset's error once, to a receive or to a send; receives ask one at a time, and this one got
        // none. A send that got it before this receive was under way then: it still is, or has stored the error.
        let may_be_taken = self.sending.load(Ordering::Acquire); // before the error; pairs with `send_ends`
        if let Some(error) = self.error() {
            return Tried::Failed(error);
        }
        // After a FIN of ours the state may be TCP_CLOSE in all order; before it, that means a reset.
        if may_be_taken && !self.fin_sent.load(Ordering::Acquire) && self.is_dead() {
            return Tried::Failed(self.fail(libc::ECONNRESET));
        }
        self.input_ended.store(true, Ordering::Relaxed); // a hint, for `discard_input`
        Tried::End
    }

    /// Discards what has come and nobody will receive, without waiting. True: nothing can come any more, since the peer
    /// has ended its stream or the connection is broken.
    pub fn discard_input(&self) -> bool {
        if self.input_ended.load(Ordering::Relaxed) {
            return true;
        }
        // What is there, and the end behind it. A peer that sends more meanwhile is for a linger to wait for.
        for _ in 0..2 {
            // SAFETY: with MSG_TRUNC no memory is written to.
            match unsafe { recv(self.fd(), std::ptr::null_mut(), DISCARDED_AT_ONCE, libc::MSG_TRUNC) } {
                1.. => {}
                0 => return true,
                _ => match io::Error::last_os_error().raw_os_error() {
                    Some(libc::EAGAIN | libc::EINTR) => return false,
                    errno => {
                        self.fail(errno.unwrap_or(libc::EIO));
                        return true;
                    }
                },
            }
        }
        false
    }

    /// What has broken the connection, if anything has; for the one who owns the half that sends. The kernel tells an error
    /// once, which may be now.
    pub fn look_for_error(&self) -> Option<Error> {
        self.send_begins(); // a receive that finds the error taken must not mistake that for the end
        let taken = self.socket.take_error().ok().flatten();
        let error = match taken.and_then(|error| error.raw_os_error()) {
            Some(errno) => Some(self.fail(errno)),
            None => self.error().or_else(|| {
                let reset = self.is_dead() && !self.has_sent_fin();
                reset.then(|| self.fail(libc::ECONNRESET))
            }),
        };
        self.send_ends();
        error
    }

    fn is_dead(&self) -> bool {
        const TCP_CLOSE: u8 = 7;
        self.info().is_some_and(|info| info.tcpi_state == TCP_CLOSE)
    }

    /// What the kernel tells of the connection.
    fn info(&self) -> Option<libc::tcp_info> {
        // SAFETY: tcp_info is plain numbers, for which zeroes are valid.
        let mut info: libc::tcp_info = unsafe { mem::zeroed() };
        let mut size = mem::size_of_val(&info) as libc::socklen_t;
        let into = (&raw mut info).cast();
        // SAFETY: `into` and `size` describe the local above.
        let result =
            unsafe { libc::getsockopt(self.fd(), libc::IPPROTO_TCP, libc::TCP_INFO, into, &mut size) };
        (result == 0).then_some(info)
    }

    /// What `errno` means here. An end of the connection is stored for the half that did not see it, and the first one
    /// stays; what is the fault of one call (memory that cannot be read, say) is that call's alone.
    pub fn fail(&self, errno: i32) -> Error {
        let error = Error::from_errno(errno);
        let of_one_call =
            [libc::EFAULT, libc::EINVAL, libc::ENOMEM, libc::ENOBUFS, libc::EMSGSIZE, libc::EIO];
        if of_one_call.contains(&errno) {
            return error;
        }
        self.fail_with(error)
    }

    /// Stores why the connection ends, for both halves; the first cause stays, and is returned.
    pub fn fail_with(&self, error: Error) -> Error {
        match self.error.compare_exchange(0, error.code(), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => error,
            Err(first) => Error::from_errno(-first),
        }
    }

    /// The error that either half met.
    pub fn error(&self) -> Option<Error> {
        match self.error.load(Ordering::Acquire) {
            0 => None,
            code => Some(Error::from_errno(-code)),
        }
    }

    /// Ends the own direction in order: FIN after everything sent.
    pub fn shutdown_send(&self) {
        // Before the FIN: an acknowledgement that is seen after it may be younger than the FIN. Nobody asks for it where the
        // peer has ended its stream.
        if !self.input_ended.load(Ordering::Relaxed) && self.unacknowledged() == 0 {
            self.fin_was_last.store(true, Ordering::Relaxed); // published with `fin_sent`
        }
        self.fin_sent.store(true, Ordering::Release);
        let _ = self.socket.shutdown(std::net::Shutdown::Write);
        self.tell_ended();
    }

    /// Whether the own direction has ended in order.
    pub fn has_sent_fin(&self) -> bool {
        self.fin_sent.load(Ordering::Acquire)
    }

    /// How long the peer has had everything that was sent before the FIN, at least; `None` where that is not known.
    ///
    /// Counted from when bytes last left, since their acknowledgement came a round trip later; a retransmission counts
    /// as well. The time of the last acknowledgement would not do: keepalive and the peer's own bytes renew it.
    pub fn quiet(&self) -> Option<Quiet> {
        if !self.has_sent_fin() || !self.fin_was_last.load(Ordering::Relaxed) {
            return None;
        }
        let info = self.info()?;
        let round_trip = Duration::from_micros(info.tcpi_rtt.into());
        let unsent = Duration::from_millis(info.tcpi_last_data_sent.into());
        Some(Quiet { time: unsent.saturating_sub(round_trip), round_trip })
    }

    /// Calls `hook` whenever the own direction ends, by a FIN or a reset. For the one who takes over from the two halves;
    /// what had ended before is not told.
    pub fn when_ended(&self, hook: EndedHook) {
        let first = self.ended.set(Box::new(hook));
        debug_assert!(first.is_ok(), "one takes over");
    }

    fn tell_ended(&self) {
        if let Some(hook) = self.ended.get() {
            hook();
        }
    }

    /// Ends a listener, also for forked children that hold the descriptor.
    pub fn shutdown_listener(&self) {
        let _ = self.socket.shutdown(std::net::Shutdown::Both);
    }

    /// Resets the connection at once, in spite of forked children that hold the descriptor.
    ///
    /// connect(2) to AF_UNSPEC disconnects with a RST and ends every operation in flight. After shutdown(2) the peer
    /// would see an end of stream instead, and SO_LINGER acts only at the last close.
    pub fn reset(&self) {
        self.reset.store(true, Ordering::Release);
        // SAFETY: a sockaddr is plain numbers, for which zeroes are valid; AF_UNSPEC is 0.
        let unspecified: libc::sockaddr = unsafe { mem::zeroed() };
        let size = mem::size_of_val(&unspecified) as libc::socklen_t;
        // SAFETY: the address is the local above.
        let _ = unsafe { connect(self.fd(), &unspecified, size) }; // it fails where the connection is gone already
        self.tell_ended();
    }

    /// Whether [`Socket::reset`] was called.
    pub fn is_reset(&self) -> bool {
        self.reset.load(Ordering::Acquire)
    }

    /// The bytes that the peer has not acknowledged yet, a FIN counting as one.
    pub fn unacknowledged(&self) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: SIOCOUTQ (the same number as TIOCOUTQ) stores one int.
        let result = unsafe { libc::ioctl(self.fd(), libc::TIOCOUTQ, &mut bytes) };
        if result == 0 { bytes.max(0) as usize } else { 0 }
    }

    /// The bytes that have come and nobody has received.
    pub fn unread(&self) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: FIONREAD stores one int.
        let result = unsafe { libc::ioctl(self.fd(), libc::FIONREAD, &mut bytes) };
        if result == 0 { bytes.max(0) as usize } else { 0 }
    }

    /// A drain has begun that must be over at `until`, if ever.
    pub fn begin_drain(&self, until: Option<Instant>) {
        self.drain_until.begin(until);
    }

    /// When the drain must be over that has begun, if one has.
    pub fn drain_until(&self) -> Option<Option<Instant>> {
        self.drain_until.get()
    }

    /// One half is done with the socket; true for the last one.
    pub fn half_closed(&self) -> bool {
        self.open_halves.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Takes the one operation that each direction has without asking the net; false while it is in use.
    pub fn take_embedded(&self, half: Half) -> bool {
        !self.embedded[half as usize].swap(true, Ordering::AcqRel)
    }

    /// Gives the direction's own operation back.
    pub fn give_embedded(&self, half: Half) {
        self.embedded[half as usize].store(false, Ordering::Release);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        // A connection that nobody collected, or a loop's last resort: a forked child may still hold the descriptor,
        // and close(2) alone would send no FIN then.
        if !self.fin_sent.load(Ordering::Relaxed) && !self.reset.load(Ordering::Relaxed) {
            let _ = self.socket.shutdown(std::net::Shutdown::Both);
        }
        // SAFETY: taken once, here, and not looked at again.
        let socket = unsafe { ManuallyDrop::take(&mut self.socket) };
        threads::close(socket.into());
    }
}

/// Tells those who wait for one that a descriptor has closed; the last field of its owner, which drops fields in their order.
struct Freed;

impl Drop for Freed {
    fn drop(&mut self) {
        if STARVED_COUNT.load(Ordering::Relaxed) > 0 {
            let hooks = mem::take(&mut *STARVED.lock());
            STARVED_COUNT.fetch_sub(hooks.len(), Ordering::Relaxed);
            hooks.into_iter().for_each(|hook| hook());
        }
    }
}

/// The error of a failed socket call.
pub fn to_error(error: io::Error) -> Error {
    Error::from_errno(error.raw_os_error().unwrap_or(libc::EINVAL))
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{Shutdown, TcpListener, TcpStream};

    /// A connection's socket, and its other end.
    fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (Socket::wrap(listener.accept().unwrap().0.into()), peer)
    }

    fn reset(peer: TcpStream) {
        socket2::Socket::from(peer).set_linger(Some(Duration::ZERO)).unwrap(); // and closes it
    }

    /// Waits for `events`; an end is something to receive, and an error is any of them.
    fn wait(socket: &Socket, events: i16) {
        let mut poll = libc::pollfd { fd: socket.fd(), events, revents: 0 };
        // SAFETY: one pollfd, a local.
        assert_eq!(unsafe { libc::poll(&raw mut poll, 1, 10_000) }, 1);
    }

    #[test]
    fn a_connect_is_over_at_once_or_when_the_socket_is_writable() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let socket = Socket::to_connect(&address, &Options::default()).unwrap();
        assert_eq!(socket.connect(&address), Ok(true));
        assert_eq!(socket.peer(), Some(address));
        drop(listener);
        let socket = Socket::to_connect(&address, &Options::default()).unwrap();
        assert_eq!(socket.connect(&address), Err(Error::from_errno(libc::ECONNREFUSED)));
        // A listener whose backlog is full drops what asks; the kernel asks again after a second.
        let full = Socket::listen(&"127.0.0.1:0".parse().unwrap(), 0, false, &Options::default()).unwrap();
        let address = full.local().unwrap();
        let new = || Socket::to_connect(&address, &Options::default()).unwrap();
        let sockets: Vec<_> = (0..4).map(|_| new()).collect();
        let waits = sockets.iter().position(|socket| socket.connect(&address) == Ok(false)).unwrap();
        assert_eq!(sockets[waits].connect(&address), Ok(false), "still under way");
        for _ in 0..waits {
            full.socket.accept().unwrap();
        }
        wait(&sockets[waits], libc::POLLOUT);
        assert_eq!(sockets[waits].connect(&address), Ok(true));
    }

    #[test]
    fn input_is_discarded_up_to_its_end() {
        let (socket, mut peer) = pair();
        assert!(!socket.discard_input(), "the peer may still send");
        peer.write_all(b"unwanted").unwrap();
        wait(&socket, libc::POLLIN);
        assert!(!socket.discard_input());
        peer.write_all(b"more").unwrap();
        wait(&socket, libc::POLLIN);
        peer.shutdown(Shutdown::Write).unwrap();
        let ends = (0..1000).any(|_| {
            std::thread::sleep(Duration::from_millis(1));
            socket.discard_input()
        });
        assert!(ends);
        assert_eq!(socket.error(), None);
    }

    #[test]
    fn a_socket_is_connected_to_itself_by_port_and_address() {
        let bound = |address: &str| {
            let address: SocketAddr = address.parse().unwrap();
            let socket = Socket::to_connect(&address, &Options::default()).unwrap();
            socket.socket.bind(&address.into()).map(|()| socket)
        };
        let itself = bound("127.0.0.1:0").unwrap();
        let own = itself.local().unwrap();
        assert_eq!(itself.connect(&own), Ok(true));
        assert!(itself.is_connected_to_itself(&own));
        let same_port = || {
            let listener = TcpListener::bind("127.0.0.2:0").unwrap();
            let address = listener.local_addr().unwrap();
            let socket = bound(&format!("127.0.0.1:{}", address.port())).ok()?; // or somebody else has that port
            Some((listener, address, socket))
        };
        let (_listener, other, socket) = (0..100).find_map(|_| same_port()).unwrap();
        assert_eq!(socket.connect(&other), Ok(true));
        assert!(!socket.is_connected_to_itself(&other), "another one at the same port");
    }

    #[test]
    fn a_reset_is_the_end_of_input_and_kept_for_the_other_half() {
        let (socket, peer) = pair();
        reset(peer);
        wait(&socket, libc::POLLIN);
        assert!(socket.discard_input());
        assert_eq!(socket.error(), Some(Error::from_errno(libc::ECONNRESET)));
    }

    #[test]
    fn a_reset_whose_error_a_send_may_have_taken_is_no_end_of_stream() {
        let (socket, peer) = pair();
        reset(peer);
        wait(&socket, libc::POLLIN);
        socket.send_begins();
        socket.socket.take_error().unwrap(); // as a send of another thread would
        let mut byte = 0;
        // SAFETY: one byte, a local.
        let tried = unsafe { socket.try_recv(&raw mut byte, 1) };
        assert_eq!(tried, Tried::Failed(Error::from_errno(libc::ECONNRESET)));
    }

    #[test]
    fn an_end_of_stream_is_one_with_and_without_a_send_under_way() {
        for sends in [false, true] {
            let (socket, peer) = pair();
            peer.shutdown(Shutdown::Write).unwrap();
            wait(&socket, libc::POLLIN);
            if sends {
                socket.send_begins();
            }
            let mut byte = 0;
            // SAFETY: one byte, a local.
            assert_eq!(unsafe { socket.try_recv(&raw mut byte, 1) }, Tried::End);
            assert!(socket.discard_input());
        }
    }
}
