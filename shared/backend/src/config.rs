//! What the service is told by its environment. The only place that knows the names of the variables.

use std::fmt;

use aws_credential_types::Credentials;
use aws_types::region::Region;
use http::Uri;

/// Where the credentials come from, as the SDK shows it in its own logs.
const CREDENTIALS_PROVIDER: &str = "environment";

/// Bytes of the deployment's secret: as many as its hashes have.
const MIN_SECRET_BYTES: usize = 32;

/// Everything the service is told. `template.yaml` sets the variables up to `CONNECTIONS_ENDPOINT`; Lambda sets the
/// rest.
#[derive(Clone)]
pub struct Config {
    /// `ACCOUNTS_TABLE`.
    pub accounts_table: String,
    /// `CODES_TABLE`.
    pub codes_table: String,
    /// `LIMITS_TABLE`.
    pub limits_table: String,
    /// `LINKS_TABLE`.
    pub links_table: String,
    /// `LOCKS_TABLE`.
    pub locks_table: String,
    /// `PHONES_TABLE`.
    pub phones_table: String,
    /// `TICKETS_TABLE`.
    pub tickets_table: String,
    /// `DEVICES_TABLE`.
    pub devices_table: String,
    /// `KEYS_TABLE`.
    pub keys_table: String,
    /// `PREKEYS_TABLE`.
    pub prekeys_table: String,
    /// `MAILBOX_TABLE`.
    pub mailbox_table: String,
    /// `TOKEN_AUDIENCE`: what tokens of this deployment name as their audience.
    pub token_audience: String,
    /// `REQUESTS_PER_MINUTE`: how many an account may make.
    pub requests_per_minute: u32,
    /// `PHONE_HASH_KEY`, only in functions that deal with phone numbers: the deployment's secret.
    pub phone_hash_key: Option<String>,
    /// `SMS_DAILY_CEILING`, only in the function that sends codes: how many a day.
    pub sms_daily_ceiling: Option<u32>,
    /// `SMS_SENDER_ID`, if set: who is shown as the sender of a code, where the country allows it.
    pub sms_sender_id: Option<String>,
    /// `APNS_APPLICATION`, `APNS_SANDBOX_APPLICATION`, `FCM_APPLICATION`, only in the function that makes endpoints, and
    /// if set: the ARNs of the SNS platform applications.
    pub apns_application: Option<String>,
    /// See [`apns_application`](Self::apns_application).
    pub apns_sandbox_application: Option<String>,
    /// See [`apns_application`](Self::apns_application).
    pub fcm_application: Option<String>,
    /// `CONNECTIONS_ENDPOINT`, moved to the origin of `AWS_ENDPOINT_URL` if that is set: where `@connections`
    /// requests go.
    pub connections_endpoint: String,
    /// `AWS_ENDPOINT_URL`: where DynamoDB requests go instead of AWS's own address.
    pub aws_endpoint: Option<String>,
    /// `AWS_REGION`.
    pub region: Region,
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and, if set, `AWS_SESSION_TOKEN`. In Lambda they live as
    /// long as the process.
    pub credentials: Credentials,
}

/// Why the environment was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// A variable is not set, or empty.
    #[error("the environment variable {0} is not set")]
    Missing(&'static str),
    /// A variable that holds a number does not.
    #[error("the environment variable {0} is not a whole number")]
    NotANumber(&'static str),
    /// The deployment's secret could be guessed.
    #[error("the environment variable {0} has fewer than {MIN_SECRET_BYTES} bytes")]
    TooShort(&'static str),
    /// A variable that holds an address does not.
    #[error("the environment variable {0} is not an absolute http or https URL")]
    NotAUrl(&'static str),
}

impl Config {
    /// Reads the variables through `lookup`.
    ///
    /// # Errors
    /// [`ConfigError`] names the first variable that is missing or wrong.
    pub fn read(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let optional = |name| lookup(name).filter(|value| !value.is_empty());
        let required = |name| optional(name).ok_or(ConfigError::Missing(name));
        let connections = url("CONNECTIONS_ENDPOINT", &required("CONNECTIONS_ENDPOINT")?)?;
        let aws_endpoint = optional("AWS_ENDPOINT_URL")
            .map(|text| url("AWS_ENDPOINT_URL", &text))
            .transpose()?;
        let count = |name, text: String| text.parse().map_err(|_| ConfigError::NotANumber(name));
        let phone_hash_key = optional("PHONE_HASH_KEY");
        if phone_hash_key
            .as_ref()
            .is_some_and(|key| key.len() < MIN_SECRET_BYTES)
        {
            return Err(ConfigError::TooShort("PHONE_HASH_KEY"));
        }
        let connections_origin = aws_endpoint.as_ref().unwrap_or(&connections);
        Ok(Self {
            accounts_table: required("ACCOUNTS_TABLE")?,
            codes_table: required("CODES_TABLE")?,
            limits_table: required("LIMITS_TABLE")?,
            links_table: required("LINKS_TABLE")?,
            locks_table: required("LOCKS_TABLE")?,
            phones_table: required("PHONES_TABLE")?,
            tickets_table: required("TICKETS_TABLE")?,
            devices_table: required("DEVICES_TABLE")?,
            keys_table: required("KEYS_TABLE")?,
            prekeys_table: required("PREKEYS_TABLE")?,
            mailbox_table: required("MAILBOX_TABLE")?,
            token_audience: required("TOKEN_AUDIENCE")?,
            requests_per_minute: count("REQUESTS_PER_MINUTE", required("REQUESTS_PER_MINUTE")?)?,
            phone_hash_key,
            sms_daily_ceiling: optional("SMS_DAILY_CEILING")
                .map(|text| count("SMS_DAILY_CEILING", text))
                .transpose()?,
            sms_sender_id: optional("SMS_SENDER_ID"),
            apns_application: optional("APNS_APPLICATION"),
            apns_sandbox_application: optional("APNS_SANDBOX_APPLICATION"),
            fcm_application: optional("FCM_APPLICATION"),
            connections_endpoint: format!("{}{}", origin(connections_origin), connections.path()),
            aws_endpoint: aws_endpoint.as_ref().map(origin),
            region: Region::new(required("AWS_REGION")?),
            credentials: Credentials::new(
                required("AWS_ACCESS_KEY_ID")?,
                required("AWS_SECRET_ACCESS_KEY")?,
                optional("AWS_SESSION_TOKEN"),
                None,
                CREDENTIALS_PROVIDER,
            ),
        })
    }
}

fn url(name: &'static str, text: &str) -> Result<Uri, ConfigError> {
    let uri: Uri = text.parse().map_err(|_| ConfigError::NotAUrl(name))?;
    let absolute = matches!(uri.scheme_str(), Some("http" | "https")) && uri.host().is_some();
    if absolute {
        Ok(uri)
    } else {
        Err(ConfigError::NotAUrl(name))
    }
}

fn origin(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or_default();
    let authority = uri.authority().map(http::uri::Authority::as_str);
    format!("{scheme}://{}", authority.unwrap_or_default())
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Config")
            .field("region", &self.region)
            .field("connections_endpoint", &self.connections_endpoint)
            .field("aws_endpoint", &self.aws_endpoint)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const VARIABLES: [(&str, &str); 17] = [
        ("ACCOUNTS_TABLE", "accounts"),
        ("CODES_TABLE", "codes"),
        ("LIMITS_TABLE", "limits"),
        ("LINKS_TABLE", "links"),
        ("LOCKS_TABLE", "locks"),
        ("PHONES_TABLE", "phones"),
        ("TICKETS_TABLE", "tickets"),
        ("REQUESTS_PER_MINUTE", "500"),
        ("DEVICES_TABLE", "devices"),
        ("KEYS_TABLE", "keys"),
        ("PREKEYS_TABLE", "prekeys"),
        ("MAILBOX_TABLE", "mailbox"),
        ("TOKEN_AUDIENCE", "waxwing"),
        (
            "CONNECTIONS_ENDPOINT",
            "https://api.execute-api.eu-west-1.amazonaws.com/prod",
        ),
        ("AWS_REGION", "eu-west-1"),
        ("AWS_ACCESS_KEY_ID", "AKIDSEND"),
        ("AWS_SECRET_ACCESS_KEY", "hush"),
    ];

    fn read(changes: &[(&'static str, &'static str)]) -> Result<Config, ConfigError> {
        let variables: BTreeMap<_, _> = VARIABLES.iter().chain(changes).copied().collect();
        Config::read(|name| variables.get(name).map(ToString::to_string))
    }

    #[test]
    fn in_aws_connections_are_posted_to_their_own_address() {
        let config = read(&[]).unwrap();
        let expected = "https://api.execute-api.eu-west-1.amazonaws.com/prod";
        assert_eq!(config.connections_endpoint, expected);
        assert_eq!(config.aws_endpoint, None);
    }

    #[test]
    fn an_endpoint_of_aws_moves_dynamodb_and_connections_to_it() {
        let config = read(&[("AWS_ENDPOINT_URL", "http://127.0.0.1:4566/")]).unwrap();
        assert_eq!(config.connections_endpoint, "http://127.0.0.1:4566/prod");
        assert_eq!(config.aws_endpoint.as_deref(), Some("http://127.0.0.1:4566"));
    }

    #[test]
    fn a_missing_empty_or_wrong_variable_is_named() {
        for (name, _) in VARIABLES {
            assert_eq!(read(&[(name, "")]).unwrap_err(), ConfigError::Missing(name));
        }
        let wrong = read(&[("CONNECTIONS_ENDPOINT", "/prod")]).unwrap_err();
        assert_eq!(wrong, ConfigError::NotAUrl("CONNECTIONS_ENDPOINT"));
        for name in ["REQUESTS_PER_MINUTE", "SMS_DAILY_CEILING"] {
            assert_eq!(read(&[(name, "-1")]).unwrap_err(), ConfigError::NotANumber(name));
        }
        let short = read(&[("PHONE_HASH_KEY", "0123456789012345678901234567890")]).unwrap_err();
        assert_eq!(short, ConfigError::TooShort("PHONE_HASH_KEY"));
    }

    #[test]
    fn x86_no_secret_prints() {
        let config = read(&[
            ("AWS_SESSION_TOKEN", "quiet"),
            ("PHONE_HASH_KEY", "silence, and more of it, and more"),
        ]);
        let printed = format!("{:?}", config.unwrap());
        for secret in ["hush", "quiet", "silence"] {
            assert!(!printed.contains(secret), "{printed}");
        }
    }
}
