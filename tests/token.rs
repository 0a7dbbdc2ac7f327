//! Only a fresh token of a device that exists opens anything. X67, X68.

use scenarios::{RawDevice, Service, send_frame};
use serde_json::json;
use tokio_tungstenite::tungstenite::Error;

#[tokio::test]
async fn x67_a_wrong_token_opens_no_connection_and_no_http_route() {
    let service = Service::start().await;
    let device = RawDevice::register(&service, 0).await;
    let other = RawDevice::register(&service, 0).await;
    let good = device.claims();
    let mut expired = good.clone();
    (expired.iat, expired.exp) = (good.iat - 1200, good.iat - 600);
    let mut early = good.clone();
    (early.iat, early.exp) = (good.iat + 600, good.iat + 900);
    let mut long = good.clone();
    long.exp = good.iat + 3600;
    let mut elsewhere = good.clone();
    elsewhere.aud = "another deployment".to_owned();
    let mut former = good.clone();
    former.registration = other.device.registration;
    let mut impostor = good.clone();
    impostor.sub = other.account();
    let tokens = [expired, early, long, elsewhere, former, impostor].map(|claims| device.sign(&claims));
    let mut headers: Vec<_> = tokens.iter().map(|token| format!("Bearer {token}")).collect();
    headers.extend([
        "Bearer".to_owned(),
        "Bearer a.b.c".to_owned(),
        format!("Basic {}", device.token()),
        device.token(),
    ]);
    let mut bent = device.token();
    bent.replace_range(
        bent.len() - 6..bent.len() - 5,
        if bent.as_bytes()[bent.len() - 6] == b'A' {
            "B"
        } else {
            "A"
        },
    );
    headers.push(format!("Bearer {bent}"));
    for header in headers {
        match device.connect_with(&header).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), 401, "{header:.40}"),
            Err(other) => panic!("{header:.40}: {other}"),
            Ok(_) => panic!("a connection was opened with {header}"),
        }
        let url = format!("{}/v1/keys", service.endpoints().http_url);
        let request = reqwest::Client::new()
            .post(url)
            .header("authorization", &header)
            .json(&json!({}));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 401, "{header:.40}");
    }
    assert!(
        device
            .connect_with(&format!("Bearer {}", device.token()))
            .await
            .is_ok(),
        "the good one does open"
    );
}

/// X69, X86: tokens and keys never reach a log.
#[tokio::test]
async fn x86_no_log_line_holds_a_token_or_a_ciphertext() {
    let service = Service::start().await;
    let device = RawDevice::register(&service, 1).await;
    let token = device.token();
    device.connect_with(&format!("Bearer {token}")).await.unwrap();
    let _ = device.connect_with(&format!("Bearer {token}x")).await;
    let mut socket = device.connect().await;
    let secret = "c2VjcmV0LWxvb2tpbmctY2lwaGVydGV4dA";
    let entry = json!({"device": 1, "registration": 1, "ciphertext": secret});
    socket
        .request(send_frame(
            "01999999-0000-7000-8000-000000000001",
            json!(device.account()),
            vec![entry],
        ))
        .await;
    for line in service.runner.logs() {
        assert!(!line.contains(&token) && !line.contains(secret), "{line}");
    }
}
