//! What is said of a running service, against one that runs here. One binary: the SDKs are linked once.

mod doctor;
mod grants;
