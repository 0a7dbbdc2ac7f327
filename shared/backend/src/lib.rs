//! What the service does, over the AWS SDK. One verb a file, one noun a file under [`tables`].
//!
//! It moves ciphertext and publishes keys; nothing here could decrypt a message.

pub mod clock;
pub mod config;

use aws_credential_types::provider::SharedCredentialsProvider;
use aws_smithy_runtime_api::client::http::SharedHttpClient;

pub use clock::Clock;
pub use config::Config;

/// The service: its tables, its connections and its clock. Cheap to clone; one per process.
#[derive(Clone, Debug)]
pub struct Backend {
    #[allow(dead_code, reason = "the verbs follow")]
    clock: Clock,
}

impl Backend {
    /// The service as `config` describes it. Requests to AWS go through `http_client`, or the SDK's own if
    /// there is none.
    pub fn new(config: &Config, clock: Clock, http_client: Option<SharedHttpClient>) -> Self {
        let _ = (
            SharedCredentialsProvider::new(config.credentials.clone()),
            http_client,
        );
        Self { clock }
    }
}
