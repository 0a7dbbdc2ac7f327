//! `docs/api.md` and the contract must say the same.

use waxwing_wire::{ErrorCode, limits};

const API: &str = include_str!("../../docs/api.md");

/// Every code. The match makes the compiler ask for a new one here.
const CODES: [ErrorCode; 28] = {
    use ErrorCode::*;
    const fn known(code: ErrorCode) -> ErrorCode {
        match code {
            Malformed | UnknownAction | Unauthorized | UnknownAccount | AccountTaken | FirstDeviceOnly
            | TooManyDevices | TooLarge | InvalidKey | InvalidSignature | MessageIdReused | StalePrekey
            | PrekeyConflict | KeysDiffer | InvalidPhone | WrongCode | InvalidTicket | RegistrationLocked
            | WrongPin | InvalidList | StaleList | InvalidLink | InvalidPushToken | PushTokenTaken
            | PushNotOffered | RateLimited | Unavailable | Internal => code,
        }
    }
    [
        known(Malformed),
        UnknownAction,
        Unauthorized,
        UnknownAccount,
        AccountTaken,
        FirstDeviceOnly,
        TooManyDevices,
        TooLarge,
        InvalidKey,
        InvalidSignature,
        MessageIdReused,
        StalePrekey,
        PrekeyConflict,
        KeysDiffer,
        InvalidPhone,
        WrongCode,
        InvalidTicket,
        RegistrationLocked,
        WrongPin,
        InvalidList,
        StaleList,
        InvalidLink,
        InvalidPushToken,
        PushTokenTaken,
        PushNotOffered,
        RateLimited,
        Unavailable,
        Internal,
    ]
};

#[test]
fn every_error_code_is_documented_with_its_status_and_whether_to_retry() {
    for code in CODES {
        let name = serde_json::to_value(code).unwrap();
        let retryable = if code.is_retryable() { "yes" } else { "no" };
        let row = format!(
            "| `{}` | {} | {retryable} |",
            name.as_str().unwrap(),
            code.http_status()
        );
        assert!(API.contains(&row), "{row}");
    }
}

#[test]
fn every_route_and_function_is_documented() {
    for function in crate::FUNCTIONS {
        let heading = match function.trigger {
            crate::Trigger::Http { method, path } => format!("### {}: `{method} {path}`", function.name),
            crate::Trigger::WebSocket { route } if !route.starts_with('$') => format!("### {route}"),
            _ => continue,
        };
        assert!(API.contains(&heading), "{heading}");
    }
}

#[test]
fn the_documented_limits_are_those_of_the_contract() {
    let thousands = |number: usize| match number {
        0..1000 => number.to_string(),
        _ => format!("{},{:03}", number / 1000, number % 1000),
    };
    let frame = thousands(limits::MAX_FRAME_BYTES);
    let message = thousands(limits::MAX_MESSAGE_BYTES);
    let ciphertext = thousands(limits::MAX_CIPHERTEXT_BYTES);
    let cheapest = waxwing_backend::tables::mailbox::ONE_WRITE_UNIT_CIPHERTEXT_BYTES;
    let envelopes = limits::MAX_ENVELOPES_PER_PAGE;
    let page = thousands(limits::MAX_PAGE_CIPHERTEXT_BYTES);
    let token = thousands(limits::MAX_TOKEN_BYTES);
    let life = limits::MAX_TOKEN_LIFE_SECONDS;
    let skew = limits::MAX_CLOCK_SKEW_SECONDS;
    let days = limits::MESSAGE_LIFE_SECONDS / (24 * 60 * 60);
    let prekeys = limits::MAX_ONE_TIME_PREKEYS_PER_UPLOAD;
    let push_token = thousands(limits::MAX_PUSH_TOKEN_BYTES);
    let pause = limits::ALERT_PAUSE_SECONDS / 60;
    let (accounts, per_send) = (limits::MAX_ACCOUNTS_PER_SEND, limits::MAX_ENVELOPES_PER_SEND);
    let messages = limits::MAX_MESSAGES_PER_SEND;
    for row in [
        format!("| devices of an account | {} |", limits::MAX_DEVICES_PER_ACCOUNT),
        format!("| WebSocket frame, message | {frame} and {message} bytes |"),
        format!("| HTTP body | {} bytes |", thousands(crate::http::MAX_BODY_BYTES)),
        format!(
            "| ciphertext | {} to {ciphertext} bytes; up to {cheapest} bytes it costs the least to store |",
            limits::MIN_CIPHERTEXT_BYTES
        ),
        format!("| messages, envelopes of one `send` | {messages}, {per_send} |"),
        format!("| accounts of one message | {accounts} |"),
        format!(
            "| code | six digits, {} seconds, five guesses |",
            limits::CODE_LIFE_SECONDS
        ),
        format!("| ticket | {} seconds |", limits::TICKET_LIFE_SECONDS),
        format!(
            "| requests and frames of an account | {} a minute, over all devices",
            limits::MAX_REQUESTS_PER_MINUTE
        ),
        format!(
            "| ephemeral messages of an account | {} a minute, over all devices",
            limits::MAX_EPHEMERALS_PER_MINUTE
        ),
        format!("| ids of one `ack` | {} |", limits::MAX_IDS_PER_ACK),
        format!("| envelopes, ciphertext bytes of one page | {envelopes}, {page} |"),
        format!("| one-time prekeys of one request | {prekeys} |"),
        format!("| prekeys count as low | {} or fewer left |", limits::PREKEYS_LOW),
        format!("| life of an undelivered message | {days} days |"),
        format!("| push token | {push_token} bytes |"),
        format!("| alerts of a device that stays away | one in {pause} minutes |"),
        format!("| token | {token} bytes, {life} seconds, clocks off by {skew} seconds |"),
    ] {
        assert!(API.contains(&row), "{row}");
    }
}
