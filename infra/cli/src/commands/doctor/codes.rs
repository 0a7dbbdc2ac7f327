//! The codes that come by SMS: from the outbox of a local runner, or typed by who holds the phones.

use std::{io, time::Duration};

use rand::RngExt;
use tokio::time::{Instant, sleep};
use waxwing_client::{Code, PhoneNumber};

use super::{Order, probe::Probe};
use crate::{console::Console, people};

/// How often the outbox of a local runner is looked into.
const LOOK_AGAIN: Duration = Duration::from_millis(50);

/// Numbers that are given to nobody (North American Numbering Plan: 555-0100 to 555-0199).
const FICTIONAL: std::ops::Range<u16> = 100..200;

/// Area codes to take them from, so that one runner has room for many examinations.
const AREAS: [u16; 8] = [305, 312, 415, 503, 617, 702, 713, 808];

/// Where codes come from.
pub(super) struct Codes<'a> {
    probe: &'a Probe,
    http_url: &'a str,
    local: bool,
    console: &'a Console,
}

/// Why there is no code.
#[derive(Debug, thiserror::Error)]
pub(super) enum CodeError {
    #[error("no code came into the outbox for {0} seconds")]
    NoneCame(u64),
    #[error("the outbox cannot be read any more")]
    Outbox,
    #[error("no code could be read: {0}")]
    Input(#[from] io::Error),
    #[error("what was typed is not a code of six digits")]
    NotACode,
}

impl<'a> Codes<'a> {
    /// Finds out whether the service is a local runner.
    pub(super) async fn of(order: &'a Order, probe: &'a Probe, console: &'a Console) -> Self {
        Self {
            probe,
            http_url: &order.endpoints.http_url,
            local: probe.outbox(&order.endpoints.http_url).await.is_some(),
            console,
        }
    }

    /// Whether the service is a local runner.
    pub(super) fn are_local(&self) -> bool {
        self.local
    }

    /// The numbers to register: those given, or two that nobody has.
    pub(super) fn phones(&self, given: &[PhoneNumber]) -> Option<[PhoneNumber; 2]> {
        match given {
            [first, second] => Some([first.clone(), second.clone()]),
            _ if self.local => {
                let mut rng = rand::rng();
                let first = rng.random_range(FICTIONAL);
                let second = FICTIONAL.start + (first + 1) % (FICTIONAL.end - FICTIONAL.start);
                let area = AREAS.get(rng.random_range(0..AREAS.len()))?;
                let number = |line| format!("+1{area}5550{line}").parse().ok();
                Some([number(first)?, number(second)?])
            }
            _ => None,
        }
    }

    /// The newest message in the outbox now.
    pub(super) async fn mark(&self) -> Result<u64, CodeError> {
        if !self.local {
            return Ok(0);
        }
        let texts = self.probe.outbox(self.http_url).await.ok_or(CodeError::Outbox)?;
        Ok(texts.last().map_or(0, |text| text.number))
    }

    /// The code that came to a phone after `mark`.
    pub(super) async fn code_for(
        &self,
        phone: &PhoneNumber,
        mark: u64,
        patience: Duration,
    ) -> Result<Code, CodeError> {
        if !self.local {
            return self.ask(phone).await;
        }
        let end = Instant::now() + patience;
        loop {
            let texts = self.probe.outbox(self.http_url).await.ok_or(CodeError::Outbox)?;
            let mut new = texts
                .iter()
                .filter(|text| text.number > mark && text.to == phone.as_str());
            if let Some(code) = new.find_map(|text| people::code_in(&text.body)) {
                return Ok(code);
            }
            if Instant::now() > end {
                return Err(CodeError::NoneCame(patience.as_secs()));
            }
            sleep(LOOK_AGAIN).await;
        }
    }

    async fn ask(&self, phone: &PhoneNumber) -> Result<Code, CodeError> {
        let number = phone.as_str();
        let ending = number.get(number.len().saturating_sub(4)..).unwrap_or_default();
        self.console.warn(format_args!(
            "Type the code that came to the phone with the number ending in {ending}:"
        ));
        let read = tokio::task::spawn_blocking(|| {
            let mut line = String::new();
            io::stdin().read_line(&mut line).map(|_| line)
        });
        let line = read.await.map_err(io::Error::other)??;
        line.trim().parse().map_err(|_| CodeError::NotACode)
    }
}
