//! What is said for now alone: typing and presence, out and in.
//!
//! It runs beside everything else and ends with it; nothing that goes wrong here is more than a line in the log.

use std::{convert::Infallible, sync::Arc};

use tokio::{sync::mpsc, time::Instant};
use waxwing_wire::ephemeral::Ephemeral;

use crate::{
    clock,
    ephemeral::{self, Say},
    sessions::Me,
    shared::Shared,
    transport::requests::Link,
};

/// Says what there is to say and takes what is heard, for as long as the connection lives.
pub(super) async fn run(
    shared: &Shared,
    me: &Arc<Me>,
    link: &Link,
    mut heard: mpsc::Receiver<Ephemeral>,
) -> Infallible {
    loop {
        let next = speak(shared, me, link).await;
        let wait = async {
            match next {
                Some(next) => tokio::time::sleep_until(next).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            Some(news) = heard.recv() => hear(shared, me, news).await,
            () = shared.ephemerals.changed.notified() => {}
            () = wait => {}
        }
    }
}

/// Says and tells all there is now. Returns when there will be more.
pub(super) async fn speak(shared: &Shared, me: &Arc<Me>, link: &Link) -> Option<Instant> {
    let turn = shared.ephemerals.turn(Instant::now());
    turn.tell.into_iter().for_each(|event| shared.events.tell(event));
    for say in turn.say {
        send(shared, me, link, say).await;
    }
    turn.next
}

async fn send(shared: &Shared, me: &Arc<Me>, link: &Link, say: Say) {
    let at = shared.ephemerals.stamp(shared.service_time.now_millis());
    let me = me.clone();
    let sealed = shared
        .store
        .read(move |tx| ephemeral::seal(tx, &mut clock::rng(), &me, say, at));
    match sealed.await {
        Ok(Some(request)) => link.say(request),
        Ok(None) => {}
        Err(error) => tracing::debug!(%error, "an ephemeral message was not sealed"),
    }
}

async fn hear(shared: &Shared, me: &Arc<Me>, news: Ephemeral) {
    let (me, now, from) = (me.clone(), shared.service_time.now_millis(), news.from);
    let opened = shared
        .store
        .read(move |tx| ephemeral::open(tx, &me, from, &news.sealed, now));
    match opened.await {
        Ok(Some(message)) => {
            let event = shared.ephemerals.hear(from, message, Instant::now(), now);
            event.into_iter().for_each(|event| shared.events.tell(event));
        }
        Ok(None) => tracing::debug!(%from, "an ephemeral message was dropped"),
        Err(error) => tracing::debug!(%error, "an ephemeral message was not opened"),
    }
}
