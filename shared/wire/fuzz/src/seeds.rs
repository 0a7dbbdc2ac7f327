//! Valid inputs for each target, to begin from: the sample events' bodies, and what the service says to each.

/// The sample events, whose bodies are requests.
macro_rules! event {
    ($name:literal) => {
        include_str!(concat!("../../../../events/", $name, ".json"))
    };
}

/// A seed: target, name, bytes.
pub type Seed = (&'static str, &'static str, Vec<u8>);

/// The valid inputs.
pub fn seeds() -> Vec<Seed> {
    let mut seeds = Vec::new();
    for (name, event) in [
        ("valid_send", event!("send")),
        ("valid_ack", event!("ack")),
        ("valid_receive", event!("receive")),
        ("valid_claim", event!("claim")),
        ("valid_ephemeral", event!("ephemeral")),
    ] {
        seeds.push(("client_frame", name, body_of(event).into_bytes()));
    }
    for (letter, name, event) in [
        ('a', "valid_challenge", event!("challenge")),
        ('b', "valid_confirm", event!("confirm")),
        ('c', "valid_register", event!("register")),
        ('d', "valid_lock", event!("lock")),
        ('e', "valid_offer", event!("offer")),
        ('f', "valid_link", event!("link")),
        ('g', "valid_answer", event!("answer")),
        ('h', "valid_revoke", event!("revoke")),
        ('i', "valid_upload", event!("upload")),
        ('j', "valid_check", event!("check")),
    ] {
        seeds.push(("body", name, format!("{letter}{}", body_of(event)).into_bytes()));
    }
    seeds.extend(
        CLAIMS_AND_ANSWERS
            .iter()
            .map(|(name, text)| ("body", *name, text.as_bytes().to_vec())),
    );
    seeds.extend(frames());
    seeds.extend(
        TEXTS
            .iter()
            .map(|(name, text)| ("text", *name, text.as_bytes().to_vec())),
    );
    seeds
}

fn body_of(event: &str) -> String {
    let event: serde_json::Value = serde_json::from_str(event).expect("a sample event is JSON");
    event["body"].as_str().expect("it has a body").to_owned()
}

/// The token's claims, and answers.
const CLAIMS_AND_ANSWERS: &[(&str, &str)] = &[
    (
        "valid_claims",
        r#"k{"aud":"waxwing","sub":"6f9619ff-8b86-4011-b42d-00c04fc964ff","device":1,"registration":7,"iat":1,"exp":2}"#,
    ),
    (
        "valid_registered",
        r#"C{"account":"6f9619ff-8b86-4011-b42d-00c04fc964ff","device":1}"#,
    ),
    ("valid_uploaded", r#"I{"stored":2,"highest":9,"gone":[3]}"#),
    (
        "valid_problem",
        r#"L{"code":"rate_limited","message":"Too many.","retryable":true,"retry_after_seconds":3}"#,
    ),
];

const TEXTS: &[(&str, &str)] = &[
    ("valid_account", "6f9619ff-8b86-4011-b42d-00c04fc964ff"),
    ("valid_message", "0190c42e-7dd0-7a32-9a2b-1ce5a1a7a2b0"),
    ("valid_number", "2147483647"),
    ("valid_phone", "+491701234567"),
    ("valid_code", "012345"),
];

/// What the service says.
fn frames() -> Vec<Seed> {
    let id = r#"{"message":"0190c42e-7dd0-7a32-9a2b-1ce5a1a7a2b0","from":{"account":"6f9619ff-8b86-4011-b42d-00c04fc964ff","device":1}}"#;
    let envelope = format!(r#"{{"id":{id},"ciphertext":"AAAAAAAAAAAAAAAAAAAAAA"}}"#);
    let account = "6f9619ff-8b86-4011-b42d-00c04fc964ff";
    let message = "0190c42e-7dd0-7a32-9a2b-1ce5a1a7a2b0";
    let frames = [
        (
            "valid_sent",
            format!(
                r#"{{"type":"sent","request":1,"outcomes":[{{"message":"{message}","outcome":"accepted"}}]}}"#
            ),
        ),
        ("valid_acked", r#"{"type":"acked","request":2}"#.to_owned()),
        (
            "valid_page",
            format!(r#"{{"type":"page","request":3,"envelopes":[{envelope}],"more_after":{id}}}"#),
        ),
        (
            "valid_delivery",
            format!(r#"{{"type":"delivery","envelopes":[{envelope}]}}"#),
        ),
        (
            "valid_error",
            r#"{"type":"error","request":4,"code":"malformed","message":"No.","retryable":false}"#.to_owned(),
        ),
        (
            "valid_prekeys_low",
            r#"{"type":"prekeys_low","remaining":3}"#.to_owned(),
        ),
        (
            "valid_devices_changed",
            format!(r#"{{"type":"devices_changed","account":"{account}"}}"#),
        ),
        (
            "valid_removed",
            r#"{"type":"removed","reason":"revoked"}"#.to_owned(),
        ),
    ];
    frames
        .map(|(name, text)| ("service_frame", name, text.into_bytes()))
        .into()
}
