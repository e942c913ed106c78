//! `image`: where the root file system comes from, and how closely it is looked
//! at before each run.

use jsonc_parser::ast::Value;

use super::super::findings::Finding;
use super::super::model::{ImageSource, Verify};
use super::super::source::{Spanned, quote};
use super::{Fields, Reader};
use crate::image::digest::Digest;
use crate::image::{recipe, store};

const KNOWN: &[&str] = &["closure", "name", "id", "recipe", "program", "verify", "comment"];

/// Fields that say where it comes from; there is exactly one of them, but that
/// an `id` can also pin what a name or a recipe comes to.
const SOURCES: &[&str] = &["closure", "name", "recipe", "id"];

const HELP: &str = "write `\"closure\": \"payload\"`, a `name`, an `id`, or a `recipe` and its `program`";

/// What the field says; the second is absent where nothing is said of it.
pub(super) type Image = (Option<Spanned<ImageSource>>, Option<Spanned<Verify>>);

impl Reader<'_> {
    pub(super) fn image(&mut self, value: &Value<'_>) -> Image {
        let Some(fields) = self.fields(value, "`image`", KNOWN) else { return (None, None) };
        self.optional_comment(&fields);
        let verify = fields.get("verify").map(|value| {
            let known = [("stamp", Verify::Stamp), ("stat", Verify::Stat), ("full", Verify::Full)];
            self.choice(value, "`verify`", &known)
        });
        let source = self.image_source(&fields);
        match verify {
            // A bad word is as bad as a bad source: the policy is not used.
            Some(None) => (None, None),
            Some(Some(verify)) => (source, Some(verify)),
            None => (source, None),
        }
    }

    fn image_source(&mut self, fields: &Fields<'_, '_>) -> Option<Spanned<ImageSource>> {
        let given: Vec<&str> = SOURCES.iter().copied().filter(|name| fields.get(name).is_some()).collect();
        let main: Vec<&str> = given.iter().copied().filter(|name| *name != "id").collect();
        let Some(first) = given.first().copied() else {
            let finding = Finding::at(fields.open, "`image` does not say where it comes from");
            self.say(finding.help(HELP));
            return None;
        };
        if let [first, second, ..] = main[..]
            && let (Some(one), Some(other)) = (fields.key(first), fields.key(second))
        {
            let finding = Finding::at(other, format!("`image` has both `{first}` and `{second}`"));
            self.say(finding.note(one, "the other is here").help("an image comes from one place"));
            return None;
        }
        if let Some(key) = fields.key("program")
            && first != "recipe"
        {
            let finding = Finding::at(key, "`program` is there without a `recipe`");
            self.say(finding.help("it is what the recipe makes an image for"));
            return None;
        }
        let span = fields.get(first).map(|value| self.span_of(value)).unwrap_or(fields.open);
        let id = match fields.get("id") {
            Some(value) => Some(self.image_id(value)?),
            None => None,
        };
        let source = match first {
            "closure" => self.image_closure(fields)?,
            "name" => ImageSource::Named { name: self.image_name(fields.get("name")?)?, id },
            "recipe" => self.image_recipe(fields, id)?,
            _ => ImageSource::Id(id?),
        };
        Some(Spanned::new(source, span))
    }

    fn image_closure(&mut self, fields: &Fields<'_, '_>) -> Option<ImageSource> {
        let closure =
            self.choice(fields.get("closure")?, "`closure`", &[("payload", ImageSource::PayloadClosure)]);
        if let Some(key) = fields.key("id") {
            let finding = Finding::at(key, "a closure has no `id`");
            self.say(finding.help("what a payload needs depends on the payload: leave it out"));
            return None;
        }
        closure.map(|closure| closure.value)
    }

    fn image_id(&mut self, value: &Value<'_>) -> Option<String> {
        let id = self.string(value, "`id`")?;
        if Digest::from_id(id.value).is_some() {
            return Some(id.value.to_owned());
        }
        let finding = Finding::at(id.span, format!("{} is not the id of an image", quote(id.value)));
        self.say(finding.help("write `sha256:` and 64 lower-case hexadecimal digits"));
        None
    }

    fn image_name(&mut self, value: &Value<'_>) -> Option<String> {
        let name = self.string(value, "`name`")?;
        match store::check_name(name.value) {
            Ok(()) => Some(name.value.to_owned()),
            Err(problem) => {
                let message = format!("{} cannot be the name of an image", quote(name.value));
                self.say(Finding::at(name.span, message).help(problem.help()));
                None
            }
        }
    }

    fn image_recipe(&mut self, fields: &Fields<'_, '_>, id: Option<String>) -> Option<ImageSource> {
        let known: Vec<(&str, &str)> = recipe::NAMES.iter().map(|name| (*name, *name)).collect();
        let recipe = self.choice(fields.get("recipe")?, "`recipe`", &known);
        let Some(program) = fields.get("program") else {
            let finding = Finding::at(fields.open, "a `recipe` needs a `program`");
            self.say(finding.help("say which one, like `/usr/bin/python3`: PATH is never looked at"));
            return None;
        };
        let program = self.path(program, "`program`")?;
        Some(ImageSource::Recipe { recipe: recipe?.value.to_owned(), program: program.value, id })
    }
}
