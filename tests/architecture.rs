//! The arrows between the crates, read from Cargo's own metadata. ARCHITECTURE.md shows them as a picture.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand, Package};

/// Every arrow there may be. `waxwing-backend` → `waxwing-protocol` is not among them and must never be: the
/// service holds no code that could decrypt.
const ARROWS: [(&str, &[&str]); 14] = [
    ("waxwing-protocol", &[]),
    ("waxwing-protocol-fuzz", &["waxwing-protocol"]),
    ("waxwing-wire", &[]),
    ("waxwing-wire-fuzz", &["waxwing-wire"]),
    ("waxwing-backend", &["waxwing-wire"]),
    ("waxwing-bindgen", &[]),
    ("waxwing-bindings", &["waxwing-client"]),
    ("waxwing-functions", &["waxwing-backend", "waxwing-wire"]),
    ("waxwing-client", &["waxwing-protocol", "waxwing-wire"]),
    ("waxwing-local", &["waxwing-functions"]),
    ("waxwing-cost", &[]),
    (
        "waxwing-cli",
        &["waxwing-client", "waxwing-cost", "waxwing-local", "waxwing-prove"],
    ),
    (
        "waxwing-prove",
        &[
            "waxwing-backend",
            "waxwing-functions",
            "waxwing-local",
            "waxwing-wire",
        ],
    ),
    (
        "scenarios",
        &["waxwing-bindings", "waxwing-client", "waxwing-local"],
    ),
];

fn workspace() -> Vec<Package> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml");
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .exec()
        .unwrap();
    metadata.packages
}

fn arrows(packages: &[Package]) -> BTreeMap<String, BTreeSet<String>> {
    let members: BTreeSet<_> = packages.iter().map(|package| package.name.to_string()).collect();
    let targets = |package: &Package| {
        package
            .dependencies
            .iter()
            .map(|d| d.name.clone())
            .filter(|name| members.contains(name))
            .collect()
    };
    packages
        .iter()
        .map(|package| (package.name.to_string(), targets(package)))
        .collect()
}

#[test]
fn the_crates_have_the_arrows_of_the_architecture_and_no_others() {
    let allowed: BTreeMap<_, BTreeSet<_>> = ARROWS
        .iter()
        .map(|(from, to)| (from.to_string(), to.iter().map(|name| name.to_string()).collect()))
        .collect();
    let found = arrows(&workspace());
    assert_eq!(
        found.keys().collect::<Vec<_>>(),
        allowed.keys().collect::<Vec<_>>(),
        "a crate was added or removed"
    );
    for (from, targets) in &found {
        let extra: Vec<_> = targets.difference(&allowed[from]).collect();
        assert!(
            extra.is_empty(),
            "{from} must not depend on {extra:?}, not even for its tests"
        );
    }
}

#[test]
fn nothing_the_service_is_built_from_reaches_the_protocol() {
    let found = arrows(&workspace());
    let mut reached = BTreeSet::new();
    let mut to_visit = vec!["waxwing-functions".to_owned()];
    while let Some(name) = to_visit.pop() {
        if reached.insert(name.clone()) {
            to_visit.extend(found[&name].iter().cloned());
        }
    }
    assert!(!reached.contains("waxwing-protocol"), "{reached:?}");
    assert!(!reached.contains("waxwing-client"), "{reached:?}");
}

#[test]
fn every_dependency_takes_its_version_from_the_workspace() {
    let root = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../Cargo.toml")).unwrap();
    for package in workspace() {
        let manifest = std::fs::read_to_string(&package.manifest_path).unwrap();
        for dependency in package
            .dependencies
            .iter()
            .filter(|d| d.kind != DependencyKind::Unknown)
        {
            let name = dependency.rename.as_ref().unwrap_or(&dependency.name);
            assert!(
                root.lines().any(|line| line.starts_with(&format!("{name} = "))),
                "{}: {name} is missing in [workspace.dependencies]",
                package.name
            );
            assert!(
                manifest.contains(&format!("{name}.workspace = true"))
                    || manifest.contains(&format!("{name} = {{ workspace = true")),
                "{}: {name} does not say `workspace = true`",
                package.name
            );
        }
    }
}
