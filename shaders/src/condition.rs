//! Conditions of `#if` and `#exclude`: `NAME`, `NAME == value`, `NAME != value`, `!`, `&&`, `||`, parentheses.
//! Every name and value must be declared, in branches that are not taken too.

use crate::axes::Scope;

/// Whether `text` holds; the error is a message without a place.
pub fn holds(text: &str, scope: &Scope<'_>) -> Result<bool, String> {
    let tokens = tokens(text)?;
    let mut reader = Reader { tokens: &tokens, scope };
    let value = reader.any()?;
    match reader.tokens.first() {
        None => Ok(value),
        Some(rest) => Err(format!("unexpected {rest:?} in condition {text:?}")),
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

fn tokens(text: &str) -> Result<Vec<&str>, String> {
    let mut found = Vec::new();
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let operator = ["==", "!=", "&&", "||", "!", "(", ")"].iter().find(|t| rest.starts_with(**t));
        let length = match operator {
            Some(t) => t.len(),
            None if is_word(first) => rest.find(|c| !is_word(c)).unwrap_or(rest.len()),
            None => return Err(format!("unexpected {first:?} in condition {text:?}")),
        };
        let (token, after) = rest.split_at(length);
        found.push(token);
        rest = after.trim_start();
    }
    Ok(found)
}

struct Reader<'a> {
    tokens: &'a [&'a str],
    scope: &'a Scope<'a>,
}

impl<'a> Reader<'a> {
    fn take(&mut self) -> Result<&'a str, String> {
        let (first, rest) = self.tokens.split_first().ok_or("the condition ends too early")?;
        self.tokens = rest;
        Ok(first)
    }

    fn accept(&mut self, token: &str) -> bool {
        let found = self.tokens.first() == Some(&token);
        if found {
            self.tokens = &self.tokens[1..];
        }
        found
    }

    fn any(&mut self) -> Result<bool, String> {
        let mut value = self.all()?;
        while self.accept("||") {
            value |= self.all()?;
        }
        Ok(value)
    }

    fn all(&mut self) -> Result<bool, String> {
        let mut value = self.one()?;
        while self.accept("&&") {
            value &= self.one()?;
        }
        Ok(value)
    }

    fn one(&mut self) -> Result<bool, String> {
        if self.accept("!") {
            return Ok(!self.one()?);
        }
        if self.accept("(") {
            let value = self.any()?;
            return if self.accept(")") { Ok(value) } else { Err("a parenthesis is not closed".to_owned()) };
        }
        let name = self.take()?;
        let (axis, choice) = self.scope.get(name)?;
        let wanted = self.accept("==");
        if wanted || self.accept("!=") {
            let value = self.take()?;
            axis.check(value)?;
            return Ok((choice == value) == wanted);
        }
        if axis.values.iter().all(|v| matches!(*v, "true" | "false")) {
            return Ok(choice == "true");
        }
        Err(format!("{name} is not a flag; compare it with == or !="))
    }
}
