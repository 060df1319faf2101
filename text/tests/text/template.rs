//! Chat templates in the shapes of the model families, against what transformers renders.

use crate::build::{ARRAY, File, STRING, text};
use crate::tokenizers::strings;
use ::text::{ChatTemplate, Message};
use gguf::Gguf;

/// 21 November 2026, when the expected texts were rendered.
const THEN: u64 = 1_795_219_200;

fn conversation() -> Vec<Message> {
    vec![
        Message::new("system", "Be brief. "),
        Message::new("user", " Hi "),
        Message::new("assistant", "<think>\nhm\n</think>\n\nHello!"),
        Message::new("user", "2 < 3 & \"ü\"?"),
    ]
}

fn template(source: &str) -> ChatTemplate {
    ChatTemplate::new(source, Some("<s>"), Some("</s>")).unwrap().at(THEN)
}

macro_rules! family {
    ($name:literal) => {
        (
            $name,
            include_str!(concat!("templates/", $name, ".jinja")),
            include_str!(concat!("templates/", $name, ".full.txt")),
            include_str!(concat!("templates/", $name, ".short.txt")),
        )
    };
}

#[test]
fn families_render_as_in_transformers() {
    let families = [
        family!("chatml"),
        family!("gemma"),
        family!("json"),
        family!("llama3"),
        family!("mistral"),
        family!("qwen3"),
        family!("zephyr"),
    ];
    let messages = conversation();
    for (name, source, full, short) in families {
        let template = template(source);
        assert_eq!(template.render(&messages, true).unwrap(), full, "{name}");
        assert_eq!(template.render(&messages[1..2], false).unwrap(), short, "{name}");
    }
}

#[test]
fn refusals_are_in_the_templates_words() {
    let gemma = template(include_str!("templates/gemma.jinja"));
    let error = gemma.render(&[Message::new("assistant", "I first")], true).unwrap_err().to_string();
    assert!(error.contains("Conversation roles must alternate user/assistant"), "{error}");
    let mistral = template(include_str!("templates/mistral.jinja"));
    let error = mistral.render(&[Message::new("wizard", "x")], true).unwrap_err().to_string();
    assert!(error.contains("Only user and assistant roles are supported"), "{error}");
}

#[test]
fn bad_templates_say_where() {
    let broken = ChatTemplate::new("line one\n{% for %}", None, None).unwrap_err().to_string();
    assert!(broken.contains("chat:2"), "{broken}");
    let cases = [
        ("{{ nothing.at.all }}", "undefined"),
        ("{{ strftime_now('%Q') }}", "%Q"),
        ("{{ x() }}", "unknown"),
        ("{{ 'é' | tojson(ensure_ascii=true) }}", "ensure_ascii"),
    ];
    for (source, wanted) in cases {
        let error = template(source).render(&[], false).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn missing_tokens_render_as_nothing() {
    let template =
        ChatTemplate::new("[{{ bos_token }}{{ eos_token }}]{{ bos_token is defined }}", None, None);
    assert_eq!(template.unwrap().render(&[], false).unwrap(), "[]False");
}

#[test]
fn configurations_hold_templates() {
    let cases: [(&[u8], &str); 3] = [
        (br#"{"chat_template": "{{ bos_token }}!", "bos_token": "<b>"}"#, "<b>!"),
        (br#"{"chat_template": "{{ eos_token }}", "eos_token": {"content": "<e>"}}"#, "<e>"),
        (br#"{"chat_template": [{"name": "tool_use", "template": "t"}, {"name": "default", "template": "d"}]}"#, "d"),
    ];
    for (config, wanted) in cases {
        let template = ChatTemplate::from_tokenizer_config(config).unwrap();
        assert_eq!(template.render(&[], false).unwrap(), wanted);
    }
    let none = ChatTemplate::from_tokenizer_config(b"{}").unwrap_err().to_string();
    assert!(none.contains("no chat template in tokenizer_config.json"), "{none}");
}

#[test]
fn templates_in_files_of_their_own_take_tokens_from_the_configuration() {
    let config = br#"{"bos_token": "<b>", "eos_token": {"content": "<e>"}, "chat_template": "not this one"}"#;
    let template = ChatTemplate::from_files(b"{{ bos_token }}{{ eos_token }}", Some(config)).unwrap();
    assert_eq!(template.render(&[], false).unwrap(), "<b><e>");
    let template = ChatTemplate::from_files(b"[{{ bos_token }}]", None).unwrap();
    assert_eq!(template.render(&[], false).unwrap(), "[]");
    let cases: [(&[u8], &[u8], &str); 2] =
        [(b"\xff", b"{}", "chat_template.jinja is not text"), (b"x", b"{", "configuration cannot be read")];
    for (template, config, wanted) in cases {
        let error = ChatTemplate::from_files(template, Some(config)).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn gguf_files_hold_templates() {
    let tokens = File::default().key("tokenizer.ggml.tokens", ARRAY, &strings(&["<s>", "</s>"]));
    let bytes = tokens
        .clone()
        .key("tokenizer.chat_template", STRING, &text("{{ bos_token + eos_token }}"))
        .key("tokenizer.ggml.bos_token_id", 4, &0u32.to_le_bytes())
        .key("tokenizer.ggml.eos_token_id", 4, &1u32.to_le_bytes())
        .bytes();
    let template = ChatTemplate::from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap();
    assert_eq!(template.render(&[], false).unwrap(), "<s></s>");
    let outside = tokens
        .clone()
        .key("tokenizer.chat_template", STRING, &text("x"))
        .key("tokenizer.ggml.eos_token_id", 4, &2u32.to_le_bytes())
        .bytes();
    let error = ChatTemplate::from_gguf(&Gguf::parse(&outside).unwrap()).unwrap_err().to_string();
    assert!(error.contains("eos_token_id is 2, but there are 2 tokens"), "{error}");
    let bytes = tokens.bytes();
    let none = ChatTemplate::from_gguf(&Gguf::parse(&bytes).unwrap()).unwrap_err().to_string();
    assert!(none.contains("no chat template in the GGUF"), "{none}");
}
