//! What `cargo metadata` says about the workspace, as far as the checks need it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use serde_json::Value;

use crate::shop::Shop;
use crate::step;

/// One package: a member of the workspace, or a dependency.
pub(crate) struct Package {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) version: String,
    /// The SPDX expression.
    pub(crate) license: Option<String>,
    /// `None` for path dependencies.
    pub(crate) source: Option<String>,
    /// The folder of its Cargo.toml.
    pub(crate) dir: PathBuf,
    pub(crate) dependencies: Vec<Dependency>,
    /// `[package.metadata.tidy] keep = […]`: dependencies that no source names.
    pub(crate) keep: Vec<String>,
}

/// One entry under `[dependencies]` and its kin.
pub(crate) struct Dependency {
    pub(crate) name: String,
    /// The name that the code uses, when it is another.
    pub(crate) rename: Option<String>,
    /// `None`, `dev` or `build`.
    pub(crate) kind: Option<String>,
    pub(crate) req: String,
}

/// The workspace's packages and their resolved dependencies.
pub(crate) struct Metadata {
    pub(crate) packages: Vec<Package>,
    members: BTreeSet<String>,
    /// Normal dependencies by package id.
    normal: BTreeMap<String, Vec<String>>,
}

impl Metadata {
    /// Asks cargo; nothing is downloaded that a build would not need.
    pub(crate) fn read(shop: &Shop) -> Result<Self> {
        let mut cargo = shop.cargo();
        cargo.args(["metadata", "--format-version=1", "--locked"]);
        let said: Value = serde_json::from_str(&step::capture(&mut cargo)?)?;
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let packages = list(&said["packages"]).iter().map(package).collect::<Result<_>>()?;
        let members = list(&said["workspace_members"]).iter().map(text).collect();
        let mut normal = BTreeMap::new();
        for node in list(&said["resolve"]["nodes"]) {
            let wanted =
                |dep: &Value| list(&dep["dep_kinds"]).iter().any(|kind| kind["kind"].is_null());
            let ids = list(&node["deps"]);
            let ids = ids.iter().filter(|dep| wanted(dep)).map(|dep| text(&dep["pkg"])).collect();
            normal.insert(text(&node["id"]), ids);
        }
        Ok(Self { packages, members, normal })
    }

    /// The packages of the workspace.
    pub(crate) fn members(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| self.members.contains(&package.id))
    }

    /// The package with this name in the workspace.
    pub(crate) fn member(&self, name: &str) -> Result<&Package> {
        self.members()
            .find(|package| package.name == name)
            .with_context(|| format!("the workspace has no crate {name}"))
    }

    /// Everything a package is linked with (normal dependencies on any platform), itself left out.
    pub(crate) fn closure(&self, package: &Package) -> Vec<&Package> {
        let mut seen = BTreeSet::new();
        let mut open = vec![package.id.as_str()];
        while let Some(id) = open.pop() {
            for next in self.normal.get(id).into_iter().flatten() {
                if seen.insert(next.as_str()) {
                    open.push(next);
                }
            }
        }
        self.packages.iter().filter(|other| seen.contains(other.id.as_str())).collect()
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn package(value: &Value) -> Result<Package> {
    let manifest = text(&value["manifest_path"]);
    let dir = Path::new(&manifest).parent().context("a manifest without a folder")?;
    let dependencies = value["dependencies"].as_array().into_iter().flatten();
    let keep = value["metadata"]["tidy"]["keep"].as_array().into_iter().flatten();
    Ok(Package {
        id: text(&value["id"]),
        name: text(&value["name"]),
        version: text(&value["version"]),
        license: value["license"].as_str().map(str::to_owned),
        source: value["source"].as_str().map(str::to_owned),
        dir: dir.to_path_buf(),
        dependencies: dependencies
            .map(|dep| Dependency {
                name: text(&dep["name"]),
                rename: dep["rename"].as_str().map(str::to_owned),
                kind: dep["kind"].as_str().map(str::to_owned),
                req: text(&dep["req"]),
            })
            .collect(),
        keep: keep.map(text).collect(),
    })
}
