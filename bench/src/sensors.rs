//! Heat and power from the files of Linux and Android: thermal zones, processor and GPU clocks, and the battery.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use crate::{Reading, Sensor, Sensors};

/// Where a sensor's number lies.
#[derive(Clone, Debug)]
struct Source {
    file: PathBuf,
    /// Of the unit that is told, for each unit of the file.
    scale: f64,
}

/// The sensors of a machine, found once and read whenever asked.
#[derive(Clone, Debug)]
pub struct Thermometer {
    began: Instant,
    sensors: Sensors,
    sources: Vec<Source>,
}

impl Thermometer {
    /// Those of this machine.
    #[must_use]
    pub fn here() -> Self {
        Self::under(Path::new("/sys"))
    }

    /// Those whose files lie under a folder that is made as `/sys` is.
    #[must_use]
    pub fn under(sys: &Path) -> Self {
        let mut found = Self { began: Instant::now(), sensors: Sensors::default(), sources: Vec::new() };
        found.zones(sys);
        found.processors(sys);
        found.gpus(sys);
        found.batteries(sys);
        found
    }

    /// What is told here, and what is not.
    #[must_use]
    pub fn sensors(&self) -> &Sensors {
        &self.sensors
    }

    /// What all of them say now.
    #[must_use]
    pub fn read(&self) -> Reading {
        let values = self.sources.iter().map(|source| Some(number(&source.file)? * source.scale));
        Reading { at: self.began.elapsed().as_secs_f64(), values: values.collect() }
    }

    /// The hottest temperature now, C.
    #[must_use]
    pub fn hottest(&self) -> Option<f64> {
        self.sensors.hottest(&self.read())
    }

    fn zones(&mut self, sys: &Path) {
        let before = self.sources.len();
        for zone in folders(&sys.join("class/thermal"), "thermal_zone") {
            let name = text(&zone.join("type")).unwrap_or_else(|| name_of(&zone));
            // Thousandths of a degree; some old kernels tell whole ones.
            let file = zone.join("temp");
            let scale = if number(&file).is_some_and(|t| t.abs() < 200.0) { 1.0 } else { 1e-3 };
            self.add(name, "temperature", "C", file, scale);
        }
        self.none_since(before, "temperatures (class/thermal/thermal_zone*/temp)");
    }

    fn processors(&mut self, sys: &Path) {
        let before = self.sources.len();
        for policy in folders(&sys.join("devices/system/cpu/cpufreq"), "policy") {
            let name = format!("CPU {}", name_of(&policy));
            self.add(name.clone(), "clock", "MHz", policy.join("scaling_cur_freq"), 1e-3);
            self.add(format!("{name} limit"), "limit", "MHz", policy.join("scaling_max_freq"), 1e-3);
        }
        self.none_since(before, "processor clocks (devices/system/cpu/cpufreq/policy*)");
    }

    /// Adreno's kernel driver has a place of its own; Mali's and others are under devfreq.
    fn gpus(&mut self, sys: &Path) {
        let before = self.sources.len();
        let adreno = sys.join("class/kgsl/kgsl-3d0");
        self.add("GPU".to_owned(), "clock", "MHz", adreno.join("gpuclk"), 1e-6);
        self.add("GPU limit".to_owned(), "limit", "MHz", adreno.join("max_gpuclk"), 1e-6);
        self.add("GPU".to_owned(), "temperature", "C", adreno.join("temp"), 1e-3);
        for device in folders(&sys.join("class/devfreq"), "") {
            let name = name_of(&device);
            if ["gpu", "mali", "kgsl"].iter().any(|word| name.contains(word)) {
                self.add(name.clone(), "clock", "MHz", device.join("cur_freq"), 1e-6);
                self.add(format!("{name} limit"), "limit", "MHz", device.join("max_freq"), 1e-6);
            }
        }
        for card in folders(&sys.join("class/drm"), "card") {
            let name = format!("GPU {}", name_of(&card));
            self.add(name, "clock", "MHz", card.join("gt_act_freq_mhz"), 1.0);
        }
        self.none_since(before, "GPU clocks (class/kgsl, class/devfreq, class/drm)");
    }

    fn batteries(&mut self, sys: &Path) {
        let before = self.sources.len();
        for supply in folders(&sys.join("class/power_supply"), "") {
            if text(&supply.join("type")).as_deref() != Some("Battery") {
                continue;
            }
            let name = name_of(&supply);
            self.add(name.clone(), "current", "mA", supply.join("current_now"), 1e-3);
            self.add(name.clone(), "voltage", "V", supply.join("voltage_now"), 1e-6);
            self.add(name.clone(), "charge", "%", supply.join("capacity"), 1.0);
            // Tenths of a degree.
            self.add(name, "temperature", "C", supply.join("temp"), 0.1);
        }
        self.none_since(before, "battery (class/power_supply/*, type Battery)");
    }

    /// Takes a sensor that can be read.
    fn add(&mut self, name: String, kind: &str, unit: &str, file: PathBuf, scale: f64) {
        if number(&file).is_some() {
            self.sensors.present.push(Sensor { name, kind: kind.to_owned(), unit: unit.to_owned() });
            self.sources.push(Source { file, scale });
        }
    }

    fn none_since(&mut self, before: usize, what: &str) {
        if self.sources.len() == before {
            self.sensors.absent.push(what.to_owned());
        }
    }
}

/// Folders whose name begins so, those with numbers in their order.
fn folders(parent: &Path, prefix: &str) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(parent) else { return Vec::new() };
    let mut all: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    all.retain(|path| name_of(path).starts_with(prefix));
    all.sort_by_key(|path| {
        let name = name_of(path);
        let digits = name.trim_start_matches(|c: char| !c.is_ascii_digit()).to_owned();
        (digits.parse::<u32>().unwrap_or(u32::MAX), name)
    });
    all
}

fn name_of(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn text(file: &Path) -> Option<String> {
    fs::read_to_string(file).ok().map(|text| text.trim().to_owned())
}

/// A file that cannot be read, or holds no number, is no sensor at that moment.
fn number(file: &Path) -> Option<f64> {
    text(file)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{fs, path::Path};

    use super::Thermometer;

    fn write(root: &Path, file: &str, text: &str) {
        let path = root.join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }

    /// A phone with a Snapdragon, as its kernel tells it.
    fn phone(root: &Path) {
        write(root, "class/thermal/thermal_zone10/type", "gpuss-0\n");
        write(root, "class/thermal/thermal_zone10/temp", "51200\n");
        write(root, "class/thermal/thermal_zone2/type", "cpu-0-0\n");
        write(root, "class/thermal/thermal_zone2/temp", "47\n");
        write(root, "class/thermal/thermal_zone3/type", "broken\n");
        write(root, "class/thermal/cooling_device0/type", "fan\n");
        write(root, "devices/system/cpu/cpufreq/policy0/scaling_cur_freq", "1804800\n");
        write(root, "devices/system/cpu/cpufreq/policy0/scaling_max_freq", "2265600\n");
        write(root, "class/kgsl/kgsl-3d0/gpuclk", "903000000\n");
        write(root, "class/power_supply/battery/type", "Battery\n");
        write(root, "class/power_supply/battery/current_now", "-1250000\n");
        write(root, "class/power_supply/battery/voltage_now", "3850000\n");
        write(root, "class/power_supply/battery/capacity", "81\n");
        write(root, "class/power_supply/battery/temp", "365\n");
        write(root, "class/power_supply/usb/type", "USB\n");
    }

    #[test]
    fn a_phone_tells_heat_clocks_and_current() {
        let folder = tempfile::tempdir().unwrap();
        phone(folder.path());
        let thermometer = Thermometer::under(folder.path());
        let names: Vec<_> = thermometer.sensors().present.iter().map(|s| (&*s.name, &*s.kind)).collect();
        let wanted = [
            ("cpu-0-0", "temperature"),
            ("gpuss-0", "temperature"),
            ("CPU policy0", "clock"),
            ("CPU policy0 limit", "limit"),
            ("GPU", "clock"),
            ("battery", "current"),
            ("battery", "voltage"),
            ("battery", "charge"),
            ("battery", "temperature"),
        ];
        assert_eq!(names, wanted);
        let reading = thermometer.read();
        let near = |index: usize, wanted: f64| {
            let value: f64 = reading.values[index].unwrap();
            assert!((value - wanted).abs() < 1e-6, "{index}: {value}");
        };
        let values = [47.0, 51.2, 1804.8, 2265.6, 903.0, -1250.0, 3.85, 81.0, 36.5];
        values.into_iter().enumerate().for_each(|(index, value)| near(index, value));
        assert_eq!(thermometer.hottest(), Some(51.2));
        assert!(thermometer.sensors().absent.is_empty());
    }

    #[test]
    fn what_is_absent_is_told_and_what_goes_away_is_no_number() {
        let folder = tempfile::tempdir().unwrap();
        let none = Thermometer::under(folder.path());
        assert_eq!((none.sensors().absent.len(), none.hottest()), (4, None));
        phone(folder.path());
        let thermometer = Thermometer::under(folder.path());
        fs::remove_file(folder.path().join("class/thermal/thermal_zone10/temp")).unwrap();
        fs::write(folder.path().join("class/thermal/thermal_zone2/temp"), "none\n").unwrap();
        let reading = thermometer.read();
        assert_eq!(reading.values[..2], [None, None]);
        assert_eq!(thermometer.hottest().map(f64::round), Some(37.0));
    }
}
