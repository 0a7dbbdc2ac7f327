//! Links: offers of a place for a new device, and what became of each.
//!
//! An offer is found by the hash of its token, so that the table tells nobody a token. It goes from *offered* to
//! *taken up* to *linked*, or to *declined*, never back, and ends with its time: an item that has expired does not
//! exist for this service, although DynamoDB may keep it for days, and its token never gets a second offer while it
//! does.

use aws_sdk_dynamodb::{
    error::SdkError,
    operation::{put_item::PutItemError, update_item::UpdateItemError},
    types::{ReturnValue, ReturnValuesOnConditionCheckFailure, TransactWriteItem, Update},
};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use sha2::{Digest, Sha256};
use waxwing_wire::{
    DeviceAddress, DeviceId, KemKey, KeyId, PublicKey, RegisteredDevice, RegistrationId, Signature,
    keys::{DeviceIdentity, NewDevice, SignedPrekey},
    limits::OFFER_LIFE_SECONDS,
    secret::LinkToken,
};

use crate::{
    clock::UnixSeconds,
    fault::Fault,
    tables::{
        database::Database,
        item::{Damaged, Item, Reader, binary, item, number},
    },
};

/// Partition key, binary: SHA-256 of the token, 32 bytes.
pub const PARTITION_KEY: &str = "t";
/// Number: when the offer stops to exist, in seconds of Unix time. The table's TTL attribute.
pub const EXPIRES_AT: &str = "expires_at";
/// Binary: the device that made the offer: account, device and registration, 21 bytes.
const OFFERER: &str = "o";
/// Number: how far the link has come, one of those below.
const STAGE: &str = "z";
/// Binary, from the second stage on: SHA-256 of the request that took the offer up.
const REQUEST: &str = "q";
/// Number, when linked: the id of the new device.
const DEVICE: &str = "d";
// From the second stage on, of the new device, as in the table Keys: number `r` registration, binary `s` signing
// key, `i` identity key, `n` its signature; number `k` id of the signed prekey, binary `p` key, `m` KEM key, `g`
// signature.
const REGISTRATION: &str = "r";
const SIGNING_KEY: &str = "s";
const IDENTITY_KEY: &str = "i";
const IDENTITY_SIGNATURE: &str = "n";
const SIGNED_PREKEY_ID: &str = "k";
const SIGNED_PREKEY: &str = "p";
const KEM_KEY: &str = "m";
const SIGNED_PREKEY_SIGNATURE: &str = "g";

const OFFERED: u32 = 1;
const TAKEN_UP: u32 = 2;
const LINKED: u32 = 3;
const DECLINED: u32 = 4;

/// Seconds after the acceptance in which the new device may still ask what became of its request: it may have lost
/// its network while the person looked at the other screen.
const LINKED_LIFE_SECONDS: u64 = 24 * 60 * 60;

const IS_ABSENT: &str = "attribute_not_exists(t)";

const TAKE_UP: &str = "SET z = :taken_up, q = :request, r = :registration, s = :signing_key, i = :identity_key, \
    n = :identity_signature, k = :prekey_id, p = :prekey, m = :kem_key, g = :prekey_signature";
const IS_OPEN: &str = "z = :offered AND expires_at > :now";

const DECLINE: &str = "SET z = :declined";
const IS_UNANSWERED: &str = "z IN (:offered, :taken_up) AND expires_at > :now";

const ACCEPT: &str = "SET z = :linked, d = :device, expires_at = :expires";
const IS_TAKEN_UP_BY: &str = "z = :taken_up AND q = :request AND expires_at > :now";

/// SHA-256 of a request to link: what tells its repetition from another request for the same offer.
pub(crate) type RequestDigest = [u8; 32];

/// An offer that has not expired.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LinkRecord {
    /// The device that made it.
    pub(crate) offerer: RegisteredDevice,
    pub(crate) expires_at: UnixSeconds,
    pub(crate) stage: Stage,
}

/// How far a link has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Nobody has taken it up.
    Offered,
    /// A new device waits for the answer.
    TakenUp {
        /// Its request.
        request: RequestDigest,
        /// What it publishes, without one-time prekeys.
        new: Box<NewDevice>,
    },
    /// The device is in the account.
    Linked {
        /// The request that was accepted.
        request: RequestDigest,
        /// The device.
        device: RegisteredDevice,
    },
    /// The offer was withdrawn or the device declined.
    Declined,
}

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    database: Database,
    table: String,
}

impl Links {
    pub(crate) fn new(database: Database, table: String) -> Self {
        Self { database, table }
    }

    /// The offer, as of `now`.
    pub(crate) async fn find_alive(
        &self,
        token: &LinkToken,
        now: UnixSeconds,
    ) -> Result<Option<LinkRecord>, Fault> {
        let request = self.database.client().get_item().table_name(&self.table);
        let output = request
            .set_key(Some(key(token)))
            .consistent_read(true)
            .send()
            .await
            .map_err(|error| Fault::of("GetItem Links", &error))?;
        read_alive(output.item.as_ref(), now)
    }

    /// Makes an offer, or gives the one that this token has had. `None` if it has expired.
    pub(crate) async fn put_if_absent(
        &self,
        token: &LinkToken,
        offerer: RegisteredDevice,
        now: UnixSeconds,
    ) -> Result<Option<LinkRecord>, Fault> {
        let expires_at = now.plus(OFFER_LIFE_SECONDS);
        let mut item = key(token);
        item.insert(OFFERER.into(), binary(offerer.to_bytes()));
        item.insert(STAGE.into(), number(OFFERED));
        item.insert(EXPIRES_AT.into(), number(expires_at.0));
        let put = self.database.client().put_item().table_name(&self.table);
        let result = put
            .set_item(Some(item))
            .condition_expression(IS_ABSENT)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let Err(error) = result else {
            return Ok(Some(LinkRecord {
                offerer,
                expires_at,
                stage: Stage::Offered,
            }));
        };
        match error.as_service_error() {
            Some(PutItemError::ConditionalCheckFailedException(failed)) => {
                read_alive(failed.item.as_ref(), now)
            }
            _ => Err(Fault::of("PutItem Links", &error)),
        }
    }

    /// Gives the offer to the new device, unless it is not open (any more). Gives back how it stands now.
    pub(crate) async fn take_up_if_open(
        &self,
        token: &LinkToken,
        request: RequestDigest,
        new: &NewDevice,
        now: UnixSeconds,
    ) -> Result<Option<LinkRecord>, Fault> {
        let update = self.database.client().update_item().table_name(&self.table);
        let (identity, prekey) = (&new.identity, &new.signed_prekey);
        let result = update
            .set_key(Some(key(token)))
            .update_expression(TAKE_UP)
            .condition_expression(IS_OPEN)
            .expression_attribute_values(":offered", number(OFFERED))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":taken_up", number(TAKEN_UP))
            .expression_attribute_values(":request", binary(request))
            .expression_attribute_values(":registration", number(new.registration.get()))
            .expression_attribute_values(":signing_key", binary(*identity.signing_key.as_bytes()))
            .expression_attribute_values(":identity_key", binary(*identity.identity_key.as_bytes()))
            .expression_attribute_values(
                ":identity_signature",
                binary(*identity.identity_signature.as_bytes()),
            )
            .expression_attribute_values(":prekey_id", number(prekey.id.get()))
            .expression_attribute_values(":prekey", binary(*prekey.key.as_bytes()))
            .expression_attribute_values(":kem_key", binary(*prekey.kem_key.as_bytes()))
            .expression_attribute_values(":prekey_signature", binary(*prekey.signature.as_bytes()))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let found = match result {
            Ok(output) => output.attributes,
            Err(error) => refused(error)?,
        };
        read_alive(found.as_ref(), now)
    }

    /// Ends an offer that is not answered. Gives back how it stands now.
    pub(crate) async fn decline_if_unanswered(
        &self,
        token: &LinkToken,
        now: UnixSeconds,
    ) -> Result<Option<LinkRecord>, Fault> {
        let update = self.database.client().update_item().table_name(&self.table);
        let result = update
            .set_key(Some(key(token)))
            .update_expression(DECLINE)
            .condition_expression(IS_UNANSWERED)
            .expression_attribute_values(":offered", number(OFFERED))
            .expression_attribute_values(":taken_up", number(TAKEN_UP))
            .expression_attribute_values(":declined", number(DECLINED))
            .expression_attribute_values(":now", number(now.0))
            .return_values(ReturnValue::AllNew)
            .return_values_on_condition_check_failure(ReturnValuesOnConditionCheckFailure::AllOld)
            .send()
            .await;
        let found = match result {
            Ok(output) => output.attributes,
            Err(error) => refused(error)?,
        };
        read_alive(found.as_ref(), now)
    }

    /// The part of a transaction that records the acceptance of the device that took the offer up by `request`.
    pub(crate) fn accept_if_taken_up(
        &self,
        token: &LinkToken,
        request: RequestDigest,
        device: DeviceId,
        now: UnixSeconds,
    ) -> Result<TransactWriteItem, Fault> {
        let update = Update::builder()
            .table_name(&self.table)
            .set_key(Some(key(token)))
            .update_expression(ACCEPT)
            .condition_expression(IS_TAKEN_UP_BY)
            .expression_attribute_values(":taken_up", number(TAKEN_UP))
            .expression_attribute_values(":request", binary(request))
            .expression_attribute_values(":now", number(now.0))
            .expression_attribute_values(":linked", number(LINKED))
            .expression_attribute_values(":device", number(device.get()))
            .expression_attribute_values(":expires", number(now.plus(LINKED_LIFE_SECONDS).0))
            .build()
            .map_err(|_| Fault::Internal)?;
        Ok(TransactWriteItem::builder().update(update).build())
    }
}

fn refused(error: SdkError<UpdateItemError, HttpResponse>) -> Result<Option<Item>, Fault> {
    match error.as_service_error() {
        Some(UpdateItemError::ConditionalCheckFailedException(failed)) => Ok(failed.item.clone()),
        _ => Err(Fault::of("UpdateItem Links", &error)),
    }
}

fn key(token: &LinkToken) -> Item {
    let hash: [u8; 32] = Sha256::digest(token.as_bytes()).into();
    item([(PARTITION_KEY, binary(hash))])
}

fn read_alive(item: Option<&Item>, now: UnixSeconds) -> Result<Option<LinkRecord>, Fault> {
    let record = item.map(read).transpose()?;
    Ok(record.filter(|record| record.expires_at > now))
}

fn read(item: &Item) -> Result<LinkRecord, Damaged> {
    let reader = Reader { table: "Links", item };
    let offerer = reader.binary(OFFERER, |bytes| read_registered(bytes).ok_or(()))?;
    let request = || reader.binary(REQUEST, RequestDigest::try_from);
    let stage = match reader.number(STAGE)? {
        OFFERED => Stage::Offered,
        TAKEN_UP => Stage::TakenUp {
            request: request()?,
            new: Box::new(read_new(reader)?),
        },
        LINKED => {
            let device = DeviceId::new(reader.number(DEVICE)?);
            Stage::Linked {
                request: request()?,
                device: RegisteredDevice {
                    address: DeviceAddress {
                        account: offerer.address.account,
                        device: device.map_err(|_| reader.damaged(DEVICE))?,
                    },
                    registration: read_registration(reader)?,
                },
            }
        }
        DECLINED => Stage::Declined,
        _ => return Err(reader.damaged(STAGE)),
    };
    Ok(LinkRecord {
        offerer,
        expires_at: UnixSeconds(reader.number(EXPIRES_AT)?),
        stage,
    })
}

fn read_registered(bytes: &[u8]) -> Option<RegisteredDevice> {
    let (address, registration) = bytes.split_last_chunk()?;
    Some(RegisteredDevice {
        address: DeviceAddress::from_bytes(address).ok()?,
        registration: RegistrationId::new(u32::from_be_bytes(*registration).into()).ok()?,
    })
}

fn read_registration(reader: Reader<'_>) -> Result<RegistrationId, Damaged> {
    let registration = RegistrationId::new(reader.number(REGISTRATION)?);
    registration.map_err(|_| reader.damaged(REGISTRATION))
}

fn read_new(reader: Reader<'_>) -> Result<NewDevice, Damaged> {
    let prekey_id = KeyId::new(reader.number(SIGNED_PREKEY_ID)?);
    Ok(NewDevice {
        registration: read_registration(reader)?,
        identity: DeviceIdentity {
            signing_key: reader.binary(SIGNING_KEY, PublicKey::from_slice)?,
            identity_key: reader.binary(IDENTITY_KEY, PublicKey::from_slice)?,
            identity_signature: reader.binary(IDENTITY_SIGNATURE, Signature::from_slice)?,
        },
        signed_prekey: SignedPrekey {
            id: prekey_id.map_err(|_| reader.damaged(SIGNED_PREKEY_ID))?,
            key: reader.binary(SIGNED_PREKEY, PublicKey::from_slice)?,
            kem_key: reader.binary(KEM_KEY, KemKey::from_slice)?,
            signature: reader.binary(SIGNED_PREKEY_SIGNATURE, Signature::from_slice)?,
        },
        one_time_prekeys: Vec::new(),
    })
}
