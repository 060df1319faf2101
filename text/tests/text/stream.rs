//! Pieces of a stream put together are the whole text.

use crate::tokenizers::{converted, sentence_piece, smollm2};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use std::sync::LazyLock;
use text::{StreamDecoder, Tokenizer};

const BROKEN: char = '\u{FFFD}';

static BYTE_LEVEL: LazyLock<Tokenizer> = LazyLock::new(|| converted(&smollm2().0).unwrap());
static SENTENCE_PIECE: LazyLock<Tokenizer> = LazyLock::new(|| converted(&sentence_piece()).unwrap());

fn pieces(tokenizer: &Tokenizer, tokens: &[u32], skip_special: bool) -> Vec<String> {
    let mut stream = StreamDecoder::new(tokenizer, skip_special);
    let mut pieces: Vec<String> = tokens.iter().map(|&token| stream.push(token).unwrap()).collect();
    pieces.push(stream.finish().unwrap());
    pieces
}

#[test]
fn characters_come_whole() {
    let tokenizer = &*SENTENCE_PIECE;
    // "a", the three bytes of "€", "b", then two bytes that are no character.
    let tokens = [260, 3 + 0xE2, 3 + 0x82, 3 + 0xAC, 261, 3 + 0xE2, 3 + 0x82];
    let wanted = ["a", "", "", "", "€b", "", "", "\u{FFFD}\u{FFFD}"];
    assert_eq!(pieces(tokenizer, &tokens, true), wanted);
    let tokenizer = &*BYTE_LEVEL;
    let emoji = tokenizer.encode("😀😀é", false).unwrap();
    let pieces = pieces(tokenizer, &emoji, true);
    assert_eq!(pieces.concat(), "😀😀é");
    assert!(pieces.iter().all(|piece| !piece.contains(BROKEN)), "{pieces:?}");
}

#[test]
fn most_text_comes_at_once() {
    let (_, texts) = smollm2();
    let (text, ids) = texts.iter().find(|(text, _)| text == "Hello, world!").unwrap();
    let pieces = pieces(&BYTE_LEVEL, ids, true);
    assert_eq!(pieces, ["Hello", ",", " world", "!", ""], "{text}");
}

#[test]
fn a_finished_stream_starts_anew() {
    let mut stream = StreamDecoder::new(&SENTENCE_PIECE, true);
    for _ in 0..2 {
        assert_eq!(stream.push(266).unwrap(), "a");
        assert_eq!(stream.push(266).unwrap(), " a");
        assert_eq!(stream.finish().unwrap(), "");
    }
}

proptest! {
    #[test]
    fn sentence_piece_pieces_are_the_text(
        tokens in proptest::collection::vec(0u32..275, 0..40), skip_special: bool,
    ) {
        let whole = SENTENCE_PIECE.decode(&tokens, skip_special).unwrap();
        prop_assert_eq!(pieces(&SENTENCE_PIECE, &tokens, skip_special).concat(), whole);
    }

    #[test]
    fn bytes_and_words_mixed_are_the_text(
        tokens in proptest::collection::vec(proptest::prop_oneof![
            proptest::strategy::Just(259u32), 260u32..269, 3u32..259, 0xC0u32 + 3..0xF5 + 3, 0x80u32 + 3..0xC0 + 3,
        ], 0..30),
    ) {
        let whole = SENTENCE_PIECE.decode(&tokens, true).unwrap();
        prop_assert_eq!(pieces(&SENTENCE_PIECE, &tokens, true).concat(), whole);
    }

    #[test]
    fn byte_level_pieces_are_the_text(
        tokens in proptest::collection::vec(proptest::prop_oneof![0u32..300, 0u32..49200], 0..40), skip_special: bool,
    ) {
        let whole = BYTE_LEVEL.decode(&tokens, skip_special).unwrap();
        prop_assert_eq!(pieces(&BYTE_LEVEL, &tokens, skip_special).concat(), whole);
    }

    #[test]
    fn text_comes_back_without_broken_characters(text in any::<String>()) {
        let tokens = SENTENCE_PIECE.encode(&text, true).unwrap();
        let pieces = pieces(&SENTENCE_PIECE, &tokens, true);
        if !text.contains([BROKEN, '\u{2581}']) && !text.contains("<s>") && !text.contains("</s>") {
            prop_assert_eq!(pieces.concat(), text);
            prop_assert!(pieces.iter().all(|piece| !piece.contains(BROKEN)));
        }
    }
}
