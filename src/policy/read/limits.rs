//! `limits`.

use jsonc_parser::ast::Value;

use super::super::bounds;
use super::super::model::{OnOutput, Stack};
use super::super::source::Spanned;
use super::{Field, Reader};

/// The limits as written; those of an extended policy fill the gaps.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct RawLimits {
    pub(in super::super) cpu_time: Field<u64>,
    pub(in super::super) wall_time: Field<u64>,
    pub(in super::super) memory: Field<u64>,
    pub(in super::super) processes: Field<u32>,
    pub(in super::super) open_files: Field<u32>,
    pub(in super::super) file_size: Field<u64>,
    pub(in super::super) output: Field<u64>,
    pub(in super::super) on_output: Field<OnOutput>,
    pub(in super::super) stack: Field<Stack>,
}

/// The fields, in the order in which they are documented.
pub(in super::super) const KNOWN: &[&str] = &[
    "cpu_time",
    "wall_time",
    "memory",
    "processes",
    "open_files",
    "file_size",
    "output",
    "on_output",
    "stack",
    "comment",
];

impl RawLimits {
    /// These limits, and where one is not given, the other's.
    pub(in super::super) fn or(self, other: Self) -> Self {
        Self {
            cpu_time: self.cpu_time.or(other.cpu_time),
            wall_time: self.wall_time.or(other.wall_time),
            memory: self.memory.or(other.memory),
            processes: self.processes.or(other.processes),
            open_files: self.open_files.or(other.open_files),
            file_size: self.file_size.or(other.file_size),
            output: self.output.or(other.output),
            on_output: self.on_output.or(other.on_output),
            stack: self.stack.or(other.stack),
        }
    }

    /// Which limits nobody gave.
    pub(in super::super) fn absent(&self) -> [(bool, &'static str); 9] {
        [
            (self.cpu_time.is_absent(), "limits.cpu_time"),
            (self.wall_time.is_absent(), "limits.wall_time"),
            (self.memory.is_absent(), "limits.memory"),
            (self.processes.is_absent(), "limits.processes"),
            (self.open_files.is_absent(), "limits.open_files"),
            (self.file_size.is_absent(), "limits.file_size"),
            (self.output.is_absent(), "limits.output"),
            (self.on_output.is_absent(), "limits.on_output"),
            (self.stack.is_absent(), "limits.stack"),
        ]
    }
}

impl Reader<'_> {
    pub(super) fn limits(&mut self, value: &Value<'_>) -> Option<RawLimits> {
        let fields = self.fields(value, "`limits`", KNOWN)?;
        self.optional_comment(&fields);
        let mut limits = RawLimits::default();
        for (name, _, value) in &fields.entries {
            match *name {
                "cpu_time" => limits.cpu_time = self.bounded(value, &bounds::CPU_TIME).into(),
                "wall_time" => limits.wall_time = self.bounded(value, &bounds::WALL_TIME).into(),
                "memory" => limits.memory = self.bounded(value, &bounds::MEMORY).into(),
                "processes" => limits.processes = self.small(value, &bounds::PROCESSES).into(),
                "open_files" => limits.open_files = self.small(value, &bounds::OPEN_FILES).into(),
                "file_size" => limits.file_size = self.bounded(value, &bounds::FILE_SIZE).into(),
                "output" => limits.output = self.bounded(value, &bounds::OUTPUT).into(),
                "stack" => limits.stack = self.stack(value).into(),
                "on_output" => {
                    let known = [("kill", OnOutput::Kill), ("cut", OnOutput::Cut)];
                    limits.on_output = self.choice(value, "`on_output`", &known).into();
                }
                _ => {}
            }
        }
        Some(limits)
    }

    /// A limit whose bounds fit 32 bits.
    pub(super) fn small(&mut self, value: &Value<'_>, bound: &bounds::Bound) -> Option<Spanned<u32>> {
        let number = self.bounded(value, bound)?;
        let small = u32::try_from(number.value).ok()?;
        Some(Spanned::new(small, number.span))
    }

    fn stack(&mut self, value: &Value<'_>) -> Option<Spanned<Stack>> {
        if let Value::StringLit(text) = value
            && text.value == "memory"
        {
            return Some(Spanned::new(Stack::Memory, self.span(text.range)));
        }
        let bytes = self.bounded(value, &bounds::STACK)?;
        Some(Spanned::new(Stack::Bytes(bytes.value), bytes.span))
    }
}
