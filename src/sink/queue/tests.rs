use super::*;
use crate::completion::{Finished, Operation, Waited};
use crate::parts::EMPTY_PART;
use std::sync::Arc;
use std::time::Duration;

struct Nowhere;
impl Outbox for Nowhere {
    fn deliver_finished(&self, _: Finished) {
        unreachable!("no operation here has a callback");
    }

    fn deliver(&self, _: Arc<Operation>) {
        unreachable!("no operation here has a callback");
    }

    fn runs_here(&self) -> bool {
        false
    }

    fn is_over(&self) {}
}

fn lent(size: usize, deadline: Option<Instant>) -> (Item, Arc<Operation>) {
    let operation = Operation::new(Arc::new(Nowhere), None);
    let parts = Parts::One(std::ptr::without_provenance(4096), size);
    let content = Content::Lent(parts, Teller::Operation(Arc::clone(&operation)));
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
    assert!(!queue.advance(&Nowhere, 15));
    assert_eq!(result_of(&one), Some((Ok(()), 10)));
    assert_eq!(result_of(&two), None);
    assert_eq!(queue.unsent(), 15);
    queue.fail_all(&Nowhere, Error::TORN);
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
    queue.advance(&Nowhere, 4);
    assert_eq!((queue.posted(), queue.unsent()), (2 * CHARGE_MIN, 7));
}

#[test]
fn what_the_kernel_reads_ends_once_it_has_answered() {
    let now = Instant::now();
    let mut queue = SendQueue::default();
    let (late, operation) = lent(10, Some(now));
    queue.push(late, false);
    gathered(&mut queue);
    assert!(!queue.sweep(&Nowhere, now, false));
    assert_eq!(result_of(&operation), None);
    queue.answered();
    queue.advance(&Nowhere, 4);
    assert!(!queue.sweep(&Nowhere, now, true));
    assert_eq!(result_of(&operation), None, "while closing, deadlines do not count");
    assert!(queue.sweep(&Nowhere, now, false), "a part of it is out");
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
    assert!(!queue.sweep(&Nowhere, now, false));
    assert_eq!(result_of(&operation), None, "the kernel reads it");
    queue.answered();
    assert!(!queue.sweep(&Nowhere, now, false), "nothing of it is out");
    assert_eq!(result_of(&operation), Some((Err(Error::CANCELLED), 0)));
    assert!(queue.is_empty());
}

#[test]
fn what_was_cancelled_before_it_is_queued_ends() {
    let mut queue = SendQueue::default();
    let (item, operation) = lent(10, None);
    operation.cancel(); // as another thread may, while the send's call still tries
    queue.push(item, false);
    assert!(!queue.sweep(&Nowhere, Instant::now(), false));
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
    queue.advance(&Nowhere, 4);
    assert!(queue.sweep(&Nowhere, now, false), "a part of the first is out");
    assert_eq!(result_of(&one), Some((Err(Error::TIMEOUT), 4)));
    assert_eq!(result_of(&two), Some((Err(Error::TIMEOUT), 0)));
}
