//! Tokenizers converted from GGUF metadata.

use crate::build::{ARRAY, File, STRING, text};
use crate::tokenizers::{converted, sentence_piece, smollm2, strings};
use ::text::Tokenizer;

#[test]
fn smollm2_gives_the_ids_of_transformers() {
    let (file, texts) = smollm2();
    let tokenizer = converted(&file).unwrap();
    assert_eq!(tokenizer.vocabulary_size(), 49152);
    assert_eq!((tokenizer.bos(), tokenizer.eos().collect::<Vec<_>>()), (Some(1), vec![0, 2]));
    let again = Tokenizer::from_json(tokenizer.to_json().unwrap().as_bytes()).unwrap();
    for (text, ids) in &texts {
        for tokenizer in [&tokenizer, &again] {
            assert_eq!(&tokenizer.encode(text, true).unwrap(), ids, "{text:?}");
        }
    }
    let plain: Vec<_> =
        texts.iter().filter(|(_, ids)| ids.iter().all(|&id| !tokenizer.is_special(id))).collect();
    assert!(plain.len() > 20);
    for (text, ids) in plain {
        assert_eq!(&tokenizer.decode(ids, true).unwrap(), text);
    }
    assert_eq!(tokenizer.decode(&[1, 81, 2], true).unwrap(), "a");
    assert_eq!(tokenizer.decode(&[1, 81, 2], false).unwrap(), "<|im_start|>a<|im_end|>");
}

#[test]
fn sentence_piece_merges_by_score() {
    let tokenizer = converted(&sentence_piece()).unwrap();
    let word = |text: &str| tokenizer.id(text).unwrap();
    let cases = [
        // "bc" scores better than "ab", so "a" and "bc" remain to be merged to "abc", then with the space.
        ("abc", vec![1, word("\u{2581}abc")]),
        ("ab", vec![1, word("\u{2581}"), word("ab")]),
        ("ac", vec![1, word("\u{2581}a"), word("c")]),
        ("cü", vec![1, word("\u{2581}"), word("c"), word("ü")]),
        ("b é", vec![1, word("\u{2581}"), word("b"), word("\u{2581}"), 3 + 0xC3, 3 + 0xA9]),
        ("</s>a", vec![1, 2, word("\u{2581}a")]),
    ];
    for (text, ids) in cases {
        assert_eq!(tokenizer.encode(text, true).unwrap(), ids, "{text:?}");
        assert_eq!(tokenizer.encode(text, false).unwrap(), ids[1..], "{text:?}");
    }
    for text in ["abc", "ab é\u{1F600} c", " a", ""] {
        assert_eq!(tokenizer.decode(&tokenizer.encode(text, true).unwrap(), true).unwrap(), text);
    }
}

#[test]
fn a_space_is_put_first_only_where_the_model_wants_it() {
    let tokenizer = converted(&sentence_piece().key("tokenizer.ggml.add_space_prefix", 7, &[0])).unwrap();
    assert_eq!(tokenizer.encode("a", false).unwrap(), [tokenizer.id("a").unwrap()]);
    assert_eq!(tokenizer.decode(&tokenizer.encode(" a", false).unwrap(), true).unwrap(), " a");
}

#[test]
fn tokens_are_added_around_as_the_file_says() {
    let cases =
        [((1, 0), vec![1, 266]), ((0, 1), vec![266, 2]), ((1, 1), vec![1, 266, 2]), ((0, 0), vec![266])];
    for ((bos, eos), ids) in cases {
        let file = sentence_piece();
        let file = file.key("tokenizer.ggml.add_bos_token", 7, &[bos]).key(
            "tokenizer.ggml.add_eos_token",
            7,
            &[eos],
        );
        assert_eq!(converted(&file).unwrap().encode("a", true).unwrap(), ids);
    }
}

/// A byte-level tokenizer of single letters, which shows how a text is cut into words.
fn words(pre: &str, merges: &[&str]) -> File {
    let mut tokens: Vec<String> = ('!'..='~').map(String::from).collect();
    tokens.push("Ġ".into());
    tokens.extend(merges.iter().map(|merge| merge.replace(' ', "")));
    File::default()
        .key("tokenizer.ggml.model", STRING, &text("gpt2"))
        .key("tokenizer.ggml.pre", STRING, &text(pre))
        .key("tokenizer.ggml.tokens", ARRAY, &strings(&tokens))
        .key("tokenizer.ggml.merges", ARRAY, &strings(merges))
}

#[test]
fn words_are_cut_as_each_family_does() {
    let merges = ["1 2", "12 3", "123 4", "Ġ a", "Ġ 1", "! !", "! a", "' S", "Ġ Ġ", "ĠĠ a"];
    let cases = [
        ("gpt-2", "1234 1", vec!["1234", "Ġ1"]),
        ("gpt-2", "'S", vec!["'", "S"]),
        ("gpt-2", "!a", vec!["!", "a"]),
        ("gpt-2", "  a", vec!["Ġ", "Ġa"]),
        ("smollm", "1234 1", vec!["1", "2", "3", "4", "Ġ", "1"]),
        ("llama-bpe", "1234 1", vec!["123", "4", "Ġ", "1"]),
        ("llama-bpe", "'S", vec!["'S"]),
        ("llama-bpe", "!a", vec!["!a"]),
        ("qwen2", "1234 1", vec!["1", "2", "3", "4", "Ġ", "1"]),
        ("qwen2", "'S", vec!["'S"]),
        ("default", "1234", vec!["123", "4"]),
        ("falcon", "!!a", vec!["!!", "a"]),
        ("tekken", "12", vec!["1", "2"]),
        ("gpt-4o", "1234", vec!["123", "4"]),
    ];
    for (pre, text, wanted) in cases {
        let tokenizer = converted(&words(pre, &merges)).unwrap();
        let tokens = tokenizer.encode(text, false).unwrap();
        let tokens: Vec<String> = tokens.into_iter().map(|id| tokenizer.token(id).unwrap()).collect();
        assert_eq!(tokens, wanted, "{pre} {text:?}");
    }
}

#[test]
fn what_is_wrong_with_a_file_is_said() {
    let tokens = |list: &[&str]| {
        File::default().key("tokenizer.ggml.model", STRING, &text("gpt2")).key(
            "tokenizer.ggml.tokens",
            ARRAY,
            &strings(list),
        )
    };
    let merged =
        |list: &[&str], merge: &str| tokens(list).key("tokenizer.ggml.merges", ARRAY, &strings(&[merge]));
    let cases = [
        (File::default(), "\"tokenizer.ggml.tokens\" is missing"),
        (tokens(&["a"]), "\"tokenizer.ggml.merges\" is missing"),
        (tokens(&["a", "a"]), "token \"a\" is there twice, as 0 and as 1"),
        (
            words("klingon", &[]),
            "tokenizer.ggml.pre = \"klingon\", which is not known here (known: default, gpt-2",
        ),
        (merged(&["a"], "ab"), "merge \"ab\" is not two tokens"),
        (merged(&["a", "b"], "a b"), "merge \"a b\" joins tokens that are not in the vocabulary"),
        (
            words("gpt-2", &[]).key("tokenizer.ggml.bos_token_id", 4, &999u32.to_le_bytes()),
            "tokenizer.ggml.bos_token_id is 999, but there are 95 tokens",
        ),
        (
            words("gpt-2", &[]).key("tokenizer.ggml.eot_token_id", 4, &95u32.to_le_bytes()),
            "tokenizer.ggml.eot_token_id is 95, but there are 95 tokens",
        ),
        (
            words("gpt-2", &[]).key("tokenizer.ggml.eom_token_id", STRING, &text("x")),
            "\"tokenizer.ggml.eom_token_id\" holds a string",
        ),
        (
            words("gpt-2", &[]).key("tokenizer.ggml.token_type", ARRAY, &crate::tokenizers::i32s(&[1])),
            "it has 95 tokens but 1 token types",
        ),
        (
            File::default().key("tokenizer.ggml.model", STRING, &text("bert")).key(
                "tokenizer.ggml.tokens",
                ARRAY,
                &strings(&["a"]),
            ),
            "tokenizer.ggml.model = \"bert\", which is not known here (known: gpt2, llama)",
        ),
    ];
    for (file, wanted) in cases {
        let message = converted(&file).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}\n  lacks {wanted}");
    }
    assert!(Tokenizer::from_json(b"{}").is_err());
}

#[test]
fn configurations_add_ends() {
    let mut tokenizer = converted(&sentence_piece()).unwrap();
    tokenizer.read_config(br#"{"eos_token": {"content": "abc"}, "bos_token": "<s>"}"#).unwrap();
    tokenizer.read_config(br#"{"eos_token_id": [2, 7], "bos_token_id": 1}"#).unwrap();
    assert_eq!(tokenizer.eos().collect::<Vec<_>>(), [2, 7, tokenizer.id("abc").unwrap()]);
    assert!(tokenizer.is_eos(7) && !tokenizer.is_eos(8));
    tokenizer.read_config(br#"{"eos_token": null, "eos_token_id": null}"#).unwrap();
    let cases: [(&[u8], &str); 4] = [
        (b"{\"eos_token_id\": \"2\"}", "eos_token_id is \"2\", which is not a token id"),
        (b"{\"eos_token\": \"nope\"}", "eos_token is \"nope\", which is not in the vocabulary"),
        (b"{\"eos_token_id\": -1}", "eos_token_id is -1, which is not a token id"),
        (b"{", "cannot be read"),
    ];
    for (config, wanted) in cases {
        let message = tokenizer.read_config(config).unwrap_err().to_string();
        assert!(message.contains(wanted), "{message}");
    }
}
