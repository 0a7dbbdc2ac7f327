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

/// The token of a `Bearer` header value (RFC 6750, section 2.1; the scheme in any case, RFC 9110, section 11.1).
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
