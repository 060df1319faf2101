//! Names that drivers have been seen to give lead to the right profile.

use devices::{by_name, detect};
use wgpu_types::{AdapterInfo, Backend, DeviceType};

fn found(name: &str, vendor: u32, kind: DeviceType) -> &'static str {
    let mut info = AdapterInfo::new(kind, Backend::Vulkan);
    info.name = name.to_owned();
    info.vendor = vendor;
    detect(&info).profile.name
}

#[test]
fn names_lead_to_profiles() {
    let table = [
        ("Adreno (TM) 505", "adreno-620"),
        ("Turnip Adreno (TM) 618", "adreno-620"),
        ("Adreno (TM) 620", "adreno-620"),
        ("Adreno (TM) 650", "adreno-660"),
        ("Adreno (TM) 660", "adreno-660"),
        ("Adreno (TM) 730", "adreno-730"),
        ("Turnip Adreno (TM) 740", "adreno-740"),
        ("Adreno (TM) 750", "adreno-750"),
        ("Adreno (TM) 810", "adreno-830"),
        ("Adreno (TM) 830", "adreno-830"),
        ("Adreno (TM) 840", "adreno-840"),
        ("Qualcomm(R) Adreno(TM) X1-85 GPU", "adreno-x1"),
        ("Snapdragon(R) X Elite - X1E80100 - Qualcomm(R) Adreno(TM) GPU", "adreno-x1"),
        ("Snapdragon(R) X2 Elite - Qualcomm(R) Adreno(TM) X2-90 GPU", "adreno-x1"),
        ("Mali-T880", "mali-bifrost"),
        ("Mali-G76", "mali-bifrost"),
        ("Mali-G57 MC2", "mali-g710"),
        ("Mali-G78", "mali-g710"),
        ("Mali-G610 MC6", "mali-g710"),
        ("Mali-G710", "mali-g710"),
        ("Mali-G715", "mali-g715"),
        ("Mali-G715-Immortalis MC11", "mali-g715"),
        ("Mali-G720-Immortalis MC12", "mali-g720"),
        ("Immortalis-G720", "mali-g720"),
        ("Mali-G925-Immortalis MC12", "mali-g725"),
        ("Mali-G725 MC6", "mali-g725"),
        ("Mali-G1-Ultra", "mali-g725"),
        ("Apple A14 GPU", "apple-a16"),
        ("Apple A16 GPU", "apple-a16"),
        ("Apple A17 Pro GPU", "apple-a17"),
        ("Apple A18 Pro GPU", "apple-a17"),
        ("Apple A19 Pro GPU", "apple-a19"),
        ("Apple M1 (G13G A0)", "apple-m1"),
        ("Apple M4 Max", "apple-m1"),
        ("Xclipse 940", "xclipse-940"),
        ("Samsung Xclipse 920", "xclipse-940"),
        ("Samsung Xclipse 960", "xclipse-960"),
        ("PowerVR D-Series DXT-48-1536", "powervr-dxt"),
        ("PowerVR B-Series BXM-8-256", "powervr-dxt"),
        ("NVIDIA H100", "nvidia"),
        ("NVIDIA H100 80GB HBM3", "nvidia"),
        ("NVIDIA GeForce RTX 4090", "nvidia"),
        ("NVIDIA Tegra Orin (nvgpu)", "nvidia"),
        ("AMD Radeon RX 7900 XTX (RADV NAVI31)", "amd"),
        ("AMD Ryzen 7 7840U w/ Radeon 780M Graphics", "amd"),
        ("Intel(R) Arc(tm) A770 Graphics (DG2)", "intel"),
        ("Intel(R) UHD Graphics 620 (KBL GT2)", "intel"),
        ("llvmpipe (LLVM 15.0.6, 256 bits)", "lavapipe"),
        ("SwiftShader Device (Subzero)", "software"),
    ];
    for (name, profile) in table {
        assert_eq!(found(name, 0, DeviceType::Other), profile, "{name}");
    }
}

#[test]
fn makers_stand_in_for_unknown_names() {
    let table = [
        (0x5143, "adreno-620"),
        (0x13b5, "mali-bifrost"),
        (0x144d, "xclipse-940"),
        (0x1010, "powervr-dxt"),
        (0x106b, "apple-a16"),
        (0x10de, "nvidia"),
        (0x1002, "amd"),
        (0x8086, "intel"),
        (0xbeef, "unknown"),
    ];
    for (vendor, profile) in table {
        assert_eq!(found("", vendor, DeviceType::IntegratedGpu), profile, "{vendor:#x}");
    }
    assert_eq!(found("some CPU", 0, DeviceType::Cpu), "software");
}

#[test]
fn an_unknown_profile_name_lists_the_known_ones() {
    let error = by_name("adreno-9000").expect_err("no such profile").to_string();
    assert!(error.contains("adreno-750") && error.contains("lavapipe"), "{error}");
}
