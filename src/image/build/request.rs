//! What an image is to be made of, and making it.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::capture::{Filter, Role};
use super::closure::Follow;
use super::{Builder, Built, Progress, glob, unusable};
use crate::error::{Error, Kind, Result};
use crate::image::closure::trust::Host;
use crate::image::digest::Digest;
use crate::image::hygiene;
use crate::image::layout::{FILE_MODE, PROGRAM_MODE};
use crate::image::manifest::Header;
use crate::image::recipe;
use crate::image::store::{Made as How, Store, Why};
use crate::policy::{self, model::Word};

/// A program, with everything it needs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Program {
    /// Where it is on the host.
    pub path: PathBuf,
    /// Where it is to be in the image, if elsewhere.
    pub at: Option<PathBuf>,
    /// The recipe to follow: `None` for the one that knows it, an empty one for none.
    pub recipe: Option<String>,
    /// The modules of its library that are wanted; `None`: all of them.
    pub modules: Option<Vec<String>>,
}

/// Files or directories as they are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Include {
    /// A path of the host, or a pattern.
    pub host: String,
    /// Where it is to be in the image, if elsewhere: the place of what the path
    /// names, or of the part in front of the pattern.
    pub at: Option<PathBuf>,
    /// Patterns of what is wanted below; empty: everything.
    pub only: Vec<String>,
    /// Patterns of what is not.
    pub except: Vec<String>,
}

/// A file that is made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Made {
    /// Where.
    pub at: String,
    /// What is in it.
    pub text: String,
    /// Whether it can be started.
    pub executable: bool,
}

/// Everything an image is made of.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Request {
    /// Programs.
    pub programs: Vec<Program>,
    /// Recipes without a program, and their parameters.
    pub recipes: Vec<(String, Vec<String>)>,
    /// Other files.
    pub includes: Vec<Include>,
    /// Files that are made.
    pub files: Vec<Made>,
    /// Links that are made: path and target.
    pub links: Vec<(String, String)>,
    /// What is started, and how; `None`: the only program, with all arguments.
    pub entry: Option<(String, Vec<String>)>,
    /// The environment.
    pub env: BTreeMap<String, String>,
    /// The policy, as canonical JSON.
    pub policy: Option<String>,
    /// Nothing is started by itself, even where there is only one program.
    pub without_entry: bool,
}

impl Request {
    /// Makes the image and keeps it.
    ///
    /// # Errors
    /// Something is not there, must not go in, or does not fit; or the store
    /// cannot take it.
    pub fn build(&self, store: &Store, progress: &dyn Progress) -> Result<Built> {
        self.build_on(Host::system(), store, How::Build, &self.describe(), progress).map(|(built, _)| built)
    }

    /// In a few words.
    fn describe(&self) -> String {
        let programs = self.programs.iter().map(|program| program.path.display().to_string());
        let recipes = self.recipes.iter().map(|(name, _)| name.clone());
        let includes = self.includes.iter().map(|include| include.host.clone());
        programs.chain(recipes).chain(includes).collect::<Vec<_>>().join(" ")
    }

    /// The same from another root; answers what the image depends on as well.
    pub(crate) fn build_on(
        &self,
        host: Host,
        store: &Store,
        made: How,
        source: &str,
        progress: &dyn Progress,
    ) -> Result<(Built, super::BTreeMap<PathBuf, Option<super::State>>)> {
        self.build_from(host, store, made, source, progress, None)
    }

    /// The same; with the account of a larger image, packages are those of it.
    pub(crate) fn build_from(
        &self,
        host: Host,
        store: &Store,
        made: How,
        source: &str,
        progress: &dyn Progress,
        whole: Option<&crate::image::store::About>,
    ) -> Result<(Built, super::BTreeMap<PathBuf, Option<super::State>>)> {
        store.make_room();
        let mut writer = store.writer().map_err(unusable)?;
        let mut builder = Builder::new(host, &mut writer, progress);
        if let Some(path) = self.env.get("PATH") {
            builder.search = path.split(':').filter(|dir| dir.starts_with('/')).map(PathBuf::from).collect();
        }
        let mut first = None;
        for program in &self.programs {
            let follow = match program.recipe.as_deref() {
                None => Follow::Known,
                Some("") => Follow::Nothing,
                Some(name) => Follow::This(name),
            };
            let path = absolute(&program.path)?;
            check_is_path(&program.path, &path)?;
            builder.modules.clone_from(&program.modules);
            let taken = builder.program(&path, program.at.as_deref(), Why::Program, follow)?;
            if builder.modules.take().is_some() {
                return Err(without_modules(&path));
            }
            let named = program.at.clone().unwrap_or(path);
            first.get_or_insert((named, taken));
        }
        for (name, parameters) in &self.recipes {
            recipe::follow_alone(&mut builder, name, parameters)?;
        }
        for include in &self.includes {
            builder.include(include)?;
        }
        for file in &self.files {
            let name = file.at.rsplit('/').next().unwrap_or_default();
            let key = hygiene::has_private_key(file.text.as_bytes()).then_some("a private key");
            if let Some(why) = hygiene::name_refused(name.as_bytes(), false).or(key) {
                return Err(super::capture::refused(Path::new(&file.at), why));
            }
            let mode = if file.executable { PROGRAM_MODE } else { FILE_MODE };
            builder.made(&file.at, file.text.as_bytes(), mode)?;
        }
        for (path, target) in &self.links {
            let put = builder.draft.symlink(path.as_bytes(), target.as_bytes(), Why::Made);
            put.map_err(|problem| super::misplaced(Path::new(path), &problem))?;
        }
        builder.furnish()?;
        let alone = self.programs.len() == 1 && !self.without_entry;
        let only = first.filter(|_| alone).map(|(path, _)| path);
        let header = self.header(store, only)?;
        let seen = std::mem::take(&mut builder.seen);
        let built = builder.finish(header, made, source.to_owned(), whole)?;
        Ok((built, seen))
    }

    fn header(&self, store: &Store, only: Option<PathBuf>) -> Result<Header> {
        let (entry, args) = match (&self.entry, only) {
            // The payload itself is started: then there is no program of the image.
            (Some((entry, args)), _) if entry == "{payload}" => {
                (None, std::iter::once(entry).chain(args).cloned().collect())
            }
            (Some((entry, args)), _) => (Some(entry.clone().into_bytes()), args.clone()),
            (None, Some(path)) => {
                let args = self.policy.as_deref().and_then(|policy| args_of(policy, &path));
                let args = args.unwrap_or_else(|| vec!["{args}".to_owned()]);
                (Some(path.as_os_str().as_bytes().to_vec()), args)
            }
            (None, None) => (None, Vec::new()),
        };
        let policy: Option<Digest> = match &self.policy {
            Some(text) => Some(store.put_policy(text.as_bytes()).map_err(unusable)?),
            None => None,
        };
        Ok(Header {
            entry,
            args: args.into_iter().map(String::into_bytes).collect(),
            env: self.env.iter().map(|(k, v)| (k.clone().into_bytes(), v.clone().into_bytes())).collect(),
            policy,
        })
    }
}

/// How a policy starts this very program: an interpreter takes its script as one
/// argument, and others before it.
fn args_of(policy: &str, program: &Path) -> Option<Vec<String>> {
    let policy = policy::parse("the image's policy", policy.as_bytes()).ok()?;
    let (first, rest) = policy.command.split_first()?;
    let word = |word: &Word| match word {
        Word::Literal(text) => text.clone(),
        Word::Payload => "{payload}".to_owned(),
        Word::Args => "{args}".to_owned(),
        Word::Given => "{given}".to_owned(),
    };
    let same = matches!(first, Word::Literal(path) if Path::new(path) == program);
    same.then(|| rest.iter().map(word).collect())
}

/// A name without a directory is that of a file here: PATH is nobody's word for
/// what goes into an image.
fn check_is_path(given: &Path, path: &Path) -> Result<()> {
    let known = Path::new("/usr/bin").join(given);
    if given.components().count() != 1 || path.exists() || !known.exists() {
        return Ok(());
    }
    let message = format!("{}: there is no such file", path.display());
    Err(Error::new(Kind::NotFound, message).help(format!("write its path: {}", known.display())))
}

/// Nothing of a program that was taken comes in modules.
fn without_modules(path: &Path) -> Error {
    let message = format!("`modules` of {} fit nothing", path.display());
    Error::new(Kind::Usage, message)
        .help("they are for programs that the recipe python3 knows, once for each interpreter of an image")
}

/// A path of the host, absolute, `.` and `..` and links as they are.
fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(|error| super::unread(path, &error))
}

impl Builder<'_, '_> {
    /// Files and directories that were asked for by path or pattern.
    fn include(&mut self, include: &Include) -> Result<()> {
        let why = Why::Include { pattern: include.host.clone() };
        let parts: Vec<&str> = include.host.split('/').collect();
        let plain = parts.iter().take_while(|part| !glob::is_pattern(part)).count();
        let base = absolute(Path::new(&parts[..plain].join("/")))?;
        let base = if plain == 1 && parts[0].is_empty() { PathBuf::from("/") } else { base };
        let pattern: Vec<&str> = parts[plain..].iter().filter(|part| !part.is_empty()).copied().collect();
        let split = |patterns: &[String]| -> Vec<Vec<String>> {
            patterns
                .iter()
                .map(|p| p.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect())
                .collect()
        };
        let (only, except) = (split(&include.only), split(&include.except));
        let fits = |pattern: &[String], names: &[&str]| {
            glob::path_fits(&pattern.iter().map(String::as_str).collect::<Vec<_>>(), names)
        };
        let matched = std::cell::Cell::new(pattern.is_empty() && only.is_empty());
        let wants = |names: &[&str], dir: bool| {
            if except.iter().any(|pattern| fits(pattern, names)) {
                return false;
            }
            // A directory is walked for what may lie in it; empty ones go at the end.
            if dir {
                return true;
            }
            let wanted = (pattern.is_empty()
                || (1..=names.len()).any(|n| glob::path_fits(&pattern, &names[..n])))
                && (only.is_empty() || only.iter().any(|pattern| fits(pattern, names)));
            matched.set(matched.get() || wanted);
            wanted
        };
        let filter = Filter { wants: &wants, role: Role::AsItIs, close: true };
        self.tree(&base, include.at.as_deref(), &filter, &why)?;
        if !matched.get() {
            let fitting = if only.is_empty() { "" } else { " and its `only`" };
            let message = format!("nothing fits '{}'{fitting}", include.host);
            return Err(Error::new(Kind::NotFound, message)
                .help("check the pattern: '*' stays within a name, '**' does not"));
        }
        if !pattern.is_empty() || !only.is_empty() {
            self.prune_below(include.at.as_deref().unwrap_or(&base));
        }
        Ok(())
    }
}
