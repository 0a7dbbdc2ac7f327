//! SNS as the real SDK client sees it: texts to numbers, pushes to platform endpoints, and the outbox where both end.

#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeSet;
use std::sync::Arc;

use aws_sdk_sns as sns;
use sns::config::{BehaviorVersion, Credentials, Region};
use sns::error::ProvideErrorMetadata;
use sns::operation::create_platform_endpoint::CreatePlatformEndpointError;
use sns::operation::publish::PublishError;
use sns::types::MessageAttributeValue;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use waxwing_local::aws::callers::{Callers, access_key};
use waxwing_local::aws::dynamodb::DynamoDb;
use waxwing_local::aws::policies::Policies;
use waxwing_local::aws::{AwsFront, Connector, Sns, TOOLS_ACCESS_KEY};
use waxwing_local::clock::OffsetClock;
use waxwing_local::gateway::connections::Connections;
use waxwing_local::meter::{Meter, NotificationUse};
use waxwing_local::outbox::{Channel, Outbox};
use waxwing_local::runner::{Runner, RunnerConfig, Storage};

const PHONE: &str = "+15550100";

const TOKEN: &str = "0a1b2c3d";

fn config(access_key: &str) -> sns::config::Builder {
    sns::Config::builder()
        .behavior_version(BehaviorVersion::latest())
        .region(Region::new("us-east-1"))
        .credentials_provider(Credentials::new(access_key, "not looked at", None, None, "test"))
}

fn over_tcp(runner: &Runner, access_key: &str) -> sns::Client {
    sns::Client::from_conf(config(access_key).endpoint_url(runner.aws_endpoint()).build())
}

/// An SNS with one application for Apple's phones, reached inside the process.
struct Pushing {
    client: sns::Client,
    application: String,
    outbox: Outbox,
}

fn pushing() -> Pushing {
    let opened = Storage::Memory.open(Arc::new(OffsetClock::default())).unwrap();
    let meter = Arc::new(Meter::default());
    let application = Sns::application_arn("APNS", "waxwing");
    let outbox = Outbox::default();
    let front = AwsFront::new(
        Callers::new([]),
        Policies::default(),
        DynamoDb::new(opened, Arc::clone(&meter)),
        Connections::default(),
        Sns::new(BTreeSet::from([application.clone()]), outbox.clone(), meter),
    );
    let config = config(TOOLS_ACCESS_KEY).http_client(Connector::new(front));
    Pushing {
        client: sns::Client::from_conf(config.build()),
        application,
        outbox,
    }
}

impl Pushing {
    async fn create(&self, token: &str, data: &str) -> Result<String, CreatePlatformEndpointError> {
        let create = self.client.create_platform_endpoint().token(token);
        let create = create
            .platform_application_arn(&self.application)
            .custom_user_data(data);
        let created = create
            .send()
            .await
            .map_err(sns::error::SdkError::into_service_error)?;
        Ok(created.endpoint_arn.unwrap())
    }

    async fn publish(
        &self,
        endpoint: &str,
        message: &str,
        structure: Option<&str>,
    ) -> Result<(), PublishError> {
        let publish = self.client.publish().target_arn(endpoint).message(message);
        let publish = publish.set_message_structure(structure.map(str::to_owned));
        publish
            .send()
            .await
            .map_err(sns::error::SdkError::into_service_error)?;
        Ok(())
    }
}

fn attribute(kind: &str, value: &str) -> MessageAttributeValue {
    let attribute = MessageAttributeValue::builder()
        .data_type(kind)
        .string_value(value);
    attribute.build().unwrap()
}

async fn get(runner: &Runner, path: &str) -> String {
    let address = runner.aws_endpoint().trim_start_matches("http://").to_owned();
    let mut socket = TcpStream::connect(&address).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    socket.read_to_string(&mut answer).await.unwrap();
    answer
}

#[tokio::test]
async fn a_text_ends_in_the_outbox_and_on_the_bill() {
    let runner = Runner::start(RunnerConfig::default()).await.unwrap();
    let mut observer = runner.observe_outbox();
    let publish = over_tcp(&runner, TOOLS_ACCESS_KEY).publish();
    let publish = publish
        .phone_number(PHONE)
        .message("123456 <is> your code & nothing else")
        .message_attributes("AWS.SNS.SMS.SMSType", attribute("String", "Transactional"))
        .message_attributes("AWS.SNS.SMS.MaxPrice", attribute("Number", "0.10"));
    let published = publish.send().await.unwrap();
    assert!(published.message_id.is_some());

    let message = observer.recv().await.unwrap();
    assert_eq!((message.channel, message.to.as_str()), (Channel::Sms, PHONE));
    assert_eq!(message.body, "123456 <is> your code & nothing else");
    assert_eq!(runner.outbox(), std::slice::from_ref(&message));
    let answer = get(&runner, "/_local/outbox").await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    let shown: serde_json::Value = serde_json::from_str(body).unwrap();
    assert_eq!(shown["messages"][0]["to"], PHONE);
    assert_eq!(shown["messages"][0]["body"], message.body);
    assert_eq!(shown["messages"][0]["when"], message.when);

    let expected = NotificationUse {
        requests: 1,
        pushes: 0,
        sms: 1,
        sms_parts: 1,
    };
    assert_eq!(runner.meter().notifications, expected);
    runner.shutdown().await;
}

#[tokio::test]
async fn what_sns_would_refuse_is_refused_with_its_name_and_sent_to_nobody() {
    let runner = Runner::start(RunnerConfig::default()).await.unwrap();
    let client = over_tcp(&runner, TOOLS_ACCESS_KEY);
    let refused = |publish: sns::operation::publish::builders::PublishFluentBuilder| async {
        publish.send().await.unwrap_err().into_service_error()
    };
    let number = refused(client.publish().phone_number("0049301234567").message("a")).await;
    assert!(number.is_invalid_parameter_exception(), "{number:?}");
    let long = refused(client.publish().phone_number(PHONE).message("a".repeat(1601))).await;
    assert!(long.is_invalid_parameter_exception(), "{long:?}");
    let nobody = refused(client.publish().message("a")).await;
    assert!(nobody.is_invalid_parameter_exception(), "{nobody:?}");
    let typed = client.publish().phone_number(PHONE).message("a");
    let typed = refused(typed.message_attributes("AWS.SNS.SMS.MaxPrice", attribute("Price", "1"))).await;
    assert!(typed.is_invalid_parameter_value_exception(), "{typed:?}");
    let topic = refused(
        client
            .publish()
            .topic_arn("arn:aws:sns:us-east-1:1:alarms")
            .message("a"),
    )
    .await;
    assert!(topic.is_not_found_exception(), "{topic:?}");
    let other = client.list_topics().send().await.unwrap_err();
    assert_eq!(other.code(), Some("InvalidAction"));
    assert_eq!(runner.outbox(), []);
    assert_eq!(runner.meter().notifications, NotificationUse::default());
    runner.shutdown().await;
}

#[tokio::test]
async fn only_who_is_granted_it_publishes() {
    let runner = Runner::start(RunnerConfig::default()).await.unwrap();
    let client = over_tcp(&runner, &access_key("receive"));
    let denied = client.publish().phone_number(PHONE).message("a").send().await;
    let denied = denied.unwrap_err().into_service_error();
    assert!(denied.is_authorization_error_exception(), "{denied:?}");
    assert!(denied.message().unwrap().contains("sns:Publish"), "{denied}");
    let stranger = over_tcp(&runner, "somebody")
        .publish()
        .phone_number(PHONE)
        .message("a");
    let stranger = stranger.send().await.unwrap_err();
    assert_eq!(stranger.code(), Some("InvalidClientTokenId"));
    assert_eq!(runner.outbox(), []);
    runner.shutdown().await;
}

#[tokio::test]
async fn one_token_is_one_endpoint_and_its_attributes_do_not_change_unasked() {
    let pushing = pushing();
    let first = pushing.create(TOKEN, "alice").await.unwrap();
    assert!(
        first.starts_with(&pushing.application.replace(":app/", ":endpoint/")),
        "{first}"
    );
    assert_eq!(pushing.create(TOKEN, "alice").await.unwrap(), first);
    assert_ne!(pushing.create("ff", "alice").await.unwrap(), first);
    let other = pushing.create(TOKEN, "bob").await.unwrap_err();
    assert!(other.is_invalid_parameter_exception(), "{other:?}");
    assert!(other.message().unwrap().contains(&first), "{other}");
    let no_token = pushing.create("not hexadecimal", "alice").await.unwrap_err();
    assert!(no_token.is_invalid_parameter_exception(), "{no_token:?}");
    let elsewhere = pushing.client.create_platform_endpoint().token(TOKEN);
    let elsewhere = elsewhere.platform_application_arn(Sns::application_arn("GCM", "waxwing"));
    let elsewhere = elsewhere.send().await.unwrap_err().into_service_error();
    assert!(elsewhere.is_not_found_exception(), "{elsewhere:?}");
}

#[tokio::test]
async fn a_push_reaches_an_endpoint_that_is_there_and_enabled() {
    let pushing = pushing();
    let endpoint = pushing.create(TOKEN, "alice").await.unwrap();
    pushing.publish(&endpoint, "wake up", None).await.unwrap();
    let payloads = r#"{"default": "wake up", "APNS": "{\"aps\":{\"content-available\":1}}"}"#;
    pushing.publish(&endpoint, payloads, Some("json")).await.unwrap();
    let bodies: Vec<_> = pushing
        .outbox
        .recent()
        .into_iter()
        .map(|message| message.body)
        .collect();
    assert_eq!(bodies, ["wake up", r#"{"aps":{"content-available":1}}"#]);
    for wrong in [r#"{"APNS": "no default"}"#, "no JSON"] {
        let refused = pushing.publish(&endpoint, wrong, Some("json")).await.unwrap_err();
        assert!(refused.is_invalid_parameter_exception(), "{refused:?}");
    }

    let set = pushing.client.set_endpoint_attributes().endpoint_arn(&endpoint);
    set.attributes("Enabled", "false").send().await.unwrap();
    let disabled = pushing.publish(&endpoint, "wake up", None).await.unwrap_err();
    assert!(disabled.is_endpoint_disabled_exception(), "{disabled:?}");
    let known = pushing.client.get_endpoint_attributes().endpoint_arn(&endpoint);
    let known = known.send().await.unwrap().attributes.unwrap();
    assert_eq!(known["Enabled"], "false");
    assert_eq!(
        (known["Token"].as_str(), known["CustomUserData"].as_str()),
        (TOKEN, "alice")
    );
    let wrong = pushing.client.set_endpoint_attributes().endpoint_arn(&endpoint);
    let wrong = wrong
        .attributes("Token", "ee")
        .attributes("Colour", "red")
        .send()
        .await;
    assert!(
        wrong
            .unwrap_err()
            .into_service_error()
            .is_invalid_parameter_exception()
    );
    let known = pushing.client.get_endpoint_attributes().endpoint_arn(&endpoint);
    assert_eq!(known.send().await.unwrap().attributes.unwrap()["Token"], TOKEN);

    for _ in 0..2 {
        let delete = pushing.client.delete_endpoint().endpoint_arn(&endpoint);
        delete.send().await.unwrap();
    }
    let gone = pushing.publish(&endpoint, "wake up", None).await.unwrap_err();
    // To a publish SNS says so without an error of its own.
    assert!(gone.is_invalid_parameter_exception(), "{gone:?}");
    assert!(gone.message().unwrap().contains("No endpoint found"), "{gone}");
    let known = pushing.client.get_endpoint_attributes().endpoint_arn(&endpoint);
    let known = known.send().await.unwrap_err().into_service_error();
    assert!(known.is_not_found_exception(), "{known:?}");
    assert_eq!(pushing.outbox.recent().len(), 2);
    assert_eq!(pushing.outbox.pushes(TOKEN).len(), 2);
    assert_eq!(
        pushing.create(TOKEN, "alice").await.unwrap(),
        endpoint,
        "its id follows from the token"
    );
}
