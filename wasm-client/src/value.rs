//! Values for JavaScript: objects built field by field, bytes copied out, errors with a code.
//!
//! The shapes are those of `js/types.ts` and `js/rpc.ts`.

use js_sys::{Array, Object, Reflect, Uint8Array};
use wasm_bindgen::prelude::*;

/// A JavaScript object under construction.
#[derive(Debug, Default)]
pub(crate) struct Record(Object);

impl Record {
    /// An object without fields.
    pub(crate) fn new() -> Self {
        Self(Object::new())
    }

    /// Sets a field.
    pub(crate) fn with(self, field: &str, value: impl Into<JsValue>) -> Self {
        // A plain object takes every field.
        let _ = Reflect::set(&self.0, &JsValue::from_str(field), &value.into());
        self
    }

    /// Sets a field to a number: lengths and counts stay far below 2^53.
    #[allow(clippy::cast_precision_loss)]
    pub(crate) fn number(self, field: &str, value: u64) -> Self {
        self.with(field, value as f64)
    }

    /// Sets a field to a copy of bytes, with a buffer of its own that can be transferred.
    pub(crate) fn bytes(self, field: &str, value: &[u8]) -> Self {
        self.with(field, Uint8Array::from(value))
    }

    /// Sets a field to a value, or to null.
    pub(crate) fn nullable(self, field: &str, value: Option<impl Into<JsValue>>) -> Self {
        self.with(field, value.map_or(JsValue::NULL, Into::into))
    }

    /// Sets a field to a list.
    pub(crate) fn list(self, field: &str, items: impl Iterator<Item = JsValue>) -> Self {
        self.with(field, items.collect::<Array>())
    }
}

impl From<Record> for JsValue {
    fn from(record: Record) -> Self {
        record.0.into()
    }
}

/// An error as the host passes it on.
pub(crate) fn failure(code: &str, message: &str) -> JsValue {
    Record::new().with("code", code).with("message", message).into()
}

/// A field of an options object; undefined where it is missing.
pub(crate) fn field(object: &JsValue, name: &str) -> JsValue {
    Reflect::get(object, &JsValue::from_str(name)).unwrap_or(JsValue::UNDEFINED)
}

/// A field that must be text.
pub(crate) fn text(object: &JsValue, name: &str) -> Result<String, JsValue> {
    field(object, name).as_string().ok_or_else(|| wrong_option(name))
}

/// A field that must be bytes.
pub(crate) fn bytes(object: &JsValue, name: &str) -> Result<Vec<u8>, JsValue> {
    match field(object, name).dyn_into::<Uint8Array>() {
        Ok(view) => Ok(view.to_vec()),
        Err(_) => Err(wrong_option(name)),
    }
}

fn wrong_option(name: &str) -> JsValue {
    let mut message = String::from("the option is missing or of the wrong type: ");
    message.push_str(name);
    failure("misuse/options", &message)
}
