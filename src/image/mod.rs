//! Images: the trusted, immutable root file systems.
