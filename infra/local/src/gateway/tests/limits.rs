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

/// The template, with APIs that let in so many requests at once, and then next to none.
fn letting_in(burst: u32) -> String {
    let limit = format!(
        "Properties: {{DefaultRouteSettings: {{ThrottlingRateLimit: 0, ThrottlingBurstLimit: {burst}}}, StageName: prod}}"
    );
    TEMPLATE
        .replace("Properties: {StageName: prod}", &limit)
        .replace(
            "      StageName: prod\n",
            &format!(
                "      StageName: prod\n      DefaultRouteSettings: {{ThrottlingRateLimit: 0, ThrottlingBurstLimit: {burst}}}\n"
            ),
        )
}

#[tokio::test]
async fn beyond_its_limit_an_api_refuses_and_no_function_hears_of_it() {
    let handler = |_, function: String, event: Value| -> BoxFuture<'static, Outcome> {
        Box::pin(async move { usual(&function, &event) })
    };
    let mut bench = Bench::of(&letting_in(3), handler).await;
    // A handshake and two messages are let in.
    let (mut client, connection) = bench.connect_known().await;
    for number in 1..=2 {
        let message = format!(r#"{{"action":"say","n":{number}}}"#);
        say(&mut client, message.clone()).await;
        assert_eq!(hear(&mut client).await, message);
    }
    say(&mut client, r#"{"action":"say","n":3}"#).await;
    let refusal: Value = serde_json::from_str(&hear(&mut client).await).unwrap();
    assert_eq!(refusal["message"], "Too Many Requests");
    assert_eq!(refusal["connectionId"], connection.as_str());
    assert!(refusal["requestId"].is_string());
    assert_eq!(bench.refusal(&[("Authorization", "let me in")]).await, 429);
    let counted = bench.meter.snapshot().gateway;
    assert_eq!(counted.refused, 2);
    assert_eq!(
        (counted.frames_in, counted.messages_in),
        (2, 2),
        "what is refused is not billed"
    );
    let mut said = 0;
    while let Ok((function, _)) = bench.calls.try_recv() {
        said += usize::from(function == "say");
    }
    assert_eq!(said, 2);
    // The connection stays, and the other API has a limit of its own.
    assert_eq!(bench.connections.count(), 1);
    for expected in [200, 200, 200, 429] {
        assert_eq!(super::http::status_of_a_request(&bench).await, expected);
    }
}
