//! A seeded world around the production core.
