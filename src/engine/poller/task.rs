#![allow(unsafe_code)] // memory that requests name
//! What a request is for the poller: a call on a socket, and the events to wait for.
//!
//! Invariant: a task names only memory that its request owns or was lent. The poller keeps a task no longer than its request
//! is in flight.

use crate::engine::pool::{BufferPool, POOL_BUFFER_SIZE};
use crate::engine::{Message, Request, RequestId, Start};
use crate::sys::{self, Answer};
use std::os::fd::RawFd;

/// A request as the poller keeps it. Two of them share a cache line.
#[derive(Clone, Copy, Debug)]
#[repr(align(32))]
pub struct Task {
    /// The descriptor that it waits for.
    pub fd: RawFd,
    /// The events that it waits for, as epoll takes them. None: it never waits.
    pub events: u32,
    /// How many more bytes it may bring before it ends. 0: it ends with its first result. Polls that go on have no limit.
    budget: u32,
    /// The most bytes of its call.
    size: u32,
    /// The memory that its call names.
    start: *mut u8,
    call: Call,
    /// It asks the socket before it waits.
    pub tries_first: bool,
    /// Whether it waits for its events.
    pub armed: bool,
    /// Which of the requests at its index it is. 0: none.
    pub generation: u32,
}

const _: () = assert!(size_of::<Task>() == 32, "a table of many");

/// The call that it makes.
#[derive(Clone, Copy, Debug)]
enum Call {
    Send,
    /// Its memory is the header.
    SendMessage,
    Recv,
    /// Into a pool buffer.
    RecvPooled,
    /// None: the events are the result.
    Poll,
}

/// What a socket answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A completion: its result and its pool buffer.
    Complete(i32, Option<u16>),
    /// The task has to wait for its events.
    Wait,
    /// The task has to wait for a pool buffer.
    NoBuffer,
}

const IN: u32 = libc::EPOLLIN as u32;
const OUT: u32 = libc::EPOLLOUT as u32;
const ONCE: u32 = libc::EPOLLONESHOT as u32;
const EDGE: u32 = libc::EPOLLET as u32;
/// What a receive may leave in the socket, although the socket had fewer bytes than the call had room for: an end, an error, or
/// what follows an urgent mark, at which each receive ends.
const BESIDE: u32 = (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR | libc::EPOLLPRI) as u32;
/// The bytes of a pool buffer.
const ROOM: u32 = POOL_BUFFER_SIZE as u32;
/// No event, but the hang-up and the error that every registration reports.
const HANG_UP: u32 = EDGE;

impl Task {
    /// The place of no request.
    pub const NONE: Task = Task {
        fd: -1,
        events: 0,
        budget: 0,
        size: 0,
        start: std::ptr::null_mut(),
        call: Call::Poll,
        tries_first: true,
        armed: false,
        generation: 0,
    };

    /// The task of a request, valid while the request is in flight.
    pub fn of(request: &mut Request) -> Task {
        let task = |fd, call, events| Task { fd, call, events, ..Task::NONE };
        let poll = |fd, events| Task { tries_first: false, ..task(fd, Call::Poll, events) };
        // Calls take fewer bytes than a size may name.
        let transfer = |fd, call, (start, size): (*mut u8, usize), events| {
            let size = u32::try_from(size).unwrap_or(u32::MAX);
            Task { start, size, ..task(fd, call, events) }
        };
        match request {
            Request::Send { socket, message: Message::One(part) } => {
                transfer(socket.fd(), Call::Send, (part.iov_base.cast(), part.iov_len), 0)
            }
            Request::Send { socket, message: Message::Many(header, _) } => {
                transfer(socket.fd(), Call::SendMessage, ((&raw mut **header).cast(), 0), 0)
            }
            Request::Room { socket } => poll(socket.fd(), OUT | EDGE),
            Request::HangUp { socket } => poll(socket.fd(), HANG_UP),
            Request::Recv { socket, into, one_try } => {
                let events = if *one_try { 0 } else { IN | ONCE };
                transfer(socket.fd(), Call::Recv, (into.start, into.size), events)
            }
            Request::RecvPooled { socket, start } => {
                let events = if *start == Start::OneTry { 0 } else { IN | ONCE };
                let tries_first = *start != Start::WhenReadable;
                Task { tries_first, size: ROOM, ..task(socket.fd(), Call::RecvPooled, events) }
            }
            // Edge-triggered: epoll asks the socket once for each message. If it were level-triggered, the next wait would ask
            // the socket again.
            Request::RecvMultishot { socket, piece, budget, .. } => Task {
                tries_first: false,
                budget: *budget,
                size: if *piece > 0 { ROOM.min(*piece) } else { ROOM },
                ..task(socket.fd(), Call::RecvPooled, IN | BESIDE | EDGE)
            },
            Request::RecvBuffered { socket, buffer, room } => {
                transfer(socket.fd(), Call::Recv, buffer.room(*room), 0)
            }
            Request::Readable { socket } => poll(socket.fd(), IN | ONCE),
            Request::Writable { socket } => poll(socket.fd(), OUT | ONCE),
            Request::Discard { socket, scratch } => {
                transfer(socket.fd(), Call::Recv, scratch.room(), IN | ONCE)
            }
            Request::Incoming { stand_in } => poll(stand_in.fd(), IN | ONCE),
        }
    }

    /// Whether it stays armed after an event.
    pub fn stays_armed(&self) -> bool {
        self.events & ONCE == 0
    }

    /// Whether it is a poll for a hang-up alone. Such a poll may stay armed while a receive waits for the same socket.
    pub fn is_hang_up(&self) -> bool {
        self.events == HANG_UP
    }

    /// Whether it goes on after a completion with this result.
    #[inline]
    pub fn goes_on(&mut self, result: i32) -> bool {
        match self.call {
            Call::Poll => self.stays_armed(),
            _ => result > 0 && self.goes_on_after(result as u32),
        }
    }

    /// Whether it goes on after it has brought so many bytes.
    #[inline]
    pub fn goes_on_after(&mut self, count: u32) -> bool {
        self.budget = self.budget.saturating_sub(count);
        self.budget > 0
    }

    /// Whether it receives into pool buffers.
    #[inline]
    pub fn is_pooled(&self) -> bool {
        matches!(self.call, Call::RecvPooled)
    }

    /// Asks the socket once. `events` are those that epoll reports.
    ///
    /// # Safety
    /// The task's request is in flight.
    #[inline(never)] // keeps the way of a message short
    pub unsafe fn ask(&self, events: u32, pool: Option<&BufferPool>) -> Outcome {
        let size = self.size as usize;
        // SAFETY: what the request names is valid while the request is in flight. A pool buffer was taken just before.
        let answer = unsafe {
            match self.call {
                Call::Poll => return Outcome::Complete(events as i32, None),
                Call::RecvPooled => {
                    let Some((pool, buffer)) = pool.and_then(|pool| Some((pool, pool.take()?))) else {
                        return Outcome::NoBuffer;
                    };
                    return self.received(pool, buffer, self.receive(pool, buffer));
                }
                Call::Send => sys::send(self.fd, self.start, size),
                Call::SendMessage => sys::send_message(self.fd, &*self.start.cast::<libc::msghdr>()),
                Call::Recv => sys::recv(self.fd, self.start, size),
            }
        };
        self.outcome(answer)
    }

    /// The call of a receive into a pool buffer. Returns a count, or an errno below 0.
    ///
    /// # Safety
    /// The caller has taken the buffer from the pool, and nobody else has it.
    #[inline(always)] // a message does without a call
    pub unsafe fn receive(&self, pool: &BufferPool, buffer: u16) -> isize {
        // SAFETY: the buffer is the caller's, and has room for so many bytes.
        unsafe { sys::recv_count(self.fd, pool.room(buffer), self.size as usize) }
    }

    /// What the result of that call means. The buffer goes back to the pool, unless there are bytes in it.
    pub fn received(&self, pool: &BufferPool, buffer: u16, result: isize) -> Outcome {
        if result > 0 {
            return Outcome::Complete(result as i32, Some(buffer));
        }
        pool.give(buffer);
        self.outcome(Answer::of_direct(result))
    }

    /// Whether the socket may have had more when a receive into a pool buffer brought `count` bytes. What has come since then
    /// is an event of its own.
    #[inline(always)]
    pub fn may_have_more(&self, count: u32, events: u32) -> bool {
        events & BESIDE != 0 || count >= self.size
    }

    #[inline(never)] // as above
    fn outcome(&self, answer: Answer) -> Outcome {
        match answer {
            Answer::Done(count) => Outcome::Complete(count as i32, None),
            Answer::WouldBlock | Answer::Again if self.events != 0 => Outcome::Wait,
            Answer::WouldBlock | Answer::Again => Outcome::Complete(-libc::EAGAIN, None),
            Answer::Failed(error) => Outcome::Complete(error.code(), None),
        }
    }
}

/// The tasks of the requests in flight, by the index of the request.
#[derive(Default)]
pub struct Tasks {
    places: Vec<Task>,
    armed: usize,
}

impl Tasks {
    pub fn insert(&mut self, id: RequestId, task: Task) {
        if id.index() >= self.places.len() {
            self.places.resize(id.index() + 1, Task::NONE);
        }
        let place = &mut self.places[id.index()];
        *place = task;
        place.generation = id.generation();
    }

    #[inline]
    pub fn get(&mut self, id: RequestId) -> Option<&mut Task> {
        self.places.get_mut(id.index()).filter(|task| task.generation == id.generation())
    }

    /// Counts a task as armed.
    pub fn arm(&mut self, id: RequestId) -> Option<Task> {
        let task = self.get(id)?;
        let was_armed = std::mem::replace(&mut task.armed, true);
        let task = *task;
        self.armed += usize::from(!was_armed);
        Some(task)
    }

    pub fn remove(&mut self, id: RequestId) -> Option<Task> {
        let task = std::mem::replace(self.get(id)?, Task::NONE);
        self.armed -= usize::from(task.armed);
        Some(task)
    }

    pub fn are_armed(&self) -> bool {
        self.armed > 0
    }

    pub fn ids(&self) -> Vec<RequestId> {
        let live = self.places.iter().enumerate().filter(|(_, task)| task.generation > 0);
        live.map(|(index, task)| RequestId::new(task.generation, index)).collect()
    }
}
