//! placeholder
use clap::Args;
use stockade::error::Result;
use stockade::sandbox::StoreChoice;
use super::Outcome;
/// x
#[derive(Debug, Args)]
pub struct Import {}
impl Import { pub(super) fn run(self, _: &StoreChoice) -> Result<Outcome> { Ok(Outcome::Good) } }
/// x
#[derive(Debug, Args)]
pub struct Export {}
impl Export { pub(super) fn run(self, _: &StoreChoice) -> Result<Outcome> { Ok(Outcome::Good) } }
