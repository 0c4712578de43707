//! What waits to be sent on one sink, in order.
//!
//! The sink uses the queue under its lock. Invariant: an item's operation completes when the item leaves. An item that the
//! kernel reads neither leaves nor moves its bytes before [`SendQueue::answered`].

use crate::completion::{Finished, Outbox, Outcome, Teller};
use crate::deadlines::Limit;
use crate::error::{Error, Result};
use crate::parts::{Gather, Parts};
use crate::rare::Unchanged;
use crate::shared_bytes::SharedBytes;
use crate::shed;
use std::collections::VecDeque;
use std::time::Instant;

/// Sends, posts and flushes that wait.
#[derive(Default)]
pub struct SendQueue {
    items: VecDeque<Item>,
    /// A caller has cancelled an operation here.
    cancelled: bool,
    /// No deadline in the queue is earlier.
    earliest: Option<Instant>,
    /// How many items at the front the kernel reads.
    gathered: usize,
    /// What the posts are charged, see [`post_charge`].
    posted: usize,
}

/// One send, post or flush.
pub struct Item {
    /// What is to be sent.
    pub content: Content,
    /// Bytes that are out.
    pub sent: usize,
    /// All bytes.
    pub size: usize,
    /// How long it may take.
    pub limit: Limit,
}

/// Where the bytes of an item are, and who waits for it.
pub enum Content {
    /// Lent memory, and who learns that it is out.
    Lent(Parts, Teller),
    /// A copy, without an operation.
    Posted(Vec<u8>),
    /// Bytes that others hold, too, without an operation.
    Shared(SharedBytes),
    /// No bytes. This one learns that everything before it is out.
    Flush(Teller),
}

impl Item {
    fn is_cancelled(&self) -> bool {
        match &self.content {
            Content::Lent(_, teller) | Content::Flush(teller) => teller.is_cancelled(),
            Content::Posted(_) | Content::Shared(_) => false,
        }
    }

    /// What it counts against the sink's mark. Sends and flushes count nothing, because their operations are bounded.
    fn charge(&self) -> usize {
        match self.content {
            Content::Posted(_) | Content::Shared(_) => post_charge(self.size - self.sent),
            Content::Lent(..) | Content::Flush(_) => 0,
        }
    }

    fn add_to(&self, gather: &mut Gather<'_>) -> bool {
        match &self.content {
            Content::Lent(parts, _) => gather.add(parts, self.sent),
            Content::Posted(bytes) => gather.add(&Parts::of(bytes), self.sent),
            Content::Shared(bytes) => gather.add(&Parts::of(bytes.as_slice()), self.sent),
            Content::Flush(_) => true,
        }
    }

    /// Why the item must end now, if it must.
    fn cut(&self, now: Instant, closing: bool) -> Option<Error> {
        if self.is_cancelled() {
            return Some(Error::CANCELLED);
        }
        // While a sink drains after its close, deadlines of operations do not count.
        (self.limit.is_late(now) && !closing).then_some(Error::TIMEOUT)
    }
}

impl Unchanged for SendQueue {
    const UNCHANGED: &'static SendQueue =
        &SendQueue { items: VecDeque::new(), cancelled: false, earliest: None, gathered: 0, posted: 0 };
}

/// Posts share pieces of this size. One send takes up to 64 pieces.
const CHUNK: usize = 16 << 10;
/// The least that a queued post counts. An item and its share of the queue's memory fit into it.
const CHARGE_MIN: usize = 256;
const _: () = assert!(2 * size_of::<Item>() <= CHARGE_MIN, "a queue grows by doubling its room");
/// An empty queue with more room gives its memory back.
const ROOM_KEPT: usize = 64;

impl SendQueue {
    /// Whether the queue holds no item.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// What the posts count against the sink's mark. 0: there are none.
    pub fn posted(&self) -> usize {
        self.posted
    }

    /// Bytes accepted that the kernel does not have.
    pub fn unsent(&self) -> usize {
        self.items.iter().map(|item| item.size - item.sent).sum()
    }

    /// No deadline of a waiting operation is earlier.
    pub fn earliest(&self) -> Option<Instant> {
        self.earliest
    }

    /// A caller has cancelled an operation here. The next sweep finds it.
    pub fn note_cancelled(&mut self) {
        self.cancelled = true;
    }

    /// Whether one part names all that waits.
    pub fn is_one_part(&self) -> bool {
        self.items.len() == 1 && !matches!(self.items[0].content, Content::Lent(Parts::Many(_), _))
    }

    /// Whether the front may be tried only once.
    pub fn is_one_try(&self) -> bool {
        self.items.front().is_some_and(|item| item.limit.one_try)
    }

    /// The kernel has answered, and now reads nothing here.
    pub fn answered(&mut self) {
        self.gathered = 0;
    }

    /// Gathers what is to be sent next, and marks those items as read by the kernel.
    pub fn gather(&mut self, gather: &mut Gather<'_>) {
        let alone = self.is_one_try();
        for item in &self.items {
            let joins = self.gathered == 0 || !(alone || item.limit.one_try);
            if !joins {
                break;
            }
            self.gathered += 1;
            if !item.add_to(gather) {
                break;
            }
        }
    }

    /// The kernel took `count` bytes from the front. Completes what is out. True: a send with one try has ended after a part
    /// of it went out.
    pub fn advance(&mut self, outbox: &dyn Outbox, mut count: usize) -> bool {
        while let Some(item) = self.items.front_mut() {
            let left = item.size - item.sent;
            if count < left {
                self.posted -= item.charge();
                item.sent += count;
                self.posted += item.charge();
                break;
            }
            count -= left;
            if let Some(item) = self.items.pop_front() {
                self.end(outbox, item, Ok(()));
            }
        }
        self.end_try(outbox)
    }

    /// Ends the front if it had only one try. True: a part of it is out.
    pub fn end_try(&mut self, outbox: &dyn Outbox) -> bool {
        let sent = self.items.front().map_or(0, |item| item.sent);
        let ends = self.is_one_try();
        if ends {
            self.end_item(outbox, 0, Error::TIMEOUT);
        }
        ends && sent > 0
    }

    /// Starts with room for one item: a queue usually holds one or two, and its memory stays with the connection.
    #[inline]
    fn reserve(&mut self) {
        if self.items.capacity() == 0 {
            self.items.reserve_exact(1);
        }
    }

    /// Queues an item. If it is `first_in_line`, it goes before all others.
    pub fn push(&mut self, item: Item, first_in_line: bool) {
        self.cancelled |= item.is_cancelled();
        self.earliest = self.earliest.into_iter().chain(item.limit.deadline).min();
        self.add(item, first_in_line);
    }

    /// The front and all flushes are late at `now`, whatever their own limits.
    pub fn end_first(&mut self, now: Instant) {
        for (index, item) in self.items.iter_mut().enumerate() {
            if index == 0 || matches!(item.content, Content::Flush(_)) {
                item.limit.deadline = item.limit.deadline.into_iter().chain([now]).min();
                self.earliest = self.earliest.into_iter().chain([now]).min();
            }
        }
    }

    fn add(&mut self, item: Item, first_in_line: bool) {
        self.reserve();
        if first_in_line {
            self.items.push_front(item);
        } else {
            self.items.push_back(item);
        }
    }

    /// Ends items that were cancelled. Ends late items too, unless the sink is `closing`. If the kernel reads an item, a
    /// sweep after the kernel's answer ends it. True: an item has ended after a part of it went out.
    pub fn sweep(&mut self, outbox: &dyn Outbox, now: Instant, closing: bool) -> bool {
        if !self.cancelled && self.earliest.is_none_or(|earliest| now < earliest) {
            return false;
        }
        let (mut torn, mut is_read) = (false, false);
        let mut index = 0;
        while index < self.items.len() {
            match self.items[index].cut(now, closing) {
                Some(_) if index < self.gathered => is_read = true,
                Some(error) => {
                    torn |= self.items[index].sent > 0;
                    self.end_item(outbox, index, error);
                    continue;
                }
                None => {}
            }
            index += 1;
        }
        self.cancelled = is_read;
        self.earliest = self.items.iter().filter_map(|item| item.limit.deadline).min();
        torn
    }

    fn end_item(&mut self, outbox: &dyn Outbox, index: usize, cause: Error) {
        if let Some(item) = self.items.remove(index) {
            self.end(outbox, item, Err(cause));
        }
    }

    /// Ends an item that has left. `Ok`: all of it is out.
    #[inline(always)] // an item is large, and a call would move it once more
    fn end(&mut self, outbox: &dyn Outbox, item: Item, result: Result) {
        self.posted -= item.charge();
        match item.content {
            Content::Lent(_, teller) | Content::Flush(teller) => {
                let bytes = if result.is_ok() { item.size } else { item.sent };
                teller.tell(outbox, Outcome { result, bytes });
            }
            Content::Posted(_) => {}
            Content::Shared(bytes) => give_up(outbox, bytes),
        }
        if self.items.is_empty() && self.items.capacity() > ROOM_KEPT {
            self.items = VecDeque::new();
        }
    }

    /// Ends everything with `cause`.
    pub fn fail_all(&mut self, outbox: &dyn Outbox, cause: Error) {
        while !self.items.is_empty() {
            self.end_item(outbox, 0, cause);
        }
    }

    /// Copies `data`, the rest of a post that was tried, to the front. ENOMEM: the queue took nothing.
    pub fn post_front(&mut self, data: &[u8]) -> Result {
        self.post_front_by(data.len(), |bytes| bytes.extend_from_slice(data))
    }

    /// The same for `size` bytes, which `copy` adds to a piece.
    pub fn post_front_by(&mut self, size: usize, copy: impl FnOnce(&mut Vec<u8>)) -> Result {
        let mut bytes = room_for(size)?;
        copy(&mut bytes);
        self.post_piece(bytes, true);
        Ok(())
    }

    /// Copies `data` to the queue's end. It goes into the last piece if that has room and the kernel does not read it.
    /// ENOMEM: the queue took nothing.
    #[inline]
    pub fn post_back(&mut self, data: &[u8]) -> Result {
        self.post_back_by(data.len(), |bytes| bytes.extend_from_slice(data))
    }

    /// The same for `size` bytes, which `copy` adds to a piece.
    #[inline]
    pub fn post_back_by(&mut self, size: usize, copy: impl FnOnce(&mut Vec<u8>)) -> Result {
        let last = self.items.len().wrapping_sub(1);
        match self.items.back_mut() {
            Some(Item { content: Content::Posted(bytes), sent, size: all, .. })
                if last >= self.gathered && bytes.len() + size <= CHUNK =>
            {
                let before = post_charge(*all - *sent);
                copy(bytes);
                *all = bytes.len();
                self.posted += post_charge(*all - *sent) - before;
            }
            _ => {
                let mut bytes = room_for(size)?;
                copy(&mut bytes);
                self.posted += post_charge(size);
                self.reserve();
                self.items.push_back(posted(Content::Posted(bytes), size, 0)); // made in its place, without a move
            }
        }
        Ok(())
    }

    /// Queues bytes that others hold, too. `sent` of them are out.
    pub fn post_shared(&mut self, bytes: SharedBytes, sent: usize, first_in_line: bool) {
        let size = bytes.as_slice().len();
        self.add_post(Content::Shared(bytes), size, sent, first_in_line);
    }

    /// Queues a copy of bytes, as a piece of its own.
    pub fn post_piece(&mut self, bytes: Vec<u8>, first_in_line: bool) {
        let size = bytes.len();
        self.add_post(Content::Posted(bytes), size, 0, first_in_line);
    }

    fn add_post(&mut self, content: Content, size: usize, sent: usize, first_in_line: bool) {
        self.posted += post_charge(size - sent);
        self.add(posted(content, size, sent), first_in_line);
    }
}

fn posted(content: Content, size: usize, sent: usize) -> Item {
    Item { content, sent, size, limit: Limit::default() }
}

/// What a post counts against the sink's mark: its unsent bytes, and for the item itself at least [`CHARGE_MIN`].
#[inline]
fn post_charge(unsent: usize) -> usize {
    CHARGE_MIN.max(unsent)
}

/// Gives up a queue's hold of shared bytes. The memory of the last holder ends on the callback thread, because the caller has
/// the sink's lock and may be the send loop.
fn give_up(outbox: &dyn Outbox, bytes: SharedBytes) {
    if let Some(memory) = bytes.give_up() {
        outbox.deliver_finished(Finished::end_of(memory));
    }
}

/// Room for a copy of a caller's bytes. Memory may lack it.
#[inline]
pub fn room_for(size: usize) -> Result<Vec<u8>> {
    if size <= CHUNK {
        return Ok(Vec::with_capacity(size)); // faster, and no larger than other allocations
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(size).map_err(|_| {
        let error = Error::from_errno(libc::ENOMEM);
        shed::oldest(error); // for the next try
        error
    })?;
    Ok(bytes)
}

#[cfg(all(test, not(loom)))]
mod tests;
