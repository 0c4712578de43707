#![allow(unsafe_code)] // tokens leave as pointers; see `mod.rs`
//! The only place that turns the handles of C into objects of the core, and back.
//!
//! A handle is a token of kind, generation and index that looks like a pointer; it is looked up, never followed. Called by
//! every file of the boundary. Invariant: a handle of a stopped net is in the table no more, ops excepted, whatever raced
//! with the stop.

use super::types::{iouringnet_listener, iouringnet_net, iouringnet_op, iouringnet_sink, iouringnet_stream};
use crate::completion::Operation;
use crate::error::{Error, Result};
use crate::listener::Listener;
use crate::net::Net;
use crate::sink::Sink;
use crate::slots::{Ref, Slots, Token};
use crate::stream::Stream;
use std::marker::PhantomData;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering, fence};

/// One table for the whole process and never reset, so that a handle stays dead when its net has gone and others have come.
static TABLE: Slots<Object> = Slots::new();

const _: () = assert!(size_of::<*mut ()>() == size_of::<u64>(), "a token has to fit into a pointer");

/// A net as its handles share it.
pub(super) struct Home {
    pub net: Arc<Net>,
    /// Set once the net has stopped, before its handles are retired.
    ended: AtomicBool,
}

/// What one handle stands for, and the net that it belongs to.
pub(super) struct Owned<T> {
    pub core: Arc<T>,
    pub home: Arc<Home>,
}

/// One entry of the table.
pub(super) enum Object {
    Net(Owned<Net>),
    Listener(Owned<Listener>),
    Sink(Owned<Sink>),
    Stream(Owned<Stream>),
    Op(Owned<Operation>),
}

impl Object {
    fn home(&self) -> &Arc<Home> {
        match self {
            Object::Net(owned) => &owned.home,
            Object::Listener(owned) => &owned.home,
            Object::Sink(owned) => &owned.home,
            Object::Stream(owned) => &owned.home,
            Object::Op(owned) => &owned.home,
        }
    }
}

/// A handle type of C, and what is behind it.
pub(super) trait Handle {
    type Core: 'static;
    const KIND: u8;
    fn wrap(owned: Owned<Self::Core>) -> Object;
    fn of(object: &Object) -> Option<&Owned<Self::Core>>;
}

macro_rules! handle {
    ($handle:ident, $kind:literal, $variant:ident($core:ident)) => {
        impl Handle for $handle {
            type Core = $core;
            const KIND: u8 = $kind;

            fn wrap(owned: Owned<$core>) -> Object {
                Object::$variant(owned)
            }

            fn of(object: &Object) -> Option<&Owned<$core>> {
                if let Object::$variant(owned) = object { Some(owned) } else { None }
            }
        }
    };
}

handle!(iouringnet_net, 1, Net(Net));
handle!(iouringnet_listener, 2, Listener(Listener));
handle!(iouringnet_sink, 3, Sink(Sink));
handle!(iouringnet_stream, 4, Stream(Stream));
handle!(iouringnet_op, 5, Op(Operation));

/// A shared object, which lives at least as long as this does, also if another thread closes the handle meanwhile.
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
    type Target = Owned<H::Core>;

    fn deref(&self) -> &Owned<H::Core> {
        H::of(&self.object).expect("a token has the kind of what was published under it")
    }
}

fn token<H: Handle>(handle: *mut H) -> Option<Token> {
    Token::from_bits(handle.addr() as u64).filter(|token| token.kind() == H::KIND)
}

/// What `handle` stands for, if it is open and of its kind.
#[inline]
pub(super) fn share<H: Handle>(handle: *mut H) -> Result<Held<H>> {
    token(handle).and_then(|token| TABLE.get(token)).map(Held::new).ok_or(Error::BAD_HANDLE)
}

/// Ends `handle`. Of several callers, in whatever order, exactly one gets the object.
pub(super) fn retire<H: Handle>(handle: *mut H) -> Option<Held<H>> {
    token(handle).and_then(|token| TABLE.retire(token)).map(Held::new)
}

/// Gives `core` a handle. Refused with LIMIT when the table is full, and with STOPPED when the net has stopped meanwhile.
pub(super) fn publish<H: Handle>(core: Arc<H::Core>, home: &Arc<Home>) -> Result<*mut H> {
    let object = H::wrap(Owned { core, home: Arc::clone(home) });
    let token = TABLE.insert(H::KIND, object).ok_or(Error::LIMIT)?;
    // Pairs with the fence in `retire_all`: either this load sees the end, or that walk meets the new entry.
    fence(Ordering::SeqCst);
    if home.ended.load(Ordering::Relaxed) {
        TABLE.retire(token);
        return Err(Error::STOPPED);
    }
    Ok(std::ptr::without_provenance_mut(token.bits() as usize))
}

/// Gives both halves of a connection their handles, or closes it.
pub(super) fn publish_pair(
    (sink, stream): (Arc<Sink>, Arc<Stream>),
    home: &Arc<Home>,
) -> Result<(*mut iouringnet_sink, *mut iouringnet_stream)> {
    let handles = publish(Arc::clone(&sink), home).and_then(|sink_handle| {
        let stream_handle = publish(Arc::clone(&stream), home).inspect_err(|_| drop(retire(sink_handle)))?;
        Ok((sink_handle, stream_handle))
    });
    handles.inspect_err(|_| {
        stream.close();
        sink.close();
    })
}

/// Gives a net that has just started its handle.
pub(super) fn publish_net(net: Arc<Net>) -> Result<*mut iouringnet_net> {
    let home = Arc::new(Home { net: Arc::clone(&net), ended: AtomicBool::new(false) });
    publish(net, &home)
}

/// Ends every handle of a net that has stopped, its own included. Ops stay: they keep their results until released.
pub(super) fn retire_all(home: &Arc<Home>) {
    home.ended.store(true, Ordering::Relaxed);
    // Pairs with the fence in `publish`.
    fence(Ordering::SeqCst);
    let mut tokens = Vec::new();
    TABLE.for_each(|token, object| {
        if !matches!(object, Object::Op(_)) && Arc::ptr_eq(object.home(), home) {
            tokens.push(token);
        }
    });
    for token in tokens {
        TABLE.retire(token);
    }
}
