//! A body of every kind that is not for people to read.

use serde_json::{Value, json};

use super::hex;
use crate::content::{
    Again, AskAgain, AskFor, Body, Chunk, History, HistoryMatter, MessageName, PastMessage, PastState,
    Person, ReadState, Receipt, ResetReason, Stage, Wish,
};

const CONVERSATION: [u8; 16] = [0x33; 16];
const MESSAGE: [u8; 16] = [0x44; 16];
const HISTORY: [u8; 16] = [0x55; 16];
const SENT_AT: u64 = 1_700_000_000_123;

/// Each with its fields, and kind and body as they are encoded.
pub(super) fn bodies() -> Value {
    let with = |fields: Value, body: Body| {
        let mut row = fields;
        row["encoded"] = json!(hex(&body.to_bytes()));
        row
    };
    let name = MessageName {
        device: 2,
        message: MESSAGE,
    };
    let named = json!({ "device": 2, "message": hex(&MESSAGE) });
    let again = |text: Option<&str>| {
        let body = Body::Again(Again {
            sequence: 7,
            message: MESSAGE,
            sent_at_millis: SENT_AT,
            conversation: CONVERSATION,
            text: text.map(str::to_owned),
        });
        let fields = json!({
            "kind": 8, "sequence": 7, "message": hex(&MESSAGE), "sent_at_millis": SENT_AT,
            "conversation": hex(&CONVERSATION), "text": text,
        });
        with(fields, body)
    };
    let history = |matter| {
        Body::History(History {
            history: HISTORY,
            matter,
        })
    };
    let taken = |wish, byte: u8| {
        let fields = json!({ "kind": 7, "matter": 2, "history": hex(&HISTORY), "next": 3, "wish": byte });
        with(fields, history(HistoryMatter::Taken { next: 3, wish }))
    };
    json!([
        with(
            json!({ "kind": 2, "reason": 2 }),
            Body::Reset(ResetReason::Overdue)
        ),
        with(json!({ "kind": 3 }), Body::Nothing),
        with(
            json!({ "kind": 4, "stage": 2, "messages": [named, named] }),
            Body::Receipt(Receipt {
                stage: Stage::Read,
                messages: vec![name, name],
            }),
        ),
        with(
            json!({ "kind": 5, "first": 3, "last": 66 }),
            Body::AskAgain(AskAgain { first: 3, last: 66 }),
        ),
        with(
            json!({ "kind": 6, "conversation": hex(&CONVERSATION), "until": named }),
            Body::ReadState(ReadState {
                conversation: CONVERSATION,
                until: name,
            }),
        ),
        again(Some("Grüße")),
        again(None),
        with(
            json!({ "kind": 7, "matter": 1, "history": hex(&HISTORY), "since_millis": SENT_AT, "count": 100_000 }),
            history(HistoryMatter::Offer {
                since_millis: SENT_AT,
                messages: 100_000,
            }),
        ),
        taken(Wish::More, 1),
        taken(Wish::Again, 2),
        taken(Wish::End, 3),
        chunk(),
        with(
            json!({
                "kind": 9, "receipts_set_at": SENT_AT, "delivered_receipts": false, "read_receipts": true,
                "contacts": [hex(&CONVERSATION), hex(&HISTORY)],
            }),
            Body::Person(Person {
                receipts_set_at: SENT_AT,
                delivered_receipts: false,
                read_receipts: true,
                contacts: vec![CONVERSATION, HISTORY],
            }),
        ),
        with(
            json!({ "kind": 10, "messages": [hex(&MESSAGE), hex(&HISTORY)] }),
            Body::AskFor(AskFor {
                messages: vec![MESSAGE, HISTORY],
            }),
        ),
    ])
}

/// A chunk with one message of each state, and one that is not confirmed.
fn chunk() -> Value {
    let received = PastMessage {
        message: MESSAGE,
        device: 1,
        own: false,
        conversation: CONVERSATION,
        sent_at_millis: SENT_AT,
        late: true,
        read: true,
        state: PastState::Received,
        unconfirmed: None,
        text: "Grüße".to_owned(),
    };
    let own = |state| PastMessage {
        own: true,
        late: false,
        read: false,
        device: 2,
        state,
        ..received.clone()
    };
    let messages = vec![
        PastMessage {
            unconfirmed: Some([0x02; 66]),
            read: false,
            late: false,
            ..received.clone()
        },
        own(PastState::Received),
        own(PastState::Accepted),
        own(PastState::Delivered),
        own(PastState::Read),
        own(PastState::Failed("\"encryption\"".to_owned())),
        received,
    ];
    let rows: Vec<_> = messages
        .iter()
        .map(|message| {
            let (state, reason) = match &message.state {
                PastState::Received => (1, None),
                PastState::Accepted => (2, None),
                PastState::Delivered => (3, None),
                PastState::Read => (4, None),
                PastState::Failed(reason) => (5, Some(reason.clone())),
            };
            json!({
                "own": message.own, "late": message.late, "read": message.read, "device": message.device,
                "message": hex(&message.message), "conversation": hex(&message.conversation),
                "sent_at_millis": message.sent_at_millis, "state": state, "reason": reason,
                "unconfirmed": message.unconfirmed.map(|keys| hex(&keys)), "text": message.text,
            })
        })
        .collect();
    let body = Body::History(History {
        history: HISTORY,
        matter: HistoryMatter::Chunk(Chunk {
            number: 2,
            last: true,
            newer: false,
            messages,
        }),
    });
    json!({
        "kind": 7, "matter": 3, "history": hex(&HISTORY), "number": 2, "last": true, "newer": false,
        "messages": rows, "encoded": hex(&body.to_bytes()),
    })
}
