//! The header of a kernel file: `#variant NAME = a | b | c` declares a template axis, its first value being the
//! default; `#let NAME = CONDITION` names a flag that follows from the axes; `#exclude CONDITION` says which
//! combinations do not exist.

use crate::{condition, error::ShaderError};

/// One choice that a kernel's template offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Axis<'a> {
    /// Its name, as in `#if NAME == value` and `$NAME`.
    pub name: &'a str,
    /// Its values, the default first.
    pub values: Vec<&'a str>,
}

impl Axis<'_> {
    /// Whether `value` is declared; the error is a message.
    pub(crate) fn check(&self, value: &str) -> Result<(), String> {
        if self.values.contains(&value) {
            return Ok(());
        }
        Err(format!("{value:?} is not a value of {}, which has {}", self.name, self.values.join(" | ")))
    }
}

/// Everything that a kernel file declares about its variants.
#[derive(Clone, Debug)]
pub struct Axes<'a> {
    /// In the order of the file.
    pub axes: Vec<Axis<'a>>,
    lets: Vec<(u32, &'a str, &'a str)>,
    excludes: Vec<(u32, &'a str)>,
    file: String,
}

/// The names that conditions and substitutions may use, each with its declared values and its value.
#[derive(Clone, Debug, Default)]
pub struct Scope<'a>(Vec<(Axis<'a>, &'a str)>);

impl<'a> Scope<'a> {
    /// The declaration and the value of `name`; the error is a message.
    pub fn get(&self, name: &str) -> Result<(&Axis<'a>, &'a str), String> {
        let found = self.0.iter().find(|(axis, _)| axis.name == name);
        let (axis, value) =
            found.ok_or_else(|| format!("unknown name {name:?}; declare it with #variant"))?;
        Ok((axis, value))
    }

    /// Declares one more name, the last one.
    pub fn push(&mut self, axis: Axis<'a>, value: &'a str) {
        self.0.push((axis, value));
    }

    /// Takes back the last name.
    pub fn pop(&mut self) {
        self.0.pop();
    }
}

impl<'a> Axes<'a> {
    /// Reads the header of a kernel file.
    pub fn parse(file: &str, text: &'a str) -> Result<Self, ShaderError> {
        let mut found =
            Self { axes: Vec::new(), lets: Vec::new(), excludes: Vec::new(), file: file.to_owned() };
        for (line, content) in (1..).zip(text.lines()) {
            if let Some(rest) = content.strip_prefix("#variant ") {
                let axis =
                    parse_axis(rest).and_then(|axis| match found.axes.iter().any(|a| a.name == axis.name) {
                        true => Err(format!("{} is declared twice", axis.name)),
                        false => Ok(axis),
                    });
                found.axes.push(axis.map_err(|m| found.fail(line, m))?);
            } else if let Some(rest) = content.strip_prefix("#let ") {
                let (name, condition) = rest.split_once('=').unwrap_or((rest, ""));
                found.lets.push((line, name.trim(), condition));
            } else if let Some(rest) = content.strip_prefix("#exclude ") {
                found.excludes.push((line, rest));
            }
        }
        Ok(found)
    }

    fn fail(&self, line: u32, message: String) -> ShaderError {
        ShaderError::Template { file: self.file.clone(), line, message }
    }

    /// What the names mean under `choices`, one for each axis.
    pub fn scope(&self, choices: &[&'a str]) -> Result<Scope<'a>, ShaderError> {
        let mut scope = Scope(self.axes.iter().cloned().zip(choices.iter().copied()).collect());
        for (line, name, condition) in &self.lets {
            let holds = condition::holds(condition, &scope).map_err(|m| self.fail(*line, m))?;
            let axis = Axis { name, values: vec!["false", "true"] };
            scope.0.push((axis, if holds { "true" } else { "false" }));
        }
        Ok(scope)
    }

    /// The `#exclude` condition that `choices` meet, if any.
    pub fn excluded(&self, choices: &[&'a str]) -> Result<Option<&'a str>, ShaderError> {
        let scope = self.scope(choices)?;
        for (line, condition) in &self.excludes {
            if condition::holds(condition, &scope).map_err(|m| self.fail(*line, m))? {
                return Ok(Some(condition));
            }
        }
        Ok(None)
    }

    /// Every combination of values that is not excluded, in the order of the file, the last axis running fastest.
    pub fn variants(&self) -> Result<Vec<Vec<&'a str>>, ShaderError> {
        let mut all: Vec<Vec<&'a str>> = vec![Vec::new()];
        for axis in &self.axes {
            let longer = |v: &Vec<&'a str>, value: &&'a str| v.iter().chain([value]).copied().collect();
            all = all.iter().flat_map(|v| axis.values.iter().map(move |value| longer(v, value))).collect();
            all.retain(|choices| !self.excludes_beginning(choices));
        }
        let mut kept = Vec::new();
        for choices in all {
            if self.excluded(&choices)?.is_none() {
                kept.push(choices);
            }
        }
        Ok(kept)
    }

    /// Whether choices for the first axes alone meet an `#exclude`: what names later axes says nothing yet.
    fn excludes_beginning(&self, choices: &[&'a str]) -> bool {
        let mut scope = Scope(self.axes.iter().cloned().zip(choices.iter().copied()).collect());
        for (_, name, condition) in &self.lets {
            if let Ok(holds) = condition::holds(condition, &scope) {
                let axis = Axis { name, values: vec!["false", "true"] };
                scope.0.push((axis, if holds { "true" } else { "false" }));
            }
        }
        self.excludes.iter().any(|(_, condition)| condition::holds(condition, &scope).unwrap_or(false))
    }

    /// A variant as text: `NAME=value` joined by blanks.
    pub fn describe(&self, choices: &[&str]) -> String {
        let pairs: Vec<_> = self.axes.iter().zip(choices).map(|(a, c)| format!("{}={c}", a.name)).collect();
        pairs.join(" ")
    }
}

fn parse_axis(text: &str) -> Result<Axis<'_>, String> {
    let wrong = || format!("{text:?} is not of the form NAME = value | value");
    let (name, values) = text.split_once('=').ok_or_else(wrong)?;
    let values: Vec<&str> = values.split('|').map(str::trim).collect();
    let is_name = |s: &str| !s.is_empty() && s.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    match is_name(name.trim()) && values.iter().all(|v| is_name(v)) {
        true => Ok(Axis { name: name.trim(), values }),
        false => Err(wrong()),
    }
}
