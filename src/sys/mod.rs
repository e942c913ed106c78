//! Every raw system call and every `unsafe` block of the project.
#![allow(unsafe_code)]
