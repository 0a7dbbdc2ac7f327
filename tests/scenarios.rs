//! All stories, one module each.

mod architecture;
mod attack_table;
mod bad_input;
mod claim_race;
mod directory_changes;
mod expired;
mod lost_frames;
mod offline_delivery;
mod other_language;
mod processes;
mod reconnect;
mod reference_decoder;
mod replayed_events;
mod send_message;
mod token;
mod two_sockets;
