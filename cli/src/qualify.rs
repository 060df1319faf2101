//! `halfbyte devices --qualify`: whether the kernels are right on a GPU, as a table for its driver's makers.

use std::path::Path;

use engine::{
    gpu::Gpu,
    ops::OPERATORS,
    qualify::{qualify, save},
};

use crate::{bars::Bars, error::CliError, output};

/// Runs all cases of all operators, saves those that fail in `folder`, and prints what came of them; fails where one did.
pub fn run(gpu: &Gpu, folder: Option<&Path>, json: bool) -> Result<(), CliError> {
    let bars = Bars::default();
    let found = qualify(gpu, OPERATORS, &|done, total| bars.show("cases", done as u64, total as u64))?;
    bars.clear();
    if let Some(folder) = folder {
        for (operator, failure) in found.failures() {
            save(folder, operator, failure).map_err(CliError::file(folder))?;
        }
    }
    if json {
        output::json(&serde_json::to_value(&found).map_err(|e| CliError::other(e.to_string()))?)?;
    } else {
        output::text(&found.to_string())?;
    }
    let failed = found.failures().count();
    if failed == 0 {
        return Ok(());
    }
    let cases = found.cases();
    let hint =
        folder.map_or(" (--out DIR saves their kernels)".to_owned(), |f| format!(", see {}", f.display()));
    Err(CliError::other(format!("{failed} of {cases} cases are wrong on this GPU{hint}")))
}
