//! Rendered WGSL to a validated naga module, with errors at the template's file and line.

use naga::valid::{Capabilities, ModuleInfo, ValidationFlags, Validator};

use crate::{error::ShaderError, template::Rendered};

/// Parses and validates `rendered`; `variant` names it in errors.
pub fn validate(rendered: &Rendered, variant: &str) -> Result<(naga::Module, ModuleInfo), ShaderError> {
    let fail = |location: Option<naga::SourceLocation>, message: String| {
        let index = location.map_or(0, |l| l.line_number.saturating_sub(1)) as usize;
        let (file, line) = rendered.origins.get(index).cloned().unwrap_or_default();
        ShaderError::Wgsl { file, line, message, variant: variant.to_owned() }
    };
    let source = &rendered.source;
    let module =
        naga::front::wgsl::parse_str(source).map_err(|e| fail(e.location(source), e.message().to_owned()))?;
    let mut validator = Validator::new(ValidationFlags::all(), Capabilities::all());
    let info = validator.validate(&module).map_err(|e| {
        let causes: Vec<_> = causes(e.as_inner()).collect();
        let spans = e.spans().map(|(_, label)| label.clone());
        let message = causes.into_iter().chain(spans).collect::<Vec<_>>().join(": ");
        fail(e.spans().last().map(|(span, _)| span.location(source)), message)
    })?;
    Ok((module, info))
}

/// The message of an error and of everything that caused it.
fn causes(error: &dyn std::error::Error) -> impl Iterator<Item = String> + '_ {
    std::iter::successors(Some(error), |e| e.source()).map(ToString::to_string)
}
