//! News for connected devices that no promise rests on: whoever misses it finds out by asking.

use futures_util::future::join_all;
use waxwing_wire::{AccountId, ServiceFrame, frame::DevicesChanged};

use crate::{Backend, tables::devices::DeviceRecord};

/// Posts the frame to each of `devices` that is connected. A failure is only logged, where it happens.
pub(crate) async fn tell(
    backend: &Backend,
    devices: impl IntoIterator<Item = &DeviceRecord>,
    news: &ServiceFrame,
) {
    let posts = devices.into_iter().filter_map(|record| {
        let connection = record.connection.as_ref()?;
        Some(async move { backend.sockets.post(connection, news).await })
    });
    join_all(posts).await;
}

/// The news that the account's list of devices changed.
pub(crate) fn devices_changed(account: AccountId) -> ServiceFrame {
    ServiceFrame::DevicesChanged(DevicesChanged { account })
}
