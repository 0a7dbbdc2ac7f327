//! One byte less, the limit, one byte more.

use tokio_tungstenite::tungstenite::protocol::frame::{
    Frame,
    coding::{Data, OpCode},
};

use super::*;
use crate::gateway::limits::{MAX_FRAME_BYTES, MAX_MESSAGE_BYTES};

/// Sends a message in frames of these sizes.
async fn say_in_frames(client: &mut Client, text: &str, frame_bytes: usize) {
    let mut kind = Data::Text;
    let mut rest = bytes::Bytes::copy_from_slice(text.as_bytes());
    while !rest.is_empty() {
        let chunk = rest.split_to(rest.len().min(frame_bytes));
        let frame = Frame::message(chunk, OpCode::Data(kind), rest.is_empty());
        // The gateway may have closed already.
        if client.send(Message::Frame(frame)).await.is_err() {
            return;
        }
        kind = Data::Continue;
    }
}

#[tokio::test]
async fn x82_a_frame_has_at_most_32_kb() {
    let bench = Bench::start().await;
    let mut client = bench.connect().await;
    for bytes in [MAX_FRAME_BYTES - 1, MAX_FRAME_BYTES] {
        say(&mut client, message_of(bytes)).await;
        assert_eq!(hear(&mut client).await.len(), bytes);
    }
    say(&mut client, message_of(MAX_FRAME_BYTES + 1)).await;
    assert_eq!(close_code(&mut client).await, 1009);
}

#[tokio::test]
async fn x82_a_message_has_at_most_128_kb_in_all_its_frames() {
    let bench = Bench::start().await;
    let mut client = bench.connect().await;
    for bytes in [MAX_MESSAGE_BYTES - 1, MAX_MESSAGE_BYTES] {
        say_in_frames(&mut client, &message_of(bytes), MAX_FRAME_BYTES).await;
        assert_eq!(hear(&mut client).await.len(), bytes);
    }
    say_in_frames(&mut client, &message_of(MAX_MESSAGE_BYTES + 1), MAX_FRAME_BYTES).await;
    assert_eq!(close_code(&mut client).await, 1009);
}

#[tokio::test]
async fn a_message_in_many_frames_is_one_message() {
    let mut bench = Bench::start().await;
    let mut client = bench.connect().await;
    say_in_frames(&mut client, &message_of(1000), 7).await;
    assert_eq!(hear(&mut client).await, message_of(1000));
    assert_eq!(bench.call_of("say").await["body"], message_of(1000));
    assert_eq!(bench.meter.snapshot().gateway.messages_in, 1);
}

#[tokio::test]
async fn what_is_no_text_closes_the_connection() {
    let mut bench = Bench::start().await;
    for (message, code) in [
        (Message::Binary("x".into()), 1003),
        (
            Message::Frame(Frame::message(vec![0xFF], OpCode::Data(Data::Text), true)),
            1007,
        ),
        (
            Message::Frame(Frame::message("x", OpCode::Data(Data::Continue), true)),
            1002,
        ),
    ] {
        let mut client = bench.connect().await;
        client.send(message).await.unwrap();
        assert_eq!(close_code(&mut client).await, code);
        assert_eq!(
            bench.call_of("disconnect").await["requestContext"]["disconnectStatusCode"],
            code
        );
    }
}

#[tokio::test]
async fn a_client_cut_off_in_the_middle_of_much_still_learns_why() {
    // A pipe holds less than a socket: without somebody who reads on, the client never gets to its end.
    let bench = Bench::start().await.in_memory();
    let mut client = bench.connect().await;
    say(&mut client, message_of(600_000)).await;
    assert_eq!(close_code(&mut client).await, 1009);
}
