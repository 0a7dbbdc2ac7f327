//! `authorize`: which device a token speaks for.
//!
//! The same check opens a WebSocket and guards each HTTP request. The claims are read once unverified, only to
//! find whose key must verify them; the key comes from that device's record, never from the token. Header and
//! algorithm are pinned (RFC 8725, sections 3.1 and 3.2), and a token ends with the registration it names.

use jsonwebtoken::{Algorithm, DecodingKey, Validation, dangerous};
use p256::elliptic_curve::sec1::ToSec1Point;
use waxwing_wire::{
    ErrorCode, Problem, PublicKey, RegisteredDevice,
    bytes::to_base64,
    limits::{MAX_CLOCK_SKEW_SECONDS, MAX_TOKEN_BYTES, MAX_TOKEN_LIFE_SECONDS},
    token::{Claims, HEADER},
};

use crate::{Backend, clock::UnixSeconds, fault::Fault, tables::devices::DeviceRecord, verify};

/// A device that has proved who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Authorized {
    /// The device.
    pub device: RegisteredDevice,
    /// The key that verifies what it signs.
    pub signing_key: PublicKey,
}

/// Why a token was refused. A client is told no more than that it was.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AuthorizeError {
    /// The token is missing, wrong, expired, or of a device that is gone.
    #[error("The token is missing, wrong or expired. Make a new one.")]
    Refused,
    /// The service could not look the device up.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<AuthorizeError> for Problem {
    fn from(error: AuthorizeError) -> Self {
        match error {
            AuthorizeError::Refused => Self::new(ErrorCode::Unauthorized, error.to_string()),
            AuthorizeError::Fault(fault) => fault.into(),
        }
    }
}

/// Verifies the value of an `Authorization` header.
///
/// # Errors
/// [`AuthorizeError`].
pub async fn authorize(backend: &Backend, header: Option<&str>) -> Result<Authorized, AuthorizeError> {
    let token = header.and_then(bearer).ok_or(AuthorizeError::Refused)?;
    let claimed = read_unverified(token)?;
    let record = backend.devices.find(claimed.registered_device().address).await?;
    let record = record.ok_or(AuthorizeError::Refused)?;
    verify_token(token, &record, &backend.token_audience, backend.clock.now())
}

/// The token of a `Bearer` header value (RFC 6750, section 2.1). The scheme's case does not matter (RFC 9110,
/// section 11.1).
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token)
}

/// The claims, unverified: good for finding the key and nothing else.
fn read_unverified(token: &str) -> Result<Claims, AuthorizeError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(AuthorizeError::Refused);
    }
    let after_header = token.strip_prefix(&to_base64(HEADER.as_bytes()));
    if !after_header.is_some_and(|rest| rest.starts_with('.')) {
        return Err(AuthorizeError::Refused);
    }
    dangerous::insecure_decode_claims(token).map_err(|_| AuthorizeError::Refused)
}

fn verify_token(
    token: &str,
    record: &DeviceRecord,
    audience: &str,
    now: UnixSeconds,
) -> Result<Authorized, AuthorizeError> {
    let point = verify::point(&record.signing_key).map_err(|_| Fault::Internal)?;
    let key = DecodingKey::from_ec_der(point.to_sec1_point(false).as_bytes());
    let mut validation = Validation::new(Algorithm::ES256);
    validation.set_audience(&[audience]);
    validation.set_required_spec_claims(&["aud", "exp", "sub"]);
    // The library compares with the system's clock; the times are compared with this service's below.
    validation.validate_exp = false;
    let claims: Claims = jsonwebtoken::decode(token, &key, &validation)
        .map_err(|_| AuthorizeError::Refused)?
        .claims;
    if is_timely(&claims, now) && claims.registered_device() == record.device {
        Ok(Authorized {
            device: record.device,
            signing_key: record.signing_key,
        })
    } else {
        Err(AuthorizeError::Refused)
    }
}

fn is_timely(claims: &Claims, now: UnixSeconds) -> bool {
    let life = claims.exp.checked_sub(claims.iat);
    life.is_some_and(|life| (1..=MAX_TOKEN_LIFE_SECONDS).contains(&life))
        && UnixSeconds(claims.iat) <= now.plus(MAX_CLOCK_SKEW_SECONDS)
        && UnixSeconds(claims.exp).plus(MAX_CLOCK_SKEW_SECONDS) > now
}

#[cfg(test)]
mod tests {
    use p256::ecdsa::{Signature as EcdsaSignature, SigningKey, signature::Signer};
    use serde_json::{Value, json};
    use waxwing_wire::{Signature, token::assemble};

    use super::*;
    use crate::{testing::device, verify::tests::TestDevice};

    const NOW: u64 = 1_800_000_000;

    fn owner() -> RegisteredDevice {
        device(1, 1, 7)
    }

    fn key() -> SigningKey {
        TestDevice::new(1).signing
    }

    fn record() -> DeviceRecord {
        DeviceRecord {
            device: owner(),
            signing_key: TestDevice::new(1).published.identity.signing_key,
            connection: None,
            owed_since: None,
            alerted_at: None,
            endpoint: None,
            seen_at: UnixSeconds(0),
        }
    }

    fn claims() -> Value {
        json!({
            "aud": "waxwing",
            "sub": owner().address.account,
            "device": 1,
            "registration": 7,
            "iat": NOW - 10,
            "exp": NOW + 290,
        })
    }

    /// The claims with one of them changed, or taken away by `null`.
    fn with(name: &str, value: impl Into<Value>) -> Value {
        let mut claims = claims();
        match value.into() {
            Value::Null => claims.as_object_mut().unwrap().remove(name),
            value => claims.as_object_mut().unwrap().insert(name.into(), value),
        };
        claims
    }

    fn signed(key: &SigningKey, header: &str, claims: &str) -> String {
        let input = format!(
            "{}.{}",
            to_base64(header.as_bytes()),
            to_base64(claims.as_bytes())
        );
        let signature: EcdsaSignature = key.sign(input.as_bytes());
        assemble(&input, &Signature::from_slice(&signature.to_bytes()).unwrap())
    }

    fn token(claims: &Value) -> String {
        signed(&key(), HEADER, &claims.to_string())
    }

    fn check(token: &str) -> Result<Authorized, AuthorizeError> {
        read_unverified(token)?;
        verify_token(token, &record(), "waxwing", UnixSeconds(NOW))
    }

    #[test]
    fn a_token_that_the_device_signed_is_accepted() {
        let authorized = check(&token(&claims())).unwrap();
        assert_eq!(authorized.device, owner());
        assert_eq!(authorized.signing_key, record().signing_key);
    }

    #[test]
    fn what_the_contract_assembles_is_accepted() {
        let claims: Claims = serde_json::from_value(claims()).unwrap();
        let input = claims.signing_input();
        let signature: EcdsaSignature = key().sign(input.as_bytes());
        let token = assemble(&input, &Signature::from_slice(&signature.to_bytes()).unwrap());
        assert!(check(&token).is_ok());
    }

    #[test]
    fn x85_clocks_may_differ_by_the_skew_and_no_more() {
        let skew = MAX_CLOCK_SKEW_SECONDS;
        let times = [
            (NOW + skew, NOW + 300, true),
            (NOW + skew + 1, NOW + 300, false),
            (NOW - 300, NOW - skew + 1, true),
            (NOW - 300, NOW - skew, false),
        ];
        for (iat, exp, accepted) in times {
            let mut claims = claims();
            (claims["iat"], claims["exp"]) = (iat.into(), exp.into());
            assert_eq!(check(&token(&claims)).is_ok(), accepted, "{iat} to {exp}");
        }
    }

    fn header(text: &str) -> String {
        signed(&key(), text, &claims().to_string())
    }

    fn parts() -> [String; 3] {
        let token = token(&claims());
        let mut parts = token.split('.').map(str::to_owned);
        std::array::from_fn(|_| parts.next().unwrap())
    }

    fn altered_signature(alter: impl FnOnce(&mut Vec<u8>)) -> String {
        let [header, claims, signature] = parts();
        let mut bytes = waxwing_wire::bytes::from_base64(&signature).unwrap();
        alter(&mut bytes);
        format!("{header}.{claims}.{}", to_base64(&bytes))
    }

    fn keyed_with_the_public_key() -> String {
        let input = format!("{}.{}", to_base64(br#"{"alg":"HS256","typ":"JWT"}"#), parts()[1]);
        let secret = jsonwebtoken::EncodingKey::from_secret(record().signing_key.as_bytes());
        let mac = jsonwebtoken::crypto::sign(input.as_bytes(), &secret, Algorithm::HS256).unwrap();
        format!("{input}.{mac}")
    }

    /// X67: everything a forger, a confused client or a lenient parser might make of a token.
    #[test]
    fn x67_bad_tokens_are_refused() {
        let [header_part, claims_part, signature] = parts();
        let repeated_claim = claims().to_string().replacen('{', r#"{"aud":"waxwing","#, 1);
        let bad = [
            ("empty", String::new()),
            ("one part", header_part.clone()),
            ("two parts", format!("{header_part}.{claims_part}")),
            (
                "four parts",
                format!("{header_part}.{claims_part}.{signature}.{signature}"),
            ),
            ("no signature", format!("{header_part}.{claims_part}.")),
            ("alg none", header(r#"{"alg":"none","typ":"JWT"}"#)),
            (
                "alg none, unsigned",
                format!("{}.{claims_part}.", to_base64(br#"{"alg":"none","typ":"JWT"}"#)),
            ),
            ("alg None", header(r#"{"alg":"None","typ":"JWT"}"#)),
            ("alg HS256 under the public key", keyed_with_the_public_key()),
            ("alg RS256", header(r#"{"alg":"RS256","typ":"JWT"}"#)),
            ("alg ES384", header(r#"{"alg":"ES384","typ":"JWT"}"#)),
            (
                "kid",
                header(r#"{"alg":"ES256","typ":"JWT","kid":"../../dev/null"}"#),
            ),
            ("jwk", header(r#"{"alg":"ES256","typ":"JWT","jwk":{"kty":"EC"}}"#)),
            ("crit", header(r#"{"alg":"ES256","typ":"JWT","crit":["exp"]}"#)),
            ("typ", header(r#"{"alg":"ES256","typ":"at+jwt"}"#)),
            ("header with a space", header(r#"{"alg":"ES256", "typ":"JWT"}"#)),
            (
                "another device's key",
                signed(&TestDevice::new(2).signing, HEADER, &claims().to_string()),
            ),
            ("signature altered", altered_signature(|bytes| bytes[40] ^= 1)),
            ("signature of zeros", altered_signature(|bytes| bytes.fill(0))),
            ("signature cut", altered_signature(|bytes| bytes.truncate(63))),
            ("signature longer", altered_signature(|bytes| bytes.push(0))),
            ("signature padded", format!("{}=", token(&claims()))),
            ("claims altered", {
                let other = to_base64(with("exp", NOW + 291).to_string().as_bytes());
                format!("{header_part}.{other}.{signature}")
            }),
            ("no aud", token(&with("aud", Value::Null))),
            ("other aud", token(&with("aud", "elsewhere"))),
            (
                "list of auds",
                token(&with("aud", json!(["waxwing", "elsewhere"]))),
            ),
            ("no sub", token(&with("sub", Value::Null))),
            ("sub no id", token(&with("sub", "#"))),
            (
                "other sub",
                token(&with("sub", device(2, 1, 7).address.account.to_string())),
            ),
            ("other device", token(&with("device", 2))),
            ("no device", token(&with("device", Value::Null))),
            ("device as text", token(&with("device", "1"))),
            ("former registration", token(&with("registration", 6))),
            ("no registration", token(&with("registration", Value::Null))),
            ("no exp", token(&with("exp", Value::Null))),
            ("exp as text", token(&with("exp", "1800000290"))),
            ("exp negative", token(&with("exp", -1))),
            ("exp too large", token(&with("exp", json!(u64::MAX)))),
            ("expired", token(&with("exp", NOW - MAX_CLOCK_SKEW_SECONDS))),
            ("no iat", token(&with("iat", Value::Null))),
            ("iat as text", token(&with("iat", "1799999990"))),
            (
                "iat in the future",
                token(&with("iat", NOW + MAX_CLOCK_SKEW_SECONDS + 1)),
            ),
            ("iat after exp", token(&with("iat", NOW + 291))),
            (
                "lives too long",
                token(&with("exp", NOW - 10 + MAX_TOKEN_LIFE_SECONDS + 1)),
            ),
            ("claim twice", signed(&key(), HEADER, &repeated_claim)),
            ("claims no object", signed(&key(), HEADER, "[]")),
            ("claims no JSON", signed(&key(), HEADER, "{")),
            ("too long", token(&with("padding", "x".repeat(MAX_TOKEN_BYTES)))),
        ];
        for (what, token) in bad {
            assert_eq!(check(&token), Err(AuthorizeError::Refused), "{what}");
        }
    }

    #[test]
    fn only_a_bearer_header_carries_a_token() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bearer abc"), Some("abc"));
        for value in ["abc", "Basic abc", "Bearer", "Bearerabc", ""] {
            assert_eq!(bearer(value), None, "{value}");
        }
    }

    #[tokio::test]
    async fn x68_a_token_of_a_device_that_is_gone_is_refused() {
        let (backend, _) = crate::testing::backend(|_| crate::testing::done());
        let header = format!("Bearer {}", token(&claims()));
        assert_eq!(
            authorize(&backend, Some(&header)).await,
            Err(AuthorizeError::Refused)
        );
        assert_eq!(authorize(&backend, None).await, Err(AuthorizeError::Refused));
    }
}
