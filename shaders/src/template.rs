//! The template language of kernel files: `#import name`, `#if`, `#elif`, `#else`, `#endif`, `#for i in 0..4`,
//! `#endfor` (which repeats lines, for what must be unrolled), `$NAME` and `${NAME}`. A directive stands alone on its line. Anything unknown is an error with its file and line.

use crate::{
    axes::{Axes, Axis, Scope},
    condition,
    error::ShaderError,
};

/// The texts that kernels are rendered from.
#[derive(Clone, Copy, Debug)]
pub struct Library<'a> {
    /// `(name, text)` of the kernels, sorted by name.
    pub kernels: &'a [(&'a str, &'a str)],
    /// `(name, text)` of what they import, sorted by name.
    pub imports: &'a [(&'a str, &'a str)],
}

/// WGSL text that knows where its lines came from.
#[derive(Clone, Debug, Default)]
pub struct Rendered {
    /// The WGSL text.
    pub source: String,
    /// The file and line (from 1) of each line of it.
    pub origins: Vec<(String, u32)>,
}

/// The text of `name` in a sorted table.
pub fn find<'a>(table: &[(&'a str, &'a str)], name: &str) -> Option<(&'a str, &'a str)> {
    let at = table.binary_search_by_key(&name, |(n, _)| n).ok()?;
    table.get(at).copied()
}

/// Where a kernel's text stands.
pub fn kernel_path(name: &str) -> String {
    format!("wgsl/{name}.wgsl")
}

/// Renders `kernel` under `choices`, one for each axis of `axes`.
pub fn render<'a>(
    library: Library<'a>,
    kernel: &str,
    axes: &Axes<'a>,
    choices: &[&'a str],
) -> Result<Rendered, ShaderError> {
    let (_, text) = find(library.kernels, kernel)
        .ok_or_else(|| ShaderError::UnknownKernel { name: kernel.to_owned() })?;
    let mut renderer =
        Renderer { library, scope: axes.scope(choices)?, imported: Vec::new(), out: Rendered::default() };
    renderer.file(&kernel_path(kernel), text, true)?;
    Ok(renderer.out)
}

struct Renderer<'a> {
    library: Library<'a>,
    scope: Scope<'a>,
    imported: Vec<String>,
    out: Rendered,
}

/// One `#if` that is not closed yet.
struct Frame {
    line: u32,
    outer: bool,
    active: bool,
    taken: bool,
    last: bool,
}

/// Values of loop variables.
const NUMBERS: [&str; 17] =
    ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11", "12", "13", "14", "15", "16"];

type Line<'a> = (u32, &'a str);

impl<'a> Renderer<'a> {
    fn file(&mut self, path: &str, text: &'a str, is_kernel: bool) -> Result<(), ShaderError> {
        let lines: Vec<Line<'a>> = (1..).zip(text.lines()).collect();
        self.block(path, &lines, is_kernel)
    }

    fn block(&mut self, path: &str, lines: &[Line<'a>], is_kernel: bool) -> Result<(), ShaderError> {
        let mut frames: Vec<Frame> = Vec::new();
        let mut index = 0;
        while let Some(&(line, content)) = lines.get(index) {
            index += 1;
            let at = |message: String| ShaderError::Template { file: path.to_owned(), line, message };
            let active = frames.last().is_none_or(|f| f.active);
            let Some(directive) = content.trim_start().strip_prefix('#') else {
                if active {
                    self.line(path, line, content).map_err(at)?;
                }
                continue;
            };
            let (word, rest) = directive.split_once(' ').unwrap_or((directive, ""));
            match word {
                "variant" | "let" | "exclude" if is_kernel && content.starts_with('#') => {}
                "import" if active => self.import(rest.trim(), at)?,
                "import" => {}
                "for" => {
                    let end = end_of_loop(&lines[index..])
                        .ok_or_else(|| at("this #for has no #endfor".to_owned()))?;
                    if active {
                        self.repeat(path, rest, &lines[index..index + end], at)?;
                    }
                    index += end + 1;
                }
                _ => self.branch(&mut frames, line, word, rest).map_err(at)?,
            }
        }
        match frames.last() {
            None => Ok(()),
            Some(frame) => {
                let message = "this #if has no #endif".to_owned();
                Err(ShaderError::Template { file: path.to_owned(), line: frame.line, message })
            }
        }
    }

    /// `header` is `NAME in FROM..TO`, TO excluded and at most 16.
    fn repeat(
        &mut self,
        path: &str,
        header: &'a str,
        lines: &[Line<'a>],
        at: impl Fn(String) -> ShaderError,
    ) -> Result<(), ShaderError> {
        let wrong = || at(format!("{header:?} is not of the form NAME in FROM..TO with TO <= 16"));
        let (name, range) = header.split_once(" in ").ok_or_else(wrong)?;
        let range = self.substitute(range).map_err(&at)?;
        let (from, to) = range.trim().split_once("..").ok_or_else(wrong)?;
        let bound = |text: &str| NUMBERS.iter().position(|n| *n == text);
        let values =
            bound(from).zip(bound(to)).and_then(|(from, to)| NUMBERS.get(from..to)).ok_or_else(wrong)?;
        for value in values {
            self.scope.push(Axis { name: name.trim(), values: NUMBERS.to_vec() }, value);
            self.block(path, lines, false)?;
            self.scope.pop();
        }
        Ok(())
    }

    fn branch(&self, frames: &mut Vec<Frame>, line: u32, word: &str, rest: &str) -> Result<(), String> {
        if word == "if" {
            let outer = frames.last().is_none_or(|f| f.active);
            let holds = condition::holds(rest, &self.scope)?;
            frames.push(Frame { line, outer, active: outer && holds, taken: holds, last: false });
            return Ok(());
        }
        if !matches!(word, "elif" | "else" | "endif") {
            return Err(format!("unknown directive #{word}"));
        }
        let frame = frames.last_mut().ok_or_else(|| format!("#{word} without #if"))?;
        if word == "endif" {
            frames.pop();
            return Ok(());
        }
        if frame.last {
            return Err(format!("#{word} after #else"));
        }
        let holds = if word == "elif" { condition::holds(rest, &self.scope)? } else { true };
        frame.last = word == "else";
        frame.active = frame.outer && holds && !frame.taken;
        frame.taken |= holds;
        Ok(())
    }

    /// A file is imported once; later imports of it add nothing.
    fn import(&mut self, name: &str, at: impl Fn(String) -> ShaderError) -> Result<(), ShaderError> {
        let found = find(self.library.imports, name);
        let (name, text) = found.ok_or_else(|| at(format!("there is no wgsl/lib/{name}.wgsl to import")))?;
        if self.imported.iter().any(|i| i == name) {
            return Ok(());
        }
        self.imported.push(name.to_owned());
        self.file(&format!("wgsl/lib/{name}.wgsl"), text, false)
    }

    fn line(&mut self, path: &str, line: u32, content: &str) -> Result<(), String> {
        let text = self.substitute(content)?;
        self.out.source.push_str(&text);
        self.out.source.push('\n');
        self.out.origins.push((path.to_owned(), line));
        Ok(())
    }

    fn substitute(&self, text: &str) -> Result<String, String> {
        let (mut out, mut rest) = (String::new(), text);
        while let Some((before, after)) = rest.split_once('$') {
            out.push_str(before);
            let (name, after) = match after.strip_prefix('{') {
                Some(braced) => braced.split_once('}').ok_or("a ${ has no }")?,
                None => {
                    let is_end = |c: char| !c.is_ascii_alphanumeric() && c != '_';
                    after.split_at(after.find(is_end).unwrap_or(after.len()))
                }
            };
            out.push_str(self.scope.get(name)?.1);
            rest = after;
        }
        out.push_str(rest);
        Ok(out)
    }
}

/// The index of the `#endfor` that ends a loop whose body begins at `lines`.
fn end_of_loop(lines: &[Line<'_>]) -> Option<usize> {
    let mut depth = 0;
    lines.iter().position(|(_, content)| {
        let word = content.trim_start();
        if word.starts_with("#for ") {
            depth += 1;
        } else if word.starts_with("#endfor") {
            depth -= 1;
        }
        depth < 0
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const IMPORTS: &[(&str, &str)] =
        &[("inner", "inner $A\n"), ("open", "\n#if F\n"), ("outer", "#import inner\nouter\n")];

    fn rendered(text: &str, choices: &[&str]) -> Result<Rendered, String> {
        let kernels = [("k", text)];
        let axes = Axes::parse("wgsl/k.wgsl", text).map_err(|e| e.to_string())?;
        let library = Library { kernels: &kernels, imports: IMPORTS };
        render(library, "k", &axes, choices).map_err(|e| e.to_string())
    }

    #[test]
    fn branches_follow_the_choices() {
        let text = "#variant A = x | y | z\n#variant F = false | true\n#let G = A == z && !F\n\
            #if A == x\nis x\n#elif (A == y || G)\n#if F\nis y, F\n#else\nis y or G\n#endif\n#else\nrest\n#endif\n";
        let cases = [
            (["x", "true"], "is x\n"),
            (["y", "true"], "is y, F\n"),
            (["y", "false"], "is y or G\n"),
            (["z", "false"], "is y or G\n"),
            (["z", "true"], "rest\n"),
        ];
        for (choices, expected) in cases {
            assert_eq!(rendered(text, &choices).unwrap().source, expected, "{choices:?}");
        }
    }

    #[test]
    fn loops_repeat_their_lines() {
        let text = "#variant N = 2 | 3\n#for i in 1..$N\n#for j in 0..2\n#if i == 2 || j == 0\na${i}_$j\n#endif\n\
            #endfor\n#endfor\n";
        assert_eq!(rendered(text, &["2"]).unwrap().source, "a1_0\n");
        assert_eq!(rendered(text, &["3"]).unwrap().source, "a1_0\na2_0\na2_1\n");
    }

    #[test]
    fn lines_know_their_origin() {
        let text = "#variant A = x | y\n#import outer\n#import inner\na${A}b $A\n";
        let out = rendered(text, &["y"]).unwrap();
        assert_eq!(out.source, "inner y\nouter\nayb y\n");
        let origins: Vec<_> = out.origins.iter().map(|(f, l)| (f.as_str(), *l)).collect();
        assert_eq!(origins, [("wgsl/lib/inner.wgsl", 1), ("wgsl/lib/outer.wgsl", 2), ("wgsl/k.wgsl", 4)]);
    }

    #[test]
    fn mistakes_are_errors_with_a_place() {
        let cases = [
            ("$B", "wgsl/k.wgsl:3: unknown name \"B\"; declare it with #variant"),
            ("${A", "wgsl/k.wgsl:3: a ${ has no }"),
            ("#iff A == x", "wgsl/k.wgsl:3: unknown directive #iff"),
            ("#if A == w\n#endif", "wgsl/k.wgsl:3: \"w\" is not a value of A, which has x | y"),
            ("#if F\n#if B\n#endif\n#endif", "wgsl/k.wgsl:4: unknown name \"B\"; declare it with #variant"),
            ("#if A\n#endif", "wgsl/k.wgsl:3: A is not a flag; compare it with == or !="),
            ("#if (F\n#endif", "wgsl/k.wgsl:3: a parenthesis is not closed"),
            ("#if F F\n#endif", "wgsl/k.wgsl:3: unexpected \"F\" in condition \"F F\""),
            ("#if F & F\n#endif", "wgsl/k.wgsl:3: unexpected '&' in condition \"F & F\""),
            ("#if\n#endif", "wgsl/k.wgsl:3: the condition ends too early"),
            ("\n#if F", "wgsl/k.wgsl:4: this #if has no #endif"),
            ("#endif", "wgsl/k.wgsl:3: #endif without #if"),
            ("#for i in 0..2\n#for j in 0..2\n#endfor", "wgsl/k.wgsl:3: this #for has no #endfor"),
            (
                "#for i in 0..99\n#endfor",
                "wgsl/k.wgsl:3: \"i in 0..99\" is not of the form NAME in FROM..TO with TO <= 16",
            ),
            ("#for i in 0..1\n#if F\n#endfor", "wgsl/k.wgsl:4: this #if has no #endif"),
            ("#endfor", "wgsl/k.wgsl:3: unknown directive #endfor"),
            ("#if F\n#else\n#elif F\n#endif", "wgsl/k.wgsl:5: #elif after #else"),
            ("#import nowhere", "wgsl/k.wgsl:3: there is no wgsl/lib/nowhere.wgsl to import"),
            ("#import open", "wgsl/lib/open.wgsl:2: this #if has no #endif"),
            ("#variant A = x", "wgsl/k.wgsl:3: A is declared twice"),
            ("#variant B = x |", "wgsl/k.wgsl:3: \"B = x |\" is not of the form NAME = value | value"),
        ];
        for (line, expected) in cases {
            let text = format!("#variant A = x | y\n#variant F = false | true\n{line}\n");
            assert_eq!(rendered(&text, &["x", "false"]).unwrap_err(), expected);
        }
    }

    #[test]
    fn excluded_combinations_are_left_out() {
        let text = "#variant A = x | y\n#variant F = false | true\n#exclude A == x && F\n";
        let variants = Axes::parse("k", text).unwrap().variants().unwrap();
        assert_eq!(variants, [["x", "false"], ["y", "false"], ["y", "true"]]);
    }
}
