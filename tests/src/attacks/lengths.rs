//! Lengths, counts and sizes that lie, field by field: in what nobody signs, and under the
//! signature of whoever holds the release keys.

use packice_core::format::manifest::Collection;
use packice_core::format::trust_root::SignedTrustRoot;
use packice_core::trust::sign;
use packice_core::types::ObjectKind;

use super::fields::{self, Field, Lie};
use super::forge::{Forge, ROOT_KEYS};
use super::objects::{page, set_page};
use super::{Files, Objects};
use crate::publication::path;

type Row = (&'static str, Objects);

/// The fixtures.
pub(super) fn all() -> Vec<Row> {
    vec![
        ("length-lies-in-the-bootstrap", bootstraps()),
        ("length-lies-in-the-head-state", heads()),
        ("length-lies-in-the-manifest", manifests()),
        ("length-lies-in-the-layout-directory", directories()),
        ("length-lies-in-a-layout-page", pages()),
        ("length-lies-in-a-trust-root", roots()),
    ]
}

/// A set for each lie about each field.
fn lies(bytes: &[u8], fields: &[Field], serve: impl Fn(Vec<u8>) -> Files) -> Objects {
    let mut objects = Objects::default();
    for field in fields {
        for lie in Lie::ALL {
            let name = format!("{}-{}", field.name, lie.name());
            objects = objects.set(&name, serve(lie.tell(bytes, field)));
        }
    }
    objects
}

fn bootstraps() -> Objects {
    let mut forge = Forge::at(3);
    let trust = forge.trust();
    forge.edit_bootstrap(|bootstrap| {
        bootstrap.trust_chain = vec![trust];
        bootstrap.objects = vec![b"an object that nobody asked for".to_vec()];
    });
    let bytes = forge.publication.files["bootstrap/stable"].clone();
    lies(&bytes, &fields::bootstrap(&bytes), |lying| {
        let mut forge = forge.clone();
        forge.serve("bootstrap/stable", lying);
        forge.files()
    })
}

fn heads() -> Objects {
    let mut forge = Forge::at(2);
    let manifest = forge.manifest(3, 3);
    let before = forge.clone();
    forge.publish(&manifest);
    let bytes = forge.entry.clone();
    lies(&bytes, &fields::head(&bytes), |lying| {
        let mut forge = before.clone();
        // Where only the manifest's length lies, the manifest is there.
        forge.put(ObjectKind::Manifest, manifest.encode());
        forge.append(lying);
        forge.files()
    })
}

fn manifests() -> Objects {
    let mut forge = Forge::at(2);
    let bytes = forge.manifest(3, 3).encode();
    lies(&bytes, &fields::manifest(&bytes), |lying| {
        let mut forge = forge.clone();
        let object = forge.put(ObjectKind::Manifest, lying);
        forge.point_at(3, object);
        forge.files()
    })
}

/// The third release with its tokens changed.
fn third(change: impl Fn(&mut Forge, &mut Collection)) -> Files {
    let mut forge = Forge::at(2);
    let mut manifest = forge.manifest(3, 3);
    let tokens = manifest.collections.iter_mut().find(|c| c.name.as_str() == "tokens");
    change(&mut forge, tokens.expect("the tokens"));
    forge.publish(&manifest);
    forge.files()
}

fn tokens(forge: &mut Forge) -> Collection {
    let manifest = forge.manifest(3, 3);
    manifest.collections.into_iter().find(|c| c.name.as_str() == "tokens").expect("the tokens")
}

fn directories() -> Objects {
    let mut forge = Forge::at(2);
    let tokens = tokens(&mut forge);
    let bytes =
        forge.publication.files[&path(ObjectKind::Layout, &tokens.base.directory.name)].clone();
    lies(&bytes, &fields::directory(&bytes), |lying| {
        third(|forge, tokens| {
            tokens.base.directory = forge.put(ObjectKind::Layout, lying.clone());
        })
    })
}

fn pages() -> Objects {
    let mut forge = Forge::at(2);
    let tokens = tokens(&mut forge);
    let bytes = page(&forge.publication.files, &tokens).encode();
    lies(&bytes, &fields::page(&bytes), |lying| {
        third(|forge, tokens| set_page(forge, tokens, lying.clone()))
    })
}

/// The next trust root with a lie in it, its body signed as it stands.
fn roots() -> Objects {
    let mut forge = Forge::at(2);
    forge.rotate(|_| {}, &ROOT_KEYS[..2]);
    let bytes = forge.chain[1].clone();
    let honest = SignedTrustRoot::parse(&bytes).expect("a signed trust root");
    let body_at = bytes.windows(4).position(|window| window == b"PKT1").expect("the body");
    let body = body_at..body_at + honest.body.len();
    let mut objects = Objects::default();
    for field in fields::signed_root(&bytes) {
        for lie in Lie::ALL {
            let inside = body.contains(&field.at.start);
            let lying = match inside {
                false => lie.tell(&bytes, &field),
                true => {
                    let at = field.at.start - body.start..field.at.end - body.start;
                    let field = Field { at, ..field.clone() };
                    signed(lie.tell(&honest.body, &field))
                }
            };
            let mut forge = forge.clone();
            forge.chain[1] = lying;
            forge.release(3);
            let name = format!("{}-{}", field.name, lie.name());
            objects = objects.set(&name, forge.files());
        }
    }
    objects
}

fn signed(body: Vec<u8>) -> Vec<u8> {
    let mut signed = SignedTrustRoot { body, signatures: Vec::new() };
    for seed in &ROOT_KEYS[..2] {
        sign::add_root_signature(&mut signed, seed);
    }
    signed.encode()
}
