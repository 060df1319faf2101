//! Stop strings, found wherever the pieces are cut.

use proptest::prelude::{prop_assert_eq, prop_assume, proptest};
use text::{StopStrings, TextError};

/// Stop strings, pieces, what comes out of each and at the end, whether it stopped.
type Case = (&'static [&'static str], &'static [&'static str], &'static [&'static str], bool);

#[test]
fn pieces_and_what_comes_out() {
    let cases: [Case; 9] = [
        (&[], &["a", "b"], &["a", "b", ""], false),
        (&["END"], &["go EN", "D now"], &["go ", "", ""], true),
        (&["END"], &["go EN", "dless"], &["go ", "ENdless", ""], false),
        (&["END"], &["the EN"], &["the ", "EN"], false),
        (&["\n\n"], &["a\n", "b\n", "\nc"], &["a", "\nb", "", ""], true),
        (&["b", "abc"], &["xabc"], &["xa", ""], true),
        (&["abab"], &["aba", "cabab!"], &["", "abac", ""], true),
        (&["€ü"], &["5€", "ü"], &["5", "", ""], true),
        (&["ab", "b"], &["xab"], &["x", ""], true),
    ];
    for (stops, input, wanted, stopped) in cases {
        let mut watch = StopStrings::new(stops.iter().copied()).unwrap();
        let mut out: Vec<String> = input.iter().map(|piece| watch.push(piece)).collect();
        out.push(watch.finish());
        assert_eq!(
            (out.iter().map(String::as_str).collect::<Vec<_>>(), watch.stopped()),
            (wanted.to_vec(), stopped)
        );
        if stopped {
            assert_eq!(watch.push("more"), "");
        }
    }
    assert!(matches!(StopStrings::new(["a", ""]), Err(TextError::EmptyStop)));
}

/// The text up to the stop string that is complete first, by looking at every beginning of the text.
fn by_definition(stops: &[String], text: &str) -> (String, bool) {
    for (end, _) in text.char_indices().chain([(text.len(), ' ')]) {
        let found =
            stops.iter().filter(|stop| text[..end].ends_with(stop.as_str())).max_by_key(|stop| stop.len());
        if let Some(stop) = found {
            return (text[..end - stop.len()].to_owned(), true);
        }
    }
    (text.to_owned(), false)
}

proptest! {
    #[test]
    fn cuts_make_no_difference(
        pieces in proptest::collection::vec("[ab€ü]{0,4}", 0..8),
        stops in proptest::collection::vec("[ab€ü]{1,4}", 0..4),
    ) {
        let mut watch = StopStrings::new(stops.clone()).unwrap();
        let mut out: String = pieces.iter().map(|piece| watch.push(piece)).collect();
        out += &watch.finish();
        prop_assert_eq!((out, watch.stopped()), by_definition(&stops, &pieces.concat()));
    }

    #[test]
    fn nothing_more_is_held_than_the_longest_stop(text in "[ab]{0,60}", stop in "[ab]{2,6}") {
        let mut watch = StopStrings::new([stop.clone()]).unwrap();
        let mut out = 0;
        for (i, letter) in text.chars().enumerate() {
            out += watch.push(&letter.to_string()).len();
            prop_assume!(!watch.stopped());
            proptest::prop_assert!(i + 1 - out < stop.len());
        }
    }
}
