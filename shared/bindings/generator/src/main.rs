//! `cargo run -p waxwing-bindgen --features bindgen -- LIBRARY FOLDER`
//!
//! Writes the sources for Swift, Kotlin and Python that call a built library of `waxwing-bindings`. UniFFI reads from the
//! library itself what it exports, so that the two fit; the sources check it when they are loaded.

use std::{env, fs, io};

use camino::{Utf8Path, Utf8PathBuf};
use uniffi_bindgen::{
    BindgenPaths, BindgenPathsLayer,
    bindings::{GenerateOptions, TargetLanguage, generate_with_bindgen_paths},
};

/// Why nothing, or not everything, was written.
#[derive(thiserror::Error)]
enum GenerateError {
    #[error(
        "name the built library (target/release/libwaxwing_bindings.so, .dylib or .a, or waxwing_bindings.dll) and the folder to write to"
    )]
    Usage,
    #[error("the sources could not be written: {0}")]
    UniFfi(String),
    #[error("a file could not be read or written: {0}")]
    File(#[from] io::Error),
}

impl std::fmt::Debug for GenerateError {
    /// What a `main` that fails prints.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Display::fmt(self, f)
    }
}

/// The files of the Python package that are written by hand.
const PYTHON_PACKAGE: [(&str, &str); 4] = [
    ("pyproject.toml", include_str!("../../python/pyproject.toml")),
    ("setup.py", include_str!("../../python/setup.py")),
    (
        "waxwing/__init__.py",
        include_str!("../../python/waxwing/__init__.py"),
    ),
    ("waxwing/py.typed", ""),
];

fn main() -> Result<(), GenerateError> {
    let arguments: Vec<_> = env::args_os()
        .skip(1)
        .map(|argument| Utf8PathBuf::try_from(std::path::PathBuf::from(argument)))
        .collect();
    let [Ok(library), Ok(folder)] = arguments.as_slice() else {
        return Err(GenerateError::Usage);
    };
    let name = library.file_name().ok_or(GenerateError::Usage)?;
    write(TargetLanguage::Swift, library, &folder.join("swift"))?;
    write(TargetLanguage::Kotlin, library, &folder.join("kotlin"))?;

    let python = folder.join("python");
    let package = python.join("waxwing");
    write(TargetLanguage::Python, library, &package)?;
    for (path, text) in PYTHON_PACKAGE {
        fs::write(python.join(path), text)?;
    }
    fs::rename(package.join("waxwing.py"), package.join("_bindings.py"))?;
    fs::copy(library, package.join(name))?;
    Ok(())
}

fn write(language: TargetLanguage, library: &Utf8Path, folder: &Utf8Path) -> Result<(), GenerateError> {
    fs::create_dir_all(folder)?;
    let mut paths = BindgenPaths::default();
    paths.add_layer(Bindings);
    let options = GenerateOptions {
        languages: vec![language],
        source: library.to_owned(),
        out_dir: folder.to_owned(),
        ..GenerateOptions::default()
    };
    generate_with_bindgen_paths(options, paths).map_err(|error| GenerateError::UniFfi(format!("{error:#}")))
}

/// Where the crate of the bindings is, which has `uniffi.toml`.
struct Bindings;

impl BindgenPathsLayer for Bindings {
    fn get_crate_root(&self, crate_name: &str) -> Option<Utf8PathBuf> {
        (crate_name == "waxwing_bindings").then(|| concat!(env!("CARGO_MANIFEST_DIR"), "/..").into())
    }
}
