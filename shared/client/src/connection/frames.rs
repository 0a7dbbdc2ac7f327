//! Which messages leave together: as many as one frame of the contract takes.

use waxwing_wire::{
    limits::{MAX_ENVELOPES_PER_SEND, MAX_MESSAGE_BYTES, MAX_MESSAGES_PER_SEND},
    send::OutgoingMessage,
};

use crate::outbox::Outgoing;

/// Bytes of a frame without its messages, at most: `{"action":"send","request":4294967295,"messages":[]}`.
const FRAME_BYTES: usize = 64;

/// Bytes of a message without its recipients, at most.
const MESSAGE_BYTES: usize = 80;

/// Bytes of a recipient without its devices, at most.
const RECIPIENT_BYTES: usize = 88;

/// Bytes of a device without its ciphertext, at most.
const DEVICE_BYTES: usize = 64;

/// Splits messages into frames, in their order.
pub(super) fn frames(outgoing: Vec<Outgoing>) -> Vec<Vec<Outgoing>> {
    let mut frames: Vec<Frame> = Vec::new();
    for outgoing in outgoing {
        match frames.last_mut() {
            Some(frame) if frame.takes(&outgoing.message) => frame.push(outgoing),
            _ => frames.push(Frame::of(outgoing)),
        }
    }
    frames.into_iter().map(|frame| frame.messages).collect()
}

struct Frame {
    messages: Vec<Outgoing>,
    envelopes: usize,
    bytes: usize,
}

impl Frame {
    fn of(first: Outgoing) -> Self {
        let mut frame = Self {
            messages: Vec::new(),
            envelopes: 0,
            bytes: FRAME_BYTES,
        };
        frame.push(first);
        frame
    }

    fn takes(&self, message: &OutgoingMessage) -> bool {
        self.messages.len() < MAX_MESSAGES_PER_SEND
            && self.envelopes + envelopes(message) <= MAX_ENVELOPES_PER_SEND
            && self.bytes + bytes(message) <= MAX_MESSAGE_BYTES
    }

    fn push(&mut self, outgoing: Outgoing) {
        self.envelopes += envelopes(&outgoing.message);
        self.bytes += bytes(&outgoing.message);
        self.messages.push(outgoing);
    }
}

fn envelopes(message: &OutgoingMessage) -> usize {
    message
        .recipients
        .iter()
        .map(|recipient| recipient.devices.len())
        .sum()
}

/// Bytes of the message as JSON, at most.
fn bytes(message: &OutgoingMessage) -> usize {
    let devices = message.recipients.iter().flat_map(|recipient| &recipient.devices);
    let devices: usize = devices
        .map(|device| DEVICE_BYTES + device.ciphertext.as_bytes().len().div_ceil(3) * 4)
        .sum();
    MESSAGE_BYTES + message.recipients.len() * RECIPIENT_BYTES + devices
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use waxwing_wire::{
        Ciphertext, ClientFrame, DeviceId, MessageId, RegistrationId, RequestId,
        limits::{MAX_CIPHERTEXT_BYTES, MIN_CIPHERTEXT_BYTES},
        send::{Recipient, RecipientDevice, SendRequest},
    };

    use super::*;
    use crate::{store::outbox::EntryId, testing::account};

    fn outgoing(number: usize, sizes: &[usize]) -> Outgoing {
        let devices = (100..).zip(sizes).map(|(device, bytes)| RecipientDevice {
            device: DeviceId::new(device).unwrap(),
            registration: RegistrationId::MAX,
            ciphertext: Ciphertext::from_vec(vec![7; *bytes]).unwrap(),
        });
        let mut rng: rand::rngs::StdRng = rand::SeedableRng::seed_from_u64(number as u64);
        Outgoing {
            entry: EntryId::from_row(number as i64),
            recipient: account(1),
            message: OutgoingMessage {
                message: MessageId::new(number as u64, &mut rng),
                recipients: vec![Recipient {
                    account: account(1),
                    devices: devices.collect(),
                    urgent: false,
                }],
            },
        }
    }

    proptest! {
        #[test]
        fn every_frame_keeps_the_bounds_and_every_message_leaves_once_in_order(
            sizes in prop::collection::vec(
                prop::collection::vec(MIN_CIPHERTEXT_BYTES..=MAX_CIPHERTEXT_BYTES, 0..6),
                0..40,
            ),
        ) {
            let messages: Vec<_> = sizes.iter().enumerate().map(|(number, sizes)| outgoing(number, sizes)).collect();
            let frames = frames(messages.clone());
            for frame in &frames {
                let messages = frame.iter().map(|outgoing| outgoing.message.clone()).collect();
                let request = SendRequest { request: RequestId::MAX, messages };
                prop_assert!(request.check().is_ok());
                let text = serde_json::to_string(&ClientFrame::Send(request)).unwrap();
                prop_assert!(text.len() <= MAX_MESSAGE_BYTES);
            }
            prop_assert_eq!(frames.concat(), messages);
        }
    }

    #[test]
    fn short_messages_share_a_frame_up_to_its_bound() {
        let messages: Vec<_> = (0..=MAX_MESSAGES_PER_SEND)
            .map(|number| outgoing(number, &[100]))
            .collect();
        let sizes: Vec<_> = frames(messages).iter().map(Vec::len).collect();
        assert_eq!(sizes, [MAX_MESSAGES_PER_SEND, 1]);
    }
}
