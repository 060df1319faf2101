//! What tuning and qualification learned of a device's kernels, in a small JSON file for each device and driver: it holds for
//! the kernels of this build alone, and is left aside where it was made with others.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs, io,
    path::Path,
};

use serde::{Deserialize, Serialize};

use crate::op::Choices;

/// See the module.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The engine's version.
    engine: String,
    /// A hash of all kernels.
    shaders: String,
    /// The device and its driver.
    device: String,
    /// What was tuned, by problem.
    pub problems: BTreeMap<String, Tuned>,
    /// Variants that gave the reference's results: the kind of problem, and their names.
    pub sound: BTreeMap<String, BTreeSet<String>>,
    /// Variants that no case has, likewise.
    pub unproven: BTreeMap<String, BTreeSet<String>>,
    /// Variants that gave other results.
    pub struck: Vec<Struck>,
}

/// What was measured of a problem's variants.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Tuned {
    /// The variant to take.
    pub winner: String,
    /// Microseconds of one node, by variant.
    pub micros: BTreeMap<String, f64>,
}

/// A variant that gave wrong results.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Struck {
    /// Which kernels it is one of.
    pub family: String,
    /// Its name.
    pub variant: String,
    /// Where it went wrong.
    pub case: String,
    /// What was wrong.
    pub text: String,
}

impl Record {
    /// Of a device that nothing is known of.
    #[must_use]
    pub fn new(device: &str) -> Self {
        Self {
            engine: env!("CARGO_PKG_VERSION").to_owned(),
            shaders: format!("{:016x}", shaders::library_hash()),
            device: device.to_owned(),
            problems: BTreeMap::new(),
            sound: BTreeMap::new(),
            unproven: BTreeMap::new(),
            struck: Vec::new(),
        }
    }

    /// Reads what is known of a device; nothing where there is no file.
    ///
    /// # Errors
    /// In words, when the file cannot be used: it is damaged, or of another device, or of other kernels.
    pub fn read(file: &Path, device: &str) -> Result<Self, String> {
        let at = |what: &str| format!("tuning is not used: {}: {what}", file.display());
        let fresh = Self::new(device);
        let text = match fs::read_to_string(file) {
            Ok(text) => text,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(fresh),
            Err(e) => return Err(at(&e.to_string())),
        };
        let found: Self = serde_json::from_str(&text).map_err(|e| at(&e.to_string()))?;
        if found.device != fresh.device {
            return Err(at(&format!("it is of {}", found.device)));
        }
        if (&found.engine, &found.shaders) != (&fresh.engine, &fresh.shaders) {
            return Err(at("it was made with other kernels"));
        }
        Ok(found)
    }

    /// Its text in a file.
    ///
    /// # Errors
    /// When a number has no form in JSON.
    pub fn text(&self) -> io::Result<String> {
        Ok(serde_json::to_string_pretty(self)? + "\n")
    }

    /// What plans are to follow.
    #[must_use]
    pub fn choices(&self) -> Choices {
        let struck = self.struck.iter().map(|s| (s.family.clone(), s.variant.clone())).collect();
        let tuned = self.problems.iter().map(|(problem, tuned)| (problem.clone(), tuned.winner.clone()));
        Choices { tuned: tuned.collect(), struck, round: None }
    }

    /// Whether a variant gave wrong results.
    #[must_use]
    pub fn is_struck(&self, family: &str, variant: &str) -> bool {
        self.struck.iter().any(|s| s.family == family && s.variant == variant)
    }

    /// Whether cases have been asked whether a variant is right for a kind of problem.
    #[must_use]
    pub fn is_known(&self, kind: &str, variant: &str) -> bool {
        let has =
            |known: &BTreeMap<String, BTreeSet<String>>| known.get(kind).is_some_and(|v| v.contains(variant));
        has(&self.sound) || has(&self.unproven)
    }

    /// The device and its driver.
    #[must_use]
    pub fn device(&self) -> &str {
        &self.device
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::{Record, Struck, Tuned};

    fn known() -> Record {
        let mut record = Record::new("GPU 1");
        let micros = [("a".to_owned(), 12.5), ("b".to_owned(), 7.25)].into();
        record.problems.insert("gemv n 4".to_owned(), Tuned { winner: "b".to_owned(), micros });
        record.sound.insert("gemv n".to_owned(), ["a".to_owned(), "b".to_owned()].into());
        let [family, variant, case, text] = ["gemv", "c", "a case", "1 instead of 2"].map(str::to_owned);
        record.struck.push(Struck { family, variant, case, text });
        record
    }

    #[test]
    fn what_is_written_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tuned.json");
        assert_eq!(Record::read(&file, "GPU 1"), Ok(Record::new("GPU 1")));
        fs::write(&file, known().text().unwrap()).unwrap();
        let read = Record::read(&file, "GPU 1").unwrap();
        assert_eq!(read, known());
        assert!(read.is_known("gemv n", "a") && !read.is_known("gemv n", "c"));
        assert!(read.is_struck("gemv", "c") && !read.is_struck("gemm", "c"));
        let choices = read.choices();
        assert_eq!(choices.tuned["gemv n 4"], "b");
        assert!(choices.struck.contains(&("gemv".to_owned(), "c".to_owned())));
    }

    #[test]
    fn what_does_not_hold_is_not_used() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("tuned.json");
        let text = known().text().unwrap();
        let hash = format!("{:016x}", shaders::library_hash());
        for (written, part) in [
            (text.clone(), "it is of GPU 1"),
            (text.replace(&hash, "0000000000000000").replace("GPU 1", "GPU 2"), "other kernels"),
            (text.replace("\"engine\": \"", "\"engine\": \"9").replace("GPU 1", "GPU 2"), "other kernels"),
            (text[..text.len() / 2].to_owned(), "EOF"),
            (String::new(), "EOF"),
        ] {
            fs::write(&file, written).unwrap();
            let refused = Record::read(&file, "GPU 2").unwrap_err();
            assert!(refused.contains(part) && refused.contains("tuned.json"), "{refused}");
        }
    }
}
