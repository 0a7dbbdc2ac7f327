//! The messages that one device of a person gives to another: what is done about them, and what is told. For both ways to
//! chat.

use waxwing_client::{Client, DeviceId, HistoryChoice, HistoryEnd, HistoryId, HistoryStage, HistoryState};

/// Something a person wants done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wish {
    /// Offer messages to a device; if none is said, to the only other one.
    Give(HistoryChoice, Option<DeviceId>),
    /// Give no more to a device; if none is said, to none.
    GiveNoMore(Option<DeviceId>),
    /// Take what is offered.
    Take,
    /// Take nothing of what is offered, or no more of it.
    Decline,
}

/// How far a history has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct History {
    pub(super) id: HistoryId,
    /// The other device.
    pub(super) device: DeviceId,
    /// Whether this device gives it.
    pub(super) giving: bool,
    pub(super) stage: HistoryStage,
    /// Messages that the taking device has stored.
    pub(super) done: u64,
    /// Of so many.
    pub(super) of: u64,
}

/// That a history is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Ending {
    pub(super) id: HistoryId,
    /// The other device.
    pub(super) device: DeviceId,
    pub(super) end: HistoryEnd,
}

impl From<HistoryState> for History {
    fn from(state: HistoryState) -> Self {
        Self {
            id: state.history,
            device: state.device,
            giving: state.giving,
            stage: state.stage,
            done: state.done,
            of: state.of,
        }
    }
}

impl History {
    /// Whether it waits for the answer of the person at this device.
    pub(super) fn asks_here(&self) -> bool {
        !self.giving && self.stage == HistoryStage::Offered
    }

    /// Whether it is not over.
    pub(super) fn is_open(&self) -> bool {
        matches!(self.stage, HistoryStage::Offered | HistoryStage::UnderWay)
    }

    /// How it stands, in words.
    pub(super) fn told(&self) -> String {
        let Self { device, done, .. } = *self;
        let all = messages(self.of);
        match (self.giving, self.stage) {
            (true, HistoryStage::Offered) => format!("Device {device} was offered {all}, and answers there."),
            (false, HistoryStage::Offered) => format!("Device {device} offers {all}."),
            (true, HistoryStage::UnderWay) => format!("Device {device} has {done} of {all}."),
            (false, HistoryStage::UnderWay) => format!("{done} of {all} of device {device} are here."),
            (true, HistoryStage::Complete) => format!("Device {device} has what it was offered: {all}."),
            (false, HistoryStage::Complete) => format!("What device {device} offered is here: {all}."),
            (true, _) => format!("Device {device} is given no more; it has {done} of {all}."),
            (false, _) => format!("Device {device} gives no more; {done} of {all} are here."),
        }
    }
}

impl Ending {
    /// How it ended, in words.
    pub(super) fn told(&self, histories: &[History]) -> String {
        let device = self.device;
        let history = histories.iter().find(|history| history.id == self.id);
        let Some(history) = history else {
            // Another one took its place.
            return format!("What was given between this device and device {device} is over.");
        };
        let (done, of) = (history.done, messages(history.of));
        let came = if history.giving {
            format!("it has {done} of {of}")
        } else {
            format!("{done} of {of} are here")
        };
        match (self.end, history.giving) {
            (HistoryEnd::Stopped, true) if done == 0 => {
                format!("Device {device} declined what it was offered.")
            }
            (HistoryEnd::Stopped, true) => format!("Device {device} wants no more; {came}."),
            (HistoryEnd::Stopped, false) => format!("Device {device} gives no more; {came}."),
            (HistoryEnd::DeviceGone, _) => {
                format!("Device {device} is not in your account any more; {came}.")
            }
            (HistoryEnd::Unreadable, _) => format!(
                "Device {device} gives what this version cannot read; {came}. Update both devices, then offer it again."
            ),
            _ => history.told(),
        }
    }
}

/// So many messages, in words.
fn messages(count: u64) -> String {
    match count {
        1 => String::from("1 message"),
        count => format!("{count} messages"),
    }
}

/// All that are known, open or not.
pub(super) fn all(client: &Client) -> Result<Vec<History>, String> {
    let histories = client.histories().map_err(|error| error.to_string())?;
    Ok(histories.into_iter().map(History::from).collect())
}

/// Does what the person wants, and says what came of it.
pub(super) async fn carry_out(client: &Client, wish: Wish) -> Result<String, String> {
    let open: Vec<_> = all(client)?.into_iter().filter(History::is_open).collect();
    match wish {
        Wish::Give(choice, device) => give(client, choice, device).await,
        Wish::GiveNoMore(device) => {
            let is_meant = |one: &&History| one.giving && device.is_none_or(|device| device == one.device);
            let ended = end(client, open.iter().filter(is_meant)).await?;
            Ok(if ended {
                String::from("No more is given. What was taken stays.")
            } else {
                String::from("Nothing is given.")
            })
        }
        Wish::Take => {
            let offers: Vec<_> = open.iter().filter(|one| one.asks_here()).collect();
            for offer in &offers {
                client
                    .take_history(offer.id)
                    .await
                    .map_err(|error| error.to_string())?;
            }
            if offers.is_empty() {
                return Err(String::from(
                    "No device offers messages: say /history all on the one that has them.",
                ));
            }
            Ok(String::from(
                "They come while both devices are connected, the newest first.",
            ))
        }
        Wish::Decline => {
            if end(client, open.iter().filter(|one| !one.giving)).await? {
                Ok(String::from("No more is taken. What came stays."))
            } else {
                Err(String::from("No device offers or gives messages."))
            }
        }
    }
}

async fn give(client: &Client, choice: HistoryChoice, device: Option<DeviceId>) -> Result<String, String> {
    let device = match device {
        Some(device) => device,
        None => the_other(client)?,
    };
    let offered = client.offer_history(device, choice).await;
    let offered = offered.map_err(|error| error.to_string())?;
    let history = all(client)?.into_iter().find(|history| history.id == offered);
    Ok(history.map_or_else(String::new, |history| history.told()))
}

/// Ends histories. Returns whether there were any.
async fn end(client: &Client, histories: impl Iterator<Item = &History>) -> Result<bool, String> {
    let mut any = false;
    for history in histories {
        client
            .end_history(history.id)
            .await
            .map_err(|error| error.to_string())?;
        any = true;
    }
    Ok(any)
}

/// The only other device.
fn the_other(client: &Client) -> Result<DeviceId, String> {
    let devices = client.devices().map_err(|error| error.to_string())?;
    let others: Vec<_> = devices.iter().filter(|device| !device.this).collect();
    match others[..] {
        [one] => Ok(one.address.device),
        [] => Err(String::from("Your account has no other device.")),
        _ => {
            let numbers: Vec<_> = others
                .iter()
                .map(|device| device.address.device.to_string())
                .collect();
            Err(format!(
                "Which device? Say its number as well, as in /history all 2. There are {}.",
                numbers.join(", ")
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn history(giving: bool, stage: HistoryStage) -> History {
        History {
            id: "00112233445566778899aabbccddeeff".parse().unwrap(),
            device: DeviceId::new(2).unwrap(),
            giving,
            stage,
            done: 64,
            of: 120,
        }
    }

    #[test]
    fn both_devices_are_told_in_their_own_words_how_a_history_stands_and_how_it_ended() {
        let taking = history(false, HistoryStage::UnderWay);
        assert_eq!(taking.told(), "64 of 120 messages of device 2 are here.");
        assert!(!taking.asks_here() && history(false, HistoryStage::Offered).asks_here());
        assert!(!history(true, HistoryStage::Offered).asks_here());
        let told = |giving, done, end| {
            let stage = if end == HistoryEnd::Complete {
                HistoryStage::Complete
            } else {
                HistoryStage::Ended
            };
            let history = History {
                done,
                ..history(giving, stage)
            };
            let ending = Ending {
                id: history.id,
                device: history.device,
                end,
            };
            ending.told(&[history])
        };
        for (giving, done, end, words) in [
            (
                false,
                64,
                HistoryEnd::Unreadable,
                "Device 2 gives what this version cannot read; 64 of 120 messages are here. Update both devices, then \
                 offer it again.",
            ),
            (
                true,
                120,
                HistoryEnd::Complete,
                "Device 2 has what it was offered: 120 messages.",
            ),
            (
                false,
                120,
                HistoryEnd::Complete,
                "What device 2 offered is here: 120 messages.",
            ),
            (
                true,
                0,
                HistoryEnd::Stopped,
                "Device 2 declined what it was offered.",
            ),
            (
                true,
                64,
                HistoryEnd::Stopped,
                "Device 2 wants no more; it has 64 of 120 messages.",
            ),
            (
                false,
                64,
                HistoryEnd::Stopped,
                "Device 2 gives no more; 64 of 120 messages are here.",
            ),
            (
                true,
                64,
                HistoryEnd::DeviceGone,
                "Device 2 is not in your account any more; it has 64 of 120 messages.",
            ),
        ] {
            assert_eq!(told(giving, done, end), words);
        }
    }
}
