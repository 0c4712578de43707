//! The requests that a loop has in flight.
//!
//! Each slot counts generations, so an identifier never names another request. Invariant: a request stays at its identifier
//! from [`Requests::insert`] to [`Requests::remove`], and what it owns stays with it.

use super::Handler;
use crate::cache_line::fetch;
use crate::engine::{Request, RequestId};
use std::sync::Arc;

/// The requests in flight, each with its owner.
#[derive(Default)]
pub struct Requests {
    slots: Vec<Slot>,
    free: Vec<u32>,
}

/// One cache line.
#[repr(align(64))]
struct Slot {
    generation: u32,
    content: Option<Content>,
}

struct Content {
    owner: Arc<dyn Handler>,
    request: Request,
}

const _: () = assert!(size_of::<Slot>() == 64 || cfg!(loom), "a message needs one");

impl Requests {
    pub fn insert(&mut self, owner: Arc<dyn Handler>, request: Request) -> (RequestId, &mut Request) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 1, content: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        let id = RequestId::new(slot.generation, index as usize);
        let content = slot.content.insert(Content { owner, request });
        (id, &mut content.request)
    }

    pub fn get(&mut self, id: RequestId) -> Option<(&Arc<dyn Handler>, &mut Request)> {
        self.content(id).map(|content| (&content.owner, &mut content.request))
    }

    /// The request that has the place of `id` now, for the cache.
    #[inline]
    pub fn look(&self, id: RequestId) -> Option<(&Arc<dyn Handler>, &Request)> {
        let content = self.slots.get(id.index())?.content.as_ref()?;
        Some((&content.owner, &content.request))
    }

    /// The owner of a request that is no watch's.
    pub fn owner_of_chain(&mut self, id: RequestId) -> Option<&Arc<dyn Handler>> {
        self.content(id).filter(|content| content.request.callback().is_none()).map(|content| &content.owner)
    }

    /// Fetches a request to the cache.
    #[inline]
    pub fn fetch(&self, id: RequestId) {
        fetch(self.slots.as_ptr().wrapping_add(id.index()));
    }

    fn content(&mut self, id: RequestId) -> Option<&mut Content> {
        let slot = self.slots.get_mut(id.index()).filter(|slot| slot.generation == id.generation())?;
        slot.content.as_mut()
    }

    pub fn remove(&mut self, id: RequestId) -> Option<(Arc<dyn Handler>, Request)> {
        let slot = self.slots.get_mut(id.index())?;
        if slot.generation != id.generation() {
            return None;
        }
        let content = slot.content.take()?;
        // A slot is retired before it uses up its generations. Therefore no identifier has a higher one.
        slot.generation += 1;
        if slot.generation < RequestId::GENERATIONS {
            self.free.push(id.index() as u32);
        }
        Some((content.owner, content.request))
    }

    pub fn leak_memory(&mut self) {
        for content in self.slots.iter_mut().filter_map(|slot| slot.content.as_mut()) {
            content.request.leak_memory();
        }
    }

    pub fn ids(&self) -> Vec<RequestId> {
        let live = self.slots.iter().enumerate().filter(|(_, slot)| slot.content.is_some());
        live.map(|(index, slot)| RequestId::new(slot.generation, index)).collect()
    }

    /// An upper bound of the requests in flight: a retired slot counts too.
    pub fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    pub fn is_empty(&self) -> bool {
        self.free.len() == self.slots.len() || self.slots.iter().all(|slot| slot.content.is_none())
    }
}
