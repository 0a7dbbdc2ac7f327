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
pub(crate) fn frames(outgoing: Vec<Outgoing>) -> Vec<Vec<Outgoing>> {
    let mut frames: Vec<Vec<Outgoing>> = Vec::new();
    let mut packing = Packing::up_to(usize::MAX);
    for outgoing in outgoing {
        match (packing.place(&outgoing.message), frames.last_mut()) {
            (Some(Place::SameFrame), Some(frame)) => frame.push(outgoing),
            _ => frames.push(vec![outgoing]),
        }
    }
    frames
}

/// Fills one frame after the other, so many at most.
#[derive(Clone, Debug)]
pub(crate) struct Packing {
    /// Frames that may still be begun.
    room: usize,
    messages: usize,
    envelopes: usize,
    bytes: usize,
}

/// Where a message has its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// In the frame of the message before it.
    SameFrame,
    /// In the next frame, as its first.
    NextFrame,
}

impl Packing {
    pub(crate) fn up_to(frames: usize) -> Self {
        Self {
            room: frames,
            // As if a frame before were full.
            messages: MAX_MESSAGES_PER_SEND,
            envelopes: 0,
            bytes: 0,
        }
    }

    /// Gives a message its place, unless all frames are full.
    pub(crate) fn place(&mut self, message: &OutgoingMessage) -> Option<Place> {
        let place = if self.fits(message) {
            Place::SameFrame
        } else {
            self.room = self.room.checked_sub(1)?;
            (self.messages, self.envelopes, self.bytes) = (0, 0, FRAME_BYTES);
            Place::NextFrame
        };
        self.messages += 1;
        self.envelopes += envelopes(message);
        self.bytes += bytes(message);
        Some(place)
    }

    fn fits(&self, message: &OutgoingMessage) -> bool {
        self.messages < MAX_MESSAGES_PER_SEND
            && self.envelopes + envelopes(message) <= MAX_ENVELOPES_PER_SEND
            && self.bytes + bytes(message) <= MAX_MESSAGE_BYTES
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
            prop_assert_eq!(frames.concat(), messages.clone());
            for room in 0..=frames.len() {
                let mut packing = Packing::up_to(room);
                let placed = messages.iter().take_while(|outgoing| packing.place(&outgoing.message).is_some());
                prop_assert_eq!(placed.count(), frames[..room].iter().map(Vec::len).sum::<usize>());
            }
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
