#![allow(unsafe_code)] // system calls on memory that the callers name
//! The system calls on sockets, and what their results mean.
//!
//! `socket` keeps a connection's state and decides what an answer means for the connection. The loops wait, and read the
//! results of their requests here too. Invariant: this file turns every result of a socket call into an [`Answer`] or a
//! [`Result`]. No other file sorts errnos. Exception: engine/ sorts the errnos that only an engine returns.

mod direct;

use crate::error::{Error, Result};
use crate::freed;
use crate::parts::{ENTRY_MAX, message_of};
use crate::threads;
use socket2::{Domain, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::io;
use std::mem::{self, ManuallyDrop};
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// What the kernel answers to a call or a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer<T = usize> {
    /// The operation is done. For a send or a receive: so many bytes.
    Done(T),
    /// The operation would have to wait.
    WouldBlock,
    /// The operation did nothing, for a reason that is gone. The caller may try again.
    Again,
    /// The operation failed.
    Failed(Error),
}

impl Answer {
    /// Reads a result: a count, or a negated errno.
    #[inline]
    pub fn of(result: i32) -> Answer {
        match -result {
            ..=0 => Answer::Done(result as usize),
            libc::EAGAIN => Answer::WouldBlock,
            libc::EINTR => Answer::Again,
            errno => Answer::Failed(Error::from_errno(errno)),
        }
    }

    /// Reads a result of [`direct::call`].
    #[inline]
    pub fn of_direct(result: isize) -> Answer {
        if result >= 0 { Answer::Done(result as usize) } else { Answer::of(result as i32) }
    }

    /// Reads a result of syscall(2).
    #[inline]
    fn of_call(result: libc::c_long) -> Answer {
        if result >= 0 { Answer::Done(result as usize) } else { Answer::of(-errno()) }
    }
}

/// The errno of the call that has just failed.
#[cold]
fn errno() -> i32 {
    io::Error::last_os_error().raw_os_error().unwrap_or(libc::EIO)
}

impl<T> Answer<T> {
    /// The same answer with `change` applied to what was done.
    #[inline]
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Answer<U> {
        match self {
            Answer::Done(done) => Answer::Done(change(done)),
            Answer::WouldBlock => Answer::WouldBlock,
            Answer::Again => Answer::Again,
            Answer::Failed(error) => Answer::Failed(error),
        }
    }
}

/// The error of a failed system call.
pub fn to_error(error: io::Error) -> Error {
    Error::from_errno(error.raw_os_error().unwrap_or(libc::EINVAL))
}

/// The options of every socket of a net.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// TCP_NODELAY. `None` leaves the system's value.
    pub nodelay: Option<bool>,
    /// The idle time before the first keepalive probe.
    pub keepalive: Option<Duration>,
    /// SO_SNDBUF in bytes. 0 leaves the system's value.
    pub send_buffer: usize,
    /// SO_RCVBUF in bytes. 0 leaves the system's value.
    pub recv_buffer: usize,
}

/// The options of one dial or one listener. `None`: those of the net.
#[derive(Clone, Copy, Debug, Default)]
pub struct OwnOptions {
    /// As in [`Options`].
    pub nodelay: Option<Option<bool>>,
    /// As in [`Options`].
    pub keepalive: Option<Option<Duration>>,
    /// As in [`Options`].
    pub send_buffer: Option<usize>,
    /// As in [`Options`].
    pub recv_buffer: Option<usize>,
}

impl Options {
    /// The options of the net, but for what `own` says.
    pub fn with(self, own: &OwnOptions) -> Options {
        Options {
            nodelay: own.nodelay.unwrap_or(self.nodelay),
            keepalive: own.keepalive.unwrap_or(self.keepalive),
            send_buffer: own.send_buffer.unwrap_or(self.send_buffer),
            recv_buffer: own.recv_buffer.unwrap_or(self.recv_buffer),
        }
    }
}

/// How a socket listens.
#[derive(Clone, Copy, Debug)]
pub struct Listening {
    /// How many connections the kernel holds until they are accepted.
    pub backlog: u32,
    /// SO_REUSEPORT.
    pub reuse_port: bool,
    /// IPV6_V6ONLY. `None` leaves the system's value. Without meaning for IPv4.
    pub ipv6_only: Option<bool>,
}

/// A TCP socket's descriptor. It closes when it is dropped.
///
/// If libc's wrapper is a cancellation point, calls that do not wait use syscall(2) instead. Sends and receives run with
/// cancellation enabled. To disable it for each call would cost a tenth of an echo's own work.
pub struct Descriptor(ManuallyDrop<Socket>);

impl Drop for Descriptor {
    fn drop(&mut self) {
        // SAFETY: taken once, here, and not used again.
        let socket = unsafe { ManuallyDrop::take(&mut self.0) };
        threads::close(socket.into());
        freed::descriptor_closed();
    }
}

impl From<Socket> for Descriptor {
    fn from(socket: Socket) -> Descriptor {
        Descriptor(ManuallyDrop::new(socket))
    }
}

impl Descriptor {
    /// A new socket for `address`'s family, which does not block.
    pub fn new(address: &SocketAddr, options: &Options) -> Result<Descriptor> {
        let kind = Type::STREAM.nonblocking().cloexec();
        let socket = Socket::new_raw(Domain::for_address(*address), kind, Some(Protocol::TCP));
        let descriptor = Descriptor::from(socket.map_err(to_error)?);
        descriptor.apply(options).map_err(to_error)?;
        Ok(descriptor)
    }

    /// A second descriptor of the TCP socket behind `fd`, which closes at an exec. Both stay as they are until
    /// [`Descriptor::take_over`]. INVALID: the socket is not a TCP socket, or it listens and should not, or the other way round.
    pub fn adopt(fd: RawFd, listens: bool) -> Result<Descriptor> {
        let is_tcp = option_of(fd, libc::SO_PROTOCOL)? == libc::IPPROTO_TCP;
        if !is_tcp || (option_of(fd, libc::SO_ACCEPTCONN)? != 0) != listens {
            return Err(Error::INVALID);
        }
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
        if fd < 0 {
            return Err(Error::last_os());
        }
        // SAFETY: fcntl has just made the descriptor, and no other owner knows it.
        let own = Descriptor::from(Socket::from(unsafe { OwnedFd::from_raw_fd(fd) }));
        if !listens {
            own.0.peer_addr().map_err(to_error)?; // ENOTCONN: it is not connected, or no longer
        }
        Ok(own)
    }

    /// The socket of an adopted descriptor is ours from now on: it has these options, and does not block. On failure it may
    /// still block.
    pub fn take_over(&self, options: &Options) -> Result {
        self.apply(options).map_err(to_error)?;
        self.0.set_nonblocking(true).map_err(to_error)
    }

    fn apply(&self, options: &Options) -> io::Result<()> {
        self.0.set_out_of_band_inline(true)?; // else the stream would lose an urgent byte of the peer
        if let Some(on) = options.nodelay {
            self.0.set_tcp_nodelay(on)?;
        }
        if let Some(idle) = options.keepalive {
            let seconds = idle.as_millis().div_ceil(1000).clamp(1, 32_767) as u64;
            let keepalive = TcpKeepalive::new().with_time(Duration::from_secs(seconds));
            self.0.set_tcp_keepalive(&keepalive)?;
        }
        if options.send_buffer > 0 {
            self.0.set_send_buffer_size(options.send_buffer)?;
        }
        if options.recv_buffer > 0 {
            self.0.set_recv_buffer_size(options.recv_buffer)?;
        }
        Ok(())
    }

    /// The descriptor's number.
    pub fn number(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// bind(2) and listen(2).
    pub fn listen(&self, address: &SocketAddr, how: &Listening) -> Result {
        let listen = || -> io::Result<()> {
            self.0.set_reuse_address(true)?;
            if how.reuse_port {
                self.0.set_reuse_port(true)?;
            }
            if let Some(only) = how.ipv6_only.filter(|_| address.is_ipv6()) {
                self.0.set_only_v6(only)?;
            }
            self.0.bind(&SockAddr::from(*address))?;
            self.0.listen(i32::try_from(how.backlog).unwrap_or(i32::MAX))
        };
        listen().map_err(to_error)
    }

    /// bind(2) of a socket that will connect. With port 0 the connect chooses the port, by both addresses.
    pub fn bind_local(&self, from: &SocketAddr) -> Result {
        let on: libc::c_int = 1;
        let (value, size) = ((&raw const on).cast(), mem::size_of_val(&on) as libc::socklen_t);
        let option = libc::IP_BIND_ADDRESS_NO_PORT;
        // SAFETY: `value` and `size` describe the local above. It fails on no kernel that has io_uring.
        unsafe { libc::setsockopt(self.number(), libc::IPPROTO_IP, option, value, size) };
        let bind = || -> io::Result<()> {
            self.0.set_reuse_address(true)?; // a chosen port may still have old connections
            self.0.bind(&SockAddr::from(*from))
        };
        bind().map_err(to_error)
    }

    /// Takes a connection from a listening socket.
    pub fn accept(&self) -> Answer<Descriptor> {
        let nowhere = std::ptr::null_mut(); // the caller does not need the peer's address
        let flags = libc::SOCK_CLOEXEC | libc::SOCK_NONBLOCK;
        // SAFETY: no memory is involved.
        let fd = unsafe { libc::accept4(self.number(), nowhere, std::ptr::null_mut(), flags) };
        Answer::of_call(fd.into()).map(|_| {
            // SAFETY: accept4 has just made the descriptor, and no other owner knows it.
            Descriptor::from(Socket::from(unsafe { OwnedFd::from_raw_fd(fd) }))
        })
    }

    /// connect(2): begins a connect, or asks how far it is.
    pub fn connect(&self, address: &SocketAddr) -> Answer {
        let address = SockAddr::from(*address);
        // SAFETY: the address is the local above.
        match unsafe { self.connect_to(address.as_ptr().cast(), address.len()) } {
            Answer::Failed(error) if UNDER_WAY.contains(&error) => Answer::WouldBlock,
            answer => answer,
        }
    }

    /// connect(2) to AF_UNSPEC. The kernel sends a RST and ends every operation in flight.
    pub fn disconnect(&self) {
        // SAFETY: a sockaddr is plain numbers, for which zeroes are valid. AF_UNSPEC is 0.
        let unspecified: libc::sockaddr = unsafe { mem::zeroed() };
        let size = mem::size_of_val(&unspecified) as libc::socklen_t;
        // SAFETY: the address is the local above.
        let _ = unsafe { self.connect_to(&unspecified, size) }; // it fails if the connection is gone already
    }

    /// # Safety
    /// `size` bytes at `address` are a socket address.
    unsafe fn connect_to(&self, address: *const libc::sockaddr, size: libc::socklen_t) -> Answer {
        // SAFETY: the caller vouches for the address.
        Answer::of_call(unsafe { libc::syscall(libc::SYS_connect, self.number(), address, size) })
    }

    /// As [`send`].
    ///
    /// # Safety
    /// `size` bytes at `data` are readable during the call.
    #[inline]
    pub unsafe fn send(&self, data: *const u8, size: usize) -> Answer {
        // SAFETY: the caller vouches for the memory.
        unsafe { send(self.number(), data, size) }
    }

    /// As [`send_message`].
    ///
    /// # Safety
    /// The memory that `parts` names is readable during the call.
    #[inline]
    pub unsafe fn send_parts(&self, parts: &[libc::iovec]) -> Answer {
        // SAFETY: the header names `parts`, which live during the call. The caller vouches for the memory that they name.
        unsafe { send_message(self.number(), &message_of(parts)) }
    }

    /// As [`recv`].
    ///
    /// # Safety
    /// `size` bytes at `into` are writable during the call.
    #[inline]
    pub unsafe fn recv(&self, into: *mut u8, size: usize) -> Answer {
        // SAFETY: the caller vouches for the memory.
        unsafe { recv(self.number(), into, size) }
    }

    /// Discards up to `size` bytes that have arrived, without waiting.
    pub fn discard(&self, size: usize) -> Answer {
        // SAFETY: with MSG_TRUNC the kernel drops a TCP socket's bytes and writes to no memory.
        Answer::of_direct(unsafe {
            recv_from(self.number(), std::ptr::null_mut(), size, libc::MSG_DONTWAIT | libc::MSG_TRUNC)
        })
    }

    /// shutdown(2). It fails if the connection is gone already.
    pub fn shutdown(&self, how: Shutdown) -> bool {
        self.0.shutdown(how).is_ok()
    }

    /// The local address.
    pub fn local(&self) -> Option<SocketAddr> {
        self.0.local_addr().ok()?.as_socket()
    }

    /// The peer's address.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.0.peer_addr().ok()?.as_socket()
    }

    /// SO_ERROR: takes the error that the kernel keeps for the next call.
    pub fn take_error(&self) -> Option<Error> {
        let error = self.0.take_error().ok().flatten()?;
        error.raw_os_error().map(Error::from_errno)
    }

    /// TCP_INFO.
    pub fn info(&self) -> Option<libc::tcp_info> {
        // SAFETY: tcp_info is plain numbers, for which zeroes are valid.
        let mut info: libc::tcp_info = unsafe { mem::zeroed() };
        let mut size = mem::size_of_val(&info) as libc::socklen_t;
        let into = (&raw mut info).cast();
        // SAFETY: `into` and `size` describe the local above.
        let result =
            unsafe { libc::getsockopt(self.number(), libc::IPPROTO_TCP, libc::TCP_INFO, into, &mut size) };
        (result == 0).then_some(info)
    }

    /// SIOCOUTQ (the same number as TIOCOUTQ): how many bytes the peer has not acknowledged. A FIN counts as one.
    pub fn unacknowledged(&self) -> usize {
        self.count(libc::TIOCOUTQ)
    }

    /// FIONREAD: how many bytes have arrived and wait to be received.
    pub fn unread(&self) -> usize {
        self.count(libc::FIONREAD)
    }

    fn count(&self, what: libc::Ioctl) -> usize {
        let mut bytes: libc::c_int = 0;
        // SAFETY: both requests store one int.
        let result = unsafe { libc::ioctl(self.number(), what, &mut bytes) };
        if result == 0 { bytes.max(0) as usize } else { 0 }
    }
}

/// A number among the options of the socket `fd`.
fn option_of(fd: RawFd, name: i32) -> Result<i32> {
    let mut value: libc::c_int = 0;
    let mut size = mem::size_of_val(&value) as libc::socklen_t;
    let into = (&raw mut value).cast();
    // SAFETY: `into` and `size` describe the local above.
    let result = unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, into, &mut size) };
    if result == 0 { Ok(value) } else { Err(Error::last_os()) }
}

/// A send raises no signal and does not wait. Calls and requests use these flags.
pub const SEND_FLAGS: i32 = libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT;

/// What connect(2) returns before the connection exists.
const UNDER_WAY: [Error; 2] = [Error::from_errno(libc::EINPROGRESS), Error::from_errno(libc::EALREADY)];

/// send(2) without waiting.
///
/// # Safety
/// `size` bytes at `data` are readable during the call.
#[inline]
pub unsafe fn send(fd: RawFd, data: *const u8, size: usize) -> Answer {
    let arguments = [fd as usize, data as usize, size.min(ENTRY_MAX), SEND_FLAGS as usize, 0, 0];
    // SAFETY: the caller vouches for the memory. The call names no address.
    Answer::of_direct(unsafe { direct::call(libc::SYS_sendto, arguments) })
}

/// sendmsg(2) without waiting.
///
/// # Safety
/// The memory that the parts of `message` name is readable during the call.
#[inline]
pub unsafe fn send_message(fd: RawFd, message: &libc::msghdr) -> Answer {
    let message = std::ptr::from_ref(message);
    // SAFETY: the header lives during the call. The caller vouches for the memory that it names.
    Answer::of_call(unsafe { libc::syscall(libc::SYS_sendmsg, fd, message, SEND_FLAGS) })
}

/// recv(2) without waiting.
///
/// # Safety
/// `size` bytes at `into` are writable during the call.
#[inline]
pub unsafe fn recv(fd: RawFd, into: *mut u8, size: usize) -> Answer {
    // SAFETY: the caller vouches for the memory.
    Answer::of_direct(unsafe { recv_count(fd, into, size.min(ENTRY_MAX)) })
}

/// The same for at most [`ENTRY_MAX`] bytes. Returns a count, or an errno below 0, which [`Answer::of_direct`] reads.
///
/// # Safety
/// `size` bytes at `into` are writable during the call.
#[inline]
pub unsafe fn recv_count(fd: RawFd, into: *mut u8, size: usize) -> isize {
    // SAFETY: the caller vouches for the memory.
    unsafe { recv_from(fd, into, size, libc::MSG_DONTWAIT) }
}

/// # Safety
/// `size` bytes at `into` are writable during the call. Exception: with MSG_TRUNC no byte needs to be.
#[inline]
unsafe fn recv_from(fd: RawFd, into: *mut u8, size: usize, flags: i32) -> isize {
    let arguments = [fd as usize, into as usize, size, flags as usize, 0, 0];
    // SAFETY: the caller vouches for the memory. The call asks for no address.
    unsafe { direct::call(libc::SYS_recvfrom, arguments) }
}

/// ppoll(2): waits until an entry of `polled` is ready, at most for `time`. Returns the number of ready entries.
pub fn poll(polled: &mut [libc::pollfd], time: Option<Duration>) -> Answer {
    let time = time.map(|time| libc::timespec {
        tv_sec: time.as_secs().min(1 << 30) as i64,
        tv_nsec: time.subsec_nanos().into(),
    });
    let limit = time.as_ref().map_or(std::ptr::null(), std::ptr::from_ref);
    let mask = std::ptr::null::<libc::sigset_t>();
    let (start, count) = (polled.as_mut_ptr(), polled.len());
    // Not libc's own ppoll, for the reason given in eventfd.rs.
    // SAFETY: the entries are the caller's, the limit is a local, and the signal mask stays as it is.
    Answer::of_call(unsafe { libc::syscall(libc::SYS_ppoll, start, count, limit, mask, 0usize) })
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;

    #[test]
    fn a_result_is_a_count_or_one_of_three_kinds_of_errno() {
        assert_eq!(Answer::of(0), Answer::Done(0));
        assert_eq!(Answer::of(i32::MAX), Answer::Done(i32::MAX as usize));
        assert_eq!(Answer::of(-libc::EAGAIN), Answer::WouldBlock);
        assert_eq!(Answer::of(-libc::EINTR), Answer::Again);
        assert_eq!(Answer::of(-libc::ECONNRESET), Answer::Failed(Error::from_errno(libc::ECONNRESET)));
        assert_eq!(Answer::of(-libc::EPIPE), Answer::Failed(Error::from_errno(libc::ECONNRESET)));
    }

    #[test]
    fn a_call_says_what_its_errno_says() {
        let address = "127.0.0.1:0".parse().unwrap();
        let listener = Descriptor::new(&address, &Options::default()).unwrap();
        listener.listen(&address, &Listening { backlog: 1, reuse_port: false, ipv6_only: None }).unwrap();
        assert!(matches!(listener.accept(), Answer::WouldBlock));
        let socket = Descriptor::new(&address, &Options::default()).unwrap();
        // SAFETY: one byte, a constant.
        assert_eq!(unsafe { socket.send([0].as_ptr(), 1) }, Answer::Failed(Error::from_errno(libc::EPIPE)));
        let local = listener.local().unwrap();
        let connected = (0..2).any(|_| socket.connect(&local) == Answer::Done(0));
        assert!(connected, "over the loopback device the second call tells at the latest");
        assert_eq!(socket.discard(1), Answer::WouldBlock);
        assert!(matches!(listener.accept(), Answer::Done(_)));
    }

    #[test]
    fn a_poll_counts_what_is_ready_and_ends_in_time() {
        let (one, two) = std::os::unix::net::UnixStream::pair().unwrap();
        let of = |events| libc::pollfd { fd: one.as_raw_fd(), events, revents: 0 };
        let soon = Some(Duration::from_millis(1));
        assert_eq!(poll(&mut [of(libc::POLLIN)], soon), Answer::Done(0));
        assert_eq!(poll(&mut [of(libc::POLLIN), of(libc::POLLOUT)], None), Answer::Done(1));
        drop(two);
        assert_eq!(poll(&mut [of(libc::POLLIN), of(libc::POLLOUT)], None), Answer::Done(2));
    }
}
