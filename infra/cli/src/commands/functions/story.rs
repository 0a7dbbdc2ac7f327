//! A story that needs every function, most of them several times, one thing after the other.

use std::{sync::Arc, time::Duration};

use serde_json::Value;
use waxwing_client::{
    DevicesError, Event, LockError, Pin, PinError, Platform, PushError, PushState, SendError, UploadError,
};
use waxwing_local::{lambda::InvokeError, runner::Runner};

use crate::{
    ledger::DeviceNumber,
    people::{self, Device, PeopleError},
    run::{Run, Stalled, State},
    service,
};

/// Messages each way.
const MESSAGES: usize = 20;

/// Times that a device goes away and comes back.
const RETURNS: usize = 3;

/// Frames that no route takes. No client of ours sends one, so they come as the sample of such a frame.
const STRAY_FRAMES: usize = 3;
const STRAY_FRAME: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/reject.json"));

/// Push tokens that a phone has one after the other: two digits, repeated to the length that Apple's have.
const PUSH_TOKENS: [&str; 4] = ["a1", "b2", "c3", "d4"];
const TOKEN_PAIRS: usize = 32;

/// What the clock says to the function that it invokes.
const CLOCK: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../events/wake.json"));

/// How often it is looked whether a token is known.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How long word of typing may take: it is never repeated.
const HEARD_WITHIN: Duration = Duration::from_secs(20);

/// What is sent: about as long as a message is.
const TEXT: &str = "See you at eight, in front of the cinema? I have the tickets already.";

/// Why the story did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// A device did not get in.
    #[error(transparent)]
    People(#[from] PeopleError),
    /// A message could not even be stored.
    #[error("a message could not be handed over: {0}")]
    Send(#[from] SendError),
    /// A constant is wrong.
    #[error("no PIN: {0}")]
    Pin(#[from] PinError),
    /// The number was not locked.
    #[error("the lock was not changed: {0}")]
    Lock(#[from] LockError),
    /// A prekey could not be published.
    #[error("a prekey could not be published: {0}")]
    Upload(#[from] UploadError),
    /// A device could not be revoked.
    #[error("a device was not revoked: {0}")]
    Revoke(#[from] DevicesError),
    /// A push token was not taken.
    #[error("a push token was not taken: {0}")]
    Push(#[from] PushError),
    /// A sample is broken.
    #[error("a sample event is not JSON: {0}")]
    Sample(#[from] serde_json::Error),
    /// A stray frame got no answer.
    #[error("a frame that no route takes was not answered: {0}")]
    Stray(#[from] InvokeError),
    /// What is not stored did not come.
    #[error(
        "a device did not hear in time that somebody typed, or that its push token is known; run again with WAXWING_LOG=debug"
    )]
    Unheard,
    /// Devices stopped telling anything.
    #[error(transparent)]
    Stalled(#[from] Stalled),
}

/// A device of the story.
struct Actor {
    device: Device,
    number: DeviceNumber,
}

struct Story<'a> {
    runner: &'a Runner,
    run: Arc<Run>,
}

/// Tells the story.
pub(super) async fn tell(runner: &Runner) -> Result<(), StoryError> {
    let story = Story {
        runner,
        run: Run::new(),
    };
    let phone = people::register("Alice's phone", service::client_config(runner), runner).await?;
    let devices = story.devices(&phone).await?;
    story.talk(phone.clone()).await?;
    story.stray_frames().await?;
    for device in &devices {
        phone.client.revoke(device.address.device).await?;
    }
    for device in devices.iter().chain([&phone]) {
        device.client.disconnect().await;
    }
    Ok(())
}

impl Story<'_> {
    /// Alice locks her number, renews her keys, and links two devices.
    async fn devices(&self, phone: &Device) -> Result<[Device; 2], StoryError> {
        let pin = Pin::new("2580")?;
        phone.client.set_lock(&pin).await?;
        phone.client.remove_lock().await?;
        phone.client.rotate_signed_prekey().await?;
        phone.client.rotate_signed_prekey().await?;
        let config = || service::client_config(self.runner);
        Ok([
            people::link(phone, "Alice's laptop", config()).await?,
            people::link(phone, "Alice's tablet", config()).await?,
        ])
    }

    /// Bob, Carol and Dave write to Alice, and go away and come back; then she and Bob talk.
    async fn talk(&self, phone: Device) -> Result<(), StoryError> {
        let alice = self.join(phone).await?;
        self.connect(&alice).await?;
        self.push(&alice).await?;
        let mut friends = Vec::new();
        for name in ["Bob", "Carol", "Dave"] {
            let config = service::client_config(self.runner);
            let friend = people::register(name, config, self.runner).await?;
            let friend = self.join(friend).await?;
            self.connect(&friend).await?;
            self.say(&friend, &alice).await?;
            for _ in 0..RETURNS {
                self.disconnect(&friend).await;
                self.connect(&friend).await?;
            }
            friends.push(friend);
        }
        if let Some(bob) = friends.first() {
            for _ in 0..MESSAGES {
                self.say(&alice, bob).await?;
                self.say(bob, &alice).await?;
            }
            self.type_to(&alice, bob).await?;
        }
        for actor in friends.iter().chain([&alice]) {
            self.disconnect(actor).await;
        }
        Ok(())
    }

    /// Alice's phone gets one push token after the other, and the clock asks who was left without an alert.
    async fn push(&self, alice: &Actor) -> Result<(), StoryError> {
        let client = &alice.device.client;
        let event: Value = serde_json::from_str(CLOCK)?;
        for token in PUSH_TOKENS {
            client
                .set_push_token(Platform::Apns, &token.repeat(TOKEN_PAIRS))
                .await?;
            let known = async {
                while client.push_state()? != PushState::On {
                    tokio::time::sleep(LOOK_EVERY).await;
                }
                Ok::<_, PushError>(())
            };
            let known = tokio::time::timeout(HEARD_WITHIN, known).await;
            known.map_err(|_| StoryError::Unheard)??;
            self.runner.invoke("wake", event.clone()).await?;
        }
        Ok(())
    }

    async fn stray_frames(&self) -> Result<(), StoryError> {
        let event: Value = serde_json::from_str(STRAY_FRAME)?;
        for _ in 0..STRAY_FRAMES {
            self.runner.invoke("reject", event.clone()).await?;
        }
        Ok(())
    }

    async fn join(&self, device: Device) -> Result<Actor, StoryError> {
        let number = self.run.add(&device).await?;
        Ok(Actor { device, number })
    }

    /// Connects a device and waits until it has read what waited for it.
    async fn connect(&self, actor: &Actor) -> Result<(), StoryError> {
        let drained = |state: &State| state.told(actor.number).drained;
        let before = self.run.look(drained);
        actor.device.client.connect();
        let is_drained = |state: &State| drained(state) > before;
        self.run
            .until("a device has read its mailbox", is_drained)
            .await?;
        self.run.set_present(actor.number, true);
        Ok(())
    }

    async fn disconnect(&self, actor: &Actor) {
        actor.device.client.disconnect().await;
        self.run.set_present(actor.number, false);
    }

    /// Types and stops, and waits until the other device has heard of both.
    async fn type_to(&self, from: &Actor, to: &Actor) -> Result<(), StoryError> {
        let refused = |error| StoryError::from(PeopleError::Store(to.device.name.clone(), error));
        let mut events = to.device.client.observe().await.map_err(refused)?;
        for typing in [true, false] {
            let heard = async {
                while let Some(event) = events.next().await {
                    let is_it = match event {
                        Event::Typing { .. } => typing,
                        Event::TypingStopped { .. } => !typing,
                        _ => false,
                    };
                    if is_it {
                        return;
                    }
                }
            };
            let client = &from.device.client;
            client.set_typing(to.device.address.account, typing);
            let heard = tokio::time::timeout(HEARD_WITHIN, heard).await;
            heard.map_err(|_| StoryError::Unheard)?;
        }
        Ok(())
    }

    /// Sends a text and waits until it is accepted, shown and acked.
    async fn say(&self, from: &Actor, to: &Actor) -> Result<(), StoryError> {
        let acked = |state: &State| state.told(to.number).acked;
        let before = self.run.look(acked);
        self.run.route(from.number, [to.number]);
        let account = to.device.address.account;
        self.run.send(from.number, &from.device, account, TEXT).await?;
        let done = |state: &State| state.accepted() >= state.sent() && acked(state) > before;
        Ok(self.run.until("a message is accepted and acked", done).await?)
    }
}
