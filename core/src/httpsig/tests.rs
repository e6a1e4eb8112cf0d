use alloc::string::ToString;
use alloc::vec::Vec;

use proptest::prelude::*;

use super::*;

const SEED: Seed = [7; 32];
const NOW_S: u64 = 1_800_000_000;
const NONCE: &str = "0123456789abcdef";

fn request() -> Request<'static> {
    Request {
        method: "PUT",
        authority: "edge.example:8443",
        path: "/v1/alpha/bootstrap/stable",
        query: "",
        content_digest: Some("sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:"),
        if_match: Some("\"tag\""),
        if_none_match: None,
    }
}

fn checked(request: &Request<'_>, signed: &Signed, now_s: u64) -> Result<Signer, Refusal> {
    verify(request, Some(&signed.input), Some(&signed.signature), now_s)
}

/// The example of RFC 9421, appendix B.2.6: its base, its key and its signature.
#[test]
fn the_rfcs_own_ed25519_example_verifies() {
    let base = "\"date\": Tue, 20 Apr 2021 02:07:55 GMT\n\"@method\": POST\n\"@path\": /foo\n\
                \"@authority\": example.com\n\"content-type\": application/json\n\
                \"content-length\": 18\n\"@signature-params\": (\"date\" \"@method\" \"@path\" \
                \"@authority\" \"content-type\" \"content-length\");created=1618884473\
                ;keyid=\"test-key-ed25519\"";
    let signature = field::parse_bytes(concat!(
        ":wqcAqbmYJ2ji2glfAMaRy4gruYYnx2nEFN2HN6jrnDnQCK1u02Gb04v9EDgwUPiu4A0w6vuQv5lIp5WPpBKR",
        "Cw==:",
    ));
    let key = field::parse_bytes(":JrQLj5P/89iXES9+vFgrIy29clF9CC/oPPsw3c5D0bs=:").expect("a key");
    let key: PublicKey = key.try_into().expect("32 bytes");
    assert!(signature::verify(&key, base.as_bytes(), &signature.expect("bytes")));
}

/// The example of RFC 9530, appendix D.
#[test]
fn a_digest_is_the_rfcs() {
    let body = b"{\"hello\": \"world\"}\n";
    assert_eq!(content_digest(body), "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:");
    assert_eq!(check_digest(&content_digest(body), body), Ok(()));
    assert_eq!(check_digest(&content_digest(body), b"another"), Err(BadDigest::Different));
    for text in ["", "sha-256=", "sha-256=::", "md5=:AAAA:", "sha-256=:RK/0qy18MlBS:"] {
        assert_eq!(check_digest(text, body), Err(BadDigest::Malformed), "{text}");
    }
    let twice = alloc::format!("{0}, {0}", content_digest(body));
    assert_eq!(check_digest(&twice, body), Err(BadDigest::Malformed));
}

#[test]
fn the_base_has_one_line_for_each_component() {
    let signed = sign(&request(), &SEED, NOW_S, NONCE);
    let input = signed.input.strip_prefix("packice=").expect("the label");
    let member = Member::parse(input).expect("read");
    let key = hex(&public_key(&SEED));
    let expected = alloc::format!(
        "\"@method\": PUT\n\"@authority\": edge.example:8443\n\
         \"@path\": /v1/alpha/bootstrap/stable\n\"@query\": ?\n\
         \"content-digest\": sha-256=:X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=:\n\
         \"if-match\": \"tag\"\n\"@signature-params\": (\"@method\" \"@authority\" \"@path\" \
         \"@query\" \"content-digest\" \"if-match\");created=1800000000\
         ;nonce=\"0123456789abcdef\";keyid=\"{key}\";alg=\"ed25519\";tag=\"packice-publish\""
    );
    assert_eq!(base(&request(), &member, input).expect("a base"), expected);
}

#[test]
fn a_signed_request_verifies_and_names_its_signer() {
    let signed = sign(&request(), &SEED, NOW_S, NONCE);
    let signer = checked(&request(), &signed, NOW_S).expect("it holds");
    assert_eq!(signer.key, public_key(&SEED));
    assert_eq!((signer.nonce.as_str(), signer.created_s), (NONCE, NOW_S));
    let upper = Request { authority: "EDGE.example:8443", ..request() };
    assert!(checked(&upper, &signed, NOW_S).is_ok(), "hosts have no case");
}

#[test]
fn a_signature_holds_for_its_own_request_alone() {
    let signed = sign(&request(), &SEED, NOW_S, NONCE);
    let other = content_digest(b"another body");
    for (what, changed) in [
        ("method", Request { method: "DELETE", ..request() }),
        ("authority", Request { authority: "edge.example", ..request() }),
        ("path", Request { path: "/v1/beta/bootstrap/stable", ..request() }),
        ("query", Request { query: "x", ..request() }),
        ("body", Request { content_digest: Some(&other), ..request() }),
        ("condition", Request { if_match: Some("*"), ..request() }),
    ] {
        assert_eq!(checked(&changed, &signed, NOW_S), Err(Refusal::BadSignature), "{what}");
    }
    for (what, changed) in [
        ("a condition more", Request { if_none_match: Some("*"), ..request() }),
        ("a condition less", Request { if_match: None, ..request() }),
        ("no digest", Request { content_digest: None, ..request() }),
    ] {
        let refused = checked(&changed, &signed, NOW_S).expect_err(what);
        assert_eq!(refused.code(), "signature/not-covered", "{what}");
    }
}

#[test]
fn a_signature_is_for_a_short_while() {
    let signed = sign(&request(), &SEED, NOW_S, NONCE);
    for (now_s, holds) in [
        (NOW_S - MAX_AHEAD_S, true),
        (NOW_S - MAX_AHEAD_S - 1, false),
        (NOW_S + MAX_AGE_S, true),
        (NOW_S + MAX_AGE_S + 1, false),
        (0, false),
        (u64::MAX, false),
    ] {
        let code = checked(&request(), &signed, now_s).map_err(|refusal| refusal.code());
        assert_eq!(code.is_ok(), holds, "{now_s}");
        assert!(holds || code == Err("signature/out-of-time"));
    }
    let signer = checked(&request(), &signed, NOW_S).expect("it holds");
    assert!(checked(&request(), &signed, signer.forgotten_s()).is_err(), "no nonce is missed");
}

#[test]
fn a_signature_that_leaves_something_out_is_refused() {
    let names = ["@method", "@authority", "@path", "@query", "content-digest", "if-match"];
    for left_out in names {
        let mut member = member();
        member.components.retain(|name| name != left_out);
        assert_eq!(forged(&member), Err("signature/not-covered"), "{left_out}");
    }
    for more in ["@method", "host", "@status", "x-other", "if-none-match"] {
        let mut member = member();
        member.components.push(more.to_string());
        assert_eq!(forged(&member), Err("signature/not-covered"), "{more}");
    }
    let mut turned = member();
    turned.components.reverse();
    assert_eq!(forged(&turned), Ok(()), "the order is the signer's");
}

#[test]
fn other_profiles_are_refused() {
    let malformed = Err("signature/malformed");
    assert_eq!(forged(&Member { tag: "other".to_string(), ..member() }), malformed);
    assert_eq!(forged(&Member { algorithm: "rsa-v1_5-sha256".to_string(), ..member() }), malformed);
    assert_eq!(forged(&Member { nonce: "short".to_string(), ..member() }), malformed);
    assert_eq!(forged(&Member { nonce: "n".repeat(65), ..member() }), malformed);
    assert_eq!(forged(&Member { key_id: "a key".to_string(), ..member() }), malformed);
    let stranger = hex(&public_key(&[8; 32]));
    assert_eq!(forged(&Member { key_id: stranger, ..member() }), Err("signature/bad"));
}

#[test]
fn fields_that_are_not_there_or_not_of_the_form_are_refused() {
    let signed = sign(&request(), &SEED, NOW_S, NONCE);
    let Signed { input, signature } = &signed;
    for (input, signature) in [(None, None), (Some(input.as_str()), None)] {
        let refused = verify(&request(), input, signature.map(String::as_str), NOW_S);
        assert_eq!(refused, Err(Refusal::Missing));
    }
    let two = alloc::format!("{input}, {input}");
    let spaced = input.replace("\" \"", "\"  \"");
    let unquoted = input.replace("alg=\"ed25519\"", "alg=ed25519");
    let again = alloc::format!("{input};tag=\"packice-publish\"");
    let expires = alloc::format!("{input};expires=1900000000");
    let zeros = input.replace("created=", "created=0");
    let long = input.replace(NONCE, &"n".repeat(2000));
    for text in [&two, &spaced, &unquoted, &again, &expires, &zeros, &long, &String::new()] {
        let refused = verify(&request(), Some(text), Some(signature), NOW_S);
        assert_eq!(refused.map_err(|refusal| refusal.code()), Err("signature/malformed"), "{text}");
    }
    for text in ["", "packice=", "packice=::", "packice=:AAAA", "sig1=:AAAA:", "packice=:AA=A:"] {
        assert!(verify(&request(), Some(input), Some(text), NOW_S).is_err(), "{text}");
    }
}

fn member() -> Member {
    let signed = sign(&request(), &SEED, NOW_S, NONCE);
    Member::parse(signed.input.strip_prefix("packice=").expect("the label")).expect("read")
}

/// The verdict about a signature by the right key over a member that the profile's signer would
/// not write.
fn forged(member: &Member) -> Result<(), &'static str> {
    let input = member.to_string();
    let mut base = String::new();
    for name in &member.components {
        let value = request().component(name).unwrap_or_default();
        base.push_str(&alloc::format!("\"{name}\": {value}\n"));
    }
    base.push_str(&alloc::format!("\"@signature-params\": {input}"));
    let signed = Signed {
        input: alloc::format!("packice={input}"),
        signature: alloc::format!("packice={}", field::bytes(&sign::sign(&SEED, base.as_bytes()))),
    };
    checked(&request(), &signed, NOW_S).map(drop).map_err(|refusal| refusal.code())
}

/// What the general reader of structured fields makes of a member.
fn oracle(text: &str) -> Option<Member> {
    use sfv::{BareItem, Dictionary, ListEntry, Parser};
    let dictionary = Parser::new(&alloc::format!("packice={text}")).parse::<Dictionary>().ok()?;
    let (_, entry) = dictionary.iter().next().filter(|_| dictionary.len() == 1)?;
    let ListEntry::InnerList(list) = entry else { return None };
    let mut member = Member::default();
    for item in &list.items {
        let name = item.bare_item.as_string().filter(|_| item.params.is_empty())?;
        member.components.push(name.as_str().to_string());
    }
    for (name, value) in &list.params {
        let text = || value.as_string().map(|text| text.as_str().to_string());
        match (name.as_str(), value) {
            ("created", BareItem::Integer(number)) => {
                member.created_s = u64::try_from(i64::from(*number)).ok()?;
            }
            ("nonce", _) => member.nonce = text()?,
            ("keyid", _) => member.key_id = text()?,
            ("alg", _) => member.algorithm = text()?,
            ("tag", _) => member.tag = text()?,
            _ => return None,
        }
    }
    Some(member)
}

fn text() -> impl Strategy<Value = String> {
    "[ -~]{0,24}".prop_map(|text| text.replace(['"', '\\'], "_"))
}

proptest! {
    #[test]
    fn what_is_read_is_what_the_general_reader_reads(
        components in proptest::collection::vec(text(), 0..6),
        created_s in 0u64..1_000_000_000_000_000,
        nonce in text(), key_id in text(), algorithm in text(), tag in text(),
        at in 0usize..200, byte in proptest::char::range(' ', '~'),
    ) {
        let member = Member { components, created_s, nonce, key_id, algorithm, tag };
        let written = member.to_string();
        prop_assert_eq!(Member::parse(&written), Ok(member.clone()));
        prop_assert_eq!(oracle(&written), Some(member));
        // One character changed: what is still read is read alike.
        let mut damaged: Vec<char> = written.chars().collect();
        let at = at % damaged.len();
        damaged[at] = byte;
        let damaged: String = damaged.into_iter().collect();
        if let Ok(member) = Member::parse(&damaged) {
            prop_assert_eq!(oracle(&damaged), Some(member), "{}", damaged);
        }
    }
}
