//! A static mirror on loopback: files by path are all that a source has to be.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use packice::keys::Key;
use packice::publish::bootstrap::{SignedPart, assemble, inlined_objects, object_room};
use packice_core::format::head::{Channel, Head, Policy};
use packice_core::trust::log::Frontier;
use packice_core::trust::sign::{grow, sign_checkpoint};
use packice_core::types::{Name, ObjectRef, Version};

use super::Project;

/// The paths that were asked for, in order.
type Asked = Arc<Mutex<Vec<String>>>;
type Files = Arc<Mutex<BTreeMap<String, Vec<u8>>>>;

/// A mirror: files by path, whole or by one range.
pub struct Mirror {
    pub url: String,
    files: Files,
    asked: Asked,
}

impl Mirror {
    pub fn start(files: BTreeMap<String, Vec<u8>>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let files: Files = Arc::new(Mutex::new(files));
        let asked = Asked::default();
        let (served, noted) = (files.clone(), asked.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (served, noted) = (served.clone(), noted.clone());
                std::thread::spawn(move || serve(&stream, &served, &noted));
            }
        });
        Self { url, files, asked }
    }

    /// The paths that were asked for since the last call.
    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut self.asked.lock().expect("the paths"))
    }

    pub fn change(&self, prefix: &str, change: impl Fn(&mut Vec<u8>)) {
        let mut files = self.files.lock().expect("the files");
        let found = files.iter_mut().filter(|(path, _)| path.starts_with(prefix));
        assert!(found.map(|(_, bytes)| change(bytes)).count() > 0, "no {prefix}");
    }
}

fn serve(stream: &TcpStream, files: &Files, asked: &Asked) {
    let mut input = BufReader::new(stream);
    loop {
        let mut request = String::new();
        if input.read_line(&mut request).unwrap_or(0) == 0 {
            return;
        }
        let mut range = None;
        loop {
            let mut line = String::new();
            input.read_line(&mut line).expect("a header");
            if line.trim().is_empty() {
                break;
            }
            let lower = line.to_ascii_lowercase();
            if let Some(value) = lower.trim().strip_prefix("range: bytes=") {
                let (start, end) = value.split_once('-').expect("a range");
                range = start.parse::<usize>().ok().zip(end.parse::<usize>().ok());
            }
        }
        let path = request.split(' ').nth(1).expect("a path").trim_start_matches('/');
        let path = path.strip_prefix("v1/test-set/").unwrap_or(path);
        asked.lock().expect("the paths").push(path.to_owned());
        let body = files.lock().expect("the files").get(path).cloned();
        let total = body.as_ref().map_or(0, Vec::len);
        let (status, body, extra) = match (body, range) {
            (None, _) => {
                // Late, so that what is there has come before.
                std::thread::sleep(Duration::from_millis(500));
                ("404 Not Found", Vec::new(), String::new())
            }
            (Some(body), None) => ("200 OK", body, String::new()),
            (Some(body), Some((start, end))) => {
                let extra = format!("content-range: bytes {start}-{end}/{total}\r\n");
                ("206 Partial Content", body[start..=end].to_vec(), extra)
            }
        };
        let head = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\n{extra}\r\n", body.len());
        let mut out = stream;
        if out.write_all(head.as_bytes()).and_then(|()| out.write_all(&body)).is_err() {
            return;
        }
    }
}

/// A build of some records, signed as the first release; `inline` puts into the bootstrap what
/// publishing puts there.
pub fn signed_project(
    project: Project,
    lines: &[String],
    inline: bool,
) -> (Project, BTreeMap<String, Vec<u8>>) {
    project.write_lines(lines);
    project.json(&["build"]);
    let files = signed_files(&project, 1, inline);
    (project, files)
}

/// A build, signed as the first release, as a mirror serves it.
pub fn signed_files(project: &Project, version: u64, inline: bool) -> BTreeMap<String, Vec<u8>> {
    let build_dir = project.path(&format!(".packice/builds/{version}"));
    let build = packice::project::Build::open(&build_dir).expect("a build");
    let release = Key::load("NO_SUCH_VARIABLE", &project.path("keys/release.key")).expect("a key");
    let name = packice_core::hash::wire_name(&build.manifest_bytes);
    let manifest = ObjectRef { name, len: build.manifest_bytes.len() as u64 };
    let channel =
        Channel { name: Name::new("stable").expect("a name"), version: Version(version), manifest };
    let head = Head {
        dataset: build.manifest.dataset.clone(),
        trust_root_version: 1,
        channels: vec![channel],
        policy: Policy::default(),
    }
    .encode();
    let grown = grow(&Frontier::new(), &head);
    let checkpoint = sign_checkpoint("packice/test-set", grown.at, &[*release.seed()]);
    let checkpoint = checkpoint.encode().into_bytes();
    let mut files = BTreeMap::from([("checkpoint".to_owned(), checkpoint.clone())]);
    let signed = SignedPart {
        checkpoint,
        trust_chain: vec![super::read(&project.path("trust/1.bin"))],
        head,
        inclusion: grown.inclusion,
    };
    let objects = match inline {
        true => inlined_objects(&build, object_room(&signed)).expect("objects"),
        false => Vec::new(),
    };
    let bootstrap = assemble(signed, objects).expect("a bootstrap");
    files.insert("bootstrap/stable".to_owned(), bootstrap);
    for object in project.objects(version) {
        files.insert(object.clone(), super::read(&build_dir.join(&object)));
    }
    files.insert(format!("manifest/{name}"), build.manifest_bytes);
    files
}
