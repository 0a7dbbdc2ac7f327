//! `receive`: the next page of the own mailbox, oldest first.
//!
//! Reads only, so it may run any number of times. A page is cut where it would outgrow a WebSocket message, and
//! a read asks only for about as many items as still fit: DynamoDB bills what it reads, not what is used.

use waxwing_wire::{
    Envelope, EnvelopeId, Problem, RegisteredDevice,
    limits::{MAX_ENVELOPES_PER_PAGE, MAX_PAGE_CIPHERTEXT_BYTES},
    receive::{Page, ReceiveRequest},
};

use crate::{Backend, fault::Fault, tables::mailbox::Slice};

/// Items of the first read, when nothing is known about their size: the whole of most mailboxes.
const FIRST_READ_ITEMS: usize = 10;

/// Reads for one page. Where so many expired items lie in the way, the page ends early and the client asks on.
const MAX_READS_PER_PAGE: usize = 8;

/// Why a page could not be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<ReceiveError> for Problem {
    fn from(ReceiveError::Fault(fault): ReceiveError) -> Self {
        fault.into()
    }
}

/// The next page of the device's own mailbox.
///
/// # Errors
/// [`ReceiveError`].
pub async fn receive(
    backend: &Backend,
    device: RegisteredDevice,
    request: ReceiveRequest,
) -> Result<Page, ReceiveError> {
    let now = backend.clock.now();
    let mut page = Draft::after(request.after);
    for _ in 0..MAX_READS_PER_PAGE {
        let slice = backend
            .mailbox
            .read_alive(device, page.read_on_after, page.next_read_items(), now)
            .await?;
        if page.add(slice) == Draft::COMPLETE {
            break;
        }
    }
    Ok(Page {
        request: request.request,
        envelopes: page.envelopes,
        more_after: page.read_on_after,
    })
}

/// A page that is being filled.
struct Draft {
    envelopes: Vec<Envelope>,
    ciphertext_bytes: usize,
    reads: usize,
    read_on_after: Option<EnvelopeId>,
}

impl Draft {
    const COMPLETE: bool = true;

    fn after(id: Option<EnvelopeId>) -> Self {
        Self {
            envelopes: Vec::new(),
            ciphertext_bytes: 0,
            reads: 0,
            read_on_after: id,
        }
    }

    /// As many items as would fill the page if they are like those it has.
    fn next_read_items(&self) -> usize {
        if self.reads == 0 {
            return FIRST_READ_ITEMS;
        }
        let by_count = MAX_ENVELOPES_PER_PAGE.saturating_sub(self.envelopes.len());
        let bytes_left = MAX_PAGE_CIPHERTEXT_BYTES.saturating_sub(self.ciphertext_bytes);
        let mean_bytes = self.ciphertext_bytes.checked_div(self.envelopes.len());
        let by_bytes = mean_bytes.and_then(|mean| bytes_left.checked_div(mean));
        by_bytes.unwrap_or(by_count).clamp(1, by_count.max(1))
    }

    /// Adds what fits and says whether the page is complete.
    fn add(&mut self, slice: Slice) -> bool {
        self.reads += 1;
        for envelope in slice.envelopes {
            let bytes = self.ciphertext_bytes + envelope.ciphertext.as_bytes().len();
            if self.envelopes.len() == MAX_ENVELOPES_PER_PAGE || bytes > MAX_PAGE_CIPHERTEXT_BYTES {
                self.read_on_after = self.envelopes.last().map(|last| last.id);
                return Self::COMPLETE;
            }
            self.ciphertext_bytes = bytes;
            self.envelopes.push(envelope);
        }
        self.read_on_after = slice.read_on_after;
        self.read_on_after.is_none() || self.envelopes.len() == MAX_ENVELOPES_PER_PAGE
    }
}

#[cfg(test)]
mod tests {
    use rand::{SeedableRng, rngs::StdRng};
    use waxwing_wire::{
        AccountId, Ciphertext, DeviceAddress, DeviceId, MessageId, RequestId, ServiceFrame,
        limits::{MAX_CIPHERTEXT_BYTES, MAX_MESSAGE_BYTES},
    };

    use super::*;

    fn envelope(number: u64, bytes: usize) -> Envelope {
        let mut rng = StdRng::seed_from_u64(number);
        let from = DeviceAddress {
            account: AccountId::random(&mut rng),
            device: DeviceId::MIN,
        };
        Envelope {
            id: EnvelopeId {
                message: MessageId::new(number, &mut rng),
                from,
            },
            ciphertext: Ciphertext::from_vec(vec![7; bytes]).unwrap(),
        }
    }

    fn slice(numbers: std::ops::Range<u64>, bytes: usize, more: bool) -> Slice {
        let envelopes: Vec<_> = numbers.map(|number| envelope(number, bytes)).collect();
        let read_on_after = envelopes.last().filter(|_| more).map(|last| last.id);
        Slice {
            envelopes,
            read_on_after,
        }
    }

    #[test]
    fn a_page_is_complete_when_the_mailbox_has_no_more() {
        let mut page = Draft::after(None);
        assert!(page.add(slice(0..3, 100, false)));
        assert_eq!((page.envelopes.len(), page.read_on_after), (3, None));
    }

    #[test]
    fn x82_a_page_goes_on_after_the_last_envelope_that_fits() {
        let mut page = Draft::after(None);
        assert!(page.add(slice(0..10, MAX_CIPHERTEXT_BYTES, false)));
        let fitting = MAX_PAGE_CIPHERTEXT_BYTES / MAX_CIPHERTEXT_BYTES;
        assert_eq!(page.envelopes.len(), fitting);
        assert_eq!(page.read_on_after, Some(page.envelopes[fitting - 1].id));
    }

    #[test]
    fn a_page_holds_no_more_envelopes_than_one_ack_can_name() {
        let mut page = Draft::after(None);
        assert!(page.add(slice(0..101, 16, false)));
        assert_eq!(page.envelopes.len(), MAX_ENVELOPES_PER_PAGE);
        assert_eq!(page.read_on_after, Some(page.envelopes[99].id));
    }

    #[test]
    fn x82_the_largest_page_fits_one_websocket_message() {
        let bytes = MAX_PAGE_CIPHERTEXT_BYTES / MAX_ENVELOPES_PER_PAGE;
        let mut page = Draft::after(None);
        page.add(slice(0..100, bytes, true));
        assert_eq!(page.envelopes.len(), MAX_ENVELOPES_PER_PAGE);
        let frame = ServiceFrame::Page(Page {
            request: RequestId::MAX,
            envelopes: page.envelopes,
            more_after: page.read_on_after,
        });
        let length = serde_json::to_string(&frame).unwrap().len();
        assert!(length <= MAX_MESSAGE_BYTES, "{length}");
    }

    /// I12: a page of nothing but expired items says where to go on, so that what is alive behind is found.
    #[test]
    fn expired_items_in_the_way_move_the_page_on() {
        let mut page = Draft::after(None);
        let last = envelope(9, 16).id;
        assert!(!page.add(Slice {
            envelopes: Vec::new(),
            read_on_after: Some(last)
        }));
        assert_eq!(page.read_on_after, Some(last));
        assert_eq!(page.next_read_items(), MAX_ENVELOPES_PER_PAGE);
    }

    #[test]
    fn later_reads_ask_for_about_as_much_as_still_fits() {
        let mut large = Draft::after(None);
        large.add(slice(0..4, MAX_CIPHERTEXT_BYTES, true));
        assert_eq!(large.next_read_items(), 1);
        let mut small = Draft::after(None);
        small.add(slice(0..10, 1024, true));
        assert_eq!(small.next_read_items(), 62);
        let mut tiny = Draft::after(None);
        tiny.add(slice(0..10, 16, true));
        assert_eq!(tiny.next_read_items(), 90);
    }
}
