//! `confirm`: trade the code from a phone for a ticket.
//!
//! A guess is counted by a conditional write before it is compared: of any number of guesses at once, five are
//! compared with a code, and the rest are refused like wrong ones. The right one uses the code up and makes the ticket
//! in one transaction.
//!
//! Twice: the ticket is found, and the answer is the same, as far as it does not tell of time and of what the
//! account has become. Partial: a guess was counted and nothing else.

use waxwing_wire::{
    ErrorCode, Problem,
    confirm::{ConfirmRequest, Confirmed, ExistingAccount},
};

use crate::{
    Backend,
    clock::UnixSeconds,
    fault::Fault,
    gate,
    keyed_hash::Hash,
    phone::{InvalidPhone, Number},
    tables::{limits::seconds_until, tickets::TicketRecord},
};

/// Why there is no ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfirmError {
    /// No mobile phone has this number.
    #[error(transparent)]
    Phone(#[from] InvalidPhone),
    /// The code is wrong, used or expired, or had too many tries. Which of them is not told.
    #[error("The code is wrong or has expired. Ask for a new one.")]
    WrongCode,
    /// The service could not do its work.
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl From<ConfirmError> for Problem {
    fn from(error: ConfirmError) -> Self {
        match error {
            ConfirmError::Phone(error) => error.into(),
            ConfirmError::WrongCode => Self::new(ErrorCode::WrongCode, error.to_string()),
            ConfirmError::Fault(fault) => fault.into(),
        }
    }
}

/// Makes a ticket for the number whose code the request knows.
///
/// # Errors
/// [`ConfirmError`].
pub async fn confirm(backend: &Backend, request: ConfirmRequest) -> Result<Confirmed, ConfirmError> {
    let number = Number::parse(&request.phone)?;
    let now = backend.clock.now();
    let hash = backend.keyed_hash()?;
    let (phone, ticket) = (hash.phone(&number), hash.ticket(&request.ticket));
    let record = match find(backend, ticket, phone, now).await? {
        Some(record) => record,
        None => {
            let guess = hash.code(&number, &request.code);
            try_code(backend, phone, guess, ticket, now).await?;
            // Made by this run, or by its twin at the same moment.
            let record = find(backend, ticket, phone, now).await?;
            record.ok_or(ConfirmError::WrongCode)?
        }
    };
    Ok(Confirmed {
        expires_in_seconds: seconds_until(record.ends, now),
        existing: existing(backend, phone, now).await?,
    })
}

/// The ticket, if it is one for this number.
async fn find(
    backend: &Backend,
    ticket: Hash,
    phone: Hash,
    now: UnixSeconds,
) -> Result<Option<TicketRecord>, Fault> {
    let record = backend.tickets.find(ticket, now).await?;
    Ok(record.filter(|record| record.phone == phone))
}

/// Makes the ticket if the guess is right and nobody else uses the code at the same moment.
async fn try_code(
    backend: &Backend,
    phone: Hash,
    guess: Hash,
    ticket: Hash,
    now: UnixSeconds,
) -> Result<(), Fault> {
    if backend.codes.take_try(phone, now).await? == Some(guess) {
        let parts = [
            backend.codes.use_up(phone, guess, now)?,
            backend.tickets.put_if_absent(ticket, phone, now)?,
        ];
        backend.database.commit(&parts).await?;
    }
    Ok(())
}

/// The account that the number has already.
async fn existing(
    backend: &Backend,
    phone: Hash,
    now: UnixSeconds,
) -> Result<Option<ExistingAccount>, Fault> {
    let Some(account) = backend.phones.find(phone).await? else {
        return Ok(None);
    };
    let record = backend.accounts.find(account).await?.ok_or(Fault::Internal)?;
    let devices = backend.devices.find_all(account).await?;
    let lock = gate::live_lock(backend, account, &devices, now).await?;
    Ok(Some(ExistingAccount {
        account,
        version: record.list.version,
        lock: lock.map(|lock| lock.salt),
    }))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};
    use waxwing_wire::secret::Ticket;

    use super::*;
    use crate::testing::{Answer, Call, backend, condition_failed, done, operations, standard_base64};

    async fn guess(
        script: impl Fn(&Call) -> Answer + Send + Sync + 'static,
    ) -> (Result<Confirmed, ConfirmError>, Vec<Call>) {
        let (backend, calls) = backend(script);
        let request = ConfirmRequest {
            phone: "+491713920001".parse().unwrap(),
            code: "123456".parse().unwrap(),
            ticket: Ticket::new([1; 16]),
        };
        let result = confirm(&backend, request).await;
        let calls = calls.lock().unwrap().clone();
        (result, calls)
    }

    /// X62: the count is raised under its bound in one write; only what that write gives back is compared.
    #[tokio::test]
    async fn x62_a_guess_is_counted_before_it_is_compared() {
        let (result, calls) = guess(|call| match call.operation.as_str() {
            "UpdateItem" => (
                200,
                json!({ "Attributes": { "c": { "B": standard_base64(&[1; 32]) } } }),
            ),
            _ => done(),
        })
        .await;
        assert_eq!(result, Err(ConfirmError::WrongCode));
        let expected = ["GetItem tickets", "UpdateItem codes", "GetItem tickets"];
        assert_eq!(operations(&std::sync::Mutex::new(calls.clone())), expected);
        let condition = calls[1].body["ConditionExpression"].as_str().unwrap();
        assert_eq!(condition, "attribute_exists(c) AND u > :now AND t < :most");
    }

    #[tokio::test]
    async fn x62_without_a_try_left_nothing_is_compared() {
        let (result, calls) = guess(|call| match call.operation.as_str() {
            "UpdateItem" => condition_failed(&Value::Null),
            _ => done(),
        })
        .await;
        assert_eq!(result, Err(ConfirmError::WrongCode));
        assert!(calls.iter().all(|call| call.operation != "TransactWriteItems"));
    }

    /// X81: a guess that cannot be counted is not compared.
    #[tokio::test]
    async fn x81_guesses_fail_closed() {
        let (result, _) = guess(|call| match call.operation.as_str() {
            "UpdateItem" => crate::testing::refused("ValidationException"),
            _ => done(),
        })
        .await;
        assert_eq!(result, Err(ConfirmError::Fault(Fault::Internal)));
    }
}
