//! The external data of an ONNX graph: places, transposing, rotary rows, number types, failures.

use crate::build::File;
use gguf::{Element, ExternalTensor, Gguf, GgufError, Source, fill};
use proptest::prelude::{prop_assert_eq, proptest};
use std::io::{Cursor, Error, ErrorKind, Result as IoResult, Seek, SeekFrom, Write};

fn external(offset: u64, dims: &[u64], transposed: bool, heads: Option<u64>) -> ExternalTensor {
    ExternalTensor {
        name: "w".into(),
        offset,
        length: dims.iter().product::<u64>() * 4,
        dims: dims.to_vec(),
        element: Element::F32,
        source: Source { tensor: "t".into(), transposed, heads },
    }
}

fn matrix(rows: usize, columns: usize) -> Vec<u8> {
    let numbers: Vec<f32> = (0..rows * columns).map(|i| i as f32).collect();
    File::default().f32s("t", &[columns as u64, rows as u64], &numbers).bytes()
}

fn filled(file: &[u8], wanted: &[ExternalTensor]) -> Result<Vec<u8>, GgufError> {
    let mut out = Cursor::new(Vec::new());
    fill(&Gguf::parse(file)?, wanted, &mut out, &mut |_, _| ())?;
    Ok(out.into_inner())
}

fn numbers(bytes: &[u8]) -> Vec<f32> {
    bytes.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect()
}

#[test]
fn rows_of_a_head_are_unpermuted() {
    // w.reshape(2, 2, 2, 1), axes 1 and 2 swapped: of each head's four rows, the middle two trade places.
    let out = filled(&matrix(8, 1), &[external(0, &[8, 1], false, Some(2))]).unwrap();
    assert_eq!(numbers(&out), [0., 2., 1., 3., 4., 6., 5., 7.]);
    let out = filled(&matrix(6, 1), &[external(0, &[6, 1], false, Some(1))]).unwrap();
    assert_eq!(numbers(&out), [0., 2., 4., 1., 3., 5.]);
}

#[test]
fn every_tensor_has_its_place() {
    let wanted = [external(32, &[2, 3], false, None), external(0, &[3, 2], true, None)];
    let mut out = Cursor::new(Vec::new());
    let mut heard = Vec::new();
    let file = matrix(2, 3);
    fill(&Gguf::parse(&file).unwrap(), &wanted, &mut out, &mut |done, all| heard.push((done, all))).unwrap();
    let out = numbers(&out.into_inner());
    assert_eq!(out, [0., 3., 1., 4., 2., 5., 0., 0., 0., 1., 2., 3., 4., 5.]);
    assert_eq!(heard, [(0, 48), (24, 48), (48, 48)]);
}

#[test]
fn halves_are_rounded_and_never_overflow() {
    let file = |number: f32| File::default().f32s("t", &[1], &[number]).bytes();
    let half = ExternalTensor { length: 2, element: Element::F16, ..external(0, &[1], false, None) };
    assert_eq!(filled(&file(1.0 + 1.5 / 1024.0), std::slice::from_ref(&half)).unwrap(), [0x02, 0x3C]);
    assert_eq!(filled(&file(f32::INFINITY), std::slice::from_ref(&half)).unwrap(), [0x00, 0x7C]);
    assert!(filled(&file(70000.0), &[half]).unwrap_err().to_string().contains("70000 is beyond"));
}

#[test]
fn tied_weights_share_a_place() {
    let tied = || external(0, &[2, 3], false, None);
    assert_eq!(numbers(&filled(&matrix(2, 3), &[tied(), tied()]).unwrap()), [0., 1., 2., 3., 4., 5.]);
}

#[test]
fn what_does_not_fit_is_refused_before_writing() {
    let good = external(0, &[2, 3], false, None);
    let cases = [
        (ExternalTensor { length: 20, ..good.clone() }, "make 24 bytes, the graph reserves 20"),
        (ExternalTensor { offset: u64::MAX, ..good.clone() }, "reserves 24 at byte 18446744073709551615"),
        (external(0, &[3, 2], false, None), "wants sizes [3, 2], the file has [2, 3]"),
        (external(0, &[2, 3], true, None), "wants sizes [2, 3], the file has [3, 2]"),
        (external(0, &[2, 3], false, Some(2)), "2 rows are not 2 heads of two halves"),
        (external(0, &[2, 3], false, Some(0)), "0 heads"),
        (external(0, &[2, 3], false, Some(u64::MAX)), "heads of two halves"),
        (external(20, &[2, 3], false, None), "its place from byte 20 on is within that of \"w\""),
        (external(0, &[3, 2], true, None), "its place from byte 0 on is within"),
    ];
    for (bad, wanted) in cases {
        let mut out = Cursor::new(Vec::new());
        let file = matrix(2, 3);
        let targets = [good.clone(), bad];
        let error = fill(&Gguf::parse(&file).unwrap(), &targets, &mut out, &mut |_, _| ()).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}\n  lacks {wanted}");
        assert!(error.to_string().contains("\"w\" (from GGUF tensor \"t\")"), "{error}");
        assert!(out.into_inner().is_empty());
    }
}

/// A disk with room for some bytes.
struct Full(u64, ErrorKind);

impl Write for Full {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        let room = self.0.min(bytes.len() as u64);
        self.0 -= room;
        if room == 0 { Err(Error::from(self.1)) } else { Ok(room as usize) }
    }
    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}

impl Seek for Full {
    fn seek(&mut self, _: SeekFrom) -> IoResult<u64> {
        Ok(0)
    }
}

#[test]
fn a_full_disk_says_so() {
    let file = matrix(2, 3);
    let targets = [external(0, &[2, 3], false, None), external(24, &[2, 3], false, None)];
    let fail = |kind| fill(&Gguf::parse(&file).unwrap(), &targets, &mut Full(30, kind), &mut |_, _| ());
    let full = fail(ErrorKind::StorageFull).unwrap_err().to_string();
    assert!(
        full.contains("the disk is full") && full.contains("24 of 48") && full.contains("at least 24"),
        "{full}"
    );
    let denied = fail(ErrorKind::PermissionDenied).unwrap_err().to_string();
    assert!(denied.contains("writing \"w\" failed: permission denied"), "{denied}");
}

proptest! {
    #[test]
    fn transposing_and_rotary_rows_agree_with_the_definition(
        heads in 1usize..4, half in 1usize..4, columns in 1usize..600, transposed: bool,
    ) {
        let rows = heads * half * 2;
        let dims = if transposed { [columns as u64, rows as u64] } else { [rows as u64, columns as u64] };
        let out = filled(&matrix(rows, columns), &[external(0, &dims, transposed, Some(heads as u64))]).unwrap();
        let out = numbers(&out);
        for h in 0..heads { for a in 0..half { for b in 0..2 { for c in 0..columns {
            // [heads, half, 2, columns] in the file is [heads, 2, half, columns] in the model.
            let stored = ((h * half + a) * 2 + b) * columns + c;
            let row = (h * 2 + b) * half + a;
            let at = if transposed { c * rows + row } else { row * columns + c };
            prop_assert_eq!(out[at], stored as f32);
        } } } }
    }
}
