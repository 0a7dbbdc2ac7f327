//! Where the service is, parsed once.

use reqwest::Url;

use crate::config::Endpoints;

/// Why an address was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EndpointError {
    /// The WebSocket's address is no URL of scheme `wss` or `ws`.
    #[error("the WebSocket URL must begin with wss:// (or ws:// for a runner on this machine)")]
    WebSocketUrl,
    /// The HTTP API's address is no URL of scheme `https` or `http`.
    #[error("the HTTP URL must begin with https:// (or http:// for a runner on this machine)")]
    HttpUrl,
    /// The audience is empty.
    #[error("the token audience must not be empty")]
    Audience,
}

/// Addresses that parse, and the audience.
#[derive(Clone, Debug)]
pub(crate) struct Service {
    pub(crate) websocket_url: Url,
    /// Without a slash at its end.
    pub(crate) http_url: String,
    pub(crate) audience: String,
}

impl Service {
    pub(crate) fn parse(endpoints: &Endpoints) -> Result<Self, EndpointError> {
        let websocket_url =
            parse(&endpoints.websocket_url, &["wss", "ws"]).ok_or(EndpointError::WebSocketUrl)?;
        let http_url = parse(&endpoints.http_url, &["https", "http"]).ok_or(EndpointError::HttpUrl)?;
        if endpoints.audience.is_empty() {
            return Err(EndpointError::Audience);
        }
        Ok(Self {
            websocket_url,
            http_url: http_url.as_str().trim_end_matches('/').to_owned(),
            audience: endpoints.audience.clone(),
        })
    }
}

/// A URL of one of these schemes with a host, without credentials or a query: tokens never go into a URL.
fn parse(text: &str, schemes: &[&str]) -> Option<Url> {
    let url = Url::parse(text).ok()?;
    let plain = url.has_host() && url.username().is_empty() && url.password().is_none();
    (schemes.contains(&url.scheme()) && plain && url.query().is_none() && url.fragment().is_none())
        .then_some(url)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoints(websocket_url: &str, http_url: &str) -> Endpoints {
        Endpoints {
            websocket_url: websocket_url.to_owned(),
            http_url: http_url.to_owned(),
            audience: "waxwing".to_owned(),
        }
    }

    #[test]
    fn addresses_of_a_deployment_and_of_a_local_runner_are_taken() {
        for (websocket, http) in [
            (
                "wss://a.execute-api.eu-west-1.amazonaws.com/prod",
                "https://b.example/prod",
            ),
            ("ws://127.0.0.1:4000/prod", "http://127.0.0.1:4001/prod/"),
        ] {
            let service = Service::parse(&endpoints(websocket, http)).unwrap();
            assert!(!service.http_url.ends_with('/'));
        }
    }

    #[test]
    fn other_schemes_and_secrets_in_an_address_are_refused() {
        let good = "wss://a.example/prod";
        for bad in [
            "",
            "a.example",
            "http://a.example",
            "wss://u:p@a.example",
            "wss://a.example?token=1",
        ] {
            let refused = Service::parse(&endpoints(bad, "https://b.example")).unwrap_err();
            assert_eq!(refused, EndpointError::WebSocketUrl, "{bad}");
        }
        let refused = Service::parse(&endpoints(good, "wss://b.example")).unwrap_err();
        assert_eq!(refused, EndpointError::HttpUrl);
    }
}
