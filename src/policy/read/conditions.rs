//! Conditions on arguments, and the values in them.

use jsonc_parser::ast::{Array, Value};
use jsonc_parser::common::Range;

use super::super::findings::Finding;
use super::super::model::{Condition, Test};
use super::super::names::{self, ArgKind};
use super::super::source::{Span, Spanned, quote};
use super::super::suggest;
use super::{Fields, Reader};

/// Values of one condition. The kernel refuses a filter of more than 4096
/// instructions, and each value costs at least one.
const VALUES: usize = 1000;

/// An argument as all calls of a rule have it.
struct Argument<'a> {
    name: &'a str,
    /// The fewest bits that any of the calls uses.
    bits: u8,
    /// The first of the calls; its constants are suggested.
    call: u32,
}

impl Argument<'_> {
    /// The bits there are.
    fn mask(&self) -> u64 {
        u64::MAX >> (64 - u32::from(self.bits))
    }
}

impl Reader<'_> {
    /// The conditions of a rule; none if one of them is bad.
    pub(super) fn conditions(
        &mut self,
        value: &Value<'_>,
        what: &str,
        calls: &[Spanned<u32>],
    ) -> Option<Vec<Condition>> {
        let elements = self.elements(value, what)?;
        let conditions: Vec<_> = elements.iter().map(|e| self.condition(e, calls)).collect();
        conditions.into_iter().collect()
    }

    fn condition(&mut self, value: &Value<'_>, calls: &[Spanned<u32>]) -> Option<Condition> {
        let known = ["arg", "eq", "in", "masked", "any_bit"];
        let fields = self.fields(value, "a condition", &known)?;
        self.require(&fields, "this condition", &["arg"]);
        let name = self.argument_name(&fields)?;
        let argument = self.argument(&name, calls);
        if !self.one_test(&fields) {
            return None;
        }
        let test = self.test(&fields, &argument?)?;
        Some(Condition { arg: name.value.to_owned(), test })
    }

    fn argument_name<'v>(&mut self, fields: &Fields<'v, '_>) -> Option<Spanned<&'v str>> {
        let value = fields.get("arg")?;
        if let Value::NumberLit(number) = value {
            let span = self.span(number.range);
            let finding = Finding::at(span, "`arg` must be a name, not a number");
            self.say(finding.help("arguments are called what their manual page calls them"));
            return None;
        }
        self.string(value, "`arg`")
    }

    /// Looks the argument up in every call of the rule.
    fn argument<'a>(&mut self, name: &Spanned<&'a str>, calls: &[Spanned<u32>]) -> Option<Argument<'a>> {
        let mut good = true;
        let mut bits: Option<(u8, u32)> = None;
        for call in calls {
            let shown = names::shown(call.value);
            let Some(arg) = names::argument(call.value, name.value) else {
                let has = names::arguments(call.value);
                let help = match suggest::nearest(name.value, has.iter().copied()) {
                    Some(near) => format!("did you mean `{near}`?"),
                    None if has.is_empty() => format!("`{shown}` takes no argument"),
                    None => format!("its arguments are {}", suggest::list(&has)),
                };
                let message = format!("`{shown}` has no argument {}", quote(name.value));
                self.say(Finding::at(name.span, message).note(call.span, "listed here").help(help));
                good = false;
                continue;
            };
            if arg.kind == ArgKind::Pointer {
                let message = format!("`{}` of `{shown}` is a pointer", name.value);
                let help =
                    "a filter sees the address, never what is there: leave the call out, or allow all of it";
                self.say(Finding::at(name.span, message).help(help));
                good = false;
                continue;
            }
            match bits {
                // A rule on 16 bits is a mask, which would be wrong on more.
                Some((other, first)) if (other == 16) != (arg.bits == 16) => {
                    let first = names::shown(first);
                    let message = format!("`{}` is not as wide in `{shown}` as in `{first}`", name.value);
                    self.say(Finding::at(name.span, message).help("put them in rules of their own"));
                    good = false;
                }
                Some((other, _)) if other <= arg.bits => {}
                _ => bits = Some((arg.bits, call.value)),
            }
        }
        let (bits, call) = bits?;
        good.then_some(Argument { name: name.value, bits, call })
    }

    /// Whether the fields are one test.
    fn one_test(&mut self, fields: &Fields<'_, '_>) -> bool {
        let has = |name: &str| fields.get(name).is_some();
        let tests = ["eq", "in", "any_bit"].into_iter().filter(|t| has(t)).count();
        let (message, help) = match tests {
            0 => ("this condition tests nothing", "add one of `eq`, `in`, `any_bit`"),
            1 if has("masked") && has("any_bit") => {
                ("`masked` goes with `eq` or `in`", "`any_bit` is a mask itself: leave `masked` out")
            }
            1 => return true,
            _ => (
                "this condition tests twice",
                "write one of `eq`, `in`, `any_bit`; all conditions of a rule count",
            ),
        };
        self.say(Finding::at(fields.open, message).help(help));
        false
    }

    fn test(&mut self, fields: &Fields<'_, '_>, argument: &Argument<'_>) -> Option<Test> {
        if let Some(value) = fields.get("any_bit") {
            let bits = self.mask(value, argument, "`any_bit`")?;
            return Some(Test::AnyBit(bits));
        }
        let mask = match fields.get("masked") {
            Some(value) => Some(self.mask(value, argument, "`masked`")?),
            None => None,
        };
        let values = match (fields.get("eq"), fields.get("in")) {
            (Some(value), _) => vec![self.number(value, argument)?],
            (None, Some(value)) => self.numbers(value, argument)?,
            (None, None) => return None,
        };
        if let Some(mask) = mask
            && let Some(outside) = values.iter().find(|v| v.value & !mask != 0)
        {
            let message = format!("this can never be: `masked` leaves no more than {mask:#x}");
            self.say(Finding::at(outside.span, message));
            return None;
        }
        let values: Vec<u64> = values.into_iter().map(|v| v.value).collect();
        Some(match mask {
            Some(mask) => Test::MaskedIn { mask, values },
            // The kernel drops the upper bits, so they must not decide.
            None if argument.bits < 32 => Test::MaskedIn { mask: argument.mask(), values },
            None => Test::In(values),
        })
    }

    /// A set of bits that is not empty.
    fn mask(&mut self, value: &Value<'_>, argument: &Argument<'_>, what: &str) -> Option<u64> {
        let mask = self.number(value, argument)?;
        if mask.value == 0 {
            let finding = Finding::at(mask.span, format!("{what} has no bit set"));
            self.say(finding.help("such a test is always the same; write the bits that matter"));
            return None;
        }
        Some(mask.value)
    }

    fn numbers(&mut self, value: &Value<'_>, argument: &Argument<'_>) -> Option<Vec<Spanned<u64>>> {
        let Value::Array(Array { elements, .. }) = value else {
            self.wrong_type(value, "`in`", "an array");
            return None;
        };
        if elements.is_empty() {
            let span = self.span_of(value);
            let finding = Finding::at(span, "`in` is empty");
            self.say(finding.help("no value is in an empty list; leave the call out instead"));
            return None;
        }
        if elements.len() > VALUES {
            let span = self.span_of(value);
            let finding = Finding::at(span, format!("`in` has {} values", elements.len()));
            self.say(finding.help(format!(
                "a filter has room for 4096 instructions in all; {VALUES} values are the most"
            )));
            return None;
        }
        let mut values: Vec<Spanned<u64>> = Vec::new();
        let mut good = true;
        for element in elements {
            let Some(number) = self.number(element, argument) else {
                good = false;
                continue;
            };
            if let Some(first) = values.iter().find(|v| v.value == number.value) {
                let finding = Finding::at(number.span, "this value is listed twice");
                let first = first.span;
                self.say(finding.note(first, "first listed here"));
                good = false;
            }
            values.push(number);
        }
        good.then_some(values)
    }

    /// A value: a number, or a string of constants and numbers joined by `|`.
    fn number(&mut self, value: &Value<'_>, argument: &Argument<'_>) -> Option<Spanned<u64>> {
        match value {
            Value::NumberLit(number) => {
                let span = self.span(number.range);
                let plain = number.value.strip_prefix('-').unwrap_or(number.value);
                if plain.bytes().any(|b| !b.is_ascii_digit()) {
                    self.say(Finding::at(span, "a value must be a whole number"));
                    return None;
                }
                let wide = number.value.parse().ok();
                self.fit(wide, span, argument).map(|v| Spanned::new(v, span))
            }
            Value::StringLit(text) => self.words(&text.value, text.range, argument),
            other => {
                self.wrong_type(other, "a value", "a number or the name of a constant");
                None
            }
        }
    }

    fn words(&mut self, text: &str, range: Range, argument: &Argument<'_>) -> Option<Spanned<u64>> {
        let whole = self.span(range);
        // Without escapes, the text is the source between the quotes.
        let verbatim = range.end - range.start == text.len() + 2;
        let mut value = 0;
        let mut good = true;
        let mut at = range.start + 1;
        for part in text.split('|') {
            let name = part.trim();
            let start = at + (part.len() - part.trim_start().len());
            let span = if verbatim && !name.is_empty() {
                self.span(Range { start, end: start + name.len() })
            } else {
                whole
            };
            at += part.len() + 1;
            match self.part(name, span, argument) {
                Some(bits) => value |= bits,
                None => good = false,
            }
        }
        good.then(|| Spanned::new(value, whole))
    }

    /// One word of a value.
    fn part(&mut self, name: &str, span: Span, argument: &Argument<'_>) -> Option<u64> {
        if name.is_empty() {
            let finding = Finding::at(span, "a value is missing here");
            self.say(finding.help("write a number or the name of a constant; `|` joins bits"));
            return None;
        }
        if name.starts_with(|c: char| c.is_ascii_digit() || c == '-' || c == '+') {
            let wide = literal(name);
            if wide.is_none() {
                let finding = Finding::at(span, format!("{} is not a number", quote(name)));
                self.say(finding.help("hexadecimal is written `0x1f`, octal `0644`, decimal `42`"));
                return None;
            }
            return self.fit(wide, span, argument);
        }
        let constants = || names::constants_for(argument.call, argument.name);
        let Some(value) = names::constant(name) else {
            let near = self.nearest(name, constants());
            let help = near.map_or_else(
                || "write its number if it is newer than this program".to_owned(),
                |near| format!("did you mean `{near}`?"),
            );
            self.say(Finding::at(span, format!("unknown constant {}", quote(name))).help(help));
            return None;
        };
        if !names::constant_fits(argument.call, argument.name, name) {
            let call = names::shown(argument.call);
            let message = format!("`{name}` is not a value of `{}` of `{call}`", argument.name);
            let examples: Vec<&str> = constants().take(3).collect();
            let help =
                format!("its values are like {}; a number is taken as it is", suggest::list(&examples));
            self.say(Finding::at(span, message).help(help));
            return None;
        }
        self.fit(Some(i128::from(value)), span, argument)
    }

    /// The value in the width of the argument, negative ones as two's
    /// complement.
    fn fit(&mut self, wide: Option<i128>, span: Span, argument: &Argument<'_>) -> Option<u64> {
        let mask = i128::from(argument.mask());
        let least = -((mask + 1) / 2);
        if let Some(value) = wide
            && (least..=mask).contains(&value)
        {
            return u64::try_from(value & mask).ok();
        }
        let message = format!("this does not fit in `{}`", argument.name);
        let help = format!("the kernel looks at {} bits of it", argument.bits);
        self.say(Finding::at(span, message).help(help));
        None
    }
}

/// A number as C writes it. Too large a number is the largest, which fits
/// nowhere.
fn literal(text: &str) -> Option<i128> {
    let (digits, sign) = text.strip_prefix('-').map_or((text, 1), |d| (d, -1));
    let (digits, radix) = if let Some(hex) = digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        (hex, 16)
    } else if let Some(octal) = digits.strip_prefix("0o") {
        (octal, 8)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (&digits[1..], 8)
    } else {
        (digits, 10)
    };
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    Some(i128::from_str_radix(digits, radix).map_or(i128::MAX, |v| v * sign))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literal_in_each_base_is_its_value() {
        let cases = [
            ("0", 0),
            ("42", 42),
            ("0xf", 15),
            ("0XFF", 255),
            ("06000", 0o6000),
            ("0o17", 15),
            ("-1", -1),
            ("-0x10", -16),
            ("18446744073709551615", i128::from(u64::MAX)),
        ];
        for (text, value) in cases {
            assert_eq!(literal(text), Some(value), "{text}");
        }
        assert_eq!(literal(&"9".repeat(80)), Some(i128::MAX));
    }

    #[test]
    fn literal_that_is_no_number_is_none() {
        for text in ["", "0x", "08", "0xg", "1_0", "1e3", "+1", "--1", "0o", "-", "1 ", "٣"] {
            assert_eq!(literal(text), None, "{text}");
        }
    }
}
