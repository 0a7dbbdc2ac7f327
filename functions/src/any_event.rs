//! Any event: what a function says to events that are wrong in any way. Each begins as a sample and is changed, in its
//! fields, in its body's, in the bytes of its body, or in the claims of its token, which is then signed as the device would.
//! Nothing breaks off; what is refused is refused with a typed answer that repeats nothing of what came.
//! `PROPTEST_CASES` says how many.

mod tokens;

use std::sync::{Arc, atomic::AtomicU64};

use aws_smithy_runtime_api::client::{
    http::{HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn},
    orchestrator::{HttpRequest, HttpResponse},
};
use aws_smithy_types::body::SdkBody;
use proptest::{collection::vec, prelude::*, sample::Index};
use serde_json::{Map, Value, json};
use waxwing_backend::{Backend, Clock, Config, authorize::AuthorizeError};
use waxwing_wire::{ClientFrame, Problem, ServiceFrame, limits::MAX_MESSAGE_BYTES};

use crate::{
    FUNCTIONS, FunctionError, Trigger, invoke,
    samples::{body, sample},
};

/// Runs of letters and digits this long, taken from what came in, are in no answer: keys, tokens and ciphertexts are, ids
/// in their groups are not.
const EXCERPT_CHARS: usize = 24;

/// A change of a JSON value.
#[derive(Clone, Debug)]
enum Edit {
    /// The value somewhere becomes this.
    Replace(Index, Value),
    /// A field or an entry is lost.
    Remove(Index),
    /// A field or an entry comes twice, or under another name.
    Repeat(Index, String),
}

/// A change of a text.
#[derive(Clone, Debug)]
enum TextEdit {
    /// It ends here.
    Cut(Index),
    /// This comes in between.
    Insert(Index, String),
    /// It is many times as long.
    Stretch(usize),
}

/// What is wrong with an event.
#[derive(Clone, Debug, Default)]
struct Changes {
    event: Vec<Edit>,
    body: Vec<Edit>,
    text: Vec<TextEdit>,
    claims: Vec<Edit>,
    token: Vec<TextEdit>,
    base64: bool,
}

fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "\\PC{0,40}".prop_map(Value::from),
        "[A-Za-z0-9_-]{0,200}".prop_map(Value::from),
        Just(json!([])),
        Just(json!({})),
        (0_usize..80).prop_map(|depth| (0..depth).fold(json!(1), |inner, _| json!([inner]))),
    ]
}

fn any_edit() -> impl Strategy<Value = Edit> {
    prop_oneof![
        (any::<Index>(), any_value()).prop_map(|(place, value)| Edit::Replace(place, value)),
        any::<Index>().prop_map(Edit::Remove),
        (any::<Index>(), "[a-z_]{0,12}").prop_map(|(place, name)| Edit::Repeat(place, name)),
    ]
}

fn any_text_edit() -> impl Strategy<Value = TextEdit> {
    prop_oneof![
        4 => any::<Index>().prop_map(TextEdit::Cut),
        4 => (any::<Index>(), "\\PC{1,8}").prop_map(|(place, text)| TextEdit::Insert(place, text)),
        4 => (any::<Index>(), "[\"{}\\[\\],:.=\\\\0-9]{1,4}").prop_map(|(place, text)| TextEdit::Insert(place, text)),
        1 => (2_usize..200).prop_map(TextEdit::Stretch),
    ]
}

fn any_changes() -> impl Strategy<Value = Changes> {
    let changes = (
        vec(any_edit(), 0..3),
        vec(any_edit(), 0..4),
        vec(any_text_edit(), 0..2),
        prop_oneof![3 => Just(Vec::new()), 1 => vec(tokens::any_edit(), 1..3)],
        prop_oneof![3 => Just(Vec::new()), 1 => vec(any_text_edit(), 1..2)],
        any::<bool>(),
    );
    changes.prop_map(|(event, body, text, claims, token, base64)| Changes {
        event,
        body,
        text,
        claims,
        token,
        base64,
    })
}

/// The places of a value, as JSON pointers, its own left out.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(fields) => fields.iter().map(|(name, child)| (name.clone(), child)).collect(),
        Value::Array(entries) => (0..).map(|n: usize| n.to_string()).zip(entries).collect(),
        _ => Vec::new(),
    };
    for (name, child) in children {
        let place = format!("{at}/{}", name.replace('~', "~0").replace('/', "~1"));
        found.push(place.clone());
        places(child, &place, found);
    }
}

fn edit(value: &mut Value, edit: &Edit) {
    let mut found = Vec::new();
    places(value, "", &mut found);
    if found.is_empty() {
        return;
    }
    let (Edit::Replace(index, _) | Edit::Remove(index) | Edit::Repeat(index, _)) = edit;
    let place = index.get(&found);
    let (parent, name) = place.rsplit_once('/').unwrap();
    let name = name.replace("~1", "/").replace("~0", "~");
    let old = value.pointer(place).cloned().unwrap_or_default();
    match (value.pointer_mut(parent), edit) {
        (Some(Value::Object(fields)), Edit::Replace(_, new)) => drop(fields.insert(name, new.clone())),
        (Some(Value::Object(fields)), Edit::Remove(_)) => drop(fields.remove(&name)),
        (Some(Value::Object(fields)), Edit::Repeat(_, other)) => drop(fields.insert(other.clone(), old)),
        (Some(Value::Array(entries)), change) => {
            let at: usize = name.parse().unwrap();
            match change {
                Edit::Replace(_, new) => entries[at] = new.clone(),
                Edit::Remove(_) => drop(entries.remove(at)),
                Edit::Repeat(..) => entries.extend(std::iter::repeat_n(old, 40)),
            }
        }
        _ => {}
    }
}

fn edit_text(text: &mut String, edit: &TextEdit) {
    let place = |index: &Index, text: &str| {
        let mut at = index.index(text.len() + 1);
        while !text.is_char_boundary(at) {
            at -= 1;
        }
        at
    };
    match edit {
        TextEdit::Cut(index) => text.truncate(place(index, text)),
        TextEdit::Insert(index, what) => text.insert_str(place(index, text), what),
        TextEdit::Stretch(times) => *text = text.repeat(*times),
    }
}

impl Changes {
    /// The claims of the token.
    fn claims(&self) -> Value {
        let mut changed = tokens::claims();
        self.claims.iter().for_each(|change| edit(&mut changed, change));
        changed
    }

    fn of(&self, function: &str) -> Value {
        let mut event = sample(function);
        for place in ["/headers/authorization", "/headers/Authorization"] {
            if let Some(Value::String(header)) = event.pointer_mut(place) {
                *header = format!("Bearer {}", tokens::signed(&self.claims()));
                self.token.iter().for_each(|change| edit_text(header, change));
            }
        }
        if event["body"].is_string() && function != "reject" {
            let mut said = body(function);
            self.body.iter().for_each(|change| edit(&mut said, change));
            let mut text = said.to_string();
            self.text.iter().for_each(|change| edit_text(&mut text, change));
            event["body"] = text.into();
        }
        self.event.iter().for_each(|change| edit(&mut event, change));
        if let (true, Value::Object(event)) = (self.base64, &mut event) {
            encode(event);
        }
        event
    }
}

/// As API Gateway hands on what it takes for binary.
fn encode(event: &mut Map<String, Value>) {
    use base64::{Engine, engine::general_purpose::STANDARD};
    if let Some(Value::String(text)) = event.get_mut("body") {
        *text = STANDARD.encode(&text);
        event.insert("isBase64Encoded".into(), true.into());
    }
}

/// AWS that knows the devices of one account and nothing else, and agrees to everything.
#[derive(Debug)]
struct Agreeable;

impl HttpConnector for Agreeable {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let body = match tokens::item_of_device(&request) {
            Some(item) if target.ends_with(".GetItem") => json!({ "Item": item }),
            _ => json!({ "Items": [], "Count": 0, "ScannedCount": 0 }),
        };
        let answer = HttpResponse::new(200_u16.try_into().unwrap(), SdkBody::from(body.to_string()));
        HttpConnectorFuture::ready(Ok(answer))
    }
}

fn agreeable_backend() -> Backend {
    let connector = SharedHttpConnector::new(Agreeable);
    let client = http_client_fn(move |_, _| connector.clone());
    let lookup = |name: &str| {
        Some(match name {
            "CONNECTIONS_ENDPOINT" | "AWS_ENDPOINT_URL" => "http://aws.invalid".to_owned(),
            "REQUESTS_PER_MINUTE" | "SMS_DAILY_CEILING" => "1000000".to_owned(),
            "PHONE_HASH_KEY" => "a secret that only the tests know".to_owned(),
            _ => "set".to_owned(),
        })
    };
    let clock = Clock::standing(Arc::new(AtomicU64::new(tokens::NOW)));
    Backend::seeded(&Config::read(lookup).unwrap(), clock, Some(client), 1)
}

/// Every run of letters and digits that is this long, anywhere in the event.
fn excerpts(event: &Value) -> Vec<String> {
    let text = event.to_string();
    let runs = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    runs.filter(|run| run.len() >= EXCERPT_CHARS)
        .map(str::to_owned)
        .collect()
}

/// What is said to an event, whatever it is.
fn answers_well(trigger: Trigger, event: &Value, said: Result<Value, FunctionError>) {
    let reply = match said {
        Ok(reply) => reply,
        Err(FunctionError::Event) => return,
        Err(FunctionError::Unauthorized | FunctionError::Unavailable) => {
            return assert_eq!(trigger, Trigger::Authorizer);
        }
        Err(FunctionError::Unfinished) => return assert_eq!(trigger, Trigger::Schedule),
        Err(error) => panic!("{error:?}"),
    };
    if trigger == Trigger::Schedule {
        return assert!(reply["alerted"].is_u64(), "{reply}");
    }
    if trigger == Trigger::Authorizer {
        return assert!(reply["policyDocument"].is_object());
    }
    let status = reply["statusCode"].as_u64().unwrap();
    let Some(text) = reply["body"].as_str() else {
        return assert!((200..600).contains(&status), "{reply}");
    };
    assert!(text.len() <= MAX_MESSAGE_BYTES);
    let problem = match trigger {
        Trigger::WebSocket { .. } => match serde_json::from_str(text).unwrap() {
            ServiceFrame::Error(refused) => Some(refused.problem),
            _ => None,
        },
        Trigger::Http { .. } if status >= 400 => {
            let problem: Problem = serde_json::from_str(text).unwrap();
            assert_eq!(u64::from(problem.code.http_status()), status);
            Some(problem)
        }
        Trigger::Http { .. } | Trigger::Authorizer | Trigger::Schedule => None,
    };
    if let Some(Problem { message, .. }) = problem {
        for excerpt in excerpts(event) {
            assert!(!message.contains(&excerpt), "{message:?} repeats what came in");
        }
    }
}

fn check(changes: &Changes) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let backend = agreeable_backend();
    for function in FUNCTIONS {
        let event = changes.of(function.name);
        let said = runtime.block_on(invoke(function.name, &backend, event.clone()));
        answers_well(function.trigger, &event, said);
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        // Each case asks every function: a quarter of the usual number, which the environment can raise.
        cases: ProptestConfig::default().cases / 4,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn whatever_an_event_holds_the_answer_is_typed_and_repeats_nothing(changes in any_changes()) {
        check(&changes);
    }

    /// A frame is read by its route's function alone, whatever the event around it.
    #[test]
    fn a_frame_is_read_as_it_is_or_refused(changes in any_changes()) {
        for function in ["send", "ack", "receive", "claim", "ephemeral"] {
            let event = changes.of(function);
            let text = event["body"].as_str().unwrap_or_default();
            if let Ok(frame) = ClientFrame::parse(text) {
                let printed = serde_json::to_string(&frame).unwrap();
                prop_assert_eq!(ClientFrame::parse(&printed), Ok(frame));
            }
        }
    }
}

/// So that what is changed in an event is read, and not refused for its token already.
#[tokio::test]
async fn nothing_that_is_not_changed_is_refused_for_its_token() {
    let unchanged = Changes::default();
    let refused = AuthorizeError::Refused.to_string();
    for function in FUNCTIONS {
        let said = invoke(function.name, &agreeable_backend(), unchanged.of(function.name)).await;
        let reply = said.unwrap_or_else(|error| panic!("{}: {error:?}", function.name));
        let text = reply["body"].as_str().unwrap_or_default();
        assert!(!text.contains(&refused), "{}: {reply}", function.name);
    }
}

/// What fuzzers of the frames and bodies found worth keeping is said to every function as well.
#[test]
fn what_fuzzers_kept_is_answered_well() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    let backend = agreeable_backend();
    let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../shared/wire/fuzz/corpus");
    let mut inputs = 0;
    for target in ["body", "client_frame"] {
        for file in std::fs::read_dir(format!("{corpus}/{target}")).unwrap() {
            let bytes = std::fs::read(file.unwrap().path()).unwrap();
            let skipped = usize::from(target == "body").min(bytes.len());
            let text = String::from_utf8_lossy(&bytes[skipped..]).into_owned();
            inputs += 1;
            for function in FUNCTIONS {
                let mut event = sample(function.name);
                event["body"] = text.clone().into();
                let said = runtime.block_on(invoke(function.name, &backend, event.clone()));
                answers_well(function.trigger, &event, said);
            }
        }
    }
    assert!(inputs > 10);
}
