//! `register`: an account with its first device, for whoever confirmed a phone number; or that number's account
//! taken over by a new device.
//!
//! Everything that makes or takes over an account is one transaction: the ticket is used, the number and the
//! account are there, the device and its keys are published, and the devices of before have ended. It rests on what
//! was read before it; if any of that changed, all is read again. One-time prekeys follow, and then what is left to
//! do for the devices that ended.
//!
//! Twice, or after a run that broke off: the ticket says what it was used for, the rest is done again, and the answer
//! is the same. Who repeats it with other keys is refused.

use aws_sdk_dynamodb::types::TransactWriteItem;
use waxwing_wire::{
    AccountId, DeviceAddress, DeviceId, ErrorCode, ListVersion, Problem, RegisteredDevice,
    frame::RemovalReason,
    keys::NewDevice,
    register::{RegisterRequest, Registered},
};

use crate::{
    Backend,
    clock::UnixSeconds,
    ended,
    fault::Fault,
    gate::{self, Attempt, GateError},
    keyed_hash::Hash,
    publish::{PublishError, publish_one_time_prekeys},
    tables::{accounts::AccountRecord, database::Commit, devices::DeviceRecord},
    verify::{self, KeyError, ListError},
};

/// Times that a registration reads everything again because something changed.
const MAX_LOST_RACES: usize = 4;

/// Why a registration was refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RegisterError {
    /// The request breaks a bound.
    #[error(transparent)]
    Request(#[from] Problem),
    /// A key or a signature is wrong.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The device list is wrong, or another was accepted since.
    #[error(transparent)]
    List(#[from] ListError),
    /// The ticket is unknown, expired, or used for another registration.
    #[error("This registration has expired. Confirm the phone number again.")]
    Ticket,
    /// The account id is not the number's, and another account has it.
    #[error("This account id is taken. Make a new one.")]
    Taken,
    /// The lock of the number's account did not open.
    #[error(transparent)]
    Gate(#[from] GateError),
    /// The one-time prekeys differ from those this registration published, or it has ended since.
    #[error(transparent)]
    Publish(#[from] PublishError),
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<RegisterError> for Problem {
    fn from(error: RegisterError) -> Self {
        let code = match error {
            RegisterError::Request(problem) => return problem,
            RegisterError::Key(error) => return error.into(),
            RegisterError::List(error) => return error.into(),
            RegisterError::Gate(error) => return error.into(),
            RegisterError::Publish(error) => return error.into(),
            RegisterError::Fault(fault) => return fault.into(),
            RegisterError::Ticket => ErrorCode::InvalidTicket,
            RegisterError::Taken => ErrorCode::AccountTaken,
        };
        Self::new(code, error.to_string())
    }
}

/// Creates an account with its first device, or takes over the account of the number that was confirmed.
///
/// # Errors
/// [`RegisterError`].
pub async fn register(backend: &Backend, request: RegisterRequest) -> Result<Registered, RegisterError> {
    let registration = Registration::check(backend, request).await?;
    registration.commit().await?;
    let Registration { device, request, .. } = &registration;
    publish_one_time_prekeys(backend, *device, &request.device.one_time_prekeys).await?;
    registration.finish_former_devices().await?;
    Ok(Registered {
        account: request.account,
        device: device.address.device,
    })
}

/// A registration whose keys and list are right.
struct Registration<'a> {
    backend: &'a Backend,
    request: RegisterRequest,
    device: RegisteredDevice,
    /// The ticket's name in the table.
    ticket: Hash,
    now: UnixSeconds,
}

impl<'a> Registration<'a> {
    async fn check(backend: &'a Backend, request: RegisterRequest) -> Result<Self, RegisterError> {
        request.check()?;
        let now = backend.clock.now();
        let ticket = backend.keyed_hash()?.ticket(&request.ticket);
        // Nobody without a ticket gets the work of a hundred keys done.
        let found = backend.tickets.find(ticket, now).await?;
        found.ok_or(RegisterError::Ticket)?;
        verify::new_device(&request.device)?;
        verify::device_list(request.account, &request.list)?;
        if request.list.devices != [verify::listed(DeviceId::MIN, &request.device)] {
            let what = "it names the device that registers, with id 1, and no other";
            return Err(ListError::Content(what).into());
        }
        let address = DeviceAddress {
            account: request.account,
            device: DeviceId::MIN,
        };
        Ok(Self {
            backend,
            device: RegisteredDevice {
                address,
                registration: request.device.registration,
            },
            ticket,
            now,
            request,
        })
    }

    /// Makes or takes over the account, unless this very registration has done so before.
    async fn commit(&self) -> Result<(), RegisterError> {
        let backend = self.backend;
        for _ in 0..MAX_LOST_RACES {
            let ticket = backend.tickets.find(self.ticket, self.now).await?;
            let ticket = ticket.ok_or(RegisterError::Ticket)?;
            if let Some(used) = ticket.used {
                return self.check_repeated(used).await;
            }
            let parts = match self.parts(ticket.phone).await {
                Ok(parts) => parts,
                Err(error) => return self.unless_done_meanwhile(error).await,
            };
            if backend.database.commit(&parts).await? == Commit::Done {
                return Ok(());
            }
        }
        Err(Fault::Unavailable.into())
    }

    /// The transaction that the number's present state asks for.
    async fn parts(&self, phone: Hash) -> Result<Vec<TransactWriteItem>, RegisterError> {
        match self.backend.phones.find(phone).await? {
            None => self.creation(phone).await,
            Some(account) if account == self.request.account => self.take_over().await,
            // The number has got an account since it was confirmed.
            Some(_) => Err(ListError::Stale.into()),
        }
    }

    /// What looks wrong may be the work of another run of this very registration since the ticket was read.
    async fn unless_done_meanwhile(&self, error: RegisterError) -> Result<(), RegisterError> {
        let ticket = self.backend.tickets.find(self.ticket, self.now).await?;
        match ticket.and_then(|ticket| ticket.used) {
            Some(used) => self.check_repeated(used).await,
            None => Err(error),
        }
    }

    /// A used ticket is good for nothing but the same registration again.
    async fn check_repeated(
        &self,
        used: (AccountId, waxwing_wire::RegistrationId),
    ) -> Result<(), RegisterError> {
        let own = (self.request.account, self.device.registration);
        let record = if used == own {
            self.backend.keys.find(self.device.address).await?
        } else {
            None
        };
        let NewDevice {
            registration,
            identity,
            ..
        } = &self.request.device;
        let is_same = record.is_some_and(|record| {
            record.published.registration == *registration && record.published.identity == *identity
        });
        if is_same {
            Ok(())
        } else {
            Err(RegisterError::Ticket)
        }
    }

    /// The transaction that makes a new account.
    async fn creation(&self, phone: Hash) -> Result<Vec<TransactWriteItem>, RegisterError> {
        let Self { backend, request, .. } = self;
        if backend.accounts.find(request.account).await?.is_some() {
            return Err(RegisterError::Taken);
        }
        if request.list.version != ListVersion::MIN {
            return Err(ListError::Stale.into());
        }
        let mut parts = self.common()?;
        parts.extend([
            backend.phones.put_if_absent(phone, request.account)?,
            backend.accounts.put_if_absent(request.account, &request.list)?,
            self.add_device()?,
        ]);
        Ok(parts)
    }

    /// The transaction that takes over the number's account. Its lock must open first.
    async fn take_over(&self) -> Result<Vec<TransactWriteItem>, RegisterError> {
        let Self { backend, request, .. } = self;
        let account = request.account;
        // Every change of the devices is one of the list: the version that is read first holds for both.
        let AccountRecord { list, ended } = backend.accounts.find(account).await?.ok_or(Fault::Internal)?;
        let devices = backend.devices.find_all(account).await?;
        if list.version.next() != Some(request.list.version) {
            return Err(ListError::Stale.into());
        }
        ended::check_new(self.device, &list, &devices, &ended)?;
        let attempt = Attempt {
            ticket: self.ticket,
            proof: request.lock_proof.as_ref(),
        };
        let passed = gate::pass(backend, account, &devices, attempt, self.now).await?;
        let ended = ended::noted(&ended, &devices);
        let mut parts = self.common()?;
        parts.extend([
            passed.part,
            backend
                .accounts
                .replace_list_if(account, list.version, &request.list, &ended)?,
        ]);
        let (first, others): (Vec<_>, Vec<_>) = devices
            .into_iter()
            .partition(|record| record.device.address == self.device.address);
        parts.push(match first.first() {
            Some(first) => self.replace_device(first)?,
            None => self.add_device()?,
        });
        parts.extend(ended::deletes(backend, &others)?);
        Ok(parts)
    }

    /// What both transactions have in common.
    fn common(&self) -> Result<Vec<TransactWriteItem>, Fault> {
        let Self { backend, request, .. } = self;
        let NewDevice {
            identity,
            signed_prekey,
            registration,
            ..
        } = &request.device;
        Ok(vec![
            backend
                .tickets
                .use_up(self.ticket, request.account, *registration, self.now)?,
            backend.keys.put(self.device, identity, signed_prekey)?,
        ])
    }

    fn add_device(&self) -> Result<TransactWriteItem, Fault> {
        let signing_key = &self.request.device.identity.signing_key;
        self.backend
            .devices
            .put_if_absent(self.device, signing_key, self.now)
    }

    fn replace_device(&self, former: &DeviceRecord) -> Result<TransactWriteItem, Fault> {
        let signing_key = &self.request.device.identity.signing_key;
        self.backend
            .devices
            .replace_if_unchanged(former, self.device, signing_key, self.now)
    }

    /// Does what is left to do for the devices of before. If that fails the request does, and its repetition does it
    /// again: nobody believes a number to be theirs alone while a connection of before is open.
    async fn finish_former_devices(&self) -> Result<(), Fault> {
        let account = self.request.account;
        let found = self.backend.accounts.find(account).await?;
        let AccountRecord { list, ended } = found.ok_or(Fault::Internal)?;
        let reason = RemovalReason::RegisteredAnew;
        ended::finish(self.backend, account, list.version, &ended, reason).await
    }
}
