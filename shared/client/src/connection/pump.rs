//! Outbox → socket → *accepted*.
//!
//! Several messages are under way at once, and those that are ready together share a frame; the recipient restores
//! their order. Before a message leaves, whatever is missing about its recipients is learned: lists of devices,
//! bundles, sessions.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use futures_util::{
    FutureExt, StreamExt,
    future::{BoxFuture, Either},
    stream::FuturesUnordered,
};
use waxwing_wire::{
    AccountId, ErrorCode,
    send::{AccountMismatch, Outcome},
};

use super::{
    drain::failed,
    learn::{LearnError, learn},
    pace::{Left, Pace},
    retry_after,
};
use crate::{
    clock,
    events::{DisconnectReason, FailureReason},
    frames::{Packing, frames},
    outbox::{self, Outgoing},
    sessions::Me,
    shared::Shared,
    store::outbox::EntryId,
    transport::{
        backoff::Backoff,
        requests::{Link, RequestError},
    },
    under_way::UnderWay,
};

/// Times a message is sent again at once because a list of devices had changed. Lists change rarely; more
/// than this in a row is a fault somewhere, and waits.
const PROMPT_CORRECTIONS: u32 = 3;

/// Times a message is sent again for that reason at all; over some minutes, by the longest backoff. Who runs the
/// service could else stop a conversation for ever without a word, by a device that its owner did not sign.
const MAX_CORRECTIONS: u32 = 16;

/// Times that the gateway says of a message's frame that something failed until the message itself may be why. Before, the next
/// probe takes it along again: so the failure says as the throttle does that there is no room for now.
const FAILURES_OF_OTHERS: u32 = 3;

/// Empties the outbox, until the connection is of no use any more.
pub(super) async fn run(shared: &Shared, me: &Arc<Me>, link: &Link) -> DisconnectReason {
    let mut pump = Pump {
        shared,
        me,
        link,
        jobs: FuturesUnordered::new(),
        under_way: UnderWay::default(),
        pace: Pace::new(&shared.timings),
        tries: BTreeMap::new(),
        gathering: false,
        receipt_at: None,
    };
    loop {
        if let Err(reason) = pump.step().await {
            return reason;
        }
    }
}

struct Pump<'a> {
    shared: &'a Shared,
    me: &'a Arc<Me>,
    link: &'a Link,
    jobs: FuturesUnordered<BoxFuture<'a, Done>>,
    under_way: UnderWay,
    /// How many frames may leave.
    pace: Pace,
    tries: BTreeMap<EntryId, Tries>,
    /// Whether new messages wait for company.
    gathering: bool,
    /// When the pump wakes up for a receipt.
    receipt_at: Option<u64>,
}

/// What was tried for one message.
struct Tries {
    corrections: u32,
    /// How often the gateway failed its frame, for whatever reason.
    failures: u32,
    backoff: Backoff,
}

/// A job that is done.
enum Done {
    Sent(Left, Vec<Outgoing>, Result<Vec<Outcome>, RequestError>),
    /// The connection rested after a refusal.
    Paused,
    Gathered,
    /// A receipt is due.
    Due,
    /// A message rested.
    Rested(EntryId),
    Learned(AccountId, Result<(), LearnError>),
}

impl<'a> Pump<'a> {
    /// Starts what can be started and takes what is done.
    async fn step(&mut self) -> Result<(), DisconnectReason> {
        if !self.gathering && self.pace.room() > 0 {
            self.start().await?;
        }
        let next = match self.jobs.is_empty() {
            true => Either::Left(std::future::pending()),
            false => Either::Right(self.jobs.next()),
        };
        let mut done = tokio::select! {
            done = next => done,
            () = self.shared.outbox_grew.notified() => {
                self.gather();
                None
            }
        };
        while let Some(job) = done {
            self.take(job).await?;
            done = self.jobs.next().now_or_never().flatten();
        }
        Ok(())
    }

    /// New messages wait a moment for company, if the app wants that.
    fn gather(&mut self) {
        let linger = self.shared.timings.send_linger;
        if !linger.is_zero() && !self.gathering {
            self.gathering = true;
            self.jobs
                .push(tokio::time::sleep(linger).map(|()| Done::Gathered).boxed());
        }
    }

    async fn start(&mut self) -> Result<(), DisconnectReason> {
        let (me, under_way) = (self.me.clone(), self.under_way.clone());
        let room = Packing::up_to(self.pace.room());
        let preparing = self.shared.store.write(move |tx| {
            let (rng, now) = (&mut clock::rng(), clock::now_millis());
            outbox::prepare(tx, rng, &me, under_way, room, now)
        });
        let prepared = preparing.await.map_err(failed)?;
        if let Some(due) = prepared.next_receipt {
            self.wake_at(due);
        }
        // The transaction is committed: from here on bytes may leave.
        for frame in frames(prepared.outgoing) {
            for outgoing in &frame {
                self.under_way.leave(outgoing.recipient, outgoing.entry);
            }
            let (link, left) = (self.link, self.pace.leave());
            let job = async move {
                let messages = frame.iter().map(|outgoing| outgoing.message.clone()).collect();
                let reply = link.send(messages).await;
                Done::Sent(left, frame, reply)
            };
            self.jobs.push(job.boxed());
        }
        for account in prepared.learn {
            self.under_way.block(account);
            let (shared, me, link) = (self.shared, self.me, self.link);
            let job = async move { Done::Learned(account, learn(shared, me, link, account).await) };
            self.jobs.push(job.boxed());
        }
        Ok(())
    }

    /// Wakes up when a receipt is due, unless that happens earlier anyway.
    fn wake_at(&mut self, due: u64) {
        if self.receipt_at.is_none_or(|at| due < at) {
            self.receipt_at = Some(due);
            let wait = Duration::from_millis(due.saturating_sub(clock::now_millis()));
            self.jobs
                .push(tokio::time::sleep(wait).map(|()| Done::Due).boxed());
        }
    }

    async fn take(&mut self, done: Done) -> Result<(), DisconnectReason> {
        match done {
            Done::Rested(entry) => self.under_way.release(entry),
            Done::Paused => self.pace.rested(),
            Done::Gathered => self.gathering = false,
            Done::Due => self.receipt_at = None,
            Done::Sent(left, frame, Ok(outcomes)) => {
                self.pace.answered(left);
                for (sent, outcome) in frame.into_iter().zip(outcomes) {
                    self.answered(sent, outcome).await?;
                }
            }
            Done::Sent(left, frame, Err(error)) => {
                match error {
                    RequestError::Unknown if self.are_why(&frame) => self.pace.returned(),
                    RequestError::Throttled | RequestError::Unknown => self.slow_down(left),
                    _ => self.pace.answered(left),
                }
                for sent in frame {
                    self.not_sent(&sent, error.clone()).await?;
                }
            }
            Done::Learned(account, result) => {
                self.under_way.unblock(account);
                self.learned(account, result).await?;
            }
        }
        Ok(())
    }

    async fn answered(&mut self, sent: Outgoing, outcome: Outcome) -> Result<(), DisconnectReason> {
        match outcome {
            Outcome::Accepted => self.accepted(sent).await,
            Outcome::Mismatch { accounts } => self.mismatched(&sent, accounts).await,
            Outcome::Refused(problem) => self.not_sent(&sent, RequestError::Refused(problem)).await,
        }
    }

    async fn mismatched(
        &mut self,
        sent: &Outgoing,
        accounts: Vec<AccountMismatch>,
    ) -> Result<(), DisconnectReason> {
        let corrected = self.shared.store.write(move |tx| outbox::mismatch(tx, &accounts));
        corrected.await.map_err(failed)?;
        let tries = self.tries(sent.entry);
        tries.corrections += 1;
        match after(tries.corrections) {
            AfterCorrection::AtOnce => self.under_way.release(sent.entry),
            AfterCorrection::Rest => self.rest(sent.entry, Duration::ZERO),
            AfterCorrection::GiveUp => self.give_up(sent, FailureReason::DevicesDisagree).await?,
        }
        Ok(())
    }

    async fn accepted(&mut self, sent: Outgoing) -> Result<(), DisconnectReason> {
        let (entry, recipient) = (sent.entry, sent.recipient);
        // If a loss of power undoes this, the same bytes are sent and accepted once more.
        let accepted = self.shared.apply_lightly(move |tx| outbox::accepted(tx, &sent));
        let complete = accepted.await.map_err(failed)?;
        if complete {
            self.under_way.finish(recipient, entry);
            self.tries.remove(&entry);
        } else {
            self.under_way.release(entry);
        }
        Ok(())
    }

    async fn not_sent(&mut self, sent: &Outgoing, error: RequestError) -> Result<(), DisconnectReason> {
        let entry = sent.entry;
        let reason = match error {
            RequestError::Closed => return Err(DisconnectReason::Broken),
            RequestError::TimedOut => return Err(DisconnectReason::TimedOut),
            RequestError::Throttled => {
                self.under_way.release(entry);
                return Ok(());
            }
            RequestError::Unknown => {
                self.failed_once_more(entry);
                return Ok(());
            }
            RequestError::Mismatched => {
                self.rest(entry, Duration::ZERO);
                return Ok(());
            }
            RequestError::Refused(problem) if problem.retryable => {
                self.rest(entry, retry_after(&problem));
                return Ok(());
            }
            RequestError::Refused(problem) => match problem.code {
                ErrorCode::Unauthorized => return Err(DisconnectReason::Unauthorized),
                ErrorCode::UnknownAccount => FailureReason::UnknownAccount,
                code => FailureReason::Refused(code),
            },
            RequestError::TooLarge => FailureReason::Refused(ErrorCode::TooLarge),
        };
        self.give_up(sent, reason).await
    }

    /// This message will not be sent; those behind it may be.
    async fn give_up(&mut self, sent: &Outgoing, reason: FailureReason) -> Result<(), DisconnectReason> {
        let entry = sent.entry;
        let given_up = self.shared.apply(move |tx| outbox::fail(tx, entry, reason));
        given_up.await.map_err(failed)?;
        self.under_way.finish(sent.recipient, entry);
        self.tries.remove(&entry);
        Ok(())
    }

    async fn learned(
        &mut self,
        account: AccountId,
        result: Result<(), LearnError>,
    ) -> Result<(), DisconnectReason> {
        let reason = match result {
            Ok(()) => return Ok(()),
            Err(LearnError::Disconnect(reason)) => return Err(reason),
            Err(LearnError::UnknownAccount) => FailureReason::UnknownAccount,
            Err(LearnError::InvalidKeys) => FailureReason::InvalidKeys,
        };
        self.under_way.forget(account);
        let given_up = self
            .shared
            .apply(move |tx| outbox::fail_all_to(tx, account, reason));
        given_up.await.map_err(failed)
    }

    /// The gateway refused a frame.
    fn slow_down(&mut self, left: Left) {
        if let Some(rest) = self.pace.refused(left, &mut clock::rng()) {
            tracing::debug!(?rest, "the gateway refused a frame");
            self.jobs
                .push(tokio::time::sleep(rest).map(|()| Done::Paused).boxed());
        }
    }

    /// Whether a frame failed for its messages: each was in so many that failed. They rest, and not the connection.
    fn are_why(&self, frame: &[Outgoing]) -> bool {
        let failures = |sent: &Outgoing| self.tries.get(&sent.entry).map_or(0, |tries| tries.failures);
        frame.iter().all(|sent| failures(sent) >= FAILURES_OF_OTHERS)
    }

    /// The gateway says that something failed. A message which that happens to time and again rests by itself, so that it stands
    /// in the way of none.
    fn failed_once_more(&mut self, entry: EntryId) {
        let tries = self.tries(entry);
        tries.failures += 1;
        if tries.failures < FAILURES_OF_OTHERS {
            self.under_way.release(entry);
        } else {
            self.rest(entry, Duration::ZERO);
        }
    }

    /// Lets a message wait before its next try.
    fn rest(&mut self, entry: EntryId, at_least: Duration) {
        let wait = self.tries(entry).backoff.next(&mut clock::rng()).max(at_least);
        self.jobs.push(
            tokio::time::sleep(wait)
                .map(move |()| Done::Rested(entry))
                .boxed(),
        );
    }

    fn tries(&mut self, entry: EntryId) -> &mut Tries {
        let timings = &self.shared.timings;
        self.tries.entry(entry).or_insert_with(|| Tries {
            corrections: 0,
            failures: 0,
            backoff: Backoff::new(timings.backoff_first, timings.backoff_longest),
        })
    }
}

/// What becomes of a message whose devices were not what the service has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AfterCorrection {
    AtOnce,
    Rest,
    GiveUp,
}

/// What becomes of a message after so many corrections.
fn after(corrections: u32) -> AfterCorrection {
    if corrections <= PROMPT_CORRECTIONS {
        AfterCorrection::AtOnce
    } else if corrections < MAX_CORRECTIONS {
        AfterCorrection::Rest
    } else {
        AfterCorrection::GiveUp
    }
}

#[cfg(test)]
mod tests;
