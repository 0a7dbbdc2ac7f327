//! `template.yaml`, parsed and resolved.
