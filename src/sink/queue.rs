//! What waits to be sent on one sink, in order.
//!
//! The sink uses the queue under its lock. Invariant: an item's operation completes when the item leaves. An item that the
//! kernel reads neither leaves nor moves its bytes before [`SendQueue::answered`].

use crate::completion::Operation;
use crate::deadlines::Limit;
use crate::error::{Error, Result};
use crate::parts::{Gather, Parts};
use crate::shed;
use std::collections::VecDeque;
use std::sync::Arc;
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
    /// Bytes of posts that are unsent.
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
    /// Lent memory, and the operation that completes when it is out.
    Lent(Parts, Arc<Operation>),
    /// A copy, without an operation.
    Posted(Vec<u8>),
    /// No bytes. The operation completes when everything before it is out.
    Flush(Arc<Operation>),
}

impl Item {
    fn operation(&self) -> Option<&Arc<Operation>> {
        match &self.content {
            Content::Lent(_, operation) | Content::Flush(operation) => Some(operation),
            Content::Posted(_) => None,
        }
    }

    fn add_to(&self, gather: &mut Gather<'_>) -> bool {
        match &self.content {
            Content::Lent(parts, _) => gather.add(parts, self.sent),
            Content::Posted(bytes) => gather.add(&Parts::One(bytes.as_ptr(), bytes.len()), self.sent),
            Content::Flush(_) => true,
        }
    }

    /// Why the item must end now, if it must.
    fn cut(&self, now: Instant, closing: bool) -> Option<Error> {
        if self.operation().is_some_and(|operation| operation.is_cancelled()) {
            return Some(Error::CANCELLED);
        }
        // While a sink drains after its close, deadlines of operations do not count.
        (self.limit.is_late(now) && !closing).then_some(Error::TIMEOUT)
    }
}

/// Posts share pieces of this size. One send takes up to 64 pieces.
const CHUNK: usize = 16 << 10;

impl SendQueue {
    /// Whether the queue holds no item.
    pub fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes of posts that are unsent.
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
    pub fn advance(&mut self, mut count: usize) -> bool {
        while let Some(item) = self.items.front_mut() {
            let taken = count.min(item.size - item.sent);
            item.sent += taken;
            count -= taken;
            if matches!(item.content, Content::Posted(_)) {
                self.posted -= taken;
            }
            if item.sent < item.size {
                break;
            }
            self.end_item(0, Ok(()));
        }
        self.end_try()
    }

    /// Ends the front if it had only one try. True: a part of it is out.
    pub fn end_try(&mut self) -> bool {
        let sent = self.items.front().map_or(0, |item| item.sent);
        let ends = self.is_one_try();
        if ends {
            self.end_item(0, Err(Error::TIMEOUT));
        }
        ends && sent > 0
    }

    /// Starts with room for one item: a queue usually holds one or two, and its memory stays with the connection.
    fn reserve(&mut self) {
        if self.items.capacity() == 0 {
            self.items.reserve_exact(1);
        }
    }

    /// Queues an item. If it is `first_in_line`, it goes before all others.
    pub fn push(&mut self, item: Item, first_in_line: bool) {
        self.cancelled |= item.operation().is_some_and(|operation| operation.is_cancelled());
        self.earliest = self.earliest.into_iter().chain(item.limit.deadline).min();
        self.reserve();
        if first_in_line {
            self.items.push_front(item);
        } else {
            self.items.push_back(item);
        }
    }

    /// Ends items that were cancelled. Ends late items too, unless the sink is `closing`. If the kernel reads an item, a
    /// sweep after the kernel's answer ends it. True: an item has ended after a part of it went out.
    pub fn sweep(&mut self, now: Instant, closing: bool) -> bool {
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
                    self.end_item(index, Err(error));
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

    fn end_item(&mut self, index: usize, result: Result) {
        let Some(item) = self.items.remove(index) else {
            return;
        };
        match &item.content {
            Content::Lent(_, operation) | Content::Flush(operation) => operation.complete(result, item.sent),
            Content::Posted(_) => self.posted -= item.size - item.sent,
        }
    }

    /// Ends everything with `cause`.
    pub fn fail_all(&mut self, cause: Error) {
        while !self.items.is_empty() {
            self.end_item(0, Err(cause));
        }
    }

    /// Copies `data`, the rest of a post that was tried, to the front. ENOMEM: the queue took nothing.
    pub fn post_front(&mut self, data: &[u8]) -> Result {
        let bytes = copied(data)?;
        self.posted += data.len();
        self.reserve();
        self.items.push_front(posted(bytes));
        Ok(())
    }

    /// Copies `data` to the queue's end. It goes into the last piece if that has room and the kernel does not read it.
    /// ENOMEM: the queue took nothing.
    pub fn post_back(&mut self, data: &[u8]) -> Result {
        let last = self.items.len().wrapping_sub(1);
        if let Some(Item { content: Content::Posted(bytes), size, .. }) = self.items.back_mut()
            && last >= self.gathered
            && bytes.len() + data.len() <= CHUNK
        {
            bytes.extend_from_slice(data);
            *size = bytes.len();
        } else {
            let bytes = copied(data)?;
            self.reserve();
            self.items.push_back(posted(bytes));
        }
        self.posted += data.len();
        Ok(())
    }
}

fn posted(bytes: Vec<u8>) -> Item {
    Item { sent: 0, size: bytes.len(), content: Content::Posted(bytes), limit: Limit::default() }
}

/// A copy of a caller's bytes. Memory may lack room for it.
fn copied(data: &[u8]) -> Result<Vec<u8>> {
    if data.len() <= CHUNK {
        return Ok(data.to_vec()); // faster, and no larger than other allocations
    }
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(data.len()).map_err(|_| {
        let error = Error::from_errno(libc::ENOMEM);
        shed::oldest(error); // for the next try
        error
    })?;
    bytes.extend_from_slice(data);
    Ok(bytes)
}

#[cfg(all(test, not(loom)))]
mod tests {
    use super::*;
    use crate::completion::{Outbox, Outcome, Waited};
    use crate::parts::EMPTY_PART;
    use std::time::Duration;

    struct Nowhere;
    impl Outbox for Nowhere {
        fn deliver(&self, _: Arc<Operation>) {
            unreachable!("no operation here has a callback");
        }

        fn runs_here(&self) -> bool {
            false
        }
    }

    fn lent(size: usize, deadline: Option<Instant>) -> (Item, Arc<Operation>) {
        let operation = Operation::new(Arc::new(Nowhere), None);
        let parts = Parts::One(std::ptr::without_provenance(4096), size);
        let content = Content::Lent(parts, Arc::clone(&operation));
        (Item { content, sent: 0, size, limit: Limit { deadline, one_try: false } }, operation)
    }

    fn result_of(operation: &Operation) -> Option<(Result, usize)> {
        match operation.wait(Some(Duration::ZERO)) {
            Waited::Done(Outcome { result, bytes }) => Some((result, bytes)),
            Waited::Pending | Waited::Released => None,
        }
    }

    fn gathered(queue: &mut SendQueue) -> usize {
        let mut vectors = [EMPTY_PART; 8];
        let mut gather = Gather::new(&mut vectors);
        queue.gather(&mut gather);
        gather.bytes()
    }

    #[test]
    fn what_is_out_completes_in_order_and_the_rest_stays() {
        let mut queue = SendQueue::default();
        let (first, one) = lent(10, None);
        let (second, two) = lent(20, None);
        queue.push(first, false);
        queue.push(second, false);
        assert_eq!(gathered(&mut queue), 30);
        queue.answered();
        assert!(!queue.advance(15));
        assert_eq!(result_of(&one), Some((Ok(()), 10)));
        assert_eq!(result_of(&two), None);
        assert_eq!(queue.unsent(), 15);
        queue.fail_all(Error::TORN);
        assert_eq!(result_of(&two), Some((Err(Error::TORN), 5)));
    }

    #[test]
    fn a_post_never_joins_a_piece_that_the_kernel_reads() {
        let mut queue = SendQueue::default();
        queue.post_back(b"one").unwrap();
        queue.post_back(b"two").unwrap();
        assert_eq!(queue.items.len(), 1, "small posts share a piece");
        assert_eq!(gathered(&mut queue), 6);
        queue.post_back(b"three").unwrap();
        assert_eq!(queue.items.len(), 2);
        queue.answered();
        queue.advance(4);
        assert_eq!((queue.posted(), queue.unsent()), (7, 7));
    }

    #[test]
    fn what_the_kernel_reads_ends_once_it_has_answered() {
        let now = Instant::now();
        let mut queue = SendQueue::default();
        let (late, operation) = lent(10, Some(now));
        queue.push(late, false);
        gathered(&mut queue);
        assert!(!queue.sweep(now, false));
        assert_eq!(result_of(&operation), None);
        queue.answered();
        queue.advance(4);
        assert!(!queue.sweep(now, true));
        assert_eq!(result_of(&operation), None, "while closing, deadlines do not count");
        assert!(queue.sweep(now, false), "a part of it is out");
        assert_eq!(result_of(&operation), Some((Err(Error::TIMEOUT), 4)));
        assert!(queue.is_empty());
    }

    #[test]
    fn what_is_cancelled_while_the_kernel_reads_it_ends_once_it_has_answered() {
        let now = Instant::now();
        let mut queue = SendQueue::default();
        let (item, operation) = lent(10, None);
        queue.push(item, false);
        gathered(&mut queue);
        operation.cancel();
        queue.note_cancelled();
        assert!(!queue.sweep(now, false));
        assert_eq!(result_of(&operation), None, "the kernel reads it");
        queue.answered();
        assert!(!queue.sweep(now, false), "nothing of it is out");
        assert_eq!(result_of(&operation), Some((Err(Error::CANCELLED), 0)));
        assert!(queue.is_empty());
    }

    #[test]
    fn what_was_cancelled_before_it_is_queued_ends() {
        let mut queue = SendQueue::default();
        let (item, operation) = lent(10, None);
        operation.cancel(); // as another thread may, while the send's call still tries
        queue.push(item, false);
        assert!(!queue.sweep(Instant::now(), false));
        assert_eq!(result_of(&operation), Some((Err(Error::CANCELLED), 0)));
        assert!(queue.is_empty());
    }

    #[test]
    fn a_part_that_is_out_is_told_though_others_end_behind_it() {
        let now = Instant::now();
        let mut queue = SendQueue::default();
        let (begun, one) = lent(10, Some(now));
        let (behind, two) = lent(20, Some(now));
        queue.push(begun, false);
        queue.push(behind, false);
        gathered(&mut queue);
        queue.answered();
        queue.advance(4);
        assert!(queue.sweep(now, false), "a part of the first is out");
        assert_eq!(result_of(&one), Some((Err(Error::TIMEOUT), 4)));
        assert_eq!(result_of(&two), Some((Err(Error::TIMEOUT), 0)));
    }
}
