//! From a job to what the library runs.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use stockade::Layer;
use stockade::batch::Job;
use stockade::error::{Error, Kind, Result};
use stockade::policy::{Overrides, Policy, is_file_argument};
use stockade::sandbox::{Bind, Builder, Input, Output, Sandbox, StoreChoice};

use crate::cli::{files, policy, run};

/// What holds for all jobs.
#[derive(Debug)]
pub struct Defaults {
    /// The policy of those that name none.
    pub policy: Option<String>,
    /// Layers that may be missing.
    pub degrade: Vec<Layer>,
    /// A delegated cgroup.
    pub cgroup: Option<PathBuf>,
    /// Where images are.
    pub store: StoreChoice,
}

/// Policies by the name that they were asked for: each is read once, so that all jobs of a batch
/// that name the same one run under the same one.
#[derive(Debug, Default)]
pub struct Policies(Mutex<HashMap<String, Arc<Policy>>>);

impl Policies {
    fn load(&self, name: &str) -> Result<Arc<Policy>> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(policy) = known.get(name) {
            return Ok(Arc::clone(policy));
        }
        let policy = Arc::new(policy::load(name)?);
        known.insert(name.to_owned(), Arc::clone(&policy));
        Ok(policy)
    }
}

impl Defaults {
    /// What is wrong for every job is wrong before the first.
    ///
    /// # Errors
    /// The policy cannot be read, or has findings.
    pub fn check(&self) -> Result<()> {
        self.policy.as_deref().map_or(Ok(()), |name| policy::load(name).map(drop))
    }

    /// The request that a job stands for.
    ///
    /// # Errors
    /// It is refused before anything is made.
    pub fn request(&self, job: Job, policies: &Policies, cpu: Option<usize>) -> Result<Builder> {
        let name = job.policy.as_deref().or(self.policy.as_deref());
        let given = name.map(|name| policies.load(name)).transpose()?;
        let start = match &job.image {
            Some(image) => Some(run::start(image, &self.store, given.as_deref().cloned())?),
            None => None,
        };
        let policy = match (&start, given) {
            (Some(start), _) => Arc::new(start.policy.clone()),
            (None, Some(policy)) => policy,
            (None, None) => policies.load("native")?,
        };
        let overrides = job.limits.overrides();
        let policy = match overrides == Overrides::default() {
            true => policy,
            false => Arc::new(policy.with_overrides(&overrides)?),
        };
        let binds = binds(&job, name)?;
        let mut builder = match (start, job.program) {
            (Some(start), None) if !start.takes_payload => {
                run::refuse_arguments(&policy, job.args.len())?;
                Sandbox::image(policy, start.image)
            }
            (Some(start), Some(_)) if !start.takes_payload => {
                let message = format!("the image {} starts by itself and takes no program", start.image.id());
                return Err(
                    Error::new(Kind::Usage, message).help("what it is to be given goes into \"args\"")
                );
            }
            (start, Some(program)) => {
                let builder = Sandbox::builder(policy, program);
                start.into_iter().fold(builder, |builder, start| builder.in_image(start.image))
            }
            (_, None) => {
                let message = "the image takes a file of the host, and none is named";
                return Err(Error::new(Kind::Usage, message).help("name one as \"program\""));
            }
        };
        builder = builder.args(job.args).store(self.store.clone());
        builder = match &job.stdin {
            Some(path) => builder.stdin(Input::File(files::input(path, "stdin")?)),
            None => builder,
        };
        builder = builder.stdout(output(job.stdout.as_deref(), "stdout")?);
        builder = builder.stderr(output(job.stderr.as_deref(), "stderr")?);
        builder = binds.into_iter().fold(builder, Builder::bind);
        builder = job.env.0.into_iter().fold(builder, |builder, (name, value)| builder.env(name, value));
        let layers = self.degrade.iter().copied().chain(job.degrade.into_iter().map(|layer| layer.0));
        builder = layers.fold(builder, Builder::degrade);
        builder = self.cgroup.iter().fold(builder, |builder, path| builder.cgroup(path));
        Ok(cpu.into_iter().fold(builder, Builder::on_cpu))
    }
}

fn output(path: Option<&Path>, name: &str) -> Result<Output> {
    path.map_or(Ok(Output::Null), |path| files::written(path, name))
}

fn binds(job: &Job, policy: Option<&str>) -> Result<Vec<Bind>> {
    let cwd = std::env::current_dir().unwrap_or_default();
    let mut binds = Vec::new();
    for (specs, write) in [(&job.ro, false), (&job.rw, true)] {
        for spec in specs {
            binds.push(Bind::parse(spec, write, &cwd)?);
        }
    }
    if let Some(policy) = policy.filter(|policy| is_file_argument(policy)) {
        let why = "the program could write the policy of its next run";
        let written: Vec<_> = binds.iter().filter(|b| b.write).map(|b| ("--rw", b.host.as_path())).collect();
        run::refuse_in_reach("the policy", Path::new(policy), &written, why)?;
    }
    Ok(binds)
}
