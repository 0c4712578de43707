#![allow(unsafe_code)] // tokens leave as pointers; see `mod.rs`
//! The only place that turns the handles of C into objects of the core, and back.
//!
//! A handle is a token of kind, generation and index with the type of a pointer. The library looks it up and never follows
//! it. Every file of the boundary calls this one. Invariant: of a stopped net, the table holds only ops, whatever raced with
//! the stop. Buffers belong to no net.

use super::types::{
    iouringnet_buffer, iouringnet_listener, iouringnet_net, iouringnet_op, iouringnet_sink, iouringnet_stream,
};
use crate::completion::Operation;
use crate::connection::{self, Connection};
use crate::error::{Error, Result};
use crate::listener::Listener;
use crate::net::Net;
use crate::shared_bytes::SharedBytes;
use crate::sink::Sink;
use crate::slots::{Ref, Slots, Token};
use crate::socket::Socket;
use crate::stream::Stream;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering, fence};

/// The one table of the process. It is never reset, so that a dead handle stays dead when its net has ended and others run.
static TABLE: Slots<Object> = Slots::new();

const _: () = assert!(size_of::<*mut ()>() == size_of::<u64>(), "a token has to fit into a pointer");

/// An operation, and the net of its connection.
pub(super) struct Op {
    pub operation: Arc<Operation>,
    pub net: Arc<Net>,
}

/// One entry of the table.
pub(super) enum Object {
    Net(Arc<Net>),
    Listener(Arc<Listener>),
    Sink(Arc<Sink>),
    Stream(Arc<Stream>),
    /// Boxed, because connections are many and ops are few.
    Op(Box<Op>),
    Buffer(Box<SharedBytes>),
}

impl Object {
    /// The net that it belongs to. `None`: a buffer, which belongs to no net.
    fn net(&self) -> Option<&Arc<Net>> {
        match self {
            Object::Net(net) => Some(net),
            Object::Listener(listener) => Some(listener.net()),
            Object::Sink(sink) => Some(sink.net()),
            Object::Stream(stream) => Some(stream.net()),
            Object::Op(op) => Some(&op.net),
            Object::Buffer(_) => None,
        }
    }

    /// Whether the handle ends when `net` has stopped. Ops keep their results until they are released.
    fn ends_with(&self, net: &Arc<Net>) -> bool {
        !matches!(self, Object::Op(_)) && self.net().is_some_and(|owner| Arc::ptr_eq(owner, net))
    }
}

/// A handle type of C, and the object behind it.
pub(super) trait Handle {
    type Shared: 'static;
    const KIND: u8;
    fn wrap(shared: Self::Shared) -> Object;
    fn of(object: &Object) -> Option<&Self::Shared>;
}

macro_rules! handle {
    ($handle:ident, $kind:literal, $variant:ident($shared:ty)) => {
        impl Handle for $handle {
            type Shared = $shared;
            const KIND: u8 = $kind;

            fn wrap(shared: $shared) -> Object {
                Object::$variant(shared)
            }

            fn of(object: &Object) -> Option<&$shared> {
                if let Object::$variant(shared) = object { Some(shared) } else { None }
            }
        }
    };
}

handle!(iouringnet_net, 1, Net(Arc<Net>));
handle!(iouringnet_listener, 2, Listener(Arc<Listener>));
handle!(iouringnet_sink, 3, Sink(Arc<Sink>));
handle!(iouringnet_stream, 4, Stream(Arc<Stream>));
handle!(iouringnet_op, 5, Op(Box<Op>));
handle!(iouringnet_buffer, 6, Buffer(Box<SharedBytes>));

const _: () = assert!(size_of::<Object>() == 16, "each half of a connection has one");

/// A shared object. It lives as long as this value, also if another thread closes the handle meanwhile.
pub(super) struct Held<H: Handle> {
    object: Ref<'static, Object>,
    handle: PhantomData<fn() -> H>,
}

impl<H: Handle> Held<H> {
    fn new(object: Ref<'static, Object>) -> Self {
        Held { object, handle: PhantomData }
    }
}

impl<H: Handle> Deref for Held<H> {
    type Target = H::Shared;

    fn deref(&self) -> &H::Shared {
        H::of(&self.object).expect("a token has the kind of what was published under it")
    }
}

fn token<H: Handle>(handle: *mut H) -> Option<Token> {
    Token::from_bits(handle.addr() as u64).filter(|token| token.kind() == H::KIND)
}

/// The object of `handle`, if the handle is open and of its kind.
#[inline]
pub(super) fn share<H: Handle>(handle: *mut H) -> Result<Held<H>> {
    token(handle).and_then(|token| TABLE.get(token)).map(Held::new).ok_or(Error::BAD_HANDLE)
}

/// The address from which [`share`] reads, for the cache.
fn address<H: Handle>(handle: *mut H) -> *const () {
    token(handle).map_or(std::ptr::null(), |token| TABLE.address(token))
}

/// The same for a call that may block. IN_CALLBACK on the thread that dispatches the object's net: it would wait for itself.
#[inline]
pub(super) fn share_to_wait<H: Handle>(handle: *mut H) -> Result<Held<H>> {
    let held = share(handle)?;
    if held.object.net().is_some_and(|net| net.is_dispatched_here()) {
        Err(Error::IN_CALLBACK)
    } else {
        Ok(held)
    }
}

/// How many calls of [`with_net`] are under way.
static SIGNALS: AtomicU32 = AtomicU32::new(0);

/// Calls `call` with a net, in a signal handler too: the call never has the last reference, whose drop would free memory.
pub(super) fn with_net(net: *mut iouringnet_net, call: impl FnOnce(&Net) -> Result) -> Result {
    SIGNALS.fetch_add(1, Ordering::SeqCst); // before the look for the net
    let result = share(net).and_then(|net| call(&net));
    SIGNALS.fetch_sub(1, Ordering::SeqCst);
    result
}

/// The handle of the net is retired. Waits until no [`with_net`] has a reference to it. The caller has one until then. Such a
/// call takes microseconds. One that this thread's signal handler makes is over when this thread goes on.
pub(super) fn wait_for_signals() {
    while SIGNALS.load(Ordering::SeqCst) > 0 {
        std::thread::yield_now();
    }
}

/// Ends `handle`. Exactly one of several callers gets the object.
pub(super) fn retire<H: Handle>(handle: *mut H) -> Option<Held<H>> {
    token(handle).and_then(|token| TABLE.retire(token)).map(Held::new)
}

/// Gives an object of `net` a handle. LIMIT if the table is full. An error also if the net takes no more work.
pub(super) fn publish<H: Handle>(shared: H::Shared, net: &Net) -> Result<*mut H> {
    let token = TABLE.insert(H::KIND, H::wrap(shared)).ok_or(Error::LIMIT)?;
    // Pairs with the fence in `retire_all`: either this thread sees the stop, or `retire_all` sees the new entry.
    fence(Ordering::SeqCst);
    if let Some(refusal) = net.refusal() {
        TABLE.retire(token);
        return Err(refusal);
    }
    Ok(std::ptr::without_provenance_mut(token.bits() as usize))
}

/// Gives shared bytes a handle, which no net ends. LIMIT: the table is full, and then memory that was adopted stays the
/// program's.
pub(super) fn publish_buffer(bytes: SharedBytes) -> Result<*mut iouringnet_buffer> {
    let ours = bytes.share();
    let token = TABLE.insert(iouringnet_buffer::KIND, iouringnet_buffer::wrap(Box::new(bytes)));
    let Some(token) = token else {
        if let Some(memory) = ours.give_up() {
            memory.disown();
        }
        return Err(Error::LIMIT);
    };
    Ok(std::ptr::without_provenance_mut(token.bits() as usize))
}

/// The handles of both halves of a connection.
pub(super) type Pair = (*mut iouringnet_sink, *mut iouringnet_stream);

/// Makes a connection of a socket that `net` has dialled or accepted, and gives both halves handles. On failure the
/// connection is closed.
pub(super) fn publish_connection(socket: Arc<Socket>, net: &Arc<Net>) -> Result<Pair> {
    publish_pair(connection::adopt(net, socket)?, net)
}

/// Gives both halves of a connection handles. On failure the connection is closed.
pub(super) fn publish_pair(connection: Connection, net: &Net) -> Result<Pair> {
    publish_halves(&connection, net).inspect_err(|&error| {
        // A stop closes both by itself, later, when no receive of this net can take the FIN for the peer's end.
        if error != Error::STOPPED {
            let (sink, stream) = &connection;
            stream.close();
            sink.close();
        }
    })
}

/// The same, but on failure the connection stays as it is.
pub(super) fn publish_halves((sink, stream): &Connection, net: &Net) -> Result<Pair> {
    let sink_handle = publish(Arc::clone(sink), net)?;
    stream.note_sink_handle(address(sink_handle));
    let stream_handle = publish(Arc::clone(stream), net).inspect_err(|_| drop(retire(sink_handle)))?;
    Ok((sink_handle, stream_handle))
}

/// Ends the handles of both halves.
pub(super) fn retire_halves((sink, stream): Pair) {
    drop((retire(sink), retire(stream)));
}

/// Ends every handle of a stopped net, its own included. Exception: ops keep their results until they are released.
pub(super) fn retire_all(net: &Arc<Net>) {
    // Pairs with the fence in `publish`.
    fence(Ordering::SeqCst);
    let mut tokens = Vec::new();
    // Without a reference to a buffer: it might be the last, and end the program's memory here.
    let may_end = |kind| kind != iouringnet_buffer::KIND;
    TABLE.for_each(may_end, |token, object| {
        if object.ends_with(net) {
            tokens.push(token);
        }
    });
    for token in tokens {
        TABLE.retire(token);
    }
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::probe::probe;

    /// Number of entries of `net` that end with it.
    fn entries(net: &Arc<Net>) -> usize {
        let mut count = 0;
        TABLE.for_each(|_| true, |_, object| count += usize::from(object.ends_with(net)));
        count
    }

    #[test]
    fn what_is_published_after_a_stop_leaves_nothing_in_the_table() {
        if let Err(error) = probe().status {
            eprintln!("skipped: {error}");
            return;
        }
        let net = Net::start(Config::default()).unwrap();
        let handle = publish::<iouringnet_net>(Arc::clone(&net), &net).unwrap();
        assert_eq!(entries(&net), 1);
        assert_eq!(net.stop(), Ok(()));
        retire_all(&net);
        assert!(share(handle).is_err());
        assert_eq!(publish::<iouringnet_net>(Arc::clone(&net), &net), Err(Error::STOPPED));
        assert_eq!(entries(&net), 0);
    }
}
