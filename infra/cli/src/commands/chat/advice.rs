//! What both chats say of what the client tells, and what the person can do about it: by keys on the screen, by commands
//! line by line.

use std::fmt::Display;

use waxwing_client::{AccountId, DeviceChange, Event, ResetCause};

use crate::console::printable;

/// How a person does what is advised.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum By {
    /// On the screen.
    Keys,
    /// Line by line.
    Commands,
}

/// Said where a new connection took the place of one.
pub(super) const RENEWED: &str = "On a new connection; nothing was lost.";

/// Said when a phone would have been woken.
pub(super) const WOKEN: &str =
    "An alert came, as a phone would get it: without content. It wakes this device.";

/// Said where an event concerns the whole account.
pub(super) fn of_the_account(event: &Event) -> Option<String> {
    Some(match event {
        Event::RegistrationAttempted => {
            String::from("Somebody tried to register your number and did not have your PIN.")
        }
        Event::RefusedRepeatedly => String::from(
            "The service refuses this device again and again. It was probably removed from its account, or the service \
             began anew without it. What is stored stays readable.",
        ),
        Event::Removed { .. } => String::from(
            "This device is not in its account any more. It sends and receives nothing; what it stored stays readable.",
        ),
        Event::PushTokenRefused { reason } => format!(
            "The service does not take the push token ({reason:?}): no alert wakes this device. Start anew to get another."
        ),
        _ => return None,
    })
}

/// Said where an event concerns one account, which is called `whose`: which account that is, and what.
pub(super) fn of_somebody(
    event: &Event,
    by: By,
    name_of: impl FnOnce(AccountId) -> String,
) -> Option<(AccountId, Said)> {
    let account = match event {
        Event::Undecryptable { envelope, .. } => envelope.from.account,
        Event::AccountKeyChanged { account, .. } | Event::DevicesChanged { account, .. } => *account,
        Event::UnlistedDevice { device } | Event::ClonedDevice { device } => device.account,
        Event::SessionReset { peer, .. } => peer.account,
        _ => return None,
    };
    let whose = name_of(account);
    let said = match event {
        Event::Undecryptable { reason, .. } => {
            Said::warning(format!("A message of {whose} could not be read: {reason}."))
        }
        Event::AccountKeyChanged { .. } => Said::warning(key_changed(&whose, by)),
        Event::DevicesChanged { changes, .. } => {
            Said::note(format!("The devices of {whose} changed: {}.", changed(changes)))
        }
        Event::UnlistedDevice { .. } => Said::warning(format!(
            "The service presents a device that {whose} did not sign. Nothing is sent to it."
        )),
        Event::ClonedDevice { device } => Said::warning(format!(
            "Device {} of {whose} runs twice, from a copy. It had better be ended and linked anew.",
            device.device
        )),
        Event::SessionReset { peer, cause, .. } => {
            let why = match cause {
                ResetCause::Unreadable => "something could not be read",
                _ => "only one side wrote for long",
            };
            Said::note(format!(
                "The session with device {} of {whose} began anew: {why}.",
                peer.device
            ))
        }
        _ => return None,
    };
    Some((account, said))
}

/// Something said of an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) what: String,
    /// Whether it should not be overlooked.
    pub(super) warns: bool,
}

impl Said {
    fn note(what: String) -> Self {
        Self { what, warns: false }
    }

    fn warning(what: String) -> Self {
        Self { what, warns: true }
    }
}

/// Said when another process has the place of this one.
pub(super) fn elsewhere(by: By) -> String {
    let connect = match by {
        By::Keys => "Ctrl-R",
        By::Commands => "say /connect",
    };
    format!(
        "This device is connected elsewhere, and waits here. End the other chat, then {connect}. If there is none, its store \
         was copied: begin anew with an empty one, and link it anew."
    )
}

/// Said of a new device that asks for a place.
pub(super) fn asks_for_a_place(name: &str, fingerprint: impl Display) -> String {
    format!(
        "\"{}\" asks to be your device, and shows: {fingerprint}. If it shows the same there: /link accept; else /link decline.",
        printable(name)
    )
}

fn key_changed(whose: &str, by: By) -> String {
    let answer = match by {
        By::Keys => String::from("until you answer: Ctrl-T."),
        By::Commands => format!(
            "until you say /trust {whose}. Ask them first: /verify {whose} shows the number to compare."
        ),
    };
    format!("{whose} has another account key than before. Nothing is sent to them {answer}")
}

/// Changes of a list of devices in words.
fn changed(changes: &[DeviceChange]) -> String {
    let word = |change: &DeviceChange| match change {
        DeviceChange::Added(device) => format!("device {device} came"),
        DeviceChange::Removed(device) => format!("device {device} is gone"),
        DeviceChange::Replaced(device) => format!("device {device} was set up anew"),
        _ => String::from("something else"),
    };
    changes.iter().map(word).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use waxwing_client::{DeviceAddress, DeviceId};

    use super::*;

    fn bob() -> AccountId {
        "00000002-8b86-4011-b42d-00c04fc964ff".parse().unwrap()
    }

    #[test]
    fn what_is_advised_names_keys_on_the_screen_and_commands_line_by_line() {
        for (by, answer, connect) in [
            (By::Keys, "Ctrl-T", "then Ctrl-R."),
            (By::Commands, "/trust bob", "then say /connect."),
        ] {
            let changed = key_changed("bob", by);
            assert!(
                changed.starts_with(
                    "bob has another account key than before. Nothing is sent to them until you"
                )
            );
            assert!(changed.contains(answer), "{changed}");
            assert!(elsewhere(by).contains(connect));
        }
    }

    #[test]
    fn what_concerns_somebody_names_them_and_says_what_must_not_be_overlooked() {
        let device = DeviceAddress {
            account: bob(),
            device: DeviceId::MIN,
        };
        let told = |event| {
            of_somebody(&event, By::Keys, |account| {
                assert_eq!(account, bob());
                String::from("bob")
            })
        };
        let changes = vec![DeviceChange::Added(DeviceId::MIN)];
        let (_, said) = told(Event::DevicesChanged {
            account: bob(),
            changes,
        })
        .unwrap();
        assert_eq!(
            (said.what.as_str(), said.warns),
            ("The devices of bob changed: device 1 came.", false)
        );
        let (account, said) = told(Event::ClonedDevice { device }).unwrap();
        assert!(account == bob() && said.warns && said.what.starts_with("Device 1 of bob runs twice"));
        assert!(told(Event::Connected).is_none());
        assert!(
            of_the_account(&Event::RefusedRepeatedly)
                .unwrap()
                .contains("again and again")
        );
        assert_eq!(of_the_account(&Event::Connected), None);
    }

    #[test]
    fn the_name_of_a_new_device_cannot_steer_the_terminal() {
        assert!(!asks_for_a_place("a\u{1b}[2J", "1234").contains('\u{1b}'));
    }
}
