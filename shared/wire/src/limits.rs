//! Every bound of the network contract, each with the reason for its value.

/// Devices of one account. A person's phones, tablets and computers; every message costs one ciphertext a
/// device, so the bound is also a bound on cost.
pub const MAX_DEVICES_PER_ACCOUNT: usize = 6;

/// Bytes of one WebSocket frame: API Gateway closes the connection with 1009 beyond it.
pub const MAX_FRAME_BYTES: usize = 32 * 1024;

/// Bytes of one WebSocket message, all its frames together: API Gateway closes with 1009 beyond it.
pub const MAX_MESSAGE_BYTES: usize = 128 * 1024;

/// Bytes of the ciphertext of one envelope. Larger content travels as media. As base64url in JSON one
/// ciphertext of this size is about 17 KB, so one always fits a single 32 KB frame.
pub const MAX_CIPHERTEXT_BYTES: usize = 12_800;

/// Bytes of the shortest possible ciphertext: an authentication tag alone.
pub const MIN_CIPHERTEXT_BYTES: usize = 16;

/// Envelopes of one `send`: both people of a conversation with all their devices, with room for several
/// conversations' worth. What a single invocation can put and post well inside its time limit.
pub const MAX_ENVELOPES_PER_SEND: usize = 32;

/// Messages of one `send`: what a client collects in a moment. Half of [`MAX_ENVELOPES_PER_SEND`], so that messages to
/// a person with two devices fill a frame.
pub const MAX_MESSAGES_PER_SEND: usize = 16;

/// Accounts one message may name.
pub const MAX_ACCOUNTS_PER_SEND: usize = 32;

/// Ids of one `ack`: four batches of DynamoDB's 25 writes.
pub const MAX_IDS_PER_ACK: usize = 100;

/// Envelopes of one page of `receive`: as many as one `ack` can name.
pub const MAX_ENVELOPES_PER_PAGE: usize = 100;

/// Ciphertext bytes of one page of `receive`. As base64url with its JSON around it a full page stays under
/// [`MAX_MESSAGE_BYTES`].
pub const MAX_PAGE_CIPHERTEXT_BYTES: usize = 72 * 1024;

/// One-time prekeys of one upload or registration.
pub const MAX_ONE_TIME_PREKEYS_PER_UPLOAD: usize = 100;

/// The owner of a pool is told when no more than this many one-time prekeys are left in it.
pub const PREKEYS_LOW: usize = 20;

/// The largest key id and registration id: 2³¹ − 1, so that both fit a signed 32-bit integer everywhere.
pub const MAX_31_BIT: u32 = i32::MAX as u32;

/// Seconds an undelivered message stays in its mailbox: 30 days.
pub const MESSAGE_LIFE_SECONDS: u64 = 30 * 24 * 60 * 60;

/// Seconds a token may live at most. It is used once, to open a connection or make one HTTP request.
pub const MAX_TOKEN_LIFE_SECONDS: u64 = 10 * 60;

/// Seconds by which the clocks of a device and of the service may differ.
pub const MAX_CLOCK_SKEW_SECONDS: u64 = 60;

/// Bytes of a token. A well-formed one has about 350.
pub const MAX_TOKEN_BYTES: usize = 1024;

/// Bytes of what a new device seals for the device that links it: a name of 64 characters and a proof.
pub const MAX_SEALED_LINK_BYTES: usize = 512;

/// Seconds a code sent to a phone is good for.
pub const CODE_LIFE_SECONDS: u64 = 10 * 60;

/// Guesses at one code. With six digits, one in 200,000 gets through.
pub const MAX_CODE_TRIES: u32 = 5;

/// Seconds a ticket is good for: reading out a PIN and making keys takes less.
pub const TICKET_LIFE_SECONDS: u64 = 15 * 60;

/// Seconds an offer to link a device stands: a QR code that is photographed is worth little later.
pub const OFFER_LIFE_SECONDS: u64 = 5 * 60;

/// Seconds between two questions of a new device that waits for its answer.
pub const LINK_POLL_SECONDS: u32 = 2;

/// Requests an account may make in a minute, over all its devices.
pub const MAX_REQUESTS_PER_MINUTE: u32 = 500;

/// Ephemeral messages an account may send in a minute, over all its devices, apart from its requests. Typing takes 15
/// of them for each conversation, being seen two.
pub const MAX_EPHEMERALS_PER_MINUTE: u32 = 120;

/// Bytes of a push token. Google's have about 160 and no promised length.
pub const MAX_PUSH_TOKEN_BYTES: usize = 1024;

/// Hexadecimal digits of the shortest token that Apple gives: 32 bytes.
pub const MIN_APNS_TOKEN_DIGITS: usize = 64;

/// Hexadecimal digits of the longest one that SNS takes; Apple's length may change.
pub const MAX_APNS_TOKEN_DIGITS: usize = 400;

/// Seconds after an alert in which a device that stays away is not alerted again, whatever comes.
pub const ALERT_PAUSE_SECONDS: u64 = 15 * 60;
