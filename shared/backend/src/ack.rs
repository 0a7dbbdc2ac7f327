//! `ack`: a device has stored these envelopes; they leave its mailbox.
//!
//! The mailbox is that of the connection's device, and the ids are named one by one. Twice, or for ids that are
//! not there: changes nothing. Partial: what is left is deleted by the next ack of the same ids.

use std::collections::BTreeSet;

use waxwing_wire::{
    Problem, RegisteredDevice,
    ack::{AckRequest, Acked},
};

use crate::{Backend, fault::Fault};

/// Why an ack was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AckError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// The service could not do its work. Some of the envelopes may be deleted.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<AckError> for Problem {
    fn from(error: AckError) -> Self {
        match error {
            AckError::Request(problem) => problem,
            AckError::Fault(fault) => fault.into(),
        }
    }
}

/// Deletes envelopes from the device's own mailbox.
///
/// # Errors
/// [`AckError`].
pub async fn ack(
    backend: &Backend,
    device: RegisteredDevice,
    request: AckRequest,
) -> Result<Acked, AckError> {
    request.check()?;
    let ids: BTreeSet<_> = request.ids.into_iter().collect();
    backend.mailbox.delete_all(device, ids).await?;
    Ok(Acked {
        request: request.request,
    })
}
