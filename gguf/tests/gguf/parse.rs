//! What a good file says, and what each kind of bad file is told.

use crate::build::{ARRAY, File, STRING, array, text};
use gguf::{Gguf, Kind, Value};

fn message(file: &File) -> String {
    Gguf::parse(&file.bytes()).unwrap_err().to_string()
}

#[test]
fn metadata_of_every_type() {
    let strings = [text("a"), text("ü"), text("")].concat();
    let inner = array(4, 1, &7u32.to_le_bytes());
    let bytes = File::default()
        .key("u8", 0, &[200])
        .key("i8", 1, &[200])
        .key("i32", 5, &(-5i32).to_le_bytes())
        .key("f32", 6, &1.5f32.to_le_bytes())
        .key("f64", 12, &0.25f64.to_le_bytes())
        .key("u64", 10, &u64::MAX.to_le_bytes())
        .key("bool", 7, &[1])
        .key("text", STRING, &text("grüße"))
        .key("texts", ARRAY, &array(STRING, 3, &strings))
        .key("ints", ARRAY, &array(3, 2, &[255, 255, 3, 0]))
        .key("nested", ARRAY, &array(ARRAY, 1, &inner))
        .bytes();
    let file = Gguf::parse(&bytes).unwrap();
    assert_eq!(file.u64("u8").unwrap(), 200);
    assert_eq!(file.get("i8"), Some(&Value::Signed(-56)));
    assert_eq!(file.get("i32"), Some(&Value::Signed(-5)));
    assert_eq!((file.f32("f32").unwrap(), file.f32("f64").unwrap()), (1.5, 0.25));
    assert_eq!(file.u64("u64").unwrap(), u64::MAX);
    assert!(file.bool("bool").unwrap());
    assert_eq!(file.string("text").unwrap(), "grüße");
    assert_eq!(file.strings("texts").unwrap(), ["a", "ü", ""]);
    assert_eq!(file.i64s("ints").unwrap(), [-1, 3]);
    let Some(Value::Array(nested)) = file.get("nested") else { panic!("not an array") };
    let Some(Ok(Value::Array(inner))) = nested.iter().next() else { panic!("not an array inside") };
    assert_eq!(inner.iter().map(Result::unwrap).collect::<Vec<_>>(), [Value::Unsigned(7)]);
    assert_eq!(file.metadata().count(), 11);
}

#[test]
fn getters_name_the_key_and_both_types() {
    let bytes = File::default().key("text", STRING, &text("x")).key("neg", 5, &(-1i32).to_le_bytes()).bytes();
    let file = Gguf::parse(&bytes).unwrap();
    let cases = [
        (file.u64("gone").unwrap_err(), "\"gone\" is missing"),
        (file.u64("text").unwrap_err(), "\"text\" holds a string, but an integer"),
        (file.u64("neg").unwrap_err(), "\"neg\" holds a signed integer"),
        (file.strings("text").unwrap_err(), "\"text\" holds a string, but an array of strings"),
    ];
    for (error, wanted) in cases {
        assert!(error.to_string().contains(wanted), "{error}");
    }
}

#[test]
fn tensors_lie_where_the_file_says() {
    let bytes = File::default()
        .f32s("a", &[2, 3], &[1., 2., 3., 4., 5., 6.])
        .tensor("b", &[32], 3, &[0; 20])
        .tensor("odd", &[256], 16, &[0; 66])
        .bytes();
    let file = Gguf::parse(&bytes).unwrap();
    let a = file.tensor("a").unwrap();
    assert_eq!((a.dims(), a.shape(), a.rows(), a.columns()), (&[2, 3][..], vec![3, 2], 3, 2));
    let mut row = [0.0; 2];
    a.read_row(1, &mut row).unwrap();
    assert_eq!(row, [3.0, 4.0]);
    assert_eq!(file.tensor("b").unwrap().data.len(), 20);
    assert_eq!(file.tensors().map(|t| t.kind).collect::<Vec<_>>(), [Kind::F32, Kind::Q4_1, Kind::Other(16)]);
    let refused = file.tensor("odd").unwrap_err().to_string();
    assert!(refused.contains("\"odd\" is stored as ggml type 16"), "{refused}");
    assert!(file.tensor("c").unwrap_err().to_string().contains("no tensor \"c\" among the file's 3"));
    assert!(a.read_row(3, &mut row).unwrap_err().to_string().contains("no row 3 among 3"));
    assert!(a.read_row(0, &mut [0.0; 3]).is_err());
    assert!(file.tensor("b").unwrap().read_columns(0, 1, &mut [0.0; 31]).is_err());
    assert!(a.affine_row(0).is_err());
}

#[test]
fn bad_files_are_told_what_is_wrong() {
    let empty = File::default;
    let cases = [
        (empty().key("k", 13, &[]), "metadata key \"k\": type number 13"),
        (empty().key("k", 0, &[1]).key("k", 0, &[1]), "metadata key \"k\": it is there twice"),
        (empty().key("k", ARRAY, &array(12, u64::MAX, &[])), "ends inside metadata key \"k\""),
        (empty().key("k", ARRAY, &array(STRING, u64::MAX, &[])), "ends inside metadata key \"k\""),
        (
            empty().key("general.alignment", 4, &[3, 0, 0, 0]),
            "\"general.alignment\": it is not a power of two",
        ),
        (empty().tensor_at("t", &[1; 5], 0, 0), "tensor \"t\": it has 5 dimensions"),
        (empty().tensor_at("t", &[u64::MAX, 2], 0, 0), "tensor \"t\": sizes [18446744073709551615, 2]"),
        (empty().tensor_at("t", &[0, u64::MAX, 2], 99, 0), "tensor \"t\": sizes"),
        (empty().tensor_at("t", &[1 << 62], 0, 0), "tensor \"t\": sizes [4611686018427387904] as F32"),
        (empty().tensor_at("t", &[8], 0, 0), "reach past its end at 0"),
        (empty().tensor_at("t", &[8], 0, u64::MAX - 31), "reach past its end"),
        (empty().tensor_at("t", &[33], 2, 0), "tensor \"t\": rows of 33 are not whole Q4_0 blocks"),
        (
            empty().f32s("t", &[1], &[0.0]).tensor_at("u", &[1], 0, 2),
            "\"u\": offset 2 is not a multiple of 32",
        ),
        (empty().f32s("t", &[1], &[0.0]).f32s("t", &[1], &[0.0]), "tensor \"t\": it is there twice"),
    ];
    for (file, wanted) in cases {
        let message = message(&file);
        assert!(message.contains(wanted), "{message}\n  lacks {wanted}");
    }
    assert!(Gguf::parse(b"GGML1234").unwrap_err().to_string().contains("not a GGUF file"));
    assert!(Gguf::parse(b"GGUF\x00\x00\x00\x03").unwrap_err().to_string().contains("version 50331648"));
}

#[test]
fn nested_arrays_have_a_floor() {
    let mut value = array(0, 0, &[]);
    for _ in 0..100_000 {
        value = [&array(ARRAY, 1, &[])[..], &value].concat();
        if value.len() > 1000 {
            break;
        }
    }
    assert!(
        message(&File::default().key("deep", ARRAY, &value)).contains("\"deep\": arrays are nested deeper")
    );
}
