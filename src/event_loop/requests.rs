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
    content: Option<(Arc<dyn Service>, Request)>,
}

impl Requests {
    pub fn insert(&mut self, owner: Arc<dyn Service>, request: Request) -> (RequestId, &mut Request) {
        let index = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, content: None });
            (self.slots.len() - 1) as u32
        });
        let slot = &mut self.slots[index as usize];
        let id = RequestId(u64::from(slot.generation) << 32 | u64::from(index));
        let content = slot.content.insert((owner, request));
        (id, &mut content.1)
    }

    /// The one whom a request in flight belongs to.
    pub fn owner(&self, id: RequestId) -> Option<Arc<dyn Service>> {
        let slot = self.slots.get(id.0 as u32 as usize)?;
        let (owner, _) = slot.content.as_ref().filter(|_| slot.generation == (id.0 >> 32) as u32)?;
        Some(Arc::clone(owner))
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
        Some(content)
    }

    pub fn leak_memory(&mut self) {
        for (_, request) in self.slots.iter_mut().filter_map(|slot| slot.content.as_mut()) {
            request.leak_memory();
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
