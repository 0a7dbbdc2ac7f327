//! Frames, in both directions.

use waxwing_wire::{
    ClientFrame, ErrorCode, Problem, ServiceFrame,
    limits::{MAX_ACCOUNTS_PER_SEND, MAX_ENVELOPES_PER_SEND, MAX_IDS_PER_ACK, MAX_MESSAGES_PER_SEND},
};

use crate::{keeps_its_form, repeats_nothing};

/// Characters of the longest sentence of a refusal.
const MAX_SENTENCE_CHARS: usize = 200;

/// A frame from a client: a typed refusal that repeats nothing, or a frame with one form. One that its verb's bounds let
/// through is within them.
pub fn client_frame(data: &[u8]) -> bool {
    let Ok(text) = str::from_utf8(data) else {
        return false;
    };
    let frame = match ClientFrame::parse(text) {
        Ok(frame) => frame,
        Err(problem) => {
            assert_eq!(problem.code, ErrorCode::Malformed);
            refuses_well(&problem, text);
            return false;
        }
    };
    keeps_its_form(&frame);
    let checked = match &frame {
        ClientFrame::Send(send) => send.check(),
        ClientFrame::Ack(ack) => ack.check(),
        ClientFrame::Claim(claim) => claim.check(),
        ClientFrame::Ephemeral(ephemeral) => ephemeral.check(),
        // Whatever has no bounds, or a verb that is new here.
        _ => Ok(()),
    };
    match checked {
        Ok(()) => is_bounded(&frame),
        Err(problem) => refuses_well(&problem, text),
    }
    true
}

fn is_bounded(frame: &ClientFrame) {
    match frame {
        ClientFrame::Send(send) => {
            assert!((1..=MAX_MESSAGES_PER_SEND).contains(&send.messages.len()));
            let recipients = || send.messages.iter().flat_map(|message| &message.recipients);
            let envelopes: usize = recipients().map(|recipient| recipient.devices.len()).sum();
            assert!(envelopes <= MAX_ENVELOPES_PER_SEND);
            for message in &send.messages {
                assert!(message.recipients.len() <= MAX_ACCOUNTS_PER_SEND);
            }
        }
        ClientFrame::Ack(ack) => assert!((1..=MAX_IDS_PER_ACK).contains(&ack.ids.len())),
        _ => {}
    }
}

pub(crate) fn refuses_well(problem: &Problem, came: &str) {
    assert!(problem.message.len() <= MAX_SENTENCE_CHARS, "{}", problem.message);
    repeats_nothing(&problem.message, came);
    keeps_its_form(problem);
}

/// A frame from the service, which a client reads: one form for each.
pub fn service_frame(data: &[u8]) -> bool {
    let Ok(frame) = serde_json::from_slice::<ServiceFrame>(data) else {
        return false;
    };
    keeps_its_form(&frame);
    true
}
