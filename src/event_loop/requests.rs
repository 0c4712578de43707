//! The requests that a loop has in flight.
//!
//! Slots with generations, so that an identifier is never that of another request. Invariant: a request stays at its
//! identifier from [`Requests::insert`] to [`Requests::remove`], and what it owns stays with it.

use super::Service;
use crate::request::Request;
use std::sync::Arc;

/// Names a request in flight; never reused for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId(pub(super) u64);

/// The requests in flight, each with the one that it comes back to.
#[derive(Default)]
pub struct Requests {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

struct Slot {
    generation: u32,
    content: Option<Content>,
}

struct Content {
    /// Away only while it is told of what the request has brought.
    owner: Option<Arc<dyn Service>>,
    request: Request,
}

impl Requests {
    pub fn insert(&mut self, owner: Arc<dyn Service>, request: Request) -> (RequestId, &mut Request) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, content: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        let id = RequestId(u64::from(slot.generation) << 32 | u64::from(index));
        let content = slot.content.insert(Content { owner: Some(owner), request });
        (id, &mut content.request)
    }

    /// The one whom a request in flight belongs to, to be given back by [`Requests::return_owner`] at once: that saves
    /// counting a reference for each message.
    pub fn borrow_owner(&mut self, id: RequestId) -> Option<Arc<dyn Service>> {
        self.content(id)?.owner.take()
    }

    pub fn return_owner(&mut self, id: RequestId, owner: Arc<dyn Service>) {
        if let Some(content) = self.content(id) {
            content.owner = Some(owner);
        }
    }

    fn content(&mut self, id: RequestId) -> Option<&mut Content> {
        let slot = self.slots.get_mut(id.0 as u32 as usize)?;
        slot.content.as_mut().filter(|_| slot.generation == (id.0 >> 32) as u32)
    }

    pub fn remove(&mut self, id: RequestId) -> Option<(Arc<dyn Service>, Request)> {
        let (generation, index) = ((id.0 >> 32) as u32, id.0 as u32);
        let slot = self.slots.get_mut(index as usize)?;
        if slot.generation != generation {
            return None;
        }
        let content = slot.content.take()?;
        // The two identifiers above are never made: a slot is retired before its generations are used up.
        slot.generation += 1;
        if slot.generation < u32::MAX {
            self.free.push(index);
        }
        Some((content.owner?, content.request))
    }

    pub fn leak_memory(&mut self) {
        for content in self.slots.iter_mut().filter_map(|slot| slot.content.as_mut()) {
            content.request.leak_memory();
        }
    }

    pub fn ids(&self) -> Vec<RequestId> {
        let live = self.slots.iter().enumerate().filter(|(_, slot)| slot.content.is_some());
        live.map(|(index, slot)| RequestId(u64::from(slot.generation) << 32 | index as u64)).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len() || self.slots.iter().all(|slot| slot.content.is_none())
    }
}
