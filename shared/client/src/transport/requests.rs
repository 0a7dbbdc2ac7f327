//! Requests on an open socket and their replies, matched by [`RequestId`].
//!
//! Every request of the contract may be repeated, so a request whose outcome is unknown is simply made again.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use serde::Deserialize;
use tokio::sync::{mpsc, oneshot};
use waxwing_wire::{
    AccountId, ClientFrame, DeviceId, EnvelopeId, Problem, RequestId, ServiceFrame,
    ack::AckRequest,
    claim::{Bundles, ClaimRequest},
    ephemeral::{Ephemeral, EphemeralRequest},
    frame::RemovalReason,
    limits::MAX_MESSAGE_BYTES,
    link::LinkRequested,
    receive::{Page, ReceiveRequest},
    send::{MessageOutcome, Outcome, OutgoingMessage, SendRequest},
};

/// Requests remembered as those that the gateway failed, to find out if they were not: more than wait at once on a
/// connection. To an older one the reply has come long ago, or never will.
const MAX_BLAMED: usize = 64;

/// Why a request had no good reply.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RequestError {
    /// The connection is gone. Whether the request was carried out is unknown.
    #[error("the connection is gone")]
    Closed,
    /// No reply in time. Whether the request was carried out is unknown; so is whether the connection lives.
    #[error("no reply in time")]
    TimedOut,
    /// The gateway let in no more, for now; it does not say which request it refused. Whether this one was carried out is unknown.
    #[error("the gateway lets in no more requests for now")]
    Throttled,
    /// The gateway said that some request failed, not which. Whether this one was carried out is unknown.
    #[error("a request failed inside the service")]
    Unknown,
    /// The request does not fit one message.
    #[error("the request is too large")]
    TooLarge,
    /// The service refused.
    #[error("{0}")]
    Refused(Problem),
    /// The reply is one to another kind of request.
    #[error("the reply does not fit the request")]
    Mismatched,
}

/// A frame that is no reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// Envelopes that arrived.
    Delivery(Vec<waxwing_wire::Envelope>),
    /// The own pool of one-time prekeys runs low: so many are left.
    PrekeysLow(u32),
    /// An account's list of devices changed.
    DevicesChanged(AccountId),
    /// A device took up an offer of this one.
    LinkRequested(LinkRequested),
    /// Somebody stopped at the lock of the own account.
    RegistrationAttempted,
    /// A device says something for now alone.
    Ephemeral(Ephemeral),
    /// This device is not in its account any more.
    Removed(RemovalReason),
}

/// Makes requests on one connection. Cheap to clone; when the last is dropped the connection closes.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    outgoing: mpsc::Sender<String>,
    replies: Replies,
    timeout: Duration,
}

impl Link {
    /// A link that hands its frames to `outgoing` and finds its replies in `replies`.
    pub(crate) fn new(outgoing: mpsc::Sender<String>, replies: Replies, timeout: Duration) -> Self {
        Self {
            outgoing,
            replies,
            timeout,
        }
    }

    /// Puts messages into mailboxes. Gives one outcome for each, in their order.
    pub(crate) async fn send(&self, messages: Vec<OutgoingMessage>) -> Result<Vec<Outcome>, RequestError> {
        let ids: Vec<_> = messages.iter().map(|message| message.message).collect();
        let reply = self.request(|request| ClientFrame::Send(SendRequest { request, messages }));
        let ServiceFrame::Sent(sent) = reply.await? else {
            return Err(RequestError::Mismatched);
        };
        if !sent.outcomes.iter().map(|outcome| &outcome.message).eq(&ids) {
            return Err(RequestError::Mismatched);
        }
        let outcomes = sent.outcomes.into_iter();
        Ok(outcomes.map(|MessageOutcome { outcome, .. }| outcome).collect())
    }

    /// Deletes envelopes from the own mailbox.
    pub(crate) async fn ack(&self, ids: Vec<EnvelopeId>) -> Result<(), RequestError> {
        match self
            .request(|request| ClientFrame::Ack(AckRequest { request, ids }))
            .await?
        {
            ServiceFrame::Acked(_) => Ok(()),
            _ => Err(RequestError::Mismatched),
        }
    }

    /// Reads a page of the own mailbox.
    pub(crate) async fn receive(&self, after: Option<EnvelopeId>) -> Result<Page, RequestError> {
        match self
            .request(|request| ClientFrame::Receive(ReceiveRequest { request, after }))
            .await?
        {
            ServiceFrame::Page(page) => Ok(page),
            _ => Err(RequestError::Mismatched),
        }
    }

    /// Claims bundles of an account's devices.
    pub(crate) async fn claim(
        &self,
        account: AccountId,
        devices: Option<Vec<DeviceId>>,
    ) -> Result<Bundles, RequestError> {
        let reply = self.request(|request| {
            ClientFrame::Claim(ClaimRequest {
                request,
                account,
                devices,
            })
        });
        match reply.await? {
            ServiceFrame::Bundles(bundles) if bundles.account == account => Ok(bundles),
            _ => Err(RequestError::Mismatched),
        }
    }

    /// Says something for now alone, if there is room among what waits to be written: it may be lost anywhere, so here
    /// too, and holds up nothing.
    pub(crate) fn say(&self, request: EphemeralRequest) {
        if let Ok(text) = serde_json::to_string(&ClientFrame::Ephemeral(request)) {
            let _unless_there_is_no_room = self.outgoing.try_send(text);
        }
    }

    async fn request(
        &self,
        make: impl FnOnce(RequestId) -> ClientFrame,
    ) -> Result<ServiceFrame, RequestError> {
        let mut waiting = self.replies.expect()?;
        let frame = make(waiting.request);
        // Ids, numbers and base64 always serialise.
        let text = serde_json::to_string(&frame).map_err(|_| RequestError::Mismatched)?;
        if text.len() > MAX_MESSAGE_BYTES {
            return Err(RequestError::TooLarge);
        }
        let exchange = async {
            self.outgoing.send(text).await.map_err(|_| RequestError::Closed)?;
            (&mut waiting.reply).await.map_err(|_| RequestError::Closed)?
        };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(Ok(ServiceFrame::Error(refused))) => Err(RequestError::Refused(refused.problem)),
            Ok(reply) => reply,
            Err(_) => Err(RequestError::TimedOut),
        }
    }
}

/// The requests of one connection that wait for their replies.
#[derive(Clone, Debug, Default)]
pub(crate) struct Replies {
    table: Arc<Mutex<Table>>,
}

type Reply = Result<ServiceFrame, RequestError>;

#[derive(Debug, Default)]
struct Table {
    next: u32,
    closed: bool,
    waiting: BTreeMap<RequestId, oneshot::Sender<Reply>>,
    /// Requests taken for those that the gateway failed.
    blamed: BTreeMap<RequestId, Failure>,
}

/// The gateway failed some request.
#[derive(Clone, Debug)]
struct Failure {
    error: RequestError,
    /// The newest that it can have been.
    newest: Option<RequestId>,
}

impl Table {
    /// Takes the newest request that waits, of those that it can have been, for the one that the gateway failed.
    ///
    /// Whoever is blamed by mistake makes its request again, which changes nothing. If nobody is left, what failed was
    /// nobody's request, such as something said for now alone.
    fn blame(&mut self, failure: Failure) {
        let failed = match failure.newest {
            Some(newest) => self.waiting.range(..=newest).next_back(),
            None => self.waiting.last_key_value(),
        };
        let Some(failed) = failed.map(|(request, _)| *request) else {
            return;
        };
        if let Some(reply) = self.waiting.remove(&failed) {
            drop(reply.send(Err(failure.error.clone())));
        }
        let newest = Some(failure.newest.unwrap_or(failed));
        self.blamed.insert(failed, Failure { newest, ..failure });
        if self.blamed.len() > MAX_BLAMED {
            self.blamed.pop_first();
        }
    }
}

/// A request that waits. Dropping it forgets the request.
struct Waiting {
    request: RequestId,
    reply: oneshot::Receiver<Reply>,
    replies: Replies,
}

impl Replies {
    /// Takes a frame from the service. Gives back what is news.
    pub(crate) fn take(&self, frame: ServiceFrame) -> Option<News> {
        let request = match &frame {
            ServiceFrame::Delivery(_)
            | ServiceFrame::Ephemeral(_)
            | ServiceFrame::PrekeysLow(_)
            | ServiceFrame::DevicesChanged(_)
            | ServiceFrame::LinkRequested(_)
            | ServiceFrame::RegistrationAttempted(_)
            | ServiceFrame::Removed(_) => return news(frame),
            ServiceFrame::Sent(sent) => sent.request,
            ServiceFrame::Acked(acked) => acked.request,
            ServiceFrame::Page(page) => page.request,
            ServiceFrame::Bundles(bundles) => bundles.request,
            ServiceFrame::Error(refused) => match refused.request {
                Some(request) => request,
                None => {
                    self.refuse_unnamed(&refused.problem);
                    return None;
                }
            },
        };
        let mut table = self.lock();
        match table.waiting.remove(&request) {
            // A receiver that is gone has timed out.
            Some(waiting) => drop(waiting.send(Ok(frame))),
            None => match table.blamed.remove(&request) {
                Some(failure) => table.blame(failure),
                None => tracing::debug!(%request, "a reply nobody waits for"),
            },
        }
        None
    }

    /// Takes a text that is no frame of the service: API Gateway's own words when a function failed, timed
    /// out or was throttled. They name a request by an id that only API Gateway knows. One failed, so one is made again: the
    /// newest, because a refusal comes at once and a reply takes a while. If that one is answered after all, it was another.
    pub(crate) fn take_foreign(&self, text: &str) {
        match serde_json::from_str::<GatewayError>(text) {
            Ok(GatewayError { message, .. }) => self.lock().blame(Failure {
                error: match message == TOO_MANY {
                    true => RequestError::Throttled,
                    false => RequestError::Unknown,
                },
                newest: None,
            }),
            Err(_) => tracing::debug!(bytes = text.len(), "a frame this version does not know"),
        }
    }

    /// The connection is gone: nothing will be answered any more.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.fail_all(&RequestError::Closed);
    }

    /// A frame was refused that the service could not read as far as its id. If only one waits it is that;
    /// otherwise all are made again, until it is alone.
    fn refuse_unnamed(&self, problem: &Problem) {
        tracing::warn!(code = ?problem.code, "the service refused a frame it could not read");
        let alone = self.lock().waiting.len() == 1;
        self.fail_all(&if alone {
            RequestError::Refused(problem.clone())
        } else {
            RequestError::Unknown
        });
    }

    fn fail_all(&self, error: &RequestError) {
        let waiting = std::mem::take(&mut self.lock().waiting);
        for reply in waiting.into_values() {
            drop(reply.send(Err(error.clone())));
        }
    }

    fn expect(&self) -> Result<Waiting, RequestError> {
        let mut table = self.lock();
        if table.closed {
            return Err(RequestError::Closed);
        }
        let number = table.next;
        // 2³² requests take longer than a connection lives.
        table.next = number.wrapping_add(1);
        let request = RequestId::new(number.into()).map_err(|_| RequestError::Mismatched)?;
        let (sender, reply) = oneshot::channel();
        table.waiting.insert(request, sender);
        Ok(Waiting {
            request,
            reply,
            replies: self.clone(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.replies.lock().waiting.remove(&self.request);
    }
}

/// What API Gateway says when a throttle is used up.
const TOO_MANY: &str = "Too Many Requests";

/// `{"message": "Internal server error", "connectionId": "…", "requestId": "…"}`
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct GatewayError {
    message: String,
    #[serde(rename = "requestId")]
    _request_id: String,
}

fn news(frame: ServiceFrame) -> Option<News> {
    match frame {
        ServiceFrame::Delivery(delivery) => Some(News::Delivery(delivery.envelopes)),
        ServiceFrame::Ephemeral(ephemeral) => Some(News::Ephemeral(ephemeral)),
        ServiceFrame::PrekeysLow(low) => Some(News::PrekeysLow(low.remaining)),
        ServiceFrame::DevicesChanged(changed) => Some(News::DevicesChanged(changed.account)),
        ServiceFrame::LinkRequested(requested) => Some(News::LinkRequested(requested)),
        ServiceFrame::RegistrationAttempted(_) => Some(News::RegistrationAttempted),
        ServiceFrame::Removed(removed) => Some(News::Removed(removed.reason)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
    use waxwing_wire::{ErrorCode, ack::Acked, frame::Refused, receive::Page};

    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(5);

    fn link() -> (Link, Replies, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::channel(8);
        let replies = Replies::default();
        (Link::new(sender, replies.clone(), TIMEOUT), replies, receiver)
    }

    fn request_of(text: &str) -> RequestId {
        match ClientFrame::parse(text).unwrap() {
            ClientFrame::Receive(receive) => receive.request,
            ClientFrame::Ack(ack) => ack.request,
            other => panic!("{other:?}"),
        }
    }

    fn page(request: RequestId) -> ServiceFrame {
        ServiceFrame::Page(Page {
            request,
            envelopes: Vec::new(),
            more_after: None,
        })
    }

    #[tokio::test]
    async fn replies_find_their_requests_in_any_order() {
        let (link, replies, mut sent) = link();
        let ack = tokio::spawn({
            let link = link.clone();
            async move { link.ack(Vec::new()).await }
        });
        let first = request_of(&sent.recv().await.unwrap());
        let receive = tokio::spawn(async move { link.receive(None).await });
        let second = request_of(&sent.recv().await.unwrap());
        assert_ne!(first, second);
        assert_eq!(replies.take(page(second)), None);
        assert_eq!(replies.take(ServiceFrame::Acked(Acked { request: first })), None);
        assert!(receive.await.unwrap().is_ok());
        assert!(ack.await.unwrap().is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_without_a_reply_times_out_and_is_forgotten() {
        let (link, replies, _sent) = link();
        assert_eq!(link.receive(None).await, Err(RequestError::TimedOut));
        assert!(replies.lock().waiting.is_empty());
    }

    #[tokio::test]
    async fn a_refusal_reaches_the_request_it_names() {
        let (link, replies, mut sent) = link();
        let problem = Problem::new(ErrorCode::RateLimited, "Wait.");
        let refused = problem.clone();
        let answer = async {
            let request = Some(request_of(&sent.recv().await.unwrap()));
            replies.take(ServiceFrame::Error(Refused {
                request,
                problem: refused,
            }));
        };
        let (reply, ()) = tokio::join!(link.receive(None), answer);
        assert_eq!(reply, Err(RequestError::Refused(problem)));
    }

    #[tokio::test]
    async fn a_failure_inside_the_gateway_leaves_the_outcome_of_a_request_unknown() {
        let (link, replies, mut sent) = link();
        let answer = async {
            sent.recv().await.unwrap();
            replies.take_foreign(r#"{"type":"from_the_future"}"#);
            replies
                .take_foreign(r#"{"message":"Internal server error","connectionId":"a=","requestId":"b="}"#);
        };
        let (reply, ()) = tokio::join!(link.receive(None), answer);
        assert_eq!(reply, Err(RequestError::Unknown));
    }

    const REFUSAL: &str = r#"{"message": "Too Many Requests", "connectionId":"a=", "requestId":"b="}"#;

    /// The waiting requests of a connection, and whether each had a reply, is to be made again, or still waits.
    fn state_of(waiting: &mut Waiting) -> Option<bool> {
        waiting.reply.try_recv().ok().map(|reply| match reply {
            Ok(_) => true,
            Err(error) => {
                assert_eq!(error, RequestError::Throttled);
                false
            }
        })
    }

    #[test]
    fn one_refusal_of_the_gateway_fails_one_request_and_no_other() {
        let replies = Replies::default();
        let [mut first, mut second, mut third] = [(); 3].map(|()| replies.expect().unwrap());
        replies.take_foreign(REFUSAL);
        assert_eq!(
            [&mut first, &mut second, &mut third].map(state_of),
            [None, None, Some(false)]
        );
        replies.take(page(first.request));
        replies.take(page(second.request));
        assert_eq!([first, second].each_mut().map(state_of), [Some(true), Some(true)]);
    }

    #[test]
    fn who_is_answered_after_all_was_blamed_for_another_and_that_one_is_made_again() {
        let replies = Replies::default();
        let [mut refused, mut blamed] = [(); 2].map(|()| replies.expect().unwrap());
        replies.take_foreign(REFUSAL);
        assert_eq!([&mut refused, &mut blamed].map(state_of), [None, Some(false)]);
        let mut later = replies.expect().unwrap();
        replies.take(page(blamed.request));
        // Made after the refusal, it cannot be what was refused.
        assert_eq!([&mut refused, &mut later].map(state_of), [Some(false), None]);
        // Nor can anything be if what was refused is nobody's request.
        replies.take(page(refused.request));
        replies.take(page(later.request));
        assert_eq!(state_of(&mut later), Some(true));
    }

    /// Whichever fail and in whatever order it is told: nobody waits for ever, and who is not to be made again was answered.
    #[test]
    fn in_any_order_of_replies_and_refusals_no_request_is_left_waiting() {
        let mut rng = StdRng::seed_from_u64(1);
        for _ in 0..500 {
            let replies = Replies::default();
            let mut requests: Vec<_> = (0..8).map(|_| replies.expect().unwrap()).collect();
            let mut told: Vec<_> = requests
                .iter()
                .map(|made| rng.random_bool(0.6).then_some(made.request))
                .collect();
            told.shuffle(&mut rng);
            for answered in &told {
                match answered {
                    Some(request) => drop(replies.take(page(*request))),
                    None => replies.take_foreign(REFUSAL),
                }
            }
            for made in &mut requests {
                let state = state_of(made);
                assert!(state.is_some(), "{told:?}");
                assert!(state == Some(false) || told.contains(&Some(made.request)));
            }
        }
    }

    #[test]
    fn no_more_requests_are_remembered_as_failed_than_can_matter() {
        let replies = Replies::default();
        for _ in 0..3 * MAX_BLAMED {
            let _waiting = replies.expect().unwrap();
            replies.take_foreign(REFUSAL);
        }
        assert_eq!(replies.lock().blamed.len(), MAX_BLAMED);
    }

    #[tokio::test]
    async fn nothing_waits_on_a_closed_connection() {
        let (link, replies, mut sent) = link();
        let close = async {
            sent.recv().await.unwrap();
            replies.close();
        };
        let (reply, ()) = tokio::join!(link.receive(None), close);
        assert_eq!(reply, Err(RequestError::Closed));
        assert_eq!(link.receive(None).await, Err(RequestError::Closed));
    }
}
