//! The report: what is told to the caller, and how it is decided.
