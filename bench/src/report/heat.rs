//! What sensors tell of heat and power, as data.

use serde::{Deserialize, Serialize};

/// What is told of heat and power on this machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sensors {
    /// Those that there are; readings have their values in this order.
    pub present: Vec<Sensor>,
    /// What was looked for and is not there, in words.
    pub absent: Vec<String>,
}

impl Sensors {
    /// The hottest temperature of a reading, C.
    #[must_use]
    pub fn hottest(&self, reading: &Reading) -> Option<f64> {
        let pairs = self.present.iter().zip(&reading.values);
        let temperatures = pairs.filter(|(sensor, _)| sensor.kind == "temperature").filter_map(|(_, t)| *t);
        temperatures.max_by(f64::total_cmp)
    }
}

/// Something that tells a number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sensor {
    /// As the system names it.
    pub name: String,
    /// `temperature`, `clock`, `current`, `voltage`, `charge` or `limit`.
    pub kind: String,
    /// `C`, `MHz`, `mA`, `V` or `%`.
    pub unit: String,
}

/// What the sensors said at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Reading {
    /// Seconds from the beginning of the run.
    pub at: f64,
    /// In the order of the sensors; nothing from those that could not be read.
    pub values: Vec<Option<f64>>,
}

/// Throughput over a long time.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sustained {
    /// The test that was repeated, as llama-bench names it.
    pub test: String,
    /// Repetition by repetition.
    pub samples: Vec<Sample>,
    /// Tokens a second in the first tenth of the time.
    pub first: f64,
    /// And in the last.
    pub last: f64,
}

/// One repetition of a long run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Sample {
    /// Seconds that it took.
    pub seconds: f64,
    /// Tokens a second.
    pub rate: f64,
    /// What the sensors said behind it.
    pub heat: Reading,
}
