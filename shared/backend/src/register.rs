//! `register`: an account with its first device.
//!
//! The account is taken by whoever adds its first device: a conditional put decides. Twice, or after a run that
//! broke off: the same keys find their own device, the rest of the pool is filled in, and the answer is the
//! same; other keys are refused.

use waxwing_wire::{
    DeviceAddress, DeviceId, ErrorCode, Problem, RegisteredDevice,
    register::{RegisterRequest, Registered},
};

use crate::{
    Backend,
    fault::Fault,
    publish::{add_device_if_absent, publish_one_time_prekeys},
    verify::{self, KeyError},
};

/// Why a registration was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// A key or a signature is wrong.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The account exists with other keys.
    #[error("This account id is taken. Make a new one.")]
    Taken,
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        match error {
            RegisterError::Request(problem) => problem,
            RegisterError::Key(error) => error.into(),
            RegisterError::Taken => Self::new(ErrorCode::AccountTaken, error.to_string()),
            RegisterError::Fault(fault) => fault.into(),
        }
    }
}

/// Creates an account with its first device.
///
/// # Errors
/// [`RegisterError`].
pub async fn register(backend: &Backend, request: RegisterRequest) -> Result<Registered, RegisterError> {
    let RegisterRequest { account, device: new } = request;
    new.check()?;
    verify::new_device(&new)?;
    let address = DeviceAddress {
        account,
        device: DeviceId::MIN,
    };
    let device = RegisteredDevice {
        address,
        registration: new.registration,
    };
    // An account is free while it has no device at all, not only no first one.
    let is_free = backend.devices.find_all(account).await?.is_empty();
    let is_new = is_free && add_device_if_absent(backend, device, &new).await?;
    if !is_new {
        let published = backend.keys.find(address).await?.map(|record| record.published);
        let is_same = published.is_some_and(|published| {
            published.registration == new.registration && published.identity == new.identity
        });
        if !is_same {
            return Err(RegisterError::Taken);
        }
    }
    publish_one_time_prekeys(backend, device, &new.one_time_prekeys)
        .await?
        .ok_or(RegisterError::Taken)?;
    Ok(Registered {
        account,
        device: address.device,
    })
}
