//! The third step of a loop's round: the callbacks that follow, and the mail.
//!
//! Invariant: a round without either costs two looks. What is posted meanwhile has its turn in the next round.

use super::EventLoop;
use crate::mailbox::{self, Letter};
use std::mem;

impl EventLoop {
    /// Step 3.
    #[inline(always)] // as a turn
    pub(super) fn take_mail(&mut self) {
        let has_mail = self.handle.mailbox.has_mail();
        if !has_mail && self.handle.following.is_empty() {
            return;
        }
        if has_mail {
            self.handle.mailbox.take(&mut self.mail);
        }
        if let Some(sends) = self.handle.round_sends.get() {
            sends.expect(self.mail.len() + self.handle.following.len());
        }
        self.run_all_following(); // before the mail, which may tell that a half is over
        if has_mail {
            self.handle_mail();
        }
    }

    #[inline(never)] // keeps a round without mail short
    fn handle_mail(&mut self) {
        let mut mail = mem::take(&mut self.mail);
        for letter in mail.drain(..) {
            let handler = match letter {
                Letter::Listed(handler) => handler,
                Letter::Plain(finished) => {
                    self.handle.run(|| finished.run_callback());
                    continue;
                }
            };
            mailbox::unlist(&*handler);
            self.guarded(handler, |handler, this| handler.on_mail(this));
        }
        self.mail = mail;
    }
}
