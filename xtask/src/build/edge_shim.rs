//! The module that workerd loads: a handler for each event that the crate handles, and its exported
//! classes (Durable Objects), all of which start a fresh wasm instance after a trap. The same steps
//! as the crate `worker-build` 0.8.7 takes, but for the handlers, which are plain functions here,
//! and the hot route.

/// The fixed part; `$HANDLERS` stands where the generated handlers go.
const SHIM: &str = include_str!("edge_shim.js");

/// What wasm-bindgen exports for the shim's own use.
const SYSTEM: &[&str] = &["__wbg_reset_state", "__worker_init_state"];

/// The events whose handlers take `(arg, env, ctx)`.
const EVENTS: &[&str] = &["fetch", "queue", "scheduled", "email", "connect"];

/// The shim for a module that wasm-bindgen wrote.
pub(crate) fn shim(glue: &str) -> String {
    let events = functions(glue).into_iter().filter(|name| EVENTS.contains(name));
    let handler = |name| match name {
        "fetch" => "fetch: hotFirst(handler(\"fetch\"))".to_owned(),
        _ => format!("{name}: handler(\"{name}\")"),
    };
    let handlers: Vec<_> = events.map(handler).collect();
    let mut shim = SHIM.replace("$HANDLERS", &handlers.join(", "));
    for name in classes(glue) {
        shim.push_str(&format!(
            "export const {name} = new Proxy(exports.{name}, classProxyHooks);\n"
        ));
    }
    shim
}

/// Names of the exported functions, the system ones left out.
fn functions(glue: &str) -> Vec<&str> {
    let mut names = Vec::new();
    for line in glue.lines() {
        let rest = line
            .strip_prefix("export function ")
            .or_else(|| line.strip_prefix("export async function "));
        if let Some((name, _)) = rest.and_then(|rest| rest.split_once('(')) {
            names.push(name.trim());
        } else if let Some(list) = line.strip_prefix("export {") {
            // `export { local as name }`.
            let list = list.split('}').next().unwrap_or_default();
            names.extend(
                list.split(',').filter_map(|item| item.split_once(" as ")).map(|(_, n)| n.trim()),
            );
        }
    }
    names.retain(|name| !SYSTEM.contains(name));
    names
}

/// Names of the exported classes.
fn classes(glue: &str) -> Vec<&str> {
    glue.lines()
        .filter_map(|line| line.strip_prefix("export class "))
        .filter_map(|rest| rest.split('{').next())
        .map(str::trim)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GLUE: &str = "export class Shard {\n  free() {}\n}\nexport function fetch(a, b) {\n}\n\
                        export function __wbg_reset_state () {\n}\nexport { x1 as scheduled };\n";

    #[test]
    fn finds_the_handlers_and_classes_of_the_glue() {
        assert_eq!(functions(GLUE), ["fetch", "scheduled"]);
        assert_eq!(classes(GLUE), ["Shard"]);
    }

    #[test]
    fn every_event_gets_the_environment_and_context() {
        let shim = shim(GLUE);
        let fetch = "fetch: hotFirst(handler(\"fetch\"))";
        let handlers = format!("{{ {fetch}, scheduled: handler(\"scheduled\") }}");
        assert!(shim.contains(&format!("export default {handlers};")), "{shim}");
        assert!(shim.contains("export const Shard = new Proxy(exports.Shard, classProxyHooks)"));
        assert!(!shim.contains("$HANDLERS"));
    }
}
