//! Inputs of every format by the real binary: the same records give the same tree, and what is
//! malformed is named with its file, its place and its field.

mod common;

use std::fs;
use std::io::Write;
use std::process::Stdio;

use common::{Project, assert_fails, assert_success, lines};
use rusqlite::Connection;
use serde_json::{Value, json};

/// A project whose collection is described by these lines.
fn project(collection: &str) -> Project {
    let project = Project::new();
    let path = project.path("packice.toml");
    let text = fs::read_to_string(&path).expect("read");
    let head = text.split("[[collection]]").next().expect("a head");
    let section =
        format!("[[collection]]\nname = \"tokens\"\ndictionary = \"none\"\n{collection}\n");
    fs::write(&path, format!("{head}{section}")).expect("written");
    project
}

fn build(project: &Project) -> Value {
    project.json(&["build"])["build"]["collections"][0].clone()
}

/// What a build says that must fail by its input.
fn refused(project: &Project) -> String {
    assert_fails(&project.run(&["build"]), 3)
}

fn write(project: &Project, name: &str, bytes: impl AsRef<[u8]>) {
    let path = project.path(name);
    fs::create_dir_all(path.parent().expect("a parent")).expect("made");
    fs::write(path, bytes).expect("written");
}

fn database(project: &Project, sql: &str) -> Connection {
    let database = Connection::open(project.path("t.sqlite")).expect("a database");
    database.execute_batch(sql).expect("executed");
    database
}

/// A cell of CSV, always in quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

#[test]
fn the_same_records_give_the_same_root_whatever_the_format() {
    let records: Vec<Value> =
        lines(3000).iter().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let columns = ["id", "name", "url", "tags", "n"];
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);

    let jsonl = project("input = \"t.jsonl\"\nkey = \"{id}\"");
    let file: String = records.iter().map(|record| format!("{record}\n")).collect();
    write(&jsonl, "t.jsonl", &file);
    let expected = build(&jsonl);
    assert_eq!(expected["records"], json!(3000));

    let row = |record: &Value, separator: &str| {
        let cells: Vec<String> = columns.iter().map(|name| quoted(&text(&record[name]))).collect();
        cells.join(separator)
    };
    let csv = project("input = \"t.csv\"\nkey = \"{id}\"\njson = [\"tags\", \"n\"]");
    let body: Vec<String> = records.iter().map(|record| row(record, ",")).collect();
    // A byte order mark, CRLF and no line break at the end.
    write(&csv, "t.csv", format!("\u{feff}{}\r\n{}", columns.join(","), body.join("\r\n")));
    let built = build(&csv);
    assert_eq!((&built["root"], &built["records"]), (&expected["root"], &expected["records"]));

    let names = serde_json::to_string(&columns).expect("JSON");
    let tsv = project(&format!(
        "input = \"t.tsv\"\nkey = \"{{id}}\"\njson = [\"tags\", \"n\"]\ncolumns = {names}"
    ));
    let body: String = records.iter().map(|record| row(record, "\t") + "\n").collect();
    write(&tsv, "t.tsv", body);
    assert_eq!(build(&tsv)["root"], expected["root"]);

    for source in ["table = \"t\"", "query = \"SELECT * FROM t ORDER BY name\""] {
        let sqlite = project(&format!(
            "input = \"t.sqlite\"\nkey = \"{{id}}\"\njson = [\"tags\"]\n{source}"
        ));
        let mut open = database(&sqlite, "CREATE TABLE t (id, name, url, tags, n)");
        let work = open.transaction().expect("a transaction");
        for record in &records {
            let texts = ["id", "name", "url", "tags"].map(|name| text(&record[name]));
            let [id, name, url, tags] = &texts;
            work.execute(
                "INSERT INTO t VALUES (?1, ?2, ?3, ?4, ?5)",
                (id, name, url, tags, record["n"].as_i64()),
            )
            .expect("inserted");
        }
        work.commit().expect("committed");
        let built = build(&sqlite);
        assert_eq!((&built["root"], &built["records"]), (&expected["root"], &expected["records"]));
        // The file is closed, has other pages, and the same rows.
        open.execute_batch("VACUUM").expect("vacuumed");
        assert_eq!(build(&sqlite), built);
    }
}

#[test]
fn lines_and_cells_come_from_standard_input_too() {
    let from_stdin = |section: &str, body: &str| {
        let project = project(section);
        let mut child = project
            .command()
            .args(["build", "--json"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the binary runs");
        child.stdin.take().expect("a pipe").write_all(body.as_bytes()).expect("written");
        let out = child.wait_with_output().expect("an end");
        assert_success(&out);
        let json: Value = serde_json::from_slice(&out.stdout).expect("JSON");
        json["build"]["collections"][0]["root"].clone()
    };
    let key = "input = \"-\"\nkey = \"{a}\"\nvalue = \"b\"";
    let jsonl = from_stdin(&format!("{key}\nformat = \"jsonl\""), "{\"a\":\"1\",\"b\":\"x\"}\n");
    let csv = from_stdin(&format!("{key}\nformat = \"csv\""), "b,a\nx,1\n");
    assert_eq!(jsonl, csv);
}

#[test]
fn malformed_csv_is_named_with_line_and_field() {
    let project = project("input = \"t.csv\"\nkey = \"{a}\"\njson = [\"c\"]");
    for (body, expected) in [
        ("a,b,c\n1,x,\n2,\"x,1\n", "t.csv line 3: the quote is never closed"),
        ("a,b,c\n1,x,\n2,x\"y,1\n", "t.csv line 3: a quote in a cell that has none at its start"),
        ("a,b,c\n1,\"x\"y,1\n", "t.csv line 2: a cell goes on after its closing quote"),
        ("a,b,c\n1,\"x\ny\",1\n2,x\n", "t.csv line 4: 2 cells, and 3 columns"),
        ("a,b,c\n1,x,1\n\n\n2,x,1,1\n", "t.csv line 5: 4 cells, and 3 columns"),
        ("b,c\n1,2\n", "t.csv line 1: column 'a' is missing; there are b, c"),
        ("a;b;c\n1;2;3\n", "t.csv line 1: column 'a' is missing; there are a;b;c"),
        ("a,b,b,c\n", "t.csv line 1: column 'b' comes twice"),
        ("a,b,c\n1,x,{\n", "t.csv line 2: field 'c' is not JSON"),
        ("a,b,c\n,x,1\n", "t.csv line 2: the key is empty"),
        ("a,b,c\n1,x,1\n2,x,1\n1,y,1\n", "duplicate key '1': line 2 and line 4"),
        ("", "t.csv is empty: a CSV file begins with the names of its columns"),
    ] {
        write(&project, "t.csv", body);
        let said = refused(&project);
        assert!(said.contains(expected) && said.contains("next:"), "{body:?}: {said}");
    }
    write(&project, "t.csv", b"a,b,c\n1,x,\n2,\xff,\n");
    assert!(refused(&project).contains("t.csv line 3: field 'b' is not UTF-8"));
    write(&project, "t.csv", b"a,\xff,c\n");
    assert!(refused(&project).contains("t.csv line 1: the header is not UTF-8"));
    // A header alone is an empty collection.
    write(&project, "t.csv", "a,b,c\r\n");
    assert_eq!(build(&project)["records"], json!(0));
}

#[test]
fn malformed_lines_are_named() {
    let project = project("input = \"t.jsonl\"\nkey = \"{a}\"");
    write(&project, "t.jsonl", b"{\"a\":\"1\"}\n{\"a\":\"\xff\"}\n");
    assert!(refused(&project).contains("t.jsonl line 2: not JSON"));
    write(&project, "t.jsonl", "\u{feff}{\"a\":\"1\"}\r\n\r\n{\"a\":\"1\"}\r\n");
    assert!(refused(&project).contains("duplicate key '1': line 1 and line 3"));
    write(&project, "t.jsonl", "");
    assert_eq!(build(&project)["records"], json!(0));
}

#[test]
fn malformed_rows_are_named_with_rowid_and_field() {
    let project = project("input = \"t.sqlite\"\nkey = \"{k}\"\njson = [\"j\"]\ntable = \"t\"");
    let open = database(&project, "CREATE TABLE t (k, j, v); CREATE VIEW w AS SELECT * FROM t;");
    let cases = [
        ("(7, NULL, NULL, 1)", "t.sqlite rowid 7: field 'k' is null and cannot be part of a key"),
        ("(-3, 'a', '{', 1)", "t.sqlite rowid -3: field 'j' is not JSON"),
        ("(1, 'a', x'00', 1)", "t.sqlite rowid 1: field 'j' is a BLOB, not JSON as text"),
        ("(1, 'a', '', x'00')", "t.sqlite rowid 1: field 'v' is bytes, which JSON has not"),
        ("(1, 'a', '', 9e999)", "t.sqlite rowid 1: field 'v' is inf, which JSON has not"),
        ("(1, 'a', '', CAST(x'ff' AS TEXT))", "t.sqlite rowid 1: field 'v' is not UTF-8"),
        ("(5, 'a', '', 1), (9, 'a', '', 2)", "duplicate key 'a': rowid 5 and rowid 9"),
    ];
    for (values, expected) in cases {
        open.execute("DELETE FROM t", []).expect("deleted");
        let sql = format!("INSERT INTO t (rowid, k, j, v) VALUES {values}");
        open.execute(&sql, []).expect("inserted");
        let said = refused(&project);
        assert!(said.contains(expected) && said.contains("next:"), "{values}: {said}");
    }
    open.execute("DELETE FROM t", []).expect("deleted");
    assert_eq!(build(&project)["records"], json!(0));

    project.configure("table = \"t\"", "table = \"w\"");
    open.execute("INSERT INTO t VALUES ('b', '', 1), ('b', '', 2)", []).expect("inserted");
    assert!(refused(&project).contains("duplicate key 'b': row 1 and row 2"));
    project.configure("table = \"w\"", "table = \"x\"");
    let said = assert_fails(&project.run(&["build"]), 2);
    assert!(said.contains("no table 'x'; there are t, w"), "{said}");
    project.configure("table = \"x\"", "query = \"SELECT k, v FROM t\"");
    assert!(refused(&project).contains("column 'j' is missing; there are k, v"));
    project.configure("SELECT k, v FROM t", "DELETE FROM t RETURNING k, j, v");
    let said = assert_fails(&project.run(&["build"]), 2);
    assert!(said.contains("field 'query': it changes the database"), "{said}");
    project.configure("DELETE FROM t RETURNING k, j, v", "SELECT nowhere FROM t");
    let said = refused(&project);
    assert!(said.contains("no such column: nowhere") && said.contains("check 'query'"), "{said}");
    drop(open);
    write(&project, "t.sqlite", "this is no database, it only has such a name".repeat(40));
    assert!(refused(&project).contains("file is not a database"));
    fs::remove_file(project.path("t.sqlite")).expect("removed");
    let said = assert_fails(&project.run(&["build"]), 2);
    assert!(said.contains("cannot read") && said.contains("t.sqlite"), "{said}");
    assert!(!project.path("t.sqlite").exists(), "reading makes no database");
}

#[test]
fn bytes_of_a_database_are_keys_and_values() {
    let hex = project("input = \"t.jsonl\"\nkey = \"{k|hex}\"\nvalue = \"v|hex\"");
    write(&hex, "t.jsonl", "{\"k\":\"00ff\",\"v\":\"c0\"}\n{\"k\":\"00fe\",\"v\":\"\"}\n");
    let blobs = project("input = \"t.sqlite\"\nkey = \"{k}\"\nvalue = \"v\"\ntable = \"t\"");
    database(
        &blobs,
        "CREATE TABLE t (k BLOB PRIMARY KEY, v) WITHOUT ROWID;
         INSERT INTO t VALUES (x'00ff', x'c0'), (x'00fe', x'')",
    );
    assert_eq!(build(&hex)["root"], build(&blobs)["root"]);
}

#[test]
fn a_database_that_somebody_writes_to_is_read_as_of_one_moment() {
    let project = project("input = \"t.sqlite\"\nkey = \"{k}\"\ntable = \"t\"");
    let open = database(
        &project,
        "PRAGMA journal_mode = WAL; CREATE TABLE t (k); INSERT INTO t VALUES (1)",
    );
    open.execute_batch("BEGIN IMMEDIATE; INSERT INTO t VALUES (2)").expect("begun");
    assert_eq!(build(&project)["records"], json!(1));
    open.execute_batch("COMMIT").expect("committed");
    assert_eq!(build(&project)["records"], json!(2));
}

#[test]
fn a_directory_is_shipped_file_by_file() {
    let project = project("input = \"site/\"");
    let large: Vec<u8> =
        (0..2_500_000u32).map(|at| at.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    write(&project, "site/index.html", "<p>");
    write(&project, "site/.hidden/empty", "");
    write(&project, "site/a b/ü.bin", &large);
    let first = build(&project);
    // Two files, and three parts of the large one.
    assert_eq!((&first["records"], &first["source_bytes"]), (&json!(5), &json!(2_500_003)));

    let lines = project_of_parts(&large);
    assert_eq!(build(&lines)["root"], first["root"]);

    // Times, order of creation and empty directories say nothing.
    fs::rename(project.path("site"), project.path("old")).expect("renamed");
    fs::create_dir_all(project.path("site/nothing")).expect("made");
    for name in ["a b/ü.bin", "index.html", ".hidden/empty"] {
        let bytes = common::read(&project.path(&format!("old/{name}")));
        write(&project, &format!("site/{name}"), bytes);
    }
    assert_eq!(build(&project), first);
}

/// The same records as the directory's, as lines with base64 values.
fn project_of_parts(large: &[u8]) -> Project {
    use base64ct::{Base64, Encoding};
    let lines = project("input = \"t.jsonl\"\nkey = \"{k}\"\nvalue = \"v|base64\"");
    let mut records =
        vec![("index.html".to_owned(), b"<p>".to_vec()), (".hidden/empty".to_owned(), Vec::new())];
    for (at, part) in large.chunks(1 << 20).enumerate() {
        records.push((format!("a b/ü.bin\0{:016x}", at << 20), part.to_vec()));
    }
    let line = |(key, value): (String, Vec<u8>)| {
        json!({ "k": key, "v": Base64::encode_string(&value) }).to_string() + "\n"
    };
    write(&lines, "t.jsonl", records.into_iter().map(line).collect::<String>());
    lines
}

#[cfg(unix)]
#[test]
fn what_a_directory_cannot_ship_is_named() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let project = project("input = \"site\"");
    write(&project, "site/a/file", "x");
    let link = project.path("site/a/link");
    std::os::unix::fs::symlink("/etc/passwd", &link).expect("linked");
    let said = refused(&project);
    assert!(said.contains("site/a/link is a symbolic link"), "{said}");
    fs::remove_file(link).expect("removed");

    let odd = project.path("site").join(OsStr::from_bytes(b"\xff.txt"));
    fs::write(&odd, "x").expect("written");
    let said = refused(&project);
    assert!(said.contains("is not UTF-8") && said.contains("rename it"), "{said}");
    fs::remove_file(odd).expect("removed");

    let socket = std::os::unix::net::UnixListener::bind(project.path("site/s")).expect("bound");
    assert!(refused(&project).contains("site/s is no ordinary file"));
    drop(socket);
    fs::remove_file(project.path("site/s")).expect("removed");

    let long = ["d"; 520].join("/");
    write(&project, &format!("site/{long}/f"), "x");
    assert!(refused(&project).contains("the key has 1041 bytes, the most is 1024"));
    fs::remove_dir_all(project.path("site/d")).expect("removed");
    assert_eq!(build(&project)["records"], json!(1));

    fs::remove_dir_all(project.path("site")).expect("removed");
    project.configure("input = \"site\"", "input = \"site/\"");
    let said = assert_fails(&project.run(&["build"]), 2);
    assert!(said.contains("cannot read") && said.contains("collection 'tokens'"), "{said}");
}

#[test]
fn keys_and_builds_are_never_shipped() {
    let project = project("input = \"./\"");
    let said = assert_fails(&project.run(&["build"]), 2);
    assert!(said.contains("keys/release.key") && said.contains("would be published"), "{said}");
    let elsewhere = tempfile::tempdir().expect("a directory");
    fs::rename(project.path("keys"), elsewhere.path().join("keys")).expect("moved");
    fs::create_dir_all(project.path(".packice")).expect("made");
    let said = assert_fails(&project.run(&["build"]), 2);
    assert!(said.contains(".packice"), "{said}");
}

#[test]
fn what_init_writes_for_a_format_builds() {
    for (args, file, bytes) in [
        (&["--input", "t.csv", "--key", "{a}"][..], "t.csv", &b"a,b\n1,2\n"[..]),
        (
            &["--input", "t.tsv", "--key", "{a}", "--value", "b", "--value-text"],
            "t.tsv",
            b"a\tb\n1\t2",
        ),
        (&["--input", "files/"], "files/a", b"x"),
        (&["--input", "t.sqlite", "--key", "{a|u64}", "--table", "t"], "t.sqlite", b""),
    ] {
        let project = Project { dir: tempfile::tempdir().expect("a directory") };
        let init = ["init", "--dataset", "test-set", "--non-interactive"];
        assert_success(&project.run(&[&init[..], args].concat()));
        if file == "t.sqlite" {
            database(&project, "CREATE TABLE t (a, b); INSERT INTO t VALUES (1, 2)");
        } else {
            write(&project, file, bytes);
        }
        assert_eq!(build(&project)["records"], json!(1), "{file}");
    }
}

#[test]
fn tune_measures_suggests_and_writes() {
    // Priority 0 has no dictionary: training for every size would take most of the time.
    let project = project("priority = 0\n# Stays.\ninput = \"t.jsonl\"\nkey = \"{id}\"");
    write(&project, "t.jsonl", lines(2500).join("\n"));
    let expected = build(&project);
    let before = fs::read_to_string(project.path("packice.toml")).expect("read");
    let tuned = project.json(&["tune", "--sample", "all", "--write"]);
    let collection = &tuned["collections"][0];
    assert_eq!(collection["records"], json!(2500));
    let number = |row: &Value, field: &str| row[field].as_u64().expect("a number");
    let rows = collection["rows"].as_array().expect("rows");
    // The row of the sizes that the build had is that build.
    let own = rows.iter().find(|row| {
        (number(row, "leaf_target"), number(row, "frame_target")) == (16 << 10, 256 << 10)
            && number(row, "dictionary_bytes") == 0
    });
    let own = own.expect("a row of the usual sizes");
    for (field, of_build) in [
        ("plain_bytes", "plain_bytes"),
        ("frame_bytes", "wire_bytes"),
        ("layout_bytes", "layout_bytes"),
        ("frames", "frames"),
    ] {
        assert_eq!(own[field], expected[of_build], "{field}");
    }
    let sum = number(own, "frame_bytes") + number(own, "layout_bytes");
    assert_eq!(number(own, "full_sync_bytes"), sum);
    assert!(own["ratio"].as_f64().expect("a ratio") > 0.9);
    let at = usize::try_from(number(collection, "suggested")).expect("an index");
    assert!(number(&rows[at], "cold_read_bytes") > 0 && number(&rows[at], "decode_us") > 0);

    let after = fs::read_to_string(project.path("packice.toml")).expect("read");
    assert!(before.contains("# Stays.") && after.contains("# Stays."), "{after}");
    let fields = &tuned["suggestions"][0]["fields"];
    for field in ["leaf_target", "frame_target", "dictionary"] {
        let line = format!("{field} = {}", fields[field]);
        assert!(after.contains(&line), "{line}: {after}");
    }
    let after = build(&project);
    assert_eq!(
        (&after["frames"], &after["wire_bytes"]),
        (&rows[at]["frames"], &rows[at]["frame_bytes"])
    );
    assert!(fs::read_dir(project.path(".packice/tmp")).expect("listed").next().is_none());

    let said = assert_fails(&project.run(&["tune", "--sample", "7"]), 2);
    assert!(said.contains("--sample"), "{said}");
    let said = assert_fails(&project.run(&["tune", "--collection", "x"]), 7);
    assert!(said.contains("no collection 'x'"), "{said}");
}
